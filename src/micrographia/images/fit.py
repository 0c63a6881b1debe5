"""fit(image, short, size): a picture brought to a network's size, and boxes brought back to the picture."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from micrographia.errors import BadValue
from micrographia.images.decode import rgb

WHOLE = 1 << 24  # px of a resized picture; larger ones are made only where the crop needs them
INTERPOLATIONS = ("nearest", "box", "bilinear", "bicubic", "lanczos")

Number = int | float
Box = tuple[Number, Number, Number, Number]  # left, top, right, bottom px from the top left corner of the picture


def fit(
    image: Image.Image, short: int, size: tuple[int, int], interpolation: str = "bilinear"
) -> UInt8[np.ndarray, "3 height width"]:
    """Bring the short side down to `short` px, antialiased, then crop `size` = (height, width) px at the centre.

    A smaller picture is taken as it is, since what is enlarged only gets softer; where the crop would reach beyond it,
    it is enlarged just enough to cover the crop: there is never padding. Sides are rounded as in torchvision's Resize
    and CenterCrop, with which published accuracies are measured. Raises BadValue.

    >>> fit(Image.new("RGB", (640, 480)), 256, (224, 224)).shape
    (3, 224, 224)
    """
    if interpolation not in INTERPOLATIONS:
        raise BadValue(f"There is no interpolation '{interpolation}'. Known: {', '.join(INTERPOLATIONS)}.")
    (width, height), left, top = _frame(image.size, short, size)
    image, method = rgb(image), Image.Resampling[interpolation.upper()]
    if width * height <= max(WHOLE, image.width * image.height):
        cropped = image.resize((width, height), method).crop((left, top, left + size[1], top + size[0]))
    else:  # a very long strip would take gigabytes
        box = original_box((0, 0, size[1], size[0]), image.size, short, size)
        left, top, right, bottom = np.clip(box, 0, image.size * 2).tolist()
        cropped = image.resize((size[1], size[0]), method, box=(left, top, right, bottom))
    return np.ascontiguousarray(np.asarray(cropped).transpose(2, 0, 1))


def original_box(box: Box, picture: tuple[int, int], short: int, size: tuple[int, int]) -> Box:
    """Where a box of the cropped frame lies in the original picture of (width, height) px: the inverse of `fit`.

    A box that reaches beyond the frame, as receptive fields may, can reach beyond the picture; it is not clipped.

    >>> original_box((0, 0, 224, 224), (1024, 512), 256, (224, 224))
    (288.0, 32.0, 736.0, 480.0)
    """
    (width, height), left, top = _frame(picture, short, size)
    across, down = picture[0] / width, picture[1] / height
    return ((box[0] + left) * across, (box[1] + top) * down, (box[2] + left) * across, (box[3] + top) * down)


def _frame(picture: tuple[int, int], short: int, size: tuple[int, int]) -> tuple[tuple[int, int], int, int]:
    """(width, height) px of the resized picture, and the left and top px of the crop in it."""
    if min(short, *size) < 1:
        raise BadValue(f"A short side of {short} px and a crop of {size} px cannot be made. Give 1 px or more each.")
    down = min(Fraction(short, min(picture)), Fraction(1))
    scale = max(down, Fraction(size[1], picture[0]), Fraction(size[0], picture[1]))
    width, height = int(picture[0] * scale), int(picture[1] * scale)
    return (width, height), round((width - size[1]) / 2), round((height - size[0]) / 2)
