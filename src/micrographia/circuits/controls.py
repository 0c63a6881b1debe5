"""The controls that a circuit has to beat: random circuits, weights alone, and networks that have learned nothing.

The last one is a test in the strict sense. Where a network is itself random, the faithfulness of its circuit and those
of circuits found in the same way in untrained copies of it are exchangeable, so the chance that its own is the highest
of all 20 is 1 in 20. All controls must be beaten, each at the same level, so that together they reject no more often
than the strictest of them (an intersection-union test: Berger 1982), and no correction for their number is needed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from torch import Tensor

from micrographia.circuits.chain import chain
from micrographia.circuits.extract import extract, joined, links_of, relabelled
from micrographia.circuits.faithful import faithfulness
from micrographia.circuits.masked import TARGET, Link, kept, nothing
from micrographia.circuits.probe import Ablated, Probe, Target, ablated, probe
from micrographia.circuits.score import expanded_norms
from micrographia.circuits.untrained import moments, untrained
from micrographia.errors import BadValue
from micrographia.model.graph import LayerGraph

CALIBRATION = 16  # pictures on which untrained units get their mean and spread
ENOUGH = 3  # untrained networks as good as the one that is tested: then it is lost
DEAD = 3  # untrained copies are drawn up to so many times as often as needed, as some have a dead target


@dataclass(frozen=True)
class Plan:
    """How a circuit is found: everything that a control must share with it."""

    depth: int = 3
    size: int = 30
    method: str = "attribution"
    level: str = "edge"
    ablation: str = "mean"
    pool: int = 24


def random_circuits(
    probe: Probe, links: frozenset[Link], ablation: Ablated, count: int, seed: int
) -> Float[np.ndarray, " circuit"]:
    """The faithfulness of circuits with the same graph over other units of the same layers, drawn at random."""
    rng = np.random.default_rng(seed)
    whole, empty = probe.values.numpy(), nothing(probe, ablation).numpy()
    return np.array(
        [faithfulness(whole, kept(probe, relabelled(probe, links, rng), ablation).numpy(), empty) for _ in range(count)]
    )


def magnitude_only(graph: LayerGraph, probe: Probe, links: frozenset[Link], level: str) -> frozenset[Link]:
    """A circuit with as many links in each layer as this one, chosen by the size of the weights alone.

    From the target down, every unit that is reached gets its largest weight, and the largest of all others follow.
    """
    depth = len(probe.chain.stages)
    live: tuple[int, ...] = (TARGET,)
    found: list[Link] = []
    for stage in range(depth, 0, -1):
        here = [link for link in links if link.stage == stage]
        tables = _tables(graph, probe, stage, live, level == "kernel")
        if level == "node":
            # as many units of the layer as before, each joined to every unit above
            count = len({link.source for link in here})
            total = np.max([table.max(0) for table in tables], axis=0)
            chosen = np.argsort(-total, kind="stable")[:count].tolist()
            found += [Link(stage, unit, source) for unit in live for source in chosen]
        else:
            found += _largest(stage, live, tables, len(here), level == "kernel")
        live = tuple(sorted({link.source for link in found if link.stage == stage}))
    return joined(found, depth)


def _tables(
    graph: LayerGraph, probe: Probe, stage: int, units: tuple[int, ...], kernels: bool
) -> list[Float[np.ndarray, "_kernel source"]]:
    """The norms of all weights into each unit: of whole edges, or kernel by kernel."""
    if not kernels:
        return [row[None] for row in expanded_norms(graph, probe, stage, units)]
    tables = []
    for unit in units:
        readers = [r for r, _ in probe.readers] if unit == TARGET else [probe.chain.stages[stage - 1].reader(unit)]
        parts = [entry.weight.double().square().sum((2, 3)).sqrt() for reader in readers for entry in reader.entries]
        tables.append(np.concatenate([part.cpu().numpy() for part in parts]))
    return tables


def _largest(
    stage: int, units: tuple[int, ...], tables: list[Float[np.ndarray, "_kernel source"]], count: int, kernels: bool
) -> list[Link]:
    ranked = sorted(
        (
            (-float(table[kernel, source]), row, int(kernel), int(source))
            for row, table in enumerate(tables)
            for kernel, source in (np.unravel_index(i, table.shape) for i in np.argsort(-table, axis=None)[:count])
        ),
    )
    best: dict[int, tuple[float, int, int, int]] = {}
    for each in ranked:
        best.setdefault(each[1], each)
    first = sorted(best.values())
    chosen = (first + [each for each in ranked if each not in set(first)])[:count]
    return [Link(stage, units[row], source, kernel if kernels else -1) for _, row, kernel, source in chosen]


def other_networks(
    graph: LayerGraph,
    target: Target,
    halves: tuple[Float[Tensor, "picture channel height width"], Float[Tensor, "picture channel height width"]],
    plan: Plan,
    own: float,
    count: int,
    seed: int,
    advance: Callable[[int], None],
) -> tuple[Float[np.ndarray, " network"], float]:
    """The faithfulness of circuits found by the same plan in untrained copies of the network, and the p-value of `own`.

    As soon as 3 of them are as faithful no more are drawn, and p is 3 over their number; otherwise it is one more than
    are as faithful over one more than were drawn (Besag and Clifford 1991). Raises BadValue where the target is dead in
    nearly all of them.
    """
    wanted = moments(graph, target.layer, halves[0][:CALIBRATION])
    values: list[float] = []
    for number in range(DEAD * count):
        other = untrained(graph, target.layer, halves[0][:CALIBRATION], wanted, seed * 1000 + number)
        try:
            values.append(found_faithfulness(other, target, halves, plan, seed))
        except BadValue:
            continue
        advance(1)
        as_good = sum(value >= own for value in values)
        if as_good == ENOUGH:
            advance(count - len(values))
            return np.array(values), ENOUGH / len(values)
        if len(values) == count:
            return np.array(values), (1 + as_good) / (1 + count)
    raise BadValue(
        f"In {DEAD * count - len(values)} of {DEAD * count} untrained copies {target} is dead, so there is "
        "no control. Choose a unit that fires more often, or fewer networks."
    )


def found_faithfulness(
    graph: LayerGraph,
    target: Target,
    halves: tuple[Float[Tensor, "picture channel height width"], Float[Tensor, "picture channel height width"]],
    plan: Plan,
    seed: int,
) -> float:
    """Find a circuit on one half of the pictures and measure its faithfulness on the other."""
    layers = chain(graph, target.layer, plan.depth)
    first = probe(graph, layers, target, halves[0], seed)
    links = links_of(
        extract(graph, first, ablated(first, plan.ablation, seed), plan.method, plan.level, plan.pool), plan.size
    )
    second = probe(graph, layers, target, halves[1], seed)
    gone = ablated(second, plan.ablation, seed)
    return faithfulness(second.values.numpy(), kept(second, links, gone).numpy(), nothing(second, gone).numpy())
