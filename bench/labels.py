"""Labels: how many are false where nothing was learned, and whether they agree with evidence that had no part in them.

Run from the repository's root: `PYTHONPATH=src:. python bench/labels.py false` or `... agree`.

`false`: units that get a label in networks with random weights (random), with all weights of a trained network dealt
out anew (shuffled), and with trained weights of which only the layer's own kernels are dealt out over their inputs
(own).

`agree`: labels come from synthetic stimuli. Held against them are traits of the weights expanded to the picture, and
what a unit loses on photographs without colour. What each label should have more or less of (AGREE) was written down
before any of it was computed. The effect is Cliff's delta of the units with such a label against the other living units
of the layer; p from units exchanged, corrected over all lines.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Bool, Float

from micrographia.images.bundled import open_images
from micrographia.images.source import batches
from micrographia.jobs.choose import open_network
from micrographia.jobs.evidence import own_weights
from micrographia.jobs.labels import labels
from micrographia.jobs.looks import looks
from micrographia.model.capture import capture
from micrographia.model.graph import LayerGraph
from micrographia.model.redraw import convolutions_between, redrawn
from micrographia.model.trace import trace
from micrographia.study.branches import scores
from micrographia.study.null import Finding, corrected
from micrographia.zoo.registry import load

PerUnit = Float[np.ndarray, " unit"]
Marks = Bool[np.ndarray, " unit"]

COLOUR = ("colour", "colour contrast", "colour centre-surround")
ORIENTED = ("Gabor", "line", "edge", "brightness gradient")
ROUND = ("texture", "centre-surround", "colour centre-surround")
PHOTOGRAPHS = "loss without colour"
AGREE = [
    (COLOUR, "colour", "more"), (COLOUR, PHOTOGRAPHS, "more"), (("black-white vs colour",), "colour", "less"),
    (("black-white vs colour",), PHOTOGRAPHS, "less"), (ORIENTED, "orientation", "more"),
    (ROUND, "orientation", "less"),
]  # fmt: skip
FALSE = [
    "mini-inception:conv2d0", "mini-inception:conv2d2", "mini-inception:mixed3a", "mini-vgg:conv3_2",
    "mini-alexnet:conv3", "mini-resnetv2:block1.unit2.conv2",
]  # fmt: skip
HOW = ("random", "shuffled", "own")
PICTURES = 96


def false(layers: list[str], how: list[str], seeds: range) -> None:
    print("| network | layer | weights | networks | units | labelled | networks with any | CPU s each |", flush=True)
    for each in layers:
        model, _, layer = each.partition(":")
        for way in how:
            start, units, named, alarms = time.process_time(), 0, 0, 0
            for seed in seeds:
                found = labels(_nothing(model, layer, way, seed), layer, seed=1000 + seed)
                count = sum(one.label != "none" for one in found.labels)
                units, named, alarms = units + len(found.labels), named + count, alarms + bool(count)
            spent = (time.process_time() - start) / len(seeds)
            numbers = f"{len(seeds)} | {units} | {named} ({named / units:.1%}) | {alarms} | {spent:.0f}"
            print(f"| {model} | {layer} | {way} | {numbers} |", flush=True)


def _nothing(model: str, layer: str, way: str, seed: int) -> LayerGraph:
    if way == "random":
        return trace(*load(model, "random", 3000 + seed))
    graph = open_network(model)
    if way == "own":
        return redrawn(graph, own_weights(graph, layer)[1], 8_000_000 + seed, "kernels")
    picture = next(each.name for each in graph.layers.values() if each.op == "input")
    return redrawn(graph, convolutions_between(graph, picture, layer), 8_000_000 + seed, "entries")


def agree(layers: list[str], weights: str | None, seed: int) -> None:
    lines: list[tuple[str, Finding]] = []
    for each in layers:
        model, _, layer = each.rpartition(":")
        graph = open_network(model, weights)
        found = labels(graph, layer, seed=seed)
        print(f"{each}: {found.counts()}", flush=True)
        traits = {name: values for name, values in looks(graph, layer).traits.items() if values is not None}
        traits[PHOTOGRAPHS] = _loss(graph, layer)
        called = np.array([one.label for one in found.labels])
        living = np.array([one.unit not in found.dead for one in found.labels])
        for names, trait, which in AGREE:
            lines += _line(each, np.isin(called, names), living, names, trait, traits[trait], which)
    tested = corrected([finding for _, finding in lines])
    print("| layer | labels | units | should have | Cliff's delta | corrected p |")
    for (where, _), finding in zip(lines, tested, strict=True):
        print(f"| {where} | {finding.n} | {finding.what} | {finding.effect:+.2f} | {finding.corrected:.2g} |")
    right = [f for f in tested if (f.effect > 0) == ("more" in f.what)]
    beyond = [sum(f.holds() for f in group) for group in (right, [f for f in tested if f not in right])]
    print(
        f"{len(right)} of {len(tested)} as expected, {beyond[0]} of them beyond chance; {beyond[1]} beyond it against."
    )


def _line(
    where: str,
    inside: np.ndarray,
    living: np.ndarray,
    names: tuple[str, ...],
    trait: str,
    values: np.ndarray,
    which: str,
) -> Iterator[tuple[str, Finding]]:
    kept = living & np.isfinite(values)
    if (inside & kept).sum() < 4 or (~inside & kept).sum() < 4:
        return
    owner = np.where(inside[kept], 0, 1)
    (finding, _) = scores({trait: values[kept]}, owner, ["labelled", "others"])
    what = f"{which} {trait}"
    yield f"{where} | {', '.join(names)}", Finding(what, finding.effect, finding.null, finding.p, n=finding.n)


def _loss(graph: LayerGraph, layer: str) -> PerUnit:
    """What a unit has on photographs less what it has on the same in grey, of both together."""
    source, card = open_images(), graph.card
    chosen = np.unique(np.linspace(0, len(source) - 1, PICTURES).astype(int))
    total = np.zeros((2, graph.layer(layer).channels))
    for _, pixels in batches(source, card.resize, card.size, 16, chosen, card.interpolation):
        shown = torch.from_numpy(pixels).float() / 255
        for row, pictures in enumerate((shown, shown.mean(1, keepdim=True).expand_as(shown))):
            maps = capture(graph, pictures, layer)[layer]
            total[row] += maps.clamp(min=0).double().mean((2, 3)).sum(0).numpy()
    return np.divide(total[0] - total[1], total.sum(0), out=np.full(total.shape[1], np.nan), where=total.sum(0) > 0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("false", "agree"))
    parser.add_argument("--layers", nargs="+", default=FALSE, help="network:layer")
    parser.add_argument("--how", nargs="+", default=list(HOW), choices=HOW)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--weights")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.what == "false":
        false(options.layers, options.how, range(options.first, options.first + options.seeds))
    else:
        agree(options.layers, options.weights, options.first)
