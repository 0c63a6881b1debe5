"""The honest numbers beside optimised pictures that take a data set or further seeds to find."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from micrographia.console import Stages, silent
from micrographia.errors import BadStore, BadValue
from micrographia.images.source import ImageSource
from micrographia.jobs.natural import Naturals, paths, stored, surveyed
from micrographia.model.graph import LayerGraph
from micrographia.optvis.evidence import Judges, agreement
from micrographia.optvis.render import Rendered
from micrographia.publish.store import open_store
from micrographia.unit import Unit

Numbers = dict[Unit, dict[str, Any]]


@dataclass(frozen=True)
class Beside:
    """Which numbers to put beside pictures, besides those that need nothing but the picture.

    `images` is a source of pictures to hold them against, empty for none; with `store`, a folder that observe made of
    these pictures, they need not be run again. With `seeds` of 2 or more each unit is optimised that many times.
    """

    images: str = ""
    store: Path | None = None
    seeds: int = 1

    def __post_init__(self) -> None:
        if self.seeds < 1:
            raise BadValue(f"{self.seeds} seeds make no picture. Take 1, or 2 or more to compare them.")
        if self.store is not None and not self.images:
            raise BadValue(f"The store {self.store} is of no use without its pictures. Name them too, with --images.")


def natural_of(
    graph: LayerGraph, layers: Sequence[str], source: ImageSource, folder: Path | None, stages: Stages = silent
) -> dict[str, Naturals]:
    """What the pictures say of the layers' units: from a store, or by running them through the network.

    Raises BadImages, BadValue, and BadStore for a store of other weights.
    """
    if folder is None:
        return surveyed(graph, source, layers, stages)
    store = open_store(folder)
    if store.manifest.fingerprint != graph.fingerprint:
        raise BadStore(
            f"{folder} was made with weights {store.manifest.fingerprint[:12]}, not {graph.fingerprint[:12]}. "
            "Name a store of these weights, or leave it out."
        )
    return {name: stored(store, source, name) for name in layers}


def against_pictures(
    graph: LayerGraph,
    made: Sequence[Rendered],
    natural: Mapping[str, Naturals],
    source: ImageSource,
    stages: Stages = silent,
) -> Numbers:
    """For live units `pictures`, where each stands among the data set's activations, and `path`, the path check.

    A picture of one position is not checked for its path: the data set's examples may lie anywhere.
    """
    found: Numbers = {}
    advance = stages("path checks", len(made))
    for layer, known in natural.items():
        here = [each for each in made if each.unit.layer == layer and not each.dead and each.unit.channel in known]
        for each in here:
            standing = known[each.unit.channel].standing(each.reached)
            found[each.unit] = {"pictures": {"source": source.fingerprint, **standing}}
        anywhere = {each.unit: each.image for each in here if each.unit.position is None}
        for unit, path in paths(graph, source, known, anywhere).items():
            found[unit]["path"] = path.to_json()
        advance(sum(each.unit.layer == layer for each in made))
    return found


def against_seeds(graph: LayerGraph, made: Iterable[Rendered], device: str, judges: Judges | None = None) -> Numbers:
    """For each unit `seeds`: how many were tried and woke it up, and how far these pictures agree, if they can be."""
    several: dict[Unit, list[Rendered]] = {}
    for each in made:
        several.setdefault(each.unit, []).append(each)
    found: Numbers = {}
    for unit, pictures in several.items():
        live = [each for each in pictures if not each.dead]
        found[unit] = {"seeds": {"tried": len(pictures), "live": len(live)}}
        try:
            found[unit]["seeds"] |= agreement(graph, live, device=device, judges=judges)
        except BadValue:  # too few live pictures, or too narrow a layer: there is no number then
            continue
    return found
