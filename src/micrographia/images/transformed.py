"""Pictures under a group: turned, mirrored, in other hues, larger and smaller, about one point."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from micrographia.images.hue import turn_hue

Pictures = Float[Tensor, "picture 3 height width"]
Plane = Float[Tensor, "rows columns"]
Number = float | int


def moved(
    pictures: Pictures, group: str, element: Number, x: Plane, y: Plane, zoom: Number = 1
) -> Float[Tensor, "picture 3 rows columns"]:
    """The pictures under one element of a group, at places given in px to the right and upwards from their middle.

    Rotation goes counterclockwise by so many degrees, hue turns colours about the grey axis (red towards green) by as
    many, scale enlarges by so many octaves, reflection exchanges left and right at 1. `zoom` is how many px a px of
    the pictures becomes. Values are interpolated bilinearly, after smoothing where they shrink, and are not clipped;
    beyond its border a picture goes on as its mirror image.

    >>> y, x = torch.meshgrid(torch.tensor([1.0, 0, -1]), torch.tensor([-1.0, 0, 1]), indexing="ij")
    >>> moved(torch.rand(5, 3, 31, 31), "rotation", 90, x, y).shape
    torch.Size([5, 3, 3, 3])
    """
    if group == "rotation":
        angle = np.deg2rad(element)
        x, y = np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x
    elif group == "reflection":
        x = -x if element else x
    elif group == "hue":
        pictures = torch.einsum("dc,pchw->pdhw", turn_hue(element).to(pictures), pictures)
    elif group == "scale":
        zoom = zoom * 2.0**element
    return _sampled(_smoothed(pictures, zoom), x / zoom, y / zoom)


def transformed(
    pictures: Pictures, group: str, steps: int, step: Number, size: tuple[int, int], centre: tuple[Number, Number]
) -> Iterator[Float[Tensor, "picture 3 rows columns"]]:
    """Yield the pictures at each step of a group: a canvas of `size`, with their middle at `centre` (row, column) px.

    Steps are elements of `moved`, from 0 on; of scale, the middle one is 0 and the smallest comes first.

    >>> [each.shape for each in transformed(torch.rand(5, 3, 31, 31), "reflection", 2, 1, (7, 7), (3, 3))]
    [torch.Size([5, 3, 7, 7]), torch.Size([5, 3, 7, 7])]
    """
    up = centre[0] - torch.arange(size[0], dtype=pictures.dtype)
    right = torch.arange(size[1], dtype=pictures.dtype) - centre[1]
    y, x = torch.meshgrid(up, right, indexing="ij")
    first = steps // 2 if group == "scale" else 0
    for number in range(steps):
        yield moved(pictures, group, (number - first) * step, x, y)


def _smoothed(pictures: Pictures, zoom: Number) -> Pictures:
    if zoom >= 1:
        return pictures
    sigma = 0.5 * float(np.sqrt(zoom**-2 - 1))
    reach = int(np.ceil(3 * sigma))
    taps = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, dtype=pictures.dtype) / sigma) ** 2)
    taps = (taps / taps.sum()).expand(3, 1, -1)
    wide = F.pad(pictures, (reach,) * 4, mode="replicate")
    return F.conv2d(F.conv2d(wide, taps[..., None, :], groups=3), taps[..., None], groups=3)


def _sampled(pictures: Pictures, x: Plane, y: Plane) -> Float[Tensor, "picture 3 rows columns"]:
    height, width = pictures.shape[2:]
    # in grid_sample's units the outermost px have their centres at -1 and 1
    grid = torch.stack([x * 2 / max(width - 1, 1), -y * 2 / max(height - 1, 1)], -1)
    grid = grid.expand(len(pictures), *grid.shape)
    return F.grid_sample(pictures, grid, mode="bilinear", padding_mode="reflection", align_corners=True)
