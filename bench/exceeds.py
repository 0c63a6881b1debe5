"""Does the picture of a unit excite it more than any picture of a data set does? Counted per layer, over live units.

    python bench/exceeds.py MODEL LAYER... --images SOURCE [--weights FILE] [--quality standard] [--every 1]

A unit is live where any picture, of the data set or ours, brings it above zero. A unit of ours that stayed dead though
the data set wakes it up counts as one that falls short. `--every 3` takes each third unit.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from micrographia.images.bundled import open_images
from micrographia.images.source import batches
from micrographia.jobs.choose import open_network
from micrographia.optvis.render import render
from micrographia.study.examples import survey


def main() -> None:
    """Print one line of markdown per layer, and the units that fall short."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("layers", nargs="+")
    parser.add_argument("--images", required=True)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--quality", default="standard")
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    graph = open_network(given.model, given.weights)
    source, card = open_images(given.images), graph.card
    stream = batches(source, card.resize, card.size, 32, interpolation=card.interpolation)
    found = survey(graph, stream, given.layers)
    print(f"{given.model}, {given.quality}, seed {given.seed}, {len(source)} pictures\n")
    print("| layer | units | live | exceed the best picture | share | median ratio | reported dead | seconds |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |", flush=True)
    for layer in given.layers:
        units = graph.units(layer)[:: given.every]
        started = time.perf_counter()
        made = list(render(graph, units, quality=given.quality, seed=given.seed))
        took = time.perf_counter() - started
        best = found[layer].greatest[[unit.channel for unit in units]]
        reached = np.array([each.reached for each in made])
        dead = np.array([each.dead for each in made])
        live = ~dead | (best > 0)
        above = live & ~dead & (reached > best)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = reached / best
        typical = np.median(ratio[live & (best > 0)])
        print(
            f"| {layer} | {len(units)} | {live.sum()} | {above.sum()} | {above.sum() / max(live.sum(), 1):.1%} "
            f"| {typical:.2f} | {dead.sum()} | {took:.1f} |",
            flush=True,
        )
        short = [
            f"{unit} {reached[i]:.3g} of {best[i]:.3g}" for i, unit in enumerate(units) if live[i] and not above[i]
        ]
        if short:
            print(f"\n{layer} falls short at: {', '.join(short)}\n", flush=True)


if __name__ == "__main__":
    main()
