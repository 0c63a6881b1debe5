"""One cell of a layer on the smallest picture that it sees without a border, and what it answers there."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, fx

from micrographia.errors import BadValue
from micrographia.model.cone import cone
from micrographia.model.graph import LayerGraph


@dataclass(frozen=True)
class Stage:
    """The cell (row, column) of `layer`, the canvas in px that it sees, and the px in the middle of what it sees."""

    layer: str
    cell: tuple[int, int]
    size: tuple[int, int]
    centre: tuple[float, float]


def stage(graph: LayerGraph, name: str) -> Stage:
    """The first cell of a layer that no border reaches, and the canvas for it.

    Raises BadAddress, and BadValue for a layer without maps or whose receptive field exceeds the network's pictures.

    >>> stage(graph, "conv2d0")  # doctest: +SKIP
    Stage(layer='conv2d0', cell=(2, 2), size=(8, 8), centre=(4.0, 4.0))
    """
    layer = graph.layer(name)
    if not layer.spatial:
        raise BadValue(f"{layer.name} has no maps. Choose a layer of maps: micrographia layers shows them.")
    field = layer.receptive_field
    if field is None or layer.stride is None or layer.offset is None or any(
        seen > extent for seen, extent in zip(field, graph.card.size, strict=True)
    ):  # fmt: skip
        whole = "the whole picture" if field is None else f"{field[0]} x {field[1]} px"
        raise BadValue(
            f"A unit of {layer.name} sees {whole}, more than a picture of {graph.card.size[0]} x {graph.card.size[1]} "
            "px shows. Choose an earlier layer."
        )
    cell, size, centre = [], [], []
    for seen, step, offset in zip(field, layer.stride, layer.offset, strict=True):
        number = max(0, math.ceil(((seen - 1) / 2 - offset) / step))
        middle = offset + step * number
        cell.append(number)
        centre.append(middle)
        size.append(math.ceil(middle + (seen - 1) / 2) + 1)
    return Stage(layer.name, (cell[0], cell[1]), (size[0], size[1]), (centre[0], centre[1]))


@dataclass(frozen=True, eq=False)
class Segment:
    """The way from a part of a layer's map to one cell of a later layer; it returns "batch channel"."""

    module: fx.GraphModule
    rows: slice
    columns: slice

    def __call__(self, maps: Float[Tensor, "batch channel height width"]) -> Float[Tensor, "batch unit"]:
        with torch.no_grad():
            return self.module(maps[:, :, self.rows, self.columns])


def segment(graph: LayerGraph, src: str, at: Stage, extent: tuple[int, int]) -> Segment:
    """The segment from the map of `src`, of this extent in cells, to the cell of a stage. Raises as `between` does.

    >>> segment(graph, "input", stage(graph, "conv2d0"), (8, 8))(torch.rand(5, 3, 8, 8)).shape  # doctest: +SKIP
    torch.Size([5, 64])
    """
    cut = graph.between(src, at.layer)
    output = next(node for node in cut.graph.nodes if node.op == "output")
    output.args = (output.args[0][at.layer],)
    cut.recompile()
    part = cone(cut, extent, graph.layer(src).channels, at.cell)
    box = part.box
    return Segment(part.module, slice(box.top, box.bottom + 1), slice(box.left, box.right + 1))
