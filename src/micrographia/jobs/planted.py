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


@dataclass(frozen=True)
class Row:
    """A detector on a planted network: shares of what was planted that it found, and of what it found that was planted.

    On null networks `false_alarms` of `nulls` had something found in them; None where it was not measured.
    """

    detector: str
    network: str
    planted: int
    recall: float
    precision: float
    false_alarms: int | None = None
    nulls: int = 0

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
        hits / max(1, len(edges)),
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


def cluster_row(nulls: int, seed: int = 0) -> Row:
    """The clusters of `svd`, on weights with three planted blocks: pairs of units that belong together."""
    rng = np.random.default_rng(seed)
    sizes = ((9, 7), (6, 8), (8, 5))
    blocks = np.concatenate([np.full(a, i) for i, (a, _) in enumerate(sizes)])
    columns = np.concatenate([np.full(b, i) for i, (_, b) in enumerate(sizes)])
    matrix = np.abs(rng.normal(0, 0.3, (len(blocks), len(columns)))) + (blocks[:, None] == columns)
    found, _ = clusters(matrix, seed=seed)
    labels = np.zeros(len(blocks), int) if found is None else found.rows
    together, same = np.equal.outer(blocks, blocks), np.equal.outer(labels, labels)
    above = np.triu(np.ones_like(together), 1).astype(bool)
    hits = int((together & same & above).sum()) if found is not None else 0
    alarms = sum(
        clusters(np.abs(rng.normal(0, 0.3, matrix.shape)), seed=seed + number)[0] is not None for number in range(nulls)
    )
    wanted, given = int((together & above).sum()), int((same & above).sum())
    return Row(
        "svd: clusters",
        "three blocks",
        wanted,
        hits / wanted,
        hits / max(1, given if found is not None else 0),
        alarms,
        nulls,
    )


def branch_row(nulls: int, seed: int = 0) -> Row:
    """The families of `branches`: one of four families planted in one of three branches."""
    rng = np.random.default_rng(seed)
    owner = np.repeat([0, 1, 2], [16, 24, 12])
    names = ("left", "middle", "right")
    labels = ["lines" if branch == 2 else str(rng.choice(["a", "b", "c"])) for branch in owner]
    kinds = list(dict.fromkeys(labels))
    found = branch_families(labels, owner, names, trials=999, seed=seed)
    called = {
        (row, column)
        for (row, column), cell in zip(np.ndindex(*found.table.shape), found.cells, strict=True)
        if cell.holds()
    }
    aim = (kinds.index("lines"), 2)
    alarms = 0
    for number in range(nulls):
        dealt = [str(each) for each in rng.permutation(labels)]
        alarms += any(
            cell.holds() for cell in branch_families(dealt, owner, names, trials=99, seed=seed + number).cells
        )
    return Row(
        "branches: families",
        "a family in a branch",
        1,
        float(aim in called),
        float(aim in called) / max(1, len(called)),
        alarms,
        nulls,
    )


def family_row(nulls: int, seed: int = 0) -> Row:
    """The families of `families`: eight turned copies of one kernel among random ones; found units count."""
    count, copies = 24, 8
    found = _family_units(_with_family(count, copies, seed), seed)
    hits = len(found & set(range(copies)))
    alarms = sum(bool(_family_units(_with_family(count, 0, seed + 1 + number), seed)) for number in range(nulls))
    return Row("families", "eight turned kernels", copies, hits / copies, hits / max(1, len(found)), alarms, nulls)


def _family_units(graph: LayerGraph, seed: int) -> set[int]:
    result = layer_families(graph, "conv1", kinds=("weights",), trials=39, seed=seed)
    return {member for each in result.families for member in each.family.members}


def _with_family(count: int, copies: int, seed: int) -> LayerGraph:
    model = Stack((3, count, 4), (7, 3))
    rng = np.random.default_rng(seed)
    kernels = rng.normal(0, 0.1, (count, 3, 7, 7))
    for copy in range(copies):
        kernels[copy] += 2.5 * gabor(180 * copy / copies, 6.0, 7)
    with torch.no_grad():
        model.get_submodule("conv1.conv").get_parameter("weight").copy_(torch.from_numpy(kernels))
    return trace(model.eval(), card_of("planted-family"))


def benchmark(nulls: int = 20, seed: int = 0, stages: Stages = silent) -> list[Row]:
    """Every detector on every network that it is for. Raises BadValue for a negative number of null networks.

    >>> benchmark(0)[0].recall
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
    alarms = supported_nulls(nulls, seed, stages=stages) if nulls else None
    rows = [
        Row(row.detector, row.network, row.planted, row.recall, row.precision, alarms, nulls)
        if row.detector.endswith("attribution")
        else row
        for row in rows
    ]
    others: tuple[Callable[[int, int], Row], ...] = (cluster_row, branch_row, family_row)
    advance = stages("other detectors", len(others))
    for other in others:
        rows.append(other(nulls, seed))
        advance(1)
    return rows
