"""Do the branches of a layer specialise? Families and scores of units, branch by branch, against their nulls.

The question is that of Voss et al., Branch Specialization (Distill 2021). Two things can make branches differ: what was
learned, and what a branch is built of, for a unit behind a narrow bottleneck or with a large kernel cannot look like
any other. So scores have to differ by more than if units were exchanged between the branches, and by more
than in the same architecture with its weights dealt out anew.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.stats import rankdata

from micrographia.errors import BadValue
from micrographia.study.null import (
    Finding,
    benjamini_hochberg,
    corrected,
    hypergeometric_tail,
    mutual_information,
    permutation_p,
)


@dataclass(frozen=True, eq=False)
class Families:
    """How the families of a layer's units are spread over its branches.

    `table` counts them; `cells` has a finding for each family and branch, row by row, whose effect is the count over
    that expected by chance; `information` is the mutual information of family and branch in bit, `null_mean` its mean
    over labels dealt out anew, which is not zero either.
    """

    families: tuple[str, ...]
    branches: tuple[str, ...]
    table: Int[np.ndarray, "family branch"]
    cells: tuple[Finding, ...]
    information: Finding
    null_mean: float

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "families": list(self.families),
            "branches": list(self.branches),
            "table": self.table.tolist(),
            "findings": [each.to_json() for each in self.cells],
            "mutual_information": self.information.to_json() | {"null_mean": self.null_mean},
        }


def branch_of(spans: Mapping[str, tuple[int, int]], channels: int) -> Int[np.ndarray, " unit"]:
    """The number of each unit's branch, from each branch's first and last channel.

    Raises BadValue unless there are two branches or more that share the channels out.

    >>> branch_of({"left": (0, 1), "right": (2, 4)}, 5)
    array([0, 0, 1, 1, 1])
    """
    owner = np.full(channels, -1)
    for number, (first, last) in enumerate(spans.values()):
        if (owner[first : last + 1] >= 0).any():
            raise BadValue(
                "All paths of this layer supply the same channels, so that no unit belongs to one of them. "
                "Choose a layer whose paths are concatenated, or a grouped convolution."
            )
        owner[first : last + 1] = number
    if len(spans) < 2 or (owner < 0).any():
        raise BadValue("This layer has one path only. Choose one with branches: micrographia layers shows them.")
    return owner


def families(
    labels: Sequence[str], owner: Int[np.ndarray, " unit"], names: Sequence[str], trials: int = 9999, seed: int = 0
) -> Families:
    """Which families sit in one branch more often than chance has it: one label per unit, one branch number per unit.

    Each cell's p is the upper tail of the hypergeometric distribution (units drawn for the branch without returning),
    corrected over all cells after Benjamini and Hochberg; the mutual information is held against labels dealt out anew.
    Raises BadValue unless there is a label for each unit.

    >>> families(["a"] * 3 + ["b"] * 5, np.array([0] * 3 + [1] * 5), ["left", "right"]).table.tolist()
    [[3, 0], [0, 5]]
    """
    if len(labels) != len(owner):
        raise BadValue(f"There are {len(labels)} labels for {len(owner)} units. Give each unit one label.")
    kinds = tuple(dict.fromkeys(labels))
    number = np.array([kinds.index(label) for label in labels])
    table = _table(number, owner, len(kinds), len(names))
    in_family, in_branch = table.sum(1), table.sum(0)
    cells = []
    for row, column in np.ndindex(*table.shape):
        count, expected = int(table[row, column]), in_family[row] * in_branch[column] / len(owner)
        p = hypergeometric_tail(count, int(in_family[row]), int(in_branch[column]), len(owner))
        what = f"{kinds[row]} in {names[column]}: {count} of {in_family[row]}"
        cells.append(Finding(what, float(count / expected), "units drawn at random", p, n=len(owner)))
    rng = np.random.default_rng(seed)
    null = np.array(
        [
            mutual_information(_table(rng.permutation(number), owner, len(kinds), len(names)).astype(float))
            for _ in range(trials)
        ]
    )
    bits = mutual_information(table.astype(float))
    p = permutation_p(bits, null)
    information = Finding("mutual information, bit", bits, "labels dealt out anew", p, p, len(owner))
    return Families(kinds, tuple(names), table, corrected(cells), information, float(null.mean()))


def scores(
    values: Mapping[str, Float[np.ndarray, " unit"]],
    owner: Int[np.ndarray, " unit"],
    names: Sequence[str],
    redrawn: Mapping[str, Float[np.ndarray, "trial unit"]] | None = None,
    trials: int = 9999,
    seed: int = 0,
) -> tuple[Finding, ...]:
    """Which branches have larger or smaller scores than the rest of the layer, for each kind of score.

    The effect is Cliff's delta: the chance that a unit of the branch exceeds one outside it, minus the reverse.
    It is held against units exchanged between branches and, where `redrawn` has the scores of networks with their
    weights dealt out anew, against theirs; p is the larger one, corrected over all after Benjamini and Hochberg.
    Units without a score (NaN) are left out.

    >>> scores({"size": np.arange(8.0)}, np.array([0] * 4 + [1] * 4), ["low", "high"])[1].effect
    1.0
    """
    found = []
    for kind, each in values.items():
        known = np.isfinite(each)
        ranks = rankdata(each[known])
        # one set of exchanged units for all branches
        dealt = np.random.default_rng(seed).permuted(np.broadcast_to(ranks, (trials, len(ranks))), axis=1)
        for number, name in enumerate(names):
            inside = owner[known] == number
            if not 0 < inside.sum() < len(inside):
                continue
            delta = float(_delta(ranks[None], inside)[0])
            p = permutation_p(delta, _delta(dealt, inside), both_sides=True)
            null = "units exchanged"
            if redrawn is not None and kind in redrawn:
                others = redrawn[kind]
                whole = np.isfinite(others).all(1)
                drawn = _delta(rankdata(others[whole], axis=1), owner == number)
                p, null = (
                    max(p, permutation_p(delta, drawn, both_sides=True)),
                    "units exchanged; weights dealt out anew",
                )
            found.append(Finding(f"{kind} in {name}", delta, null, p, n=int(inside.sum())))
    return corrected(found, benjamini_hochberg)


def _table(
    number: Int[np.ndarray, " unit"], owner: Int[np.ndarray, " unit"], kinds: int, branches: int
) -> Int[np.ndarray, "family branch"]:
    return np.bincount(number * branches + owner, minlength=kinds * branches).reshape(kinds, branches)


def _delta(ranks: Float[np.ndarray, "trial unit"], inside: Bool[np.ndarray, " unit"]) -> Float[np.ndarray, " trial"]:
    """Cliff's delta from ranks, by way of Mann and Whitney's U."""
    count, rest = int(inside.sum()), int((~inside).sum())
    above = ranks[:, inside].sum(1) - count * (count + 1) / 2
    return 2 * above / (count * rest) - 1
