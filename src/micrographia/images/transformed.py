"""Pictures under the steps of a group: turned, mirrored, in other hues, larger and smaller, about one point."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from micrographia.errors import BadImages
from micrographia.images.hue import turn_hue
from micrographia.images.source import ImageSource, read

Pictures = Float[Tensor, "picture 3 height width"]
Number = float | int

CONTRAST = 0.25  # standard deviation of the inner part, in the colour in which it is largest
GOLDEN = np.pi * (3 - np.sqrt(5))  # an angle whose multiples spread evenly
TRIES = 6  # places that are looked at in a picture; the one with most contrast is taken


def patches(source: ImageSource, count: int, side: int, seed: int = 0) -> Pictures:
    """Square pieces of different pictures, values 0..1, at places with contrast; `side` is in px.

    All are brought to one mean and one contrast, so that none counts for much more than another. Pieces that are
    larger than a picture go on as its mirror image. Raises BadImages where the source has none.

    >>> patches(open_images(), 7, 64).shape  # doctest: +SKIP
    torch.Size([7, 3, 64, 64])
    """
    rng = np.random.default_rng(seed)
    wanted = rng.permutation(len(source))[:count]
    wanted = np.resize(wanted, count)
    found = []
    for picture in read(source, np.unique(wanted)):
        pixels = np.asarray(picture.image, np.float32).transpose(2, 0, 1) / 255
        for _ in range(int((wanted == picture.index).sum())):
            best = max((_piece(pixels, side, rng) for _ in range(TRIES)), key=_contrast)
            found.append(np.clip((best - best.mean()) * (CONTRAST / max(_contrast(best), 0.02)) + 0.5, 0, 1))
    if not found:
        raise BadImages(f"'{source.place}' has no pictures. Give a folder or archive that has.")
    return torch.from_numpy(np.resize(np.stack(found), (count, 3, side, side)))


def _piece(pixels: Float[np.ndarray, "3 rows columns"], side: int, rng: np.random.Generator) -> np.ndarray:
    lack = [max(0, side - extent) for extent in pixels.shape[1:]]
    if any(lack):
        pad = [(0, 0), *((each // 2, each - each // 2) for each in lack)]
        pixels = np.pad(pixels, pad, mode="symmetric")
    top, left = (int(rng.integers(0, extent - side + 1)) for extent in pixels.shape[1:])
    return pixels[:, top : top + side, left : left + side]


def _contrast(piece: np.ndarray) -> float:
    quarter = piece.shape[1] // 4
    inner = piece[:, quarter : piece.shape[1] - quarter, quarter : piece.shape[1] - quarter]
    return float(inner.std((1, 2)).max())


def transformed(
    pictures: Pictures, group: str, steps: int, step: Number, size: tuple[int, int], centre: tuple[Number, Number]
) -> Iterator[Float[Tensor, "picture 3 rows columns"]]:
    """Yield the pictures at each step of a group: a canvas of `size`, with their middle at `centre` (row, column) px.

    Rotation goes counterclockwise by `step` degrees, hue turns colours about the grey axis (red towards green) by as
    much, scale enlarges by 2 ** step beginning with the smallest, reflection exchanges left and right. Values are
    interpolated bilinearly, after smoothing where they shrink, and are not clipped.

    >>> [each.shape for each in transformed(torch.rand(5, 3, 31, 31), "reflection", 2, 1, (7, 7), (3, 3))]
    [torch.Size([5, 3, 7, 7]), torch.Size([5, 3, 7, 7])]
    """
    rows = torch.arange(size[0], dtype=pictures.dtype) - centre[0]
    columns = torch.arange(size[1], dtype=pictures.dtype) - centre[1]
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    for number in range(steps):
        turned, (at_y, at_x) = pictures, (y, x)
        if group == "rotation":
            angle = np.deg2rad(number * step)
            at_x, at_y = np.cos(angle) * x - np.sin(angle) * y, np.sin(angle) * x + np.cos(angle) * y
        elif group == "reflection":
            at_x = -x if number else x
        elif group == "hue":
            turned = torch.einsum("dc,pchw->pdhw", turn_hue(number * step).to(pictures), pictures)
        elif group == "scale":
            factor = 2.0 ** ((number - steps // 2) * step)
            at_y, at_x = y / factor, x / factor
            turned = _smoothed(pictures, factor)
        yield _sampled(turned, at_y, at_x)


def coloured(pictures: Pictures) -> Pictures:
    """Pictures whose detail is one of colour, on which a change of hue is seen; not clipped.

    Photographs have little colour, and hardly any in fine detail. Here the grey detail is turned into a contrast of
    two opposite colours, others for each picture, and a third of it is left as it was; the own colours are as strong.

    >>> coloured(torch.rand(5, 3, 31, 31)).shape
    torch.Size([5, 3, 31, 31])
    """
    grey = pictures.mean(1, keepdim=True)
    middle = grey.mean((2, 3), keepdim=True)
    detail = grey - middle
    colour = pictures - grey
    own = colour.square().mean((1, 2, 3), keepdim=True).sqrt()
    hues = GOLDEN * np.arange(len(pictures))[:, None] - 2 * np.pi * np.arange(3) / 3
    tint = torch.from_numpy(np.cos(hues)).to(pictures)[:, :, None, None]
    return middle + detail * (tint + 1 / 3) + colour * (detail.std((2, 3), keepdim=True) / own.clamp_min(0.01))


def _smoothed(pictures: Pictures, factor: float) -> Pictures:
    if factor >= 1:
        return pictures
    sigma = 0.5 * float(np.sqrt(factor**-2 - 1))
    reach = int(np.ceil(3 * sigma))
    taps = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, dtype=pictures.dtype) / sigma) ** 2)
    taps = (taps / taps.sum()).expand(3, 1, -1)
    wide = F.pad(pictures, (reach,) * 4, mode="replicate")
    return F.conv2d(F.conv2d(wide, taps[..., None, :], groups=3), taps[..., None], groups=3)


def _sampled(pictures: Pictures, y: Tensor, x: Tensor) -> Float[Tensor, "picture 3 rows columns"]:
    """The pictures at places that are given in px from their middle; beyond the border they are mirrored."""
    height, width = pictures.shape[2:]
    # in grid_sample's units the outermost px have their centres at -1 and 1
    grid = torch.stack([x * 2 / max(width - 1, 1), y * 2 / max(height - 1, 1)], -1)
    grid = grid.expand(len(pictures), *grid.shape)
    return F.grid_sample(pictures, grid, mode="bilinear", padding_mode="reflection", align_corners=True)
