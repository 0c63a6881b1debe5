"""What one cell of a layer sees, and the network of that cell alone, from the map of another layer on."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, fx, nn

from micrographia.errors import BadValue
from micrographia.model.cone import cone
from micrographia.model.graph import Layer, LayerGraph
from micrographia.model.ops import kind

Pair = tuple[float, float]


@dataclass(frozen=True)
class Stage:
    """The cell (row, column) of `layer`, the canvas in px that it sees, and the px in the middle of what it sees."""

    layer: str
    cell: tuple[int, int]
    size: tuple[int, int]
    centre: tuple[float, float]


def stage(graph: LayerGraph, name: str) -> Stage:
    """The first cell of a layer that no border reaches, and the canvas for it.

    Raises BadAddress, and BadValue as `checked_field` does.

    >>> stage(graph, "conv2d0")  # doctest: +SKIP
    Stage(layer='conv2d0', cell=(2, 2), size=(8, 8), centre=(4.0, 4.0))
    """
    layer = graph.layer(name)
    cell, size, centre = [], [], []
    for seen, step, offset in zip(*checked_field(graph, layer), strict=True):
        number = max(0, math.ceil(((seen - 1) / 2 - offset) / step))
        middle = offset + step * number
        cell.append(number)
        centre.append(middle)
        size.append(math.ceil(middle + (seen - 1) / 2) + 1)
    return Stage(layer.name, (cell[0], cell[1]), (size[0], size[1]), (centre[0], centre[1]))


def checked_field(graph: LayerGraph, layer: Layer) -> tuple[tuple[int, int], Pair, Pair]:
    """Receptive field in px, stride and offset of a layer's cells, each (rows, columns).

    Raises BadValue for a layer without maps, for one whose cells see more than the network's pictures, and for
    pictures that are neither grey nor in colour.
    """
    if graph.card.channels not in (1, 3):
        raise BadValue(
            f"{graph.card.name} sees {graph.card.channels} channels. Pictures are black and white or in colour: "
            "choose a network of 1 or 3 channels."
        )
    if not layer.spatial:
        raise BadValue(f"{layer.name} has no maps, so that no place is its units' own. Choose {_fitting(graph)}.")
    field, size = layer.receptive_field, graph.card.size
    if field is None or layer.stride is None or layer.offset is None or field[0] > size[0] or field[1] > size[1]:
        seen = "the whole picture" if field is None else f"{field[0]} x {field[1]} px"
        raise BadValue(
            f"A cell of {layer.name} sees {seen}, more than a picture of {size[0]} x {size[1]} px shows. "
            f"Choose {_fitting(graph)}."
        )
    return field, layer.stride, layer.offset


def _fitting(graph: LayerGraph) -> str:
    fits = [
        each.name
        for each in graph.main_layers()
        if each.receptive_field and all(f <= n for f, n in zip(each.receptive_field, graph.card.size, strict=True))
    ]
    return f"a layer of small receptive field, such as {', '.join(fits[-3:])}" if fits else "another network"


def maps_between(graph: LayerGraph, layer: str, src: str | None = None) -> fx.GraphModule:
    """The network up to one layer, from the map of `src` or from what it sees, with that layer's maps as its result.

    Raises BadAddress, and as `between` does.

    >>> maps_between(graph, "mixed3b")(torch.rand(1, 3, 224, 224)).shape  # doctest: +SKIP
    torch.Size([1, 480, 28, 28])
    """
    cut = graph.upto(layer) if src is None else graph.between(src, layer)
    output = next(node for node in cut.graph.nodes if node.op == "output")
    output.args = (output.args[0][layer],)
    cut.recompile()
    return cut


@dataclass(frozen=True, eq=False)
class Segment:
    """The way from a part of a layer's map to one cell of a later layer; it returns "batch channel".

    Made with both values, it returns those that the last rectifiers read, and after them the cell's own.
    """

    module: fx.GraphModule
    rows: slice
    columns: slice

    def __call__(self, maps: Float[Tensor, "batch channel height width"]) -> Float[Tensor, "batch unit"]:
        with torch.no_grad():
            return self.module(maps[:, :, self.rows, self.columns])


def segment(graph: LayerGraph, src: str, at: Stage, extent: tuple[int, int], both: bool = False) -> Segment:
    """The segment from the map of `src`, of this extent in cells, to the cell of a stage. Raises as `between` does.

    With `both` it gives every unit's value before its rectifier too, if there is one; of joined branches, in each.

    >>> segment(graph, "input", stage(graph, "conv2d0"), (8, 8))(torch.rand(5, 3, 8, 8)).shape  # doctest: +SKIP
    torch.Size([5, 64])
    """
    cut = maps_between(graph, at.layer, src)
    if both:
        output = next(node for node in cut.graph.nodes if node.op == "output")
        own = output.args[0]
        before = _unrectified(own, dict(cut.named_modules(remove_duplicate=False)))
        with cut.graph.inserting_before(output):
            output.args = (cut.graph.call_function(torch.cat, ([before, own], 1)),)
        cut.recompile()
    part = cone(cut, extent, graph.layer(src).channels, at.cell)
    box = part.box
    return Segment(part.module, slice(box.top, box.bottom + 1), slice(box.left, box.right + 1))


def _unrectified(node: fx.Node, modules: dict[str, nn.Module]) -> fx.Node:
    """The value that a rectifier reads; of joined branches a new join of those that theirs read."""
    word = kind(node, modules)
    if word in ("relu", "dropout", "identity"):
        return _unrectified(node.all_input_nodes[0], modules)
    if word != "concat":
        return node
    with node.graph.inserting_after(node):
        return node.graph.node_copy(node, lambda branch: _unrectified(branch, modules))
