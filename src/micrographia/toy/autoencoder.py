"""Experiment `autoencoder`: does a sparse autoencoder find the features that a toy is known to hold?

The question of Sharkey, Braun and Millidge 2022, on the toy's own hidden vectors h = W x: an autoencoder
f = ReLU(E (h - d) + c), h' = D f + d with unit columns of D and the loss |h - h'|^2 + lambda |f|_1, as in Cunningham et
al. 2023. The truth is the directions of the represented features. Recovery is held against dictionaries of random
directions, and, which is harder to beat, of hidden vectors taken from the data: where data are sparse, many of them are
a single feature.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from micrographia.toy.check import Check
from micrographia.toy.data import draw
from micrographia.toy.geometry import represented
from micrographia.toy.model import Optimiser, Toy, chosen, make_toy
from micrographia.toy.single import single
from micrographia.toy.train import train

FOUND = 0.9
"""A feature is found if its one-to-one partner in the dictionary has a cosine of at least this."""
SOURCE = "the question of Sharkey et al. 2022"
STREAM = 2**42
ALIVE = 1e-3
JUDGED = 8  # batches


@dataclass(frozen=True)
class Size:
    """How large the experiment is; the dictionary has `width` times as many entries as there are features."""

    features: int
    hidden: int
    densities: tuple[float, ...]
    penalties: tuple[float, ...]
    width: float
    toy_steps: int
    steps: int
    batch: int
    trials: int


FULL = Size(
    40, 10, (0.3, 0.1, 0.05, 0.02, 0.01), (0.05, 0.1, 0.2, 0.4, 0.8), width=1.5, toy_steps=6000, steps=4000, batch=512,
    trials=200,
)  # fmt: skip
QUICK = Size(24, 8, (0.2, 0.03), (0.1, 0.4, 0.8), 1.5, toy_steps=2000, steps=1500, batch=256, trials=50)


@dataclass(frozen=True, eq=False)
class Learnt:
    """A dictionary of unit columns, and each entry's use: the root mean square of its code over fresh data."""

    dictionary: Float[np.ndarray, "hidden entry"]
    use: Float[np.ndarray, " entry"]
    active: float
    dead: float
    explained: float


@dataclass(frozen=True)
class Recovery:
    """One autoencoder on one toy: `cosine` is the mean over features of the best one-to-one cosine.

    `active` is the mean number of dictionary entries on for an input, `explained` the share of variance rebuilt.
    """

    density: float
    penalty: float
    features: int
    cosine: float
    found: float
    active: float
    dead: float
    explained: float

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return dict(vars(self))


@dataclass(frozen=True, eq=False)
class Autoencoder:
    """All recoveries, and for each density the same two numbers of dictionaries that were not learnt.

    `random` and `data` are "density 2": the mean cosine's and the found share's 95 % quantiles over the trials.
    """

    size: Size
    recoveries: tuple[Recovery, ...]
    random: Float[np.ndarray, "density 2"]
    data: Float[np.ndarray, "density 2"]
    checks: tuple[Check, ...]

    def at(self, density: float) -> tuple[Recovery, ...]:
        """The recoveries of one density, by penalty."""
        return tuple(each for each in self.recoveries if each.density == density)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "size": vars(self.size) | {"densities": list(self.size.densities), "penalties": list(self.size.penalties)},
            "recoveries": [each.to_json() for each in self.recoveries],
            "null_95": {"random": self.random.tolist(), "data": self.data.tolist()},
            "checks": [each.to_json() for each in self.checks],
        }


def autoencoder(size: Size = FULL, seed: int = 0, threads: int | None = None) -> Autoencoder:
    """Train toys of several densities, and on each one sparse autoencoder for each penalty.

    >>> autoencoder(QUICK).at(0.02)[0].cosine > 0.9  # doctest: +SKIP
    True
    """
    toy = make_toy(size.features, size.hidden, density=list(size.densities), seed=seed)
    walk = Optimiser("adam", rate=5e-3, decay=0, schedule="cosine")
    trained = train(toy, steps=size.toy_steps, batch=512, optimiser=walk, records=1, threads=threads)
    entries = round(size.width * size.features)
    rng = np.random.default_rng(seed)
    toys = [chosen(trained, [i]).toy for i in range(len(size.densities))]
    vectors = [_hidden(one, w, 20_000, STREAM) for one, w in zip(toys, trained.weights, strict=True)]
    scale = [float(np.sqrt(np.square(each).sum(1).mean())) for each in vectors]

    def fresh(step: int) -> Float[np.ndarray, "model sample hidden"]:
        given = zip(toys, trained.weights, scale, strict=True)
        own = [_hidden(one, w, size.batch, STREAM + 1 + step) / length for one, w, length in given]
        return np.repeat(own, len(size.penalties), axis=0)

    # the autoencoders of all densities at once: many small steps cost more than few larger ones
    learnt = learn(fresh, entries, size.penalties * len(size.densities), size.steps, seed)
    recoveries: list[Recovery] = []
    random, data = [], []
    for i, density in enumerate(size.densities):
        truth = _unit(trained.weights[i][:, represented(trained.weights[i][None])[0]])
        own = learnt[i * len(size.penalties) :][: len(size.penalties)]
        for penalty, each in zip(size.penalties, own, strict=True):
            how = recovery(each.dictionary, truth)
            recoveries.append(Recovery(density, penalty, truth.shape[1], *how, each.active, each.dead, each.explained))
        long = vectors[i][np.linalg.norm(vectors[i], axis=1) > 0.1 * scale[i]]
        random.append(_null(truth, [rng.standard_normal((size.hidden, entries)) for _ in range(size.trials)]))
        data.append(_null(truth, [long[rng.integers(len(long), size=entries)].T for _ in range(size.trials)]))
    null = np.array(random), np.array(data)
    return Autoencoder(size, tuple(recoveries), *null, _checks(size, recoveries, *null))


def recovery(
    dictionary: Float[np.ndarray, "hidden entry"], truth: Float[np.ndarray, "hidden feature"]
) -> tuple[float, float]:
    """The mean cosine of every true direction with an entry of its own, and the share of cosines of 0.9 and more.

    Entries are dealt to features one to one so that the sum of cosines is largest; a feature without an entry has 0.

    >>> recovery(np.eye(2), np.array([[1.0], [0.0]]))
    (1.0, 1.0)
    """
    from scipy.optimize import linear_sum_assignment  # takes long to import

    cosine = np.clip(_unit(truth).T @ _unit(dictionary), -1, 1)
    rows, columns = linear_sum_assignment(-cosine)
    best = np.zeros(len(cosine))
    best[rows] = cosine[rows, columns]
    return float(best.mean()), float((best >= FOUND).mean())


def learn(
    hidden: Callable[[int], Float[np.ndarray, "*model sample hidden"]],
    entries: int,
    penalties: tuple[float, ...],
    steps: int,
    seed: int,
) -> list[Learnt]:
    """Train one sparse autoencoder for each penalty, on the same fresh data or, with a first axis, each on its own.

    >>> rng = np.random.default_rng(0)
    >>> learn(lambda step: rng.random((32, 3)), 4, (0.1,), 5, seed=0)[0].dictionary.shape
    (3, 4)
    """
    first = hidden(0)
    with single(len(penalties) * first.shape[-2] * entries):
        return _learn(hidden, first.shape[-1], entries, penalties, steps, seed)


def _learn(
    hidden: Callable[[int], np.ndarray], size: int, entries: int, penalties: tuple[float, ...], steps: int, seed: int
) -> list[Learnt]:
    generator = torch.Generator().manual_seed(seed)
    count = len(penalties)
    out = torch.randn(size, entries, generator=generator).expand(count, -1, -1).clone()
    out /= out.norm(dim=1, keepdim=True)
    parameters = [out, out.transpose(1, 2).clone(), torch.zeros(count, 1, entries), torch.zeros(count, 1, size)]
    for each in parameters:
        each.requires_grad_()
    walker = torch.optim.Adam(parameters, lr=5e-3)
    decay = torch.optim.lr_scheduler.LambdaLR(walker, lambda step: min(1.0, 3 * (1 - step / steps)))
    weigh = torch.tensor(penalties)[:, None]
    for step in range(steps):
        h = torch.from_numpy(hidden(step)).float()
        code, rebuilt = _code(parameters, h)
        loss = (rebuilt - h).square().sum(2) + weigh * code.sum(2)
        walker.zero_grad()
        loss.mean(1).sum().backward()
        walker.step()
        decay.step()
        with torch.no_grad():
            out /= out.norm(dim=1, keepdim=True)
    with torch.no_grad():
        h = torch.cat([torch.from_numpy(hidden(steps + each)).float() for each in range(JUDGED)], -2)
        code, rebuilt = _code(parameters, h)
        lost = (rebuilt - h).square().sum((1, 2)) / (h - h.mean(-2, keepdim=True)).square().sum((-2, -1))
        on = code > ALIVE
        numbers = torch.stack([on.sum(2).double().mean(1), (~on.any(1)).double().mean(1), 1 - lost.double()], 1)
        use = code.square().mean(1).sqrt().double().numpy()
        columns = out.numpy().astype(np.float64)
    return [Learnt(*each, *row) for *each, row in zip(columns, use, numbers.tolist(), strict=True)]


def _code(parameters: list[Tensor], h: Tensor) -> tuple[Tensor, Tensor]:
    out, into, threshold, centre = parameters
    code = ((h - centre) @ into.transpose(1, 2) + threshold).relu()
    return code, code @ out.transpose(1, 2) + centre


def _hidden(toy: Toy, weights: np.ndarray, samples: int, stream: int) -> Float[np.ndarray, "sample hidden"]:
    return draw(toy, samples, stream)[0] @ weights.T


def _unit(columns: np.ndarray) -> np.ndarray:
    return columns / np.maximum(np.linalg.norm(columns, axis=0), 1e-12)


def _null(truth: np.ndarray, dictionaries: list[np.ndarray]) -> list[float]:
    found = np.array([recovery(each, truth) for each in dictionaries])
    return np.quantile(found, 0.95, axis=0).tolist()


def _checks(
    size: Size,
    recoveries: list[Recovery],
    random: Float[np.ndarray, "density 2"],
    data: Float[np.ndarray, "density 2"],
) -> tuple[Check, ...]:
    sparse = size.densities[-1]
    best = [max((r for r in recoveries if r.density == p), key=lambda r: r.cosine) for p in size.densities]
    last, first = best[-1], best[0]
    return (
        Check(
            f"density {sparse:g}: features found one to one (cosine {FOUND:g} or more)", "most: 80 % or more",
            f"{last.found:.0%} of {last.features}", last.found >= 0.8, SOURCE,
        ),
        Check(
            f"density {sparse:g}: mean cosine beyond random directions", f"above {random[-1, 0]:.2f} (95 % of trials)",
            f"{last.cosine:.2f}", bool(last.cosine > random[-1, 0]), "null model",
        ),
        Check(
            f"density {sparse:g}: mean cosine beyond hidden vectors of the data",
            f"above {data[-1, 0]:.2f} (95 % of trials)", f"{last.cosine:.2f}", bool(last.cosine > data[-1, 0]),
            "null model",
        ),
        Check(
            f"fewer features are found at density {size.densities[0]:g} than at {sparse:g}", "yes",
            f"{first.found:.0%} of {first.features}, {last.found:.0%} of {last.features}", first.found < last.found,
            "sparse coding needs sparse codes",
        ),
    )  # fmt: skip
