"""Circuits from the families of one layer, and from two mixtures of its units, to the families of a later one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from micrographia.errors import BadValue
from micrographia.jobs.families import LayerFamilies
from micrographia.jobs.looks import known_looks
from micrographia.model.graph import LayerGraph
from micrographia.model.redraw import convolutions_between
from micrographia.publish import atomic
from micrographia.publish.families import circuit_figure
from micrographia.publish.plot import encoded
from micrographia.study.equivariance import PERIODS, Circuit, circuit, copies
from micrographia.study.nmf import one_sided
from micrographia.study.null import Finding, benjamini_hochberg, corrected, permutation_p
from micrographia.study.weights import expanded

FACTORS = 2


@dataclass(frozen=True, eq=False)
class Mixtures:
    """Two mixtures of inputs into a family: are they read on opposite sides, at turned places, of other frequencies?

    `opposition` is the correlation of the two maps of each unit, in the order of the rows; `copies` that of one
    mixture's maps of two units, turned back; `octaves` by how much finer one mixture's inputs are than the other's
    (None where inputs have no kernels on the picture).
    """

    opposition: tuple[float, ...]
    copies: Finding
    octaves: Finding | None

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "map_correlation": list(self.opposition),
            "copies": self.copies.to_json(),
            "octaves": None if self.octaves is None else self.octaves.to_json(),
        }


@dataclass(frozen=True, eq=False)
class Between:
    """A circuit with the names of both sides and of the units in its rows and columns; what is known of mixtures."""

    source: str
    target: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    circuit: Circuit
    mixtures: Mixtures | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        own = self.circuit.to_json() | {"rows": list(self.rows), "columns": list(self.columns)}
        extra = {} if self.mixtures is None else self.mixtures.to_json()
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
    target's weights (as the high and low frequencies that high-low frequency detectors read); see `Mixtures`. Raises
    BadValue for families of different groups, for scale, and where the second layer does not depend on the first.

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
    fineness = known_looks(graph, sources.layer)[0].traits["frequency"]
    found: list[Between] = []
    for target in targets.families:
        outs, at = list(target.family.members), list(target.family.elements)
        names = [f"{targets.layer}:{unit}" for unit in outs]
        label = f"{targets.layer} {target.label}"
        mixed = one_sided(kernels[outs], FACTORS, seed=seed)
        own = circuit(mixed.maps.astype(kernels.dtype), at, None, group, trials, seed)
        known = Mixtures(
            tuple(mixed.correlation()[list(own.rows)].tolist()),
            copies(mixed.maps, at, group, trials, seed)[1],
            None if fineness is None else _octaves(mixed.mixtures, fineness, trials, seed),
        )
        columns = [f"mixture {number}" for number in range(FACTORS)]
        found.append(_named(own, f"{FACTORS} mixtures of {sources.layer}", label, names, columns, known))
        for source in sources.families:
            ins = list(source.family.members)
            own = circuit(kernels[np.ix_(outs, ins)], at, list(source.family.elements), group, trials, seed)
            columns = [f"{sources.layer}:{unit}" for unit in ins]
            found.append(_named(own, f"{sources.layer} {source.label}", label, names, columns))
    return _tested(found)


def _octaves(
    mixtures: Float[np.ndarray, "factor in"], fineness: Float[np.ndarray, " in"], trials: int, seed: int
) -> Finding:
    """How many octaves the mean frequencies of two mixtures are apart, against their inputs dealt out anew."""
    heard = np.isfinite(fineness) & (fineness > 0)
    weight = mixtures[:, heard] / np.maximum(mixtures[:, heard].sum(1, keepdims=True), 1e-30)
    logs = np.log2(fineness[heard])
    rng = np.random.default_rng(seed)
    null = np.abs([np.subtract(*(weight @ rng.permutation(logs))) for _ in range(trials)])
    effect = float(np.abs(np.subtract(*(weight @ logs))))
    return Finding("octaves between the mixtures", effect, "inputs dealt out anew", permutation_p(effect, null))


def _named(
    own: Circuit,
    source: str,
    target: str,
    rows: Sequence[str],
    columns: Sequence[str],
    mixtures: Mixtures | None = None,
) -> Between:
    ordered = tuple(rows[i] for i in own.rows), tuple(columns[i] for i in own.columns)
    return Between(source, target, *ordered, own, mixtures)


def _tested(found: Sequence[Between]) -> tuple[Between, ...]:
    """The same with p corrected over all circuits, and over all mixtures for what is known of these."""
    mixed = [each.mixtures for each in found if each.mixtures is not None]
    near = iter(corrected([each.copies for each in mixed], benjamini_hochberg))
    finer = iter(corrected([each.octaves for each in mixed if each.octaves is not None], benjamini_hochberg))
    result = []
    for each, finding in zip(found, corrected([e.circuit.finding for e in found], benjamini_hochberg), strict=True):
        held = each.circuit if finding.holds() else replace(each.circuit, kind="none")
        known = each.mixtures
        if known is not None:
            known = replace(known, copies=next(near), octaves=None if known.octaves is None else next(finer))
        result.append(replace(each, circuit=replace(held, finding=finding), mixtures=known))
    return tuple(result)


def _saved(each: Between) -> float:
    without, within = each.circuit.numbers
    return each.circuit.finding.effect * (without - within)


def write_circuits(found: Sequence[Between], out: Path, most: int = 24) -> list[Path]:
    """Write `circuits.json` and the kernel grids of those circuits that hold; returns their paths.

    Of more than `most` circuits, those are drawn whose template explains most and saves most numbers. Nothing is
    written where there are no circuits. Raises BadStore.
    """
    if not found:
        return []
    files = {"circuits.json": (json.dumps([each.to_json() for each in found], indent=1) + "\n").encode()}
    names = []
    holding = [each for each in found if each.circuit.kind != "none"]
    for number, each in enumerate(sorted(holding, key=_saved, reverse=True)[:most], 1):
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
