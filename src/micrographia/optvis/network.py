"""What runs at every step: the network up to one kind of unit, without anything else, in its fastest exact form."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, fx

from micrographia.errors import BadValue
from micrographia.model.card import Card
from micrographia.model.cone import cone
from micrographia.model.fold import fold
from micrographia.model.graph import LayerGraph
from micrographia.model.ops import kind
from micrographia.model.receptive import Box
from micrographia.optvis.kernels.scaled import scaled
from micrographia.optvis.kernels.threads import compiled
from micrographia.optvis.quicken import quicken
from micrographia.optvis.relu import redirect
from micrographia.unit import Unit

Extent = tuple[int, int]


@dataclass(frozen=True)
class Place:
    """Where a unit's value is computed: the path of a concat that supplies it, its channel, its cell, the picture.

    Units of one `layer`, `cell` and `size` can be optimised together; `cell` is None for the whole map.
    """

    layer: str
    channel: int
    cell: tuple[int, int] | None
    size: Extent


def place(graph: LayerGraph, unit: Unit, objective: str, share: float = 1.0) -> Place:
    """Find a unit in the network; raises BadAddress for no such unit and BadValue for no such cell.

    A unit that sees more than `share` of the card's picture is looked for in the middle of a picture of that share.

    >>> place(graph, Unit.parse("mixed3b:379"), "neuron")  # doctest: +SKIP
    Place(layer='mixed3b_5x5', channel=59, cell=(14, 14), size=(224, 224))
    """
    layer = graph.layer(unit.layer)
    graph.units(f"{unit.layer}:{unit.channel}")
    channel = unit.channel
    while layer.op == "concat" and layer.branches:
        branch = next(b for b in layer.branches if b.first <= channel <= b.last)
        channel -= branch.first
        layer = graph.layer(branch.name)
    if not layer.spatial:
        return Place(layer.name, channel, None, graph.card.size)
    height, width = layer.shape[1:]
    if unit.position is not None and (unit.position[0] >= height or unit.position[1] >= width):
        raise BadValue(
            f"{layer.name} has no cell {unit.position[0]},{unit.position[1]}: it is {height} x {width} cells. "
            f"Rows run from 0 to {height - 1}, columns from 0 to {width - 1}."
        )
    small = round(graph.card.size[0] * share), round(graph.card.size[1] * share)
    field = layer.receptive_field
    if objective == "channel":
        seen = graph.card.size if field is None else tuple(max(3 * n, 32) for n in field)
        size = min(small[0], seen[0]), min(small[1], seen[1])
        return Place(layer.name, channel, None, size)
    wide = field is None or field[0] > small[0] or field[1] > small[1]
    if share >= 1 or unit.position is not None or not wide:
        return Place(layer.name, channel, unit.position or (height // 2, width // 2), graph.card.size)
    if layer.stride is None or layer.offset is None:
        return Place(layer.name, channel, (height // 2, width // 2), graph.card.size)
    middle = [round(((n - 1) / 2 - o) / s) for n, o, s in zip(small, layer.offset, layer.stride, strict=True)]
    return Place(layer.name, channel, (max(middle[0], 0), max(middle[1], 0)), small)


@dataclass(frozen=True, eq=False)
class Network:
    """`run` takes what the network sees of the pixels of `box`; it returns "batch channel", or maps without a cell.

    `plain` is the graph that it was made faster from, and `start` the same with redirected ReLUs; `rectified` says that
    the unit itself is read before its own ReLU.
    """

    plain: fx.GraphModule
    run: fx.GraphModule
    start: fx.GraphModule
    layer: str
    box: Box
    rectified: bool
    dtype: torch.dtype

    def __call__(self, images: Tensor, start: bool = False) -> Tensor:
        images = images.to(self.dtype).contiguous(memory_format=torch.channels_last)
        return (self.start if start else self.run)(images)


def seen_by(pictures: Tensor, card: Card, dtype: torch.dtype | None = None) -> Tensor:
    """`normalise`, as one product and sum, in a type (None: the pictures' own)."""
    std = torch.tensor(card.std, dtype=torch.float64)
    scale, offset = card.scale / std, -torch.tensor(card.mean, dtype=torch.float64) / std
    turned, dtype = card.order == "BGR", dtype or pictures.dtype
    halves = (torch.float32, torch.bfloat16)
    if compiled(pictures) and pictures.dtype == torch.float32 and pictures.shape[1] == 3 and dtype in halves:
        a, b, c = scale.expand(3).tolist()
        d, e, f = offset.expand(3).tolist()
        return scaled(pictures, turned, (a, b, c), (d, e, f), dtype)
    pictures = pictures.flip(1) if turned else pictures
    return torch.addcmul(offset.to(pictures)[:, None, None], pictures, scale.to(pictures)[:, None, None]).to(dtype)


def network(graph: LayerGraph, where: Place, dtype: torch.dtype, device: torch.device) -> Network:
    """Cut, fold, crop to the cell's cone and convert; the graph that was given stays as it is."""
    cut = graph.upto(where.layer)
    output = next(node for node in cut.graph.nodes if node.op == "output")
    result = output.args[0][where.layer]
    modules = dict(cut.named_modules(remove_duplicate=False))
    # the mean over a map is of rectified values; a single cell is the same optimum before its ReLU, and never stuck
    rectified = where.cell is not None and kind(result, modules) == "relu"
    output.args = (result.all_input_nodes[0] if rectified else result,)
    cut.graph.eliminate_dead_code()
    cut.recompile()
    part = cone(fold(cut), where.size, graph.card.channels, where.cell)
    own = converted(part.module, dtype, device)
    return Network(own, *fastest(own), where.layer, part.box, rectified, dtype)


def with_type(net: Network, dtype: torch.dtype) -> Network:
    """The same network in another floating-point type."""
    own = converted(net.plain, dtype, None)
    run, start = fastest(own)
    return replace(net, plain=own, run=run, start=start, dtype=dtype)


def fastest(own: fx.GraphModule) -> tuple[fx.GraphModule, fx.GraphModule]:
    """A graph of frozen weights as it runs fastest, and the same with redirected ReLUs."""
    start = redirect(own)
    on_cpu = all(each.device.type == "cpu" for each in own.parameters())
    return (quicken(own), quicken(start)) if on_cpu else (own, start)


def converted(module: fx.GraphModule, dtype: torch.dtype, device: torch.device | None) -> fx.GraphModule:
    """A copy of its own, in this type and on this device, whose weights need no gradients."""
    own: Any = copy.deepcopy(module).requires_grad_(False)
    moved: fx.GraphModule = own.to(device=device, dtype=dtype, memory_format=torch.channels_last)
    return moved
