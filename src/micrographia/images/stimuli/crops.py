"""Natural crops moved by known amounts: turned, hue-shifted, mirrored and enlarged copies of given pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from micrographia.errors import BadValue
from micrographia.images.hue import turn_hue
from micrographia.images.stimuli.frame import Axis, Canvas, Column, Numbers, angles

MOVES = {
    "turned": ("angle", "degrees", 360.0),
    "hue-shifted": ("hue", "degrees", 360.0),
    "mirrored": ("mirror", "0 no, 1 yes", 2.0),
    "enlarged": ("scale", "times", None),
}
"""What can be done to a crop, with the axis that says how much, its unit and its period."""

_DEFAULT = {
    "turned": angles(36), "hue-shifted": angles(12), "mirrored": (0.0, 1.0), "enlarged": (1.0, 1.26, 1.59, 2.0),
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Crops:
    """Square pictures, values 0..1, each shown moved by every amount; the disc of the field is the crop's own disc.

    `move` is one of MOVES: an angle turns a crop counter-clockwise, a hue turns its colours about the grey axis, a
    mirror exchanges left and right, a scale enlarges it. Enlargement shows less of the crop; where it is made smaller,
    what lies beyond it is grey. Raises BadValue for no crops, other shapes and other moves.
    """

    pictures: Float[Tensor, "crop 3 side side"]
    move: str = "turned"
    amounts: Numbers = ()
    coloured: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.move not in MOVES:
            raise BadValue(f"Crops cannot be '{self.move}'. They can be {', '.join(MOVES)}.")
        if self.pictures.ndim != 4 or not len(self.pictures):
            raise BadValue(f"Crops of the shape {tuple(self.pictures.shape)} cannot be moved. Give crop x 3 x n x n.")

    @property
    def name(self) -> str:
        return f"crops-{self.move}"

    @property
    def axes(self) -> tuple[Axis, ...]:
        kind, unit, period = MOVES[self.move]
        crops = Axis("crop", tuple(map(float, range(len(self.pictures)))), "number")
        return crops, Axis(kind, self.amounts or _DEFAULT[self.move], unit, period)

    def paint(self, canvas: Canvas, crop: Column, amount: Column) -> Float[Tensor, "stimulus 3 height width"]:
        drawn = []
        for number, much in zip(crop.flatten().tolist(), amount.flatten().tolist(), strict=True):
            picture = self.pictures[int(number)].to(canvas.x)
            scale = much if self.move == "enlarged" else 1.0
            at = torch.full((1, 1, 1), much if self.move == "turned" else 0.0, dtype=canvas.x.dtype)
            u, v = canvas.turned(at)
            if self.move == "mirrored" and much:
                u = -u
            if self.move == "hue-shifted":
                picture = torch.einsum("ij,jhw->ihw", turn_hue(much).to(picture), picture)
            drawn.append(_shown(picture, u, v, canvas.field * scale))
        return torch.cat(drawn)


def _shown(
    picture: Float[Tensor, "3 side side"],
    u: Float[Tensor, "1 height width"],
    v: Float[Tensor, "1 height width"],
    side: float,
) -> Float[Tensor, "1 3 height width"]:
    """The picture about grey, `side` px wide, at coordinates to its right and upwards from its centre."""
    wide = max(round(side), 1)
    if wide < picture.shape[1]:  # averaged, where px of the crop fall together
        picture = F.interpolate(picture[None], (wide, wide), mode="bilinear", antialias=True, align_corners=False)[0]
    at = torch.stack((u, -v), -1) * (2 / side)
    return F.grid_sample(2 * picture[None] - 1, at, mode="bilinear", padding_mode="zeros", align_corners=False)
