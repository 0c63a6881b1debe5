"""verify(graph, target, images): a circuit with the measure of how faithful it is, and the controls it has to beat.

The pictures that a circuit is found on are not those it is tested on. See `faithful` for the measure, `controls` for
what it is held against. Sizes are on a logarithmic scale: CPR is the mean of the recovered share over it, CMD the mean
distance of the recovered share from one (Mueller et al., MIB 2025).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from jaxtyping import Float
from torch import Tensor

from micrographia.circuits.chain import chain
from micrographia.circuits.controls import Plan, magnitude_only, random_circuits
from micrographia.circuits.extract import Extraction, extract, links_of, relabelled, size_of
from micrographia.circuits.faithful import (
    Interval,
    area,
    faithfulness,
    interval,
    jaccard,
    recovered,
)
from micrographia.circuits.masked import Link, kept, nothing, removed
from micrographia.circuits.probe import ABLATIONS, Ablated, Probe, Target, ablated, probe
from micrographia.circuits.verdict import PICTURES, enough, halves, holds, verdict
from micrographia.console import Stages, silent
from micrographia.errors import BadValue
from micrographia.model.graph import LayerGraph
from micrographia.study.null import Finding

SEEDS = 3


@dataclass(frozen=True)
class Point:
    """One size of the curve: faithfulness of the circuit and of two controls of that size, and the recovered share."""

    size: int
    faithfulness: float
    recovered: float
    magnitude: float
    random: float


@dataclass(frozen=True)
class Verification:
    """How far a circuit can be believed.

    `table` has, for each ablation, faithfulness with only the circuit kept and with the circuit removed. `completeness`
    is 1 - the latter for the circuit's own ablation: 1 where nothing of the target is left without it. `needed` is the
    share of edges whose removal makes the circuit less faithful, `weakest` the smallest change by any. `overlap` are
    the Jaccard indices of the circuits found on other pictures, `chance` that of two random ones. `findings` are the
    controls; the circuit is `supported` where it beats all of them.
    """

    faithfulness: Interval
    recovered: float
    curve: tuple[Point, ...]
    cpr: float
    cmd: float
    completeness: float
    needed: float
    weakest: float
    table: tuple[tuple[str, float, float], ...]
    overlap: tuple[float, ...]
    chance: float
    findings: tuple[Finding, ...]
    same_as_magnitude: bool
    windows: int

    @property
    def p(self) -> float:
        """The largest p-value of all controls: the p-value of beating every one of them."""
        return max(each.p for each in self.findings)

    @property
    def supported(self) -> bool:
        return holds(self.findings, self.faithfulness.value)

    def to_json(self) -> dict[str, Any]:
        """Plain values, as they stand in a circuit's file."""
        return {
            "supported": self.supported, "p": self.p, "faithfulness": self.faithfulness.to_json(),
            "recovered": self.recovered, "cpr": self.cpr, "cmd": self.cmd, "completeness": self.completeness,
            "minimality": {"needed": self.needed, "weakest": self.weakest},
            "curve": [vars(point) for point in self.curve],
            "ablations": [{"ablation": name, "kept": k, "removed": r} for name, k, r in self.table],
            "overlap": {"jaccard": list(self.overlap), "chance": self.chance},
            "controls": [each.to_json() for each in self.findings],
            "same_as_magnitude": self.same_as_magnitude, "windows": self.windows,
        }  # fmt: skip


@dataclass(frozen=True, eq=False)
class Verified:
    """A circuit by its links, the probe it was tested on, and its verification."""

    links: frozenset[Link]
    found: Extraction
    probe: Probe
    ablation: Ablated
    verification: Verification


def verify(
    graph: LayerGraph,
    target: Target,
    images: Float[Tensor, "picture channel height width"],
    plan: Plan = Plan(),  # noqa: B008
    randoms: int = 39,
    networks: int = 19,
    pictures: int = PICTURES,
    seed: int = 0,
    stages: Stages = silent,
) -> Verified:
    """Find the circuit behind a target and measure it; `plan` says how, `randoms` and `networks` are of the controls.

    Raises BadValue for a dead target, for the first layer, and for fewer than 19 of a control (no p-value of 0.05).

    >>> verify(graph, target(graph, "mixed3b:379"), pictures).verification.supported  # doctest: +SKIP
    True
    """
    enough(randoms, networks)
    advance = stages("circuit and pictures", SEEDS)
    layers = chain(graph, target.layer, plan.depth)
    runs = []
    for number in range(SEEDS):
        find, test = halves(images, seed + number, pictures)
        first = probe(graph, layers, target, find, seed)
        found = extract(graph, first, ablated(first, plan.ablation, seed), plan.method, plan.level, plan.pool)
        runs.append((found, links_of(found, plan.size), find, test))
        advance(1)
    found, links, find, test = runs[0]
    if not links:
        raise BadValue(f"No path of edges leads to {target} on these pictures. Give a smaller depth or other pictures.")
    trial = probe(graph, layers, target, test, seed)
    gone = ablated(trial, plan.ablation, seed)
    whole, empty = trial.values.numpy(), nothing(trial, gone).numpy()
    part = kept(trial, links, gone).numpy()
    curve = _curve(graph, found, trial, gone, plan, seed, stages)
    rng = np.random.default_rng(seed)
    losses = _losses(trial, links, gone, plan.level, stages)
    magnitude = magnitude_only(graph, trial, links, plan.level)
    advance = stages("untrained networks", networks)
    findings = tuple(verdict(graph, target, trial, links, gone, (find, test), plan, randoms, networks, seed, advance))
    best = _best(trial)
    overlap = tuple(jaccard(a[1], b[1]) for a, b in combinations(runs, 2))
    chance = float(np.mean([jaccard(links, relabelled(trial, links, rng)) for _ in range(20)]))
    result = Verification(
        interval(whole, part, empty, trial.pictures, seed), recovered(whole[best], part[best], empty[best]), curve,
        area([p.size for p in curve], [p.recovered for p in curve]),
        area([p.size for p in curve], [abs(1 - p.recovered) for p in curve]),
        1 - faithfulness(whole, removed(trial, links, gone).numpy(), empty),
        float(np.mean([loss > 0 for loss in losses])), min(losses), _table(trial, links, seed), overlap, chance,
        findings, magnitude == links, len(trial),
    )  # fmt: skip
    return Verified(links, found, trial, gone, result)


def _best(probe: Probe) -> np.ndarray:
    """The windows where the target fires most, one of each picture."""
    return np.arange(0, len(probe), 2)


def _curve(
    graph: LayerGraph, found: Extraction, trial: Probe, gone: Ablated, plan: Plan, seed: int, stages: Stages
) -> tuple[Point, ...]:
    sizes = sorted({max(1, round(plan.size * 2.0**step)) for step in range(-3, 4)})
    advance = stages("sizes", len(sizes))
    whole, empty, best = trial.values.numpy(), nothing(trial, gone).numpy(), _best(trial)
    points: dict[int, Point] = {}
    for size in sizes:
        links = links_of(found, size)
        part = kept(trial, links, gone).numpy()
        weights = kept(trial, magnitude_only(graph, trial, links, plan.level), gone).numpy()
        chance = float(random_circuits(trial, links, gone, 3, seed).mean())
        count = size_of(links, plan.level)
        points[count] = Point(
            count, faithfulness(whole, part, empty), recovered(whole[best], part[best], empty[best]),
            faithfulness(whole, weights, empty), chance,
        )  # fmt: skip
        advance(1)
    return tuple(points[size] for size in sorted(points))


def _losses(trial: Probe, links: frozenset[Link], gone: Ablated, level: str, stages: Stages) -> list[float]:
    """What each edge (or node, or kernel) adds: the circuit's faithfulness less that without it."""
    whole, empty = trial.values.numpy(), nothing(trial, gone).numpy()
    own = faithfulness(whole, kept(trial, links, gone).numpy(), empty)
    units: dict[Any, set[Link]] = {}
    for link in sorted(links):
        units.setdefault((link.stage, link.source) if level == "node" else link, set()).add(link)
    advance = stages("minimality", len(units))
    losses = []
    for out in units.values():
        losses.append(own - faithfulness(whole, kept(trial, links - out, gone).numpy(), empty))
        advance(1)
    return losses


def _table(trial: Probe, links: frozenset[Link], seed: int) -> tuple[tuple[str, float, float], ...]:
    rows = []
    whole = trial.values.numpy()
    for kind in ABLATIONS:
        gone = ablated(trial, kind, seed)
        empty = nothing(trial, gone).numpy()
        only, without = kept(trial, links, gone).numpy(), removed(trial, links, gone).numpy()
        rows.append((kind, faithfulness(whole, only, empty), faithfulness(whole, without, empty)))
    return tuple(rows)
