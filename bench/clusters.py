"""How often does `svd` call clusters where there are none, and how often does it find planted ones?

    python bench/clusters.py [--runs 100] [--first 5000] [--trials 39] [--rows 61] [--columns 53] [KIND ...]

A kind is a way of making |W|: see KINDS. Seeds start at `--first`; those from 0 to 1999 were used to choose the nulls.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
from scipy.stats import beta

from micrographia.study.factor import clusters

Make = Callable[[np.random.Generator, int, int], np.ndarray]


def entries(rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    """Nothing at all."""
    return np.abs(rng.normal(size=(rows, columns)))


def heavy(rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    """Nothing at all, with a long tail."""
    return rng.lognormal(0, 1, (rows, columns))


def strengths(rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    """Units that are connected more and less strongly, with a long tail, to all others alike."""
    each = np.exp(rng.normal(0, 0.7, rows))[:, None] * np.exp(rng.normal(0, 0.7, columns))
    return each * entries(rng, rows, columns)


def line(rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    """Units spread evenly along one line of features, joined to those near them."""
    apart = rng.uniform(size=rows)[:, None] - rng.uniform(size=columns)
    return np.exp(-np.square(apart / 0.25)) + entries(rng, rows, columns) / 2


def plane(rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    """Units spread over a plane of two features (normal), joined where both agree."""
    agree = rng.normal(size=(rows, 2)) @ rng.normal(size=(2, columns))
    return entries(rng, rows, columns) + np.maximum(3 + agree, 0) / 5


def tails(rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    """The same with outliers (Student's t with 3 degrees)."""
    agree = rng.standard_t(3, (rows, 2)) @ rng.standard_t(3, (2, columns))
    return entries(rng, rows, columns) + np.maximum(3 + agree, 0) / 5


def blocks(count: int, ratio: float) -> Make:
    """Groups whose units are `ratio` times as strongly joined inside as outside."""

    def make(rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
        same = rng.integers(0, count, rows)[:, None] == rng.integers(0, count, columns)
        return entries(rng, rows, columns) * np.where(same, ratio, 1.0)

    return make


KINDS: dict[str, Make] = {
    "entries": entries, "heavy": heavy, "strengths": strengths, "line": line, "plane": plane, "tails": tails,
    **{f"{count} blocks x{ratio}": blocks(count, ratio) for count in (2, 3) for ratio in (1.5, 2, 3, 4, 6)},
}  # fmt: skip


def main() -> None:
    """Print a line of markdown for each kind."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kinds", nargs="*", default=list(KINDS))
    for name, usual in (("runs", 100), ("first", 5000), ("trials", 39), ("rows", 61), ("columns", 53)):
        parser.add_argument(f"--{name}", type=int, default=usual)
    given = parser.parse_args()
    print("| kind | clusters found | share | 95 % interval | numbers of clusters | processor s |")
    print("| --- | --- | --- | --- | --- | --- |", flush=True)
    for kind in given.kinds:
        began, counts = time.process_time(), []
        for seed in range(given.first, given.first + given.runs):
            matrix = KINDS[kind](np.random.default_rng(seed), given.rows, given.columns)
            found, _ = clusters(matrix, trials=given.trials, seed=seed)
            counts.append(0 if found is None else len(found.mean))
        k, n = sum(map(bool, counts)), len(counts)
        low = beta.ppf(0.025, k, n - k + 1) if k else 0.0
        high = beta.ppf(0.975, k + 1, n - k) if k < n else 1.0
        told = ", ".join(f"{c}: {counts.count(c)}" for c in sorted(set(counts) - {0}))
        took = time.process_time() - began
        print(f"| {kind} | {k} of {n} | {k / n:.0%} | {low:.0%} to {high:.0%} | {told} | {took:.0f} |", flush=True)


if __name__ == "__main__":
    main()
