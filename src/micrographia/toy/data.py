"""Fresh data for toys: one uniform number for each feature, counted rather than kept, the same in every engine.

Uniform numbers are a hash of (seed, step, row, sample), as in counter-based generators (Salmon et al. 2011, "Parallel
random numbers: as easy as 1, 2, 3"): they do not depend on blocks or threads. A feature of density p is on where u < p,
and is then u / p, which is again uniform: one number does for both (the notebook draws two).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import no_type_check

import numpy as np
from jaxtyping import Float, Int
from numba import njit

from micrographia.toy.model import Toy
from micrographia.toy.simd import LANES
from micrographia.toy.tiles import row

INDEPENDENT, CORRELATED, ANTICORRELATED = 0, 1, 2


@dataclass(frozen=True, eq=False)
class Plan:
    """How each feature is drawn: its rule, the random row that turns it on, its place in its set, the set's size."""

    rule: Int[np.ndarray, " feature"]
    number: Int[np.ndarray, " feature"]
    place: Float[np.ndarray, " feature"]
    size: Float[np.ndarray, " feature"]
    signed: bool


def plan(toy: Toy) -> Plan:
    """The drawing rules of a toy's features; the random rows beyond the features' own are the sets'."""
    n = toy.features
    rule, number = np.full(n, INDEPENDENT), np.arange(n)
    place, size = np.zeros(n, np.float32), np.ones(n, np.float32)
    sets = [(CORRELATED, each) for each in toy.correlated] + [(ANTICORRELATED, each) for each in toy.anticorrelated]
    for at, (kind, members) in enumerate(sets):
        for j, i in enumerate(members):
            rule[i], number[i], place[i], size[i] = kind, n + at, j, len(members)
    return Plan(rule, number, place, size, toy.kind == "absolute")


@njit(cache=True)
@no_type_check
def key(base: int, number: int) -> int:
    """64 mixed bits (the finaliser of splitmix64): of a seed and a step, or of those and a row of samples."""
    z = np.uint64(base) + (np.uint64(number) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@njit(cache=True, error_model="numpy")
@no_type_check
def fill(x, spare, blocks, base, first, density, rule, number, place, size, signed):
    """Samples `first` and on, into the first blocks of x, "block feature lane"; `base` is key(seed, step)."""
    n = x.shape[1]
    flat = x.ravel()
    one, zero, two = np.float32(1), np.float32(0), np.float32(2)
    for i in range(n):
        p, over = np.float32(density[i]), np.float32(1 / density[i])
        bits = key(base, number[i])
        if rule[i] == INDEPENDENT:
            for block in range(blocks):
                at, sample = (block * n + i) * LANES, first + block * LANES
                row(flat, at, sample, bits, p, over * two if signed else over, one if signed else zero)
            continue
        own = key(base, i)
        for block in range(blocks):
            at, sample = (block * n + i) * LANES, first + block * LANES
            row(flat, at, sample, own, two, one, zero)
            row(spare, 0, sample, bits, p, over, zero)
            line = x[block, i]
            for s in range(LANES):
                u, value = spare[s], line[s]
                on = u > zero
                if rule[i] == ANTICORRELATED:
                    # the set's number, once on, says which member is on and how strongly
                    value = u * size[i] - place[i]
                    on = on and zero <= value and value < one
                if signed:
                    value = value * two - one
                line[s] = value if on else zero


def draw(toy: Toy, samples: int, stream: int = 0) -> Float[np.ndarray, "instance sample feature"]:
    """Fresh samples for every instance; `stream` is the step of training, or any other number for other data.

    >>> draw(make_toy(5, 2, density=[1.0, 0.1]), 7).shape
    (2, 7, 5)
    """
    rules, blocks = plan(toy), -(-samples // LANES)
    x, spare = np.empty((blocks, toy.features, LANES), np.float32), np.empty(LANES, np.float32)
    found = np.empty((toy.instances, blocks * LANES, toy.features), np.float32)
    for i, seed in enumerate(toy.seeds):
        fill(
            x, spare, blocks, np.uint64(key(seed, stream)), 0, toy.density[i],
            rules.rule, rules.number, rules.place, rules.size, rules.signed,
        )  # fmt: skip
        found[i] = x.transpose(0, 2, 1).reshape(-1, toy.features)
    return found[:, :samples]
