"""Natural crops moved by known amounts: copies of given pictures under the elements of a group."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from micrographia.errors import BadValue
from micrographia.images.stimuli.frame import Axis, Canvas, Column, Numbers, angles
from micrographia.images.transformed import moved

MOVES: dict[str, tuple[Axis, Numbers]] = {
    "rotation": (Axis("angle", (), "degrees", 360.0), angles(36)),
    "hue": (Axis("hue", (), "degrees", 360.0), angles(12)),
    "reflection": (Axis("mirror", (), "0 no, 1 yes", 2.0), (0.0, 1.0)),
    "scale": (Axis("scale", (), "octaves"), (0.0, 1 / 3, 2 / 3, 1.0)),
}
"""The groups that can move a crop, each with the axis that says how much, and its usual values."""


@dataclass(frozen=True, eq=False)
class Crops:
    """Square pictures, values 0..1, each shown moved by every element of a group (see `images.transformed.moved`).

    The disc of the field is the crop's own disc. Raises BadValue for no crops, other shapes and other groups.
    """

    pictures: Float[Tensor, "crop 3 side side"]
    group: str = "rotation"
    elements: Numbers = ()
    coloured: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.group not in MOVES:
            raise BadValue(f"Crops cannot be moved by '{self.group}'. Choose {', '.join(MOVES)}.")
        if self.pictures.ndim != 4 or not len(self.pictures):
            raise BadValue(f"Crops of the shape {tuple(self.pictures.shape)} cannot be moved. Give crop x 3 x n x n.")

    @property
    def name(self) -> str:
        return f"crops-{self.group}"

    @property
    def axes(self) -> tuple[Axis, ...]:
        own, usual = MOVES[self.group]
        crops = Axis("crop", tuple(map(float, range(len(self.pictures)))), "number")
        return crops, Axis(own.name, self.elements or usual, own.unit, own.period)

    def paint(self, canvas: Canvas, crop: Column, element: Column) -> Float[Tensor, "stimulus 3 height width"]:
        pictures = 2 * self.pictures.to(canvas.x) - 1
        zoom = canvas.field / pictures.shape[-1]
        each = zip(crop.flatten().tolist(), element.flatten().tolist(), strict=True)
        drawn = [
            moved(pictures[int(number)][None], self.group, much, canvas.x, canvas.y, zoom) for number, much in each
        ]
        return torch.cat(drawn)
