"""probe(graph, chain, target, images): what flows through a chain of layers on the pictures of a test.

From each picture two windows are taken: the one where the target fires most, and one at random. A window is just as
large as the part of the base layer that the target's cell sees, so that no border comes into it and nothing beyond it
is computed; where the target sees the whole map, the window is the map.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from micrographia.circuits.chain import Chain
from micrographia.circuits.stage import Entry, Reader
from micrographia.errors import BadAddress, BadValue
from micrographia.model.capture import capture
from micrographia.model.graph import LayerGraph
from micrographia.unit import Unit

Values = Float[Tensor, " window"]
ABLATIONS = ("zero", "mean", "resample", "shuffle")


@dataclass(frozen=True)
class Target:
    """What a circuit is for: a unit, or a direction of several units of one layer, with a name.

    >>> str(Target("mixed3b", ((379, 1.0),)))
    'mixed3b:379'
    """

    layer: str
    members: tuple[tuple[int, float], ...]
    name: str = ""

    def __str__(self) -> str:
        return f"{self.layer}:{self.name or self.members[0][0]}"


_TERM = re.compile(r"([+-]?)(?:([0-9]*\.?[0-9]+)\*)?([0-9]{1,9})")


def target(graph: LayerGraph, what: str | Unit | Mapping[str, float], name: str = "direction") -> Target:
    """A unit by its address, or the direction that sums units with these weights; raises BadAddress and BadValue.

    A direction is written as an address too, with a sign before each channel and, where it is not 1, a weight:
    `mixed3b:379+385-12`, `mixed3b:+379-385`, `mixed3b:379-0.5*12`. (`mixed3b:379-385` are the units 379 to 385.)

    >>> target(graph, {"mixed3b:379": 1.0, "mixed3b:385": -1.0}, "left over right")  # doctest: +SKIP
    """
    if isinstance(what, str) and any(sign in what.partition(":")[2] for sign in "+*"):
        name = what.partition(":")[2]
        what = _terms(what)
    if not isinstance(what, Mapping):
        units = graph.units(f"{what.layer}:{what.channel}" if isinstance(what, Unit) else what)
        if len(units) != 1:
            raise BadValue(
                f"'{what}' names {len(units)} units. A circuit is for one unit or one direction. Write a direction "
                "with its signs, such as mixed3b:+379-385."
            )
        return Target(units[0].layer, ((units[0].channel, 1.0),))
    members: dict[int, float] = {}
    layers = set()
    for address, weight in what.items():
        for unit in graph.units(address):
            layers.add(unit.layer)
            members[unit.channel] = members.get(unit.channel, 0.0) + float(weight)
    if len(layers) != 1 or not any(members.values()):
        raise BadValue("A direction needs units of one layer with weights that are not all 0. Give some.")
    return Target(layers.pop(), tuple(sorted(members.items())), name)


def _terms(text: str) -> dict[str, float]:
    """The units and weights of a direction such as layer:379+385-0.5*12; raises BadAddress."""
    layer, _, rest = text.partition(":")
    found: dict[str, float] = {}
    place = 0
    for match in _TERM.finditer(rest):
        if match.start() != place or not (match[1] or place == 0):
            break
        address = f"{layer}:{match[3]}"
        found[address] = found.get(address, 0.0) + (-1 if match[1] == "-" else 1) * float(match[2] or 1)
        place = match.end()
    if place != len(rest):
        raise BadAddress(
            f"'{text}' is not a direction: '{rest[place:]}' cannot be read. Write channels with signs and weights, "
            "such as mixed3b:379+385-0.5*12."
        )
    return found


class _Once:
    """Values that are computed at their first use."""

    def __init__(self) -> None:
        self.known: dict[tuple[int, str], Tensor] = {}

    def get(self, key: tuple[int, str], make: Callable[[], Tensor]) -> Tensor:
        if key not in self.known:
            with torch.no_grad():
                self.known[key] = make()
        return self.known[key]


@dataclass(frozen=True, eq=False)
class Probe:
    """What flows on some windows: `reads` are the layers' values as their readers see them, without the target's layer.

    `ratios` holds what response norms do to each layer (see Stage.ratios). `values` is the target's pre-activation at
    `cells`, one (row, column) for each window; `pictures` the number of the picture each window is from.
    """

    chain: Chain
    target: Target
    readers: tuple[tuple[Reader, float], ...]
    reads: tuple[Float[Tensor, "window _channel _height _width"], ...]
    ratios: tuple[list[Tensor], ...]
    values: Values
    cells: tuple[tuple[int, int], ...]
    pictures: tuple[int, ...]
    _once: _Once = field(default_factory=_Once, repr=False)

    def __len__(self) -> int:
        return len(self.cells)

    def whole(self, layer: int, entry: Entry) -> Tensor:
        """What an entry gives on the natural values, computed once."""
        return self._once.get((layer, entry.key), lambda: entry.of(self.before(layer, entry)))

    def before(self, layer: int, entry: Entry) -> Tensor:
        """What an entry reads of the same values, computed once."""
        return self._once.get((layer, f"<{entry.source}"), lambda: entry.before(self.reads[layer]))

    def at_cells(self, maps: Float[Tensor, "_ 1 height width"]) -> Values:
        """One value from each window's map, at its cell; a map that is the same for all windows counts for each."""
        rows = [row for row, _ in self.cells]
        columns = [column for _, column in self.cells]
        which = torch.arange(len(self)) if len(maps) == len(self) else torch.zeros(len(self), dtype=torch.long)
        return maps[which, 0, rows, columns]


def probe(
    graph: LayerGraph,
    chain: Chain,
    target: Target,
    images: Float[Tensor, "picture channel height width"],
    seed: int = 0,
) -> Probe:
    """Run pictures (values 0..1) up to the target and take two windows from each: the best one and a random one.

    Raises BadValue for pictures that do not fit and for a target that is dead: the same on all of them.

    >>> probe(graph, chain(graph, "mixed3b", 2), target(graph, "mixed3b:379"), pictures).values.shape  # doctest: +SKIP
    torch.Size([48])
    """
    base, last = chain.stages[0], len(chain.stages) - 1
    name = chain.layers[0]
    value = capture(graph, images, name)[name]
    readers = tuple((chain.stages[last].reader(channel, True), weight) for channel, weight in target.members if weight)
    whole = base.read(value)
    with torch.no_grad():
        here = whole
        for stage, after in zip(chain.stages, chain.stages[1:], strict=False):
            here = after.read(stage.full(here))
        maps = _target_maps(readers, here)
    if float(maps.std()) <= 1e-6 * float(maps.abs().max()) or not bool(torch.isfinite(maps).all()):
        raise BadValue(
            f"{target} is dead: its value is the same everywhere on these {len(images)} pictures. Choose a unit that "
            "fires, for example one that micrographia examples shows, or give other pictures."
        )
    window = _window(chain, whole.shape[2:], maps.shape[2:])
    rng = np.random.default_rng(seed)
    cut, cells, pictures = [], [], []
    for number, each in enumerate(maps[:, 0]):
        for cell in _cells(each, window, rng):
            cut.append(whole[number] if window is None else _part(whole[number], window, cell))
            cells.append(cell if window is None else window.margin)
            pictures.append(number)
    # the base's own ratios are never needed: its values are natural
    reads, ratios = [torch.stack(cut)], list[list[Tensor]]([[]])
    with torch.no_grad():
        for stage, after in zip(chain.stages, chain.stages[1:], strict=False):
            natural = stage.full(reads[-1])
            ratios.append(after.ratios(natural))
            reads.append(after.read(natural))
        final = _target_maps(readers, reads[-1])
    blank = whole.new_zeros(len(cells))
    raw = Probe(chain, target, readers, tuple(reads), tuple(ratios), blank, tuple(cells), tuple(pictures))
    return replace(raw, values=raw.at_cells(final))


def _target_maps(readers: tuple[tuple[Reader, float], ...], read: Tensor) -> Tensor:
    maps = [weight * reader([entry.whole(read) for entry in reader.entries]) for reader, weight in readers]
    total: Tensor = torch.stack(maps).sum(0)
    return total


@dataclass(frozen=True)
class _Window:
    """A part of the base: its size, its stride to the target's cells, the target's cell in it, where cells may be."""

    size: tuple[int, int]
    stride: tuple[int, int]
    margin: tuple[int, int]
    first: tuple[int, int]
    last: tuple[int, int]


def _window(chain: Chain, base: tuple[int, ...], cells: tuple[int, ...]) -> _Window | None:
    """The smallest window, or None where it would save little or no cell is far enough from every border."""
    if chain.reach is None:
        return None
    numbers = []
    for field_, extent, count in zip(chain.reach, base, cells, strict=True):
        if any(abs(each - round(each)) > 1e-6 for each in (field_.scale, field_.low, field_.high)):
            return None
        stride = max(1, round(field_.scale))
        margin = max(0, math.ceil(-round(field_.low) / stride))
        size = stride * margin + round(field_.high) + 1
        last = min(count - 1, (extent - size) // stride + margin)
        numbers.append((size, stride, margin, margin, last))
    sizes, strides, margins, firsts, lasts = zip(*numbers, strict=True)
    room = [b - a + 1 for a, b in zip(firsts, lasts, strict=True)]
    if min(room) < 2 or sizes[0] * sizes[1] > 0.7 * base[0] * base[1]:
        return None
    return _Window(sizes, strides, margins, firsts, lasts)


def _part(
    base: Float[Tensor, "channel height width"], window: _Window, cell: tuple[int, int]
) -> Float[Tensor, "channel rows columns"]:
    top, left = (s * (c - m) for c, s, m in zip(cell, window.stride, window.margin, strict=True))
    return base[:, top : top + window.size[0], left : left + window.size[1]]


def _cells(
    maps: Float[Tensor, "height width"], window: _Window | None, rng: np.random.Generator
) -> list[tuple[int, int]]:
    """The cell of the largest value and one at random."""
    first = (0, 0) if window is None else window.first
    last = (maps.shape[0] - 1, maps.shape[1] - 1) if window is None else window.last
    inside = maps[first[0] : last[0] + 1, first[1] : last[1] + 1]
    best = np.unravel_index(int(inside.argmax()), tuple(inside.shape))
    other = rng.integers(inside.shape[0]), rng.integers(inside.shape[1])
    return [(first[0] + int(row), first[1] + int(column)) for row, column in (best, other)]


@dataclass(frozen=True, eq=False)
class Ablated:
    """What the readers of each layer see of an ablated unit: a value for all windows, or one for each."""

    kind: str
    reads: tuple[Float[Tensor, "_ _channel _height _width"], ...]
    _once: _Once = field(default_factory=_Once, repr=False)

    def whole(self, layer: int, entry: Entry) -> Tensor:
        """What an entry gives where every unit of the layer is ablated, computed once."""
        return self._once.get((layer, entry.key), lambda: entry.of(self.before(layer, entry)))

    def before(self, layer: int, entry: Entry) -> Tensor:
        """What an entry reads of the same values, computed once."""
        return self._once.get((layer, f"<{entry.source}"), lambda: entry.before(self.reads[layer]))


def ablated(probe: Probe, kind: str = "mean", seed: int = 0) -> Ablated:
    """Values that take the information out of units: "zero", each unit's "mean" over all windows and places, a
    "resample" (its map on another picture, the same one for all units) or a "shuffle" of its own map's places.

    Raises BadValue for another word.
    """
    if kind not in ABLATIONS:
        raise BadValue(f"Units cannot be ablated to '{kind}'. Choose {', '.join(ABLATIONS)}.")
    rng = np.random.default_rng(seed)
    count = len(probe)
    if kind == "zero":
        return Ablated(kind, tuple(torch.zeros_like(read[:1]) for read in probe.reads))
    if kind == "mean":
        return Ablated(kind, tuple(read.mean((0, 2, 3), keepdim=True).expand_as(read[:1]) for read in probe.reads))
    if kind == "resample":
        others = [_another(probe.pictures, number, rng) for number in range(count)]
        return Ablated(kind, tuple(read[others] for read in probe.reads))
    shuffled = []
    for read in probe.reads:
        orders = np.stack([rng.permutation(read[0, 0].numel()) for _ in range(count)])
        order = torch.from_numpy(orders)[:, None].expand(-1, read.shape[1], -1)
        shuffled.append(read.flatten(2).gather(2, order).reshape(read.shape))
    return Ablated(kind, tuple(shuffled))


def _another(pictures: tuple[int, ...], number: int, rng: np.random.Generator) -> int:
    """A window of another picture."""
    others = [each for each, picture in enumerate(pictures) if picture != pictures[number]]
    return int(rng.choice(others or range(len(pictures))))
