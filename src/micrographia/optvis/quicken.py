"""quicken(module): the same graph of frozen weights, with operations that are faster on a CPU.

Convolutions of one cell are matrix products; the first convolution, of few channels and a stride, goes back as one over
blocks of px; local response normalisation is one pass over memory; ReLUs work in place, and after a max pooling that
follows, which changes no value.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from micrographia.model.fold import BandedNorm
from micrographia.model.ops import kind
from micrographia.optvis.kernels.norm import POWERS, local_response
from micrographia.optvis.kernels.threads import compiled
from micrographia.optvis.relu import redirected_relu

FEW = 4  # channels of a picture


def quicken(module: fx.GraphModule) -> fx.GraphModule:
    """A new graph with the same values up to rounding; its weights must need no gradients.

    >>> quicken(frozen)(images)  # doctest: +SKIP
    """
    modules = dict(module.named_modules(remove_duplicate=False))
    root: dict[str, Any] = {}
    new = fx.Graph()
    placed: dict[fx.Node, fx.Node] = {}
    late: dict[fx.Node, fx.Node] = {}  # poolings, and the ReLUs that come after them instead of before
    for node in module.graph.nodes:
        pool = _pool_behind(node, modules) if _is_relu(node, modules) else None
        if pool is not None:
            late[pool] = node
            placed[node] = placed[node.all_input_nodes[0]]
            continue
        if _is_relu(node, modules) and _is_own(node.all_input_nodes[0], modules):
            placed[node] = _in_place(new, node, placed[node.all_input_nodes[0]])
            continue
        own: Any = modules.get(str(node.target)) if node.op == "call_module" else None
        quick = _quick(own)
        if quick is not None:
            root[f"quick_{node.name}"] = quick
            placed[node] = new.call_module(f"quick_{node.name}", (placed[node.all_input_nodes[0]],))
        else:
            if node.op in ("call_module", "get_attr"):
                root[str(node.target)] = _attribute(module, str(node.target))
            placed[node] = new.node_copy(node, lambda n: placed[n])
        if node in late:
            placed[node] = _in_place(new, late[node], placed[node])
    return fx.GraphModule(root, new)


def _is_relu(node: fx.Node, modules: dict[str, nn.Module]) -> bool:
    """ReLU or its redirected form, but not ReLU6, whose in-place form keeps its input anyway."""
    if node.target is redirected_relu:
        return True
    six = node.target is F.relu6 or isinstance(modules.get(str(node.target)), nn.ReLU6)
    return kind(node, modules) == "relu" and not six


def _is_own(source: fx.Node, modules: dict[str, nn.Module]) -> bool:
    """Whether a value is a convolution's that nothing but one ReLU reads."""
    return len(source.users) == 1 and isinstance(modules.get(str(source.target)), nn.Conv2d)


def _in_place(graph: fx.Graph, relu: fx.Node, value: fx.Node) -> fx.Node:
    if relu.target is redirected_relu:
        return graph.call_function(redirected_relu, (value, *relu.args[1:2], True))
    return graph.call_function(torch.relu_, (value,))


def _pool_behind(relu: fx.Node, modules: dict[str, nn.Module]) -> fx.Node | None:
    """The max pooling that alone reads a ReLU, directly or through a margin of the least number."""
    readers = list(relu.users)
    if len(readers) == 1 and readers[0].target is F.pad and readers[0].args[3:] == (float("-inf"),):
        readers = list(readers[0].users)
    pools = [each for each in readers if isinstance(modules.get(str(each.target)), nn.MaxPool2d)]
    return pools[0] if len(readers) == len(pools) == 1 else None


def _attribute(module: nn.Module, path: str) -> Any:
    value: Any = module
    for part in path.split("."):
        value = getattr(value, part)
    return value


def _quick(own: nn.Module | None) -> nn.Module | None:
    if isinstance(own, BandedNorm) and own.beta in POWERS:
        return _Norm(own)
    if type(own) is not nn.Conv2d or own.groups != 1 or own.padding_mode != "zeros" or own.dilation != (1, 1):
        return None
    if own.kernel_size == own.stride == (1, 1) and own.padding in ((0, 0), "valid"):
        return _Pointwise(own)
    if own.in_channels <= FEW and own.stride[0] == own.stride[1] > 1 and not isinstance(own.padding, str):
        return _Stem(own)
    return None


class _Norm(nn.Module):
    """Local response normalisation by a kernel of ours where that takes the type, else as it was."""

    def __init__(self, own: BandedNorm) -> None:
        super().__init__()
        self.own = own

    def forward(self, x: Tensor) -> Tensor:
        own = self.own
        return local_response(x, own.size, own.alpha, own.beta, own.k) if compiled(x) and x.ndim == 4 else own(x)


class _Pointwise(nn.Module):
    """A convolution of one cell: a matrix product for every cell."""

    def __init__(self, own: nn.Conv2d) -> None:
        super().__init__()
        self.weight = nn.Parameter(own.weight.detach().flatten(1), requires_grad=False)
        self.bias = own.bias

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x.permute(0, 2, 3, 1), self.weight, self.bias).permute(0, 3, 1, 2)


class _Stem(nn.Module):
    """A convolution with a stride over few channels, whose gradient is one over blocks of stride x stride px."""

    blocks: Tensor

    def __init__(self, own: nn.Conv2d) -> None:
        super().__init__()
        self.weight, self.bias = own.weight, own.bias
        self.stride: int = own.stride[0]
        self.padding: tuple[int, int] = (int(own.padding[0]), int(own.padding[1]))
        step = self.stride
        sides = [-side % step for side in own.kernel_size]
        whole = F.pad(own.weight.detach(), (0, sides[1], 0, sides[0]))
        outputs, inputs, tall, wide = whole.shape
        parts = whole.view(outputs, inputs, tall // step, step, wide // step, step).permute(0, 1, 3, 5, 2, 4)
        blocks = parts.reshape(outputs, inputs * step * step, tall // step, wide // step)
        self.register_buffer("blocks", blocks.contiguous(memory_format=torch.channels_last))

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = _StemProduct.apply(x, self.weight, self.bias, self.blocks, self.stride, self.padding)
        return found


class _StemProduct(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, blocks: Tensor, step: int, padding: tuple[int, int]
    ) -> Tensor:
        ctx.save_for_backward(blocks)
        ctx.shape, ctx.step, ctx.padding = x.shape, step, padding
        if x.dtype != torch.bfloat16:
            return F.conv2d(x, weight, bias, step, padding)
        outputs = [(n + 2 * p - k) // step + 1 for n, p, k in zip(x.shape[2:], padding, weight.shape[2:], strict=True)]
        needed = [(n + b - 1) * step for n, b in zip(outputs, blocks.shape[2:], strict=True)]
        ends = [n - p - m for n, p, m in zip(needed, padding, x.shape[2:], strict=True)]
        whole = F.pad(x, (padding[1], ends[1], padding[0], ends[0]))
        return F.conv2d(F.pixel_unshuffle(whole, step), blocks, bias)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None, None, None]:
        (blocks,) = ctx.saved_tensors
        turned = blocks.transpose(0, 1).flip(2, 3).contiguous(memory_format=torch.channels_last)
        margin = blocks.shape[2] - 1, blocks.shape[3] - 1
        found = F.pixel_shuffle(F.conv2d(gradient, turned, padding=margin), ctx.step)
        (top, left), (height, width) = ctx.padding, ctx.shape[2:]
        ends = height - (found.shape[2] - top), width - (found.shape[3] - left)
        return F.pad(found, (-left, ends[1], -top, ends[0])), None, None, None, None, None
