"""contributions(graph, reading, images): what each input adds to a unit's pre-activation, cell by cell."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from micrographia.circuits.reading import Gate, Reading, Term
from micrographia.errors import BadValue
from micrographia.model.capture import capture
from micrographia.model.graph import Layer, LayerGraph


@dataclass(frozen=True, eq=False)
class Contributions:
    """Maps of one unit: `before` is its pre-activation as the network computes it, `parts` what each input adds to it.

    `parts` summed over the inputs, plus `constant`, is `before` up to rounding. Where the inputs are read through a
    bottleneck, its rectifiers are open or closed as they are on each picture, and `linear` is the sum of all inputs by
    the expanded weights, with the rectifiers left out; otherwise None.
    """

    before: Float[Tensor, "picture height width"]
    parts: Float[Tensor, "picture input height width"]
    constant: Float[Tensor, "picture height width"]
    linear: Float[Tensor, "picture height width"] | None = None


def contributions(
    graph: LayerGraph, reading: Reading, images: Float[Tensor, "picture channel height width"]
) -> Contributions:
    """Run pictures (values 0..1) and take the unit's pre-activation apart.

    Through a bottleneck an input's part is its activation times its gradient, which is exact because a rectifier is
    linear while it does not switch. Raises BadValue where the reading has no terms.

    >>> found = contributions(graph, reading(graph, Unit("mixed3b", 3)), pictures)  # doctest: +SKIP
    >>> (found.parts.sum(1) + found.constant - found.before).abs().max()  # doctest: +SKIP
    tensor(2.1e-05)
    """
    if not reading.terms:
        raise BadValue(f"What {reading.unit} reads cannot be summed up: {reading.problem}")
    gate = reading.gate
    nodes = dict.fromkeys([reading.node, *(term.node for term in reading.terms)])
    if gate is not None:
        nodes |= dict.fromkeys([gate.source, gate.before, gate.after])
    # nodes without a name of their own, such as the value before a rectifier, get one for this call
    probes = {f"@{node}": Layer(f"@{node}", "value", ()) for node in nodes}
    probed = replace(graph, layers={**graph.layers, **probes}, node_of={**graph.node_of, **{f"@{n}": n for n in nodes}})
    values = {name[1:]: value.cpu() for name, value in capture(probed, images, list(probes)).items()}
    before = values[reading.node][:, reading.channel].double()
    before = before if before.ndim == 3 else before[:, None, None]
    size = (int(before.shape[1]), int(before.shape[2]))
    if gate is not None:
        parts, constant = _gated(values, gate, reading.terms[0], size)
        linear = _each(values[gate.source].double(), gate.linear, size).sum(1)
        return Contributions(before, parts, constant + reading.bias, linear)
    found = []
    for row, term in zip(reading.rows, reading.terms, strict=True):
        each = _each(values[term.node].double(), term, size)
        # a fully connected unit reads every cell of a flattened map: they count for the map's unit
        found.append(each if each.shape[1] == len(row.sources) else _gathered(each, len(row.sources)))
    return Contributions(before, torch.cat(found, 1), torch.full_like(before, reading.bias))


def _gated(
    values: dict[str, Tensor], gate: Gate, term: Term, size: tuple[int, int]
) -> tuple[Float[Tensor, "picture input height width"], Float[Tensor, "picture height width"]]:
    """What each unit before the bottleneck adds, and what the bottleneck's own biases add."""
    source, before, after = values[gate.source], values[gate.before], values[gate.after]
    openness = torch.where(before != 0, after / before, 0.0)
    kernels = torch.from_numpy(term.kernels).to(source)
    weights = torch.from_numpy(gate.weights).to(source)
    pads = _pads(term, size, openness)
    source, openness = F.pad(source, pads), F.pad(openness, pads)
    parts = source.new_zeros((len(source), source.shape[1], *size))
    for row, column in np.ndindex(kernels.shape[1:]):
        places = tuple(
            slice(tap * dilation, tap * dilation + stride * (extent - 1) + 1, stride)
            for tap, dilation, stride, extent in zip((row, column), term.dilation, term.stride, size, strict=True)
        )
        chosen = openness[:, :, *places]
        mixed = (weights * kernels[:, row, column, None]).T
        parts += torch.einsum("ib,nbhw->nihw", mixed, chosen) * source[:, :, *places]
    biased = openness * torch.from_numpy(gate.bias).to(source)[:, None, None]
    constant = F.conv2d(biased, kernels[None], None, term.stride, 0, term.dilation)[:, 0]
    return parts.double(), constant.double()


def _each(
    value: Float[Tensor, "picture channel *space"], term: Term, size: tuple[int, int]
) -> Float[Tensor, "picture input height width"]:
    kernels = torch.from_numpy(term.kernels).to(value)
    maps = value.flatten(1)[:, :, None, None] if value.ndim != 4 else value
    maps = maps[:, term.first : term.first + len(kernels)]
    pads = _pads(term, size, maps)
    return F.conv2d(F.pad(maps, pads), kernels[:, None], None, term.stride, 0, term.dilation, len(kernels))


def _pads(term: Term, size: tuple[int, int], maps: Tensor) -> list[int]:
    """What to add around the maps, left, right, top, bottom, so that the first cell reads from the corner."""
    pads: list[int] = []
    for axis in (1, 0):
        first = term.offset[axis]
        last = term.stride[axis] * (size[axis] - 1) + first + term.dilation[axis] * (term.kernels.shape[1 + axis] - 1)
        pads += [-first, last + 1 - maps.shape[2 + axis]]  # a negative padding cuts off
    return pads


def _gathered(each: Float[Tensor, "picture cell 1 1"], units: int) -> Float[Tensor, "picture unit 1 1"]:
    return each.reshape(len(each), units, -1).sum(2)[:, :, None, None]
