"""quicken(module): the same graph of frozen weights, with operations that are faster on a CPU.

Convolutions of one cell are matrix products, whose gradients are added up where several read one value; the first
convolution, of few channels and a stride, goes back as one over blocks of px; local response normalisation is one pass
over memory, and so is a max pooling with its margin and a ReLU before or after it, which changes no value; other ReLUs
work in place.
"""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional as F

from micrographia.model.fold import BandedNorm, attribute
from micrographia.model.ops import kind
from micrographia.optvis.kernels.norm import POWERS
from micrographia.optvis.kernels.pooled import LARGEST
from micrographia.optvis.operations import Norm, Pointwise, Pool, Stem, square
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
    floors: dict[fx.Node, fx.Node] = {}  # poolings, and the ReLUs that are computed with them

    def quick(node: fx.Node, own: nn.Module, source: fx.Node) -> fx.Node:
        root[f"quick_{node.name}"] = own
        return new.call_module(f"quick_{node.name}", (placed[source],))

    for node in module.graph.nodes:
        if node in placed:
            continue
        own: Any = modules.get(str(node.target)) if node.op == "call_module" else None
        source: Any = node.all_input_nodes[0] if node.all_input_nodes else None
        pool = _pool_behind(node, modules) if _is_relu(node, modules) else None
        if pool is not None:
            floors[pool], placed[node] = node, placed[source]
        elif _is_relu(node, modules) and _is_own(source, modules):
            placed[node] = _in_place(new, node, placed[source])
        elif _is_margin(node) and all(_is_pool(each, modules) for each in node.users):
            placed[node] = placed[source]
        elif _is_pool(node, modules):
            sides = source.args[1] if _is_margin(source) else (0, 0, 0, 0)
            placed[node] = quick(node, Pool(own, sides, _floor(floors.get(node))), source)
        elif _is_pointwise(own):
            together = [each for each in source.users if _is_pointwise(modules.get(str(each.target)))]
            relus = [_relu_behind(each, modules) for each in together]
            convs = [modules[str(each.target)] for each in together]
            made = quick(node, Pointwise(convs, [_floor(each) for each in relus]), source)
            for number, (each, relu) in enumerate(zip(together, relus, strict=True)):
                placed[each] = new.call_function(operator.getitem, (made, number))
                if relu is not None:
                    placed[relu] = placed[each]
        elif isinstance(own, BandedNorm) and own.beta in POWERS:
            placed[node] = quick(node, Norm(own), source)
        elif _is_stem(own):
            placed[node] = quick(node, Stem(own), source)
        else:
            if node.op in ("call_module", "get_attr"):
                root[str(node.target)] = attribute(module, str(node.target))
            placed[node] = new.node_copy(node, lambda n: placed[n])
    return fx.GraphModule(root, new)


def _is_relu(node: fx.Node, modules: dict[str, nn.Module]) -> bool:
    """ReLU or its redirected form, but not ReLU6, whose in-place form keeps its input anyway."""
    if node.target is redirected_relu:
        return len(node.args) < 2 or node.args[1] is None
    six = node.target is F.relu6 or isinstance(modules.get(str(node.target)), nn.ReLU6)
    return kind(node, modules) == "relu" and not six


def _floor(relu: fx.Node | None) -> str | None:
    if relu is None:
        return None
    return "redirected" if relu.target is redirected_relu else "plain"


def _relu_behind(node: fx.Node, modules: dict[str, nn.Module]) -> fx.Node | None:
    """The ReLU that alone reads a value, unless a pooling takes it over."""
    readers = list(node.users)
    alone = len(readers) == 1 and _is_relu(readers[0], modules) and _pool_behind(readers[0], modules) is None
    return readers[0] if alone else None


def _is_own(source: fx.Node, modules: dict[str, nn.Module]) -> bool:
    """Whether a value is a convolution's that nothing but one ReLU reads."""
    return len(source.users) == 1 and isinstance(modules.get(str(source.target)), nn.Conv2d)


def _in_place(graph: fx.Graph, relu: fx.Node, value: fx.Node) -> fx.Node:
    if relu.target is redirected_relu:
        return graph.call_function(redirected_relu, (value, None, True))
    return graph.call_function(torch.relu_, (value,))


def _is_margin(node: fx.Node) -> bool:
    """A margin of the least number, as a max pooling has."""
    return node.target is F.pad and node.args[2:] == ("constant", float("-inf")) and len(node.args[1]) == 4  # type: ignore[arg-type]


def _is_pool(node: fx.Node, modules: dict[str, nn.Module]) -> bool:
    """A max pooling that the kernel can do."""
    own: Any = modules.get(str(node.target)) if node.op == "call_module" else None
    if not isinstance(own, nn.MaxPool2d) or own.return_indices or own.dilation not in (1, (1, 1)):
        return False
    kernel, step, pad = (square(each) or 0 for each in (own.kernel_size, own.stride, own.padding))
    none_uneven = square(own.padding) is not None
    return none_uneven and 2 <= kernel <= LARGEST and 1 <= step <= kernel and 2 * pad <= kernel


def _pool_behind(relu: fx.Node, modules: dict[str, nn.Module]) -> fx.Node | None:
    """The max pooling that alone reads a ReLU, directly or through a margin."""
    readers = list(relu.users)
    if len(readers) == 1 and _is_margin(readers[0]):
        readers = list(readers[0].users)
    pools = [each for each in readers if _is_pool(each, modules)]
    return pools[0] if len(readers) == len(pools) == 1 else None


def _is_pointwise(own: Any) -> bool:
    return _is_plain(own) and own.kernel_size == own.stride == (1, 1) and own.padding in ((0, 0), "valid")


def _is_stem(own: Any) -> bool:
    """A convolution with a stride over few channels."""
    return (
        _is_plain(own)
        and own.in_channels <= FEW
        and own.stride[0] == own.stride[1] > 1
        and not isinstance(own.padding, str)
    )


def _is_plain(own: Any) -> bool:
    return type(own) is nn.Conv2d and own.groups == 1 and own.padding_mode == "zeros" and own.dilation == (1, 1)
