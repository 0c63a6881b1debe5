"""Which classes a unit prefers: the mean of the pictures' maxima per class, beside what chance would give."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, Int32
from scipy import special

from micrographia.errors import BadValue


@dataclass(frozen=True, eq=False)
class ClassRanking:
    """Units over classes. `mean` is of the pictures' maxima; a class without pictures has NaN.

    `half` is half the width of the mean's 95 % interval (Student's t; infinite for one picture). The null: `chance` is
    the mean over all pictures that have a class, `chance_half` half the range in which the mean of as many pictures
    falls in 95 % of draws without regard to class. `p` is of a unit's best class, corrected for the number of classes:
    the share of `shuffles` of the labels after which the best class stands out as much, (1 + hits) / (1 + shuffles).
    """

    count: Int[np.ndarray, " class"]
    mean: Float[np.ndarray, "unit class"]
    half: Float[np.ndarray, "unit class"]
    chance: Float[np.ndarray, " unit"]
    chance_half: Float[np.ndarray, "unit class"]
    p: Float[np.ndarray, " unit"]
    shuffles: int


def shuffled(labels: Sequence[int], classes: int, shuffles: int, seed: int) -> Int32[np.ndarray, "draw picture"]:
    """The labels, and below them so many shufflings of them; pictures without a class, below 0, stay without.

    Raises BadValue for a label that names no class.

    >>> shuffled([0, 1, -1], 2, 1, seed=0)[:, 2]
    array([-1, -1], dtype=int32)
    """
    given = np.asarray(labels, np.int32)
    if len(given) and given.max() >= classes:
        raise BadValue(f"A picture has the label {given.max()}, but there are {classes} classes. Name each, from 0 on.")
    rows = np.tile(given, (1 + shuffles, 1))
    draw, known = np.random.default_rng(seed), given >= 0
    for row in rows[1:]:
        row[known] = draw.permutation(given[known])
    return rows


class ClassTally:
    """What is known of a layer so far, for the labels themselves (draw 0) and for each shuffling of them."""

    def __init__(self, units: int, classes: int, labels: Int32[np.ndarray, "draw picture"]) -> None:
        self.labels = labels
        self.count = np.zeros((len(labels), classes))
        self.sum = np.zeros((units, len(labels), classes))
        self.squares = np.zeros((units, classes))
        # values are counted from each unit's first, so that no difference of large sums is taken
        self.origin: np.ndarray | None = None

    def add(self, indices: Int[np.ndarray, " batch"], peaks: Float[np.ndarray, "unit batch"]) -> None:
        """Take in the maxima of some pictures; raises BadValue for a picture that has no label."""
        if not self.count.shape[1]:
            return
        if indices.max() >= self.labels.shape[1]:
            raise BadValue(f"Picture {indices.max()} has no label. Give a label for each picture, -1 for no class.")
        labels = self.labels[:, indices]
        known = labels[0] >= 0
        if not known.any():
            return
        values = peaks[:, known].astype(np.float64)
        if self.origin is None:
            self.origin = values[:, 0].copy()
        values -= self.origin[:, None]
        draws, classes = self.count.shape
        member = np.zeros((known.sum(), draws, classes))
        member[np.arange(known.sum())[:, None], np.arange(draws)[None], labels[:, known].T] = 1
        self.count += member.sum(0)
        self.sum += (values @ member.reshape(len(member), -1)).reshape(self.sum.shape)
        self.squares += values**2 @ member[:, 0]

    def ranking(self) -> ClassRanking:
        """The result so far."""
        count, total = self.count[0], self.count[0].sum()
        few = np.maximum(count, 1)
        origin = np.zeros(len(self.sum)) if self.origin is None else self.origin
        mean = self.sum[:, 0] / few
        spread = np.maximum(self.squares - few * mean**2, 0) / np.maximum(count - 1, 1)
        half = np.sqrt(spread / few) * special.stdtrit(np.maximum(count - 1, 1), 0.975)
        chance = self.sum[:, 0].sum(1) / max(total, 1)
        variance = np.maximum(self.squares.sum(1) - total * chance**2, 0) / max(total - 1, 1)
        # drawing `count` of `total` pictures without putting any back
        share = np.clip(1 / few - 1 / max(total, 1), 0, None)
        return ClassRanking(
            count.astype(np.int64),
            np.where(count > 0, mean + origin[:, None], np.nan),
            np.where(count > 1, half, np.where(count > 0, np.inf, np.nan)),
            chance + origin,
            np.where(count > 0, special.ndtri(0.975) * np.sqrt(variance[:, None] * share), np.nan),
            self._p(chance, variance),
            len(self.labels) - 1,
        )

    def _p(self, chance: np.ndarray, variance: np.ndarray) -> Float[np.ndarray, " unit"]:
        total = self.count[0].sum()
        best = np.full(self.sum.shape[:2], -np.inf)  # unit draw
        for draw, count in enumerate(self.count):
            some = (count > 0) & (count < total)
            if some.any():
                excess = self.sum[:, draw, some] / count[some] - chance[:, None]
                best[:, draw] = (excess / np.sqrt(1 / count[some] - 1 / total)).max(1)
        scale = np.sqrt(variance)
        # equal groups may differ in their last digits
        hits = (best[:, 1:] >= (best[:, 0] - 1e-9 * scale)[:, None]).sum(1)
        return np.where(scale > 0, (1 + hits) / best.shape[1], 1.0)
