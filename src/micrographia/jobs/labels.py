"""labels(graph, layer): a name for each unit of a layer, held against networks that have learned nothing."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from micrographia.console import Stages, silent
from micrographia.errors import BadValue
from micrographia.images.bundled import open_images
from micrographia.images.source import batches
from micrographia.images.stimuli.catalogue import catalogue
from micrographia.images.stimuli.frame import count
from micrographia.jobs.families import taxonomy
from micrographia.jobs.looks import known_looks
from micrographia.jobs.looks import pictures as known_pictures
from micrographia.model.alike import redrawn_alike
from micrographia.model.card import normalise
from micrographia.model.graph import LayerGraph
from micrographia.model.probe import maps_of, probe
from micrographia.model.twin import floating_type
from micrographia.publish import atomic
from micrographia.publish.branches import Group
from micrographia.publish.branches import branches as draw_groups
from micrographia.publish.plot import encoded
from micrographia.publish.store import open_store
from micrographia.study.labels import NONE, Label, scores
from micrographia.study.labels import labels as named
from micrographia.study.tuning import measured

ENOUGH = 1500  # units of the null: with as many, p can be small enough to stand a correction over a layer
MOST = 24  # copies
PICTURES = 16  # on which copies are made as active as the network


@dataclass(frozen=True, eq=False)
class Labels:
    """The labels of a layer's units, how many copies the null had, and the units that nothing excites."""

    layer: str
    labels: tuple[Label, ...]
    copies: int
    dead: tuple[int, ...]
    notes: tuple[str, ...]

    def counts(self) -> dict[str, int]:
        """How many units have each label, most first."""
        return dict(Counter(each.label for each in self.labels if each.unit not in self.dead).most_common())

    def called(self) -> dict[str, list[int]]:
        """The units of each label, that of most units first; dead ones apart, and those without a label last."""
        dead, found = set(self.dead), {name: list[int]() for name in self.counts()}
        for each in self.labels:
            found.setdefault("dead" if each.unit in dead else each.label, []).append(each.unit)
        return dict(sorted(found.items(), key=lambda item: (item[0] == "dead", item[0] == NONE, -len(item[1]))))

    def to_json(self) -> dict[str, Any]:
        """Plain values, as `labels --json` prints them."""
        return {
            "layer": self.layer,
            "copies": self.copies,
            "counts": self.counts(),
            "dead": [f"{self.layer}:{unit}" for unit in self.dead],
            "labels": [each.to_json() | {"unit": f"{self.layer}:{each.unit}"} for each in self.labels],
            "notes": list(self.notes),
        }


def labels(
    graph: LayerGraph, name: str, given: str = "", copies: int = 0, seed: int = 0, stages: Stages = silent
) -> Labels:
    """Score each unit of a layer for each label, and hold the scores against copies that have learned nothing.

    `given` is a file of a person's labels, as in `read_labels`, for some units or all. Without a number of `copies`,
    there are as many as give 1500 units, at least 3. Raises BadAddress, and BadValue for layers whose cells see more
    than the picture and for labels that do not fit.

    >>> labels(graph, "mixed3b").counts()  # doctest: +SKIP
    {'none': 285, 'high-low frequency': 62, ...}
    """
    if copies < 0:
        raise BadValue(f"The null cannot have {copies} copies. Ask for 1 or more, or 0 for as many as are needed.")
    layer = graph.layer(name)
    own = probe(graph, layer.name)
    theirs = dict(enumerate(taxonomy(given, layer.name, layer.channels, whole=False))) if given else {}
    copies = copies or int(np.clip(np.ceil(ENOUGH / layer.channels), 3, MOST))
    families = catalogue(own.field, coloured=graph.card.channels == 3)
    advance = stages("stimuli", (1 + copies) * sum(count(family) for family in families.values()))
    answers = measured(own, families, progress=advance)
    found = scores(answers.excited)
    maps, pictures = maps_of(graph, layer.name), _pictures(graph)
    drawn = []
    for copy in range(copies):
        other = probe(graph, layer.name, maps=redrawn_alike(maps, pictures, seed + copy))
        drawn.append(scores(measured(other, families, progress=advance).excited))
    null = {each: np.concatenate([one[each] for one in drawn]) for each in found}
    result = named(found, null, answers.dead, theirs)
    return Labels(layer.name, result, copies, tuple(answers.dead), _notes(layer.name, copies, answers.dead))


def write_labels(graph: LayerGraph, found: Labels, out: Path, store: Path | None = None) -> Path:
    """Write `labels.png`, the units of each label as pictures, and `labels.json`; returns the figure's path.

    The file has the form {label: [channels]} that `families --score` and `branches --labels` read. Units are drawn as
    their optimised pictures where the `store` has them, as their weights on the picture otherwise, the highest score
    first. Raises BadStore.
    """
    tiles = known_looks(graph, found.layer)[0].tiles
    if store is not None:
        tiles = known_pictures(open_store(store), graph, found.layer, tiles)
    called = found.called()
    groups = []
    for name, units in called.items():
        score = {each.unit: each.scores.get(name, each.score) for each in found.labels}
        ordered = tuple(sorted(units, key=lambda unit: -score[unit]))
        groups.append(Group(f"{name};", ordered, tuple(tiles[unit] for unit in ordered), len(units)))
    drawing = encoded(draw_groups(groups, f"{graph.card.name} {found.layer}"))
    files = {"labels.json": (json.dumps(called, indent=1) + "\n").encode(), "labels.png": drawing}
    atomic.write(out, files)
    return out / "labels.png"


def _pictures(graph: LayerGraph) -> Float[Tensor, "picture channel height width"]:
    source = open_images()
    chosen = np.linspace(0, len(source) - 1, PICTURES).astype(int)
    _, pixels = next(iter(batches(source, graph.card.resize, graph.card.size, PICTURES, chosen)))
    dtype, device = floating_type(graph.module)
    shown = torch.from_numpy(pixels).to(device, dtype) / 255
    if graph.card.channels == 1:
        shown = shown.mean(1, keepdim=True)
    return normalise(shown, graph.card)


def _notes(layer: str, copies: int, dead: list[int]) -> tuple[str, ...]:
    notes = [f"Held against {copies} copies of the network with all weights dealt out anew, as active as itself."]
    if dead:
        few = ", ".join(map(str, dead[:8])) + (f" and {len(dead) - 8} more" if len(dead) > 8 else "")
        notes.append(f"Nothing excites {layer}:{few}: dead, as far as these stimuli go, and without a label.")
    return tuple(notes)
