"""Pieces of photographs as probes of units: fine detail as well as coarse, painted in every colour."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from micrographia.errors import BadImages
from micrographia.images.source import ImageSource, read

CONTRAST = 0.25  # root mean square of the detail, summed over the three colours
FINEST = 0.4  # cycles a px; above it there is little but the grid of px
POWER = 0.5  # of a frequency, that an amplitude is multiplied by; 1 would make photographs white
GOLDEN = np.pi * (3 - np.sqrt(5))  # an angle whose multiples spread evenly
TRIES = 6  # places that are looked at in a picture; the one with most contrast is taken

Plane = Float[np.ndarray, "rows columns"]


def patches(
    source: ImageSource, count: int, side: int, seed: int = 0, coloured: bool = True
) -> Float[Tensor, "picture 3 side side"]:
    """Square pieces of pictures, `side` px wide, at places with contrast, about a grey of 0.5, not clipped.

    Photographs vary most where it is coarsest, and in brightness: what a unit answers to them is mostly how it weighs
    that, and says little of its details and next to nothing of its colours. So a piece's brightness is flattened,
    brought to one contrast, and painted along one direction of colour, others for each piece, spread evenly over all
    that there are; in grey alone unless `coloured`. Pieces larger than a picture go on as its mirror image. Raises
    BadImages where there are no pictures.

    >>> patches(open_images(), 7, 64).shape  # doctest: +SKIP
    torch.Size([7, 3, 64, 64])
    """
    if not len(source):
        raise BadImages(f"'{source.place}' has no pictures. Give a folder or archive that has.")
    rng = np.random.default_rng(seed)
    wanted = np.resize(rng.permutation(len(source))[:count], count)
    found = []
    for picture in read(source, np.unique(wanted)):
        grey = np.asarray(picture.image, np.float32).mean(2) / 255
        for _ in range(int((wanted == picture.index).sum())):
            found.append(max((_piece(grey, side, rng) for _ in range(TRIES)), key=_contrast))
    grey = flattened(torch.from_numpy(np.resize(np.stack(found), (count, side, side))))
    colours = directions(count, seed) if coloured else np.full((count, 3), 1 / np.sqrt(3))
    return 0.5 + CONTRAST * grey[:, None] * torch.from_numpy(colours).to(grey)[:, :, None, None]


def _piece(grey: Plane, side: int, rng: np.random.Generator) -> Float[np.ndarray, "side side"]:
    lack = [max(0, side - extent) for extent in grey.shape]
    if any(lack):
        grey = np.pad(grey, [(each // 2, each - each // 2) for each in lack], mode="symmetric")
    top, left = (int(rng.integers(0, extent - side + 1)) for extent in grey.shape)
    return grey[top : top + side, left : left + side]


def _contrast(piece: Plane) -> float:
    quarter = len(piece) // 4
    return float(piece[quarter : len(piece) - quarter, quarter : len(piece) - quarter].std())


def flattened(planes: Float[Tensor, "picture rows columns"]) -> Float[Tensor, "picture rows columns"]:
    """Planes whose amplitudes are multiplied by the root of their frequency, of mean 0 and root mean square 1.

    That is half of what whitens photographs (Olshausen and Field 1996, whose cut at high frequencies is taken too).
    Planes go on as their mirror image while it is done. One without any detail becomes 0.

    >>> flattened(torch.rand(5, 31, 31)).square().mean().round(decimals=3)
    tensor(1.)
    """
    rows, columns = planes.shape[1:]
    top, left = rows // 2, columns // 2
    wide = F.pad((planes - planes.mean((1, 2), keepdim=True))[:, None], (left, left, top, top), mode="reflect")[:, 0]
    height, width = wide.shape[1:]
    frequency = torch.hypot(torch.fft.fftfreq(height)[:, None], torch.fft.rfftfreq(width)[None]).to(planes)
    weight = frequency**POWER * torch.exp(-((frequency / FINEST) ** 4))
    flat = torch.fft.irfft2(torch.fft.rfft2(wide) * weight, s=(height, width))
    inner = flat[:, top : top + rows, left : left + columns]
    inner = inner - inner.mean((1, 2), keepdim=True)
    size = inner.square().mean((1, 2), keepdim=True).sqrt()
    return torch.where(size > 1e-6, inner / size.clamp_min(1e-6), 0)


def directions(count: int, seed: int = 0) -> Float[np.ndarray, "count 3"]:
    """Directions in the space of red, green and blue, of length 1, spread evenly over the sphere, in any order.

    >>> directions(5).shape
    (5, 3)
    """
    along = 1 - (2 * np.arange(count) + 1) / count
    around = GOLDEN * np.arange(count)
    beside = np.sqrt(1 - along**2)
    points = np.stack([along, beside * np.cos(around), beside * np.sin(around)], 1)
    third = 2 * np.pi * np.arange(3) / 3
    axes = np.stack([np.full(3, np.sqrt(1 / 3)), np.sqrt(2 / 3) * np.cos(third), np.sqrt(2 / 3) * np.sin(third)])
    return np.random.default_rng(seed).permutation(points) @ axes
