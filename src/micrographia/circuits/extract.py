"""extract(graph, probe, size): the circuit of a given size behind a target, by any of the methods of `score`.

Of all scored edges the best are taken, as many as are asked for; an edge counts only where it lies on a path of edges
from the base to the target.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from micrographia.circuits.masked import TARGET, Link, Trace, traced
from micrographia.circuits.probe import Ablated, Probe
from micrographia.circuits.score import Scores, StageScores, kernel_products, score
from micrographia.circuits.stage import Reader
from micrographia.errors import BadValue
from micrographia.model.graph import LayerGraph

LEVELS = ("edge", "node", "kernel")
AFTER = 64  # links that are tried where the best ones do not come to the size exactly
FORCE_STEPS = 10
FORCE_START = 4  # the first mask holds as many times the size


@dataclass(frozen=True, eq=False)
class Extraction:
    """The scores of a circuit's possible edges, from which circuits of any size follow; see `links_of`."""

    probe: Probe
    ablation: Ablated
    scores: Scores
    level: str

    @property
    def method(self) -> str:
        return self.scores.method


def extract(
    graph: LayerGraph, probe: Probe, ablation: Ablated, method: str = "attribution", level: str = "edge", pool: int = 32
) -> Extraction:
    """Score everything that may belong to the circuit: at most `pool` units of each layer get edges of their own.

    `level` says what a circuit's size counts and what is kept as one: "edge" (all that one unit reads of another),
    "node" (units, with all edges between them), or "kernel" (one kernel of the convolution that first reads a unit).
    Raises BadValue for other methods and levels.

    >>> links_of(extract(graph, found, ablated(found)), 30)  # doctest: +SKIP
    frozenset({Link(stage=1, target=147, source=31, kernel=-1), ...})
    """
    if level not in LEVELS:
        raise BadValue(f"There is no level '{level}'. Choose {', '.join(LEVELS)}.")
    if level == "kernel" and method in ("weight", "magnitude"):
        raise BadValue(f"The method {method} looks at whole edges. Choose the level edge or node, or another method.")
    return Extraction(probe, ablation, score(graph, probe, ablation, method, pool, level == "kernel"), level)


def links_of(extraction: Extraction, size: int) -> frozenset[Link]:
    """The best circuit of at most `size` edges (or nodes, or kernels), every edge on a path to the target.

    Where no circuit is as small, the smallest that joins the base to the target. Raises BadValue for a size below 1.
    """
    if size < 1:
        raise BadValue(f"A circuit of size {size} has nothing in it. Give 1 or more.")
    if extraction.method == "force":
        return _force(extraction, size)
    return select(extraction.scores, size, extraction.level)


def select(scores: Scores, size: int, level: str = "edge") -> frozenset[Link]:
    """The best links by these scores, as `links_of` says."""
    if level == "node":
        return _nodes(scores, size)
    ranked, depth = _ranked(scores, level == "kernel"), len(scores.stages)
    low, high = 0, len(ranked)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if len(joined(ranked[:middle], depth)) <= size else (low, middle - 1)
    chosen = ranked[:low]
    # the next link may join several that led nowhere before, and so be too many: then one after it may fit
    for link in ranked[low : low + AFTER]:
        if len(joined([*chosen, link], depth)) <= size:
            chosen.append(link)
    found = joined(chosen, depth)
    while not found and low < len(ranked):
        low += 1
        found = joined(ranked[:low], depth)
    return found


def joined(links: Iterable[Link], depth: int) -> frozenset[Link]:
    """The links that lie on a path from the base (layer 0) to the target."""
    left = list(links)
    live = {TARGET}
    above: list[Link] = []
    by_stage: dict[int, list[Link]] = {}
    for link in left:
        by_stage.setdefault(link.stage, []).append(link)
    fed: set[int] = set()
    up: dict[int, list[Link]] = {}
    for stage in range(1, depth + 1):
        up[stage] = [each for each in by_stage.get(stage, []) if stage == 1 or each.source in fed]
        fed = {each.target for each in up[stage]}
    for stage in range(depth, 0, -1):
        chosen = [each for each in up[stage] if each.target in live]
        above += chosen
        live = {each.source for each in chosen}
    return frozenset(above)


def _ranked(scores: Scores, kernels: bool) -> list[Link]:
    """All links with a score above 0, the best first; equal scores in the order of their numbers."""
    values, links = [], []
    for number, stage in enumerate(scores.stages, start=1):
        for row, unit in enumerate(stage.targets):
            table = stage.kernels[row] if kernels else stage.edges[row][None]
            for kernel, source in zip(*np.nonzero(table > 0), strict=True):
                values.append(table[kernel, source])
                links.append(Link(number, unit, int(source), int(kernel) if kernels else -1))
    return [links[each] for each in np.argsort(-np.array(values), kind="stable")]


def _nodes(scores: Scores, size: int) -> frozenset[Link]:
    """All edges between the best units, at least one of each layer."""
    depth = len(scores.stages)
    known = [range(len(scores.nodes[0])), *(stage.targets for stage in scores.stages[:-1])]
    ranked = sorted(
        ((float(scores.nodes[layer][unit]), layer, int(unit)) for layer in range(depth) for unit in known[layer]),
        key=lambda each: (-each[0], each[1:]),
    )
    first = [next(each for each in ranked if each[1] == layer) for layer in range(depth)]
    rest = [each for each in ranked if each not in first]
    chosen = {(layer, unit) for _, layer, unit in (first + rest)[: max(size, depth)]}
    by_layer = [[unit for layer_, unit in chosen if layer_ == layer] for layer in range(depth)] + [[TARGET]]
    return frozenset(
        Link(stage, unit, source)
        for stage in range(1, depth + 1)
        for unit in by_layer[stage]
        for source in by_layer[stage - 1]
    )


def size_of(links: Iterable[Link], level: str = "edge") -> int:
    """How many edges, kernels or nodes (without the target) a circuit has."""
    links = list(links)
    return len({(link.stage, link.source) for link in links}) if level == "node" else len(links)


def _force(extraction: Extraction, size: int) -> frozenset[Link]:
    """Shrink the mask step by step; what was pruned may come back while its gradient says so (de Jorge et al. 2021)."""
    scores = extraction.scores
    start = max(size * FORCE_START, size + 1)
    links = select(scores, start, extraction.level)
    for step in range(1, FORCE_STEPS + 1):
        now = round(start * (size / start) ** (step / FORCE_STEPS))
        scores = _rescored(extraction, scores, links)
        shrunk = select(scores, now, extraction.level)
        if not shrunk:
            break
        links = shrunk
    return links


def _rescored(extraction: Extraction, scores: Scores, links: frozenset[Link]) -> Scores:
    """The scores on the pruned network; edges into units that it does not hold have none."""
    probe, ablation = extraction.probe, extraction.ablation
    trace = Trace(leaves={})
    with torch.inference_mode(False), torch.enable_grad():
        values = traced(probe, links, ablation, trace)
        keys = list(trace.leaves or {})
        flat = [leaf for key in keys for leaf in (trace.leaves or {})[key]]
        got = list(torch.autograd.grad(values.sum(), flat, allow_unused=True))
    gradients = {key: [got.pop(0) for _ in (trace.leaves or {})[key]] for key in keys}
    stages, nodes = [], []
    for number, stage in enumerate(scores.stages, start=1):
        read = _now(probe, ablation, trace, number - 1)
        kernels = []
        for row, unit in enumerate(stage.targets):
            if (number, unit) not in gradients:
                width = len(scores.stages[number - 1].edges[row])
                kernels.append(np.zeros((stage.kernels[row].shape[0] if stage.kernels else 1, width)))
                continue
            readers: Sequence[Reader] = (
                [reader for reader, _ in probe.readers]
                if unit == TARGET
                else [probe.chain.stages[number - 1].reader(unit)]
            )
            entries = [entry for reader in readers for entry in reader.entries]
            parts: list[Float[np.ndarray, "kernel source"]] = []
            for entry, gradient in zip(entries, gradients[number, unit], strict=True):
                if gradient is None:
                    parts.append(np.zeros((len(entry.weight), entry.weight.shape[1])))
                else:
                    products = kernel_products(entry, gradient, entry.before(read))[1]
                    parts.append(products.double().mean(0).cpu().numpy())
            kernels.append(np.concatenate(parts))
        edges = np.stack([each.sum(0) for each in kernels]) if kernels else stage.edges
        stages.append(StageScores(stage.targets, edges, stage.signed, tuple(kernels)))
        nodes.append(edges.sum(0))
    return Scores(scores.method, tuple(stages), tuple(nodes))


def _now(probe: Probe, ablation: Ablated, trace: Trace, layer: int) -> torch.Tensor:
    """What a layer's readers see in the pruned network: units that it does not hold are ablated."""
    if layer == 0:
        return probe.reads[0]
    read = ablation.reads[layer].expand_as(probe.reads[layer]).clone()
    for (stage, unit), value in trace.values.items():
        if stage == layer:
            read[:, unit : unit + 1] = value.detach()
    return read


def relabelled(probe: Probe, links: Iterable[Link], rng: np.random.Generator) -> frozenset[Link]:
    """The same graph over other units: within each layer every unit becomes another one, drawn at random.

    It has as many edges, nodes and kernels, joined in the same way; the target stays.
    """
    orders = [rng.permutation(count) for count in probe.chain.channels]
    chosen: dict[tuple[int, int, int], np.ndarray] = {}
    found = set()
    for link in sorted(links):
        unit = TARGET if link.target == TARGET else int(orders[link.stage][link.target])
        source = int(orders[link.stage - 1][link.source])
        kernel = -1
        if link.kernel >= 0:
            key = (link.stage, unit, source)
            if key not in chosen:
                readers = (
                    [r for r, _ in probe.readers]
                    if unit == TARGET
                    else [probe.chain.stages[link.stage - 1].reader(unit)]
                )
                count = sum(len(entry.weight) for reader in readers for entry in reader.entries)
                chosen[key] = rng.permutation(count)
            if len(chosen[key]):
                kernel, chosen[key] = int(chosen[key][0]), chosen[key][1:]
        found.add(Link(link.stage, unit, source, kernel))
    return frozenset(found)
