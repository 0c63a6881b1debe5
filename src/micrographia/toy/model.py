"""Toy models of superposition (Elhage et al. 2022, arXiv 2209.10652) as values: what a toy is, and what training gives.

The interface in one look (units of everything: features 0..n-1, density p = 1 - S, the chance that a feature is on):

    toy = make_toy(5, 2, density=[1.0, 0.1], importance=0.9 ** np.arange(5))       # two instances: one for each density
    trained = train(toy, steps=5000, optimiser=Optimiser(rate=1e-2, schedule="cosine"))       # from toy/train.py
    trained.weights                                  # "instance hidden feature": column i is W_i of the paper
    trained.decoder                                  # the second layer, same axes; None in tied kinds
    trained.readout                                  # the decoder, or the weights where the model is tied
    trained.bias, trained.history                    # "instance feature"; "instance record", mean loss since the last
    evaluate(trained, samples=65536)                 # "instance": the loss on fresh data, the same for every instance
    draw(toy, samples=1000, stream=7)                # from toy/data.py: x, "instance sample feature"
    repeated(toy, 10), best(trained, losses, 10)     # ten restarts of each instance; the best of each ten
    chosen(trained, [3, 1])                          # some of the instances

`density` and `importance` may be a number, one for each instance (density only), one for each feature (importance
only), or a matrix "instance feature". Every instance has its own seed: what it becomes does not depend on the others.
The loss is the notebook's: the mean over features and samples of importance * (y - y')^2.

| kind | hidden | output | target | weights |
| --- | --- | --- | --- | --- |
| linear | W x | W^T h + b | x | tied |
| relu | W x | ReLU(W^T h + b) | x | tied |
| relu-hidden | ReLU(W x) | ReLU(W^T h + b) | x | tied |
| absolute | ReLU(W1 x) | ReLU(W2^T h + b) | abs(x), x in -1..1 | W1 and W2, both "hidden feature" |
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float, Int, UInt64

from micrographia.errors import BadValue, suggest

KINDS = ("linear", "relu", "relu-hidden", "absolute")
OPTIMISERS = ("adamw", "adam", "sgd")
SCHEDULES = ("constant", "linear", "cosine")

Sets = tuple[tuple[int, ...], ...]


@dataclass(frozen=True, eq=False)
class Toy:
    """Several instances of one toy model: the same shape and kind, each with its densities, importances and seed.

    The members of a correlated set are on together, with values of their own; of an anticorrelated set one member at
    most is on, each as likely, and `density` is that of the whole set.
    """

    features: int
    hidden: int
    kind: str
    density: Float[np.ndarray, "instance feature"]
    importance: Float[np.ndarray, "instance feature"]
    seeds: UInt64[np.ndarray, " instance"]
    correlated: Sets = ()
    anticorrelated: Sets = ()

    @property
    def instances(self) -> int:
        return len(self.seeds)

    @property
    def tied(self) -> bool:
        """Whether one matrix is both the way in and the way out."""
        return self.kind != "absolute"

    @property
    def hidden_relu(self) -> bool:
        return self.kind in ("relu-hidden", "absolute")

    @property
    def output_relu(self) -> bool:
        return self.kind != "linear"


@dataclass(frozen=True)
class Optimiser:
    """How to walk downhill; the defaults are the authors' notebook's: AdamW at 1e-3 with weight decay 0.01, constant.

    `schedule`: constant, linear (1 - t/T) or cosine, a quarter of a wave: cos(pi/2 t/(T-1)). `momentum` is for SGD.
    """

    name: str = "adamw"
    rate: float | int = 1e-3
    decay: float | int = 0.01
    schedule: str = "constant"
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    momentum: float | int = 0.9

    def __post_init__(self) -> None:
        if self.name not in OPTIMISERS:
            raise BadValue(f"There is no optimiser '{self.name}'. Choose {', '.join(OPTIMISERS)}.")
        if self.schedule not in SCHEDULES:
            raise BadValue(f"There is no schedule '{self.schedule}'. Choose {', '.join(SCHEDULES)}.")
        if not self.rate > 0:
            raise BadValue(f"A learning rate of {self.rate} leads nowhere. Give one above 0, such as 0.001.")

    def rates(self, steps: int) -> Float[np.ndarray, " steps"]:
        """The learning rate at every step."""
        t = np.arange(steps)
        shape = {
            "constant": np.ones(steps),
            "linear": 1 - t / max(steps, 1),
            "cosine": np.cos(np.pi / 2 * t / max(steps - 1, 1)),
        }[self.schedule]
        return self.rate * shape


@dataclass(frozen=True, eq=False)
class Snapshot:
    """The parameters of all instances after `step` steps; same axes as in Trained."""

    step: int
    weights: Float[np.ndarray, "instance hidden feature"]
    decoder: Float[np.ndarray, "instance hidden feature"] | None
    bias: Float[np.ndarray, "instance feature"]


@dataclass(frozen=True, eq=False)
class Trained:
    """What training gives: the parameters, the loss on the way (mean since the record before) and the snapshots."""

    toy: Toy
    weights: Float[np.ndarray, "instance hidden feature"]
    decoder: Float[np.ndarray, "instance hidden feature"] | None
    bias: Float[np.ndarray, "instance feature"]
    history: Float[np.ndarray, "instance record"]
    record_steps: Int[np.ndarray, " record"]
    snapshots: tuple[Snapshot, ...] = ()

    @property
    def readout(self) -> Float[np.ndarray, "instance hidden feature"]:
        """The matrix on the way out: the decoder, or the weights themselves where the model is tied."""
        return self.weights if self.decoder is None else self.decoder


def make_toy(
    features: int,
    hidden: int,
    *,
    kind: str = "relu",
    density: Any = None,
    sparsity: Any = None,
    importance: Any = 1.0,
    correlated: Sequence[Sequence[int]] = (),
    anticorrelated: Sequence[Sequence[int]] = (),
    instances: int | None = None,
    seed: int = 0,
) -> Toy:
    """A toy with everything spelled out, from numbers, lists or arrays; give `density` p or `sparsity` S = 1 - p.

    Raises BadValue for more hidden units than features (except where the hidden layer computes: `absolute`), a
    sparsity outside [0, 1), importances of the wrong number, and sets that overlap or whose members differ in density.

    >>> toy = make_toy(5, 2, sparsity=[0.0, 0.8, 0.9], importance=[0.9**i for i in range(5)])
    >>> toy.instances, toy.density.shape
    (3, (3, 5))
    """
    if kind not in KINDS:
        raise BadValue(f"There is no toy of the kind '{kind}'. Choose {suggest(kind, KINDS, len(KINDS))}.")
    if features < 1 or hidden < 1:
        raise BadValue(f"A toy of {features} features and {hidden} hidden units is empty. Give at least one of each.")
    if hidden > features and kind != "absolute":
        raise BadValue(
            f"{hidden} hidden units for {features} features leave nothing to superpose. "
            f"Give at most as many hidden units as features: {features} or fewer."
        )
    if (density is None) == (sparsity is None):
        raise BadValue("A toy needs either its density or its sparsity. Give one of the two.")
    given = np.asarray(density if sparsity is None else sparsity, dtype=np.float64)
    values = given if sparsity is None else 1 - given
    if not (np.isfinite(values) & (values > 0) & (values <= 1)).all():
        wrong = given[~((values > 0) & (values <= 1))].flat[0]
        what = f"density of {wrong:g}" if sparsity is None else f"sparsity of {wrong:g}"
        raise BadValue(
            f"A {what} is not possible. Sparsity is the chance that a feature is zero: from 0 (never) to below 1; "
            "density is 1 minus that."
        )
    count = instances or (values.shape[0] if values.ndim else 1)
    if values.ndim == 1:
        values = values[:, None]
    weigh = np.asarray(importance, dtype=np.float64)
    if weigh.ndim and weigh.shape[-1] != features:
        raise BadValue(f"{weigh.shape[-1]} importances were given for {features} features. Give one for each feature.")
    if not (np.isfinite(weigh) & (weigh >= 0)).all():
        raise BadValue("An importance is negative or not a number. Give numbers from 0 up.")
    if weigh.ndim == 2 and density is not None and np.ndim(density) == 0 and instances is None:
        count = weigh.shape[0]
    try:
        p = np.broadcast_to(values, (count, features)).copy()
        weigh = np.broadcast_to(weigh, (count, features)).copy()
    except ValueError:
        raise BadValue(
            f"Densities of shape {values.shape} and importances of shape {weigh.shape} do not fit {count} instances of "
            f"{features} features. Give one density for each instance, or a matrix of instances by features."
        ) from None
    seeds = np.random.SeedSequence(seed).generate_state(count, np.uint64)
    sets = tuple(tuple(map(int, each)) for each in correlated), tuple(tuple(map(int, each)) for each in anticorrelated)
    _check_sets(sets[0] + sets[1], p)
    return Toy(features, hidden, kind, p, weigh, seeds, *sets)


def _check_sets(sets: Sets, density: Float[np.ndarray, "instance feature"]) -> None:
    members = [i for each in sets for i in each]
    known = range(density.shape[1])
    if len(set(members)) != len(members) or not all(i in known for i in members):
        raise BadValue(
            f"The sets {list(sets)} overlap or name features that there are not. "
            f"Put each feature, 0 to {len(known) - 1}, into one set at most."
        )
    for each in sets:
        if (density[:, list(each)] != density[:, list(each)[:1]]).any():
            raise BadValue(f"The members of the set {list(each)} differ in density. Give all members the same.")


def repeated(toy: Toy, times: int, seed: int = 0) -> Toy:
    """Each instance `times` times in a row, every copy with a seed of its own: restarts.

    >>> repeated(make_toy(5, 2, density=[1.0, 0.1]), 3).density[:, 0].tolist()
    [1.0, 1.0, 1.0, 0.1, 0.1, 0.1]
    """
    seeds = np.random.SeedSequence([seed, times]).generate_state(toy.instances * times, np.uint64)
    return replace(toy, density=toy.density.repeat(times, 0), importance=toy.importance.repeat(times, 0), seeds=seeds)


def chosen(trained: Trained, which: Any) -> Trained:
    """Some of the instances, in the given order.

    >>> chosen(trained, [3, 1]).toy.instances  # doctest: +SKIP
    2
    """
    at = np.asarray(which, dtype=np.int64)
    toy = trained.toy
    return Trained(
        replace(toy, density=toy.density[at], importance=toy.importance[at], seeds=toy.seeds[at]),
        trained.weights[at],
        None if trained.decoder is None else trained.decoder[at],
        trained.bias[at],
        trained.history[at],
        trained.record_steps,
        tuple(
            Snapshot(s.step, s.weights[at], None if s.decoder is None else s.decoder[at], s.bias[at])
            for s in trained.snapshots
        ),
    )


def best(trained: Trained, losses: Float[np.ndarray, " instance"], times: int) -> Trained:
    """Of each `times` restarts in a row the one with the lowest loss.

    >>> best(train(repeated(toy, 10)), losses, 10).toy.instances == toy.instances  # doctest: +SKIP
    True
    """
    at = losses.reshape(-1, times).argmin(1)
    return chosen(trained, at + np.arange(len(at)) * times)
