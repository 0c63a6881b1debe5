"""What photographs say of units, and how optimised pictures compare: where they stand, which path they take."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8

from micrographia.console import Stages, silent
from micrographia.errors import BadValue
from micrographia.images.fit import fit
from micrographia.images.source import ImageSource, batches, read
from micrographia.model.graph import Layer, LayerGraph
from micrographia.optvis.path import Path, Trace, path, path_layers, trace_of
from micrographia.publish.standing import share_below
from micrographia.publish.store import Store, get
from micrographia.study.examples import Survey, survey
from micrographia.study.null import benjamini_hochberg
from micrographia.unit import Unit

EXAMPLES, OTHERS, LEAST = 3, 199, 19  # examples a unit; other units in the null, and the fewest that will do

Place = tuple[int, int, int]  # picture, row, column
Pixels = Float[np.ndarray, "_ _ _"]  # height width channel, values 0..1


@dataclass(frozen=True, eq=False)
class Natural:
    """What a data set says of one unit: its activations as a histogram, the greatest, and where the strongest are."""

    pictures: int
    greatest: float
    edges: Float[np.ndarray, " edge"]
    counts: Int[np.ndarray, " bin"]
    examples: tuple[Place, ...]

    def standing(self, reached: float) -> dict[str, float | int]:
        """What a picture reaches against the data set.

        `greatest` of all positions in all `pictures`, `ratio` to it, and `above`, the share of activations below.
        """
        ratio = {"ratio": reached / self.greatest} if self.greatest > 0 else {}
        above = share_below(reached, self.edges, self.counts, self.greatest)
        return {"pictures": self.pictures, "greatest": self.greatest, **ratio, "above": above}


Naturals = Mapping[int, Natural]
"""The units of a layer by channel."""


def surveyed(
    graph: LayerGraph, source: ImageSource, layers: Sequence[str], stages: Stages = silent
) -> dict[str, Naturals]:
    """Run the pictures through the network once, for all units of the layers. Raises BadImages and BadValue."""
    card = graph.card
    if card.channels != 3:
        raise BadValue(
            f"{card.name} reads pictures of {card.channels} channels, and '{source.place}' holds colour ones. "
            "Leave the pictures out."
        )
    stream = batches(source, card.resize, card.size, 32, interpolation=card.interpolation)
    advance = stages("pictures", len(source))
    found = survey(graph, stream, layers, keep=EXAMPLES, progress=advance)
    return {name: {unit: _of(each, unit) for unit in range(len(each.values))} for name, each in found.items()}


def _of(found: Survey, channel: int) -> Natural:
    edges, counts = found.histogram.trimmed(channel)
    places = np.concatenate([found.pictures[channel][:, None], found.positions[channel]], 1)
    examples = tuple((int(p), int(r), int(c)) for p, r, c in places)
    return Natural(found.seen, float(found.greatest[channel]), edges, counts, examples)


def stored(store: Store, source: ImageSource, layer: str) -> Naturals:
    """What the store's records of examples and activations say of a layer's units; units without both are left out."""
    number = {name: index for index, name in enumerate(source.names)}
    found = {}
    for channel in range(int(store.layer(layer)["channels"])):
        unit = Unit(layer, channel)
        seen, activation = get(store, unit, "examples"), get(store, unit, "activation")
        if seen is None or activation is None:
            continue
        places = tuple(
            (number[each["picture"]], int(each["position"][0]), int(each["position"][1]))
            for each in seen.values["examples"][:EXAMPLES]
            if each["picture"] in number and each.get("position")
        )
        values = activation.values
        edges, counts = (np.array(values["histogram"][name]) for name in ("edges", "counts"))
        found[channel] = Natural(
            int(values["pictures"]), float(values["max"]), edges.astype(np.float64), counts.astype(np.int64), places
        )
    return found


def paths(
    graph: LayerGraph, source: ImageSource, natural: Naturals, made: Mapping[Unit, Pixels], seed: int = 0
) -> dict[Unit, Path]:
    """The path check of the pictures of one layer's units, each p-value corrected for all (Benjamini-Hochberg 1995).

    Natural examples are cut from their pictures as large as the unit's picture, around the cell that answered. The null
    takes examples of up to 199 other units, drawn by `seed`. Left out are units that no picture excites, and all of the
    first layer, or of one with fewer than 20 units that some picture excites.
    """
    awake = [channel for channel, each in natural.items() if each.greatest > 0 and each.examples]
    judged = {unit: image for unit, image in made.items() if unit.channel in awake}
    if not judged or len(awake) <= LEAST:
        return {}
    layer = next(iter(judged)).layer
    rng = np.random.default_rng(_number(f"{seed} {layer}"))
    drawn = [int(each) for each in rng.permutation(awake)[: OTHERS + 1]]
    layers = path_layers(graph, layer)
    found: dict[Unit, Path] = {}
    sizes: dict[tuple[int, int], list[Unit]] = {}
    for unit, image in judged.items():
        sizes.setdefault((image.shape[0], image.shape[1]), []).append(unit)
    for size, units in sizes.items() if layers else ():
        wanted = dict.fromkeys([unit.channel for unit in units] + drawn)
        places = {channel: natural[channel].examples for channel in wanted}
        examples = _traces(graph, source, graph.layer(layer), layers, places, size)
        means = {name: np.stack([examples[channel][name].mean(0) for channel in drawn]) for name in layers}
        pictures = torch.from_numpy(np.stack([judged[unit].transpose(2, 0, 1) for unit in units]))
        made_traces = trace_of(graph, layers, pictures)
        for row, unit in enumerate(units):
            mine = {name: values[row : row + 1] for name, values in made_traces.items()}
            rest = [place for place, channel in enumerate(drawn) if channel != unit.channel][:OTHERS]
            others = {name: values[rest] for name, values in means.items()}
            found[unit] = path(unit, mine, examples[unit.channel], others)
    return _corrected(found)


def _number(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def _corrected(found: dict[Unit, Path]) -> dict[Unit, Path]:
    corrected = benjamini_hochberg(np.array([each.finding.p for each in found.values()]))
    return {
        unit: replace(each, finding=replace(each.finding, corrected=float(value)))
        for (unit, each), value in zip(found.items(), corrected, strict=True)
    }


def _traces(
    graph: LayerGraph,
    source: ImageSource,
    layer: Layer,
    layers: Sequence[str],
    places: Mapping[int, Sequence[Place]],
    size: tuple[int, int],
) -> dict[int, Trace]:
    """The traces of each channel's examples, cut to `size` (height, width) px; pictures that are gone are left out."""
    wanted: dict[int, list[tuple[int, int, int]]] = {}
    for channel, each in places.items():
        for index, row, column in each:
            wanted.setdefault(index, []).append((channel, row, column))
    crops: list[UInt8[np.ndarray, "channel height width"]] = []
    owner: list[int] = []
    card = graph.card
    for picture in read(source, sorted(wanted)):
        whole = fit(picture.image, card.resize, card.size, card.interpolation)
        for channel, row, column in wanted[picture.index]:
            top, left = corner(layer, (row, column), size, card.size)
            crops.append(whole[:, top : top + size[0], left : left + size[1]])
            owner.append(channel)
    pixels = torch.from_numpy(np.stack(crops)).float() / 255
    trace, owners = trace_of(graph, layers, pixels), np.array(owner)
    return {channel: {name: values[owners == channel] for name, values in trace.items()} for channel in places}


def corner(layer: Layer, position: tuple[int, int], size: tuple[int, int], whole: tuple[int, int]) -> tuple[int, int]:
    """Top and left px of a window of `size` around what a cell sees, moved inside the `whole` picture.

    >>> corner(Layer("x", "conv", (1, 5, 5), stride=(2.0, 2.0), offset=(0.0, 0.0)), (2, 0), (5, 5), (9, 9))
    (2, 0)
    """
    if layer.stride is None or layer.offset is None:
        middle = [(n - 1) / 2 for n in whole]
    else:
        middle = [o + s * cell for o, s, cell in zip(layer.offset, layer.stride, position, strict=True)]
    rounded = [round(m - (n - 1) / 2) for m, n in zip(middle, size, strict=True)]
    top, left = (min(max(first, 0), n - m) for first, m, n in zip(rounded, size, whole, strict=True))
    return top, left
