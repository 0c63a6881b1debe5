"""Experiment `geometry`: uniform features in many dimensions, one uneven feature, and correlated sets, in one result.

The parts are packing.py, perturb.py and sets.py; together they are the section The Geometry of Superposition.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from micrographia.toy.check import Check
from micrographia.toy.packing import Packing, packing, packing_checks
from micrographia.toy.perturb import Perturbed, perturb, perturb_checks
from micrographia.toy.sets import SetsFound, sets, sets_checks


@dataclass(frozen=True)
class Size:
    """The uniform models' shape and training; steps and restarts of the small ones."""

    features: int
    hidden: int
    instances: int
    steps: int
    batch: int
    restarts: int
    small_steps: int
    small_restarts: int


FULL = Size(200, 20, 36, steps=10_000, batch=1024, restarts=2, small_steps=3000, small_restarts=16)
QUICK = Size(200, 20, 12, steps=3500, batch=256, restarts=1, small_steps=1200, small_restarts=8)


@dataclass(frozen=True, eq=False)
class Structure:
    """The three parts."""

    size: Size
    packing: Packing
    perturbed: Perturbed
    sets: SetsFound
    checks: tuple[Check, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        parts = {name: getattr(self, name).to_json() for name in ("packing", "perturbed", "sets")}
        return {"size": vars(self.size), **parts, "checks": [each.to_json() for each in self.checks]}


def structure(size: Size = FULL, seed: int = 0, threads: int | None = None) -> Structure:
    """Train and measure all three parts; densities of the uniform models go from 1 to 1/50, evenly in 1/density's log.

    >>> structure(QUICK).packing.capacity.round()  # doctest: +SKIP
    array([10., 10., ...])
    """
    density = 50.0 ** -np.linspace(0, 1, size.instances)
    uniform = packing(density, size.features, size.hidden, size.steps, size.batch, size.restarts, seed, threads)
    uneven = perturb(size.small_steps, 1024, size.small_restarts, seed, threads)
    grouped = sets(size.small_steps, 512, max(5, size.small_restarts // 3), seed, threads)
    checks = (*packing_checks(uniform), *perturb_checks(uneven), *sets_checks(grouped))
    return Structure(size, uniform, uneven, grouped, checks)
