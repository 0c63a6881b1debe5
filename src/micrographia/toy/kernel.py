"""The fused training kernel: data, forward pass, gradients and the optimiser's step of one instance stay in cache.

A step of an instance goes through its batch in strips of a few blocks of LANES samples. Samples lie in the SIMD lanes,
so that every element-wise loop and both matrix products (tiles.py) are full vectors, whatever the numbers of features
and hidden units. Features that are off in a whole block, and outputs whose error is zero there, are left out of the
products h = W x and dh = W r. Instances are dealt to threads; none waits for another.

Compiled code is kept on disk by this file's date alone: touch it after a change to data.py or tiles.py.
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
from micrographia.toy.model import Optimiser, Toy
from micrographia.toy.tiles import (
    LANES,
    correlate11,
    correlate14,
    correlate41,
    correlate44,
    product1,
    product4,
    residual,
)

RARE = 0.06  # below this density a feature is off in all of 32 samples often enough for looking to pay
ADAM, SGD = 0, 1


@njit(cache=True)
@no_type_check
def _multiply(c, c0, rows, a, a0, by_row, by_k, b, b0, ks, k0, count, start, s0):
    """C = start + A B for `rows` rows of C, over the listed k."""
    r = 0
    while r + 4 <= rows:
        product4(c, c0 + r * LANES, a, a0 + r * by_row, by_row, by_k, b, b0, ks, k0, count, start, s0 + r)
        r += 4
    while r < rows:
        product1(c, c0 + r * LANES, a, a0 + r * by_row, by_row, by_k, b, b0, ks, k0, count, start, s0 + r)
        r += 1


@njit(cache=True)
@no_type_check
def _accumulate(d, d0, p, rows, q, columns, blocks):
    """D += P Q^T, summed over blocks and lanes."""
    p_block, q_block = rows * LANES, columns * LANES
    c = 0
    while c < columns:
        wide = c + 4 <= columns
        r = 0
        while r < rows:
            tall = r + 4 <= rows
            at = d0 + r * columns + c
            if tall and wide:
                correlate44(d, at, columns, p, r * LANES, p_block, q, c * LANES, q_block, blocks)
            elif tall:
                correlate41(d, at, columns, p, r * LANES, p_block, q, c * LANES, q_block, blocks)
            elif wide:
                correlate14(d, at, columns, p, r * LANES, p_block, q, c * LANES, q_block, blocks)
            else:
                correlate11(d, at, columns, p, r * LANES, p_block, q, c * LANES, q_block, blocks)
            r += 4 if tall else 1
        c += 4 if wide else 1


@njit(cache=True, fastmath={"reassoc", "contract"}, error_model="numpy")
@no_type_check
def strip(theta, grad, x, h, r, dh, listed, zeros, tally, weigh, valid, rare, blocks, tied, hidden_relu, output_relu):
    """Add the gradients of the first `blocks` blocks of x to grad; returns the sum of importance times squared error.

    `weigh` is the importance over features and batch; `valid` is 1 for samples that count, "block lane"; `rare` says of
    which features it pays to look whether they are off in a whole block.
    """
    zero = theta.dtype.type(0)
    n, m = x.shape[1], h.shape[1]
    out_at = 0 if tied else m * n
    bias_at = out_at + m * n
    flat_x, flat_h, flat_r, flat_dh, lanes = x.ravel(), h.ravel(), r.ravel(), dh.ravel(), valid.ravel()
    floor = zero if output_relu else theta.dtype.type(-np.inf)
    for s in range(LANES):
        tally[s] = zero
    for k in range(m):
        listed[n + k] = k
    for block in range(blocks):
        at_x, at_h = block * n * LANES, block * m * LANES
        count = 0
        for i in range(n):
            if not rare[i] or _any(x[block, i]):
                listed[count] = i
                count += 1
        _multiply(flat_h, at_h, m, theta, 0, n, 1, flat_x, at_x, listed, 0, count, zeros, 0)
        if hidden_relu:
            for k in range(m):
                state = h[block, k]
                for s in range(LANES):
                    state[s] = max(state[s], zero)
        _multiply(flat_r, at_x, n, theta, out_at, 1, n, flat_h, at_h, listed, n, m, theta, bias_at)
        count = 0
        for i in range(n):
            residual(flat_r, at_x + i * LANES, flat_x, at_x + i * LANES, lanes, block * LANES, tally, weigh[i], floor)
            if not rare[i] or _any(r[block, i]):
                listed[count] = i
                count += 1
        _multiply(flat_dh, at_h, m, theta, out_at, n, 1, flat_r, at_x, listed, 0, count, zeros, 0)
        if hidden_relu:
            for k in range(m):
                state, slopes = h[block, k], dh[block, k]
                for s in range(LANES):
                    slopes[s] = slopes[s] if state[s] > 0 else zero
    _accumulate(grad, out_at, flat_h, m, flat_r, n, blocks)
    _accumulate(grad, 0, flat_dh, m, flat_x, n, blocks)
    _accumulate(grad, bias_at, lanes, 1, flat_r, n, blocks)
    total = 0.0
    for s in range(LANES):
        total += tally[s]
    return total


@njit(cache=True, fastmath={"reassoc", "contract"}, error_model="numpy")
@no_type_check
def _any(line):
    """Whether a row of lanes holds anything but zeros; as a sum, which is one pass of vectors."""
    found = line.dtype.type(0)
    for s in range(LANES):
        found += abs(line[s])
    return found > 0


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract"}, error_model="numpy")
@no_type_check
def run(
    theta, first, second, work, listed, rates, done, batch, seeds, density, weigh, rule, number, place, size,
    signed, hidden, tied, hidden_relu, output_relu, method, decay, decoupled, beta1, beta2, eps, losses,
):  # fmt: skip
    """Steps done, done + 1, ... of each instance in turn, one for each rate; `losses` gets the mean over them."""
    n, m = density.shape[1], hidden
    strips = (batch + LANES - 1) // LANES
    blocks = min(strips, max(4, min(32, 1600 // n)))  # so that a strip's x and r stay in the second-level cache
    grad = work[: theta.shape[1]]
    at = theta.shape[1]
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
            base = key(seeds[instance], done + step)
            for begin in range(0, strips, blocks):
                count = min(blocks, strips - begin)
                sample = begin * LANES
                fill(x, spare, count, base, sample, density[instance], rule, number, place, size, signed)
                tail = sample + count * LANES - batch
                for s in range(max(tail, 0)):
                    valid[count - 1, LANES - 1 - s] = 0
                total += strip(
                    values, grad, x, h, r, dh, listed, zeros, tally, weigh[instance], valid, rare, count,
                    tied, hidden_relu, output_relu,
                )  # fmt: skip
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

    def some(which: slice) -> None:
        theta = np.concatenate([each[which].reshape(len(each[which]), -1) for each in start], 1).astype(np.float32)
        first, second = np.zeros_like(theta), np.zeros_like(theta)
        work = np.zeros(theta.shape[1] + 32 * LANES * (2 * n + 2 * m + 1), np.float32)
        listed = np.zeros(n + m, np.int32)
        losses = np.zeros(len(theta))
        for before, stop in zip([0, *stops], stops, strict=False):
            run(
                theta, first, second, work, listed, rates[before:stop], first_step + before, batch, toy.seeds[which],
                toy.density[which], weigh[which], rules.rule, rules.number, rules.place, rules.size, rules.signed, m,
                toy.tied, toy.hidden_relu, toy.output_relu, method, float(optimiser.decay),
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
    toy: Toy, parameters: Sequence[np.ndarray], x: Float[np.ndarray, "instance sample feature"]
) -> tuple[Float[np.ndarray, " instance"], list[np.ndarray]]:
    """The losses and their gradients as the kernel takes them, for given data, in the precision of x.

    >>> gradients(toy, [weights, bias], x)[1][0].shape == weights.shape  # doctest: +SKIP
    True
    """
    n, m, samples, kind = toy.features, toy.hidden, x.shape[1], x.dtype
    blocks = -(-samples // LANES)
    losses, found = np.zeros(toy.instances), [np.empty_like(each, dtype=kind) for each in parameters]
    valid = (np.arange(blocks * LANES) < samples).astype(kind).reshape(blocks, LANES)
    for i in range(toy.instances):
        theta = np.concatenate([each[i].ravel() for each in parameters]).astype(kind)
        grad = np.zeros_like(theta)
        lined = np.zeros((blocks * LANES, n), kind)
        lined[:samples] = x[i]
        data = np.ascontiguousarray(lined.reshape(blocks, LANES, n).transpose(0, 2, 1))
        r, h, dh = (np.zeros((blocks, rows, LANES), kind) for rows in (n, m, m))
        weigh = (toy.importance[i] / (n * samples)).astype(kind)
        losses[i] = strip(
            theta, grad, data, h, r, dh, np.zeros(n + m, np.int32), np.zeros(max(n, m), kind), np.zeros(LANES, kind),
            weigh, valid, toy.density[i] < RARE, blocks, toy.tied, toy.hidden_relu, toy.output_relu,
        )  # fmt: skip
        at = 0
        for each in found:
            each[i] = grad[at : at + each[i].size].reshape(each[i].shape)
            at += each[i].size
    return losses, found
