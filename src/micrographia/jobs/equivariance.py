"""Circuits from the families of one layer, and from two mixtures of its units, to the families of a later one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from micrographia.errors import BadValue
from micrographia.jobs.families import LayerFamilies
from micrographia.model.graph import LayerGraph
from micrographia.model.redraw import convolutions_between
from micrographia.publish import atomic
from micrographia.publish.families import circuit_figure
from micrographia.publish.plot import encoded
from micrographia.study.equivariance import PERIODS, Circuit, circuit, copies
from micrographia.study.nmf import one_sided
from micrographia.study.null import Finding, benjamini_hochberg, corrected
from micrographia.study.weights import expanded

FACTORS = 2


@dataclass(frozen=True, eq=False)
class Between:
    """A circuit with the names of both sides and of the units in its rows and columns."""

    source: str
    target: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    circuit: Circuit
    copies: Finding | None = None
    opposition: tuple[float, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain values; `map_correlation` are the correlations of the two mixtures' maps of each unit."""
        own = self.circuit.to_json() | {"rows": list(self.rows), "columns": list(self.columns)}
        extra: dict[str, Any] = {"map_correlation": list(self.opposition)} if self.opposition else {}
        extra |= {} if self.copies is None else {"copies": self.copies.to_json()}
        return {"from": self.source, "to": self.target} | own | extra


def checked(graph: LayerGraph, source: str, target: str, group: str) -> None:
    """Raise what `circuits` would raise for these layers and this group, before anything is searched."""
    if group not in PERIODS:
        raise BadValue(f"Circuits cannot be followed under {group}. Take one of {', '.join(PERIODS)}.")
    convolutions_between(graph, graph.layer(source).name, graph.layer(target).name)


def circuits(
    graph: LayerGraph, sources: LayerFamilies, targets: LayerFamilies, trials: int = 199, seed: int = 0
) -> tuple[Between, ...]:
    """All circuits from the families of one layer to those of another under one group, p corrected over all of them.

    Besides families, each target is held against two mixtures of all units of the source, by one-sided factors of the
    target's weights (as the high and low frequencies that high-low frequency detectors read). Of these, `copies` says
    how well the units' maps, turned by their elements, are copies of each other. Raises BadValue for
    families of different groups, for scale, and where the second layer does not depend on the first.

    >>> circuits(graph, early, late)[0].circuit.kind  # doctest: +SKIP
    'equivariant -> equivariant'
    """
    group = targets.group
    if sources.group != group or group not in PERIODS:
        raise BadValue(
            f"Circuits from families under {sources.group} to families under {group} cannot be followed. "
            f"Take one of {', '.join(PERIODS)} for both."
        )
    if not targets.families:
        return ()
    kernels = expanded(graph, sources.layer, targets.layer).kernels
    found: list[Between] = []
    for target in targets.families:
        outs, at = list(target.family.members), list(target.family.elements)
        names = [f"{targets.layer}:{unit}" for unit in outs]
        mixed = one_sided(kernels[outs], FACTORS, seed=seed)
        own = circuit(mixed.maps.astype(kernels.dtype), at, None, group, trials, seed)
        label = f"{FACTORS} mixtures of {sources.layer}"
        columns = [f"mixture {number}" for number in range(FACTORS)]
        alike = copies(mixed.maps, at, group, trials, seed)[1]
        opposed = tuple(float(mixed.correlation()[row]) for row in own.rows)
        found.append(_named(own, label, f"{targets.layer} {target.label}", names, columns, alike, opposed))
        for source in sources.families:
            ins = list(source.family.members)
            own = circuit(kernels[np.ix_(outs, ins)], at, list(source.family.elements), group, trials, seed)
            columns = [f"{sources.layer}:{unit}" for unit in ins]
            ends = f"{sources.layer} {source.label}", f"{targets.layer} {target.label}"
            found.append(_named(own, *ends, names, columns))
    near = iter(corrected([each.copies for each in found if each.copies is not None], benjamini_hochberg))
    tested = corrected([each.circuit.finding for each in found], benjamini_hochberg)
    result = []
    for each, finding in zip(found, tested, strict=True):
        held = each.circuit if finding.holds() else replace(each.circuit, kind="none")
        result.append(replace(each, circuit=replace(held, finding=finding), copies=next(near) if each.copies else None))
    return tuple(result)


def _named(
    own: Circuit,
    source: str,
    target: str,
    rows: Sequence[str],
    columns: Sequence[str],
    alike: Finding | None = None,
    opposed: tuple[float, ...] = (),
) -> Between:
    ordered = tuple(rows[i] for i in own.rows), tuple(columns[i] for i in own.columns)
    return Between(source, target, *ordered, own, alike, opposed)


def write_circuits(found: Sequence[Between], out: Path, most: int = 24) -> list[Path]:
    """Write `circuits.json` and the kernel grids of those circuits that hold (the surest `most`); returns their paths.

    Nothing is written where there are no circuits. Raises BadStore.
    """
    if not found:
        return []
    files = {"circuits.json": (json.dumps([each.to_json() for each in found], indent=1) + "\n").encode()}
    names = []
    holding = [each for each in found if each.circuit.kind != "none"]
    for number, each in enumerate(sorted(holding, key=lambda e: -e.circuit.finding.effect)[:most], 1):
        own = each.circuit
        caption = (
            f"{own.kind}: the template explains {own.finding.effect:.0%} of kernels it was not made from "
            f"(corrected p {own.finding.corrected:.2g}); {own.numbers[1]} numbers instead of {own.numbers[0]}."
        )
        rows, columns = ([name.rpartition(":")[2] for name in side] for side in (each.rows, each.columns))
        figure = circuit_figure(f"{each.source} to {each.target}", own.kernels, rows, columns, caption)
        names.append(f"circuit-{number}.png")
        files[names[-1]] = encoded(figure)
    atomic.write(out, files)
    return [out / name for name in names]
