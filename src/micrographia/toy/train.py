"""Train toys: `train` and `evaluate`, over the fused kernel or over plain torch, with named initialisations.

See model.py for the values that go in and come out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from micrographia.errors import BadValue, suggest
from micrographia.toy import kernel
from micrographia.toy.model import Optimiser, Snapshot, Toy, Trained

INITIALISATIONS = {
    "xavier": "normal, variance 2 / (n + m): Glorot's for one instance by itself",
    "notebook": "normal, variance 2 / (m (n + instances)): what Glorot's rule makes of the notebook's 3-D tensor",
    "kaiming": "uniform in +-1 / sqrt(inputs) for each layer, torch's default for a linear layer",
    "large": "normal with deviation 1.5, biases normal with deviation 0.5",
}
_DEVICE: ContextVar[str | None] = ContextVar("device", default=None)
EVALUATION = 2**40  # streams from here on are never drawn in training


@contextmanager
def on(device: str | None) -> Iterator[None]:
    """Train on a device of torch's instead of with the fused kernel, which is for processors; None changes nothing.

    >>> with on("cuda"):  # doctest: +SKIP
    ...     trained = train(toy)
    """
    before = _DEVICE.set(device)
    try:
        yield
    finally:
        _DEVICE.reset(before)


@dataclass(frozen=True, eq=False)
class Start:
    """Parameters to begin with, instead of an initialisation by name; the decoder of untied kinds only."""

    weights: Float[np.ndarray, "instance hidden feature"]
    bias: Float[np.ndarray, "instance feature"]
    decoder: Float[np.ndarray, "instance hidden feature"] | None = None


def initial(toy: Toy, name: str = "xavier") -> Start:
    """The parameters before the first step; biases are zero but for `large`.

    Raises BadValue for a name that is not in INITIALISATIONS.

    >>> initial(make_toy(5, 2, density=0.1)).weights.shape  # doctest: +SKIP
    (1, 2, 5)
    """
    if name not in INITIALISATIONS:
        raise BadValue(f"There is no initialisation '{name}'. Choose {suggest(name, INITIALISATIONS, 4)}.")
    n, m, count = toy.features, toy.hidden, toy.instances
    layers = np.empty((1 if toy.tied else 2, count, m, n), np.float32)
    bias = np.zeros((count, n), np.float32)
    deviation = {
        "xavier": math.sqrt(2 / (n + m)),
        "notebook": math.sqrt(2 / (m * (n + count))),
        "large": 1.5,
    }
    for i, seed in enumerate(toy.seeds):
        generator = np.random.default_rng(int(seed))
        for layer, inputs in zip(layers, (n, m), strict=False):
            if name == "kaiming":
                layer[i] = generator.uniform(-1, 1, (m, n)) / math.sqrt(inputs)
            else:
                layer[i] = generator.standard_normal((m, n)) * deviation[name]
        if name == "large":
            bias[i] = generator.standard_normal(n) * 0.5
    return Start(layers[0], bias, None if toy.tied else layers[1])


def train(
    toy: Toy,
    *,
    steps: int = 10_000,
    batch: int = 1024,
    optimiser: Optimiser | None = None,
    init: str | Start = "xavier",
    records: int = 200,
    snapshots: Sequence[int] = (),
    engine: str = "fused",
    threads: int | None = None,
    finished: Callable[[int], None] = lambda instances: None,
) -> Trained:
    """Train every instance on fresh data; the loss is kept at about `records` points, parameters at `snapshots` steps.

    `engine` is "fused" (the kernel, float32) or "torch" (the same by float64 autograd, slow: for tests); within
    `on("cuda")` training is done there, in plain torch. A snapshot at step 0 is the start. `finished` is told how many
    instances are done, from several threads.
    Raises BadValue for steps or batches below 1, unknown names, and training that diverges.

    >>> train(make_toy(5, 2, density=[1.0, 0.1]), steps=1000).weights.shape  # doctest: +SKIP
    (2, 2, 5)
    """
    optimiser = optimiser or Optimiser()
    if steps < 1 or batch < 1:
        raise BadValue(f"Training for {steps} steps of {batch} samples does nothing. Give at least one of each.")
    if any(not 0 <= each <= steps for each in snapshots):
        raise BadValue(f"Snapshots at {sorted(snapshots)} do not lie within the {steps} steps. Give steps from 0 on.")
    if engine not in ("fused", "torch"):
        raise BadValue(f"There is no engine '{engine}'. Choose fused or torch.")
    begin = initial(toy, init) if isinstance(init, str) else init
    start = [each for each in (begin.weights, begin.decoder, begin.bias) if each is not None]
    every = max(1, steps // records)
    record_steps = [*range(every, steps, every), steps]
    marks = sorted(set(snapshots))
    stops = sorted({*record_steps, *marks} - {0})
    width = sum(each[0].size for each in start)
    kept = {step: np.empty((toy.instances, width), np.float32) for step in {*marks, steps}}
    losses = np.empty((toy.instances, len(stops)))
    if 0 in kept:
        kept[0][:] = np.concatenate([each.reshape(toy.instances, -1) for each in start], 1)

    def at_stop(step: int, which: slice, theta: np.ndarray, mean: np.ndarray) -> None:
        losses[which, stops.index(step)] = mean
        if step in kept:
            kept[step][which] = theta

    rates = optimiser.rates(steps)
    if engine == "fused" and (name := _DEVICE.get()) is not None:
        from micrographia.toy import device

        device.descend(toy, start, rates, batch, optimiser, stops, at_stop, device.on_device(name), finished)
    elif engine == "fused":
        with np.errstate(all="ignore"):
            kernel.descend(toy, start, rates, batch, optimiser, stops, at_stop, threads=threads, finished=finished)
    else:
        from micrographia.toy.reference import descend

        descend(toy, start, steps, batch, optimiser, stops, at_stop)
    weights, decoder, bias = _split(toy, kept[steps])
    shots = tuple(Snapshot(step, *_split(toy, kept[step])) for step in marks)
    history = _windows(losses, stops, record_steps)
    _check_sound(optimiser, history, kept[steps], record_steps)
    return Trained(toy, weights, decoder, bias, history, np.array(record_steps, np.int64), shots)


def _split(toy: Toy, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray | None, np.ndarray]:
    size, shape = toy.features * toy.hidden, (toy.instances, toy.hidden, toy.features)
    decoder = None if toy.tied else theta[:, size : 2 * size].reshape(shape).copy()
    return theta[:, :size].reshape(shape).copy(), decoder, theta[:, -toy.features :].copy()


def _windows(losses: np.ndarray, stops: Sequence[int], record_steps: Sequence[int]) -> np.ndarray:
    """The mean loss since the record before, from the means between all stops."""
    starts = [0, *(stops.index(each) + 1 for each in record_steps[:-1])]
    return np.add.reduceat(losses * np.diff([0, *stops]), starts, axis=1) / np.diff([0, *record_steps])


def _check_sound(optimiser: Optimiser, history: np.ndarray, last: np.ndarray, record_steps: Sequence[int]) -> None:
    broken = ~np.isfinite(history)
    broken[:, -1] |= ~np.isfinite(last).all(1)
    if broken.any():
        which = int(np.flatnonzero(broken.any(1))[0])
        step = record_steps[int(broken[which].argmax())]
        raise BadValue(
            f"Training diverged: the loss of instance {which} was no number any more by step {step}, with "
            f"{optimiser.name} at a rate of {optimiser.rate:g}. Give a lower rate, such as {optimiser.rate / 10:g}."
        )


def evaluate(trained: Trained, samples: int = 65_536, seed: int = 0) -> Float[np.ndarray, " instance"]:
    """The loss of every instance on data it has not seen, from the same uniform numbers for all of them.

    >>> evaluate(trained, 4096).shape == (trained.toy.instances,)  # doctest: +SKIP
    True
    """
    toy = replace(trained.toy, seeds=np.full(trained.toy.instances, seed, np.uint64))
    parts = [each for each in (trained.weights, trained.decoder, trained.bias) if each is not None]
    found = np.empty(toy.instances)

    def at_stop(step: int, which: slice, theta: np.ndarray, mean: np.ndarray) -> None:
        found[which] = mean

    # one step of length zero, on a stream that training never reaches
    still = Optimiser("sgd", rate=1, decay=0, momentum=0)
    kernel.descend(toy, parts, np.zeros(1), samples, still, [1], at_stop, first_step=EVALUATION)
    return found
