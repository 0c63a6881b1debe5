"""render(family, frame): the pictures of a stimulus family, drawn at a place in a picture, in one batch."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from micrographia.errors import BadValue

RIM = 0.8  # share of the radius from which stimuli fade to grey: a square crop would favour its diagonals

Numbers = tuple[float | int, ...]
Plane = Float[Tensor, "stimulus height width"]
Column = Float[Tensor, "stimulus 1 1"]


@dataclass(frozen=True)
class Axis:
    """One parameter of a family and the values it takes; `period` is what brings the same picture back.

    `pooled` says how responses are summed up over this parameter where it is not itself of interest: "max" for what a
    unit is free to ignore (phase, polarity, offset), "mean" for what it should hold over (curvature, ratio), "best"
    for the one value with the strongest answer, where other values turn the preference (the hue of a colour edge).
    """

    name: str
    values: Numbers
    unit: str = ""
    period: float | int | None = None
    pooled: str = "mean"

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"name": self.name, "values": list(self.values), "unit": self.unit, "period": self.period}


@dataclass(frozen=True)
class Frame:
    """Where stimuli are drawn: pictures of `size` (height, width) px, `centre` (row, column) and `field` in px.

    The centre may lie between pixels. The field is the length that stimuli are measured in: the receptive field of the
    unit as a rule, or any other number of px.

    >>> Frame.square(91)
    Frame(size=(91, 91), centre=(45.0, 45.0), field=91)
    """

    size: tuple[int, int]
    centre: tuple[float | int, float | int]
    field: float | int

    def __post_init__(self) -> None:
        if min(self.size) < 1 or not self.field >= 1:
            raise BadValue(
                f"Stimuli of {self.field} px cannot be drawn in pictures of {self.size[0]} x {self.size[1]} px. "
                "Both have to be 1 px or more."
            )

    @staticmethod
    def square(side: int, field: float | int | None = None) -> Frame:
        """A square picture with the stimulus in its middle, as wide as the picture unless `field` says otherwise."""
        return Frame((side, side), ((side - 1) / 2, (side - 1) / 2), side if field is None else field)


@dataclass(frozen=True, eq=False)
class Canvas:
    """The px of a frame as coordinates about its centre: `x` to the right, `y` upwards, in px, like `field`."""

    x: Float[Tensor, "height width"]
    y: Float[Tensor, "height width"]
    field: float

    def turned(self, angle: Column) -> tuple[Plane, Plane]:
        """The coordinates along a direction and across it, 90 degrees further."""
        radians = torch.deg2rad(angle.double())
        cos, sin = torch.cos(radians).to(self.x), torch.sin(radians).to(self.x)
        return self.x * cos + self.y * sin, self.y * cos - self.x * sin

    def disc(self) -> Float[Tensor, "height width"]:
        """1 inside, falling to 0 at the rim of the field as half a period of a cosine."""
        radius = torch.hypot(self.x, self.y) / (self.field / 2)
        return 0.5 + 0.5 * torch.cos(math.pi * ((radius - RIM) / (1 - RIM)).clamp(0, 1))


@runtime_checkable
class Family(Protocol):
    """Stimuli of one kind: its name, its parameters, and how it is painted, between -1 (black) and 1 about grey 0."""

    @property
    def name(self) -> str:
        """How it is called on the command line."""
        ...

    @property
    def coloured(self) -> bool:
        """Whether it cannot be shown to a network of one channel."""
        ...

    @property
    def axes(self) -> tuple[Axis, ...]:
        """The parameters, the slowest first."""
        ...

    @property
    def paint(self) -> Callable[..., Tensor]:
        """(canvas, a Column for each axis) -> "stimulus height width", grey, or "stimulus 3 height width"."""
        ...


def shape(family: Family) -> tuple[int, ...]:
    """How many values each axis has: what the responses to all stimuli can be reshaped to."""
    return tuple(len(axis.values) for axis in family.axes)


def count(family: Family) -> int:
    """How many stimuli a family has."""
    return math.prod(shape(family))


def grid(family: Family) -> Float[Tensor, "stimulus axis"]:
    """The parameters of each stimulus, in the order they are drawn: the last axis runs fastest."""
    values = [torch.tensor(axis.values, dtype=torch.float64) for axis in family.axes]
    return torch.stack([each.reshape(-1) for each in torch.meshgrid(*values, indexing="ij")], 1)


def render(
    family: Family, frame: Frame, chosen: Sequence[int] | slice | None = None, dtype: torch.dtype = torch.float32
) -> Float[Tensor, "stimulus 3 height width"]:
    """The pictures of a family, values 0..1, on grey; all of them or those `chosen` by index.

    Drawn from exact distances and box-filtered over a px, so that a stimulus turned by 90 degrees is the turned
    picture. The placing of stimuli on the receptive field follows Cammarata et al., Curve Detectors (Distill 2020).

    >>> render(Gratings(), Frame.square(31), range(5)).shape  # doctest: +SKIP
    torch.Size([5, 3, 31, 31])
    """
    rows = torch.arange(frame.size[0], dtype=dtype)[:, None]
    columns = torch.arange(frame.size[1], dtype=dtype)[None, :]
    shown = torch.ones(frame.size, dtype=dtype)
    canvas = Canvas((columns - frame.centre[1]) * shown, (frame.centre[0] - rows) * shown, float(frame.field))
    wanted = grid(family)
    if chosen is not None:
        wanted = wanted[chosen if isinstance(chosen, slice) else list(chosen)]
    painted = family.paint(canvas, *(column[:, None, None].to(dtype) for column in wanted.unbind(1)))
    if painted.ndim == 3:
        painted = painted[:, None].expand(-1, 3, -1, -1)
    return 0.5 + 0.5 * (painted * canvas.disc()).clamp(-1, 1)


def batches(
    family: Family, frame: Frame, batch: int = 64, dtype: torch.dtype = torch.float32
) -> Iterator[Float[Tensor, "stimulus 3 height width"]]:
    """All pictures of a family in their order, `batch` at a time, so that large families need little memory."""
    total = count(family)
    for start in range(0, total, batch):
        yield render(family, frame, slice(start, min(start + batch, total)), dtype)


def angles(number: int, period: float | int = 360) -> Numbers:
    """So many directions, evenly spaced over a period, from 0.

    >>> angles(4)
    (0.0, 90.0, 180.0, 270.0)
    """
    if number < 1:
        raise BadValue(f"There cannot be {number} directions. Ask for 1 or more.")
    return tuple(period * index / number for index in range(number))


def covered(distance: Plane, width: float | int) -> Plane:
    """The share of each px that a stroke of this width covers, by the distance (px) of the px from its middle."""
    return (width / 2 + 0.5 - distance.abs()).clamp(0, min(1.0, width))


def side(distance: Plane) -> Plane:
    """1 on the positive side of an edge, -1 on the other, in between in the px that the edge goes through."""
    return (2 * distance).clamp(-1, 1)
