"""narrowed(module, wanted): of each value that a graph returns only the channels that somebody reads."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, fx, nn

from micrographia.model.fold import attribute
from micrographia.model.graph import LayerGraph
from micrographia.model.ops import kind

Channels = tuple[int, ...]
SAME = ("relu", "activation", "dropout", "identity")  # what turns each channel into a channel, by itself


def supplier(graph: LayerGraph, layer: str, channels: Channels) -> tuple[str, Channels]:
    """The path of a concat that supplies these channels, if one alone does, and their numbers there.

    >>> supplier(graph, "mixed3b", (130, 131))  # doctest: +SKIP
    ('mixed3b_3x3', (2, 3))
    """
    found = graph.layer(layer)
    while found.op == "concat":
        branch = next((b for b in found.branches if all(b.first <= each <= b.last for each in channels)), None)
        if branch is None:
            break
        channels = tuple(each - branch.first for each in channels)
        found = graph.layer(branch.name)
    return found.name, channels


def narrowed(module: fx.GraphModule, wanted: Mapping[str, Channels]) -> fx.GraphModule:
    """A new graph that returns of the named values only these channels, in this order, and computes no others.

    A convolution is made with their kernels alone; behind anything else they are chosen from the whole value.

    >>> narrowed(graph.upto("mixed3b"), {"mixed3b": (7,)})(images)["mixed3b"].shape  # doctest: +SKIP
    torch.Size([1, 1, 28, 28])
    """
    modules = dict(module.named_modules(remove_duplicate=False))
    root: dict[str, Any] = {}
    new = fx.Graph()
    placed: dict[fx.Node, fx.Node] = {}
    for node in module.graph.nodes:
        if node.op in ("call_module", "get_attr"):
            root[str(node.target)] = attribute(module, str(node.target))
        if node.op != "output":
            placed[node] = new.node_copy(node, lambda n: placed[n])
            continue
        values = {
            name: _chosen(value, wanted[name], name, modules, new, placed, root) if name in wanted else placed[value]
            for name, value in node.args[0].items()
        }
        new.output(values)
    result = fx.GraphModule(root, new)
    result.graph.eliminate_dead_code()
    result.delete_all_unused_submodules()
    result.recompile()
    return result


def _chosen(
    node: fx.Node,
    channels: Channels,
    name: str,
    modules: dict[str, nn.Module],
    new: fx.Graph,
    placed: dict[fx.Node, fx.Node],
    root: dict[str, Any],
) -> fx.Node:
    own: Any = modules.get(str(node.target)) if node.op == "call_module" else None
    alike = own is None or not list(own.parameters())
    if kind(node, modules) in SAME and len(node.all_input_nodes) == 1 and alike:
        inside = _chosen(node.all_input_nodes[0], channels, name, modules, new, placed, root)
        return new.node_copy(node, lambda _: inside)
    if type(own) in (nn.Conv2d, nn.Linear) and getattr(own, "groups", 1) == 1:
        part = f"of_{name.replace('.', '_')}"
        root[part] = _part(own, channels)
        return new.call_module(part, (placed[node.all_input_nodes[0]],))
    return new.call_function(_some, (placed[node], list(channels)))


def _part(own: Any, channels: Channels) -> nn.Module:
    part: Any = copy.copy(own)
    part._parameters = {}
    rows = list(channels)
    part.weight = nn.Parameter(own.weight.detach()[rows], requires_grad=False)
    part.bias = None if own.bias is None else nn.Parameter(own.bias.detach()[rows], requires_grad=False)
    return cast(nn.Module, part)


def _some(x: Tensor, channels: list[int]) -> Tensor:
    return x.index_select(1, torch.tensor(channels, device=x.device))
