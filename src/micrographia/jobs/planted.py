"""The benchmark of the package's detectors on networks whose answer is known: recall, precision, false alarms."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from micrographia.circuits.chain import chain
from micrographia.circuits.controls import Plan
from micrographia.circuits.extract import extract, links_of
from micrographia.circuits.masked import TARGET, Link
from micrographia.circuits.planted import (
    WRITTEN,
    Planted,
    Stack,
    card_of,
    fooling,
    gabor,
    null_network,
    stimuli,
    written,
)
from micrographia.circuits.probe import ablated, probe, target
from micrographia.circuits.trained import trained
from micrographia.circuits.verdict import supported
from micrographia.console import Stages, silent
from micrographia.errors import BadValue
from micrographia.jobs.families import layer_families
from micrographia.model.graph import LayerGraph
from micrographia.model.trace import trace
from micrographia.study.branches import families as branch_families
from micrographia.study.factor import clusters

METHODS = ("attribution", "net", "weight", "snip", "force", "actgrad")
PICTURES = 16
DRAWS = 5  # of a plant at each signal, where one is quickly looked for
CLUSTER_SIGNALS = (0.75, 1.0, 1.25, 1.5, 2.0)
BRANCH_SIGNALS = (0.2, 0.4, 0.6, 0.8, 1.0)
FAMILY_SIGNALS = (0.5, 0.7, 0.85, 1.0, 2.0)


@dataclass(frozen=True)
class Row:
    """A detector on a planted network: shares of what was planted that it found, and of what it found that was planted.

    `precision` is None where nothing was found, or where it makes no sense. On null networks `false_alarms` of `nulls`
    had something found in them; None where it was not measured. `signal` says how strong the plant is, each detector in
    its own measure; None for written and trained networks.
    """

    detector: str
    network: str
    planted: int
    recall: float
    precision: float | None
    false_alarms: int | None = None
    nulls: int = 0
    signal: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def planted_networks(seed: int = 0) -> list[Planted]:
    """All networks with a known circuit: those written by hand, the fooling one, and the trained one."""
    return [*(written(name, seed) for name in WRITTEN), fooling(seed)[0], trained(seed)]


def found_edges(planted: Planted, links: frozenset[Link], layers: Sequence[str]) -> frozenset[tuple[str, str]]:
    """Links as pairs of addresses."""
    return frozenset(
        (
            f"{layers[link.stage - 1]}:{link.source}",
            planted.target if link.target == TARGET else f"{layers[link.stage]}:{link.target}",
        )
        for link in links
    )


def extraction_row(planted: Planted, method: str, seed: int = 0) -> Row:
    """Extract a circuit of the planted size and compare its edges with those that were planted.

    >>> extraction_row(written("curve"), "attribution").recall
    1.0
    """
    layers = chain(planted.graph, planted.target.partition(":")[0], planted.depth)
    found = probe(planted.graph, layers, target(planted.graph, planted.target), stimuli(PICTURES, seed + 1), seed)
    links = links_of(extract(planted.graph, found, ablated(found, "mean", seed), method), len(planted.edges))
    edges = found_edges(planted, links, layers.layers)
    hits = len(edges & planted.edges)
    return Row(
        f"graph --method {method}",
        planted.name,
        len(planted.edges),
        hits / len(planted.edges),
        _share(hits, len(edges)),
    )


def supported_nulls(count: int, seed: int = 0, plan: Plan = Plan(size=15), stages: Stages = silent) -> int:  # noqa: B008
    """How many circuits are called supported in so many random networks, one circuit in each."""
    advance = stages("circuits in random networks", count)
    found = 0
    for number in range(count):
        graph = null_network(1000 * seed + number)
        images = stimuli(4 * PICTURES, 1000 * seed + number)
        unit = f"conv3:{number % graph.layer('conv3').channels}"
        with suppress(BadValue):  # a dead target has no circuit
            found += supported(graph, target(graph, unit), images, plan, seed=number)
        advance(1)
    return found


def verdict_row(networks: Sequence[Planted], nulls: int, seed: int = 0, stages: Stages = silent) -> Row:
    """The verdict of `graph`: how many true circuits of the planted size it supports, and how many random ones."""
    advance = stages("verdicts on planted networks", len(networks))
    hits = 0
    for network in networks:
        plan = Plan(network.depth, len(network.edges))
        goal = target(network.graph, network.target)
        hits += supported(network.graph, goal, stimuli(4 * PICTURES, seed), plan, seed=seed)
        advance(1)
    alarms = supported_nulls(nulls, seed, stages=stages)
    return Row("graph: supported", "all of them", len(networks), hits / len(networks), None, alarms, nulls)


def cluster_rows(nulls: int, seed: int = 0, draws: int = DRAWS) -> list[Row]:
    """The clusters of `svd`, on weights with three planted blocks: pairs of units that belong together.

    The signal is what a block adds to its weights, over the spread of the noise.
    """
    rng = np.random.default_rng(seed)
    sizes = ((9, 7), (6, 8), (8, 5))
    blocks = np.concatenate([np.full(a, i) for i, (a, _) in enumerate(sizes)])
    columns = np.concatenate([np.full(b, i) for i, (_, b) in enumerate(sizes)])
    together = np.equal.outer(blocks, blocks)
    above = np.triu(np.ones_like(together), 1).astype(bool)
    wanted = int((together & above).sum())
    alarms = sum(
        clusters(np.abs(rng.normal(size=(len(blocks), len(columns)))), seed=seed + number)[0] is not None
        for number in range(nulls)
    )
    rows = []
    for signal in CLUSTER_SIGNALS:
        hits = given = 0
        for draw in range(draws):
            noise = rng.normal(size=(len(blocks), len(columns)))
            found, _ = clusters(np.abs(noise) + signal * (blocks[:, None] == columns), seed=seed + draw)
            same = np.zeros_like(together) if found is None else np.equal.outer(found.rows, found.rows)
            hits, given = hits + int((together & same & above).sum()), given + int((same & above).sum())
        recall, precision = hits / (draws * wanted), _share(hits, given)
        rows.append(Row("svd: clusters", "three blocks", draws * wanted, recall, precision, alarms, nulls, signal))
    return rows


def branch_rows(nulls: int, seed: int = 0, draws: int = DRAWS) -> list[Row]:
    """The families of `branches`: one of four families planted in one of three branches.

    The signal is the share of that branch that the family has; the rest is dealt out like the other branches.
    """
    rng = np.random.default_rng(seed)
    owner = np.repeat([0, 1, 2], [16, 24, 12])
    names, others = ("left", "middle", "right"), ("a", "b", "c", "lines")
    alarms = 0
    for number in range(nulls):
        dealt = [str(rng.choice(others)) for _ in owner]
        cells = branch_families(dealt, owner, names, trials=199, seed=seed + number).cells
        alarms += any(cell.holds() for cell in cells)
    rows = []
    for signal in BRANCH_SIGNALS:
        hits = given = 0
        for draw in range(draws):
            labels = ["lines" if branch == 2 and rng.random() < signal else str(rng.choice(others)) for branch in owner]
            kinds = list(dict.fromkeys(labels))
            found = branch_families(labels, owner, names, trials=999, seed=seed + draw)
            called = {
                (row, column)
                for (row, column), cell in zip(np.ndindex(*found.table.shape), found.cells, strict=True)
                if cell.holds()
            }
            hits, given = hits + int((kinds.index("lines"), 2) in called), given + len(called)
        recall, precision = hits / draws, _share(hits, given)
        rows.append(Row("branches: families", "a family in a branch", draws, recall, precision, alarms, nulls, signal))
    return rows


def family_rows(nulls: int, seed: int = 0) -> list[Row]:
    """The families of `families`: eight turned copies of one kernel among random ones; found units count.

    The signal is the norm of the copied kernel over that of the noise on it.
    """
    count, copies = 24, 8
    alarms = sum(bool(_family_units(_with_family(count, 0, 0, seed + 1 + number), seed)) for number in range(nulls))
    rows = []
    for signal in FAMILY_SIGNALS:
        found = _family_units(_with_family(count, copies, signal, seed), seed)
        hits = len(found & set(range(copies)))
        rows.append(
            Row(
                "families",
                "eight turned kernels",
                copies,
                hits / copies,
                _share(hits, len(found)),
                alarms,
                nulls,
                signal,
            )
        )
    return rows


def _share(hits: int, given: int) -> float | None:
    return hits / given if given else None


def _family_units(graph: LayerGraph, seed: int) -> set[int]:
    result = layer_families(graph, "conv1", kinds=("weights",), trials=39, seed=seed)
    return {member for each in result.families for member in each.family.members}


def _with_family(count: int, copies: int, signal: float, seed: int) -> LayerGraph:
    model = Stack((3, count, 4), (7, 3))
    rng = np.random.default_rng(seed)
    kernels = rng.normal(0, 1, (count, 3, 7, 7)) / np.sqrt(3 * 7 * 7)
    for copy in range(copies):
        kernels[copy] += signal * gabor(180 * copy / copies, 6.0, 7) / np.sqrt(3)
    with torch.no_grad():
        model.get_submodule("conv1.conv").get_parameter("weight").copy_(torch.from_numpy(kernels))
    return trace(model.eval(), card_of("planted-family"))


def benchmark(nulls: int = 20, seed: int = 0, stages: Stages = silent) -> list[Row]:
    """Every detector on every network that it is for. Raises BadValue for a negative number of null networks.

    >>> benchmark(0)[0].recall  # doctest: +SKIP
    1.0
    """
    if nulls < 0:
        raise BadValue(
            f"There cannot be {nulls} null networks. Give 0 to leave them out, or 20 or more to measure them."
        )
    networks = planted_networks(seed)
    advance = stages("planted networks", len(networks) * len(METHODS))
    rows = []
    for network in networks:
        for method in METHODS:
            rows.append(extraction_row(network, method, seed))
            advance(1)
    rows.append(verdict_row(networks, nulls, seed, stages))
    others: tuple[Callable[[int, int], list[Row]], ...] = (cluster_rows, branch_rows, family_rows)
    advance = stages("other detectors", len(others))
    for other in others:
        rows += other(nulls, seed)
        advance(1)
    return rows
