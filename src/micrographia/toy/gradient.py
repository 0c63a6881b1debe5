"""The gradients of one strip of samples: both ways through the toy, and what the weights get from it.

Samples lie in the SIMD lanes, so that every element-wise loop and all matrix products (tiles.py) are full vectors,
whatever the numbers of features and hidden units. Features that are off in a whole block, and outputs whose error is
zero there, are left out of the products h = W x and dh = W r.
"""

from __future__ import annotations

from typing import no_type_check

import numpy as np
from numba import njit

from micrographia.toy.simd import LANES
from micrographia.toy.tiles import BROAD, HIGH, TALL, correlate, product, residuals
from micrographia.toy.unrolled import unrolled

RARE = 2 / LANES
"""Below this density a feature is off in a whole block often enough for looking to pay."""


@njit(cache=True)
@no_type_check
def _multiply(c, c0, rows, a, a0, by_k, b, b0, ks, k0, count, start, s0):
    """C = start + A B for `rows` rows of C, over the listed k; A is "k row". Tiles are of nearly one height."""
    r, tiles = 0, (rows + TALL - 1) // TALL
    for left in range(tiles, 0, -1):
        high = (rows - r + left - 1) // left
        product(high, c, c0 + r * LANES, a, a0 + r, by_k, b, b0, ks, k0, count, start, s0 + r)
        r += high


@njit(cache=True)
@no_type_check
def _accumulate(d, d0, p, rows, q, columns, blocks):
    """D += P Q^T, summed over blocks and lanes."""
    p_block, q_block = rows * LANES, columns * LANES
    tiles = (rows + HIGH - 1) // HIGH
    c = 0
    while c < columns:
        wide = c + BROAD <= columns
        r = 0
        for left in range(tiles, 0, -1):
            high = (rows - r + left - 1) // left
            correlate(
                high, wide, d, d0 + r * columns + c, columns, p, r * LANES, p_block, q, c * LANES, q_block, blocks
            )
            r += high
        c += BROAD if wide else 1


@njit(cache=True, fastmath={"reassoc", "contract"}, error_model="numpy")
@no_type_check
def strip(
    theta, turned, grad, x, h, r, dh, listed, zeros, tally, weigh, valid, rare, blocks, tied, hidden_relu, output_relu
):
    """Add the gradients of the first `blocks` blocks of x to grad; returns the sum of importance times squared error.

    `turned` is theta's matrices, each transposed; `weigh` is the importance over features and batch; `valid` is 1 for
    samples that count, "block lane"; `rare` says of which features it pays to look whether they are off in a block.
    """
    zero = theta.dtype.type(0)
    n, m = x.shape[1], h.shape[1]
    out_at = 0 if tied else m * n
    bias_at = out_at + m * n
    flat_x, flat_h, flat_r, flat_dh, lanes = x.ravel(), h.ravel(), r.ravel(), dh.ravel(), valid.ravel()
    floor = zero if output_relu else theta.dtype.type(-np.inf)
    for s in range(LANES):
        tally[s] = zero
    count, looking = n, False
    for i in range(n):
        listed[i] = i
        looking = looking or rare[i]
    for k in range(m):
        listed[n + k] = k
    for block in range(blocks):
        at_x, at_h = block * n * LANES, block * m * LANES
        if looking:
            count = _present(listed, rare, x[block])
        _multiply(flat_h, at_h, m, turned, 0, m, flat_x, at_x, listed, 0, count, zeros, 0)
        if hidden_relu:
            for k in range(m):
                state = h[block, k]
                for s in range(LANES):
                    state[s] = max(state[s], zero)
        _multiply(flat_r, at_x, n, theta, out_at, n, flat_h, at_h, listed, n, m, theta, bias_at)
        residuals(flat_r, flat_x, at_x, n, lanes, block * LANES, tally, weigh, floor)
        if looking:
            count = _present(listed, rare, r[block])
        _multiply(flat_dh, at_h, m, turned, out_at, m, flat_r, at_x, listed, 0, count, zeros, 0)
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
def small(shape, theta, grad, x, tally, weigh, valid, blocks, hidden_relu, output_relu):
    """The same as strip for a small toy, whose `shape` is a type."""
    zero, none = theta.dtype.type(0), theta.dtype.type(-np.inf)
    tally[0] = zero
    unrolled(
        shape[0], shape[1], shape[2], theta, grad, x.ravel(), valid.ravel(), blocks, tally, weigh,
        zero if hidden_relu else none, zero if output_relu else none,
    )  # fmt: skip
    return tally[0]


@njit(cache=True, error_model="numpy")
@no_type_check
def _present(listed, rare, rows):
    """List the rows that are not zero in all lanes, or of which it does not pay to look; returns how many."""
    count = 0
    for i in range(len(rows)):
        if not rare[i] or _any(rows[i]):
            listed[count] = i
            count += 1
    return count


@njit(cache=True, fastmath={"reassoc", "contract"}, error_model="numpy")
@no_type_check
def _any(line):
    """Whether a row of lanes holds anything but zeros; as a sum, which is one pass of vectors."""
    found = line.dtype.type(0)
    for s in range(LANES):
        found += abs(line[s])
    return found > 0


@njit(cache=True)
@no_type_check
def turn(turned, theta, n, m):
    """Each matrix of theta as "feature hidden", so that a tile's weights lie side by side."""
    for start in range(0, len(turned), m * n):
        for k in range(m):
            for i in range(n):
                turned[start + i * m + k] = theta[start + k * n + i]
