"""One feature made denser or sparser than the rest: a pentagon bends, then snaps into two pairs (non-uniform features).

Elhage et al. 2022, section The Geometry of Superposition, n = 5, m = 2: the others have density 0.05. The lowest losses
of pentagons and of pairs over the restarts are compared; they cross, which makes the change one of first order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from micrographia.toy.check import Check
from micrographia.toy.geometry import norms, represented
from micrographia.toy.model import Optimiser, Trained, best, make_toy, repeated
from micrographia.toy.train import evaluate, train

PAPER = "Elhage et al. 2022, The Geometry of Superposition (non-uniform)"
BASE = 0.05
RELATIVE = (4.0, 2.5, 1.6, 1.0, 0.7, 0.5, 0.4, 0.35, 0.3, 0.25, 0.2, 0.15)


@dataclass(frozen=True, eq=False)
class Perturbed:
    """Over the first feature's relative density: every restart's loss and how many features it keeps, the best model.

    `crossing` is the relative density at which two pairs become the better solution, None where they never do.
    """

    relative: Float[np.ndarray, " instance"]
    loss: Float[np.ndarray, "instance restart"]
    kept: Int[np.ndarray, "instance restart"]
    weights: Float[np.ndarray, "instance hidden feature"]
    crossing: float | None

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        arrays = ("relative", "loss", "kept", "weights")
        return {name: getattr(self, name).tolist() for name in arrays} | {"crossing": self.crossing}


def perturb(steps: int, batch: int, restarts: int, seed: int = 0, threads: int | None = None) -> Perturbed:
    """Train restarts at every relative density of the first feature.

    >>> perturb(2500, 1024, 16).crossing  # doctest: +SKIP
    0.26
    """
    relative = np.array(RELATIVE)
    density = np.full((len(relative), 5), BASE)
    density[:, 0] = BASE * relative
    toy = make_toy(5, 2, density=density, seed=seed)
    walk = Optimiser("adam", rate=1e-2, decay=0, schedule="cosine")
    tried = train(repeated(toy, restarts, seed), steps=steps, batch=batch, optimiser=walk, threads=threads)
    flat = evaluate(tried, 2**20)
    loss = flat.reshape(-1, restarts)
    kept = represented(tried.weights).sum(1).reshape(-1, restarts)
    chosen = best(tried, flat, restarts)
    return Perturbed(relative, loss, kept, _posed(chosen), _crossing(relative, loss, kept))


def _crossing(
    relative: Float[np.ndarray, " instance"],
    loss: Float[np.ndarray, "instance restart"],
    kept: Int[np.ndarray, "instance restart"],
) -> float | None:
    """Where the lowest losses of pentagons and of pairs meet, on a line between the logarithms of their ratio."""
    lowest = np.stack([np.where(kept == count, loss, np.inf).min(1) for count in (5, 4)])
    sparser = (relative <= 1) & np.isfinite(lowest).all(0)
    x, y = np.log(relative[sparser]), np.log(lowest[1, sparser] / lowest[0, sparser])
    order = np.argsort(x)
    x, y = x[order], y[order]
    change = np.flatnonzero((y[:-1] < 0) & (y[1:] >= 0))
    if not len(change):
        return None
    at = change[-1]
    return float(np.exp(x[at] - y[at] * (x[at + 1] - x[at]) / (y[at + 1] - y[at])))


def _posed(trained: Trained) -> Float[np.ndarray, "instance hidden feature"]:
    """The second feature points right and the third is in the upper half: rotations and mirrors are no difference."""
    weights = trained.weights.astype(np.float64)
    for each in weights:
        angle = np.arctan2(each[1, 1], each[0, 1])
        turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        each[:] = turn @ each
        each[1] *= 1.0 if each[1, 2] >= 0 else -1.0
    return weights


def perturb_checks(found: Perturbed) -> list[Check]:
    """The paper's statements on one feature's density."""
    checks = []
    sparse = found.relative == found.relative.min()
    lengths = norms(found.weights)
    dense = found.relative == 1
    what = "n=5, m=2, one feature much sparser: what is left of it"
    measured = f"norm {lengths[sparse][0, 0]:.2f}, {int(represented(found.weights[sparse]).sum())} features stay"
    checks.append(Check(what, "nothing; two pairs stay", measured, bool(lengths[sparse][0, 0] < 0.5), PAPER))
    count = int(represented(found.weights[dense]).sum())
    checks.append(Check("n=5, m=2, all alike: features kept", "5 (pentagon)", str(count), count == 5, PAPER))
    there = found.crossing is not None
    measured = f"yes, at relative density {found.crossing:.2f}" if there else "no"
    checks.append(Check("the losses of pentagon and pairs cross", "yes", measured, there, PAPER))
    if found.crossing is not None:
        times = 1 / found.crossing
        what = "the pairs win when the feature is sparser than the rest by"
        checks.append(Check(what, "about 2.5 times", f"{times:.1f} times", abs(times - 2.5) < 0.5, PAPER))
    return checks
