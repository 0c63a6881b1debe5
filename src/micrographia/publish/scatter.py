"""Units as small pictures at points of a plane, in panels side by side, as one picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont

from micrographia.errors import BadValue
from micrographia.publish.draw import GROUND, Tile

_WIDTH, _HEIGHT, _LEFT, _TOP, _EDGE = 760, 760, 60, 84, 20
_INK, _FAINT = (70, 67, 62), (206, 202, 194)
# told apart with any colour vision (Okabe and Ito), one frame for each cluster
_FRAMES = (
    (213, 94, 0), (0, 114, 178), (0, 158, 115), (204, 121, 167), (230, 159, 0), (86, 180, 233), (90, 80, 60),
    (160, 30, 60),
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Scatter:
    """One panel: a tile for each point (across, up), the names of the axes, and, if known, each point's cluster."""

    title: str
    across: str
    up: str
    points: Float[np.ndarray, "point 2"]
    tiles: Sequence[Tile]
    clusters: Sequence[int] = ()


def kernel_tile(weights: Float[np.ndarray, "3 height width"]) -> UInt8[np.ndarray, "height width 3"]:
    """A kernel that reads RGB as the colours it looks for: grey is zero, its largest |weight| full contrast.

    >>> kernel_tile(np.zeros((3, 7, 7)))[0, 0].tolist()
    [128, 128, 128]
    """
    largest = float(np.abs(weights).max()) or 1.0
    return np.rint((0.5 + 0.5 * weights.astype(np.float64) / largest) * 255).astype(np.uint8).transpose(1, 2, 0)


def scatter(panels: Sequence[Scatter], caption: Sequence[str] = ()) -> UInt8[np.ndarray, "height width 3"]:
    """The panels side by side, with lines of text below. Points of a cluster share the colour of their frame.

    Raises BadValue without panels, and where tiles or clusters are not one for each point.

    >>> plane = Scatter("left", "vector 1", "vector 0", np.eye(2), [np.zeros((7, 7, 3))] * 2)
    >>> scatter([plane, plane], ["two units"]).shape
    (802, 1520, 3)
    """
    if not panels:
        raise BadValue("There is nothing to draw. Give at least one panel.")
    foot = 24 * len(caption) + 18 if caption else 0
    canvas = Image.new("RGB", (_WIDTH * len(panels), _HEIGHT + foot), GROUND)
    for place, panel in enumerate(panels):
        canvas.paste(_panel(panel), (place * _WIDTH, 0))
    pen, font = ImageDraw.Draw(canvas), ImageFont.load_default(16)
    for line, text in enumerate(caption):
        pen.text((_LEFT - 20, _HEIGHT + 6 + 24 * line), text, _INK, font)
    return np.asarray(canvas)


def _panel(panel: Scatter) -> Image.Image:
    count = len(panel.points)
    if len(panel.tiles) != count or (panel.clusters and len(panel.clusters) != count):
        raise BadValue(
            f"'{panel.title}' has {count} points, {len(panel.tiles)} tiles and {len(panel.clusters)} clusters. "
            "Give one tile, and one cluster or none at all, for each point."
        )
    image = Image.new("RGB", (_WIDTH, _HEIGHT), GROUND)
    pen = ImageDraw.Draw(image)
    across, up = _WIDTH - _LEFT - _EDGE, _HEIGHT - _TOP - _EDGE
    size = int(np.clip(np.sqrt(0.3 * across * up / max(count, 1)), 16, 40))
    low, high = (panel.points.min(0), panel.points.max(0)) if count else (np.zeros(2), np.ones(2))
    span = np.where(high > low, high - low, 1.0)
    room = np.array([across, up]) - size - 8

    def pixel(point: Float[np.ndarray, " 2"]) -> tuple[int, int]:
        """The middle of a point's tile: up is up."""
        share = np.where(high > low, (point - low) / span, 0.5) * room + size / 2 + 4
        return round(float(_LEFT + share[0])), round(float(_TOP + up - share[1]))

    zero = pixel(np.zeros(2))
    if low[0] < 0 < high[0]:
        pen.line([(zero[0], _TOP), (zero[0], _TOP + up)], _FAINT)
    if low[1] < 0 < high[1]:
        pen.line([(_LEFT, zero[1]), (_LEFT + across, zero[1])], _FAINT)
    _axes(image, panel, low, high)
    frames = [_FRAMES[each % len(_FRAMES)] for each in panel.clusters]
    for point, tile, frame in zip(panel.points, panel.tiles, frames or [_INK] * count, strict=True):
        x, y = pixel(point)
        box = (x - size // 2, y - size // 2, x - size // 2 + size - 1, y - size // 2 + size - 1)
        image.paste(Image.fromarray(_bytes(tile)).resize((size, size), Image.Resampling.BICUBIC), box[:2])
        pen.rectangle(box, outline=frame, width=3 if frames else 1)
    return image


def _axes(image: Image.Image, panel: Scatter, low: Float[np.ndarray, " 2"], high: Float[np.ndarray, " 2"]) -> None:
    pen = ImageDraw.Draw(image)
    large, small = ImageFont.load_default(19), ImageFont.load_default(15)
    pen.text((_LEFT, 12), panel.title, _INK, large)
    _ruler(pen, panel.across, low[0], high[0], _LEFT, _WIDTH - _EDGE, 60, small)
    # the vertical one is drawn lying and turned
    length = _HEIGHT - _TOP - _EDGE
    lying = Image.new("RGB", (length, 40), GROUND)
    _ruler(ImageDraw.Draw(lying), panel.up, low[1], high[1], 0, length, 22, small)
    image.paste(lying.rotate(90, expand=True), (10, _TOP))


def _ruler(
    pen: ImageDraw.ImageDraw, name: str, low: float, high: float, start: int, stop: int, y: int,
    font: ImageFont.ImageFont | ImageFont.FreeTypeFont,
) -> None:  # fmt: skip
    """An axis: its line, its name in the middle, and the values of the outermost points at its ends."""
    pen.line([(start, y), (stop, y)], _FAINT, 1)
    for x, text, anchor in ((start, f"{low:.2g}", "lm"), ((start + stop) / 2, name, "mm"), (stop, f"{high:.2g}", "rm")):
        box = pen.textbbox((x, y), text, font, anchor)
        pen.rectangle((box[0] - 6, box[1] - 2, box[2] + 6, box[3] + 2), fill=GROUND)
        pen.text((x, y), text, _INK, font, anchor)


def _bytes(tile: Tile) -> UInt8[np.ndarray, "height width 3"]:
    tile = np.asarray(tile)
    return tile if tile.dtype == np.uint8 else np.rint(np.clip(tile, 0, 1) * 255).astype(np.uint8)
