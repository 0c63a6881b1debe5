"""circuit_of(graph, verified): the measured graph: every edge with its weights, its attribution, and its effect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from micrographia.circuits.faithful import mean_interval
from micrographia.circuits.graph import Circuit, Edge, Node
from micrographia.circuits.masked import TARGET, Link, removed
from micrographia.circuits.probe import Ablated, Probe
from micrographia.circuits.score import expanded_kernels, score
from micrographia.console import Stages, silent
from micrographia.model.graph import LayerGraph


def circuit_of(
    graph: LayerGraph,
    probe: Probe,
    ablation: Ablated,
    links: frozenset[Link],
    scores: Mapping[str, Any],
    made_by: Mapping[str, Any],
    seed: int = 0,
    stages: Stages = silent,
) -> Circuit:
    """Measure every edge of a circuit on a probe's pictures.

    An edge's effect is the target's mean value in the network less that with this one edge ablated, over the windows
    where the target fires most; the interval is over pictures. Raises as `expanded` does.

    >>> circuit_of(graph, found, gone, links, {}, {}).edges[0].effect  # doctest: +SKIP
    Interval(value=0.41, low=0.32, high=0.52)
    """
    layers = probe.chain.layers
    pairs: dict[tuple[int, int, int], list[int]] = {}
    for link in sorted(links):
        pairs.setdefault((link.stage, link.target, link.source), []).append(link.kernel)
    targets: dict[int, list[int]] = {}
    for stage, unit, _ in pairs:
        targets.setdefault(stage, [])
        if unit not in targets[stage]:
            targets[stage].append(unit)
    kernels = {
        stage: dict(zip(units, expanded_kernels(graph, probe, stage, tuple(units)), strict=True))
        for stage, units in targets.items()
    }
    signed = _attributions(graph, probe, ablation, targets)
    best = np.arange(0, len(probe), 2)
    pictures = [probe.pictures[each] for each in best]
    advance = stages("effect of each edge", len(pairs))
    edges = []
    for (stage, unit, source), chosen in pairs.items():
        kernel = kernels[stage][unit][source].astype(np.float64)
        lost = probe.values - removed(probe, [Link(stage, unit, source, each) for each in chosen], ablation)
        positive, negative = float(np.maximum(kernel, 0).sum()), float(np.maximum(-kernel, 0).sum())
        size = float(np.sqrt(np.square(kernel).sum()))
        edges.append(
            Edge(
                f"{layers[stage - 1]}:{source}", _name(probe, stage, unit), size if positive >= negative else -size,
                positive, negative, float(signed[stage][unit][source]),
                mean_interval(lost.double().numpy()[best], pictures, seed), kernel,
                None if chosen == [-1] else tuple(chosen),
            )
        )  # fmt: skip
        advance(1)
    return Circuit(
        graph.card.name,
        graph.fingerprint,
        str(probe.target),
        layers,
        _nodes(probe, pairs),
        tuple(edges),
        scores,
        made_by,
    )


def _attributions(
    graph: LayerGraph, probe: Probe, ablation: Ablated, targets: Mapping[int, list[int]]
) -> dict[int, dict[int, np.ndarray]]:
    """The mean net attribution of all edges into the circuit's units, over all windows."""
    found = score(graph, probe, ablation, "net", units=targets)
    return {
        number: dict(zip(stage.targets, stage.signed, strict=True))
        for number, stage in enumerate(found.stages, start=1)
    }


def _name(probe: Probe, stage: int, unit: int) -> str:
    return str(probe.target) if unit == TARGET else f"{probe.chain.layers[stage]}:{unit}"


def _nodes(probe: Probe, pairs: Mapping[tuple[int, int, int], list[int]]) -> tuple[Node, ...]:
    units = sorted({(stage - 1, source) for stage, _, source in pairs})
    names = probe.chain.layers
    nodes = [Node(f"{names[layer]}:{unit}", names[layer], "unit", ((unit, 1.0),)) for layer, unit in units]
    target = probe.target
    nodes.append(Node(str(target), target.layer, "direction" if target.name else "unit", target.members))
    return tuple(nodes)
