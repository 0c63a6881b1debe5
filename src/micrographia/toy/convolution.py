"""Experiment `convolution`: superposition with shared kernels, where features are sparse in space.

The toy of Elhage et al. 2022 made convolutional. An input is n maps on a torus of `side` x `side` places; each
feature is on at each place with the chance p, then uniform in 0..1. The layer h = W * x has m < n channels and
kernels of k x k; the way back is the same kernels transposed, x' = ReLU(W^T * h + b), one bias for a feature. With k
= 1 each place is the paper's toy by itself. A larger kernel gives a feature no more room in all, m numbers for each
place, but a longer code: it may spread over m k k numbers that it shares with its own neighbours' codes. Every
feature therefore competes with all features at all shifts, and the dimensionality counts these: |w_i|^2 over the sum
of the squared overlaps of unit w_i with every w_j at every shift. The sum over features is at most m, as without
space.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from micrographia.toy.check import Check
from micrographia.toy.geometry import dimensions_per_feature, effective_count
from micrographia.toy.model import Optimiser, best, make_toy, repeated
from micrographia.toy.single import single
from micrographia.toy.train import evaluate, train

LEAST = 0.5
TESTED = 64  # pictures at a time
SOURCE = "expected from the toy without space"


@dataclass(frozen=True)
class Size:
    """How large the experiment is; the lowest loss of `restarts` is kept. A batch is of pictures."""

    features: int
    hidden: int
    side: int
    kernels: tuple[int, ...]
    densities: tuple[float, ...]
    restarts: int
    steps: int
    batch: int


FULL = Size(16, 3, 8, (1, 3, 5), (0.5, 0.2, 0.1, 0.05, 0.02, 0.01), restarts=2, steps=2000, batch=8)
QUICK = Size(10, 2, 6, (1, 3), (0.3, 0.1, 0.02), restarts=1, steps=600, batch=10)


@dataclass(frozen=True, eq=False)
class Codes:
    """The best model of one kernel size at each density.

    `overlap` is the largest overlap of a unit code with another unit code or a shifted one, mean over represented
    features; `taps` the effective number of a code's places (1: all in one place). Losses are sums over features.
    """

    kernel: int
    weights: Float[np.ndarray, "density hidden feature tall wide"]
    bias: Float[np.ndarray, "density feature"]
    loss: Float[np.ndarray, " density"]
    dimensionality: Float[np.ndarray, "density feature"]
    represented: Float[np.ndarray, " density"]
    features_per_dimension: Float[np.ndarray, " density"]
    overlap: Float[np.ndarray, " density"]
    taps: Float[np.ndarray, " density"]

    def to_json(self) -> dict[str, Any]:
        """Plain values, without the kernels."""
        names = ("loss", "dimensionality", "represented", "features_per_dimension", "overlap", "taps", "bias")
        return {"kernel": self.kernel} | {name: getattr(self, name).tolist() for name in names}


@dataclass(frozen=True, eq=False)
class Convolution:
    """All kernel sizes, and the paper's toy of the same densities beside them (loss, features per dimension)."""

    size: Size
    codes: tuple[Codes, ...]
    plain_loss: Float[np.ndarray, " density"]
    plain_features_per_dimension: Float[np.ndarray, " density"]
    checks: tuple[Check, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "size": vars(self.size) | {"kernels": list(self.size.kernels), "densities": list(self.size.densities)},
            "codes": [each.to_json() for each in self.codes],
            "plain": {
                "loss": self.plain_loss.tolist(), "features_per_dimension": self.plain_features_per_dimension.tolist()
            },
            "checks": [each.to_json() for each in self.checks],
        }  # fmt: skip


def convolution(size: Size = FULL, seed: int = 0, threads: int | None = None) -> Convolution:
    """Train every kernel size at every density, and the toy without space.

    >>> convolution(QUICK).codes[1].kernel  # doctest: +SKIP
    3
    """
    with single(size.batch * len(size.densities) * size.restarts * size.features * size.side**2):
        codes = tuple(_codes(size, kernel, seed) for kernel in size.kernels)
    toy = repeated(make_toy(size.features, size.hidden, density=list(size.densities)), size.restarts, seed)
    walk = Optimiser("adam", rate=5e-3, decay=0, schedule="cosine")
    batch = size.batch * size.side**2
    plain = train(toy, steps=size.steps, batch=batch, optimiser=walk, records=1, threads=threads)
    losses = evaluate(plain)
    kept = best(plain, losses, size.restarts)
    plain_loss = losses.reshape(-1, size.restarts).min(1) * size.features
    packed = 1 / dimensions_per_feature(kept.weights.astype(np.float64))
    return Convolution(size, codes, plain_loss, packed, _checks(size, codes, plain_loss, packed))


def shifted_dimensionality(
    weights: Float[np.ndarray, "hidden feature tall wide"], side: int
) -> Float[np.ndarray, " feature"]:
    """|w_i|^2 / sum over all features j and all shifts of the torus of (unit w_i . shifted w_j)^2; 0 for no weight.

    By Fourier: the overlaps' squares summed over shifts are a sum over frequencies (Parseval).

    >>> shifted_dimensionality(np.array([[[[1.0]], [[-1.0]]]]), side=4)
    array([0.5, 0.5])
    """
    waves = np.fft.fft2(weights, (side, side)).reshape(*weights.shape[:2], -1)
    power = np.square(np.abs(weights)).sum((0, 2, 3))
    moment = np.einsum("mfw,kfw->mkw", waves, waves.conj())
    overlaps = np.einsum("mfw,mkw,kfw->f", waves.conj(), moment, waves).real / side**2
    return np.divide(power**2, overlaps, out=np.zeros_like(power), where=overlaps > 0)


def largest_overlap(weights: Float[np.ndarray, "hidden feature tall wide"], side: int) -> Float[np.ndarray, " feature"]:
    """The largest overlap of each feature's unit code with any other of a fair norm, or itself, at any shift.

    >>> largest_overlap(np.array([[[[1.0]], [[1.0]]]]), side=4)
    array([1., 1.])
    """
    length = np.sqrt(np.square(weights).sum((0, 2, 3), keepdims=True))
    unit = np.where(length >= LEAST, weights / np.maximum(length, 1e-12), 0)
    waves = np.fft.fft2(unit, (side, side))
    overlap = np.fft.ifft2(np.einsum("mfyx,mgyx->fgyx", waves.conj(), waves)).real
    own = np.arange(len(overlap))
    overlap[own, own, 0, 0] = -np.inf
    return overlap.max((1, 2, 3))


def forward(
    x: Float[Tensor, "batch channel tall wide"],
    weights: Float[Tensor, "model hidden feature k k"],
    bias: Float[Tensor, "model feature"],
) -> Float[Tensor, "batch channel tall wide"]:
    """What the models, each with its own features among the channels, make of their maps."""
    models, hidden, features, k, _ = weights.shape
    h = functional.conv2d(_around(x, k), weights.reshape(-1, features, k, k), groups=models)
    back = weights.flip(3, 4).transpose(1, 2).reshape(-1, hidden, k, k)
    return functional.conv2d(_around(h, k), back, bias.reshape(-1), groups=models).relu()


def _around(x: Tensor, k: int) -> Tensor:
    half = k // 2
    return functional.pad(x, (half,) * 4, "circular") if half else x


def _codes(size: Size, kernel: int, seed: int) -> Codes:
    generator = torch.Generator().manual_seed(seed)
    density = torch.tensor(size.densities).repeat_interleave(size.restarts)
    models, n, m = len(density), size.features, size.hidden
    deviation = np.sqrt(2 / (n + m)) / kernel
    weights = (torch.randn(models, m, n, kernel, kernel, generator=generator) * deviation).requires_grad_()
    bias = torch.zeros(models, n, requires_grad=True)
    walker = torch.optim.Adam([weights, bias], lr=5e-3)
    decay = torch.optim.lr_scheduler.LambdaLR(walker, lambda step: float(np.cos(np.pi / 2 * step / size.steps)))
    for _ in range(size.steps):
        walker.zero_grad()
        losses(weights, bias, maps(size, density, size.batch, generator)).sum().backward()
        walker.step()
        decay.step()
    with torch.no_grad():
        parts = [losses(weights, bias, maps(size, density, TESTED, generator)) for _ in range(8)]
    loss = torch.stack(parts).mean(0).reshape(-1, size.restarts)
    at = (loss.argmin(1) + torch.arange(len(loss)) * size.restarts).tolist()
    kept = weights.detach().numpy()[at].astype(np.float64)
    energy = np.square(kept).sum(1).reshape(len(kept), n, -1)
    fair = np.sqrt(energy.sum(2)) >= LEAST
    some = np.maximum(fair.sum(1), 1)
    overlap = np.stack([largest_overlap(each, size.side) for each in kept])
    return Codes(
        kernel,
        kept,
        bias.detach().numpy()[at].astype(np.float64),
        loss.min(1).values.double().numpy(),
        np.stack([shifted_dimensionality(each, size.side) for each in kept]),
        fair.sum(1).astype(np.float64),
        energy.sum((1, 2)) / m,
        (np.where(fair, overlap, 0)).sum(1) / some,
        (effective_count(energy) * fair).sum(1) / some,
    )


def maps(
    size: Size, density: Tensor, count: int, generator: torch.Generator
) -> Float[Tensor, "batch channel side side"]:
    """Fresh maps for all models side by side in the channels."""
    u = torch.rand(count, len(density), size.features, size.side, size.side, generator=generator)
    p = density[:, None, None, None]
    return torch.where(u < p, u / p, 0.0).flatten(1, 2)


def losses(weights: Tensor, bias: Tensor, x: Float[Tensor, "batch channel tall wide"]) -> Float[Tensor, " model"]:
    """Each model's squared error, summed over features, mean over places and pictures."""
    error = (forward(x, weights, bias) - x).square().mean((0, 2, 3))
    return error.reshape(len(weights), -1).sum(1)


def _checks(
    size: Size,
    codes: tuple[Codes, ...],
    plain_loss: Float[np.ndarray, " density"],
    packed: Float[np.ndarray, " density"],
) -> tuple[Check, ...]:
    one, large = codes[0], codes[-1]
    apart = float(np.abs(one.features_per_dimension / packed - 1).max())
    gain = large.loss / one.loss
    checks = [
        Check(
            "kernel 1: features per dimension as in the toy without space", "within 10 % at every density",
            f"at most {apart:.1%} apart", apart < 0.1, SOURCE,
        ),
        *(
            Check(
                f"kernel {each.kernel}: features per dimension rise with spatial sparsity", "rank correlation 1",
                f"{_rank(size, each):.2f} ({each.features_per_dimension[0]:.2f} to "
                f"{each.features_per_dimension[-1]:.2f})",
                _rank(size, each) > 0.99, SOURCE,
            )
            for each in codes
        ),
        Check(
            f"dimensionalities over all shifts sum to the {size.hidden} channels", f"{size.hidden} within .1",
            ", ".join(f"{v:.2f}" for each in codes for v in each.dimensionality.sum(1)),
            all(abs(v - size.hidden) < 0.1 for each in codes for v in each.dimensionality.sum(1)),
            "by algebra, at most",
        ),
        Check(
            f"loss with kernel {large.kernel} over loss with kernel 1, at the sparsest density",
            "below 1: longer codes",
            f"{gain[-1]:.2f} (at the densest {gain[0]:.2f})", bool(gain[-1] < 1), "own expectation",
        ),
        Check(
            f"codes of kernel {large.kernel} use more places where features are sparser", "yes",
            f"{large.taps[0]:.1f} at {size.densities[0]:g}, {large.taps[-1]:.1f} at {size.densities[-1]:g}",
            bool(large.taps[-1] > large.taps[0]), "own expectation",
        ),
    ]  # fmt: skip
    return tuple(checks)


def _rank(size: Size, codes: Codes) -> float:
    from scipy.stats import spearmanr  # takes long to import

    return float(spearmanr(-np.array(size.densities), codes.features_per_dimension)[0])
