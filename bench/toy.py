"""Steps per second of toy training: the fused kernel against the notebook's style, alternating in one process.

Notebook's style: einsum forward over "instance feature hidden", two uniform numbers for each element, autograd, AdamW
(torch, float32). Ratios are of the same round, by the clock and by processor time; with one thread, a busy machine
disturbs the latter less. The share is of the float32 matrix product (2048 x 2048) that the same process reaches in the
same rounds. One step of an instance counts 5 products of 2 * batch * n * m operations, whether or not the kernel leaves
some out.

    python bench/toy.py [--rounds 5] [--threads 2]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch

from micrographia.toy.model import Toy, make_toy
from micrographia.toy.train import train

BATCH = 1024
CASES = {"n=200 m=20": (200, 20, 20), "n=400 m=30": (400, 30, 20), "n=5 m=2": (5, 2, 10)}


class Notebook:
    """The training loop as a notebook writes it."""

    def __init__(self, toy: Toy) -> None:
        self.toy = toy
        weights = torch.empty(toy.instances, toy.features, toy.hidden)
        self.weights = torch.nn.init.xavier_normal_(weights).requires_grad_()
        self.bias = torch.zeros(toy.instances, toy.features, requires_grad=True)
        self.density = torch.from_numpy(toy.density).float()
        self.importance = torch.from_numpy(toy.importance).float()
        self.walker = torch.optim.AdamW([self.weights, self.bias], lr=1e-3)

    def step(self) -> None:
        shape = (BATCH, self.toy.instances, self.toy.features)
        x = torch.where(torch.rand(shape) <= self.density, torch.rand(shape), torch.zeros(()))
        hidden = torch.einsum("bif,ifh->bih", x, self.weights)
        out = torch.relu(torch.einsum("bih,ifh->bif", hidden, self.weights) + self.bias)
        loss = (self.importance * (x - out) ** 2).mean((0, 2)).sum()
        self.walker.zero_grad()
        loss.backward()
        self.walker.step()


def rate(work: Callable[[int], None], seconds: float) -> np.ndarray:
    """Steps per second, and per second of processor time, over about that long."""
    work(1)
    steps = 1
    while True:
        begin, busy = time.perf_counter(), time.process_time()
        work(steps)
        took, busy = time.perf_counter() - begin, time.process_time() - busy
        if took > seconds:
            return steps / np.array([took, busy])
        steps = max(steps + 1, int(steps * 1.3 * seconds / max(took, 1e-4)))


def peak() -> float:
    """Float32 operations per second of a large matrix product."""
    a = torch.rand(2048, 2048)
    begin = time.perf_counter()
    for _ in range(3):
        a @ a
    return 3 * 2 * 2048**3 / (time.perf_counter() - begin)


def main() -> None:
    words = argparse.ArgumentParser()
    words.add_argument("--rounds", type=int, default=5)
    words.add_argument("--threads", type=int, default=2)
    words.add_argument("--seconds", type=float, default=1.0)
    given = words.parse_args()
    torch.set_num_threads(given.threads)
    print(f"torch {torch.__version__}, {given.threads} threads, {given.rounds} rounds; median [lowest-highest]")
    for name, (n, m, instances) in CASES.items():
        toy = make_toy(
            n, m, density=20 ** -np.linspace(0, 1, instances), importance=(0.9 if n < 10 else 1.0) ** np.arange(n)
        )
        notebook = Notebook(toy)

        def plain(steps: int, notebook: Notebook = notebook) -> None:
            for _ in range(steps):
                notebook.step()

        def fused(steps: int, toy: Toy = toy) -> None:
            train(toy, steps=steps, batch=BATCH, records=1, threads=given.threads)

        ours, theirs, best = [], [], []
        for _ in range(given.rounds):
            theirs.append(rate(plain, given.seconds))
            ours.append(rate(fused, given.seconds))
            best.append(peak())
        work = 10 * BATCH * n * m * instances
        ratios = np.array(ours) / np.array(theirs)
        shares = np.array(ours)[:, 0] * work / np.array(best)
        print(
            f"{name}, {instances} instances, batch {BATCH}: notebook {np.median(theirs, 0)[0]:.1f} steps/s, "
            f"fused {np.median(ours, 0)[0]:.1f} ({np.median(ours, 0)[0] * work / 1e9:.1f} GFLOP/s); "
            f"ratio {spread(ratios[:, 0], '.1f')}, of processor time {spread(ratios[:, 1], '.1f')}; "
            f"share of the peak of {np.median(best) / 1e9:.0f} GFLOP/s: {spread(shares, '.0%')}",
            flush=True,
        )


def spread(values: np.ndarray, form: str) -> str:
    """The median and the range."""
    return f"{np.median(values):{form}} [{values.min():{form}}-{values.max():{form}}]"


if __name__ == "__main__":
    main()
