"""Experiment `privileged`: with a ReLU on the hidden layer neurons mean something, one feature or several.

Section Superposition in a Privileged Basis of Elhage et al. 2022: x' = ReLU(W^T ReLU(W x) + b), ten features of falling
importance, five neurons, many restarts at each density of which the lowest loss is kept. The losses of the best
solutions differ by little, so the first few are compared once more on more data, and where the best one is not the
paper's, the best of the paper's structure is held against it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from micrographia.toy.check import Check
from micrographia.toy.geometry import meanings, represented
from micrographia.toy.model import Optimiser, chosen, make_toy, repeated
from micrographia.toy.train import evaluate, train

DENSITIES = (0.75, 0.35, 0.15, 0.12, 0.06, 0.03)
EXPECTED = ((5, 5), (3, 6), (2, 7), (1, 7), (0, 8), (0, 10))
"""Monosemantic neurons and represented features at each density, by the paper's text on its regimes."""
FEATURES, HIDDEN, FALL = 10, 5, 0.75
NEAR = 1.01
"""A restart has found the best solution if its loss is at most this many times the lowest."""
PAIRED = 0.3
JUDGED, PARTS = 32, 8
"""So many restarts of the lowest loss are compared once more, on so many sets of `samples`."""
SOURCE = "Elhage et al. 2022, Superposition in a Privileged Basis"


@dataclass(frozen=True)
class Size:
    """How many restarts at each density, and how long each is trained."""

    restarts: int
    steps: int
    batch: int
    samples: int


FULL = Size(restarts=1000, steps=1500, batch=512, samples=65_536)
QUICK = Size(restarts=16, steps=1200, batch=512, samples=16_384)


@dataclass(frozen=True, eq=False)
class Privileged:
    """The best of all restarts at each density; `found_by` is the share of restarts that come within 1 % of it.

    `rival` is the loss of the best restart with the structure that the paper tells of, over the loss of the best, and
    `rival_error` its standard error (over sets of data that are the same for both); NaN where no restart has it, among
    those judged.
    """

    size: Size
    density: tuple[float, ...]
    weights: Float[np.ndarray, "instance hidden feature"]
    bias: Float[np.ndarray, "instance feature"]
    loss: Float[np.ndarray, " instance"]
    median_loss: Float[np.ndarray, " instance"]
    found_by: Float[np.ndarray, " instance"]
    rival: Float[np.ndarray, " instance"]
    rival_error: Float[np.ndarray, " instance"]
    meanings: Int[np.ndarray, "instance hidden"]
    represented: Int[np.ndarray, " instance"]
    checks: tuple[Check, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        arrays = ("weights", "bias", "loss", "median_loss", "found_by", "meanings", "represented")
        body = {name: getattr(self, name).tolist() for name in arrays}
        rivals = {
            name: [None if np.isnan(each) else float(each) for each in getattr(self, name)]
            for name in ("rival", "rival_error")
        }
        checks = [each.to_json() for each in self.checks]
        return {"size": vars(self.size), "density": list(self.density), **body, **rivals, "checks": checks}


def privileged(size: Size = FULL, seed: int = 0, threads: int | None = None) -> Privileged:
    """Train the restarts at all densities and keep the best of each.

    >>> privileged(QUICK).weights.shape  # doctest: +SKIP
    (6, 5, 10)
    """
    importance = FALL ** np.arange(FEATURES)
    toy = make_toy(FEATURES, HIDDEN, kind="relu-hidden", density=list(DENSITIES), importance=importance)
    walk = Optimiser("adam", rate=1e-2, decay=0, schedule="cosine")
    trained = train(
        repeated(toy, size.restarts, seed), steps=size.steps, batch=size.batch, optimiser=walk, records=1,
        threads=threads,
    )  # fmt: skip
    table = evaluate(trained, size.samples).reshape(len(DENSITIES), size.restarts)
    first = np.argsort(table, axis=1)[:, :JUDGED] + size.restarts * np.arange(len(DENSITIES))[:, None]
    judged = chosen(trained, first.ravel())
    again = np.stack([evaluate(judged, size.samples, seed=seed + part) for part in range(1, PARTS + 1)])
    again = again.reshape(PARTS, *first.shape)
    at = again.mean(0).argmin(1)
    kept = chosen(trained, first[np.arange(len(DENSITIES)), at])
    lowest = again.mean(0).min(1)
    found_by = (table <= NEAR * table.min(1, keepdims=True)).mean(1)
    structures = np.stack([(meanings(judged.weights) == 1).sum(1), represented(judged.weights).sum(1)], 1)
    rival, error = _rivals(again, at, (structures.reshape(*first.shape, 2) == np.array(EXPECTED)[:, None]).all(2))
    meant, count = meanings(kept.weights), represented(kept.weights).sum(1)
    checks = _checks(kept.weights, meant, count, rival, error)
    middle = np.median(table, axis=1)
    return Privileged(
        size, DENSITIES, kept.weights, kept.bias, lowest, middle, found_by, rival, error, meant, count, checks
    )


def _rivals(
    losses: Float[np.ndarray, "part instance restart"],
    best: Int[np.ndarray, " instance"],
    wanted: Bool[np.ndarray, "instance restart"],
) -> tuple[Float[np.ndarray, " instance"], Float[np.ndarray, " instance"]]:
    """The lowest mean loss of the wanted restarts over that of the best, and its standard error over the parts."""
    found = np.full((2, len(best)), np.nan)
    for i, (at, want) in enumerate(zip(best, wanted, strict=True)):
        if want.any():
            own = np.where(want, losses[:, i].mean(0), np.inf).argmin()
            ratio = losses[:, i, own] / losses[:, i, at]
            found[:, i] = ratio.mean(), ratio.std(ddof=1) / np.sqrt(len(ratio))
    return found[0], found[1]


def pairs(weights: Float[np.ndarray, "hidden feature"]) -> set[tuple[int, ...]]:
    """The different pairs of neurons that are a feature's code: all its positive weights of a fair size are two.

    Fair is `PAIRED` of the feature's largest positive weight; features with more or fewer such weights have no pair.

    >>> pairs(np.array([[1.0, 0.9], [1.0, -1.0], [0.0, 1.0]])) == {(0, 1), (0, 2)}
    True
    """
    positive = np.maximum(weights, 0)
    on = (positive >= PAIRED * positive.max(0)) & (positive > 0)
    return {tuple(np.flatnonzero(column).tolist()) for column in on.T if column.sum() == 2}


def _checks(
    weights: Float[np.ndarray, "instance hidden feature"],
    meant: Int[np.ndarray, "instance hidden"],
    count: Int[np.ndarray, " instance"],
    rival: Float[np.ndarray, " instance"],
    error: Float[np.ndarray, " instance"],
) -> tuple[Check, ...]:
    checks = []
    for i, (density, (mono, features)) in enumerate(zip(DENSITIES, EXPECTED, strict=True)):
        found = int((meant[i] == 1).sum())
        agrees = (found, int(count[i])) == (mono, features)
        measured = f"{found} of {HIDDEN}, {count[i]}"
        if not agrees:
            beside = f"has {rival[i]:.4f} +- {error[i]:.4f} times its loss" if rival[i] > 0 else "is not among the best"
            measured += f"; a model as expected {beside}"
        what = f"density {density:g}: monosemantic neurons, features"
        checks.append(Check(what, f"{mono} of {HIDDEN}, {features}", measured, agrees, SOURCE))
    found = len(pairs(weights[-1]))
    checks.append(
        Check(
            f"density {DENSITIES[-1]:g}: different pairs of neurons, each one feature's code",
            "10, all pairs of 5 neurons", str(found), found == FEATURES, SOURCE,
        )
    )  # fmt: skip
    return tuple(checks)
