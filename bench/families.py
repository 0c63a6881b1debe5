"""Families: recall, precision and error of elements on planted networks over noise; false alarms where nothing is.

Run from the repository's root: `PYTHONPATH=src:. python bench/families.py planted` or `... nothing`. Planted networks
are those of seeds from --first on. Every run searches one kind of evidence; with 19 surrogates, the fewest that can
reach 5 %, a family has to be better than the best of all of them. --groups and --layers (like
`inceptionv1-bvlc:mixed3a:shuffled`) choose what `nothing` runs. --weights names InceptionV1's weights; without them its
shuffled layers are left out. `draw TABLE FIGURE` draws what `planted` printed.
"""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tests.planted_families import Planted, first_layer, recovered, second_layer

from micrographia.jobs.evidence import own_weights
from micrographia.jobs.families import KINDS, layer_families
from micrographia.model.graph import LayerGraph
from micrographia.model.redraw import redrawn
from micrographia.model.trace import trace
from micrographia.publish.plot import LINE, SERIES, encoded, figure
from micrographia.study.alignment import GROUPS
from micrographia.zoo.registry import load

SECOND = "rotation of a second layer"

# network, layer, what its weights are, and of how many runs one is made
NOTHING = [
    ("mini-inception", "conv2d0", "random", 1), ("mini-inception", "conv2d2", "random", 1),
    ("mini-resnetv2", "conv1", "random", 1), ("mini-resnetv2", "block1.unit1.conv2", "random", 1),
    ("inceptionv1-bvlc", "conv2d0", "random", 1), ("mini-inception", "conv2d2", "shuffled", 1),
    ("mini-inception", "mixed3a", "shuffled", 4), ("inceptionv1-bvlc", "conv2d2", "random", 4),
    ("inceptionv1-bvlc", "conv2d2", "shuffled", 4), ("inceptionv1-bvlc", "mixed3a", "random", 8),
    ("inceptionv1-bvlc", "mixed3a", "shuffled", 8), ("inceptionv1-bvlc", "mixed3b", "shuffled", 16),
]  # fmt: skip


def planted(seeds: range, noises: list[float], settings: list[str], trials: int) -> None:
    print("| setting | evidence | noise | seeds | recall | precision | error | CPU s |", flush=True)
    for setting in settings:
        for kind in KINDS:
            for noise in noises:
                start, rows = time.process_time(), []
                for seed in seeds:
                    case = _planted(setting, noise, seed)
                    found = layer_families(case.graph, case.layer, case.group, (kind,), trials=trials, seed=seed)
                    recall, precision, off = recovered([each.family for each in found.families], case)
                    # where nothing is found, precision and error are of nothing
                    sure = bool(found.families)
                    rows.append((recall, precision if sure else np.nan, off.mean() if len(off) else np.nan))
                recall, precision, off = (_mean(column) for column in zip(*rows, strict=True))
                spent = (time.process_time() - start) / len(rows)
                numbers = f"{recall:.2f} | {precision:.2f} | {off:.2f} | {spent:.1f}"
                print(f"| {setting} | {kind} | {noise:g} | {len(rows)} | {numbers} |", flush=True)


def draw(table: Path, out: Path) -> None:
    """Recall and precision over noise, a panel for each kind of evidence; `table` has lines that `planted` printed."""
    lines = [line.strip("| \n").split(" | ") for line in table.read_text().splitlines()]
    rows = [(a, b, float(noise), float(recall), float(precision)) for a, b, noise, _, recall, precision, *_ in
            (line for line in lines if len(line) == 8 and line[0] != "setting")]  # fmt: skip
    fig, axes = figure(2, 2, (9.0, 5.4), sharex=True, sharey=True)
    for column, kind in enumerate(KINDS):
        for setting, colour in zip(dict.fromkeys(row[0] for row in rows), SERIES, strict=False):
            points = sorted(row[2:] for row in rows if row[:2] == (setting, kind))
            for row, place in enumerate((1, 2)):
                axes[row, column].plot([p[0] for p in points], [p[place] for p in points], "o-", color=colour,
                                       markersize=3, label=setting)  # fmt: skip
        axes[0, column].set_title(f"by {kind}")
        axes[1, column].set_xlabel("noise, of the kernel's length")
    for row, name in enumerate(("recall", "precision")):
        axes[row, 0].set_ylabel(name)
        for box in axes[row]:
            box.axhline(0.95, color=LINE, zorder=0)
            box.set_ylim(0, 1.03)
    axes[1, 0].legend(loc="lower left")
    Image.open(io.BytesIO(encoded(fig))).convert("RGB").save(out, quality=86)


def _mean(values: tuple[float, ...]) -> float:
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")


def _planted(setting: str, noise: float, seed: int) -> Planted:
    return second_layer(noise=noise, seed=seed) if setting == SECOND else first_layer(setting, noise=noise, seed=seed)


def nothing(
    runs: int, weights: str | None, first: int, trials: int, groups: Sequence[str], layers: Sequence[str]
) -> None:
    """Print a line for each run, groups and kinds of evidence in turn, and at the end the table of alarms."""
    counts: dict[tuple[str, str, str], list[bool]] = {}
    for run, (model, layer, how) in _runs(runs, weights, first, layers):
        group, kind = groups[run % len(groups)], KINDS[run // len(groups) % 2]
        graph, start = _network(model, layer, how, weights, run), time.process_time()
        if group == "scale" and kind == "weights" and graph.layer(own_weights(graph, layer)[0]).op != "input":
            kind = "responses"
        found = layer_families(graph, layer, group, (kind,), trials=trials, seed=run)
        counts.setdefault((model, layer, how), []).append(bool(found.families))
        spent = time.process_time() - start
        print(f"{run} {model} {layer} {how} {group} {kind}: {len(found.families)} ({spent:.1f} s)", flush=True)
    for (model, layer, how), alarms in counts.items():
        print(f"| {model} | {layer} | {how} | {len(alarms)} | {sum(alarms)} |", flush=True)


def _runs(
    runs: int, weights: str | None, first: int, layers: Sequence[str]
) -> Iterator[tuple[int, tuple[str, str, str]]]:
    for run in range(first, first + runs):
        for model, layer, how, every in NOTHING:
            if layers:
                if f"{model}:{layer}:{how}" in layers:
                    yield run, (model, layer, how)
                continue
            lacking = how == "shuffled" and model == "inceptionv1-bvlc" and weights is None
            if not lacking and (run // 6) % every == 0:
                yield run, (model, layer, how)


def _network(model: str, layer: str, how: str, weights: str | None, seed: int) -> LayerGraph:
    if how == "random":
        return trace(*load(model, "random", 2000 + seed))
    graph = trace(*load(model, weights if model == "inceptionv1-bvlc" else None))
    return redrawn(graph, own_weights(graph, layer)[1], 7_000_000 + seed, "kernels")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("planted", "nothing", "draw"))
    parser.add_argument("files", nargs="*", type=Path, help="of draw: the table and the figure")
    parser.add_argument("--runs", type=int, default=12)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--noise", type=float, nargs="+", default=[0.0, 0.25, 0.5, 1.0, 1.5])
    parser.add_argument("--settings", nargs="+", default=[*GROUPS, SECOND], choices=[*GROUPS, SECOND])
    parser.add_argument("--trials", type=int, default=19, help="surrogates of each of two kinds")
    parser.add_argument("--groups", nargs="+", default=["rotation", "reflection", "hue"], choices=[*GROUPS])
    parser.add_argument("--layers", nargs="+", default=[], help="network:layer:random or network:layer:shuffled")
    parser.add_argument("--weights")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.what == "draw":
        draw(*options.files)
    elif options.what == "planted":
        seeds = range(options.first, options.first + options.runs)
        planted(seeds, options.noise, options.settings, options.trials)
    else:
        nothing(options.runs, options.weights, options.first, options.trials, options.groups, options.layers)
