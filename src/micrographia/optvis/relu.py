"""The redirected ReLU: a way out for pictures that no unit on the path answers to yet.

Where a ReLU is shut for the whole of a picture, its gradient is zero and the ascent never starts. In the first steps
the gradient is let through there, where it opens the ReLU further; afterwards the true gradient is followed.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, fx, nn
from torch.nn import functional as F

from micrographia.model.ops import kind


class _Redirected(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, limit: float | None, in_place: bool) -> Tensor:
        if in_place:
            ctx.mark_dirty(x)
        y = x.clamp_(0, limit) if in_place else x.clamp(0, limit)
        ctx.save_for_backward(y)
        ctx.limit = limit
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (y,) = ctx.saved_tensors
        return redirected_gradient(gradient, y, ctx.limit), None, None


def redirected_gradient(gradient: Tensor, y: Tensor, limit: float | None = None) -> Tensor:
    """The gradient before a redirected ReLU, of the one after it and its value there."""
    # the value after the ReLU tells as well as the one before it where it was shut or saturated
    if limit is None:
        plain: Tensor = torch.ops.aten.threshold_backward(gradient, y, 0)
    else:
        plain = torch.ops.aten.hardtanh_backward(gradient, y, 0, limit)
    # nearly always the middle cell, or its row, shows that something comes through
    whole: tuple[Any, ...] = (slice(None), slice(None))
    middle = plain[(*whole, *(n // 2 for n in y.shape[2:]))]
    if y.device.type == "cpu" and middle.any(1).all():
        return plain
    if y.device.type == "cpu" and y.ndim == 4 and plain[:, :, y.shape[2] // 2].flatten(1).any(1).all():
        return plain
    silent = torch.linalg.vector_norm(plain, float("inf"), dim=tuple(range(1, y.ndim)), keepdim=True) == 0
    if y.device.type == "cpu" and not silent.any():
        return plain
    # the objective is minimised: a positive gradient pushes the value down
    away = (y <= 0) & (gradient > 0)
    if limit is not None:
        away |= (y >= limit) & (gradient < 0)
    return torch.where(silent, gradient.masked_fill(away, 0), plain)


def redirected_relu(
    x: Float[Tensor, "batch channel *space"], limit: float | None = None, in_place: bool = False
) -> Float[Tensor, "batch channel *space"]:
    """ReLU (or, with a limit of 6, ReLU6) whose gradient is redirected for each picture that it blocks entirely.

    For a loss that is *minimised*: a picture whose gradient is zero everywhere behind the ReLU gets the gradient before
    it, without the part that would push shut cells further down or saturated ones further up (Lucid's redirected
    ReLU, decided per picture). `in_place` overwrites a value that nobody else reads.

    >>> x = torch.tensor([[-1.0, -2.0]], requires_grad=True)
    >>> (redirected_relu(x) * torch.tensor([-1.0, 1.0])).sum().backward()
    >>> x.grad
    tensor([[-1., 0.]])
    """
    return _Redirected.apply(x, limit, in_place)


def redirect(module: fx.GraphModule) -> fx.GraphModule:
    """A new graph with every ReLU and ReLU6, whether module, function or method, replaced by the redirected one."""
    modules = dict(module.named_modules(remove_duplicate=False))
    new = fx.Graph()
    placed: dict[fx.Node, fx.Node] = {}
    for node in module.graph.nodes:
        if kind(node, modules) == "relu":
            six = node.target is F.relu6 or isinstance(modules.get(str(node.target)), nn.ReLU6)
            source = placed[node.all_input_nodes[0]]
            placed[node] = new.call_function(redirected_relu, (source, 6.0 if six else None))
        else:
            placed[node] = new.node_copy(node, lambda n: placed[n])
    return fx.GraphModule(module, new)
