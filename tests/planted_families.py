"""Networks with families of units that are known: drawn, turned, mirrored, scaled, in other hues, damaged, shuffled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.ndimage import gaussian_filter
from torch import nn

from micrographia.model.card import Card
from micrographia.model.graph import LayerGraph
from micrographia.model.trace import trace
from micrographia.study.alignment import GROUPS
from micrographia.study.families import Family

Grid = Float[np.ndarray, "size size"]
Shape = Callable[[Grid, Grid, float], Grid]


def _window(u: Grid, v: Grid, width: float) -> Grid:
    return np.exp(-(u**2 + v**2) / (2 * width**2))


def _curve(u: Grid, v: Grid, s: float) -> Grid:
    off = (np.hypot(u + 2.2 * s, v) - 2.2 * s) / (0.75 * s)
    return (1 - off**2) * np.exp(-(off**2) / 2) * _window(u, v, 2 * s) * (u > -1.2 * s)


SHAPES: dict[str, Shape] = {
    "edge": lambda u, v, s: u * _window(u, v, 1.6 * s),
    "line": lambda u, v, s: (1 - (u / s) ** 2) * np.exp(-((u / s) ** 2) / 2 - (v / s) ** 2 / 8),
    "curve": _curve,
    "corner": lambda u, v, s: (((u > 0) & (np.abs(v) < u)) - 0.25) * _window(u, v, 1.6 * s),
    "spiral": lambda u, v, s: np.cos(np.arctan2(v, u) - np.hypot(u, v) / s * 1.2) * _window(u, v, 1.5 * s),
}


OWN_MIRROR = 0.5
"""No family of mirror images is made of a shape that correlates more than this with its own mirror image.

Such a shape has no right answer: where the two are one picture, nothing says which is which.
"""


@dataclass(frozen=True, eq=False)
class Planted:
    """A network whose `layer` has families: each unit's family (-1: none) and its element, in degrees or octaves."""

    graph: LayerGraph
    layer: str
    group: str
    family: Int[np.ndarray, " unit"]
    element: Float[np.ndarray, " unit"]


def drawn(
    shape: str, angle: float, size: int, scale: float = 1.5, mirrored: bool = False, colour: Sequence[float] = (1, 1, 1)
) -> Float[np.ndarray, "3 size size"]:
    """A kernel of length one and mean zero, turned counterclockwise by `angle` degrees, then perhaps mirrored."""
    x, y = _grid(size)
    x = -x if mirrored else x
    turn = np.deg2rad(angle)
    kernel = SHAPES[shape](np.cos(turn) * x + np.sin(turn) * y, np.cos(turn) * y - np.sin(turn) * x, scale)
    kernel = kernel - kernel.mean()
    tint = np.array(colour, float) / np.linalg.norm(colour)
    return tint[:, None, None] * kernel / np.linalg.norm(kernel)


def hue(degrees: float) -> Float[np.ndarray, 3]:
    """The colour contrast of this hue; 0 is red, 120 green."""
    return np.cos(np.deg2rad(degrees) - 2 * np.pi * np.arange(3) / 3)


def first_layer(
    group: str, sizes: Sequence[int] = (8, 5, 4), noise: float = 0.5, others: int = 20, size: int = 11, seed: int = 0
) -> Planted:
    """Families in a layer that reads pixels, among `others` smooth kernels; noise has `noise` of the kernels' length."""
    rng = np.random.default_rng(seed)
    kernels, family, element = [], [], []
    shapes = list(rng.permutation(list(SHAPES)))[: len(sizes)]
    for number, (shape, count) in enumerate(zip(shapes, sizes, strict=True)):
        base, tint = _angle(rng), hue(rng.uniform(0, 360))
        while group == "reflection" and _alike_mirrored(shape, base, size) > OWN_MIRROR:
            base = _angle(rng)
        turn = 180 if shape == "line" else 360
        for place in range(count):
            at = (place + rng.uniform(-0.15, 0.15)) / count
            if group == "rotation":
                element.append(at * turn % turn)
                kernels.append(drawn(shape, base + at * turn, size))
            elif group == "hue":
                element.append(at * 360 % 360)
                kernels.append(drawn(shape, base, size, colour=hue(at * 360)))
            elif group == "reflection":
                element.append(float(place % 2))
                kernels.append(drawn(shape, base, size, mirrored=bool(place % 2), colour=tint))
            else:
                element.append(1.2 * place / (count - 1) - 0.6)
                kernels.append(drawn(shape, base, size, 1.3 * 2 ** element[-1], colour=tint))
            family.append(number)
    for _ in range(others):
        kernels.append(_smooth(rng, 3, size))
    return _network([np.stack(kernels)], group, family, element, noise, rng)


def _angle(rng: np.random.Generator) -> float:
    return float(rng.choice([20, 110, 200, 290]) + rng.uniform(0, 50))


def _alike_mirrored(shape: str, angle: float, size: int) -> float:
    own = drawn(shape, angle, size)
    return float((own * own[:, :, ::-1]).sum())


def second_layer(
    sizes: Sequence[int] = (8, 6, 4), noise: float = 0.5, others: int = 20, size: int = 5, seed: int = 0
) -> Planted:
    """Rotated families that read rotated families: weights depend on positions and channels turned together."""
    rng = np.random.default_rng(seed)
    below, angle, kind = [], [], []
    for number, shape in enumerate(("edge", "line", "corner")):
        turn = 180 if shape == "line" else 360
        for place in range(8):
            below.append(drawn(shape, place * turn / 8, 7, 1.1))
            angle.append(np.deg2rad(place * 360 / 8))
            kind.append(number)
    below += [_smooth(rng, 3, 7) for _ in range(8)]
    x, y = _grid(size)
    radius, around = np.hypot(x, y), np.arctan2(y, x)
    weights, family, element = [], [], []
    for number, count in enumerate(sizes):
        size_of, phase = rng.normal(size=(3, 3, 5)), rng.uniform(0, 2 * np.pi, (3, 3, 5))
        for place in range(count):
            degrees = 360 * (place + rng.uniform(-0.15, 0.15)) / count
            turn = np.deg2rad(degrees)
            kernel = np.zeros((len(below), size, size))
            for channel, (own, which) in enumerate(zip(angle, kind, strict=True)):
                for a in range(3):
                    for b in range(-2, 3):
                        wave = b * (around - turn) + a * (own - (2 if which == 1 else 1) * turn)
                        part = np.cos(wave + phase[which, a, b]) * (radius > 0.1 if b else 1)
                        kernel[channel] += size_of[which, a, b] * part
            kernel *= np.exp(-(radius**2) / 8)
            weights.append(kernel / np.linalg.norm(kernel))
            family.append(number)
            element.append(degrees % 360)
    for _ in range(others):
        kernel = gaussian_filter(rng.normal(size=(len(below), size, size)), (0, 0.7, 0.7))
        weights.append(kernel / np.linalg.norm(kernel))
    return _network([np.stack(below), np.stack(weights)], "rotation", family, element, noise, rng)


def recovered(found: Sequence[Family], planted: Planted) -> tuple[float, float, Float[np.ndarray, " member"]]:
    """Recall and precision of membership, and how far each found member's element is off, up to a common one."""
    right, wrong, off = 0, 0, [np.empty(0)]
    for each in found:
        members = np.array(each.members)
        own = planted.family[members]
        known = own[own >= 0]
        good = own == (np.bincount(known).argmax() if len(known) else -2)
        right, wrong = right + int(good.sum()), wrong + int((~good).sum())
        if good.sum() > 1:
            apart = np.array(each.elements)[good] - planted.element[members][good]
            if GROUPS[planted.group].cyclic:
                turned = np.exp(2j * np.pi * apart / each.period)
                off.append(np.abs(np.angle(turned / turned.sum())) * each.period / (2 * np.pi))
            else:
                off.append(np.abs(apart - apart.mean()))
    return right / int((planted.family >= 0).sum()), right / max(right + wrong, 1), np.concatenate(off)


def _grid(size: int) -> tuple[Grid, Grid]:
    half = (size - 1) / 2
    y, x = np.mgrid[-half : half + 1, -half : half + 1]
    return x, -y


def _smooth(rng: np.random.Generator, channels: int, size: int) -> Float[np.ndarray, "channels size size"]:
    x, y = _grid(size)
    kernel = gaussian_filter(rng.normal(size=(channels, size, size)), (0, 0.9, 0.9)) * _window(x, y, size / 3.5)
    return kernel / np.linalg.norm(kernel)


def _network(
    layers: list[np.ndarray], group: str, family: list[int], element: list[float], noise: float,
    rng: np.random.Generator,
) -> Planted:  # fmt: skip
    top = layers[-1] + noise * rng.normal(size=layers[-1].shape) / np.sqrt(layers[-1][0].size)
    lacking = len(top) - len(family)
    order = rng.permutation(len(top))
    weights = [*layers[:-1], top[order]]
    if len(weights) == 2:
        below = rng.permutation(len(weights[0]))
        weights = [weights[0][below], weights[1][:, below]]
    modules: list[nn.Module] = []
    for each in weights:
        conv = nn.Conv2d(each.shape[1], each.shape[0], each.shape[2], padding=each.shape[2] // 2, bias=False)
        with torch.no_grad():
            conv.weight.copy_(torch.from_numpy(each))
        modules += [conv, nn.ReLU()]
    card = Card("planted", size=(64, 64), mean=(0.5, 0.5, 0.5), std=(1.0, 1.0, 1.0))
    graph = trace(nn.Sequential(*modules).eval(), card)
    return Planted(
        graph,
        graph.main_layers()[-1].name,
        group,
        np.array(family + [-1] * lacking)[order],
        np.array(element + [0.0] * lacking)[order],
    )
