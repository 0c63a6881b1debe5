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
from micrographia.publish.draw import Tile
from micrographia.publish.factors import MOST, Mixture, each_unit, factors
from micrographia.publish.plot import encoded
from micrographia.publish.store import open_store
from micrographia.study.nmf import Factors, against_random, against_turned, one_sided
from micrographia.study.null import Finding, corrected, holm
from micrographia.study.weights import expanded

STABLE = 0.9
"""Below this mean cosine between starts the factors are not to be read."""


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
        return {
            "src": self.src, "units": [f"{self.dst}:{unit}" for unit in self.units],
            "strongest": _strongest(self.src, self.factors), **self.factors.to_json(),
            "findings": [each.to_json() for each in self.findings],
        }  # fmt: skip


def nmf(graph: LayerGraph, src: str, units: str, count: int = 2, trials: int = 99, seed: int = 0) -> Family:
    """The factors of the expanded weights from `src` to some units of one later layer, jointly.

    With `trials` they are held against as many random units of that layer; 0 leaves this out. Raises BadAddress, and
    BadValue for units of several layers, and as `one_sided` does.

    >>> nmf(graph, "conv2d2", "mixed3a:5,9,12").factors.explained  # doctest: +SKIP
    0.61
    """
    src, dst, members = _chosen(graph, src, units)
    weights = expanded(graph, src, dst)
    found = one_sided(weights.kernels[list(members)], count, seed=seed)
    findings: tuple[Finding, ...] = ()
    notes = [f"{src} -> {dst}: {len(members)} units, {count} factors, {found.explained:.0%} of the squared weights."]
    if weights.rules:
        notes.append(f"Made linear: {', '.join(weights.rules)}.")
    if found.stability < STABLE:
        notes.append(
            f"Other starts end elsewhere (mean cosine {found.stability:.2f}): do not read much into the factors."
        )
    if trials:
        try:
            findings = against_random(weights.kernels, members, count, found, trials, seed)
        except BadValue as error:
            notes.append(f"Held against nothing: {error}")
    return Family(src, dst, members, found, findings, tuple(notes))


@dataclass(frozen=True, eq=False)
class Each:
    """The factors of some units of a layer, each unit by itself, with a finding for each (none without trials)."""

    src: str
    dst: str
    units: tuple[int, ...]
    factors: tuple[Factors, ...]
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values, as `nmf --each --json` prints them."""
        findings = self.findings or (None,) * len(self.units)
        return {
            "src": self.src,
            "units": [
                {"unit": f"{self.dst}:{unit}", "strongest": _strongest(self.src, found), **found.to_json(),
                 "finding": finding and finding.to_json()}
                for unit, found, finding in zip(self.units, self.factors, findings, strict=True)
            ],
        }  # fmt: skip


def nmf_each(graph: LayerGraph, src: str, units: str, count: int = 3, trials: int = 99, seed: int = 0) -> Each:
    """The factors of the expanded weights from `src` to each of some units of one later layer, unit by unit.

    With `trials` each is held against its own inputs' maps turned and mirrored at random, corrected over the units
    after Holm; 0 leaves this out. Raises BadAddress, and BadValue for units of several layers or of one tap, and as
    `one_sided` does.

    >>> nmf_each(graph, "conv2d2", "mixed3a:5,9").factors[0].maps.shape  # doctest: +SKIP
    (1, 3, 3, 3)
    """
    src, dst, members = _chosen(graph, src, units)
    weights = expanded(graph, src, dst, members)
    if weights.kernels.shape[2] * weights.kernels.shape[3] < 2:
        raise BadValue(
            f"A kernel from {src} to {dst} has one tap, so no map. Choose an earlier layer than {src}, or factor the "
            "units jointly, without --each."
        )
    found = tuple(one_sided(kernel[None], count, seed=seed) for kernel in weights.kernels)
    findings = tuple(
        against_turned(kernel, count, each, trials, seed)
        for kernel, each in zip(weights.kernels, found, strict=True)
        if trials
    )
    notes = [f"{src} -> {dst}: {len(members)} units, {count} factors for each."]
    if weights.rules:
        notes.append(f"Made linear: {', '.join(weights.rules)}.")
    loose = [str(unit) for unit, each in zip(members, found, strict=True) if each.stability < STABLE]
    if loose:
        notes.append(f"Other starts end elsewhere for {dst}:{','.join(loose)}: do not read much into their factors.")
    return Each(src, dst, members, found, corrected(findings, holm) if findings else (), tuple(notes))


def write_each(graph: LayerGraph, found: Each, out: Path, store: Path | None = None) -> Path:
    """Write `nmf.png`, each unit's factors with their maps, three of them as red, green and blue, and `nmf.json`.

    Raises BadStore.
    """
    tiles = _tiles(graph, found.src, store)
    rows = []
    for number, (unit, each) in enumerate(zip(found.units, found.factors, strict=True)):
        said = f"{found.dst}:{unit}  {each.explained:.0%}, stability {each.stability:.2f}"
        if found.findings:
            said += f", corrected p {found.findings[number].corrected:.2g}"
        rows.append((said, _mixtures(found.src, each, tiles), each.maps[0]))
    lines = [f"{found.notes[0]} Beside each unit: the share of its squared weights, and stability over starts."]
    if found.findings:
        lines.append(f"p against {found.findings[0].null}, corrected over the units.")
    document = (json.dumps(found.to_json(), indent=1) + "\n").encode()
    atomic.write(out, {"nmf.png": encoded(each_unit(rows, "\n".join(lines))), "nmf.json": document})
    return out / "nmf.png"


def write_nmf(graph: LayerGraph, found: Family, out: Path, store: Path | None = None) -> Path:
    """Write `nmf.png` and `nmf.json`; inputs are drawn as their optimised pictures where the store has them.

    Raises BadStore.
    """
    mixtures = _mixtures(found.src, found.factors, _tiles(graph, found.src, store))
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


def _chosen(graph: LayerGraph, src: str, units: str) -> tuple[str, str, tuple[int, ...]]:
    chosen = graph.units(units)
    layers = list(dict.fromkeys(unit.layer for unit in chosen))
    if len(layers) != 1:
        raise BadValue(f"{units} names units of {', '.join(layers)}. Name units of one layer, like mixed3a:5,9.")
    return graph.layer(src).name, layers[0], tuple(dict.fromkeys(unit.channel for unit in chosen))


def _strongest(src: str, found: Factors) -> list[list[dict[str, Any]]]:
    return [
        [{"unit": f"{src}:{channel}", "weight": float(found.mixtures[row, channel])} for channel in each]
        for row, each in enumerate(found.strongest())
    ]


def _tiles(graph: LayerGraph, src: str, store: Path | None) -> list[Tile]:
    tiles = known_looks(graph, src)[0].tiles
    return tiles if store is None else pictures(open_store(store), graph, src, tiles)


def _mixtures(src: str, found: Factors, tiles: list[Tile]) -> list[Mixture]:
    return [
        Mixture(
            tuple(f"{src}:{channel}" for channel in each),
            tuple(float(found.mixtures[row, channel]) for channel in each),
            tuple(tiles[channel] for channel in each),
        )
        for row, each in enumerate(found.strongest())
    ]
