"""Many equally important features: how many share a dimension, and which polytopes they form (uniform superposition).

Elhage et al. 2022, section The Geometry of Superposition, at the size of its notebook: n = 200, m = 20. Expected are
fractions of exact polytopes, and the densities of their plateaus as measured before with another program.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from micrographia.toy.check import Check
from micrographia.toy.geometry import capacity, dimensionality, dimensions_per_feature, represented
from micrographia.toy.model import Optimiser, best, make_toy, repeated
from micrographia.toy.polytope import groups
from micrographia.toy.train import evaluate, train

PAPER = "Elhage et al. 2022, The Geometry of Superposition"
BEFORE = "an earlier measurement at this size, one seed"
LINES = {"tetrahedron": 3 / 4, "triangle": 2 / 3, "digon": 1 / 2, "pentagon": 2 / 5, "square antiprism": 3 / 8}
"""Dimensions per feature in the polytopes of the paper's guide lines."""


@dataclass(frozen=True)
class Packing:
    """Models over densities: D*, each feature's dimensionality, the sum of them, and the polytopes counted by name.

    `graphs` holds the Gram matrix of the represented features, in groups, of a few models: for drawing.
    """

    hidden: int
    density: Float[np.ndarray, " instance"]
    packed: Float[np.ndarray, " instance"]
    dimensions: Float[np.ndarray, "instance feature"]
    represented: Float[np.ndarray, "instance feature"]
    capacity: Float[np.ndarray, " instance"]
    polytopes: tuple[dict[str, int], ...]
    weights: Float[np.ndarray, "instance hidden feature"]

    def to_json(self) -> dict[str, Any]:
        """Plain values; the weights are left out."""
        return {
            "hidden": self.hidden,
            "density": self.density.tolist(),
            "dimensions_per_feature": self.packed.tolist(),
            "capacity": self.capacity.tolist(),
            "polytopes": list(self.polytopes),
            "dimensionality": [
                np.round(d[r > 0], 4).tolist() for d, r in zip(self.dimensions, self.represented, strict=True)
            ],
        }


def packing(
    density: Float[np.ndarray, " instance"],
    features: int,
    hidden: int,
    steps: int,
    batch: int,
    restarts: int,
    seed: int = 0,
    threads: int | None = None,
) -> Packing:
    """Train models of equally important features over densities and measure their geometry.

    >>> packing(np.array([0.4]), 40, 4, 2000, 256, 1).polytopes  # doctest: +SKIP
    ({'digon': 4},)
    """
    toy = make_toy(features, hidden, density=density, seed=seed)
    walk = Optimiser("adam", rate=3e-3, decay=0, schedule="cosine")
    tried = train(repeated(toy, restarts, seed), steps=steps, batch=batch, optimiser=walk, threads=threads)
    kept = best(tried, evaluate(tried, 2**15), restarts)
    weights = kept.weights.astype(np.float64)
    counts = tuple(dict(Counter(group.name for group in groups(each))) for each in weights)
    return Packing(
        hidden, np.asarray(density), dimensions_per_feature(weights), dimensionality(weights),
        represented(weights).astype(np.float64), capacity(weights), counts, weights,
    )  # fmt: skip


def packing_checks(found: Packing) -> list[Check]:
    """What the paper says of these curves, and the fractions of exact polytopes."""
    name = f"n={found.dimensions.shape[1]}, m={found.hidden}: "
    off = float(np.abs(found.capacity - found.hidden).max())
    measured = f"{found.capacity.min():.2f} to {found.capacity.max():.2f}"
    checks = [Check(name + "sum of all D_i, every density", f"{found.hidden} +- 0.1", measured, off <= 0.1, PAPER)]
    dense = found.density >= 0.999
    if dense.any():
        value = float(found.packed[dense][0])
        checks.append(Check(name + "D* of dense data", "1", f"{value:.3f}", abs(value - 1) < 0.03, PAPER))
    flat = (found.density >= 0.3) & (found.density <= 0.5)
    if flat.any():
        own = found.dimensions[flat][found.represented[flat] > 0]
        share = float(((own > 0.48) & (own < 0.52)).mean())
        checks.append(
            Check(
                name + "D_i of features at densities 0.3 to 0.5", "all in 0.48 to 0.52 (digons)",
                f"{share:.1%} of {len(own)}, {own.min():.3f} to {own.max():.3f}", share >= 0.97, PAPER,
            )
        )  # fmt: skip
        low, high = found.packed[flat].min(), found.packed[flat].max()
        agrees = bool(low > 0.47 and high < 0.56)
        checks.append(Check(name + "D* there", "0.47 to 0.56", f"{low:.3f} to {high:.3f}", agrees, BEFORE))
    window = (found.density >= 0.19) & (found.density <= 0.225)
    if window.any():
        own = found.dimensions[window][found.represented[window] > 0]
        share = float(((own > 0.345) & (own < 0.425)).mean())
        what = name + "features near 2/5 and 3/8 at densities 0.19 to 0.225"
        checks.append(Check(what, "most", f"{share:.0%} of {len(own)}", share > 0.6, BEFORE))
    seen = Counter[str]()
    for each in found.polytopes:
        seen.update(each)
    there = [shape for shape in LINES if seen[shape]]
    measured = ", ".join(f"{seen[shape]} {shape}" for shape in LINES if seen[shape]) or "none"
    what = name + "polytopes that occur, over all densities"
    checks.append(Check(what, ", ".join(LINES), measured, len(there) == len(LINES), PAPER))
    return checks
