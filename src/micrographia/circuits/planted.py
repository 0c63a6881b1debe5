"""Planted networks: small CNNs whose circuits are known because they were written by hand, to test detectors on.

Each has three convolutions. The units of the circuit have the weights that its name says; all other units have random
ones, every weight between them and the circuit a little noise, so that nothing is zero by which it could be told.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from micrographia.errors import BadValue
from micrographia.model.card import Card
from micrographia.model.graph import LayerGraph
from micrographia.model.trace import trace

SIDE = 24  # px of a picture
WIDTHS = (3, 12, 10, 8)
SIZES = (5, 3, 3)
NOISE = 0.01  # of the weakest planted kernel of a layer, in its largest weight
TARGET = "conv3:0"

Kernel = Float[np.ndarray, "height width"]
Weights = Mapping[tuple[int, int, int], Kernel]  # (layer, unit, source) -> kernel
Biases = Mapping[tuple[int, int], float]


@dataclass(frozen=True, eq=False)
class Planted:
    """A network with a known circuit: `edges` are all that lead to the target, as pairs of addresses."""

    name: str
    graph: LayerGraph
    edges: frozenset[tuple[str, str]]
    target: str = TARGET
    depth: int = 3
    widths: tuple[int, ...] = field(default=WIDTHS, repr=False)


class Stack(nn.Module):
    """Convolutions with rectifiers, named conv1, conv2, ..."""

    def __init__(self, widths: tuple[int, ...] = WIDTHS, sizes: tuple[int, ...] = SIZES) -> None:
        super().__init__()
        for number, size in enumerate(sizes, start=1):
            block = nn.Sequential()
            block.add_module("conv", nn.Conv2d(widths[number - 1], widths[number], size, padding=size // 2))
            block.add_module("relu", nn.ReLU())
            self.add_module(f"conv{number}", block)

    def forward(self, value: Any) -> Any:
        for block in self.children():
            value = block(value)
        return value


def card_of(name: str) -> Card:
    """Preprocessing of a planted network: grey is zero."""
    return Card(name, (SIDE, SIDE), SIDE, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25), licence="Apache-2.0")


def null_network(seed: int, widths: tuple[int, ...] = WIDTHS) -> LayerGraph:
    """A network of the same make with independent random weights and nothing planted (He et al. 2015).

    >>> null_network(0).layer("conv3").channels
    8
    """
    model = Stack(widths)
    rng = np.random.default_rng(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 4:
                spread = np.sqrt(2 / parameter[0].numel())
                parameter.copy_(torch.from_numpy(rng.normal(0, spread, tuple(parameter.shape))))
            else:
                parameter.zero_()
    return trace(model.eval(), card_of(f"null-{seed}"))


def written(name: str, seed: int = 0, noise: float = NOISE) -> Planted:
    """One of the networks in WRITTEN; `seed` is of its other units and of the noise.

    `noise` is the spread of the weights that are not planted, over the largest weight of the weakest planted kernel in
    the same layer. Raises BadValue for another name.

    >>> len(written("union over cases").edges)
    12
    """
    if name not in WRITTEN:
        raise BadValue(f"There is no planted network '{name}'. Choose {', '.join(WRITTEN)}.")
    kernels, biases = WRITTEN[name]()
    return Planted(name, _network(name, kernels, biases, seed, noise), edges_of(kernels))


def edges_of(kernels: Weights) -> frozenset[tuple[str, str]]:
    """The addresses that the kernels of a plan join."""
    layers = ("input", "conv1", "conv2", "conv3")
    return frozenset((f"{layers[layer - 1]}:{source}", f"{layers[layer]}:{unit}") for layer, unit, source in kernels)


def _network(name: str, kernels: Weights, biases: Biases, seed: int, noise: float = NOISE) -> LayerGraph:
    model = Stack()
    with torch.no_grad():
        for layer, block in enumerate(model.children(), start=1):
            conv = block.get_submodule("conv")
            own = {(unit, source): each for (at, unit, source), each in kernels.items() if at == layer}
            planted = {unit for unit, _ in own}
            least = min(float(np.abs(each).max()) for each in own.values())
            shape = (WIDTHS[layer], WIDTHS[layer - 1], SIZES[layer - 1], SIZES[layer - 1])
            weights = np.empty(shape)
            for unit in range(len(weights)):  # a unit's noise does not depend on what else is planted
                spread = noise * least if unit in planted else np.sqrt(2 / np.prod(shape[1:]))
                weights[unit] = np.random.default_rng([seed, layer, unit]).normal(0, spread, shape[1:])
            for (unit, source), each in own.items():
                weights[unit, source] = each
            bias = np.array([biases.get((layer, unit), 0.0) for unit in range(WIDTHS[layer])])
            conv.get_parameter("weight").copy_(torch.from_numpy(weights))
            conv.get_parameter("bias").copy_(torch.from_numpy(bias))
    return trace(model.eval(), card_of(f"planted-{name}"))


def gabor(angle: float | int, wavelength: float = 4.0, size: int = 5) -> Kernel:
    """An even Gabor patch across a line at this angle (degrees), without a mean and of norm one."""
    axis = np.arange(size) - size // 2
    turn = np.deg2rad(angle)
    across = axis[None] * np.sin(turn) + axis[:, None] * np.cos(turn)
    along = axis[None] * np.cos(turn) - axis[:, None] * np.sin(turn)
    patch = np.cos(2 * np.pi * across / wavelength) * np.exp(-(across**2 + along**2) / (2 * (size / 3) ** 2))
    patch -= patch.mean()
    return patch / np.linalg.norm(patch)


def _blob(size: int = 5) -> Kernel:
    axis = np.arange(size) - size // 2
    patch = np.exp(-(axis[None] ** 2 + axis[:, None] ** 2) / (2 * (size / 4) ** 2))
    return patch / np.linalg.norm(patch)


def _bar(angle: int, size: int = 3) -> Kernel:
    """Ones along a line of 3 x 3 cells: 0 is horizontal, 45 rises to the right."""
    bars = {0: [[0, 0, 0], [1, 1, 1], [0, 0, 0]], 45: [[0, 0, 1], [0, 1, 0], [1, 0, 0]],
            90: [[0, 1, 0], [0, 1, 0], [0, 1, 0]], 135: [[1, 0, 0], [0, 1, 0], [0, 0, 1]]}  # fmt: skip
    return np.array(bars[angle], dtype=float)[:size, :size]


def _grey(unit: int, angle: float | int) -> dict[tuple[int, int, int], Kernel]:
    """A Gabor that reads red, green and blue alike."""
    return {(1, unit, colour): gabor(angle) / np.sqrt(3) for colour in range(3)}


def _cell(row: int, column: int) -> Kernel:
    kernel = np.zeros((3, 3))
    kernel[row, column] = 1.0
    return kernel


def _curve() -> tuple[Weights, Biases]:
    """Gabors, then lines (along their axis, against what crosses it), then an arc of three lines."""
    angles = (0, 45, 90, 135)
    kernels = {key: each for unit, angle in enumerate(angles) for key, each in _grey(unit, angle).items()}
    for line, unit in enumerate((1, 2, 3)):
        kernels[2, line, unit] = _bar(angles[unit])
        kernels[2, line, (unit + 2) % 4] = -_bar(angles[(unit + 2) % 4]) / 2
    for line, (row, column) in enumerate(((2, 0), (1, 1), (0, 0))):
        kernels[3, 0, line] = _cell(row, column) - _cell(row, 2 - column if column != 1 else 2)
    return kernels, {}


def _colour_contrast() -> tuple[Weights, Biases]:
    """Blobs of opponent colours, then centre against surround, then red-green with blue-yellow."""
    signs = {0: (1.0, -1.0, 0.0), 1: (-1.0, 1.0, 0.0), 2: (-0.5, -0.5, 1.0), 3: (0.5, 0.5, -1.0)}
    kernels = {
        (1, unit, colour): sign * _blob() for unit, row in signs.items() for colour, sign in enumerate(row) if sign
    }
    centre = _cell(1, 1)
    around = (np.ones((3, 3)) - centre) / 8
    for unit, (inside, outside) in enumerate(((0, 1), (2, 3))):
        kernels[2, unit, inside] = centre - around
        kernels[2, unit, outside] = around - centre / 2
        kernels[3, 0, unit] = centre
    return kernels, {}


def _logic() -> tuple[Weights, Biases]:
    """AND of two features, OR of two others, and the AND of both."""
    kernels = {key: each for unit, angle in enumerate((0, 45, 90, 135)) for key, each in _grey(unit, angle).items()}
    mean = np.ones((3, 3)) / 9
    kernels |= {(2, 0, 0): mean, (2, 0, 1): mean, (2, 1, 2): mean, (2, 1, 3): mean}
    kernels |= {(3, 0, 0): _cell(1, 1), (3, 0, 1): _cell(1, 1)}
    return kernels, {(2, 0): -0.3, (3, 0): -0.2}


def _union() -> tuple[Weights, Biases]:
    """Two cases that inhibit each other, and a unit that takes either."""
    kernels = {**_grey(0, 45), **_grey(1, 135)}
    left, right = np.eye(3)[[0, 0, 0]], np.eye(3)[[2, 2, 2]]
    kernels |= {(2, 0, 0): left, (2, 0, 1): -left, (2, 1, 1): right, (2, 1, 0): -right}
    kernels |= {(3, 0, 0): np.ones((3, 3)) / 3, (3, 0, 1): np.ones((3, 3)) / 3}
    return kernels, {}


def _superposed() -> tuple[Weights, Biases]:
    """A unit that two features share, and another by which the target takes one of them out again."""
    kernels = {**_grey(0, 0), **_grey(1, 90), **_grey(2, 45)}
    kernels |= {(2, 0, 0): _bar(0), (2, 0, 1): _bar(90), (2, 1, 1): _bar(90), (2, 1, 2): _bar(45) / 2}
    kernels |= {(3, 0, 0): _cell(1, 1), (3, 0, 1): -_cell(1, 1)}
    return kernels, {}


WRITTEN = {
    "curve": _curve, "colour contrast": _colour_contrast, "and, or": _logic, "union over cases": _union,
    "superposed pair": _superposed,
}  # fmt: skip


def stimuli(count: int, seed: int = 0, side: int = SIDE) -> Float[Tensor, "picture 3 height width"]:
    """Pictures for planted networks: lines and discs of random colours, places and angles on a noisy ground.

    >>> stimuli(2).shape
    torch.Size([2, 3, 24, 24])
    """
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:side, :side]
    pictures = np.empty((count, 3, side, side))
    for picture in pictures:
        ground = rng.uniform(0.35, 0.65, 3)
        picture[:] = ground[:, None, None]
        for _ in range(rng.integers(4, 9)):
            middle, turn = rng.uniform(0, side, 2), rng.uniform(0, np.pi)
            away = (columns - middle[1]) * np.sin(turn) + (rows - middle[0]) * np.cos(turn)
            along = (columns - middle[1]) * np.cos(turn) - (rows - middle[0]) * np.sin(turn)
            line = (np.abs(away) < rng.uniform(0.7, 1.6)) & (np.abs(along) < rng.uniform(3, 12))
            disc = np.hypot(away, along) < rng.uniform(1, 4)
            grey = np.full(3, rng.uniform())
            picture[:, line if rng.random() < 0.6 else disc] = (grey if rng.random() < 0.4 else rng.uniform(0, 1, 3))[
                :, None
            ]
        picture += rng.normal(0, 0.03, picture.shape)
    return torch.from_numpy(pictures.clip(0, 1)).float()


def fooling(seed: int = 0, threshold: float = 0.9) -> tuple[Planted, Planted]:
    """A network whose unit shows something else when it is optimised, and the honest one of the same natural behaviour.

    Two units look at how far a picture goes beyond what photographs have; as long as they are silent the target is the
    honest feature (a horizontal line). Beyond `threshold`, a part of the largest contrast there can be, they switch it
    off and a decoy (a vertical line) on, so that the optimised picture is the decoy's although no natural picture ever
    fires it (Geirhos et al., ICML 2024).

    >>> fooled, honest = fooling()
    """
    feature = {**_grey(0, 0), (2, 0, 0): _cell(1, 1), (3, 0, 0): _cell(1, 1)}
    gate = {**_grey(0, 0), **_grey(1, 90)}
    for unit, sign in ((2, 1.0), (3, -1.0)):
        # contrast beyond what is natural, of either sign
        gate |= {(1, unit, colour): sign * gabor(90) for colour in range(3)}
    plan = {**gate, (2, 0, 0): _cell(1, 1), (2, 1, 1): 4 * _cell(1, 1)}
    for unit in (2, 3):
        plan[2, 0, unit] = -8 * _cell(1, 1)
        plan[2, 1, unit] = 4 * _cell(1, 1)
    plan |= {(3, 0, 0): _cell(1, 1), (3, 0, 1): _cell(1, 1)}
    # pixels lie within 2 deviations of grey
    high = threshold * 3 * 2.0 * float(np.abs(gabor(90)).sum())
    # the honest network has the same parts, but nothing that leads from them to the target
    honest = {place: each for place, each in plan.items() if place not in {(2, 0, 2), (2, 0, 3), (3, 0, 1)}}
    biases = {(1, 2): -high, (1, 3): -high, (2, 1): -4 * high}
    return (
        Planted("fooling", _network("fooling", plan, biases, seed), edges_of(plan)),
        Planted("honest", _network("honest", honest, biases, seed), edges_of(feature)),
    )
