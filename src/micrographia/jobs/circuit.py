"""The circuit card of one unit: its inputs and users with their pictures, the check over pictures, and the figure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from micrographia import __version__
from micrographia.circuits.card import Card, Input, card, checked, user
from micrographia.circuits.explained import Explained
from micrographia.console import Stages, silent
from micrographia.errors import BadAddress, BadValue
from micrographia.images.bundled import open_images
from micrographia.images.source import ImageSource, batches
from micrographia.jobs.portraits import Examples, Portrait, found_examples, kept, opened, portraits, stored_examples
from micrographia.model.graph import Layer, LayerGraph
from micrographia.publish import atomic, urls
from micrographia.publish.card import Curve, Neighbour, Sheet, draw_card
from micrographia.publish.draw import Tile
from micrographia.publish.plot import FORMATS
from micrographia.publish.scatter import kernel_tile
from micrographia.publish.words import number, percent, square
from micrographia.study.neighbours import Link
from micrographia.unit import Unit

BATCH = 8  # pictures that are taken apart at once, which bounds the memory
COLOURS = {"R": "red", "G": "green", "B": "blue"}


@dataclass(frozen=True)
class Wanted:
    """How to make a card. `k` None is 6 or, where there are fewer, all inputs; `pictures` of `images` make the check.

    `way` is "direct", "expanded", or "auto", which goes through a 1x1 bottleneck where there is one. What `store` has
    is taken from it; users that it has not observed stay without a picture.
    """

    k: int | None = None
    way: str = "auto"
    images: str = "bundled"
    pictures: int = 32
    store: Path | None = None
    quality: str = "thumbnail"
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Circuit:
    """A unit's card with what its figure shows; `notes` are the sentences on it."""

    card: Card
    wanted: Wanted
    portraits: dict[Unit, Portrait]
    examples: Examples
    notes: tuple[str, ...]
    network: str
    fingerprint: str
    layer: Layer

    def to_json(self) -> dict[str, Any]:
        """Plain values, as `circuit --json` prints them."""
        mine = self.portraits.get(self.card.unit)
        facts = {"reached": mine.reached, "dead": mine.dead} if mine else None
        arguments = asdict(self.wanted) | {"store": None if self.wanted.store is None else str(self.wanted.store)}
        return {
            "network": self.network, "fingerprint": self.fingerprint, "version": __version__, "arguments": arguments,
            **self.card.to_json(), "optimised": facts, "examples": list(self.examples.lines), "notes": list(self.notes),
        }  # fmt: skip


def one_unit(graph: LayerGraph, address: str) -> Unit:
    """The one unit at an address; raises BadAddress where it names none or several.

    >>> one_unit(graph, "mixed3b:379")  # doctest: +SKIP
    Unit('mixed3b', 379)
    """
    units = graph.units(address)
    if len(units) != 1 or ":" not in address:
        raise BadAddress(f"'{address}' names {len(units)} units. Name one, like {units[0]}.")
    return units[0]


def sampled(source: ImageSource, count: int, seed: int) -> list[int]:
    """So many pictures of a source, drawn at random, or all where there are fewer; raises BadValue below 1.

    >>> len(sampled(open_images(), 5, seed=0))
    5
    """
    if count < 1:
        raise BadValue(f"{count} pictures cannot be looked at. Ask for 1 or more.")
    return sorted(np.random.default_rng(seed).permutation(len(source))[:count].tolist())


def circuit(graph: LayerGraph, address: str, wanted: Wanted, stages: Stages = silent) -> Circuit:
    """The card of the unit at `address`, with its check and its pictures.

    Raises BadAddress, BadImages, BadStore, and BadValue for a unit without inputs, k above their number, and a unit
    that no picture wakes, optimised or photographed.

    >>> circuit(graph, "mixed3a:130", Wanted()).card.check.share  # doctest: +SKIP
    0.2
    """
    unit = one_unit(graph, address)
    found = card(graph, unit, wanted.k, wanted.way)
    store = opened(wanted.store, graph)
    source = open_images(wanted.images)
    indices = sampled(source, wanted.pictures, wanted.seed)
    size = graph.card
    stream = batches(source, size.resize, size.size, BATCH, indices, size.interpolation)
    found = checked(graph, found, (pictures for _, pictures in stream), wanted.seed)
    looks = portraits(graph, shown(found, store is None), store, wanted.quality, wanted.seed, stages)
    if store is not None:
        looks |= kept(graph, [each.target for each in found.users], store)
    mine = looks.get(unit)
    if mine and mine.dead and found.check is not None and found.check.greatest <= 0:
        raise BadValue(
            f"{unit} is dead: no optimised picture wakes it, and it stays at or below 0 on {found.check.pictures} "
            f"pictures. Choose another unit of {unit.layer}."
        )
    examples = stored_examples(store, unit) or found_examples(graph, source, indices, unit)
    notes = tuple(sentences(found, found.check))
    return Circuit(
        found, wanted, looks, replace(examples, tiles=examples.tiles[:9]), notes, graph.card.name, graph.fingerprint,
        made_by_layer(graph, unit),
    )  # fmt: skip


def shown(found: Card, users: bool) -> list[Unit]:
    """The units of a card that are to have a picture in any case: without a store, the users too."""
    readers = [each.target for each in found.users] if users else []
    return [found.unit, *(each.unit for each in found.inputs), *readers]


def sentences(found: Card, check: Explained | None) -> list[str]:
    """The numbers of a card in words."""
    k, rest = len(found.inputs), found.count - len(found.inputs)
    lines = []
    if found.pixels:
        lines.append(f"It reads the picture: {found.count} channels.")
    elif rest:
        lines.append(
            f"The {k} strongest of {number(found.count)} inputs hold {percent(found.covered)} of the squared norm, "
            f"the other {number(rest)} hold {percent(1 - found.covered)}."
        )
    else:
        lines.append(f"These are all {k} inputs.")
    if found.through:
        lines.append(f"Between: {', '.join(found.through)}.")
    if check is None:
        return [*lines, f"How much they explain was not measured: {found.problem}"]
    if check.p is not None and check.null_median is not None and check.null_95 is not None:
        lines.append(
            f"Over {check.pictures} pictures the {k} explain R² = {number(round(check.share, 3))} of the "
            f"pre-activation (95 % interval {number(round(check.low, 3))} to {number(round(check.high, 3))}). "
            f"{k} inputs drawn at random: median {number(round(check.null_median, 3))}, 95 % below "
            f"{number(round(check.null_95, 3))}; p = {number(check.p)}."
        )
    if check.linear is not None:
        lines.append(
            "Rectifiers between count as they are on each picture. Without them, as the kernels are drawn, the sum "
            f"over all inputs correlates {check.linear:.2f} with the pre-activation."
        )
    lines.append(f"All inputs and the bias give the pre-activation to {number(check.residual)} of its largest value.")
    lines.append(f"It is above 0 in {percent(check.active)} of {number(check.cells)} cells.")
    return lines


def write_circuit(graph: LayerGraph, result: Circuit, out: Path, kind: str = "png") -> Path:
    """Write the figure and its numbers as LAYER-CHANNEL.png and .json; returns the figure's path.

    Raises BadStore, and BadValue for another kind of file.
    """
    check_format(kind)
    name = "-".join(urls.folder(result.card.unit).parts)
    body = (json.dumps(result.to_json(), indent=1, ensure_ascii=False) + "\n").encode()
    drawing = draw_card(_sheet(graph, result), kind)
    atomic.write(out, {f"{name}.{kind}": drawing, f"{name}.json": body})
    return out / f"{name}.{kind}"


def check_format(kind: str) -> None:
    """Raise BadValue for a kind of figure that cannot be written."""
    if kind not in FORMATS:
        raise BadValue(f"A card cannot be written as '{kind}'. Choose {', '.join(FORMATS)}.")


def _sheet(graph: LayerGraph, result: Circuit) -> Sheet:
    found, layer = result.card, result.layer
    mine, check = result.portraits.get(found.unit), found.check
    kernel = "" if layer.window is None else f" {square(list(layer.window.kernel))}"
    sees = "" if layer.receptive_field is None else f", sees {square(list(layer.receptive_field))} px"
    examples = result.examples
    best = f", up to {number(examples.lines[0]['value'])}" if examples.lines else ""
    where = f", through {found.through[-1]}" if found.way == "expanded" else ""
    return Sheet(
        title=str(found.unit),
        lead=[f"{result.network}, {layer.name}: {layer.op}{kernel}{sees}. Weights {result.fingerprint[:12]}."],
        portrait=None if mine is None else mine.picture,
        portrait_note=_portrait_note(mine),
        examples=examples.tiles,
        examples_note=f"strongest in the pictures{best}",
        heading=_heading(found, result) + where,
        inputs=[_input(graph, each, result) for each in found.inputs],
        users_heading=f"Read most strongly by {len(found.users)} of {number(found.users_count)}",
        users=[_user(each, result) for each in found.users],
        facts=result.notes,
        own=own_kernel(graph, found),
        curve=None if check is None or found.pixels else Curve(
            check.steps, check.curve, check.null_low, check.null_middle, check.null_high, check.k
        ),
    )  # fmt: skip


def _portrait_note(mine: Portrait | None) -> str:
    if mine is None:
        return ""
    return "stayed dead: no picture wakes it" if mine.dead else f"optimised picture, reaches {number(mine.reached)}"


def _heading(found: Card, result: Circuit) -> str:
    if found.pixels:
        return "It reads pixels: the kernel itself"
    return f"Its {len(found.inputs)} strongest inputs of {number(found.count)}"


def _input(graph: LayerGraph, each: Input, result: Circuit) -> Neighbour:
    look = result.portraits.get(each.unit)
    return Neighbour(
        input_name(graph, each.unit), None if look is None else look.picture, each.share, each.positive, each.negative,
        each.sign, each.cancelling, each.kernel,
    )  # fmt: skip


def _user(link: Link, result: Circuit) -> Neighbour:
    plain, look = user(link), result.portraits.get(link.target)
    sign = "excitatory" if plain["positive"] >= plain["negative"] else "inhibitory"
    picture: Tile | None = None if look is None else look.picture
    return Neighbour(
        str(link.target), picture, plain["share"], plain["positive"], plain["negative"], sign, plain["sign"] == "mixed"
    )


def input_name(graph: LayerGraph, unit: Unit) -> str:
    """A unit's address; a channel of the picture by its colour.

    >>> input_name(graph, Unit("input", 0))  # doctest: +SKIP
    'input:0 (red)'
    """
    colours = graph.card.order
    if graph.layer(unit.layer).op == "input" and graph.card.channels == len(colours):
        return f"{unit} ({COLOURS[colours[unit.channel]]})"
    return str(unit)


def own_kernel(graph: LayerGraph, found: Card) -> Tile | None:
    """The kernel in colour of a unit that reads pixels of three channels; None of others."""
    rows = found.reading.rows
    if not found.pixels or len(rows) != 1 or len(rows[0].kernels) != 3:
        return None
    kernel = rows[0].kernels
    return kernel_tile(kernel[::-1] if graph.card.order == "BGR" else kernel)


def made_by_layer(graph: LayerGraph, unit: Unit) -> Layer:
    """The layer that makes a unit: its branch, where the unit's own layer joins several.

    >>> made_by_layer(graph, Unit("mixed3b", 379)).name  # doctest: +SKIP
    'mixed3b_5x5'
    """
    layer = graph.layer(unit.layer)
    inside: Sequence[str] = [b.name for b in layer.branches if b.first <= unit.channel <= b.last]
    return graph.layers.get(inside[0], layer) if inside else layer
