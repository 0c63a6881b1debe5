"""Black-and-white shapes: curves, lines, edges, corners, brightness gradients, and spots with a surround."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from micrographia.images.stimuli.frame import Axis, Canvas, Column, Numbers, Plane, angles, covered, side

STROKE = 0.05  # width of a stroke as a share of the field
THINNEST = 1.5  # px; thinner strokes would only be fainter ones

POLARITY = Axis("polarity", (1.0, -1.0), "bright or dark", pooled="max")


def _stroke(canvas: Canvas, width: float | int) -> float:
    return max(THINNEST, width * canvas.field)


@dataclass(frozen=True)
class Curves:
    """Arcs through the centre of the field, with the centre of their circle at the angle; curvature is field / radius.

    Curvature 0 is a straight line. `filled` paints the inside of the circle bright (or dark) instead of its outline.
    After Cammarata et al., Curve Detectors (Distill 2020), synthetic stimuli.
    """

    orientations: int = 36
    curvatures: Numbers = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0)
    filled: bool = False
    stroke: float | int = STROKE
    name: ClassVar[str] = "curves"
    coloured: ClassVar[bool] = False

    @property
    def axes(self) -> tuple[Axis, ...]:
        return (
            POLARITY,
            Axis("curvature", self.curvatures, "field/radius"),
            Axis("angle", angles(self.orientations), "degrees", 360),
        )

    def paint(self, canvas: Canvas, polarity: Column, curvature: Column, angle: Column) -> Plane:
        u, v = canvas.turned(angle)
        bend = curvature / canvas.field
        # the distance to the circle, multiplied out so that it also holds for a straight line
        outward = bend * (u * u + v * v) - 2 * u
        distance = outward / (torch.hypot(bend * u - 1, bend * v) + 1)
        shape = side(-distance) if self.filled else covered(distance, _stroke(canvas, self.stroke))
        return polarity * shape


@dataclass(frozen=True)
class Lines:
    """Straight bars; `offset` shifts them along the angle, in fields."""

    orientations: int = 18
    offsets: Numbers = (-0.1, 0.0, 0.1)
    widths: Numbers = (STROKE, 0.12)
    name: ClassVar[str] = "lines"
    coloured: ClassVar[bool] = False

    @property
    def axes(self) -> tuple[Axis, ...]:
        return (
            POLARITY,
            Axis("offset", self.offsets, "fields", pooled="max"),
            Axis("width", self.widths, "fields", pooled="max"),
            Axis("angle", angles(self.orientations, 180), "degrees", 180),
        )

    def paint(self, canvas: Canvas, polarity: Column, offset: Column, width: Column, angle: Column) -> Plane:
        u, _ = canvas.turned(angle)
        wide = (width * canvas.field).clamp(min=THINNEST)
        return polarity * (wide / 2 + 0.5 - (u - offset * canvas.field).abs()).clamp(0, 1)


@dataclass(frozen=True)
class Edges:
    """A sharp step from dark to bright."""

    orientations: int = 36
    offsets: Numbers = (-0.2, -0.1, 0.0, 0.1, 0.2)
    name: ClassVar[str] = "edges"
    coloured: ClassVar[bool] = False

    @property
    def axes(self) -> tuple[Axis, ...]:
        return (
            Axis("offset", self.offsets, "fields", pooled="max"),
            Axis("angle", angles(self.orientations), "degrees", 360),
        )

    def paint(self, canvas: Canvas, offset: Column, angle: Column) -> Plane:
        u, _ = canvas.turned(angle)
        return side(u - offset * canvas.field)


@dataclass(frozen=True)
class Gradients:
    """Brightness that grows evenly over a span, in fields, about the centre, and stays as it is beyond."""

    orientations: int = 36
    spans: Numbers = (0.4, 0.6, 0.8, 1.0)
    name: ClassVar[str] = "gradients"
    coloured: ClassVar[bool] = False

    @property
    def axes(self) -> tuple[Axis, ...]:
        return (Axis("span", self.spans, "fields"), Axis("angle", angles(self.orientations), "degrees", 360))

    def paint(self, canvas: Canvas, span: Column, angle: Column) -> Plane:
        u, _ = canvas.turned(angle)
        return (u / (span * canvas.field / 2)).clamp(-1, 1)


@dataclass(frozen=True)
class Corners:
    """Two straight strokes that meet at the centre of the field and enclose the opening, in degrees."""

    orientations: int = 36
    openings: Numbers = (45.0, 90.0, 135.0)
    stroke: float | int = STROKE
    name: ClassVar[str] = "corners"
    coloured: ClassVar[bool] = False

    @property
    def axes(self) -> tuple[Axis, ...]:
        return (
            POLARITY,
            Axis("opening", self.openings, "degrees"),
            Axis("angle", angles(self.orientations), "degrees", 360),
        )

    def paint(self, canvas: Canvas, polarity: Column, opening: Column, angle: Column) -> Plane:
        u, v = canvas.turned(angle)
        v = v.abs()  # both strokes at once, as mirror images
        half = torch.deg2rad(opening / 2)
        along, across = u * torch.cos(half) + v * torch.sin(half), v * torch.cos(half) - u * torch.sin(half)
        distance = torch.where(along >= 0, across.abs(), torch.hypot(u, v))
        return polarity * covered(distance, _stroke(canvas, self.stroke))


@dataclass(frozen=True)
class Spots:
    """A bright or dark disc in a surround of the opposite; `radius` is the disc's, as a share of the field's."""

    radii: Numbers = (0.15, 0.3, 0.5, 0.7)
    name: ClassVar[str] = "spots"
    coloured: ClassVar[bool] = False

    @property
    def axes(self) -> tuple[Axis, ...]:
        return (POLARITY, Axis("radius", self.radii, "field radii"))

    def paint(self, canvas: Canvas, polarity: Column, radius: Column) -> Plane:
        return polarity * side(radius * canvas.field / 2 - torch.hypot(canvas.x, canvas.y))
