"""Experiment `demonstrate`: a linear and a ReLU model beside each other, from dense to sparse data.

Elhage et al. 2022, section Demonstrating Superposition: n = 20 in m = 5 with importance 0.7^i, n = 80 in m = 20 with
0.9^i. The panels' densities stand only in the paper's figure; those here go from 1 to 0.001 in half decades.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from micrographia.toy.check import Check
from micrographia.toy.geometry import interference, norms, represented
from micrographia.toy.model import Optimiser, best, make_toy, repeated
from micrographia.toy.train import evaluate, train

PAPER = "Elhage et al. 2022, Demonstrating Superposition"
DENSITIES = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001)
SHAPES = ((20, 5, 0.7), (80, 20, 0.9))
MIXED = 0.1
"""A represented feature is in superposition from this interference on."""


@dataclass(frozen=True)
class Size:
    """Restarts and steps for the smaller and the larger model."""

    restarts: tuple[int, int]
    steps: tuple[int, int]
    batch: int


FULL = Size(restarts=(4, 2), steps=(10_000, 10_000), batch=1024)
QUICK = Size(restarts=(2, 1), steps=(2500, 3500), batch=512)


@dataclass(frozen=True, eq=False)
class Models:
    """The linear model (first) and the ReLU models, one for each density."""

    importance: Float[np.ndarray, " feature"]
    density: Float[np.ndarray, " instance"]
    weights: Float[np.ndarray, "instance hidden feature"]
    bias: Float[np.ndarray, "instance feature"]
    loss: Float[np.ndarray, " instance"]


@dataclass(frozen=True, eq=False)
class Demonstrate:
    """The smaller and the larger set of models."""

    size: Size
    models: tuple[Models, ...]
    checks: tuple[Check, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values; the first model of each set is the linear one."""
        models = [{name: value.tolist() for name, value in vars(each).items()} for each in self.models]
        return {"size": vars(self.size), "models": models, "checks": [each.to_json() for each in self.checks]}


def demonstrate(size: Size = FULL, seed: int = 0, threads: int | None = None) -> Demonstrate:
    """Train all models of both sizes and keep the best restart of each.

    >>> len(demonstrate(QUICK).models)  # doctest: +SKIP
    2
    """
    models, checks = [], []
    for (n, m, fall), restarts, steps in zip(SHAPES, size.restarts, size.steps, strict=True):
        importance = fall ** np.arange(n)
        parts = []
        for kind, density in (("linear", DENSITIES[:1]), ("relu", DENSITIES)):
            toy = make_toy(n, m, kind=kind, density=list(density), importance=importance, seed=seed)
            walk = Optimiser("adam", rate=1e-2, decay=0, schedule="cosine")
            options: dict[str, Any] = {"steps": steps, "batch": size.batch, "optimiser": walk, "threads": threads}
            tried = train(repeated(toy, restarts, seed), **options)
            losses = evaluate(tried)
            parts.append((best(tried, losses, restarts), losses.reshape(-1, restarts).min(1)))
        (line, line_loss), (bent, bent_loss) = parts
        found = Models(
            importance,
            np.concatenate([line.toy.density[:, 0], bent.toy.density[:, 0]]),
            np.concatenate([line.weights, bent.weights]).astype(np.float64),
            np.concatenate([line.bias, bent.bias]).astype(np.float64),
            np.concatenate([line_loss, bent_loss]),
        )
        models.append(found)
        checks += _checks(found, m)
    return Demonstrate(size, tuple(models), tuple(checks))


def _checks(models: Models, m: int) -> list[Check]:
    n = len(models.importance)
    name = f"n={n}, m={m}: "
    size, mixed = norms(models.weights), interference(models.weights)
    kept = represented(models.weights)
    found = []
    for at, kind in ((0, "linear"), (1, "ReLU, density 1")):
        top = bool(kept[at, :m].all() and not kept[at, m:].any())
        apart = float(mixed[at, :m].max())
        means = float(np.abs(models.bias[at, m:] - models.density[at] / 2).max())
        what = f"{name}{kind}: the {m} most important features, orthogonal; the others' biases at the mean of x"
        measured = f"{int(kept[at].sum())} features, interference up to {apart:.3f}, bias off by {means:.3f}"
        found.append(Check(what, f"{m} features, 0, 0", measured, top and apart < 0.05 and means < 0.05, PAPER))
    shared = kept & (mixed > MIXED)
    count = shared.sum(1)
    bent = slice(1, None)
    more = bool((np.diff(kept[bent].sum(1)) >= 0).all())
    numbers = ", ".join(str(each) for each in kept[bent].sum(1))
    found.append(Check(f"{name}features represented as data get sparser", "ever more", numbers, more, PAPER))
    first = next((at for at in range(1, len(count)) if count[at]), None)
    if first is not None:
        inside = np.flatnonzero(shared[first])
        alone = np.flatnonzero(kept[first] & ~shared[first])
        later = bool(len(alone) == 0 or inside.mean() > alone.mean())
        measured = f"at density {models.density[first]:g}: features {_span(inside)} share, {_span(alone)} do not"
        found.append(Check(f"{name}superposition begins with", "less important features", measured, later, PAPER))
    last = int(count[-1])
    every = last == int(kept[-1].sum()) and last > m
    what = f"{name}at density {models.density[-1]:g} all represented features are in superposition"
    found.append(Check(what, "all", f"{last} of {int(kept[-1].sum())}", every, PAPER))
    low = float(np.median(models.bias[-1][kept[-1]])) if kept[-1].any() else 0.0
    found.append(Check(f"{name}their biases", "negative", f"median {low:.3f}", low < 0, PAPER))
    longest = float(size[-1].max())
    positive = float(_crossed(models.weights[-1]).max())
    measured = f"largest W_i . W_j {positive:.2f}, largest norm {longest:.2f}"
    found.append(Check(f"{name}positive interference appears", "above 0", measured, positive > 0.05, PAPER))
    return found


def _crossed(weights: Float[np.ndarray, "hidden feature"]) -> Float[np.ndarray, "feature feature"]:
    gram = weights.T @ weights
    return gram - np.diag(np.diag(gram))


def _span(which: np.ndarray) -> str:
    if not len(which):
        return "none"
    return ", ".join(map(str, which)) if len(which) < 6 else f"{which[0]} to {which[-1]} ({len(which)})"
