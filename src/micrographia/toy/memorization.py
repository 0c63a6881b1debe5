"""Experiment `memorization`: with few data points a toy stores points, with many features; between them it does worst.

Henighan et al. 2023, Superposition, Memorization, and Double Descent: x' = ReLU(W^T W x + b), inputs of length one, a
finite set of T points, full-batch AdamW with warm-up and cosine decay, several seeds of which the lowest training loss
is kept. The paper has 10,000 features of density .001; the sizes here are smaller, so the numbers of points where
things change are not the paper's.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, no_type_check

import numpy as np
from jaxtyping import Float
from numba import njit

from micrographia.toy.check import Check
from micrographia.toy.geometry import dimensionality, norms

SOURCE = "Henighan et al. 2023"
WARM_UP = 0.05
STANDS_OUT = 0.2
"""A feature above this has a place of its own: a pentagon's have 2/5, those that share one place far less."""


@dataclass(frozen=True)
class Size:
    """How large the experiment is: `points` are the sizes of the training sets, `tested` of the test set."""

    features: int
    hidden: int
    density: float
    points: tuple[int, ...]
    seeds: int
    steps: int
    rate: float
    tested: int


FULL = Size(
    200, 2, 0.02, (3, 5, 8, 12, 20, 30, 60, 100, 200, 400, 800, 1600, 3200, 6400), seeds=3, steps=4000, rate=1e-2,
    tested=5000,
)  # fmt: skip
QUICK = Size(100, 2, 0.03, (5, 12, 30, 100, 300, 1000, 3000), seeds=2, steps=1000, rate=1e-2, tested=2000)


@dataclass(frozen=True, eq=False)
class Memorization:
    """One model for each size of the training set, of the seed with the lowest training loss.

    Losses are summed over features, mean over points. `point_dimensions` and `feature_dimensions` are the largest
    dimensionality of a training point's hidden vector, and of a feature's column.
    """

    size: Size
    points: tuple[int, ...]
    train_loss: Float[np.ndarray, " set"]
    test_loss: Float[np.ndarray, " set"]
    weights: Float[np.ndarray, "set hidden feature"]
    hidden: tuple[Float[np.ndarray, "_point hidden"], ...]
    point_dimensions: tuple[Float[np.ndarray, " _point"], ...]
    feature_dimensions: Float[np.ndarray, "set feature"]
    checks: tuple[Check, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values: medians and maxima instead of all points."""
        return {
            "size": vars(self.size) | {"points": list(self.points)},
            "train_loss": self.train_loss.tolist(),
            "test_loss": self.test_loss.tolist(),
            "point_dimensions": [
                {"median": float(np.median(each)), "largest": float(each.max())} for each in self.point_dimensions
            ],
            "feature_dimensions_largest": np.sort(self.feature_dimensions)[:, ::-1][:, :8].tolist(),
            "largest_norm": norms(self.weights).max(1).tolist(),
            "checks": [each.to_json() for each in self.checks],
        }


def memorization(size: Size = FULL, seed: int = 0, threads: int | None = None) -> Memorization:
    """Train on every size of the training set, from several seeds each.

    >>> memorization(QUICK).test_loss.argmax()  # doctest: +SKIP
    2
    """
    rng = np.random.default_rng(seed)
    test = points(size, size.tested, rng)
    jobs = [
        (points(size, count, rng), int(rng.integers(2**31))) for count in size.points for _ in range(size.seeds)
    ]  # fmt: skip
    with ThreadPoolExecutor(threads) as pool:
        found = list(pool.map(lambda job: fit(size, *job), jobs))
    kept = []
    for start in range(0, len(jobs), size.seeds):
        at = min(range(start, start + size.seeds), key=lambda i: found[i][2])
        kept.append((jobs[at][0], *found[at]))
    hidden = tuple(x @ w.T for x, w, _, _ in kept)
    weights = np.stack([w for _, w, _, _ in kept])
    train_loss = np.array([loss for *_, loss in kept])
    test_loss = np.array([gradients(w, b, test)[0] for _, w, b, _ in kept])
    of_points = tuple(dimensionality(each.T[None].astype(np.float64))[0] for each in hidden)
    of_features = dimensionality(weights.astype(np.float64))
    checks = _checks(size, test_loss, of_points, of_features)
    return Memorization(size, size.points, train_loss, test_loss, weights, hidden, of_points, of_features, checks)


def points(size: Size, count: int, rng: np.random.Generator) -> Float[np.ndarray, "point feature"]:
    """Points of length one with at least one feature on."""
    x = rng.random((count, size.features), np.float32) * (rng.random((count, size.features)) < size.density)
    empty = np.flatnonzero(~x.any(1))
    x[empty, rng.integers(size.features, size=len(empty))] = 1
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def fit(
    size: Size, x: Float[np.ndarray, "point feature"], seed: int
) -> tuple[Float[np.ndarray, "hidden feature"], Float[np.ndarray, " feature"], float]:
    """Weights, bias and training loss after full-batch AdamW (decay 0.01) with linear warm-up and cosine decay."""
    rng = np.random.default_rng(seed)
    deviation = np.sqrt(2 / (size.features + size.hidden))
    parameters = [
        (rng.standard_normal((size.hidden, size.features)) * deviation).astype(np.float32),
        np.zeros(size.features, np.float32),
    ]
    first = [np.zeros_like(each) for each in parameters]
    second = [np.zeros_like(each) for each in parameters]
    warm = max(1, int(WARM_UP * size.steps))
    for step in range(size.steps):
        rest = (step - warm) / max(1, size.steps - warm)
        rate = size.rate * ((step + 1) / warm if step < warm else 0.5 * (1 + np.cos(np.pi * rest)))
        _, *slopes = gradients(*parameters, x)
        for each, slope, m, v in zip(parameters, slopes, first, second, strict=True):
            m += 0.1 * (slope - m)
            v += 0.001 * (slope * slope - v)
            mean, square = m / (1 - 0.9 ** (step + 1)), v / (1 - 0.999 ** (step + 1))
            each -= np.float32(rate) * (mean / (np.sqrt(square) + 1e-8) + 0.01 * each)
    return parameters[0], parameters[1], gradients(*parameters, x)[0]


@njit(cache=True, nogil=True, fastmath=True)
@no_type_check  # a compiled function cannot be wrapped
def gradients(weights, bias, x):
    """The loss (sum over features, mean over points) and its gradients for weights "hidden feature" and the bias."""
    m, n = weights.shape
    to_weights, to_bias = np.zeros_like(weights), np.zeros_like(bias)
    out, h, back = np.empty_like(bias), np.empty(m, np.float32), np.empty(m, np.float32)
    loss = 0.0
    scale = np.float32(2.0 / len(x))
    for s in range(len(x)):
        row = x[s]
        for i in range(n):
            out[i] = bias[i]
        for k in range(m):
            total = np.float32(0.0)
            for i in range(n):
                total += weights[k, i] * row[i]
            h[k] = total
            for i in range(n):
                out[i] += total * weights[k, i]
        error = np.float32(0.0)
        for i in range(n):
            gap = max(out[i], np.float32(0.0)) - row[i]
            error += gap * gap
            gap = gap * scale if out[i] > 0 else np.float32(0.0)
            out[i] = gap
            to_bias[i] += gap
        loss += error
        for k in range(m):
            total = np.float32(0.0)
            for i in range(n):
                total += weights[k, i] * out[i]
            back[k] = total
            for i in range(n):
                to_weights[k, i] += h[k] * out[i] + total * row[i]
    return loss / len(x), to_weights, to_bias


def _checks(
    size: Size,
    test_loss: Float[np.ndarray, " set"],
    of_points: tuple[Float[np.ndarray, " _point"], ...],
    of_features: Float[np.ndarray, "set feature"],
) -> tuple[Check, ...]:
    few = size.points[0]
    median = float(np.median(of_points[0]))
    top = int(test_loss.argmax())
    between = 0 < top < len(size.points) - 1
    large = np.sort(of_features[-1])[::-1]
    stand = int((large > STANDS_OUT).sum())
    return (
        Check(
            f"{few} points: each has m / T of a dimension", f"{size.hidden / few:.3f}", f"median {median:.3f}",
            abs(median - size.hidden / few) < 0.1 * size.hidden / few, SOURCE,
        ),
        Check(
            "test loss has its largest value between few and many points", "yes",
            f"{test_loss[top]:.3f} at T = {size.points[top]}; {test_loss[0]:.3f} at {size.points[0]}, "
            f"{test_loss[-1]:.3f} at {size.points[-1]}",
            between, SOURCE,
        ),
        Check(
            f"{size.points[-1]} points: features of a dimensionality above {STANDS_OUT:g}", "5, a pentagon",
            f"{stand}: {', '.join(f'{each:.2f}' for each in large[:6])}", stand == 5, SOURCE,
        ),
    )  # fmt: skip
