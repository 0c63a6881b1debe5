"""Pictures from arrays: weights on one signed colour scale, contact sheets, heat maps, encoded files."""

from __future__ import annotations

import base64
import io
import struct
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont

from micrographia.errors import BadValue

Picture = Float[np.ndarray, "height width 3"] | UInt8[np.ndarray, "height width 3"]

Tile = Float[np.ndarray, "_ _ 3"] | UInt8[np.ndarray, "_ _ 3"]

WARM = (214, 69, 32)
COOL = (38, 120, 196)
"""The two ends of the signed scale, sRGB: vermilion excites, blue inhibits. They are told apart with any colour
vision, are equally light, and stand out from white and from near-black paper alike."""

_SCALE = np.empty((511, 4), np.uint8)
_SCALE[:255, :3], _SCALE[255:, :3], _SCALE[:, 3] = COOL, WARM, np.abs(np.arange(-255, 256))

GROUND = (251, 250, 247)
FORMATS = {"jpeg": "image/jpeg", "webp": "image/webp", "png": "image/png"}


def signed(values: Float[np.ndarray, "height width"], limit: float) -> UInt8[np.ndarray, "height width 4"]:
    """Numbers as colours: warm above zero, cool below, opacity |value| / limit, so that zero is the paper itself.

    `limit` is the value of full colour; what lies beyond it is drawn as full colour. Raises BadValue unless limit > 0.

    >>> signed(np.array([[1.0, 0.0, -0.5]]), 1.0)[0].tolist()
    [[214, 69, 32, 255], [214, 69, 32, 0], [38, 120, 196, 128]]
    """
    if not limit > 0:
        raise BadValue(f"A colour scale cannot end at {limit}. Give the largest absolute value that is drawn.")
    steps = np.rint(np.asarray(values, dtype=np.float64) * (255 / limit))
    return _SCALE[np.clip(steps, -255, 255).astype(np.int16) + 255]


def kernel_png(weights: Float[np.ndarray, "height width"], limit: float) -> bytes:
    """A kernel as a small PNG, one pixel per weight (the page enlarges it), on the signed scale with its limit.

    >>> kernel_png(np.eye(3), 1.0)[:4]
    b'\\x89PNG'
    """
    return png(signed(weights, limit))


def colour_kernel_png(weights: Float[np.ndarray, "3 height width"]) -> bytes:
    """A kernel that reads RGB pixels as the colours it looks for: grey is zero, its largest |weight| full contrast.

    >>> colour_kernel_png(np.zeros((3, 7, 7)))[:4]
    b'\\x89PNG'
    """
    weights = np.asarray(weights, dtype=np.float64)
    largest = np.abs(weights).max() or 1.0
    return png(np.rint((0.5 + 0.5 * weights / largest) * 255).astype(np.uint8).transpose(1, 2, 0))


def png(pixels: UInt8[np.ndarray, "height width channels"]) -> bytes:
    """A plain PNG of RGB or RGBA pixels (ISO/IEC 15948), for kernels many times faster than a full encoder."""
    height, width, channels = pixels.shape
    lines = np.zeros((height, 1 + width * channels), np.uint8)  # each line begins with its filter: 0, none
    lines[:, 1:] = pixels.reshape(height, -1)
    header = struct.pack(">IIBBBBB", width, height, 8, 6 if channels == 4 else 2, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(lines.tobytes(), 6)), (b"IEND", b""))
    chunks = [
        struct.pack(">I", len(data)) + tag + data + struct.pack(">I", zlib.crc32(tag + data)) for tag, data in parts
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def data_uri(data: bytes, kind: str = "png") -> str:
    """An encoded picture as an address that holds the picture itself."""
    return f"data:{FORMATS[kind]};base64,{base64.b64encode(data).decode()}"


def encode(image: Picture, kind: str = "jpeg", quality: int = 88) -> bytes:
    """A picture (floats 0..1, or uint8) as the bytes of a file; colours are kept at full resolution.

    Raises BadValue for another format.

    >>> encode(np.zeros((8, 8, 3)), "webp")[8:12]
    b'WEBP'
    """
    if kind not in FORMATS:
        raise BadValue(f"Pictures cannot be encoded as '{kind}'. The formats are {', '.join(FORMATS)}.")
    options: dict[str, Any] = {
        "jpeg": {"quality": quality, "subsampling": 0, "optimize": True},
        "webp": {"quality": quality, "method": 4},
        "png": {"optimize": True},
    }
    target = io.BytesIO()
    Image.fromarray(_bytes(image)).save(target, kind, **options[kind])
    return target.getvalue()


def strip(images: Sequence[Tile]) -> UInt8[np.ndarray, "height width 3"]:
    """Pictures of one size side by side, without gaps, as the site cuts them apart again.

    >>> strip([np.zeros((5, 5, 3)), np.ones((5, 5, 3))]).shape
    (5, 10, 3)
    """
    return np.concatenate([_bytes(image) for image in images], axis=1)


def sheet(
    images: Sequence[Tile], columns: int, labels: Sequence[str] = (), gap: int = 6
) -> UInt8[np.ndarray, "height width 3"]:
    """A contact sheet: pictures of one size in rows, each with its label below; `gap` px between them.

    Raises BadValue for no pictures, pictures of several sizes, or labels that are not one for each.

    >>> sheet([np.zeros((5, 5, 3))] * 7, columns=3, gap=2).shape
    (23, 23, 3)
    """
    pixels = [_bytes(image) for image in images]
    sizes = sorted({tile.shape[:2] for tile in pixels})
    if len(sizes) != 1:
        raise BadValue(f"A contact sheet cannot be made of {len(pixels)} pictures of sizes {sizes}. Give one size.")
    if labels and len(labels) != len(pixels):
        raise BadValue(f"There are {len(labels)} labels for {len(pixels)} pictures. Give one for each, or none.")
    (height, width), foot = sizes[0], 16 if labels else 0
    columns = min(columns, len(pixels))
    rows = -(-len(pixels) // columns)
    canvas = Image.new("RGB", (gap + columns * (width + gap), gap + rows * (height + foot + gap)), GROUND)
    pen, font = ImageDraw.Draw(canvas), ImageFont.load_default(11)
    for i, tile in enumerate(pixels):
        left = gap + i % columns * (width + gap)
        top = gap + i // columns * (height + foot + gap)
        canvas.paste(Image.fromarray(tile), (left, top))
        if labels:
            pen.text((left, top + height + 2), labels[i], (70, 67, 62), font)
    return np.asarray(canvas)


def overlay(
    image: Picture, heat: Float[np.ndarray, "rows columns"], limit: float | None = None
) -> UInt8[np.ndarray, "height width 3"]:
    """A signed map laid over a picture, which is turned grey and pale so that colour means the map alone.

    `limit` is the value of full colour (default: the map's largest absolute value). The map is enlarged bilinearly.

    >>> overlay(np.full((8, 8, 3), 0.5), np.eye(2)).shape
    (8, 8, 3)
    """
    pixels = _bytes(image)
    heat = np.asarray(heat, dtype=np.float32)
    limit = float(limit or np.abs(heat).max() or 1.0)
    large = np.asarray(Image.fromarray(heat).resize(pixels.shape[1::-1], Image.Resampling.BILINEAR), np.float64)
    grey = np.asarray(Image.fromarray(pixels).convert("L"), np.float64)[..., None] * 0.6 + 255 * 0.4
    colour = signed(large, limit).astype(np.float64)
    opacity = colour[..., 3:] / 255 * 0.85
    return np.rint(grey * (1 - opacity) + colour[..., :3] * opacity).astype(np.uint8)


def _bytes(image: Tile) -> UInt8[np.ndarray, "height width 3"]:
    image = np.asarray(image)
    if image.dtype == np.uint8:
        return image
    return np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)
