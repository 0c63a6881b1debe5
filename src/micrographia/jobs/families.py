"""Families of a layer's units under a group, from weights and from responses, held against surrogate networks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from micrographia.console import Stages, silent
from micrographia.errors import BadValue
from micrographia.images.bundled import open_images
from micrographia.jobs.branches import read_labels
from micrographia.jobs.evidence import Evidence, evidence
from micrographia.jobs.looks import known_looks, pictures
from micrographia.model.graph import LayerGraph
from micrographia.model.redraw import redraws
from micrographia.publish import atomic
from micrographia.publish.families import family_figure
from micrographia.publish.plot import encoded
from micrographia.publish.store import open_store
from micrographia.study.alignment import Alignment, align, group_of, steps_of
from micrographia.study.families import (
    MOVING,
    Family,
    Scale,
    correlation,
    curves,
    find,
    judged,
    measure,
    strongest,
    to_json,
)
from micrographia.study.taxonomy import Score, score

KINDS = ("weights", "responses")
MEASURED = 5
"""Surrogates of each kind that only give the measure of noise."""
SHARED = 0.5


@dataclass(frozen=True, eq=False)
class Found:
    """A family with its name, the kinds of evidence that it was found by, and its correlation in each kind.

    `curves` are the members' correlations with the mean of the others at every step, in the first kind.
    """

    label: str
    family: Family
    found_in: tuple[str, ...]
    evidence: dict[str, float]
    curves: Float[np.ndarray, "member step"]


@dataclass(frozen=True, eq=False)
class LayerFamilies:
    """What was found in a layer; units that could not be matched, by evidence: dead ones and invariant ones."""

    layer: str
    group: str
    channels: int
    families: tuple[Found, ...]
    dead: dict[str, tuple[int, ...]]
    invariant: dict[str, tuple[int, ...]]
    rejected: int
    notes: tuple[str, ...]
    score: Score | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values, as `families --json` prints them."""
        return {
            "layer": self.layer,
            "group": self.group,
            "families": [
                {"label": each.label}
                | to_json(each.family, self.layer)
                | {"found_in": list(each.found_in), "evidence": each.evidence}
                for each in self.families
            ],
            "not_significant": self.rejected,
            "dead": {kind: [f"{self.layer}:{unit}" for unit in units] for kind, units in self.dead.items()},
            "invariant": {kind: [f"{self.layer}:{unit}" for unit in units] for kind, units in self.invariant.items()},
            "notes": list(self.notes),
        } | ({} if self.score is None else {"score": self.score.to_json()})


def layer_families(
    graph: LayerGraph,
    layer: str,
    group: str = "rotation",
    kinds: tuple[str, ...] = KINDS,
    images: str | None = None,
    trials: int = 99,
    level: float = 0.05,
    seed: int = 0,
    stages: Stages = silent,
) -> LayerFamilies:
    """The families of a layer under a group whose corrected p is at most `level`, and how they were found.

    `trials` surrogates of each of two kinds are searched as the layer itself is. Pictures are those at `images`, or the
    bundled ones. Raises BadAddress, and BadValue for a group that the pictures cannot carry, a receptive field that
    exceeds them, and layers of too few units.

    >>> layer_families(graph, "conv2d0").families[0].family.members  # doctest: +SKIP
    (3, 8, 21)
    """
    chosen, channels = group_of(group), graph.layer(layer).channels
    if channels < 2 * chosen.least:
        raise BadValue(
            f"{layer} has {channels} units, too few to tell families of {chosen.least} or more from chance. "
            f"Choose a layer of {2 * chosen.least} units or more."
        )
    if not kinds or not set(kinds) <= set(KINDS):
        raise BadValue(f"There is no evidence '{', '.join(kinds)}'. Choose weights, responses, or both.")
    found = evidence(graph, layer, chosen, kinds, open_images(images), seed)
    ways = ("entries", "noise" if found.pixels else "kernels")
    own = {kind: align(read(graph)) for kind, read in found.read.items()}
    scales = _measured(graph, found, ways, seed)
    best = {kind: {way: np.zeros(trials) for way in ways} for kind in scales}
    advance = stages("surrogate networks", trials * len(ways))
    for way in ways:
        for trial, drawn in enumerate(_surrogates(graph, found, way, trials, seed)):
            for kind, each in drawn.items():
                if kind in scales:
                    best[kind][way][trial] = strongest(each, scales[kind])
            advance(1)
    families: list[tuple[str, Family]] = []
    for kind, scale in scales.items():
        named = {_WORDS[way]: values for way, values in best[kind].items()}
        tested = judged(find(own[kind], scale), own[kind], named, len(found.read), seed=seed)
        families += [(kind, each) for each in tested]
    holding = [(kind, each) for kind, each in families if each.holds(level)]
    notes = [f"{found.layer}: weights from {found.source}; {trials} surrogates with {_WORDS[way]}." for way in ways]
    return LayerFamilies(
        found.layer,
        group,
        channels,
        _together(holding, own, group),
        {kind: _units(each.whole[:, :, 0].diagonal() <= 0) for kind, each in own.items()},
        {
            kind: _units((each.moving < MOVING) & (each.whole[:, :, 0].diagonal() > 0))
            for kind, each in own.items()
        },
        len(families) - len(holding),
        tuple(notes),
    )  # fmt: skip


_WORDS = {
    "entries": "all weights dealt out anew",
    "kernels": "each unit's kernels dealt out over its inputs",
    "noise": "noise as smooth as the kernels",
}


def _surrogates(
    graph: LayerGraph, found: Evidence, way: str, count: int, seed: int, first: int = 0
) -> Iterator[dict[str, Alignment]]:
    seeds = range(100_003 * seed + first, 100_003 * seed + first + count)
    for other in redraws(graph, found.modules, seeds, way):
        yield {kind: align(read(other)) for kind, read in found.read.items()}


def _measured(graph: LayerGraph, found: Evidence, ways: tuple[str, ...], seed: int) -> dict[str, Scale]:
    """The measure of noise for each kind of evidence that has units to compare, from surrogates used for nothing else.

    Of the two ways to deal out weights, that in which noise agrees more.
    """
    drawn = {way: list(_surrogates(graph, found, way, MEASURED, seed, first=50_000)) for way in ways}
    scales = {}
    for kind in found.read:
        each = [[trial[kind] for trial in drawn[way]] for way in ways]
        if all((one.moving >= MOVING).sum() >= 2 for way in each for one in way):
            scales[kind] = max((measure(way) for way in each), key=lambda scale: scale.join)
    return scales


def _units(marked: Bool[np.ndarray, " unit"]) -> tuple[int, ...]:
    return tuple(np.flatnonzero(marked).tolist())


def _together(found: list[tuple[str, Family]], own: dict[str, Alignment], group: str) -> tuple[Found, ...]:
    """The families of all evidence, the surest first; what is mostly one family is told once."""
    kept: list[tuple[list[str], Family]] = []
    for kind, family in sorted(found, key=lambda each: (each[1].corrected, -len(each[1].members))):
        same = next((held for held in kept if kind not in held[0] and _overlap(held[1], family) >= SHARED), None)
        if same is None:
            kept.append(([kind], family))
        else:
            same[0].append(kind)
    return tuple(
        Found(
            f"{group} {number}",
            family,
            tuple(names),
            {kind: round(correlation(each, family.members, family.elements), 4) for kind, each in own.items()},
            curves(own[names[0]], family),
        )
        for number, (names, family) in enumerate(kept, 1)
    )


def taxonomy(path: str, layer: str, channels: int, whole: bool = True) -> list[str]:
    """The labels of a file, as `read_labels` gives them; raises BadValue for a file without any, and as that does.

    >>> taxonomy("published", "mixed3b", 480)[379]
    'Curves'
    """
    if Path(path).is_file() and Path(path).read_bytes().strip() in (b"", b"{}", b"[]"):
        raise BadValue(
            f'{path} holds no labels. Write JSON like {{"curves": [3, 5]}}, or CSV with lines like 3,curves.'
        )
    return read_labels(path, layer, channels, whole)


def scored(found: LayerFamilies, labels: str, seed: int = 0) -> LayerFamilies:
    """The same with a score against a taxonomy: a file of labels (see `read_labels`) or 'published'.

    Families are called after the label that most of their members have. Raises BadValue for labels that do not fit.

    >>> scored(found, "published").score.rand  # doctest: +SKIP
    0.31
    """
    given = taxonomy(labels, found.layer, found.channels)
    result = score([each.family.members for each in found.families], given, seed=seed)
    named = []
    for each in found.families:
        own = [given[unit] for unit in each.family.members]
        most = max(dict.fromkeys(own), key=own.count)
        named.append(replace(each, label=f"{each.label}: {most} {own.count(most)}/{len(own)}"))
    return replace(found, families=tuple(named), score=result)


def write_families(graph: LayerGraph, found: LayerFamilies, out: Path, store: Path | None = None) -> list[Path]:
    """Write `families.json` and a figure of each family; returns the figures' paths.

    Members are drawn as their optimised pictures where the store has them, as kernels over pixels otherwise. Raises
    BadStore.
    """
    tiles = known_looks(graph, found.layer)[0].tiles
    if store is not None:
        tiles = pictures(open_store(store), graph, found.layer, tiles)
    files = {"families.json": (json.dumps(found.to_json(), indent=1) + "\n").encode()}
    names = []
    for number, each in enumerate(found.families, 1):
        family = each.family
        seen = ", ".join(f"{kind} {r:.2f}" for kind, r in each.evidence.items())
        steps = steps_of(group_of(found.group))
        figure = family_figure(
            f"{found.layer}, {each.label}: {len(family.members)} units",
            found.group,
            [f"{found.layer}:{unit}" for unit in family.members],
            family.elements,
            [tiles[unit] for unit in family.members],
            each.curves,
            steps,
            f"Mean correlation of aligned pairs in {seen}; corrected p {family.corrected:.2g}.",
        )
        names.append(f"family-{number}.png")
        files[names[-1]] = encoded(figure)
    atomic.write(out, files)
    return [out / name for name in names]


def _overlap(a: Family, b: Family) -> float:
    one, other = set(a.members), set(b.members)
    return len(one & other) / len(one | other)
