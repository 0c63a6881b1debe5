"""fold(module): the same function in fewer and faster operations, as a new graph.

In evaluation mode a batch norm after a convolution is one more scale and offset of that convolution's weights, dropout
is nothing, and local response normalisation is a 1x1 convolution over the squares whose kernel is a band.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from micrographia.model.ops import kind


def fold(module: fx.GraphModule) -> fx.GraphModule:
    """A new graph that computes what `module` computes, up to rounding, and shares the weights it leaves as they are.

    Batch norms that alone read a convolution go into it; the others become one multiplication and one addition.

    >>> folded = fold(graph.upto("mixed3b"))  # doctest: +SKIP
    """
    modules = dict(module.named_modules(remove_duplicate=False))
    root: dict[str, Any] = {}
    new = fx.Graph()
    placed: dict[fx.Node, fx.Node] = {}
    for node in module.graph.nodes:
        word = kind(node, modules)
        if word in ("dropout", "identity") and len(node.all_input_nodes) == 1:
            placed[node] = placed[node.all_input_nodes[0]]
            continue
        own: Any = modules.get(str(node.target)) if node.op == "call_module" else None
        if _has_statistics(own):
            source = node.all_input_nodes[0]
            conv = modules.get(str(source.target)) if source.op == "call_module" else None
            name = f"folded_{node.name}"
            if type(conv) is nn.Conv2d and len(source.users) == 1:
                root[name] = _joined(conv, own)
                placed[node] = new.call_module(name, (placed[source.all_input_nodes[0]],))
            else:
                root[name] = _Scale(*(each.to(own.running_var.dtype) for each in _affine(own)))
                placed[node] = new.call_module(name, (placed[source],))
        elif word == "lrn" and _is_plain_lrn(own):
            name = f"banded_{node.name}"
            root[name] = BandedNorm(own)
            placed[node] = new.call_module(name, (placed[node.all_input_nodes[0]],))
        else:
            if node.op in ("call_module", "get_attr"):
                root[str(node.target)] = attribute(module, str(node.target))
            placed[node] = new.node_copy(node, lambda n: placed[n])
    return _tidied(fx.GraphModule(root, new))


def _tidied(module: fx.GraphModule) -> fx.GraphModule:
    module.graph.eliminate_dead_code()
    module.delete_all_unused_submodules()
    module.recompile()
    return module


def attribute(module: nn.Module, path: str) -> Any:
    """What a dotted path names in a module: a submodule, a parameter or a buffer.

    >>> attribute(nn.Sequential(nn.Conv2d(3, 5, 1)), "0.bias").shape
    torch.Size([5])
    """
    value: Any = module
    for part in path.split("."):
        value = getattr(value, part)
    return value


def _has_statistics(module: nn.Module | None) -> bool:
    return isinstance(module, (nn.BatchNorm2d, nn.SyncBatchNorm)) and module.running_mean is not None


def _affine(norm: Any) -> tuple[Tensor, Tensor]:
    """Scale and offset of a batch norm in evaluation mode, computed in double precision."""
    scale = (norm.running_var.double() + norm.eps).rsqrt()
    if norm.weight is not None:
        scale = scale * norm.weight.double()
    offset = -norm.running_mean.double() * scale
    if norm.bias is not None:
        offset = offset + norm.bias.double()
    return scale, offset


def _joined(conv: nn.Conv2d, norm: Any) -> nn.Conv2d:
    scale, offset = _affine(norm)
    if conv.bias is not None:
        offset = offset + conv.bias.double() * scale
    joined = copy.copy(conv)
    joined._parameters = {}
    weight = conv.weight.double() * scale[:, None, None, None]
    joined.weight = nn.Parameter(weight.to(conv.weight.dtype), requires_grad=False)
    joined.bias = nn.Parameter(offset.to(conv.weight.dtype), requires_grad=False)
    return joined


class _Scale(nn.Module):
    """A batch norm that follows no convolution: one scale and one offset per channel."""

    pointwise = True
    scale: Tensor
    offset: Tensor

    def __init__(self, scale: Tensor, offset: Tensor) -> None:
        super().__init__()
        self.register_buffer("scale", scale[:, None, None])
        self.register_buffer("offset", offset[:, None, None])

    def forward(self, x: Tensor) -> Tensor:
        return torch.addcmul(self.offset, x, self.scale)


def _is_plain_lrn(module: nn.Module | None) -> bool:
    return module is not None and all(hasattr(module, name) for name in ("size", "alpha", "beta", "k"))


class BandedNorm(nn.Module):
    """Local response normalisation, x (k + alpha/n sum of n neighbours' squares)^-beta, as a convolution."""

    pointwise = True

    def __init__(self, norm: Any) -> None:
        super().__init__()
        self.size, self.alpha, self.beta, self.k = int(norm.size), norm.alpha, norm.beta, norm.k
        self.bands: dict[tuple[int, torch.dtype, torch.device], Tensor] = {}

    def forward(self, x: Tensor) -> Tensor:
        channels = x.shape[1]
        key = (channels, x.dtype, x.device)
        if key not in self.bands:
            place = torch.arange(channels)
            gap = place[None] - place[:, None]
            # torch pads size // 2 channels before and (size - 1) // 2 after
            near = (gap >= -(self.size // 2)) & (gap <= (self.size - 1) // 2)
            self.bands[key] = (near * (self.alpha / self.size))[:, :, None, None].to(x)
        total = F.conv2d(x * x, self.bands[key]) + self.k
        if self.beta == 0.75:
            root = total.rsqrt()
            return x * (root * root.sqrt())
        return x * total.pow(-self.beta)
