"""Black-and-white waves: gratings, textures of two crossed waves, and pairs of a high and a low frequency."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch

from micrographia.errors import BadValue
from micrographia.images.stimuli.frame import Axis, Canvas, Column, Numbers, Plane, angles

FINEST = 0.4  # cycles per px; near 0.5 a wave's contrast depends on where the px lie


def frequencies(field: float | int, number: int = 6, least: float | int = 1.0) -> Numbers:
    """Frequencies in cycles per px, in equal ratios from `least` cycles in a field to the finest that px can show.

    >>> [round(f, 2) for f in frequencies(91, 3)]
    [0.01, 0.07, 0.4]
    """
    lowest = min(least / field, FINEST)
    ratio = (FINEST / lowest) ** (1 / max(number - 1, 1))
    return tuple(lowest * ratio**index for index in range(number))


def check_frequencies(values: Numbers) -> None:
    """Raise BadValue for frequencies, in cycles per px, that px cannot show."""
    if not values or min(values) <= 0 or max(values) > 0.5:
        raise BadValue(f"Waves of {values} cycles per px cannot be drawn. Give frequencies above 0 and up to 0.5.")


def _wave(along: Plane, frequency: Column, phase: Column) -> Plane:
    return torch.cos(2 * math.pi * frequency * along - torch.deg2rad(phase))


def texture(u: Plane, v: Plane, frequency: Column, phase: Column) -> Plane:
    """Two crossed waves at 45 degrees to the axes."""
    half = math.sqrt(0.5)
    return 0.5 * (_wave((u + v) * half, frequency, phase) + _wave((u - v) * half, frequency, phase))


@dataclass(frozen=True)
class Gratings:
    """Plane waves; the frequency in cycles per px, the phase in degrees (0: a bright stripe at the centre)."""

    orientations: int = 18
    frequency: Numbers = (0.05, 0.1, 0.2, 0.3)
    phases: int = 4
    name: ClassVar[str] = "gratings"
    coloured: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_frequencies(self.frequency)

    @property
    def axes(self) -> tuple[Axis, ...]:
        return (
            Axis("phase", angles(self.phases), "degrees", 360, "max"),
            Axis("frequency", self.frequency, "cycles/px"),
            Axis("angle", angles(self.orientations, 180), "degrees", 180),
        )

    def paint(self, canvas: Canvas, phase: Column, frequency: Column, angle: Column) -> Plane:
        u, _ = canvas.turned(angle)
        return _wave(u, frequency, phase)


@dataclass(frozen=True)
class Textures:
    """Checkered textures of one frequency: the sum of two crossed waves, the same again after a quarter turn."""

    orientations: int = 6
    frequency: Numbers = (0.05, 0.1, 0.2, 0.3)
    phases: int = 2
    name: ClassVar[str] = "textures"
    coloured: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_frequencies(self.frequency)

    @property
    def axes(self) -> tuple[Axis, ...]:
        return (
            Axis("phase", angles(self.phases), "degrees", 360, "max"),
            Axis("frequency", self.frequency, "cycles/px"),
            Axis("angle", angles(self.orientations, 90), "degrees", 90),
        )

    def paint(self, canvas: Canvas, phase: Column, frequency: Column, angle: Column) -> Plane:
        return texture(*canvas.turned(angle + 45), frequency, phase)


@dataclass(frozen=True)
class HighLow:
    """A texture of high frequency on the side of the angle that blends into one of low frequency on the other.

    `ratio` is high over low; their geometric mean is `middle`, in cycles per px. Phases 180 degrees apart are each
    other's negative, so that the mean over phases is not moved by brightness. After Schubert et al., High-Low
    Frequency Detectors (Distill 2021).
    """

    orientations: int = 36
    ratios: Numbers = (1.0, 2.0, 4.0, 8.0)
    middle: float | int = 0.06
    phases: int = 2
    blend: float | int = 0.1
    name: ClassVar[str] = "high-low"
    coloured: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_frequencies(tuple(self.middle * math.sqrt(ratio) for ratio in self.ratios))

    @property
    def axes(self) -> tuple[Axis, ...]:
        return (
            Axis("phase", angles(self.phases), "degrees", 360),
            Axis("ratio", self.ratios, "high/low"),
            Axis("angle", angles(self.orientations), "degrees", 360),
        )

    def paint(self, canvas: Canvas, phase: Column, ratio: Column, angle: Column) -> Plane:
        u, v = canvas.turned(angle)
        share = torch.sigmoid(4 * u / max(1.0, self.blend * canvas.field))
        high, low = self.middle * torch.sqrt(ratio), self.middle / torch.sqrt(ratio)
        return share * texture(u, v, high, phase) + (1 - share) * texture(u, v, low, phase)
