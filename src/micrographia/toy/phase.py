"""Experiment `phase`: where a feature is left out, superposed, or given a dimension of its own; theory beside it.

Elhage et al. 2022, section Superposition as a Phase Change: n = 2, m = 1 and n = 3, m = 2, over the density p of all
features and the importance r of the last ("extra") one. The theory compares the losses of the few solutions there are,
summed over features, for x = 0 with probability 1 - p and uniform in 0..1 otherwise:

    a feature left out, b = p/2                 p/3 - p^2/4, times its importance
    two features as an antipodal pair, b = 0    p^2/6 for each, times its importance

so that a pair beats leaving out the extra feature where p < 2r / (1 + 2.5 r), beats leaving out the other where
p < 2 / (2.5 + r), and two equally important others share a dimension where p < 4/7.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.ndimage import maximum_filter, minimum_filter

from micrographia.toy.check import Check
from micrographia.toy.geometry import interference, norms
from micrographia.toy.model import Optimiser, Trained, chosen, make_toy, repeated
from micrographia.toy.train import evaluate, train

PAPER = "Elhage et al. 2022, Superposition as a Phase Change"
ALGEBRA = "closed-form losses of this file"
LEFT_OUT, SUPERPOSED, OWN = 0, 1, 2
STATES = ("not learned", "in superposition", "own dimension")
SHAPES = ((2, 1), (3, 2))
MIXED = 0.5
"""Interference from which the extra feature counts as superposed: halfway from orthogonal to antipodal."""


@dataclass(frozen=True)
class Size:
    """Cells along an axis, restarts for each cell, and how long each is trained."""

    cells: int
    restarts: int
    steps: int
    batch: int


FULL = Size(cells=40, restarts=10, steps=1500, batch=1024)
QUICK = Size(cells=12, restarts=4, steps=700, batch=512)


@dataclass(frozen=True, eq=False)
class Diagram:
    """One phase diagram: rows are densities from 1 down, columns importances of the extra feature.

    `found` is of the best restart; `colour` is the interference and `norm` the length of the extra feature, as the
    paper averages them: over all restarts but the worst.
    """

    features: int
    hidden: int
    density: Float[np.ndarray, " row"]
    importance: Float[np.ndarray, " column"]
    theory: Int[np.ndarray, "row column"]
    theory_loss: Float[np.ndarray, "row column"]
    found: Int[np.ndarray, "row column"]
    loss: Float[np.ndarray, "row column"]
    norm: Float[np.ndarray, "row column"]
    colour: Float[np.ndarray, "row column"]
    band: Bool[np.ndarray, "row column"]

    @property
    def agreement(self) -> float:
        """The share of cells, outside a band of one cell at the theory's borders, in which both say the same."""
        return float((self.theory == self.found)[~self.band].mean())


@dataclass(frozen=True, eq=False)
class Phase:
    """Both diagrams."""

    size: Size
    diagrams: tuple[Diagram, ...]
    checks: tuple[Check, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values; states are 0 not learned, 1 in superposition, 2 own dimension."""
        diagrams = []
        for each in self.diagrams:
            body = {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in vars(each).items()}
            diagrams.append(body | {"agreement": each.agreement})
        checks = [each.to_json() for each in self.checks]
        return {"size": vars(self.size), "states": list(STATES), "diagrams": diagrams, "checks": checks}


def solutions(hidden: int, p: Any, r: Any) -> dict[str, tuple[int, Any]]:
    """The theory's solutions by name: the extra feature's state and the loss summed over features.

    >>> {name: round(loss, 4) for name, (state, loss) in solutions(1, 0.3, 1.0).items()}
    {'extra left out': 0.0775, 'other left out': 0.0775, 'pair with the extra': 0.03}
    """
    alone = p / 3 - p**2 / 4
    found = {
        "extra left out": (LEFT_OUT, r * alone),
        "other left out": (OWN, alone + 0 * r),
        "pair with the extra": (SUPERPOSED, (1 + r) * p**2 / 6),
    }
    if hidden == 2:
        found["pair of the others"] = (OWN, p**2 / 3 + 0 * r)
    return found


def theory(
    hidden: int, density: Float[np.ndarray, " row"], importance: Float[np.ndarray, " column"]
) -> tuple[Int[np.ndarray, "row column"], Float[np.ndarray, "row column"]]:
    """The state of the extra feature in the solution of the lowest loss, and that loss, for every cell."""
    known = list(solutions(hidden, density[:, None], importance[None]).values())
    losses = np.stack([loss for _, loss in known])
    return np.array([state for state, _ in known])[losses.argmin(0)], losses.min(0)


def borders(hidden: int, r: Any) -> dict[str, Any]:
    """The densities at which the theory's best solution changes, over the extra feature's importance.

    >>> {name: round(float(p), 3) for name, p in borders(1, 1.0).items()}
    {'pair or extra left out': 0.571, 'pair or other left out': 0.571}
    """
    extra = 2 * r / (1 + 2.5 * r)
    if hidden == 1:
        return {"pair or extra left out": extra, "pair or other left out": 2 / (2.5 + r)}
    return {"pair or extra left out": np.where(r <= 1, extra, np.nan)}


def phase(size: Size = FULL, seed: int = 0, threads: int | None = None) -> Phase:
    """Train `restarts` models in every cell of both diagrams.

    >>> phase(QUICK).diagrams[0].agreement > 0.95  # doctest: +SKIP
    True
    """
    diagrams = tuple(diagram(n, m, size, seed, threads) for n, m in SHAPES)
    return Phase(size, diagrams, tuple(check for each in diagrams for check in _checks(each)))


def diagram(features: int, hidden: int, size: Size, seed: int = 0, threads: int | None = None) -> Diagram:
    """One phase diagram."""
    density = 10.0 ** np.linspace(0, -2, size.cells)
    importance = 10.0 ** np.linspace(-1, 1, size.cells)
    weigh = np.ones((size.cells**2, features))
    weigh[:, -1] = np.tile(importance, size.cells)
    toy = make_toy(features, hidden, density=density.repeat(size.cells), importance=weigh, seed=seed)
    walk = Optimiser("adam", rate=2e-2, decay=0, schedule="cosine")
    trained = train(
        repeated(toy, size.restarts, seed), steps=size.steps, batch=size.batch, optimiser=walk, records=10,
        threads=threads,
    )  # fmt: skip
    losses = evaluate(trained, 2**17).reshape(-1, size.restarts)
    offset = np.arange(len(losses)) * size.restarts
    shape = (size.cells, size.cells)
    norm, mixed = _extra(trained)
    others = np.arange(size.restarts) != losses.argmax(1)[:, None]
    kept = np.maximum(others.sum(1), 1)
    lowest = chosen(trained, losses.argmin(1) + offset)
    states = _states(*_extra(lowest)).reshape(shape)
    expected, expected_loss = theory(hidden, density, importance)
    band = maximum_filter(expected, 3) != minimum_filter(expected, 3)
    if hidden == 2:
        # equal importances: which of the three gets the own dimension is a toss
        band |= (np.abs(np.log10(importance)) < 1e-9)[None]
    return Diagram(
        features, hidden, density, importance, expected, expected_loss, states,
        losses.min(1).reshape(shape) * features,
        ((norm.reshape(losses.shape) * others).sum(1) / kept).reshape(shape),
        ((mixed.reshape(losses.shape) * others).sum(1) / kept).reshape(shape),
        band,
    )  # fmt: skip


def _extra(trained: Trained) -> tuple[Float[np.ndarray, " instance"], Float[np.ndarray, " instance"]]:
    weights = trained.weights.astype(np.float64)
    return norms(weights)[:, -1], interference(weights)[:, -1]


def _states(
    norm: Float[np.ndarray, " instance"], mixed: Float[np.ndarray, " instance"]
) -> Int[np.ndarray, " instance"]:
    return np.where(norm < 0.5, LEFT_OUT, np.where(mixed >= MIXED, SUPERPOSED, OWN))


def _checks(each: Diagram) -> list[Check]:
    name = f"n={each.features}, m={each.hidden}: "
    outside = int((~each.band).sum())
    wrong = int((each.theory != each.found)[~each.band].sum())
    measured = f"{each.agreement:.1%} ({outside - wrong} of {outside})"
    checks = [Check(name + "cells like the theory, off its borders", "95 %", measured, each.agreement >= 0.95, ALGEBRA)]
    seen = [STATES[state] for state in np.unique(each.found)]
    checks.append(
        Check(name + "states of the extra feature", ", ".join(STATES), ", ".join(seen), len(seen) == 3, PAPER)
    )
    # the trained loss may lie below the theory's, whose solutions have fixed lengths and biases, but hardly above
    above = float(np.median((each.loss / each.theory_loss)[~each.band]))
    measured = f"median {above:.3f} of it"
    checks.append(Check(name + "trained loss against the theory's", "about 1", measured, 0.85 < above < 1.05, ALGEBRA))
    return checks
