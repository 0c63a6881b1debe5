"""explained(batches, chosen): how much of a unit's pre-activation some of its inputs explain, over pictures.

The share explained is R2 = 1 - var(y - p) / var(y) over all cells of all pictures, where y is the pre-activation and p
the sum of what the chosen inputs add to it: nothing is fitted but the constant. It is below zero where the chosen
inputs alone are further from y than its mean is, because others hold against them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from micrographia.circuits.contributions import Contributions
from micrographia.errors import BadValue
from micrographia.study.null import permutation_p

ORDERS = 199
RESAMPLES = 1000


@dataclass(frozen=True, eq=False)
class Explained:
    """The share of the pre-activation's variance that the `k` strongest inputs explain, and what chance would give.

    `low` to `high` is the 95 % interval over pictures (bootstrap, percentiles); `null_median` and `null_95` are of as
    many inputs of the same unit drawn at random, `p` the share of draws that explain at least as much. `curve` is the
    share for the first `steps[i]` inputs, strongest first, with the null's median and middle 95 % beside it; its last
    point is all inputs. `residual` is the largest difference between the sum of all inputs plus bias and the
    pre-activation, as a part of the largest pre-activation without its sign. `correlation` is of y and p; `linear` is
    that of y and the sum of all inputs by expanded weights, None where the weights are not expanded. `active` is the
    share of cells where y is above 0, and `greatest` the largest y.
    """

    k: int
    share: float
    low: float
    high: float
    null_median: float | None
    null_95: float | None
    p: float | None
    correlation: float
    linear: float | None
    residual: float
    active: float
    greatest: float
    pictures: int
    cells: int
    steps: tuple[int, ...]
    curve: tuple[float, ...]
    null_low: tuple[float, ...]
    null_middle: tuple[float, ...]
    null_high: tuple[float, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}


def explained(
    batches: Iterable[Contributions], order: Sequence[int] | Int[np.ndarray, " input"], k: int, seed: int = 0
) -> Explained:
    """How much the first `k` inputs of `order` explain; `order` lists all inputs, strongest first.

    Where k is all of them there is no null. Raises BadValue without pictures, and where the unit does the same on all
    of them.

    >>> explained([contributions(graph, read, pictures)], order, 6).share  # doctest: +SKIP
    0.61
    """
    tally = _Tally(np.asarray(order), k)
    for batch in batches:
        tally.add(batch)
    return tally.finished(seed)


class _Tally:
    """Sums over the pictures so far; inputs count in the order of their strength."""

    def __init__(self, order: Int[np.ndarray, " input"], k: int) -> None:
        self.order, self.k = order, k
        self.origin: np.ndarray | None = None
        size = len(order) + 1
        self.sums, self.products = np.zeros(size), np.zeros((size, size))
        self.pictures: list[np.ndarray] = []  # of each picture: cells, y, p, yy, pp, yp
        self.linear: list[np.ndarray] = []  # the same with the sum by expanded weights as p
        self.cells = self.active = 0
        self.residual, self.greatest, self.largest = 0.0, -np.inf, 0.0

    def add(self, batch: Contributions) -> None:
        before = batch.before.numpy()
        parts = batch.parts.numpy()[:, self.order]
        self.residual = max(self.residual, float(np.abs(parts.sum(1) + batch.constant.numpy() - before).max()))
        self.largest = max(self.largest, float(np.abs(before).max()))
        self.greatest = max(self.greatest, float(before.max()))
        self.active += int((before > 0).sum())
        count = len(self.order)
        table = np.concatenate([before[:, None], parts], 1).reshape(len(before), count + 1, -1)
        if self.origin is None:
            # sums are taken about the first picture's means, which loses no digits
            self.origin = table[0].mean(1)
        table = table - self.origin[:, None]
        self.cells += table.shape[0] * table.shape[2]
        self.sums += table.sum((0, 2))
        flat = table.transpose(1, 0, 2).reshape(count + 1, -1)
        self.products += flat @ flat.T
        y = table[:, 0]
        self.pictures.append(_moments(y, table[:, 1 : 1 + self.k].sum(1)))
        if batch.linear is not None:
            self.linear.append(_moments(y, batch.linear.numpy().reshape(y.shape)))

    def finished(self, seed: int) -> Explained:
        if not self.cells:
            raise BadValue("There are no pictures to explain a unit on. Give at least one.")
        mean = self.sums / self.cells
        spread = self.products / self.cells - np.outer(mean, mean)
        if not spread[0, 0] > 1e-12 * max(self.largest, 1e-30) ** 2:
            raise BadValue("The unit does the same on all of these pictures. Give pictures that differ.")
        count, rng = len(self.order), np.random.default_rng(seed)
        steps = np.unique(np.append(np.rint(np.geomspace(1, count, min(count, 48))).astype(int), self.k))
        own = _curve(spread, np.arange(count))
        null = np.stack([_curve(spread, rng.permutation(count)) for _ in range(ORDERS)])
        draws = None if self.k >= count else null[:, self.k - 1]
        low, middle, high = np.percentile(null[:, steps - 1], (2.5, 50, 97.5), axis=0)
        table = np.concatenate(self.pictures)
        share, correlation = (float(each[0]) for each in _shares(table.sum(0)[None]))
        chosen = rng.multinomial(len(table), np.full(len(table), 1 / len(table)), RESAMPLES)
        whole = _shares(np.concatenate(self.linear).sum(0)[None])[1] if self.linear else None
        ends = np.nanpercentile(_shares(chosen @ table)[0], (2.5, 97.5))
        return Explained(
            k=self.k,
            share=share,
            low=float(ends[0]),
            high=float(ends[1]),
            null_median=None if draws is None else float(np.median(draws)),
            null_95=None if draws is None else float(np.percentile(draws, 95)),
            p=None if draws is None else permutation_p(share, draws),
            correlation=correlation,
            linear=None if whole is None else float(whole[0]),
            residual=self.residual / self.largest,
            active=self.active / self.cells,
            greatest=self.greatest,
            pictures=len(table),
            cells=self.cells,
            steps=tuple(steps.tolist()),
            curve=tuple(own[steps - 1].tolist()),
            null_low=tuple(low.tolist()),
            null_middle=tuple(middle.tolist()),
            null_high=tuple(high.tolist()),
        )


def _curve(spread: Float[np.ndarray, "row row"], order: Int[np.ndarray, " input"]) -> Float[np.ndarray, " input"]:
    """R2 of the first 1, 2, ... inputs of an order, from the covariances of y and all inputs."""
    parts = spread[1:, 1:][np.ix_(order, order)]
    # the variance of a growing sum gains an input's own variance and twice its covariance with those before
    within = np.cumsum(np.diag(parts) + 2 * np.tril(parts, -1).sum(1))
    across = np.cumsum(spread[0, 1:][order])
    return (2 * across - within) / spread[0, 0]


def _moments(
    y: Float[np.ndarray, "picture cell"], p: Float[np.ndarray, "picture cell"]
) -> Float[np.ndarray, "picture moment"]:
    return np.stack([each.sum(1) for each in (np.ones_like(y), y, p, y * y, p * p, y * p)], 1)


def _shares(table: Float[np.ndarray, "row moment"]) -> tuple[Float[np.ndarray, " row"], Float[np.ndarray, " row"]]:
    """R2 and correlation from cells, y, p, yy, pp, yp, row by row."""
    cells, y, p, yy, pp, yp = table.T
    y, p = y / cells, p / cells
    vary, varp, both = yy / cells - y * y, pp / cells - p * p, yp / cells - y * p
    with np.errstate(divide="ignore", invalid="ignore"):
        return (2 * both - varp) / vary, both / np.sqrt(vary * varp)
