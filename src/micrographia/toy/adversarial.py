"""Experiment `adversarial`: superposition makes a model easier to fool, as far as it packs features more tightly.

Section Adversarial Robustness of Elhage et al. 2022: L2 attacks of a tenth of the mean input's length, chosen among the
directions of the rows of W^T W. The wording leaves open whether one attack is chosen for a model or for each input;
both are measured. Vulnerability is the rise of the loss over that of a model without superposition on the same data.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from scipy.stats import spearmanr

from micrographia.toy.check import Check
from micrographia.toy.data import draw
from micrographia.toy.geometry import dimensions_per_feature, represented
from micrographia.toy.model import Optimiser, Trained, make_toy
from micrographia.toy.train import train

BUDGET = 0.1
SATURATED = 0.9
"""From this share of represented features on, a model runs out of features, and the curve measures n / m."""
SOURCE = "Elhage et al. 2022, Adversarial Robustness"
_CHUNK = 32


@dataclass(frozen=True)
class Size:
    """How large the experiment is; samples are inputs under attack."""

    features: int
    hidden: int
    instances: int
    steps: int
    batch: int
    samples: int


FULL = Size(features=200, hidden=20, instances=20, steps=5000, batch=512, samples=500)
QUICK = Size(features=60, hidden=6, instances=10, steps=1200, batch=256, samples=300)


@dataclass(frozen=True, eq=False)
class Adversarial:
    """One model for each density: how easily it is fooled, beside how many features each dimension holds."""

    size: Size
    density: Float[np.ndarray, " instance"]
    features_per_dimension: Float[np.ndarray, " instance"]
    represented: Float[np.ndarray, " instance"]
    vulnerability: Float[np.ndarray, " instance"]
    vulnerability_one_attack: Float[np.ndarray, " instance"]
    checks: tuple[Check, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values; `represented` is the share of features of a norm of 1/2 or more."""
        arrays = ("density", "features_per_dimension", "represented", "vulnerability", "vulnerability_one_attack")
        body = {name: getattr(self, name).tolist() for name in arrays}
        return {"size": vars(self.size), **body, "checks": [each.to_json() for each in self.checks]}


def adversarial(size: Size = FULL, seed: int = 0, threads: int | None = None) -> Adversarial:
    """Train one model for each density from 1 to 1/20 and attack each.

    >>> adversarial(QUICK).vulnerability.max() > 3  # doctest: +SKIP
    True
    """
    density = 20.0 ** -np.linspace(0, 1, size.instances)
    toy = make_toy(size.features, size.hidden, density=density, seed=seed)
    walk = Optimiser("adam", rate=3e-3, decay=0, schedule="cosine")
    trained = train(toy, steps=size.steps, batch=size.batch, optimiser=walk, threads=threads)
    each, one = vulnerability(trained, size.samples)
    packed = 1 / dimensions_per_feature(trained.weights.astype(np.float64))
    share = represented(trained.weights).mean(1)
    return Adversarial(size, density, packed, share, each, one, _checks(packed, share, each, one))


def vulnerability(
    trained: Trained, samples: int, stream: int = 2**41
) -> tuple[Float[np.ndarray, " instance"], Float[np.ndarray, " instance"]]:
    """(L' - L) / (L'0 - L0) of every model with the worst attack on each input, and with the worst one for all inputs.

    The model 0 holds the first features, one in each dimension, and answers with the mean for all others.
    """
    x = draw(trained.toy, samples, stream).astype(np.float64)
    plain = np.eye(trained.toy.hidden, trained.toy.features)
    found = []
    for i, density in enumerate(trained.toy.density):
        missing = np.where(plain.sum(0) > 0, 0.0, density / 2)
        mine = harm(trained.weights[i].astype(np.float64), trained.bias[i].astype(np.float64), x[i])
        other = harm(plain, missing, x[i])
        found.append((mine[0] / other[0], mine[1] / other[1]))
    return np.array([a for a, _ in found]), np.array([b for _, b in found])


def harm(
    weights: Float[np.ndarray, "hidden feature"],
    bias: Float[np.ndarray, " feature"],
    x: Float[np.ndarray, "sample feature"],
    budget: float = BUDGET,
) -> tuple[float, float]:
    """The mean rise of the summed squared error of ReLU(W^T W x + b): worst attack per input, and worst of them all.

    Attacks are both signs of every row of W^T W, of `budget` times the mean input's length.

    >>> harm(np.eye(1), np.zeros(1), np.array([[1.0]]))[0].__round__(9)
    0.01
    """
    gram = weights.T @ weights
    length = np.linalg.norm(gram, axis=1, keepdims=True)
    unit = np.divide(gram, length, out=np.zeros_like(gram), where=length > 0)
    step = budget * np.linalg.norm(x, axis=1).mean() * np.concatenate([unit, -unit])
    moved, before = step @ gram, x @ gram + bias
    clean = np.square(np.maximum(before, 0) - x).sum(1)
    rise = np.empty((len(x), len(step)))
    for start in range(0, len(x), _CHUNK):
        part = slice(start, start + _CHUNK)
        error = np.maximum(before[part, None] + moved, 0) - x[part, None]
        rise[part] = np.einsum("saf,saf->sa", error, error) - clean[part, None]
    return float(rise.max(1).mean()), float(rise.mean(0).max())


def unsaturated(share: Float[np.ndarray, " instance"]) -> Bool[np.ndarray, " instance"]:
    """The models that still leave a tenth of the features or more unrepresented."""
    return share < SATURATED


def _checks(
    packed: Float[np.ndarray, " instance"],
    share: Float[np.ndarray, " instance"],
    each: Float[np.ndarray, " instance"],
    one: Float[np.ndarray, " instance"],
) -> tuple[Check, ...]:
    before = unsaturated(share)
    rank = float(spearmanr(each[before], packed[before])[0])
    rank_one = float(spearmanr(one[before], packed[before])[0])
    top = float(each[before].max())
    checks = [
        Check("largest vulnerability before saturation", "above 3", f"{top:.1f}", top > 3, SOURCE),
        Check(
            "rank correlation of vulnerability and features per dimension before saturation", "close to 1",
            f"{rank:.3f} over {int(before.sum())} models", rank > 0.95, SOURCE,
        ),
        Check(
            "the same with one attack for all inputs", "close to 1", f"{rank_one:.3f}", rank_one > 0.95, SOURCE,
        ),
        Check(
            "vulnerability of the dense model", "1: it does no worse than a projection", f"{each[0]:.2f}",
            bool(abs(each[0] - 1) < 0.15), "by algebra",
        ),
    ]  # fmt: skip
    return tuple(checks)
