"""Families: recall, precision and error of elements on planted networks over noise; false alarms where nothing is.

Run from the repository's root: `PYTHONPATH=src:. python bench/families.py planted` or `... nothing`. Each line is one
setting; --weights names InceptionV1's weights for the shuffled network, without them it is left out.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch
from tests.planted_families import first_layer, recovered, second_layer

from micrographia.jobs.evidence import own_weights
from micrographia.jobs.families import KINDS, layer_families
from micrographia.model.graph import LayerGraph
from micrographia.model.redraw import redrawn
from micrographia.model.trace import trace
from micrographia.study.alignment import GROUPS
from micrographia.zoo.registry import load

TRIALS = 39


def planted(seeds: int, noises: list[float]) -> None:
    for setting in ("rotation", "reflection", "hue", "scale", "rotation of a second layer"):
        for noise in noises:
            rows: dict[str, list[tuple[float, float, float, float]]] = {kind: [] for kind in KINDS}
            for seed in range(seeds):
                case = second_layer(noise=noise, seed=seed) if "second" in setting else (
                    first_layer(setting, noise=noise, seed=seed)
                )  # fmt: skip
                for kind in KINDS if not (setting == "scale" and noise > 0.5) else KINDS[:1]:
                    found = layer_families(case.graph, case.layer, case.group, (kind,), trials=TRIALS, seed=seed)
                    recall, precision, off = recovered([each.family for each in found.families], case)
                    rows[kind].append((recall, precision, off.mean() if len(off) else np.nan, len(found.families)))
            for kind, values in rows.items():
                if values:
                    recall, precision, off, count = np.nanmean(values, 0)
                    numbers = f"{recall:.2f} | {precision:.2f} | {off:.2f} | {count:.1f}"
                    print(f"| {setting} | {kind} | {noise:g} | {numbers} |", flush=True)


def nothing(runs: int, weights: str | None, chosen: list[str]) -> None:
    settings = [
        ("mini-inception", "conv2d0", "random"), ("mini-inception", "conv2d2", "random"),
        ("mini-resnetv2", "conv1", "random"), ("mini-resnetv2", "block1.unit1.conv2", "random"),
        ("inceptionv1-bvlc", "conv2d0", "random"), ("inceptionv1-bvlc", "conv2d2", "random"),
        ("mini-inception", "conv2d2", "shuffled"), ("mini-inception", "mixed3a", "shuffled"),
        ("inceptionv1-bvlc", "conv2d2", "shuffled"), ("inceptionv1-bvlc", "mixed3a", "random"),
    ]  # fmt: skip
    for model, layer, how in settings:
        if (how == "shuffled" and model == "inceptionv1-bvlc" and weights is None) or (chosen and layer not in chosen):
            continue
        alarms, start, smallest = 0, time.perf_counter(), []
        for run in range(runs):
            group = list(GROUPS)[run % 3]
            found = layer_families(_network(model, layer, how, weights, run), layer, group, trials=TRIALS, seed=run)
            alarms += bool(found.families)
            smallest.append(f"{group[0]}{len(found.families)}/{found.rejected}")
        spent = (time.perf_counter() - start) / runs
        print(f"| {model} | {layer} | {how} | {runs} | {alarms} | {spent:.0f} | {' '.join(smallest)} |", flush=True)


def _network(model: str, layer: str, how: str, weights: str | None, seed: int) -> LayerGraph:
    if how == "random":
        return trace(*load(model, "random", 1000 + seed))
    graph = trace(*load(model, weights if model == "inceptionv1-bvlc" else None))
    return redrawn(graph, own_weights(graph, layer)[1], 7_000_000 + seed, "kernels")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("planted", "nothing"))
    parser.add_argument("--runs", type=int, default=12)
    parser.add_argument("--noise", type=float, nargs="+", default=[0.0, 0.25, 0.5, 1.0, 1.5])
    parser.add_argument("--layers", nargs="*", default=[])
    parser.add_argument("--weights")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.what == "planted":
        planted(options.runs, options.noise)
    else:
        nothing(options.runs, options.weights, options.layers)
