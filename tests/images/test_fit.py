"""Pictures brought to a network's size, and boxes brought back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from micrographia.errors import BadValue
from micrographia.images import fit as module
from micrographia.images.fit import INTERPOLATIONS, fit, original_box
from tests.images.drawn import noise, smooth


@given(st.integers(1, 97), st.integers(1, 97), st.integers(1, 53), st.integers(1, 61), st.integers(1, 59))
def test_the_frame_is_covered_and_the_short_side_kept(
    width: int, height: int, short: int, rows: int, columns: int
) -> None:
    (across, down), left, top = module._frame((width, height), short, (rows, columns))
    assert 0 <= left <= across - columns
    assert 0 <= top <= down - rows
    assert min(across, down) == min(short, width, height) or across == columns or down == rows
    assert abs(2 * left + columns - across) <= 1
    assert abs(2 * top + rows - down) <= 1
    assert fit(Image.new("RGB", (width, height), (9, 8, 7)), short, (rows, columns)).shape == (3, rows, columns)


@pytest.mark.parametrize(("width", "height"), [(640, 479), (301, 511), (256, 256), (257, 1031), (1999, 333)])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_fit_is_the_published_preprocessing(width: int, height: int, interpolation: str) -> None:
    image = noise(width, height)
    long = int(256 * max(width, height) / min(width, height))
    across, down = (256, long) if width < height else (long, 256)
    resized = np.asarray(image.resize((across, down), Image.Resampling[interpolation.upper()]))
    top, left = round((down - 223) / 2), round((across - 211) / 2)
    expected = resized[top : top + 223, left : left + 211].transpose(2, 0, 1)
    assert np.array_equal(fit(image, 256, (223, 211), interpolation), expected)


def test_fit_leaves_a_picture_of_the_right_size_alone() -> None:
    image = noise(31, 29)
    for interpolation in INTERPOLATIONS:
        found = fit(image, 29, (29, 31), interpolation)
        assert found.dtype == np.uint8
        assert found.flags.c_contiguous
        assert np.array_equal(found.transpose(1, 2, 0), np.asarray(image))


def test_a_small_picture_is_enlarged_only_as_far_as_the_crop_needs() -> None:
    image = noise(241, 233)
    assert np.array_equal(fit(image, 256, (223, 211)), np.asarray(image).transpose(2, 0, 1)[:, 5:228, 15:226])
    smaller = noise(101, 211)
    grown = np.asarray(smaller.resize((211, int(211 * 211 / 101)), Image.Resampling.BILINEAR)).transpose(2, 0, 1)
    assert np.array_equal(fit(smaller, 256, (223, 211)), grown[:, 108:331])


def test_a_crop_larger_than_the_picture_is_filled() -> None:
    found = fit(Image.new("RGB", (37, 41), (200, 100, 50)), 7, (89, 23))
    assert (found == np.array([200, 100, 50])[:, None, None]).all()


def test_a_long_strip_takes_little_memory_and_agrees_with_the_plain_way(monkeypatch: pytest.MonkeyPatch) -> None:
    assert fit(Image.new("RGB", (60000, 1), (7, 5, 3)), 512, (211, 223))[:, 0, 0].tolist() == [7, 5, 3]
    image = smooth(31, 29)
    plain = fit(image, 67, (61, 59)).astype(int)
    monkeypatch.setattr(module, "WHOLE", 0)
    assert np.abs(fit(image, 67, (61, 59)) - plain)[:, 3:-3, 3:-3].max() <= 1  # the plain way saw beyond the frame


@pytest.mark.parametrize(
    ("width", "height", "short"), [(251, 239, 101), (239, 251, 151), (113, 241, 241), (251, 101, 67)]
)
def test_boxes_lead_back_to_the_original(width: int, height: int, short: int) -> None:
    rows, columns = np.mgrid[0:height, 0:width]
    image = Image.fromarray(np.stack([columns, rows, rows], 2).astype(np.uint8))  # each px holds where it is
    size = (61, 53)
    found = fit(image, short, size)
    for row, column in ((7, 11), (30, 26), (53, 45)):
        left, top, right, bottom = original_box((column, row, column + 1, row + 1), image.size, short, size)
        assert abs((left + right - 1) / 2 - found[0, row, column]) <= 0.51
        assert abs((top + bottom - 1) / 2 - found[1, row, column]) <= 0.51


@settings(max_examples=50)
@given(st.integers(50, 500), st.integers(50, 500), st.integers(20, 300))
def test_the_whole_frame_lies_inside_the_original(width: int, height: int, short: int) -> None:
    left, top, right, bottom = original_box((0, 0, 31, 29), (width, height), short, (29, 31))
    assert left >= 0
    assert top >= 0
    assert right <= width + 1e-9
    assert bottom <= height + 1e-9


def test_bad_sizes_are_told() -> None:
    image = noise(7, 5)
    with pytest.raises(BadValue, match=r"There is no interpolation 'cubic'\. Known: nearest, box, bilinear, bicubic"):
        fit(image, 7, (5, 5), "cubic")
    with pytest.raises(BadValue, match=r"A short side of 0 px and a crop of \(5, 5\) px cannot be made\. Give 1 px"):
        fit(image, 0, (5, 5))
