"""Colours at one brightness: edges between opponents, spots, even tints, and textures with a tint laid over them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from micrographia.images.stimuli.frame import Axis, Canvas, Column, Numbers, angles, side
from micrographia.images.stimuli.waves import check_frequencies, texture

Colours = Float[Tensor, "stimulus 3 height width"]


def colour(hue: Column) -> Float[Tensor, "stimulus 3 1 1"]:
    """The colour of a hue as red, green and blue about grey: on a circle about the grey axis, so that R + G + B is 0.

    >>> colour(torch.tensor([[[0.0]], [[180.0]]]))[:, :, 0, 0].round(decimals=3).tolist()
    [[1.0, -0.5, -0.5], [-1.0, 0.5, 0.5]]
    """
    channels = torch.tensor([0.0, 120.0, 240.0], dtype=hue.dtype, device=hue.device)[:, None, None]
    return torch.cos(torch.deg2rad(hue[:, None] - channels))


def _hues(number: int) -> Axis:
    return Axis("hue", angles(number), "degrees", 360)


@dataclass(frozen=True)
class ColourEdges:
    """An edge between a hue, on the side of the angle, and its opponent; `offset` shifts it along the angle."""

    offsets: Numbers = (-0.15, 0.15)
    hues: int = 8
    orientations: int = 16
    name: ClassVar[str] = "colour-edges"
    coloured: ClassVar[bool] = True

    @property
    def axes(self) -> tuple[Axis, ...]:
        return (
            Axis("offset", self.offsets, "fields", pooled="max"),
            Axis("hue", angles(self.hues), "degrees", 360, "best"),
            Axis("angle", angles(self.orientations), "degrees", 360),
        )

    def paint(self, canvas: Canvas, offset: Column, hue: Column, angle: Column) -> Colours:
        u, _ = canvas.turned(angle)
        return side(u - offset * canvas.field)[:, None] * colour(hue)


@dataclass(frozen=True)
class ColourSpots:
    """A disc of a hue in a surround of its opponent; `radius` is the disc's, as a share of the field's."""

    radii: Numbers = (0.2, 0.35, 0.5, 0.65, 0.8)
    hues: int = 12
    name: ClassVar[str] = "colour-spots"
    coloured: ClassVar[bool] = True

    @property
    def axes(self) -> tuple[Axis, ...]:
        return (Axis("radius", self.radii, "field radii"), _hues(self.hues))

    def paint(self, canvas: Canvas, radius: Column, hue: Column) -> Colours:
        return side(radius * canvas.field / 2 - torch.hypot(canvas.x, canvas.y))[:, None] * colour(hue)


@dataclass(frozen=True)
class Tints:
    """One hue all over the field, at several strengths."""

    strengths: Numbers = (0.25, 0.5, 0.75, 1.0)
    hues: int = 12
    name: ClassVar[str] = "tints"
    coloured: ClassVar[bool] = True

    @property
    def axes(self) -> tuple[Axis, ...]:
        return (Axis("strength", self.strengths, "saturation"), _hues(self.hues))

    def paint(self, canvas: Canvas, strength: Column, hue: Column) -> Colours:
        return (strength[:, None] * colour(hue)).expand(-1, -1, *canvas.x.shape)


@dataclass(frozen=True)
class TintedTextures:
    """A black-and-white texture with a tint laid over it; strength 0 is the texture without colour, for every hue."""

    frequency: Numbers = (0.05, 0.1, 0.2)
    strengths: Numbers = (0.0, 0.5, 1.0)
    hues: int = 12
    name: ClassVar[str] = "tinted-textures"
    coloured: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_frequencies(self.frequency)

    @property
    def axes(self) -> tuple[Axis, ...]:
        return (
            Axis("frequency", self.frequency, "cycles/px"),
            Axis("strength", self.strengths, "saturation"),
            _hues(self.hues),
        )

    def paint(self, canvas: Canvas, frequency: Column, strength: Column, hue: Column) -> Colours:
        grey = torch.zeros_like(frequency)
        waves = texture(*canvas.turned(grey + 45), frequency, grey)
        return 0.5 * waves[:, None] + 0.5 * strength[:, None] * colour(hue)
