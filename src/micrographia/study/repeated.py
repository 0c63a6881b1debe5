"""Does a layer's every training end in branches that differ? One kind of score, several networks, one null for all.

Which branch takes what may change from one network to the next, so the effect has no sign: the share of the scores'
ranks' variance that lies between the branches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from scipy.stats import rankdata

from micrographia.errors import BadValue
from micrographia.study.null import Finding, corrected, holm, permutation_p

NULL = "units dealt out anew to the branches"


@dataclass(frozen=True, eq=False)
class Repeated:
    """How far the branches of each network differ in a score, and of all networks together.

    `each` has a finding for every network, corrected after Holm over them, `together` their mean against the mean of as
    many networks of exchanged units; effects are the share of the ranks' variance between branches, 0 to 1, which is
    `by_chance` on average. `medians` are the scores' medians, branch by branch.
    """

    each: tuple[Finding, ...]
    together: Finding
    by_chance: float
    medians: Float[np.ndarray, "network branch"]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "networks": [finding.to_json() for finding in self.each], "together": self.together.to_json(),
            "by_chance": self.by_chance, "medians": self.medians.tolist(),
        }  # fmt: skip


def repeated(
    values: Sequence[Float[np.ndarray, " scored"]],
    owner: Int[np.ndarray, " unit"],
    names: Sequence[str],
    trials: int = 9999,
    seed: int = 0,
) -> Repeated:
    """Whether branches differ in a score, in each of some networks of one plan and in all of them together.

    `values` has the score of every unit for each network, `owner` the branch of each unit, `names` those of the
    networks. Units without a score (NaN) are left out. The effect is Kruskal and Wallis's H over n - 1. Raises BadValue
    where a score is missing or a network has units of one branch only.

    >>> found = repeated([np.arange(8.0), -np.arange(8.0)], np.repeat([0, 1], 4), ["a", "b"])
    >>> round(found.together.effect, 3), found.together.p < 0.01
    (0.762, True)
    """
    if not values or len(values) != len(names) or any(len(each) != len(owner) for each in values):
        sizes = ", ".join(str(len(each)) for each in values) or "none"
        raise BadValue(
            f"There are scores of {sizes} units for {len(names)} networks of {len(owner)} units. Give one per unit."
        )
    rng = np.random.default_rng(seed)
    found, nulls, medians = [], [], []
    for each, name in zip(values, names, strict=True):
        known = np.isfinite(each)
        inside = owner[known]
        if len(np.unique(inside)) < 2:
            raise BadValue(f"The units of {name} that have a score are all of one branch. Score units of two or more.")
        ranks = rankdata(each[known])
        effect = float(_between(ranks[None], inside)[0])
        null = _between(rng.permuted(np.broadcast_to(ranks, (trials, len(ranks))), axis=1), inside)
        found.append(Finding(name, effect, NULL, permutation_p(effect, null), n=len(ranks)))
        nulls.append(null)
        branches = range(int(owner.max()) + 1)
        medians.append([np.median(each[known][inside == number]) for number in branches])
    mean, chance = float(np.mean([each.effect for each in found])), np.mean(nulls, 0)
    p = permutation_p(mean, chance)
    together = Finding(f"mean over {len(found)} networks", mean, NULL, p, p, n=len(found))
    return Repeated(corrected(found, holm), together, float(chance.mean()), np.array(medians))


def _between(ranks: Float[np.ndarray, "trial unit"], owner: Int[np.ndarray, " unit"]) -> Float[np.ndarray, " trial"]:
    """The share of the ranks' variance between the branches."""
    centred = ranks - ranks.mean(1, keepdims=True)
    whole = np.square(centred).sum(1)
    part = np.zeros(len(ranks))
    for number in np.unique(owner):
        own = centred[:, owner == number]
        part += np.square(own.sum(1)) / own.shape[1]
    return np.divide(part, whole, out=np.zeros(len(ranks)), where=whole > 0)
