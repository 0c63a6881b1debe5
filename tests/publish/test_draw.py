from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from micrographia.errors import BadValue
from micrographia.publish import draw


def decoded(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)))


def signed_slowly(values: np.ndarray, limit: float) -> np.ndarray:
    pixels = np.zeros((*values.shape, 4), int)
    for place, value in np.ndenumerate(values):
        colour = draw.WARM if value >= 0 else draw.COOL
        pixels[place] = (*colour, min(255, round(255 * abs(value) / limit)))
    return pixels


@pytest.mark.parametrize("shape", [(1, 1), (3, 3), (5, 7), (11, 2)])
def test_kernel_png_is_the_signed_scale_pixel_by_pixel(shape: tuple[int, int]) -> None:
    weights = np.random.default_rng(0).normal(size=shape)
    for limit in (0.37, 1.0, 5.3):
        assert np.abs(decoded(draw.kernel_png(weights, limit)).astype(int) - signed_slowly(weights, limit)).max() <= 1


@given(st.floats(-1, 1), st.floats(0.01, 100))
def test_sign_mirrors_the_colour_and_keeps_the_opacity(share: float, limit: float) -> None:
    value = np.array([[share * limit]])
    one, other = draw.signed(value, limit)[0, 0], draw.signed(-value, limit)[0, 0]
    assert one[3] == other[3]
    if one[3]:
        assert {tuple(one[:3]), tuple(other[:3])} == {draw.WARM, draw.COOL}


def test_the_two_ends_are_equally_light_and_stand_out_from_light_and_dark_paper() -> None:
    def light(colour: tuple[int, int, int]) -> float:
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (v / 255 for v in colour)]
        return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))

    def contrast(a: float, b: float) -> float:
        return (max(a, b) + 0.05) / (min(a, b) + 0.05)

    warm, cool = light(draw.WARM), light(draw.COOL)
    assert contrast(warm, cool) < 1.1
    assert min(contrast(end, paper) for end in (warm, cool) for paper in (1.0, light((19, 19, 18)))) > 3


@pytest.mark.parametrize("limit", [0.0, -1.0, float("nan")])
def test_a_scale_needs_an_end(limit: float) -> None:
    with pytest.raises(BadValue, match="A colour scale cannot end at"):
        draw.kernel_png(np.zeros((3, 3)), limit)


@pytest.mark.parametrize("channels", [3, 4])
def test_png_is_read_back_exactly(channels: int) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (7, 13, channels), dtype=np.uint8)
    assert np.array_equal(decoded(draw.png(pixels)), pixels)


def test_colour_kernel_puts_zero_at_grey_and_the_largest_weight_at_full_contrast() -> None:
    kernel = np.zeros((3, 5, 7))
    kernel[0, 1, 2], kernel[2, 3, 4] = 2.0, -1.0
    pixels = decoded(draw.colour_kernel_png(kernel))
    assert pixels.shape == (5, 7, 3)
    assert pixels[0, 0].tolist() == [128, 128, 128]
    assert pixels[1, 2].tolist() == [255, 128, 128]
    assert pixels[3, 4].tolist() == [128, 128, 64]


@pytest.mark.parametrize(("kind", "tolerance"), [("jpeg", 6), ("webp", 8), ("png", 0)])
def test_encode_keeps_the_picture(kind: str, tolerance: int) -> None:
    y, x = np.mgrid[0:24, 0:31] / 31
    image = np.stack([x, y, (x + y) / 2], -1)
    found = decoded(draw.encode(image, kind, 95))
    assert np.abs(found.astype(int) - np.rint(image * 255)).max() <= tolerance
    assert draw.encode(image, kind) == draw.encode(np.rint(image * 255).astype(np.uint8), kind)


def test_encode_names_the_formats() -> None:
    with pytest.raises(BadValue, match=r"cannot be encoded as 'gif'. The formats are jpeg, webp, png\."):
        draw.encode(np.zeros((2, 2, 3)), "gif")


def test_a_strip_can_be_cut_apart_again() -> None:
    tiles = np.random.default_rng(2).integers(0, 256, (5, 7, 7, 3), dtype=np.uint8)
    cut = np.split(draw.strip(list(tiles)), 5, axis=1)
    assert np.array_equal(cut, tiles)


def test_sheet_places_every_picture() -> None:
    tiles = np.random.default_rng(3).integers(0, 256, (7, 5, 11, 3), dtype=np.uint8)
    page = draw.sheet(list(tiles), columns=3, labels=[str(i) for i in range(7)], gap=2)
    assert page.shape == (2 + 3 * (5 + 16 + 2), 2 + 3 * (11 + 2), 3)
    for i, tile in enumerate(tiles):
        top, left = 2 + i // 3 * 23, 2 + i % 3 * 13
        assert np.array_equal(page[top : top + 5, left : left + 11], tile)
        label = page[top + 5 : top + 21, left : left + 11]
        assert (label != draw.GROUND).any()
    assert (page[-23:, 15:] == draw.GROUND).all()  # after the seventh, the paper is bare


def test_sheet_says_what_does_not_fit() -> None:
    with pytest.raises(BadValue, match="Give one size"):
        draw.sheet([np.zeros((2, 2, 3)), np.zeros((3, 2, 3))], 2)
    with pytest.raises(BadValue, match="1 labels for 2 pictures"):
        draw.sheet([np.zeros((2, 2, 3))] * 2, 2, ["one"])


def test_overlay_colours_only_where_the_map_is() -> None:
    image = np.random.default_rng(4).random((16, 16, 3))
    heat = np.zeros((4, 4))
    heat[0, 0], heat[3, 3] = 1.0, -1.0
    found = draw.overlay(image, heat).astype(int)
    spread = np.ptp(found, axis=2)
    assert spread[8, 7] == 0  # grey where the map is zero
    assert found[0, 0, 0] > found[0, 0, 2] + 50
    assert found[-1, -1, 2] > found[-1, -1, 0] + 50


def test_data_uri_holds_the_bytes() -> None:
    head, _, body = draw.data_uri(b"abc").partition(",")
    assert head == "data:image/png;base64"
    assert base64.b64decode(body) == b"abc"
