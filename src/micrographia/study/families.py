"""Units of a layer that are one feature under a group: which, at which elements, and how sure that is.

A family is grown from one unit: all units are aligned to it, those that agree join, their mean becomes the template,
all units are aligned to that, and so on until nothing changes. A member is always compared with the mean of the other
members. What remains is searched again.

**What it is held against.** With 480 units, 36 angles and kernels of few degrees of freedom, good agreement is found in
any noise, the more of it the fewer degrees of freedom an architecture leaves: kernels of 3x3 grey cells are nearly
all copies of each other, units behind one narrow bottleneck are alike, average pooling makes all kernels smooth. No
fixed bound is right for two networks. So all is conditional on the architecture and on all that lies below a layer:

- the layer's own weights are dealt out anew, and the whole search runs again, on the same inputs, with the same rules.
  Weights that are drawn independently are exchangeable with such surrogates, so that the p-value of the best family
  is exact for networks at random (Phipson and Smyth 2010);
- *entries* are dealt out over a whole kernel tensor, which leaves nothing of the weights but their distribution;
- *inputs* are dealt out for each unit by itself, with kernels kept whole: a unit stays as smooth, as large and as
  sparse as it was, but reads other channels. This is exact for layers whose channels were shuffled. A layer that
  reads pixels has no channels to deal out, three colours apart; there, noise of each unit's own spectrum and colours,
  without any direction, takes its place, for mere smoothness makes kernels agree;
- a first batch of surrogates, used for nothing else, says from which agreement on a unit joins (as like a family
  as the two most similar units of a whole random layer are, so that it is harder among many) and in which measure
  agreements are added up.

A family's corrected p is the share of surrogates whose best family is at least as good, the larger one of both kinds:
the chance to report anything at all where there is nothing. Its own p is the larger one of two that look at this family
alone: sets of units drawn at random and aligned as well as they can be, and the same members at random elements.

The elements of members are differences to that of the first member. Features that look the same after a part of a turn
have elements up to that part (`period`). Units that the group hardly moves are listed, not matched; so are dead ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from micrographia.errors import BadValue
from micrographia.study.alignment import Alignment, Group, circle_gap, distinct, steps_of
from micrographia.study.growth import among, grown, peaks, period_of, to_others, to_template
from micrographia.study.null import permutation_p

MOVING = 0.1
"""Of a unit's energy, the share that the group has to move; below it the unit counts as invariant."""
LEAST = 0.5
"""No unit joins a family that it correlates with less than this, however little noise there is."""


@dataclass(frozen=True)
class Scale:
    """The measure of a layer, from surrogates: the agreement from which a unit joins, and what noise has on average."""

    join: float
    mean: float
    deviation: float


@dataclass(frozen=True)
class Family:
    """Units that are one feature, each with its element and its correlation with the mean of the others.

    `correlation` is the mean over all aligned pairs, `gap` the largest part of the group without a member, `strength`
    the sum over members of how far they stand above noise. `nulls` has the p-value of every null.
    """

    members: tuple[int, ...]
    elements: tuple[float, ...]
    scores: tuple[float, ...]
    correlation: float
    period: float
    gap: float
    strength: float
    nulls: tuple[tuple[str, float], ...] = ()
    p: float = 1.0
    corrected: float = 1.0

    def holds(self, level: float = 0.05) -> bool:
        """Whether the corrected p-value is at most `level`."""
        return self.corrected <= level


def measure(surrogates: Sequence[Alignment]) -> Scale:
    """The measure of noise: how much each unit of the surrogates agrees with the unit that is most like it.

    A unit joins from the largest such agreement of a surrogate on, the median one of all surrogates. Raises BadValue
    without units that could be compared.
    """
    each = [near for near in map(_nearest, surrogates) if len(near)]
    if not each:
        raise BadValue("Fewer than 2 units change under this group. Choose another group or a layer of more units.")
    nearest = np.concatenate(each)
    largest = float(np.median([near.max() for near in each]))
    return Scale(max(LEAST, largest), float(nearest.mean()), max(float(nearest.std()), 0.01))


def _nearest(alignment: Alignment) -> Float[np.ndarray, " unit"]:
    live = np.flatnonzero(alignment.moving >= MOVING)
    if len(live) < 2:
        return np.empty(0)
    best = _best(alignment)[np.ix_(live, live)]
    np.fill_diagonal(best, -1)
    return best.max(1)


def _best(alignment: Alignment) -> Float[np.ndarray, "unit unit"]:
    return alignment.pairs.max(2)


def find(alignment: Alignment, scale: Scale) -> tuple[Family, ...]:
    """All families in a layer, before any test, the strongest first.

    >>> find(align(of_pixels(kernels, GROUPS["rotation"])), scale)[0].members  # doctest: +SKIP
    (3, 8, 21)
    """
    group = alignment.group
    free = alignment.moving >= MOVING
    best = _best(alignment)
    np.fill_diagonal(best, -1)
    best[~free] = -1
    best[:, ~free] = -1
    found: list[Family] = []
    while True:
        excess = np.where(best >= scale.join, best - scale.mean, 0)
        enough = (excess > 0).sum(1) >= group.least - 1
        if not enough.any():
            return tuple(sorted(found, key=lambda each: -each.strength))
        seed = int(np.where(enough, excess.sum(1), 0).argmax())
        members, elements = grown(alignment, seed, np.flatnonzero(excess[seed] > 0), free, scale.join)
        family = _described(alignment, members, elements, scale) if len(members) >= group.least else None
        taken = np.array([seed])
        if family is not None:
            found.append(family)
            taken = members
            free[taken] = False
        best[taken] = -1
        best[:, taken] = -1


def _described(
    alignment: Alignment, members: Int[np.ndarray, " member"], elements: Int[np.ndarray, " member"], scale: Scale
) -> Family | None:
    """The family, or None where its members all have one element or two."""
    group = alignment.group
    r = to_template(alignment, members, elements)[members]
    scores = r[np.arange(len(members)), elements]
    fine = peaks(r, elements, group)
    period = period_of(alignment, members, elements)
    away = (fine - fine[0]) % period if group.cyclic else _signed(fine - fine[0], group)
    if distinct(away, group, period) < group.distinct:
        return None
    return Family(
        tuple(members.tolist()),
        tuple(away.tolist()),
        tuple(scores.astype(float).tolist()),
        among(alignment, members, elements),
        period,
        circle_gap(away, period) if group.cyclic else float(np.diff(np.sort(away)).max()),
        float(((scores - scale.mean) / scale.deviation).sum()),
    )


def _signed(away: Float[np.ndarray, " member"], group: Group) -> Float[np.ndarray, " member"]:
    return (away + group.period / 2) % group.period - group.period / 2


def correlation(alignment: Alignment, members: Sequence[int], elements: Sequence[float]) -> float:
    """The mean correlation of all pairs of members at given elements: of a family that other evidence has found.

    A turn that is common to all members makes no difference. Elements are rounded to the steps of the group.
    """
    steps = np.rint(np.asarray(elements) / alignment.group.step).astype(int)
    return among(alignment, np.asarray(members), steps)


def curves(alignment: Alignment, family: Family) -> Float[np.ndarray, "member step"]:
    """The correlation of each member with the mean of the others at every step, on the scale of the elements.

    >>> curves(alignment, family).shape  # doctest: +SKIP
    (8, 36)
    """
    group, members = alignment.group, np.array(family.members)
    found = to_template(alignment, members, np.rint(np.array(family.elements) / group.step).astype(int))[members]
    return found[:, np.rint(steps_of(group) / group.step).astype(int) % group.steps]


def judged(
    found: Sequence[Family],
    alignment: Alignment,
    best: dict[str, Float[np.ndarray, " surrogate"]],
    searches: int = 1,
    trials: int = 199,
    seed: int = 0,
) -> tuple[Family, ...]:
    """The families with their p-values; `best` has, for each kind of surrogate, the largest strength in each.

    `searches` is how many searches of one layer are reported together; corrected values are multiplied by it.

    >>> judged(find(alignment, scale), alignment, {"entries dealt out": np.zeros(99)})  # doctest: +SKIP
    """
    rng = np.random.default_rng(seed)
    units = np.flatnonzero(alignment.moving >= MOVING)
    result = []
    for family in found:
        own = {
            "random units": permutation_p(
                float(np.mean(family.scores)), _random_units(alignment, units, len(family.members), trials, rng)
            ),
            "random elements": permutation_p(family.correlation, _random_elements(alignment, family, trials, rng)),
        }
        all_found = {kind: permutation_p(family.strength, each) for kind, each in best.items()}
        p = max(own.values())
        corrected = min(1.0, searches * max([p, *all_found.values()]))
        nulls = tuple((own | all_found).items())
        result.append(replace(family, nulls=nulls, p=p, corrected=corrected))
    return tuple(result)


def _random_units(
    alignment: Alignment, units: Int[np.ndarray, " unit"], count: int, trials: int, rng: np.random.Generator
) -> Float[np.ndarray, " trial"]:
    """Mean agreement of sets of units drawn at random, each aligned to the mean of the others as well as can be."""
    drawn = rng.permuted(np.tile(units, (trials, 1)), axis=1)[:, :count]
    pairs = [each[drawn[:, :, None], drawn[:, None]] for each in (alignment.whole, alignment.varying)]
    elements = np.minimum(pairs[0][:, :, 0], pairs[1][:, :, 0]).argmax(2)
    for _ in range(3):
        elements = to_others(pairs, elements).argmax(2)
    return to_others(pairs, elements).max(2).mean(1)


def _random_elements(
    alignment: Alignment, family: Family, trials: int, rng: np.random.Generator
) -> Float[np.ndarray, " trial"]:
    """The mean correlation of the same members at elements drawn at random, other than those that were found."""
    members, steps = np.array(family.members), alignment.group.steps
    drawn = rng.integers(0, steps, (trials, len(members)))
    own = np.rint(np.array(family.elements) / alignment.group.step).astype(int)
    same = ((drawn - drawn[:, :1]) % steps == (own - own[0]) % steps).all(1)
    # of few members and two elements what was found is often drawn again: then one of them gets another element
    drawn[same, 0] += 1
    rows, columns = np.triu_indices(len(members), 1)
    at = members[rows], members[columns], (drawn[:, rows] - drawn[:, columns]) % steps
    return np.minimum(alignment.whole[at], alignment.varying[at]).mean(1, dtype=float)


def strongest(alignment: Alignment, scale: Scale) -> float:
    """The strength of the best family in a surrogate, 0 where there is none."""
    return max((each.strength for each in find(alignment, scale)), default=0.0)


def to_json(family: Family, layer: str) -> dict[str, Any]:
    """Plain values, units as addresses."""
    return {
        "members": [
            {"unit": f"{layer}:{unit}", "element": round(element, 2), "score": round(score, 4)}
            for unit, element, score in zip(family.members, family.elements, family.scores, strict=True)
        ],
        "coverage_gap": round(family.gap, 2),
        "correlation": round(family.correlation, 4),
        "p": family.p,
        "p_corrected": family.corrected,
        "period": family.period,
        "nulls": dict(family.nulls),
    }
