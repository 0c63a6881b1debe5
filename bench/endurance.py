"""Many calls in a row: does feature visualization get slower, hold memory, or leave anything on the model?

    python bench/endurance.py [--calls 500]

One unit of mini-inception's conv2d2 is rendered at quality `thumbnail`, again and again, in one process. Reported are
the median processor time of the first and of the last tenth of the calls (after five that warm up), the memory held at
both ends, hooks and gradients on the model's modules, live threads, and whether the last picture equals the first.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import threading
import time

import numpy as np

from micrographia.model.trace import trace
from micrographia.optvis.render import render
from micrographia.zoo.registry import load


def held() -> float:
    """Memory of this process in MB."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 1e6


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=500)
    calls = parser.parse_args().calls
    model, card = load("mini-inception")
    graph = trace(model, card)
    units = graph.units("conv2d2:7")
    for _ in range(5):
        (first,) = render(graph, units, quality="thumbnail")
    before, times = held(), []
    for _ in range(calls):
        start = time.process_time()
        (last,) = render(graph, units, quality="thumbnail")
        times.append(time.process_time() - start)
    tenth = max(1, calls // 10)
    hooks = sum(len(each._forward_hooks) + len(each._backward_hooks) for each in model.modules())
    gradients = sum(each.grad is not None for each in model.parameters())
    early, late = statistics.median(times[:tenth]), statistics.median(times[-tenth:])
    print(
        f"{calls} calls: first tenth {early * 1000:.0f} ms, last tenth {late * 1000:.0f} ms, ratio {late / early:.2f}"
    )
    print(f"memory {before:.0f} MB, {held():.0f} MB after; {hooks} hooks, {gradients} gradients left")
    same = np.array_equal(first.image, last.image)
    print(f"threads {threading.active_count()}; the last picture equals the first: {same}")


if __name__ == "__main__":
    main()
