"""The fused training kernel: data, forward pass, gradients and the optimiser's step of one instance stay in cache.

A step of an instance goes through its batch in strips of a few blocks of LANES samples (gradient.py). Instances are
dealt to threads; none waits for another.

Compiled code is kept on disk by this file's date alone: touch it after a change to the files that it takes from.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import no_type_check

import numpy as np
from jaxtyping import Float
from numba import config, njit

from micrographia.toy.data import fill, key, plan
from micrographia.toy.gradient import RARE, small, strip, turn
from micrographia.toy.model import Optimiser, Toy
from micrographia.toy.simd import LANES
from micrographia.toy.unrolled import FEW, LONG, shape_of

ADAM, SGD = 0, 1
LEAST, MOST, AIM = 128 // LANES, 1024 // LANES, 3200 * 32 // LANES
"""Blocks of a strip, at least and at most, and blocks times features between: x and r stay in second-level cache."""


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract"}, error_model="numpy")
@no_type_check
def run(
    shape, theta, first, second, work, listed, rates, done, batch, seeds, density, weigh, rule, number, place, size,
    signed, hidden, tied, hidden_relu, output_relu, method, decay, decoupled, beta1, beta2, eps, losses,
):  # fmt: skip
    """Steps done, done + 1, ... of each instance in turn, one for each rate; `losses` gets the mean over them.

    `shape` is None, or a small toy's whose products are to be written out.
    """
    n, m = density.shape[1], hidden
    strips = (batch + LANES - 1) // LANES
    blocks = min(strips, max(LEAST, min(MOST, AIM // n)))
    grad = work[: theta.shape[1]]
    at = theta.shape[1]
    turned = work[at : at + theta.shape[1] - n]
    at += theta.shape[1] - n
    x = work[at : at + blocks * n * LANES].reshape(blocks, n, LANES)
    at += blocks * n * LANES
    r = work[at : at + blocks * n * LANES].reshape(blocks, n, LANES)
    at += blocks * n * LANES
    h = work[at : at + blocks * m * LANES].reshape(blocks, m, LANES)
    at += blocks * m * LANES
    dh = work[at : at + blocks * m * LANES].reshape(blocks, m, LANES)
    at += blocks * m * LANES
    valid = work[at : at + blocks * LANES].reshape(blocks, LANES)
    valid[:] = 1
    zeros, tally, spare = np.zeros(max(n, m), theta.dtype), np.zeros(LANES, theta.dtype), np.zeros(LANES, theta.dtype)
    for instance in range(theta.shape[0]):
        values, velocity, square = theta[instance], first[instance], second[instance]
        rare = density[instance] < RARE
        total = 0.0
        for step in range(rates.shape[0]):
            grad[:] = 0
            if shape is None:
                turn(turned, values, n, m)
            base = key(seeds[instance], done + step)
            for begin in range(0, strips, blocks):
                count = min(blocks, strips - begin)
                sample = begin * LANES
                fill(x, spare, count, base, sample, density[instance], rule, number, place, size, signed)
                tail = sample + count * LANES - batch
                for s in range(max(tail, 0)):
                    valid[count - 1, LANES - 1 - s] = 0
                if shape is None:
                    total += strip(
                        values, turned, grad, x, h, r, dh, listed, zeros, tally, weigh[instance], valid, rare, count,
                        tied, hidden_relu, output_relu,
                    )  # fmt: skip
                else:
                    total += small(
                        shape, values, grad, x, tally, weigh[instance], valid, count, hidden_relu, output_relu
                    )
                for s in range(max(tail, 0)):
                    valid[count - 1, LANES - 1 - s] = 1
            _update(
                values, grad, velocity, square, rates[step], done + step + 1, method, decay, decoupled,
                beta1, beta2, eps,
            )  # fmt: skip
        losses[instance] = total / rates.shape[0]


@njit(cache=True, fastmath={"contract"}, error_model="numpy")
@no_type_check
def _update(values, grad, velocity, square, rate, step, method, decay, decoupled, beta1, beta2, eps):
    """One step of AdamW (Loshchilov & Hutter 2019), Adam or SGD with momentum, as torch takes it."""
    kind = values.dtype.type
    keep = kind(1 - rate * decay) if decoupled else kind(1)
    pull = kind(0) if decoupled else kind(decay)
    if method == SGD:
        momentum = kind(beta1)
        for j in range(values.shape[0]):
            slope = grad[j] + pull * values[j]
            velocity[j] = momentum * velocity[j] + slope
            values[j] -= kind(rate) * velocity[j]
        return
    pace = kind(rate / (1 - beta1**step))
    scale = kind(1 / np.sqrt(1 - beta2**step))
    b1, b2, c1, c2, small = kind(beta1), kind(beta2), kind(1 - beta1), kind(1 - beta2), kind(eps)
    for j in range(values.shape[0]):
        slope = grad[j] + pull * values[j]
        velocity[j] = b1 * velocity[j] + c1 * slope
        square[j] = b2 * square[j] + c2 * slope * slope
        values[j] = values[j] * keep - pace * velocity[j] / (np.sqrt(square[j]) * scale + small)


def descend(
    toy: Toy,
    start: Sequence[np.ndarray],
    rates: np.ndarray,
    batch: int,
    optimiser: Optimiser,
    stops: Sequence[int],
    at_stop: Callable[[int, slice, np.ndarray, np.ndarray], None],
    first_step: int = 0,
    threads: int | None = None,
    finished: Callable[[int], None] = lambda instances: None,
) -> None:
    """Train every instance; `at_stop(step, which, theta, losses)` sees some instances' parameters at each stop.

    `start` holds the weights, the decoder of untied kinds, and the bias. theta is "instance parameter", in that order;
    losses are the mean since the stop before. Called from several threads, each with instances of its own.
    """
    n, m = toy.features, toy.hidden
    rules = plan(toy)
    method = SGD if optimiser.name == "sgd" else ADAM
    beta1 = optimiser.momentum if method == SGD else optimiser.beta1
    weigh = (toy.importance / (n * batch)).astype(np.float32)
    shape = shape_of(n, m, toy.tied) if n * m <= FEW and batch * len(rates) >= LONG else None

    def some(which: slice) -> None:
        theta = np.concatenate([each[which].reshape(len(each[which]), -1) for each in start], 1).astype(np.float32)
        first, second = np.zeros_like(theta), np.zeros_like(theta)
        work = np.zeros(2 * theta.shape[1] + MOST * LANES * (2 * n + 2 * m + 1), np.float32)
        listed = np.zeros(n + m, np.int32)
        losses = np.zeros(len(theta))
        for before, stop in zip([0, *stops], stops, strict=False):
            run(
                shape, theta, first, second, work, listed, rates[before:stop], first_step + before, batch,
                toy.seeds[which], toy.density[which], weigh[which], rules.rule, rules.number, rules.place, rules.size,
                rules.signed, m, toy.tied, toy.hidden_relu, toy.output_relu, method, float(optimiser.decay),
                optimiser.name == "adamw", float(beta1), optimiser.beta2, optimiser.eps, losses,
            )  # fmt: skip
            at_stop(stop, which, theta, losses)
        finished(len(theta))

    workers = threads or available()
    each = max(1, min(64, toy.instances // (4 * workers)))
    pieces = [slice(at, min(at + each, toy.instances)) for at in range(0, toy.instances, each)]
    with ThreadPoolExecutor(workers) as pool:
        for _ in pool.map(some, pieces):
            pass


def available() -> int:
    """The number of threads: the processor's, or what NUMBA_NUM_THREADS or OMP_NUM_THREADS allow."""
    wish, most = os.environ.get("OMP_NUM_THREADS", ""), int(vars(config)["NUMBA_NUM_THREADS"])
    return max(1, min(most, int(wish) if wish.isdecimal() else most))


def gradients(
    toy: Toy, parameters: Sequence[np.ndarray], x: Float[np.ndarray, "instance sample feature"], written: bool = False
) -> tuple[Float[np.ndarray, " instance"], list[np.ndarray]]:
    """The losses and their gradients as the kernel takes them, for given data, in the precision of x.

    `written`: by the products written out for this shape.

    >>> gradients(toy, [weights, bias], x)[1][0].shape == weights.shape  # doctest: +SKIP
    True
    """
    n, m, samples, kind = toy.features, toy.hidden, x.shape[1], x.dtype
    blocks = -(-samples // LANES)
    losses, found = np.zeros(toy.instances), [np.empty_like(each, dtype=kind) for each in parameters]
    valid = (np.arange(blocks * LANES) < samples).astype(kind).reshape(blocks, LANES)
    for i in range(toy.instances):
        theta = np.concatenate([each[i].ravel() for each in parameters]).astype(kind)
        grad, turned = np.zeros_like(theta), np.zeros_like(theta[n:])
        turn(turned, theta, n, m)
        lined = np.zeros((blocks * LANES, n), kind)
        lined[:samples] = x[i]
        data = np.ascontiguousarray(lined.reshape(blocks, LANES, n).transpose(0, 2, 1))
        r, h, dh = (np.zeros((blocks, rows, LANES), kind) for rows in (n, m, m))
        weigh = (toy.importance[i] / (n * samples)).astype(kind)
        tally, zeros, rare = np.zeros(LANES, kind), np.zeros(max(n, m), kind), toy.density[i] < RARE
        if written:
            losses[i] = small(
                shape_of(n, m, toy.tied), theta, grad, data, tally, weigh, valid, blocks, toy.hidden_relu,
                toy.output_relu,
            )  # fmt: skip
        else:
            losses[i] = strip(
                theta, turned, grad, data, h, r, dh, np.zeros(n + m, np.int32), zeros, tally, weigh, valid, rare,
                blocks, toy.tied, toy.hidden_relu, toy.output_relu,
            )  # fmt: skip
        at = 0
        for each in found:
            each[i] = grad[at : at + each[i].size].reshape(each[i].shape)
            at += each[i].size
    return losses, found
