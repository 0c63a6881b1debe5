"""Experiment `intro`: five features in two dimensions, from dense to sparse (the introduction's figure).

Elhage et al. 2022, introduction: two orthogonal features, then two antipodal pairs, then a pentagon. Of the restarts
at each density the one with the lowest loss counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from micrographia.toy.check import Check
from micrographia.toy.geometry import norms, represented
from micrographia.toy.model import Optimiser, best, make_toy, repeated
from micrographia.toy.polytope import groups, summary
from micrographia.toy.train import evaluate, train

PAPER = "Elhage et al. 2022, introduction"
DENSITIES = (1.0, 0.5, 0.3, 0.2, 0.15, 0.1, 0.05, 0.01)
STRUCTURE = {1.0: "2 single"} | dict.fromkeys((0.5, 0.3, 0.2), "2 digon")
STRUCTURE |= dict.fromkeys((0.15, 0.1, 0.05, 0.01), "1 pentagon")


@dataclass(frozen=True)
class Size:
    """How many restarts and how long each is trained."""

    restarts: int
    steps: int
    batch: int


FULL = Size(restarts=8, steps=4000, batch=1024)
QUICK = Size(restarts=16, steps=1500, batch=512)


@dataclass(frozen=True, eq=False)
class Intro:
    """The best model of each density, and how much worse the worst restart was (a ratio of losses)."""

    size: Size
    importance: Float[np.ndarray, " feature"]
    density: Float[np.ndarray, " instance"]
    weights: Float[np.ndarray, "instance hidden feature"]
    bias: Float[np.ndarray, "instance feature"]
    loss: Float[np.ndarray, " instance"]
    worst: Float[np.ndarray, " instance"]
    structure: tuple[str, ...]
    checks: tuple[Check, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        arrays = ("importance", "density", "weights", "bias", "loss", "worst")
        body = {name: getattr(self, name).tolist() for name in arrays}
        checks = [each.to_json() for each in self.checks]
        return {"size": vars(self.size), **body, "structure": list(self.structure), "checks": checks}


def intro(
    size: Size = FULL,
    seed: int = 0,
    threads: int | None = None,
    features: int = 5,
    hidden: int = 2,
    density: Sequence[float] = DENSITIES,
    importance: Sequence[float] | None = None,
) -> Intro:
    """Train and keep the best restart of each density; importance falls as 0.9^i unless given.

    With other features, hidden units or importances the same is trained and measured, but nothing is expected.
    Raises BadValue for toys that cannot be.

    >>> intro(QUICK, density=[0.05]).structure  # doctest: +SKIP
    ('1 pentagon',)
    """
    own = 0.9 ** np.arange(features) if importance is None else np.asarray(importance, dtype=np.float64)
    toy = make_toy(features, hidden, density=list(density), importance=own, seed=seed)
    walk = Optimiser("adam", rate=1e-2, decay=0, schedule="cosine")
    tried = train(
        repeated(toy, size.restarts, seed), steps=size.steps, batch=size.batch, optimiser=walk, threads=threads
    )
    losses = evaluate(tried, 2**17)
    kept = best(tried, losses, size.restarts)
    spread = losses.reshape(-1, size.restarts)
    weights, lowest = kept.weights.astype(np.float64), spread.min(1)
    structure = tuple(summary(groups(each)) for each in weights)
    known = (features, hidden) == (5, 2) and importance is None
    checks = _checks(np.asarray(density), own, weights, kept.bias, lowest, structure) if known else ()
    worst = spread.max(1) / lowest
    return Intro(size, own, toy.density[:, 0], weights, kept.bias, lowest, worst, structure, checks)


def _checks(
    density: Float[np.ndarray, " instance"],
    importance: Float[np.ndarray, " feature"],
    weights: Float[np.ndarray, "instance hidden feature"],
    bias: Float[np.ndarray, "instance feature"],
    loss: Float[np.ndarray, " instance"],
    structure: tuple[str, ...],
) -> tuple[Check, ...]:
    found = []
    for p, shape in zip(density, structure, strict=True):
        if p in STRUCTURE:
            source = PAPER if p in (1.0, 0.2, 0.1) else "the order of the paper's figure; densities measured before"
            found.append(Check(f"structure at density {p:g}", STRUCTURE[p], shape, shape == STRUCTURE[p], source))
    for at in np.flatnonzero(density == 1.0):
        rest = ~represented(weights[at : at + 1])[0]
        exact = float((importance[rest] / 12).sum() / len(importance))
        measured = float(loss[at])
        agrees = bool(rest.sum() == 3 and abs(measured / exact - 1) < 0.02)
        source = "algebra: p/3 - p^2/4 for each feature left out"
        found.append(Check("loss at density 1", f"{exact:.5f}", f"{measured:.5f}", agrees, source))
        off = float(np.abs(bias[at][rest] - 0.5).max()) if rest.any() else np.inf
        found.append(
            Check("bias of features left out", "0.5", f"0.5 +- {off:.3f}", off < 0.02, "algebra: the mean of x is p/2")
        )
    sparse = [at for at, shape in enumerate(structure) if shape == "1 pentagon"]
    if sparse:
        size = norms(weights[sparse]).mean(1)
        b = bias[sparse].mean(1)
        below = bool((b < 0).all())
        rise = f"{b.min():.2f} to {b.max():.2f}"
        found.append(Check("biases of pentagons", "negative", rise, below, PAPER))
        off = float(np.abs(size * (1 - b) - 1).max())
        near = float(np.abs(size**2 * (1 - np.abs(b)) - 1).max())
        said = f"off by up to {off:.0%}; |W|^2 = 1/(1 - |b|) holds to {near:.0%}"
        text = "|W| = 1/(1 - b) for pentagons"
        found.append(Check(text, "as the text says", said, off < 0.1, "Elhage et al. 2022, in the text"))
    return tuple(found)
