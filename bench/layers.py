"""How long the pictures of a whole layer take, from the units to the last picture: wall and processor seconds.

    python bench/layers.py [MODEL] [LAYER...] [--quality thumbnail] [--weights FILE]

Without layers, those of mini-inception that its pages show. One layer is rendered first and not counted, so that
kernels are loaded. The number of threads is torch's; OMP_NUM_THREADS sets it.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch

from micrographia.jobs.choose import open_network
from micrographia.optvis.render import render

LAYERS = ("conv2d0", "conv2d1", "conv2d2", "mixed3a", "mixed3b", "mixed4a")


def main() -> None:
    """Print one line of markdown per layer."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", default="mini-inception")
    parser.add_argument("layers", nargs="*", default=list(LAYERS))
    parser.add_argument("--quality", default="thumbnail")
    parser.add_argument("--weights", type=Path)
    given = parser.parse_args()
    graph = open_network(given.model, given.weights)
    list(render(graph, graph.units(given.layers[0])[:2], quality=given.quality))
    print(f"{given.model}, {given.quality}, threads: {torch.get_num_threads()}\n")
    print("| layer | units | seconds | processor seconds |\n| --- | --- | --- | --- |")
    for layer in given.layers:
        units = graph.units(layer)
        wall, processor = time.perf_counter(), time.process_time()
        for _ in render(graph, units, quality=given.quality):
            pass
        took = time.perf_counter() - wall, time.process_time() - processor
        print(f"| {layer} | {len(units)} | {took[0]:.1f} | {took[1]:.1f} |", flush=True)


if __name__ == "__main__":
    main()
