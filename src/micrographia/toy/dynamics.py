"""Experiment `dynamics`: features jump between levels as a model learns, and sets of features turn into an octahedron.

Elhage et al. 2022, section Superposition and Learning Dynamics: the dimensionality of the features of a model that ends
in digons, over time, above the loss; and two correlated sets of three features in three dimensions.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from micrographia.toy.check import Check
from micrographia.toy.geometry import dimensionality, represented
from micrographia.toy.model import Optimiser, Sets, Trained, chosen, make_toy
from micrographia.toy.train import evaluate, train

PAPER = "Elhage et al. 2022, Superposition and Learning Dynamics"
SETS: Sets = ((0, 1, 2), (3, 4, 5))


@dataclass(frozen=True)
class Size:
    """Shape and length of the runs: of the one that ends in digons, and of the octahedra (`tries` of them)."""

    features: int
    hidden: int
    density: float
    steps: int
    octahedron_steps: int
    tries: int
    frames: int


FULL = Size(features=60, hidden=20, density=0.35, steps=12_000, octahedron_steps=4000, tries=16, frames=160)
QUICK = Size(features=24, hidden=8, density=0.35, steps=4000, octahedron_steps=2500, tries=8, frames=48)


@dataclass(frozen=True, eq=False)
class Dynamics:
    """Over time: every feature's dimensionality and the loss; and the vectors of the octahedron with their loss.

    `octahedra` counts the tries that ended in one; `frames` is the first of them, or of all tries where none did.
    """

    size: Size
    steps: Int[np.ndarray, " time"]
    dimensions: Float[np.ndarray, "time feature"]
    loss: Float[np.ndarray, " time"]
    jumps: int
    octahedra: int
    frame_steps: Int[np.ndarray, " frame"]
    frames: Float[np.ndarray, "frame 3 6"]
    frame_loss: Float[np.ndarray, " frame"]
    checks: tuple[Check, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values; of the frames only the last."""
        body = {name: getattr(self, name).tolist() for name in ("steps", "loss", "frame_steps", "frame_loss")}
        return {
            "size": vars(self.size), **body, "dimensions": np.round(self.dimensions, 4).tolist(), "jumps": self.jumps,
            "octahedra": self.octahedra, "last_frame": self.frames[-1].tolist(),
            "checks": [each.to_json() for each in self.checks],
        }  # fmt: skip


def dynamics(size: Size = FULL, seed: int = 0, threads: int | None = None) -> Dynamics:
    """Train both kinds of model and keep their parameters on the way.

    >>> dynamics(QUICK).octahedra > 0  # doctest: +SKIP
    True
    """
    times = _times(size.steps, 240)
    toy = make_toy(size.features, size.hidden, density=size.density, seed=seed)
    run = train(
        toy, steps=size.steps, batch=1024, optimiser=Optimiser("adam", rate=3e-3, decay=0, schedule="cosine"),
        snapshots=times, threads=threads,
    )  # fmt: skip
    moving = np.stack([dimensionality(each.weights.astype(np.float64))[0] for each in run.snapshots])
    loss = replayed(run)[:, 0]
    jumps = _jumps(moving)
    turns = train(
        make_toy(6, 3, density=np.full(size.tries, 0.05), correlated=SETS, seed=seed), steps=size.octahedron_steps,
        batch=1024, optimiser=Optimiser("adam", rate=2e-3, decay=0),
        snapshots=_times(size.octahedron_steps, size.frames), threads=threads,
    )  # fmt: skip
    good = [at for at, each in enumerate(turns.weights.astype(np.float64)) if is_octahedron(each)]
    shown = good[0] if good else 0
    film = chosen(turns, [shown])
    frames = np.stack([each.weights[0].astype(np.float64) for each in film.snapshots])
    frame_loss = replayed(film)[:, 0]
    checks = (
        *_level_checks(moving, loss, jumps, run.weights.astype(np.float64)),
        *_octahedron_checks(frames[-1], frame_loss, len(good), size.tries),
    )
    at = np.array([each.step for each in film.snapshots])
    return Dynamics(size, np.array(times), moving, loss, jumps, len(good), at, frames, frame_loss, checks)


def replayed(trained: Trained, samples: int = 2**16) -> Float[np.ndarray, "snapshot instance"]:
    """The loss of every snapshot on the same unseen data, so that the curve has no noise of its own."""
    every = [replace(trained, weights=each.weights, decoder=each.decoder, bias=each.bias) for each in trained.snapshots]
    return np.stack([evaluate(each, samples) for each in every])


def is_octahedron(weights: Float[np.ndarray, "hidden feature"]) -> bool:
    """Whether six features are three antipodal pairs, each with a partner from the other set, and sets orthogonal."""
    unit = weights / np.maximum(np.linalg.norm(weights, axis=0), 1e-6)
    across = (unit.T @ unit)[:3, 3:]
    own = [np.abs(unit[:, s].T @ unit[:, s] - np.eye(3)).max() for s in (slice(3), slice(3, None))]
    return bool((across.min(1) < -0.9).all() and (across.min(0) < -0.9).all() and max(own) < 0.25)


def _times(steps: int, count: int) -> list[int]:
    """Steps from 0 to the last, denser at the beginning."""
    return sorted({round(steps * (at / (count - 1)) ** 2) for at in range(count)})


def _jumps(dimensions: Float[np.ndarray, "time feature"]) -> int:
    """How often a feature goes from one level to the other: from below 0.15 to above 0.35 or back."""
    total = 0
    for line in dimensions.T:
        level = [value > 0.35 for value in line if value > 0.35 or value < 0.15]
        total += int(np.count_nonzero(np.diff(np.array(level, dtype=int))))
    return total


def _level_checks(
    moving: Float[np.ndarray, "time feature"],
    loss: Float[np.ndarray, " time"],
    jumps: int,
    weights: Float[np.ndarray, "instance hidden feature"],
) -> list[Check]:
    last = moving[-1][represented(weights)[0]]
    share = float((np.abs(last - 0.5) < 0.03).mean()) if len(last) else 0.0
    measured = f"{share:.0%} of {len(last)} features"
    checks = [Check("dimensionality of features at the end", "1/2 (digons)", measured, share > 0.95, PAPER)]
    checks.append(Check("features jump between levels", "yes", f"{jumps} times", jumps > 0, PAPER))
    fall = float(loss[-1] / loss[0])
    checks.append(Check("loss at the end, to the beginning's", "below 1", f"{fall:.2f}", fall < 1, PAPER))
    return checks


def _octahedron_checks(
    weights: Float[np.ndarray, "hidden feature"], loss: Float[np.ndarray, " time"], good: int, tries: int
) -> list[Check]:
    unit = weights / np.maximum(np.linalg.norm(weights, axis=0), 1e-6)
    gram = unit.T @ unit
    inside = max(float(np.abs(gram[:3, :3] - np.eye(3)).max()), float(np.abs(gram[3:, 3:] - np.eye(3)).max()))
    partner = float(gram[:3, 3:].min(1).max())
    drops = falls(loss)
    return [
        Check(
            "two sets of three in three dimensions end as an octahedron", "often", f"{good} of {tries}", good > 0, PAPER
        ),
        Check("cosine of partners, from different sets", "-1", f"{partner:.3f}", partner < -0.9, PAPER),
        Check("largest cosine within a set", "0", f"{inside:.3f}", inside < 0.25, PAPER),
        Check("separate drops of the loss on the way", "2 or more", str(drops), drops >= 2, PAPER),
    ]


def falls(loss: Float[np.ndarray, " time"]) -> int:
    """How many separate times a smooth loss falls: peaks of its logarithm's slope, each with a clear rest before.

    Times are as dense as the caller made them. A peak counts from 1/10 of the steepest on; two are separate where the
    slope between them is below half of the lesser.

    >>> falls(np.exp(-np.tanh(np.linspace(-8, 8, 99)) - np.tanh(np.linspace(-2, 14, 99))))
    2
    """
    slope = np.convolve(-np.diff(np.log(loss)), np.ones(5) / 5, "valid")
    floor = slope.max() / 10
    count, peak, valley = 0, 0.0, 0.0
    for value in slope:
        if count and value < peak / 2:
            peak, valley = 0.0, value
        elif value >= floor and peak == 0.0 and (not count or value > 2 * max(valley, 0.0)):
            count, peak = count + 1, value
        peak = max(peak, value) if peak else peak
        valley = min(valley, value)
    return count
