"""probe(graph, layer): the network of a layer's middle cell, ready to be shown many small pictures.

Stimuli fill one receptive field, so that only the px that the cell sees have to be computed: the cell's value is that
of the whole network on the same picture, for a fraction of the work.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, fx

from micrographia.errors import BadValue
from micrographia.model.card import Card, normalise
from micrographia.model.cell import checked_field, maps_between
from micrographia.model.cone import cone
from micrographia.model.fold import fold
from micrographia.model.graph import LayerGraph
from micrographia.model.twin import floating_type


@dataclass(frozen=True, eq=False)
class Probe:
    """What to show to the cells of a layer, and the module that answers.

    Pictures have `size` (height, width) px; the middle of the cell's receptive field lies at `centre` (row, column)
    px in them, and the field is `field` px wide. `units` is the number of channels that answer. Where `spread` is not
    0, the answer is the largest of the cells up to so many steps away.
    """

    layer: str
    cell: tuple[int, int]
    size: tuple[int, int]
    centre: tuple[float, float]
    field: int
    units: int
    module: fx.GraphModule
    card: Card
    spread: int = 0


def maps_of(graph: LayerGraph, layer: str) -> fx.GraphModule:
    """The network up to one layer, folded, from what it sees to that layer's maps; raises BadAddress.

    >>> maps_of(graph, "mixed3b")(torch.rand(1, 3, 224, 224)).shape  # doctest: +SKIP
    torch.Size([1, 480, 28, 28])
    """
    return fold(maps_between(graph, layer))


def probe(graph: LayerGraph, layer: str, spread: int = 0, maps: fx.GraphModule | None = None) -> Probe:
    """Cut the network down to the middle cell of a layer (or, with `spread`, the map around it).

    `maps` is a network to take in its place, of the same structure as `maps_of(graph, layer)`. Raises BadAddress for
    an unknown layer, and BadValue for one without maps, one whose cells see more than the picture, and pictures that
    are neither grey nor in colour.

    >>> probe(graph, "mixed3b").size  # doctest: +SKIP
    (91, 91)
    """
    found = graph.layer(layer)
    field, stride, offset = checked_field(graph, found)
    width = max(field)
    cells = zip(graph.card.size, offset, stride, found.shape[1:], strict=True)
    row, column = (min(max(round(((n - 1) / 2 - o) / s), 0), last - 1) for n, o, s, last in cells)
    middle = offset[0] + stride[0] * row, offset[1] + stride[1] * column
    maps = maps_of(graph, found.name) if maps is None else maps
    if spread:
        return Probe(
            found.name, (row, column), graph.card.size, middle, width, found.channels, maps, graph.card,
            spread,
        )  # fmt: skip
    part = cone(maps, graph.card.size, graph.card.channels, (row, column))
    box = part.box
    size = box.bottom - box.top + 1, box.right - box.left + 1
    centre = middle[0] - box.top, middle[1] - box.left
    return Probe(found.name, (row, column), size, centre, width, found.channels, part.module, graph.card)


def respond(
    to: Probe, pictures: Float[Tensor, "stimulus 3 height width"] | Tensor
) -> Float[Tensor, "stimulus unit"] | Tensor:
    """The units' values for RGB pictures of the probe's size, values 0..1; nothing of the network is changed.

    >>> respond(to, torch.rand(5, 3, *to.size)).shape  # doctest: +SKIP
    torch.Size([5, 480])
    """
    if tuple(pictures.shape[1:]) != (3, *to.size):
        raise BadValue(
            f"The pictures have the shape {tuple(pictures.shape)}. {to.layer} is shown stimulus x 3 x {to.size[0]} x "
            f"{to.size[1]}."
        )
    dtype, device = floating_type(to.module)
    shown = pictures.to(device, dtype)
    if to.card.channels == 1:
        shown = shown.mean(1, keepdim=True)
    with torch.inference_mode():
        values = to.module(normalise(shown, to.card).contiguous(memory_format=torch.channels_last))
        if values.ndim == 4:
            (row, column), reach = to.cell, to.spread
            near = values[:, :, max(row - reach, 0) : row + reach + 1, max(column - reach, 0) : column + reach + 1]
            values = near.amax((2, 3))
    return values.clone() if values.is_inference() else values
