"""CurveNetwork: five layers that detect curves, every weight written from a formula, none learned.

Gabors -> complex Gabors -> lines -> early curves (with lines beside them) -> curves, after the artificial network of
Cammarata et al., Curve Circuits (Distill 2021). A weight is the product of what two orientations have to do with each
other and of how far the place lies from the line or arc that is looked for; both tables are those published there for
its last layer, and here they write the layers below as well. It is grey only: no colour, no texture.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import nn

from micrographia.errors import BadValue
from micrographia.images.stimuli.frame import angles
from micrographia.model.card import Card
from micrographia.model.graph import LayerGraph
from micrographia.model.trace import trace

WAVELENGTH, SIGMA = 3.5, 2.5  # px, of the Gabors
PHASES = (0.0, 90.0, 180.0, 270.0)
LINES = angles(18, 180)  # degrees, of the direction across
CURVES = angles(24)  # degrees, of the normal towards the centre of the circle
RADIUS = 5.7  # cells of 8 px, of the arc: its tangent turns by 10 degrees from cell to cell
FAINTEST = 0.01  # of the whole range of brightness; what contrasts less is not seen
STRIDE, OFFSET = 8.0, 6.0  # px: the cells of the last layer

# by the difference of two orientations: curves every 15 degrees to 180, lines every 10 degrees to 90
CURVE_TO_CURVE = (1, 0.75, 0.4, 0.13, -0.01, -0.01, -0.01, -0.01, -0.02, -0.125, -0.4, -0.9, -1)
LINE_TO_LINE = (1, 0.2, 0.01, 0, -0.05, -0.05, -0.1, -0.1, -0.3, -0.6)
# published for 10-degree steps over 180, not quite alike in both directions; the mean of the two
LINE_TO_CURVE = (1, 0.65, -0.4, -0.55, -0.8, -0.45, -0.1, -0.055, -0.01, -0.01)
# by the distance from the line or arc, in cells; 0.71 and 1.41 are the diagonal steps of the published line
DISTANCES, PROFILE = (0, 0.71, 1, 1.41, 2), (1, 0.35, 0.22, -0.08, -0.1)

Kernels = Float[np.ndarray, "out in height width"]
Plane = Float[np.ndarray, "height width"]
Numbers = Sequence[float | int]


class CurveNetwork(nn.Module):
    """The network, with curves of the given directions in its last layer.

    It reads pictures in RGB about 0, as `card` has them, and has the poolings and strides of InceptionV1 up to mixed3b.
    Raises BadValue for no directions and for one that is not finite.

    >>> CurveNetwork()(torch.zeros(1, 3, 91, 91)).shape
    torch.Size([1, 24, 11, 11])
    """

    def __init__(self, directions: Numbers = CURVES) -> None:
        super().__init__()
        self.gabors = _written(np.repeat(gabors()[:, None], 3, 1) / 3, -FAINTEST, 2)
        self.pool1 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.complex = _written(complex_gabors())
        self.lines = _written(lines())
        self.pool2 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.early = _written(early_curves())
        self.curves = _written(curves(directions))

    def forward(self, value: Any) -> Any:
        value = self.lines(self.complex(self.pool1(self.gabors(value))))
        return self.curves(self.early(self.pool2(value)))


def card(size: tuple[int, int] = (224, 224)) -> Card:
    """Preprocessing of the network: grey is zero, black and white are one apart."""
    return Card("handmade-curves", size, max(size), mean=(0.5, 0.5, 0.5), std=(1.0, 1.0, 1.0), licence="Apache-2.0")


def curve_graph(directions: Numbers = CURVES) -> LayerGraph:
    """The traced network: layers gabors, complex, lines, early, curves.

    >>> curve_graph().layer("curves").stride
    (8.0, 8.0)
    """
    return trace(CurveNetwork(directions).eval(), card())


def gabors(size: int = 7) -> Float[np.ndarray, "unit height width"]:
    """A Gabor patch for each orientation of LINES and each of PHASES, without a mean; no picture can excite it above 1.

    >>> gabors().shape
    (72, 7, 7)
    """
    x, y = _places(size)
    patches = []
    for direction in np.radians(LINES):
        across = x * np.cos(direction) + y * np.sin(direction)
        for phase in np.radians(PHASES):
            patch = np.cos(2 * np.pi * across / WAVELENGTH + phase) * np.exp(-(x**2 + y**2) / (2 * SIGMA**2))
            patches.append(patch - patch.mean())
    stacked = np.stack(patches)
    return 2 * stacked / np.abs(stacked).sum((1, 2), keepdims=True)


def complex_gabors() -> Kernels:
    """The sum over the phases of an orientation: what a Gabor and its negative see, wherever its stripes lie."""
    return np.kron(np.eye(len(LINES)), np.ones((1, len(PHASES))))[:, :, None, None]


def lines(size: int = 3) -> Kernels:
    """Lines from orientations: tiled along the line, against what crosses it and what lies beside it.

    >>> lines()[0, 0].round(2)[1]
    array([0.22, 1.  , 0.22])
    """
    return _balanced([_row(size, angle, np.inf, [(LINES, 180, LINE_TO_LINE)]) for angle in LINES])


def early_curves(size: int = 3) -> Kernels:
    """Early curves from lines along a short arc, and the lines carried on, which the last layer reads as well."""
    arcs = [_row(size, angle, RADIUS, [(LINES, 180, LINE_TO_CURVE)]) for angle in CURVES]
    return np.concatenate([_balanced(arcs), lines(size)])


def curves(directions: Numbers = CURVES, size: int = 5) -> Kernels:
    """Curves from early curves and lines along an arc, against those turned the other way.

    >>> curves([0.0]).shape
    (1, 42, 5, 5)
    """
    if not len(directions) or not np.isfinite(directions).all():
        raise BadValue(f"There are no curves of the directions {list(directions)}. Give degrees, one or more.")
    tables = [(CURVES, 360, CURVE_TO_CURVE), (LINES, 180, LINE_TO_CURVE)]
    return _balanced([_row(size, angle, RADIUS, tables) for angle in directions])


def _row(
    size: int, direction: float | int, radius: float, tables: Sequence[tuple[Numbers, int, Numbers]]
) -> Float[np.ndarray, "in height width"]:
    """The kernels of one unit: at each place, by the distance from its arc and by the arc's own direction there."""
    distance, normal = _arc(size, direction, radius)
    near = np.interp(distance, DISTANCES, PROFILE)
    parts = [_weighed(table, period)(angle - normal) * near for own, period, table in tables for angle in own]
    return np.stack(parts)


def _arc(size: int, direction: float | int, radius: float) -> tuple[Plane, Plane]:
    """The distance of each place from an arc through the middle, and the direction (degrees) of its normal there."""
    x, y = _places(size)
    turn = np.radians(direction)
    if np.isinf(radius):
        return np.abs(x * np.cos(turn) + y * np.sin(turn)), np.full_like(x, direction)
    to_x, to_y = radius * np.cos(turn) - x, radius * np.sin(turn) - y
    return np.abs(np.hypot(to_x, to_y) - radius), np.degrees(np.arctan2(to_y, to_x))


def _weighed(table: Numbers, period: int) -> Callable[[Plane], Plane]:
    """A table over differences of orientation, even and periodic, read between its entries as well."""
    steps = np.linspace(0, period / 2, len(table))
    return lambda angle: np.interp(np.abs((angle + period / 2) % period - period / 2), steps, table)


def _balanced(rows: Sequence[Float[np.ndarray, "in height width"]]) -> Kernels:
    """The kernels of all units, the largest weight of each being 1."""
    stacked = np.stack(rows)
    return stacked / stacked.max((1, 2, 3), keepdims=True)


def _places(size: int) -> tuple[Plane, Plane]:
    """x to the right and y upwards, about the middle of a kernel."""
    steps = np.arange(size) - (size - 1) / 2
    return np.tile(steps, (size, 1)), np.tile(-steps[:, None], (1, size))


def _written(kernels: Kernels, bias: float = 0.0, stride: int = 1) -> nn.Sequential:
    """A convolution with these weights, and a ReLU."""
    out, into, size, _ = kernels.shape
    conv = nn.Conv2d(into, out, size, stride, size // 2)
    with torch.no_grad():
        conv.weight.copy_(torch.from_numpy(kernels))
        conv.bias.fill_(bias)  # type: ignore[union-attr]
    return nn.Sequential(conv, nn.ReLU())
