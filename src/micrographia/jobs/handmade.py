"""handmade() and implanted(graph, ...): the curves written by hand, drawn, and in the place of a network's own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from micrographia.circuits import handmade as written
from micrographia.circuits.implant import MEASURES, Graft, Outcome, implant, tail_of
from micrographia.console import Stages, silent
from micrographia.errors import BadAddress, BadImages, BadValue
from micrographia.images.bundled import open_images
from micrographia.images.source import ImageSource, batches
from micrographia.jobs.lab import score_layer
from micrographia.jobs.tuning import LayerTuning, sheet, tuning
from micrographia.model.card import normalise
from micrographia.model.graph import LayerGraph
from micrographia.model.twin import floating_type
from micrographia.publish import atomic
from micrographia.publish.handmade import Bar, Row, beside_figure, changes_figure, kernels_figure
from micrographia.publish.plot import encoded
from micrographia.publish.tuning import tuning_figure
from micrographia.unit import Unit
from micrographia.zoo.labels import wordnet_ids

FIELD = "91px"  # width of the stimuli: what a curve detector of InceptionV1's mixed3b sees
SHOWN = 12  # directions in the figures
DRAWS = 2  # of each random control
LABELS = ("first guess right, points", "among the first five, points", "loss of the class, nats")


@dataclass(frozen=True, eq=False)
class Implanted:
    """What the implant did, and the tuning to curves of a layer (`own`) and of what was written for it (`made`)."""

    outcome: Outcome
    own: LayerTuning
    made: LayerTuning
    units: tuple[Unit, ...]
    seed: int

    def to_json(self) -> dict[str, Any]:
        """Plain values, as `handmade MODEL --json` prints them."""
        return self.outcome.to_json() | {"seed": self.seed, "tuning": [self._unit(i) for i in range(len(self.units))]}

    def _unit(self, place: int) -> dict[str, Any]:
        own, made = self.own.families["curves"], self.made.families["curves"]
        channel = self.units[place].channel
        return {"unit": str(self.units[place])} | {
            name: {key: found.of(at)[key] for key in ("preferred", "width", "echo", "curve")}
            for name, found, at in (("own", own, channel), ("made", made, place))
        }


def handmade(stages: Stages = silent) -> LayerTuning:
    """The tuning of the handwritten curves to curves.

    >>> handmade().families["curves"].preferred[0].round()  # doctest: +SKIP
    0.0
    """
    return tuning(written.curve_graph(), "curves", "curves", FIELD, pictures=0, stages=stages)


def named_units(graph: LayerGraph, text: str) -> tuple[tuple[Unit, ...], tuple[float | None, ...]]:
    """The units of `LAYER:A@DEG,B@DEG,...` and their directions, None where none is given.

    Raises BadAddress for text of another form and for units that are not there, BadValue for fewer than two and for
    one that is named twice.

    >>> named_units(graph, "mixed3b:413@360,358@179")[1]  # doctest: +SKIP
    (360.0, 179.0)
    """
    layer, _, rest = text.partition(":")
    units, directions = [], []
    for part in rest.split(","):
        channel, at, degrees = part.strip().partition("@")
        try:
            direction = float(degrees) if at else None
        except ValueError:
            direction = float("nan")
        if not channel.isdigit() or (direction is not None and not np.isfinite(direction)):
            raise BadAddress(
                f"'{text}' does not name units and their directions. Write LAYER:A@DEGREES,B@DEGREES, for example "
                "mixed3b:413@360,358@179; a direction that is left out is measured."
            )
        units += graph.units(f"{layer.strip()}:{channel}")
        directions.append(direction)
    if len(set(units)) < max(2, len(units)):
        raise BadValue(f"'{text}' names one unit alone, or one of them twice. Name two or more different ones.")
    return tuple(units), tuple(directions)


def implanted(
    graph: LayerGraph,
    text: str,
    images: str | Path,
    pictures: int = 200,
    fit: int = 50,
    seed: int = 0,
    stages: Stages = silent,
) -> Implanted:
    """Put handwritten curves into the place of a layer's own, and measure the network without and with them.

    `text` is read by `named_units`; `fit` pictures, other than the `pictures` of the test, give scale and offset.
    Raises BadAddress, BadValue (also for a network without class scores, and for a layer that paths lead around) and
    BadImages for pictures that are too few or of other classes.

    >>> implanted(graph, "mixed3b:413@360,358@179", "imagenet_1000.zip").outcome.kept  # doctest: +SKIP
    0.2
    """
    units, given = named_units(graph, text)
    layer = graph.layer(units[0].layer)
    output = score_layer(graph)
    if output is None:
        raise BadValue(f"{graph.card.name} returns no class scores, so there is no accuracy. Choose a classifier.")
    tail = tail_of(graph, layer.name, output)
    source = open_images(images)
    labels = class_numbers(source, graph.layer(output).channels)
    if min(pictures, fit) < 1 or pictures + fit > len(source):
        raise BadImages(
            f"'{images}' holds {len(source)} pictures, but {pictures} are wanted for the test and {fit} others for the "
            "fit. Ask for fewer (--pictures, --fit), 1 or more of each."
        )
    own = tuning(graph, layer.name, "curves", pictures=0, stages=stages)
    found = own.families["curves"].preferred
    directions = [float(found[u.channel]) if at is None else at for u, at in zip(units, given, strict=True)]
    for unit, direction in zip(units, directions, strict=True):
        if not np.isfinite(direction):
            raise BadValue(f"No curve excites {unit}, so that it has no direction. Give one: {unit}@DEGREES.")
    made = tuning(written.curve_graph(directions), "curves", "curves", f"{own.field:g}px", pictures=0, stages=stages)
    graft = Graft(graph.card, layer, directions).eval().to(floating_type(graph.module)[1])
    order = np.random.default_rng(seed).permutation(len(source))
    test, other = np.sort(order[:pictures]), np.sort(order[pictures : pictures + fit])
    advance = stages("pictures", pictures + fit)
    values, drawn = _maps(graph, layer.name, graft, source, test, advance)
    theirs, new = _maps(graph, layer.name, graft, source, other, advance)
    outcome = implant(
        tail, values, labels[test], units, directions, drawn, (new, theirs[:, [unit.channel for unit in units]]),
        pools(graph, units), theirs.transpose(0, 1).flatten(1).double().mean(1), DRAWS, seed=seed,
        advance=stages("networks", 5 + 4 * DRAWS),
    )  # fmt: skip
    return Implanted(outcome, own, made, units, seed)


def class_numbers(source: ImageSource, outputs: int) -> Int[np.ndarray, " picture"]:
    """The output that is each picture's class: by WordNet id where there are 1,000, otherwise the folders in order.

    Raises BadImages where the classes are not the network's.
    """
    numbers = {name: place for place, name in enumerate(wordnet_ids())} if outputs == 1000 else {}
    known = [numbers.get(name[:9]) for name in source.classes]
    if all(each is not None for each in known):
        return np.array(known, dtype=np.int64)[list(source.labels)]
    if len(source.classes) != outputs:
        raise BadImages(
            f"'{source.place}' has {len(source.classes)} classes, the network {outputs}. Give pictures of its own "
            "classes, in one folder for each."
        )
    return np.array(source.labels, dtype=np.int64)


def pools(graph: LayerGraph, units: Sequence[Unit]) -> list[list[int]]:
    """For each unit the others of its branch, or of its layer where that has none, that are not in the family."""
    family = {unit.channel for unit in units}
    layer = graph.layer(units[0].layer)
    found = []
    for unit in units:
        spans = [(b.first, b.last) for b in layer.branches if b.first <= unit.channel <= b.last]
        first, last = spans[0] if spans else (0, layer.channels - 1)
        found.append([channel for channel in range(first, last + 1) if channel not in family])
    return found


def _maps(
    graph: LayerGraph, layer: str, graft: Graft, source: ImageSource, indices: Int[np.ndarray, " picture"], advance: Any
) -> tuple[Float[Tensor, "picture channel height width"], Float[Tensor, "picture unit height width"]]:
    """A layer's maps and the handwritten ones."""
    card = graph.card
    head = graph.upto(layer)
    dtype, device = floating_type(graph.module)
    own, made = [], []
    for numbers, pictures in batches(source, card.resize, card.size, 25, indices, card.interpolation):
        images = torch.from_numpy(pictures).to(device, dtype) / 255
        with torch.no_grad():
            shown = normalise(images.mean(1, keepdim=True) if card.channels == 1 else images, card)
            own.append(head(shown)[layer])
            made.append(graft(shown))
        advance(len(numbers))
    return torch.cat(own), torch.cat(made)


def write_handmade(result: LayerTuning, out: Path, kind: str = "png") -> list[Path]:
    """Write the figures of the handwritten network, `kernels` and `tuning`, and `tuning.json`; returns the figures."""
    step = len(result.units) // SHOWN
    files = {
        f"kernels.{kind}": encoded(kernels_figure(_kernels()), kind),
        f"tuning.{kind}": encoded(tuning_figure(sheet(result, "curves", list(result.units[::step]))), kind),
    }
    return _written(out, files, "tuning.json", result.to_json())


def _kernels() -> list[Row]:
    """Some kernels of each layer, of every second direction; of the upper layers those into the unit at 0 degrees."""
    lines = tuple(f"{angle:.0f}°" for angle in written.LINES[::2])
    arcs = tuple(f"{angle:.0f}°" for angle in written.CURVES[::2])
    gabors, phases, half = written.gabors(), len(written.PHASES), len(written.CURVES)
    early, last = written.early_curves()[0], written.curves([0.0])[0]
    return [
        Row("Gabors, by orientation (the first of four phases)", lines, tuple(gabors[:: 2 * phases])),
        Row("into the line at 0° from complex Gabors of each orientation", lines, tuple(written.lines()[0, ::2])),
        Row("into the early curve at 0° from lines", lines, tuple(early[::2])),
        Row("into the curve at 0° from early curves", arcs, tuple(last[:half:2])),
        Row("into the curve at 0° from lines beside them", lines, tuple(last[half::2])),
    ]


def write_implanted(result: Implanted, out: Path, kind: str = "png") -> list[Path]:
    """Write the figures of an implant, `beside` and `implant`, and `implant.json`; returns the figures."""
    outcome = result.outcome
    own = sheet(result.own, "curves", [unit.channel for unit in result.units])
    made = sheet(result.made, "curves", list(result.made.units))
    panels = []
    for measure, scale, words in zip(MEASURES, (100, 100, 1), LABELS, strict=True):
        bars = []
        for each in outcome.conditions[1:]:
            found = each.change[measure]
            name = each.name if each.draws == 1 else f"{each.name}, {each.draws} draws"
            subject = each.name.startswith("implanted")
            bars.append(Bar(name, scale * found.change, scale * found.low, scale * found.high, subject))
        panels.append((words, bars))
    names = [str(unit.channel) for unit in result.units]
    title = f"{len(names)} units of {result.own.layer}, {outcome.pictures} pictures: change from the intact network"
    files = {
        f"beside.{kind}": encoded(
            beside_figure(names, outcome.directions, own.values, own.rows, own.maps, made.maps), kind
        ),
        f"implant.{kind}": encoded(changes_figure(title, panels), kind),
    }
    return _written(out, files, "implant.json", result.to_json())


def _written(out: Path, files: dict[str, bytes], name: str, document: dict[str, Any]) -> list[Path]:
    figures = [out / each for each in files]
    atomic.write(out, files | {name: (json.dumps(document, indent=1) + "\n").encode()})
    return figures
