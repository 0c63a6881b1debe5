"""Found families against a taxonomy made by people: how much of one is in the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Int
from sklearn.metrics import v_measure_score

from micrographia.errors import BadValue
from micrographia.study.null import Finding, permutation_p

NONE = -1


@dataclass(frozen=True)
class Match:
    """A family of the taxonomy and the found family that is most like it (None: no found one shares a unit)."""

    label: str
    units: int
    found: int | None
    precision: float
    recall: float
    f1: float


@dataclass(frozen=True)
class Score:
    """The adjusted Rand index and V-measure of found families against a taxonomy, over the units that were matched.

    `everywhere` has both over all units, where those in no found family count as one more group. `covered` is the share
    of units in found families. The finding holds the index against labels dealt out anew among the matched units.
    """

    rand: float
    v_measure: float
    everywhere: tuple[float, float]
    covered: float
    matches: tuple[Match, ...]
    finding: Finding

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "adjusted_rand": self.rand,
            "v_measure": self.v_measure,
            "all_units": {"adjusted_rand": self.everywhere[0], "v_measure": self.everywhere[1]},
            "covered": self.covered,
            "families": [
                {"label": m.label, "units": m.units, "found": m.found, "precision": m.precision, "recall": m.recall,
                 "f1": m.f1}
                for m in self.matches
            ],
            "finding": self.finding.to_json(),
        }  # fmt: skip


def score(families: Sequence[Sequence[int]], labels: Sequence[str], trials: int = 999, seed: int = 0) -> Score:
    """How well families (units each) agree with a taxonomy (one label for each unit of the layer).

    The adjusted Rand index (Hubert and Arabie 1985) is 0 for chance; the V-measure (Rosenberg and Hirschberg 2007) is
    not, hence the null. A unit in several families counts in the first. Raises BadValue for units without a label.

    >>> score([[0, 1], [2, 3]], ["a", "a", "b", "b", "b"]).rand
    1.0
    """
    group = np.full(len(labels), NONE)
    for number, units in reversed(list(enumerate(families))):
        outside = [unit for unit in units if not 0 <= unit < len(labels)]
        if outside:
            raise BadValue(f"Unit {outside[0]} has no label: there are {len(labels)}. Give one for each unit.")
        group[list(units)] = number
    kinds = list(dict.fromkeys(labels))
    truth = np.array([kinds.index(label) for label in labels])
    inside = group != NONE
    matches = tuple(_match(label, truth == number, group) for number, label in enumerate(kinds))
    observed = adjusted_rand(truth[inside], group[inside])
    rng = np.random.default_rng(seed)
    null = np.array([adjusted_rand(rng.permutation(truth[inside]), group[inside]) for _ in range(trials)])
    p = permutation_p(observed, null)
    finding = Finding("adjusted Rand index", observed, "labels dealt out anew", p, p, int(inside.sum()))
    return Score(
        observed,
        float(v_measure_score(truth[inside], group[inside])) if inside.any() else 0.0,
        (adjusted_rand(truth, group), float(v_measure_score(truth, group))),
        float(inside.mean()),
        matches,
        finding,
    )


def adjusted_rand(one: Int[np.ndarray, " unit"], other: Int[np.ndarray, " unit"]) -> float:
    """The share of pairs of units on which two partitions agree, 0 for chance and 1 for the same partition.

    Hubert and Arabie 1985. Of one unit or none, and where both partitions are trivial, it is 0.

    >>> adjusted_rand(np.array([0, 0, 1, 1]), np.array([3, 3, 2, 2]))
    1.0
    """
    if len(one) < 2:
        return 0.0
    rows, columns = one - one.min(), other - other.min()
    wide = int(columns.max()) + 1
    table = np.bincount(rows * wide + columns, minlength=(int(rows.max()) + 1) * wide).reshape(-1, wide)

    def pairs(counts: Int[np.ndarray, ...]) -> float:
        return float((counts * (counts - 1) / 2).sum())

    together, mine, theirs = pairs(table), pairs(table.sum(1)), pairs(table.sum(0))
    chance = mine * theirs / (len(one) * (len(one) - 1) / 2)
    most = (mine + theirs) / 2
    return (together - chance) / (most - chance) if most > chance else 0.0


def _match(label: str, own: Bool[np.ndarray, " unit"], group: Int[np.ndarray, " unit"]) -> Match:
    best = Match(label, int(own.sum()), None, 0.0, 0.0, 0.0)
    for number in np.unique(group[own & (group != NONE)]).tolist():
        members = group == number
        shared = int((own & members).sum())
        precision, recall = shared / int(members.sum()), shared / int(own.sum())
        f1 = 2 * precision * recall / (precision + recall)
        if f1 > best.f1:
            best = Match(label, int(own.sum()), number, precision, recall, f1)
    return best
