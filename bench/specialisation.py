"""Does specialisation happen everywhere? Small AlexNets from many seeds, and what their first layers' groups take.

    python bench/specialisation.py train --images SOURCE --out DIR [--seeds 1 2 3 4 5] [--groups 1 2 4] [--epochs 4]
    python bench/specialisation.py report --out DIR [--figure FILE]

`train` trains mini-alexnet with its second layer in 1, 2 or 4 groups, on every second picture and crops of 48 px, and
keeps the kernels of the first layer; what is there already is not trained again. `report` scores every kernel and holds
the groups of each network, and of all seeds together, against units dealt out anew. A network of one group, cut into
halves, is the control: its halves mean nothing.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from micrographia.images.source import open_source
from micrographia.model.card import Card, normalise
from micrographia.publish.plot import INK, encoded, figure
from micrographia.publish.scatter import kernel_tile
from micrographia.study.null import Finding, corrected, holm
from micrographia.study.repeated import repeated
from micrographia.study.traits import colour_index, orientation_selectivity, spatial_frequency
from micrographia.zoo.bundled import ConvUnit, MiniAlexNet
from micrographia.zoo.recipe import Pictures, Recipe, augmented, decoded
from micrographia.zoo.train import optimiser

RECIPE = Recipe(epochs=4, sizes=((1.0, 48),), area=(0.35, 1.0), colour=0.1, cutmix=0.0, smoothing=0.0)
START = 0.2
"""The first kernels start at this share of their usual size: what is left of the start is seen as noise of all colours,
and the batch norm behind them makes the size itself of no account."""


def network(groups: int, seed: int) -> nn.Module:
    """A mini-alexnet whose second layer has so many groups, with random weights."""
    torch.manual_seed(seed)
    model = MiniAlexNet(10)
    model.conv2 = ConvUnit(64, 128, 5, groups=groups)
    with torch.no_grad():
        model.conv1.conv.weight *= START
    return model


def trained(groups: int, pictures: Pictures, recipe: Recipe) -> tuple[nn.Module, float]:
    """The network after the recipe, and its share of right answers to the crops of the last epoch."""
    model = network(groups, recipe.seed).to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    opt, card = optimiser(model, recipe), Card("mini-alexnet", size=(112, 112))
    steps = len(pictures.images) // recipe.batch
    for epoch in range(recipe.epochs):
        torch.manual_seed(recipe.seed * 100_003 + epoch)
        right = 0
        for step, (images, targets) in enumerate(augmented(pictures, recipe, epoch)):
            for group in opt.param_groups:
                group["lr"] = recipe.rate((epoch + step / steps) / recipe.epochs)
            with torch.autocast("cpu", torch.bfloat16):
                logits = model(normalise(images, card).contiguous(memory_format=torch.channels_last)).float()
            opt.zero_grad()
            F.cross_entropy(logits, targets).backward()
            opt.step()
            right += int((logits.argmax(1) == targets.argmax(1)).sum())
    return model, right / (steps * recipe.batch)


def train(given: argparse.Namespace) -> None:
    """Train what is missing, one file of kernels for each seed and number of groups."""
    given.out.mkdir(parents=True, exist_ok=True)
    whole = decoded(open_source(given.images), 64)
    pictures = Pictures(whole.images[::2], whole.labels[::2], whole.classes)
    for groups in given.groups:
        for seed in given.seeds:
            path = given.out / f"groups{groups}-seed{seed}.npz"
            if path.exists():
                continue
            began = time.process_time()
            model, right = trained(groups, pictures, replace(RECIPE, epochs=given.epochs, seed=seed))
            took = time.process_time() - began
            kernels = model.conv1.conv.weight.detach().float().numpy()
            np.savez(path, kernels=kernels, right=right, epochs=given.epochs, seconds=took)
            print(f"{path.name}: {right:.1%} of the last epoch's crops right, {took:.0f} processor s", flush=True)


def report(given: argparse.Namespace) -> None:
    """Print the tables, and draw the first kernels of every network, group by group."""
    kernels = {path.stem: np.load(path)["kernels"] for path in sorted(given.out.glob("groups*-seed*.npz"))}
    for groups in (2, 4, 1):
        own = {name: each for name, each in kernels.items() if name.startswith(f"groups{groups}-")}
        if not own:
            continue
        owner = np.repeat(np.arange(max(2, groups)), 64 // max(2, groups))
        print(f"\n{groups} groups" if groups > 1 else "\none group, its halves")
        print("| network | score | medians by group | between groups | by chance | p | corrected p |")
        print("| --- | --- | --- | --- | --- | --- | --- |")
        scored = {
            score: repeated([measure(each) for each in own.values()], owner, list(own))
            for score, measure in SCORES.items()
        }
        all_scores = corrected([found.together for found in scored.values()], holm)
        for (score, found), together in zip(scored.items(), all_scores, strict=True):
            chance = f"{found.by_chance:.3f}"
            for finding, medians in zip(found.each, found.medians, strict=True):
                told = " ".join(f"{each:.2f}" for each in medians)
                ends = f"{finding.effect:.3f} | {chance} | {finding.p:.2g} | {finding.corrected:.2g} |"
                print(f"| {finding.what} | {score} | {told} | {ends}")
            ends = f"{together.effect:.3f} | {chance} | {together.p:.2g} | {together.corrected:.2g} |"
            print(f"| {together.what} | {score} | | {ends}")
    if given.figure is not None:
        given.figure.write_bytes(drawing(kernels))


def drawing(kernels: dict[str, np.ndarray]) -> bytes:
    """The kernels of each network with groups, a block for a group, from the most colourful to the least, as a PNG."""
    shown = {name: each for name, each in kernels.items() if not name.startswith("groups1-")}
    fig, axes = figure(len(shown), 1, (9.6, 0.82 * len(shown) + 0.2))
    planes = iter(np.ravel(axes))
    for groups in (2, 4):
        own = {name: each for name, each in shown.items() if name.startswith(f"groups{groups}-")}
        owner = np.repeat(np.arange(groups), 64 // groups)
        if not own:
            continue
        found = repeated([colour_index(each) for each in own.values()], owner, list(own))
        for (name, each), finding, medians in zip(own.items(), found.each, found.medians, strict=True):
            block_row(next(planes), name, each, owner, finding, medians)
    return encoded(fig)


def block_row(plane: Any, name: str, each: np.ndarray, owner: np.ndarray, finding: Finding, medians: Any) -> None:
    """One network's kernels on one plane, a block for each group."""
    colour, blocks = colour_index(each), []
    for group in range(int(owner.max()) + 1):
        units = sorted(np.flatnonzero(owner == group), key=lambda unit: -colour[unit])
        tiles = [np.pad(kernel_tile(each[unit]), ((1, 1), (1, 1), (0, 0)), constant_values=250) for unit in units]
        half = len(tiles) // 2
        block = np.concatenate([np.concatenate(row, 1) for row in (tiles[:half], tiles[half:])])
        blocks.append(np.pad(block, ((0, 0), (0, block.shape[0] // 3), (0, 0)), constant_values=250))
    plane.imshow(np.concatenate(blocks, 1), interpolation="nearest")
    plane.axis("off")
    groups, seed = name.removeprefix("groups").split("-seed")
    said = f"{groups} groups, seed {seed}: between groups {finding.effect:.3f}, p {finding.p:.2g}"
    told = ", ".join(f"{median:.2f}" for median in medians)
    plane.set_title(f"{said}      median colour {told}", fontsize=7, fontweight="normal", color=INK, loc="left")


SCORES = {"colour": colour_index, "frequency": spatial_frequency, "orientation": orientation_selectivity}


def main() -> None:
    """Train, or report on what was trained."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("train")
    one.add_argument("--images", required=True)
    one.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    one.add_argument("--groups", type=int, nargs="+", default=[2, 1, 4])
    one.add_argument("--epochs", type=int, default=RECIPE.epochs)
    one.set_defaults(run=train)
    two = commands.add_parser("report")
    two.add_argument("--figure", type=Path)
    two.set_defaults(run=report)
    for each in (one, two):
        each.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    torch.set_num_threads(1)
    given.run(given)


if __name__ == "__main__":
    main()
