"""Motifs: patterns that circuits are made of, counted in the signed weights between layers and held against a null.

The null shuffles the weights of each layer between its units, so that every unit keeps how many edges of either sign
lead into it and out of it (degree-preserving switches: Maslov and Sneppen 2002; motifs: Milo et al. 2002).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from types import MappingProxyType
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from micrographia.circuits.graph import Circuit
from micrographia.errors import BadValue
from micrographia.study.null import Finding, corrected, holm, permutation_p

Signs = Int[np.ndarray, "_target _source"]
KEPT = 0.3  # of a target's largest weight: what counts as an edge (Olah et al. 2020 draw the same)
SWITCHES = 10  # tried for each edge
STEPS = 8  # of half a turn: what counts as turned by the same angle


@dataclass(frozen=True, eq=False)
class Motifs:
    """How often each motif is there, with its finding: the effect is the count over the null's mean."""

    counts: Mapping[str, int]
    null_means: Mapping[str, float]
    findings: tuple[Finding, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "counts": dict(self.counts), "null_means": dict(self.null_means),
            "findings": [each.to_json() for each in self.findings],
        }  # fmt: skip


def signs_of(weights: Float[np.ndarray, "target source"], kept: float = KEPT) -> Signs:
    """The signs of the weights that are at least `kept` times their target's largest, and 0 for the others.

    >>> signs_of(np.array([[1.0, -0.5, 0.1]])).tolist()
    [[1, -1, 0]]
    """
    size = np.abs(weights)
    found: Signs = (np.sign(weights) * (size >= kept * np.maximum(size.max(1, keepdims=True), 1e-300))).astype(np.int64)
    return found


def inhibition_pairs(signs: Signs, _next: Signs | None = None) -> int:
    """Pairs of units that read the same two sources with opposite signs: what excites one inhibits the other."""
    opposite = (signs > 0).astype(np.int64) @ (signs < 0).astype(np.int64).T
    both = opposite * opposite.T  # one source each way
    return int(np.triu(both > 0, 1).sum())


def unions(signs: Signs, after: Signs | None) -> int:
    """Unions over cases: two units that inhibit through each other's sources, and a unit above that takes both."""
    if after is None:
        return 0
    opposite = (signs > 0).astype(np.int64) @ (signs < 0).astype(np.int64).T
    pairs = np.triu(opposite * opposite.T > 0, 1)
    up = (after > 0).astype(np.int64)
    return int((up.T @ up * pairs).sum())


def opposed_paths(signs: Signs, after: Signs | None) -> int:
    """Sources that reach a unit two layers above along paths of both signs."""
    if after is None:
        return 0
    up, down = after.astype(np.int64), signs.astype(np.int64)
    excite = (up > 0).astype(np.int64) @ (down > 0) + (up < 0).astype(np.int64) @ (down < 0)
    inhibit = (up > 0).astype(np.int64) @ (down < 0) + (up < 0).astype(np.int64) @ (down > 0)
    return int(((excite > 0) & (inhibit > 0)).sum())


def residual_bypasses(signs: Signs, passed: Sequence[tuple[int, int]]) -> int:
    """Edges along which a residual block hands a channel on to itself; `passed` are their places, (target, source)."""
    return sum(bool(signs[place]) for place in passed)


COUNTS: dict[str, Callable[[Signs, Signs | None], int]] = {
    "inhibition pair": inhibition_pairs, "union over cases": unions, "opposed paths": opposed_paths,
}  # fmt: skip


def motifs(
    first: Float[np.ndarray, "middle source"],
    second: Float[np.ndarray, "target _middle"] | None = None,
    elements: Sequence[int] | None = None,
    families: Sequence[int] | None = None,
    order: int | None = None,
    passed: Sequence[tuple[int, int]] = (),
    kept: float = KEPT,
    trials: int = 199,
    seed: int = 0,
) -> Motifs:
    """Count the motifs in the signed weights of a layer, and of the next one where it is given.

    `elements` are the group elements (such as orientations, 0 to `order` - 1; -1 for none) of the sources and then of
    the middle units, `families` the numbers of their families. With them, equivariance pairs are counted: edges of
    equal sign between the same families whose ends turn by the same step. `passed` are the places (target, source)
    that a residual block's shortcut joins, and by-passes are counted among them. p-values are corrected after Holm.
    Raises BadValue for layers that do not fit together.

    >>> motifs(np.array([[1.0, -1.0], [-1.0, 1.0]])).counts["inhibition pair"]
    1
    """
    if second is not None and second.shape[1] != first.shape[0]:
        raise BadValue(
            f"Weights into {first.shape[0]} units are not followed by weights from {second.shape[1]}. Give two layers "
            "that follow each other."
        )
    for what in (elements, families):
        if what is not None and len(what) != sum(first.shape):
            raise BadValue(f"There are {len(what)} elements for {sum(first.shape)} units. Give one for each, or -1.")
    if any(target >= first.shape[0] or source >= first.shape[1] for target, source in passed):
        raise BadValue(f"A shortcut leads beyond the {first.shape[0]} x {first.shape[1]} weights. Give places in them.")
    signs, after = signs_of(first, kept), None if second is None else signs_of(second, kept)
    counters = {name: count for name, count in COUNTS.items() if after is not None or name == "inhibition pair"}
    if elements is not None:
        counters["equivariance pair"] = lambda here, _: equivariance_pairs(here, elements, families, order)
    if passed:
        counters["residual by-pass"] = lambda here, _: residual_bypasses(here, passed)
    rng = np.random.default_rng(seed)
    null = {name: np.empty(trials) for name in counters}
    for trial in range(trials):
        shuffled = switched(signs, rng), None if after is None else switched(after, rng)
        for name, count in counters.items():
            null[name][trial] = count(*shuffled)
    counts = {name: count(signs, after) for name, count in counters.items()}
    means = {name: float(values.mean()) for name, values in null.items()}
    findings = [
        Finding(name, counts[name] / means[name] if means[name] else float(counts[name]), "signed degrees kept",
                permutation_p(float(counts[name]), null[name]), n=counts[name])
        for name in counters
    ]  # fmt: skip
    return Motifs(counts, means, corrected(findings, holm))


def circuit_motifs(
    circuit: Circuit,
    trials: int = 199,
    seed: int = 0,
    turns: Mapping[str, tuple[str, int]] = MappingProxyType({}),
    shortcuts: Collection[str] = (),
) -> dict[str, Motifs]:
    """The motifs among a circuit's own edges, by the layer whose units they are about; signs are those of the weights.

    A circuit that was made smaller has fewer of them: they are counted in what was found, against the same number of
    edges dealt out anew. p-values are corrected over all layers together (Holm). `turns` say of units, by address, to
    which family of rotation they belong and how far they are turned (see `shares.turns_of`); `shortcuts` name the
    layers that a residual block adds to the one before.

    >>> circuit_motifs(circuit)["mixed3a"].counts  # doctest: +SKIP
    {'inhibition pair': 4, 'union over cases': 1, 'opposed paths': 2}
    """
    units = {layer: [node.id for node in circuit.nodes if node.layer == layer] for layer in circuit.layers}
    tables = []
    for before, layer in pairwise(circuit.layers):
        rows, columns = ({name: i for i, name in enumerate(units[each])} for each in (layer, before))
        table = np.zeros((len(rows), len(columns)))
        for edge in circuit.edges:
            if edge.target in rows:
                table[rows[edge.target], columns[edge.source]] = edge.weight
        tables.append(table)
    numbers = {name: number for number, name in enumerate(dict.fromkeys(name for name, _ in turns.values()))}
    found = {}
    for number, (before, layer) in enumerate(pairwise(circuit.layers)):
        if len(tables[number]) < 2:
            continue
        ends = units[before] + units[layer]
        known = any(name in turns for name in units[before]) and any(name in turns for name in units[layer])
        place = {name.rpartition(":")[2]: column for column, name in enumerate(units[before])}
        own = [(row, place[name.rpartition(":")[2]]) for row, name in enumerate(units[layer])
               if layer in shortcuts and name.rpartition(":")[2] in place]  # fmt: skip
        found[layer] = motifs(
            tables[number], tables[number + 1] if number + 1 < len(tables) else None,
            [turns[name][1] if name in turns else -1 for name in ends] if known else None,
            [numbers[turns[name][0]] if name in turns else -1 for name in ends] if known else None,
            STEPS, own, kept=0.0, trials=trials, seed=seed,
        )  # fmt: skip
    fixed = iter(holm(np.array([each.p for one in found.values() for each in one.findings])))
    return {
        layer: replace(one, findings=tuple(replace(each, corrected=float(next(fixed))) for each in one.findings))
        for layer, one in found.items()
    }


def equivariance_pairs(
    signs: Signs, elements: Sequence[int], families: Sequence[int] | None = None, order: int | None = None
) -> int:
    """Pairs of edges of equal sign between the same families whose two ends differ by the same step of the group.

    >>> equivariance_pairs(np.eye(3, dtype=int), [0, 1, 2, 0, 1, 2])
    3
    """
    turns = np.array(elements)
    of = np.zeros(len(turns), dtype=np.int64) if families is None else np.array(families)
    width, steps = signs.shape[1], int(max(elements, default=0)) + 1 if order is None else order
    count = 0
    for sign in (1, -1):
        rows, columns = np.nonzero(signs == sign)
        targets, sources = rows + width, columns
        known = (turns[targets] >= 0) & (turns[sources] >= 0)
        targets, sources = targets[known], sources[known]
        step = (turns[targets] - turns[sources]) % steps
        pair = of[targets] * (of.max(initial=0) + 1) + of[sources]
        sizes = np.unique(pair * steps + step, return_counts=True)[1]
        count += int((sizes * (sizes - 1) // 2).sum())
    return count


def switched(signs: Signs, rng: np.random.Generator) -> Signs:
    """The same matrix of signs with its edges switched: every row and column keeps its number of each sign.

    >>> switched(np.eye(3, dtype=int), np.random.default_rng(0)).sum(0).tolist()
    [1, 1, 1]
    """
    found = signs.copy()
    for sign in (1, -1):
        edges = np.argwhere(found == sign)
        for _ in range(SWITCHES * len(edges)):
            first, second = rng.integers(len(edges), size=2)
            (a, b), (c, d) = edges[first], edges[second]
            if found[a, d] == 0 and found[c, b] == 0:
                found[a, b] = found[c, d] = 0
                found[a, d] = found[c, b] = sign
                edges[first], edges[second] = (a, d), (c, b)
    return found
