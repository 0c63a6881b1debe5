"""decode(data): any picture file as upright 8-bit RGB."""

from __future__ import annotations

import io
import threading
import warnings

import numpy as np
from PIL import Image

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM")  # no format that would start another program
BACKGROUND = (128, 128, 128)  # seen through transparency: mid-grey excites a network less than black or white

_TURNS = dict(enumerate([Image.Transpose(turn) for turn in (0, 3, 1, 5, 4, 6, 2)], 2))  # by EXIF orientation
_QUIET = threading.Lock()


def decode(data: bytes) -> Image.Image:
    """The picture in these bytes as upright 8-bit RGB; raises whatever its decoder raises where it is damaged.

    Transparency is laid on mid-grey (128). Of grey values deeper than 8 bits the file's white becomes 255: 65535 for 16
    bits, 4095 for 12; of floating point 1, 255 or 65535, the first that holds them all; other values are stretched from
    the lowest to the highest. CMYK is converted without a colour profile. Pillow's limit on the number of pixels holds.
    """
    with _QUIET, warnings.catch_warnings():  # the filters belong to the whole process: one thread at a time
        warnings.simplefilter("ignore")
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            image.load()
            try:
                turn = _TURNS.get(image.getexif().get(0x0112, 1))
            except Exception:  # damaged metadata is no reason to lose the picture
                turn = None
            upright = rgb(image)
    return upright if turn is None else upright.transpose(turn)


def rgb(image: Image.Image) -> Image.Image:
    """A picture of any mode as 8-bit RGB, transparency laid on mid-grey."""
    if image.mode.startswith("I") or image.mode == "F":
        return _eight_bits(image).convert("RGB")
    if image.has_transparency_data:
        backed = Image.new("RGBA", image.size, (*BACKGROUND, 255))
        return Image.alpha_composite(backed, image.convert("RGBA")).convert("RGB")
    return image.convert("RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    values = np.asarray(image).astype(np.float32)
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    bits = getattr(image, "tag_v2", {}).get(258, (16,))[0]  # BitsPerSample of a TIFF
    whites = (1, 255, 65535) if image.mode == "F" else (2**bits - 1 if 8 < bits < 16 else 65535,)
    white = next((white for white in whites if low >= 0 and high <= white), None)
    black, reach = (0.0, float(white)) if white else (low, max(high - low, 1e-30))
    grey = np.nan_to_num((values - black) / reach, nan=0.0, posinf=1.0, neginf=0.0)
    return Image.fromarray((grey * 255 + 0.5).astype(np.uint8))
