"""Any picture file becomes upright 8-bit RGB."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from tests.images.drawn import array, encoded, smooth


@pytest.mark.parametrize(
    ("kind", "options", "allowed"),
    [
        ("JPEG", {"quality": 95}, 12),
        ("PNG", {}, 0),
        ("WEBP", {"lossless": True}, 0),
        ("WEBP", {"quality": 95}, 12),
        ("BMP", {}, 0),
        ("TIFF", {}, 0),
        ("TIFF", {"compression": "tiff_lzw"}, 0),
        ("PPM", {}, 0),
    ],
)
def test_formats(kind: str, options: dict[str, object], allowed: int) -> None:
    image = smooth(61, 53)
    difference = array(encoded(image, kind, **options)).astype(int) - np.asarray(image)
    assert np.abs(difference).max() <= allowed


def test_the_first_picture_of_an_animation_is_taken() -> None:
    first, second = Image.new("RGB", (7, 5), (255, 0, 0)), Image.new("RGB", (7, 5), (0, 0, 255))
    for kind in ("GIF", "WEBP", "TIFF", "PNG"):
        options = {"lossless": True} if kind == "WEBP" else {}
        data = encoded(first, kind, save_all=True, append_images=[second], **options)
        assert (array(data) == (255, 0, 0)).all(), kind


@pytest.mark.parametrize("mode", ["1", "L", "P"])
def test_grey_and_palette(mode: str) -> None:
    image = smooth(61, 53).convert(mode)
    assert np.array_equal(array(encoded(image, "PNG")), np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "big-endian TIFF", "PGM"])
def test_sixteen_bits_are_scaled_not_clipped(kind: str) -> None:
    values = np.arange(0, 65536, 17, dtype=np.uint16).reshape(16, 241)[:, ::-1].copy()
    if kind == "PGM":
        data = b"P5 241 16 65535 " + values.astype(">u2").tobytes()
    elif kind == "big-endian TIFF":
        stream = io.BytesIO()
        Image.frombytes("I;16B", (241, 16), values.astype(">u2").tobytes()).save(stream, "TIFF")
        data = stream.getvalue()
    else:
        data = encoded(Image.fromarray(values), kind)
    slow = [int(Fraction(int(value) * 255, 65535) + Fraction(1, 2)) for value in values.ravel()]
    assert np.array_equal(array(data), np.repeat(np.array(slow, np.uint8).reshape(16, 241, 1), 3, 2))


def test_twelve_bits_are_scaled_by_their_own_white() -> None:
    values = [0, 1, 2047, 2048, 4094, 4095]
    packed = bytes(
        byte
        for a, b in zip(values[::2], values[1::2], strict=True)
        for byte in (a >> 4, (a & 15) << 4 | b >> 8, b & 255)
    )
    tags = {256: len(values), 257: 1, 258: 12, 259: 1, 262: 1, 273: 8, 277: 1, 278: 1, 279: len(packed)}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    head = b"II*\0" + struct.pack("<I", 8 + len(packed))
    data = head + packed + struct.pack("<H", len(tags)) + entries + bytes(4)
    assert array(data)[0, :, 0].tolist() == [round(value * 255 / 4095) for value in values]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.0, 0.25, 1.0], [0, 64, 255]),
        ([0.0, 51.0, 255.0], [0, 51, 255]),
        ([0.0, 257.0, 65535.0], [0, 1, 255]),
        ([-1.0, 0.0, 1.0], [0, 128, 255]),
        ([float("nan"), 0.5, float("inf")], [0, 128, 255]),
        ([7.0, 7.0, 1e6], [0, 0, 255]),
    ],
)
def test_floating_point_grey(values: list[float], expected: list[int]) -> None:
    data = encoded(Image.fromarray(np.array([values], np.float32)), "TIFF")
    assert array(data)[0, :, 0].tolist() == expected


def test_signed_grey_is_stretched() -> None:
    data = encoded(Image.fromarray(np.array([[-100, 0, 100]], np.int32)), "TIFF")
    assert array(data)[0, :, 0].tolist() == [0, 128, 255]


def test_cmyk() -> None:
    inks = np.zeros((16, 48, 4), np.uint8)
    for number in range(3):
        inks[:, 16 * number : 16 * number + 16, number] = 255  # cyan, magenta, yellow
    expected = [(0, 255, 255), (255, 0, 255), (255, 255, 0)]
    for kind in ("JPEG", "TIFF"):
        found = array(encoded(Image.frombytes("CMYK", (48, 16), inks.tobytes()), kind))
        assert np.abs(found[8, 8::16].astype(int) - expected).max() <= 3, kind


def on_grey(colour: int, alpha: int) -> float:
    return (colour * alpha + 128 * (255 - alpha)) / 255


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_transparency_lies_on_mid_grey(kind: str) -> None:
    alphas = np.array([0, 51, 128, 204, 255], np.uint8)
    pixels = np.zeros((1, 5, 4), np.uint8)
    pixels[..., :3], pixels[..., 3] = (250, 100, 0), alphas
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    found = array(encoded(Image.fromarray(pixels), kind, **options))
    expected = [[on_grey(colour, int(alpha)) for colour in (250, 100, 0)] for alpha in alphas]
    assert np.abs(found[0] - np.array(expected)).max() <= 1


def test_transparency_of_other_modes_lies_on_mid_grey() -> None:
    grey = Image.frombytes("LA", (3, 1), bytes([200, 0, 200, 51, 200, 255]))
    assert np.abs(array(encoded(grey, "PNG"))[0, :, 0] - [128, on_grey(200, 51), 200]).max() <= 1
    palette = Image.frombytes("P", (3, 1), bytes([0, 1, 2]))
    palette.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    for kind in ("PNG", "GIF"):
        found = array(encoded(palette, kind, transparency=1))
        assert found[0].tolist() == [[255, 0, 0], [128, 128, 128], [0, 0, 255]], kind
    found = array(encoded(palette, "PNG", transparency=bytes([255, 0, 51])))
    assert np.abs(found[0, 2] - [on_grey(c, 51) for c in (0, 0, 255)]).max() <= 1
    assert (found[0, 1] == 128).all()
    keyed = Image.frombytes("RGB", (2, 1), bytes([9, 8, 7, 1, 2, 3]))
    assert array(encoded(keyed, "PNG", transparency=(9, 8, 7)))[0].tolist() == [[128, 128, 128], [1, 2, 3]]


STORED: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda upright: upright,
    2: lambda upright: upright[:, ::-1],
    3: lambda upright: upright[::-1, ::-1],
    4: lambda upright: upright[::-1],
    5: lambda upright: upright.swapaxes(0, 1),
    6: lambda upright: upright.swapaxes(0, 1)[::-1],
    7: lambda upright: upright.swapaxes(0, 1)[::-1, ::-1],
    8: lambda upright: upright.swapaxes(0, 1)[:, ::-1],
}
"""How a camera stores an upright picture under each orientation of the EXIF standard."""


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP", "JPEG"])
def test_pictures_are_turned_upright(kind: str, orientation: int) -> None:
    upright = np.asarray(smooth(61, 53))
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if kind == "WEBP" else {"quality": 100, "subsampling": 0} if kind == "JPEG" else {}
    stored = Image.fromarray(np.ascontiguousarray(STORED[orientation](upright)))
    found = array(encoded(stored, kind, exif=exif, **options))
    assert found.shape == upright.shape
    assert np.abs(found.astype(int) - upright).max() <= (6 if kind == "JPEG" else 0)


def test_sixteen_bits_and_transparency_are_turned_too() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    deep = Image.fromarray(np.array([[0, 65535, 257]], np.uint16))
    assert array(encoded(deep, "PNG", exif=exif))[:, 0, 0].tolist() == [0, 255, 1]
    clear = Image.frombytes("LA", (2, 1), bytes([7, 255, 7, 0]))
    assert array(encoded(clear, "PNG", exif=exif))[:, 0, 0].tolist() == [7, 128]


def test_damaged_metadata_loses_no_picture() -> None:
    data = encoded(smooth(61, 53), "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff\1\2\3")
    assert array(data).shape == (53, 61, 3)
