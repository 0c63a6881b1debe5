"""The strongest connections of every unit: what it reads from the layers before it, and who reads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from micrographia.errors import BadValue
from micrographia.model.direct import Direct, direct, wiring
from micrographia.model.graph import LayerGraph
from micrographia.unit import Unit

# a connection is of one sign where the mass of that sign is at least this many times the other's
DOMINANCE = 2.0


@dataclass(frozen=True, eq=False)
class Link:
    """A direct connection from one unit to another.

    `norm` is the kernel's L2 norm and `share` its square as a part of the squares of all inputs of the target.
    `positive` and `negative` are the sums of the positive weights and of the others without their sign; `sign` is
    "excitatory" or "inhibitory" where one of them is at least twice the other, otherwise "mixed". `via` is the
    convolution or shortcut that it goes through, and `through` the poolings and norms before that.
    """

    source: Unit
    target: Unit
    via: str
    norm: float
    share: float
    positive: float
    negative: float
    sign: str
    kernel: Float[np.ndarray, "height width"]
    through: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain values; the kernel as rows of numbers."""
        plain = {name: getattr(self, name) for name in ("via", "norm", "share", "positive", "negative", "sign")}
        return {
            "source": str(self.source), "target": str(self.target), **plain, "kernel": self.kernel.tolist(),
            "through": list(self.through),
        }  # fmt: skip


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The strongest connections of one unit in one direction, strongest first, and what they leave out.

    `count` is the number of all its connections in that direction, `total` the L2 norm over all of them, and `covered`
    the part of the total's square that `links` make up.
    """

    unit: Unit
    links: tuple[Link, ...]
    count: int
    total: float
    covered: float

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        links = [link.to_json() for link in self.links]
        return {
            "unit": str(self.unit),
            "count": self.count,
            "total": self.total,
            "covered": self.covered,
            "links": links,
        }


def strongest_inputs(
    graph: LayerGraph, layer: str, k: int = 6, wires: Mapping[str, tuple[Direct, ...]] | None = None
) -> list[Neighbours]:
    """The k strongest inputs of every unit of a layer, by the L2 norm of their kernels, one entry per unit.

    The inputs are units of the nearest main layers above, or the picture's channels `input:0` to `input:2`. `wires` are
    the network's `wiring(graph)`, for those who ask for many layers. Raises BadAddress, and BadValue for k below 1 and
    for a layer that is not made of convolutions. Ranking: Olah et al., Early Vision (Distill 2020).

    >>> strongest_inputs(graph, "mixed3b")[379].links[0].source  # doctest: +SKIP
    Unit(layer='mixed3b_5x5_bottleneck', channel=7, position=None)
    """
    _check(k)
    name = graph.layer(layer).name
    parts = direct(graph, name) if wires is None or name not in wires else wires[name]
    norms = [_square_norms(part) for part in parts]
    found = []
    for start, stop, chosen in _runs(parts):
        squares = np.concatenate([norms[i][start - parts[i].first : stop - parts[i].first] for i in chosen], 1)
        # where each column of the joint table comes from
        owner = np.repeat(chosen, [norms[i].shape[1] for i in chosen])
        column = np.concatenate([np.arange(norms[i].shape[1]) for i in chosen])
        total = squares.sum(1)
        best = _strongest(squares, k)
        for row, channel in enumerate(range(start, stop)):
            links = tuple(
                _link(
                    parts[owner[j]], name, channel - parts[owner[j]].first, int(column[j]), squares[row, j], total[row]
                )
                for j in best[row]
            )
            found.append(_neighbours(Unit(name, channel), links, squares.shape[1], total[row], squares[row, best[row]]))
    return found


def strongest_users(
    graph: LayerGraph, layer: str, k: int = 6, wires: Mapping[str, tuple[Direct, ...]] | None = None
) -> list[Neighbours]:
    """The k units that read each unit of a layer most strongly, by the L2 norm of the kernel; the inverse of inputs.

    They are units of main layers, or of fully connected ones. A link's `share` is the part of its user's inputs that it
    makes up. A unit that nothing reads has no links. Raises BadAddress, and BadValue for k below 1.

    >>> strongest_users(graph, "mixed3a")[147].links[0].target.layer  # doctest: +SKIP
    'mixed3b_3x3_bottleneck'
    """
    _check(k)
    name = graph.layer(layer).name
    uses: list[list[tuple[np.ndarray, Direct, str, Int[np.ndarray, " user"], int, np.ndarray]]]
    uses = [[] for _ in range(graph.layer(name).channels)]
    for user, parts in (wiring(graph) if wires is None else wires).items():
        if not any(name in part.layers for part in parts):
            continue
        norms = [_square_norms(part) for part in parts]
        totals = np.zeros(graph.layer(user).channels)
        for part, squares in zip(parts, norms, strict=True):
            totals[part.first : part.first + len(squares)] += squares.sum(1)
        for part, squares in zip(parts, norms, strict=True):
            width = squares.shape[1]
            span = len(squares) // part.groups
            for number, (source, channel) in enumerate(zip(part.layers, part.channels, strict=True)):
                if source == name:
                    rows = slice(number // width * span, (number // width + 1) * span)
                    outs = np.arange(rows.start, rows.stop)
                    uses[channel].append((squares[rows, number % width], part, user, outs, number % width, totals))
    return [_users(Unit(name, channel), found, k) for channel, found in enumerate(uses)]


def _users(unit: Unit, found: list[Any], k: int) -> Neighbours:
    if not found:
        return Neighbours(unit, (), 0, 0.0, 0.0)
    squares = np.concatenate([each[0] for each in found])
    owner = np.repeat(np.arange(len(found)), [len(each[0]) for each in found])
    place = np.concatenate([np.arange(len(each[0])) for each in found])
    best = _strongest(squares[None], k)[0]
    links = []
    for j in best:
        _, part, user, outs, column, totals = found[owner[j]]
        out = int(outs[place[j]])
        links.append(_link(part, user, out, column, squares[j], totals[part.first + out]))
    return _neighbours(unit, tuple(links), len(squares), squares.sum(), squares[best])


def _neighbours(
    unit: Unit, links: tuple[Link, ...], count: int, total: float, covered: Float[np.ndarray, " link"]
) -> Neighbours:
    return Neighbours(unit, links, count, float(np.sqrt(total)), float(covered.sum() / total) if total else 0.0)


def _square_norms(part: Direct) -> Float[np.ndarray, "out in"]:
    return np.einsum("oihw,oihw->oi", part.kernels, part.kernels, dtype=np.float64)


def _runs(parts: tuple[Direct, ...]) -> list[tuple[int, int, list[int]]]:
    """Stretches of the layer's channels that the same parts write: (start, stop, which)."""
    edges = sorted({edge for part in parts for edge in (part.first, part.first + len(part.kernels))})
    runs = []
    for start, stop in pairwise(edges):
        chosen = [i for i, part in enumerate(parts) if part.first <= start < part.first + len(part.kernels)]
        if chosen:
            runs.append((start, stop, chosen))
    return runs


def _strongest(squares: Float[np.ndarray, "unit other"], k: int) -> Int[np.ndarray, "unit best"]:
    """The columns of the k largest of each row, largest first; the lower column first where two are equal."""
    return np.argsort(-squares, axis=1, kind="stable")[:, :k]


def _link(part: Direct, target: str, out: int, column: int, square: float, total: float) -> Link:
    kernel = part.kernels[out, column].copy()
    number = part.input_of(out, column)
    positive = float(np.maximum(kernel, 0).sum(dtype=np.float64))
    negative = float(-np.minimum(kernel, 0).sum(dtype=np.float64))
    return Link(
        Unit(part.layers[number], int(part.channels[number])),
        Unit(target, part.first + out),
        part.via,
        float(np.sqrt(square)),
        float(square / total) if total else 0.0,
        positive,
        negative,
        sign_of(positive, negative),
        kernel,
        part.through,
    )


def sign_of(positive: float, negative: float) -> str:
    """ "excitatory", "inhibitory" or "mixed", from a kernel's mass of either sign.

    >>> sign_of(3.0, 1.0), sign_of(1.0, 2.5), sign_of(1.0, 0.9)
    ('excitatory', 'inhibitory', 'mixed')
    """
    if positive > 0 and positive >= DOMINANCE * negative:
        return "excitatory"
    return "inhibitory" if negative > 0 and negative >= DOMINANCE * positive else "mixed"


def _check(k: int) -> None:
    if k < 1:
        raise BadValue(f"k is {k}. Ask for at least one connection per unit.")
