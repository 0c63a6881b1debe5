"""A film of vectors in three dimensions while they are learned, as an animated WebP or GIF."""

from __future__ import annotations

import io

import numpy as np
from jaxtyping import Float, Int
from PIL import Image, ImageDraw, ImageFont

from micrographia.errors import BadValue
from micrographia.publish.draw import GROUND

_SIZE, _FOOT, _FINE = 360, 110, 2
_INK, _SOFT, _LINE = (29, 28, 26), (102, 98, 90), (226, 222, 212)
_SETS = ((31, 100, 88), (214, 69, 32), (38, 120, 196), (184, 134, 11))


def film(
    frames: Float[np.ndarray, "frame 3 feature"],
    loss: Float[np.ndarray, " frame"],
    steps: Int[np.ndarray, " frame"],
    sets: tuple[tuple[int, ...], ...],
    kind: str = "webp",
    turn: float = 0.6,
) -> bytes:
    """The vectors turning slowly (`turn` of a whole turn in all), coloured by set, above the loss and where it is.

    Thin lines join features that are neither parallel nor opposite: an octahedron shows its twelve edges.
    Raises BadValue for another kind than webp or gif.
    """
    if kind not in ("webp", "gif"):
        raise BadValue(f"A film cannot be written as '{kind}'. Choose webp or gif.")
    pictures = [
        _frame(each, loss, steps, at, sets, 2 * np.pi * turn * at / max(1, len(frames) - 1) + 0.5)
        for at, each in enumerate(frames)
    ]
    pace = [70] * (len(pictures) - 1) + [1800]
    out = io.BytesIO()
    extra = {"quality": 80, "method": 2} if kind == "webp" else {"disposal": 2}
    pictures[0].save(out, kind, save_all=True, append_images=pictures[1:], duration=pace, loop=0, **extra)
    return out.getvalue()


def strip(
    frames: Float[np.ndarray, "frame 3 feature"],
    loss: Float[np.ndarray, " frame"],
    steps: Int[np.ndarray, " frame"],
    sets: tuple[tuple[int, ...], ...],
    count: int = 5,
) -> bytes:
    """A few frames side by side, evenly through the fall of the loss, as PNG."""
    gone = np.log(loss[0] / loss) / np.log(loss[0] / loss.min())
    at = [int(np.argmax(gone >= share)) for share in np.linspace(0, 0.995, count)]
    tiles = [_frame(frames[each], loss, steps, each, sets, 0.8) for each in at]
    sheet = Image.new("RGB", (_SIZE * count, _SIZE + _FOOT), GROUND)
    for column, tile in enumerate(tiles):
        sheet.paste(tile, (column * _SIZE, 0))
    out = io.BytesIO()
    sheet.save(out, "png", optimize=True)
    return out.getvalue()


def _frame(
    weights: Float[np.ndarray, "3 feature"],
    loss: Float[np.ndarray, " frame"],
    steps: Int[np.ndarray, " frame"],
    at: int,
    sets: tuple[tuple[int, ...], ...],
    angle: float,
) -> Image.Image:
    image = Image.new("RGB", (_SIZE * _FINE, (_SIZE + _FOOT) * _FINE), GROUND)
    pen = ImageDraw.Draw(image)
    _vectors(pen, weights, sets, angle)
    _curve(pen, loss, at)
    image = image.resize((_SIZE, _SIZE + _FOOT), Image.Resampling.LANCZOS)
    ImageDraw.Draw(image).text((14, _SIZE + _FOOT - 22), f"step {steps[at]}", _SOFT, ImageFont.load_default(12))
    return image


def _vectors(
    pen: ImageDraw.ImageDraw, weights: Float[np.ndarray, "3 feature"], sets: tuple[tuple[int, ...], ...], angle: float
) -> None:
    c, s, tilt = np.cos(angle), np.sin(angle), 0.42
    turned = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]) @ weights
    lean = np.array([[1, 0, 0], [0, np.cos(tilt), -np.sin(tilt)], [0, np.sin(tilt), np.cos(tilt)]])
    x, y, depth = lean @ turned
    scale, middle = 0.36 * _SIZE * _FINE, _SIZE * _FINE / 2
    spots = [(middle + scale * a, middle - scale * b) for a, b in zip(x, y, strict=True)]
    length = np.maximum(np.linalg.norm(weights, axis=0), 1e-6)
    cosine = (weights / length).T @ (weights / length)
    for i in range(len(spots)):
        for j in range(i):
            if abs(cosine[i, j]) < 0.5 and min(length[i], length[j]) > 0.3:
                pen.line([spots[i], spots[j]], fill=_LINE, width=2 * _FINE)
    colour = {i: _SETS[number % len(_SETS)] for number, each in enumerate(sets) for i in each}
    for i in np.argsort(depth):
        near = (depth[i] + 1.3) / 2.6
        radius = (4 + 4 * near) * _FINE
        pen.line([(middle, middle), spots[i]], fill=colour.get(int(i), _INK), width=int((2 + 2 * near) * _FINE))
        a, b = spots[i]
        pen.ellipse([a - radius, b - radius, a + radius, b + radius], fill=colour.get(int(i), _INK))


def _curve(pen: ImageDraw.ImageDraw, loss: Float[np.ndarray, " frame"], at: int) -> None:
    logs = np.log(loss)
    high = (logs - logs.min()) / max(float(np.ptp(logs)), 1e-9)
    left, right = 14 * _FINE, (_SIZE - 14) * _FINE
    top, bottom = (_SIZE + 8) * _FINE, (_SIZE + _FOOT - 32) * _FINE
    xs = np.linspace(left, right, len(loss))
    points = [(float(a), float(bottom - (bottom - top) * b)) for a, b in zip(xs, high, strict=True)]
    pen.line(points, fill=_SOFT, width=2 * _FINE, joint="curve")
    a, b = points[at]
    pen.ellipse([a - 5 * _FINE, b - 5 * _FINE, a + 5 * _FINE, b + 5 * _FINE], fill=_INK)
