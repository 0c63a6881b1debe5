"""circuit_of(graph, verified): the measured graph: every edge with its weights, its attribution, and its effect."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from micrographia.circuits.faithful import Interval, mean_interval
from micrographia.circuits.graph import Circuit, Edge, Node, by_family, places
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
    advance = stages("effect of each edge", len(pairs))
    edges = []
    for (stage, unit, source), chosen in pairs.items():
        kernel = kernels[stage][unit][source].astype(np.float64)
        lost = _lost(probe, ablation, [Link(stage, unit, source, each) for each in chosen], seed)
        positive, negative = float(np.maximum(kernel, 0).sum()), float(np.maximum(-kernel, 0).sum())
        size = float(np.sqrt(np.square(kernel).sum()))
        edges.append(
            Edge(
                f"{layers[stage - 1]}:{source}", _name(probe, stage, unit), size if positive >= negative else -size,
                positive, negative, float(signed[stage][unit][source]),
                lost, kernel, None if chosen == [-1] else tuple(chosen),
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


def _lost(probe: Probe, ablation: Ablated, links: Iterable[Link], seed: int) -> Interval:
    """What the target loses without these edges, over the windows where it fires most."""
    best = np.arange(0, len(probe), 2)
    lost = (probe.values - removed(probe, links, ablation)).double().numpy()[best]
    return mean_interval(lost, [probe.pictures[each] for each in best], seed)


def family_circuit(
    circuit: Circuit,
    probe: Probe,
    ablation: Ablated,
    links: frozenset[Link],
    families: Mapping[str, Mapping[str, Sequence[int]]],
    seed: int = 0,
    stages: Stages = silent,
) -> Circuit:
    """The circuit with its units drawn together into families, and the effect of every edge between them measured.

    The effect of a family's edge is what the target loses when all edges of the circuit that it stands for are ablated
    together: what single ones add to each other, or stand in for, is in it. `links` are the circuit's.

    >>> family_circuit(circuit, found, gone, links, {"mixed3a": {"lines": [4, 5]}}).edges[0].effect  # doctest: +SKIP
    Interval(value=1.2, low=0.9, high=1.5)
    """
    place = places(circuit, families)
    layers = probe.chain.layers
    groups: dict[tuple[str, str], list[Link]] = {}
    for link in sorted(links):
        ends = f"{layers[link.stage - 1]}:{link.source}", _name(probe, link.stage, link.target)
        groups.setdefault((place[ends[0]], place[ends[1]]), []).append(link)
    drawn = by_family(circuit, families)
    advance = stages("effect of each family's edge", len(drawn.edges))
    edges = []
    for edge in drawn.edges:
        effect = edge.effect or _lost(probe, ablation, groups[edge.source, edge.target], seed)
        edges.append(replace(edge, effect=effect))
        advance(1)
    return replace(drawn, edges=tuple(edges))


def family_effects(
    probe: Probe, ablation: Ablated, families: Mapping[str, Mapping[str, Sequence[int]]], seed: int = 0,
    stages: Stages = silent,
) -> dict[tuple[str, str], Interval]:  # fmt: skip
    """What the target loses without all that one whole family reads of another, by the ids (layer:name) of both.

    All edges of the network between two families count, not only a circuit's; the target reads as a family of its own.

    >>> family_effects(found, gone, {"mixed3a": {"lines": [4, 5]}})["mixed3a:lines", "mixed3b:379"]  # doctest: +SKIP
    Interval(value=1.4, low=1.0, high=1.8)
    """
    layers = probe.chain.layers
    pairs = []
    for stage in range(1, len(layers)):
        above = {f"{layers[stage]}:{name}": list(units) for name, units in families.get(layers[stage], {}).items()}
        if stage == len(layers) - 1:
            above = {str(probe.target): [TARGET]}
        for name, units in families.get(layers[stage - 1], {}).items():
            pairs += [(stage, f"{layers[stage - 1]}:{name}", units, to, readers) for to, readers in above.items()]
    advance = stages("effect of each family on another", len(pairs))
    found = {}
    for stage, name, units, to, readers in pairs:
        links = [Link(stage, reader, unit) for reader in readers for unit in units]
        found[name, to] = _lost(probe, ablation, links, seed)
        advance(1)
    return found


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
