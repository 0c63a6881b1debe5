"""Features that come together or exclude each other: orthogonal, opposite, side by side, or collapsed into one.

Elhage et al. 2022, section The Geometry of Superposition (correlated and anticorrelated features): sets of two in two
dimensions, two sets of ten in ten (local almost-orthogonal bases), and three correlated pairs in two dimensions over
density, which go from principal components through collapsed pairs to a hexagon. The densities of the first stand
nowhere; those here are said in `CASES`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from micrographia.toy.check import Check
from micrographia.toy.geometry import represented
from micrographia.toy.model import Optimiser, Sets, best, make_toy, repeated
from micrographia.toy.train import evaluate, train

PAPER = "Elhage et al. 2022, The Geometry of Superposition (correlated features)"
PAIRS: Sets = ((0, 1), (2, 3))
TRIPLE: Sets = ((0, 1), (2, 3), (4, 5))
TENS: Sets = (tuple(range(10)), tuple(range(10, 20)))
COLLAPSED = 0.95
"""Two features are collapsed into one direction from this cosine on."""


@dataclass(frozen=True)
class Case:
    """A small model with sets; the density is that of a whole set."""

    name: str
    features: int
    hidden: int
    density: float
    correlated: Sets = ()
    anticorrelated: Sets = ()


CASES = (
    Case("two correlated pairs", 4, 2, 0.05, correlated=PAIRS),
    Case("two anticorrelated pairs", 4, 2, 0.1, anticorrelated=PAIRS),
    Case("three correlated pairs", 6, 2, 0.02, correlated=TRIPLE),
    Case("two correlated tens", 20, 10, 0.05, correlated=TENS),
)
SWEEP = (0.9, 0.7, 0.5, 0.35, 0.25, 0.18, 0.12, 0.08, 0.04, 0.02)


@dataclass(frozen=True, eq=False)
class Solved:
    """The best model of a case, and the mean cosine within its sets over the models of all restarts."""

    case: Case
    weights: Float[np.ndarray, "hidden feature"]
    cosines: Float[np.ndarray, " pair"]
    restarts: Float[np.ndarray, " restart"]


@dataclass(frozen=True, eq=False)
class SetsFound:
    """The four cases, and over the density of three correlated pairs how many of them collapse in the best model."""

    cases: tuple[Solved, ...]
    density: Float[np.ndarray, " instance"]
    weights: Float[np.ndarray, "instance hidden feature"]
    collapsed: Int[np.ndarray, " instance"]
    kept: Int[np.ndarray, " instance"]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        cases = [
            {
                "name": each.case.name, "density": each.case.density, "weights": each.weights.tolist(),
                "cosines": each.cosines.tolist(), "mean_cosine_of_restarts": each.restarts.tolist(),
            }
            for each in self.cases
        ]  # fmt: skip
        sweep = {name: getattr(self, name).tolist() for name in ("density", "weights", "collapsed", "kept")}
        return {"cases": cases, "collapse": sweep}


def sets(steps: int, batch: int, restarts: int, seed: int = 0, threads: int | None = None) -> SetsFound:
    """Train every case and the sweep, and keep the best of the restarts.

    >>> sets(3000, 1024, 5).cases[1].cosines  # doctest: +SKIP
    array([-1., -1.])
    """
    walk = Optimiser("adam", rate=1e-2, decay=0, schedule="cosine")
    options: dict[str, Any] = {"steps": steps, "batch": batch, "optimiser": walk, "threads": threads}
    solved = []
    for case in CASES:
        toy = make_toy(
            case.features, case.hidden, density=case.density, correlated=case.correlated,
            anticorrelated=case.anticorrelated, seed=seed,
        )  # fmt: skip
        tried = train(repeated(toy, restarts, seed), **options)
        members = case.correlated or case.anticorrelated
        means = np.array([cosines(each, members).mean() for each in tried.weights.astype(np.float64)])
        weights = best(tried, evaluate(tried, 2**17), restarts).weights[0].astype(np.float64)
        solved.append(Solved(case, weights, cosines(weights, members), means))
    toy = make_toy(6, 2, density=list(SWEEP), correlated=TRIPLE, seed=seed)
    tried = train(repeated(toy, 3 * restarts, seed), **options)
    swept = best(tried, evaluate(tried, 2**17), 3 * restarts).weights.astype(np.float64)
    collapsed = np.array([(cosines(each, TRIPLE) > COLLAPSED).sum() for each in swept])
    return SetsFound(tuple(solved), toy.density[:, 0], swept, collapsed, represented(swept, 0.3).sum(1))


def cosines(weights: Float[np.ndarray, "hidden feature"], members: Sets) -> Float[np.ndarray, " pair"]:
    """The cosines of all pairs within each set; 0 for features of no length.

    >>> cosines(np.array([[1.0, -2.0]]), ((0, 1),))
    array([-1.])
    """
    length = np.linalg.norm(weights, axis=0)
    unit = weights / np.maximum(length, 1e-6)
    gram = unit.T @ unit
    return np.array([gram[i, j] for each in members for i in each for j in each if i < j])


def sets_checks(found: SetsFound) -> list[Check]:
    """The paper's statements on sets of features."""
    pairs, opposite, hexagon, tens = found.cases
    checks = [
        _held(pairs, "cosine of correlated features", "0: orthogonal", bool(np.abs(pairs.cosines).max() < 0.15)),
        _held(opposite, "cosine of anticorrelated features", "-1: antipodal", bool(opposite.cosines.max() < -0.95)),
        _held(hexagon, "cosine of partners in a hexagon", "above 0: side by side", bool(hexagon.cosines.min() > 0)),
    ]
    kept = int(represented(hexagon.weights[None]).sum())
    checks.append(Check("three correlated pairs: features kept", "6 (hexagon)", str(kept), kept == 6, PAPER))
    gram = tens.weights.T @ tens.weights
    inside = np.zeros((20, 20), dtype=bool)
    for each in TENS:
        inside[np.ix_(each, each)] = True
    np.fill_diagonal(inside, False)
    own = float(np.sqrt((gram[inside] ** 2).mean()))
    cross = float(np.sqrt((gram[:10, 10:] ** 2).mean()))
    what = "two tens in ten dimensions: W_i . W_j within a set, and across (root mean square)"
    checks.append(Check(what, "about 0; larger", f"{own:.3f}; {cross:.3f}", own < 0.1 and cross > 2 * own, PAPER))
    order = found.collapsed[np.argsort(-found.density)]
    middle = int(order.max())
    falls = bool((np.diff(order[order.argmax() :]) <= 0).all())
    numbers = ", ".join(f"{p:g}: {c}" for p, c in zip(found.density, found.collapsed, strict=True))
    what = "three correlated pairs: collapsed ones, by density"
    checks.append(Check(what, "3, then 2, 1, 0 as data get sparser", numbers, middle == 3 and falls, PAPER))
    end = int(found.collapsed[found.density.argmin()])
    checks.append(Check("three correlated pairs at the sparsest: collapsed", "0", str(end), end == 0, PAPER))
    return checks


def _held(solved: Solved, what: str, expected: str, agrees: bool) -> Check:
    measured = f"{solved.cosines.min():.3f} to {solved.cosines.max():.3f}"
    return Check(f"{solved.case.name}: {what}", expected, measured, agrees, PAPER)
