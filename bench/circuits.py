"""Circuits: extraction on planted networks, its dependence on noise, false alarms, and power of the verdict.

Run from the repository's root: `PYTHONPATH=src:. python bench/circuits.py planted|noise|nulls|power`. Rows come out as
they are measured; `--only NAME` is for one kind of network.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator

import numpy as np
import torch
from scipy.stats import beta
from torch import Tensor

from micrographia.circuits.controls import Plan
from micrographia.circuits.planted import WRITTEN, Planted, fooling, null_network, stimuli, written
from micrographia.circuits.probe import target
from micrographia.circuits.trained import trained
from micrographia.circuits.verdict import supported
from micrographia.errors import BadValue
from micrographia.jobs.graph import pictures_of
from micrographia.jobs.planted import METHODS, extraction_row
from micrographia.model.graph import LayerGraph
from micrographia.model.trace import trace
from micrographia.zoo.registry import load

NETWORKS = (*WRITTEN, "trained", "fooling")
NOISES = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4)
RANDOM = (
    ("planted architecture", "conv3", 3, 15), ("mini-inception", "conv2d2", 2, 30),
    ("mini-inception", "mixed3a", 3, 30), ("mini-resnetv2", "block1", 2, 30), ("mini-vgg", "conv2_2", 2, 30),
)  # fmt: skip


def network(name: str, seed: int, noise: float = 0.01) -> Planted:
    if name == "fooling":
        return fooling(seed)[0]
    return trained(seed, noise) if name == "trained" else written(name, seed, noise)


def head(*names: str) -> None:
    print("| " + " | ".join(names) + " |\n|" + " --- |" * len(names))


def planted(seeds: range, noises: tuple[float, ...], methods: tuple[str, ...], only: str | None) -> None:
    head("network", "noise", "method", "recall", "precision", "lowest", "networks at 0.95")
    for name in NETWORKS if only is None else (only,):
        for noise in noises:
            if name == "fooling" and noise != 0.01:
                continue
            found: dict[str, list[tuple[float, float]]] = {method: [] for method in methods}
            for seed in seeds:
                each = network(name, seed, noise)
                for method in methods:
                    row = extraction_row(each, method, seed)
                    found[method].append((row.recall, row.precision or 0.0))
            for method, rows in found.items():
                recall, precision = np.mean(rows, 0)
                low = np.min(rows)
                good = sum(min(row) >= 0.95 for row in rows)
                print(f"| {name} | {noise:g} | {method} | {recall:.3f} | {precision:.3f} | {low:.2f} | "
                      f"{good} of {len(rows)} |", flush=True)  # fmt: skip


def interval(hits: int, count: int) -> str:
    """Clopper and Pearson's 95 % interval."""
    low = 0.0 if hits == 0 else beta.ppf(0.025, hits, count - hits + 1)
    high = 1.0 if hits == count else beta.ppf(0.975, hits + 1, count - hits)
    return f"{hits} of {count} = {hits / count:.1%} ({low:.1%} to {high:.1%})"


def cases(name: str, layer: str, seeds: range) -> Iterator[tuple[LayerGraph, str, Tensor, int]]:
    for seed in seeds:
        graph = null_network(seed) if name == "planted architecture" else trace(*load(name, "random", seed))
        images = stimuli(64, seed) if name == "planted architecture" else pictures_of(graph, "bundled", 64, seed)
        unit = int(np.random.default_rng(seed).integers(graph.layer(layer).channels))
        yield graph, f"{layer}:{unit}", images, seed


def nulls(seeds: range, only: str | None) -> None:
    head("network", "layer", "depth", "size", "called supported", "no circuit", "s each")
    for name, layer, depth, size in RANDOM:
        if only is not None and only not in (name, f"{name}/{layer}"):
            continue
        hits, count, dead, start = 0, 0, 0, time.process_time()
        for graph, unit, images, seed in cases(name, layer, seeds):
            try:
                hits += supported(graph, target(graph, unit), images, Plan(depth, size), seed=seed)
                count += 1
            except BadValue:
                dead += 1
            if (count + dead) % 10 == 0:
                print(f"| {name} | {layer} | {depth} | {size} | {interval(hits, count)} | {dead} | "
                      f"{(time.process_time() - start) / (count + dead):.1f} |", flush=True)  # fmt: skip


def power(seeds: range, only: str | None) -> None:
    head("network", "called supported")
    for name in NETWORKS if only is None else (only,):
        hits = 0
        for seed in seeds:
            each = network(name, seed)
            plan = Plan(each.depth, len(each.edges))
            hits += supported(each.graph, target(each.graph, each.target), stimuli(64, seed), plan, seed=seed)
        print(f"| {name} | {interval(hits, len(seeds))} |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("planted", "noise", "nulls", "power"))
    parser.add_argument("--first", type=int, default=100)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--only")
    options = parser.parse_args()
    torch.set_num_threads(1)
    chosen = range(options.first, options.first + options.runs)
    if options.what == "planted":
        planted(chosen, (0.01,), METHODS, options.only)
    elif options.what == "noise":
        planted(chosen, NOISES, ("attribution", "net", "weight"), options.only)
    elif options.what == "nulls":
        nulls(chosen, options.only)
    else:
        power(chosen, options.only)
