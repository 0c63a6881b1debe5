"""The one-sided factors of some units' weights, their nulls, and the figure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from micrographia.errors import BadValue
from micrographia.jobs.looks import known_looks, pictures
from micrographia.model.graph import LayerGraph
from micrographia.publish import atomic
from micrographia.publish.factors import MOST, Mixture, factors
from micrographia.publish.plot import encoded
from micrographia.publish.store import open_store
from micrographia.study.nmf import Factors, against_random, one_sided
from micrographia.study.null import Finding
from micrographia.study.weights import expanded


@dataclass(frozen=True, eq=False)
class Family:
    """The factors of some units of a layer, what they were held against, and what to say about it."""

    src: str
    dst: str
    units: tuple[int, ...]
    factors: Factors
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values, as `nmf --json` prints them."""
        mixtures = [
            [
                {"unit": f"{self.src}:{channel}", "weight": float(self.factors.mixtures[row, channel])}
                for channel in each
            ]
            for row, each in enumerate(self.factors.strongest())
        ]
        return {
            "src": self.src, "units": [f"{self.dst}:{unit}" for unit in self.units], "strongest": mixtures,
            **self.factors.to_json(), "findings": [each.to_json() for each in self.findings],
        }  # fmt: skip


def nmf(graph: LayerGraph, src: str, units: str, count: int = 2, trials: int = 99, seed: int = 0) -> Family:
    """The factors of the expanded weights from `src` to some units of one later layer, jointly.

    With `trials` they are held against as many random units of that layer; 0 leaves this out. Raises BadAddress, and
    BadValue for units of several layers, and as `one_sided` does.

    >>> nmf(graph, "conv2d2", "mixed3a:5,9,12").factors.explained  # doctest: +SKIP
    0.61
    """
    chosen = graph.units(units)
    layers = list(dict.fromkeys(unit.layer for unit in chosen))
    if len(layers) != 1:
        raise BadValue(f"{units} names units of {', '.join(layers)}. Name units of one layer, like mixed3a:5,9.")
    src, dst = graph.layer(src).name, layers[0]
    members = tuple(dict.fromkeys(unit.channel for unit in chosen))
    weights = expanded(graph, src, dst)
    found = one_sided(weights.kernels[list(members)], count, seed=seed)
    findings: tuple[Finding, ...] = ()
    notes = [f"{src} -> {dst}: {len(members)} units, {count} factors, {found.explained:.0%} of the squared weights."]
    if weights.rules:
        notes.append(f"Made linear: {', '.join(weights.rules)}.")
    if found.stability < 0.9:
        notes.append(
            f"Other starts end elsewhere (mean cosine {found.stability:.2f}): do not read much into the factors."
        )
    if trials:
        try:
            findings = against_random(weights.kernels, members, count, found, trials, seed)
        except BadValue as error:
            notes.append(f"Held against nothing: {error}")
    return Family(src, dst, members, found, findings, tuple(notes))


def write_nmf(graph: LayerGraph, found: Family, out: Path, store: Path | None = None) -> Path:
    """Write `nmf.png` and `nmf.json`; inputs are drawn as their optimised pictures where the store has them.

    Raises BadStore.
    """
    tiles = known_looks(graph, found.src)[0].tiles
    if store is not None:
        tiles = pictures(open_store(store), graph, found.src, tiles)
    mixtures = [
        Mixture(
            tuple(f"{found.src}:{channel}" for channel in each),
            tuple(float(found.factors.mixtures[row, channel]) for channel in each),
            tuple(tiles[channel] for channel in each),
        )
        for row, each in enumerate(found.factors.strongest())
    ]
    names = [f"{found.dst}:{unit}" for unit in found.units]
    figure = factors(mixtures, names, found.factors.maps, caption(found))
    document = (json.dumps(found.to_json(), indent=1) + "\n").encode()
    atomic.write(out, {"nmf.png": encoded(figure), "nmf.json": document})
    return out / "nmf.png"


def caption(found: Family) -> str:
    """The figure's numbers and what they were held against."""
    lines = [
        f"{found.notes[0]} Stability over starts {found.factors.stability:.2f}.",
        f"Left: the inputs that weigh most, units of {found.src}. Right: maps of units of {found.dst}.",
    ]
    lines += [
        f"{each.what}: {each.effect:.2f}, corrected p {each.corrected:.2g} against {each.null}."
        for each in found.findings
    ]
    if len(found.units) > MOST:
        lines.append(f"The first {MOST} units are drawn.")
    return "\n".join(lines)
