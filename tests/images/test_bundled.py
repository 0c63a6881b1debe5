"""The default pictures: which there are, that they cover their photographs, and that they never change."""

from __future__ import annotations

import itertools
import pickle
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from micrographia.errors import BadImages
from micrographia.images import bundled
from micrographia.images.bundled import FLAT, PHOTOGRAPHS, SCALES, SIDE, STRIDE, grid, open_images
from micrographia.images.source import batches, read


def test_there_are_a_few_hundred_varied_crops() -> None:
    source = open_images()
    assert 250 <= len(source) <= 400
    assert source.classes == tuple(photograph.name for photograph in PHOTOGRAPHS)
    assert list(source.names) == sorted(set(source.names))
    assert all(
        source.classes[label] == name.split("/")[0] for name, label in zip(source.names, source.labels, strict=True)
    )
    counts = np.bincount(source.labels)
    assert counts.min() >= 15
    assert counts.max() <= 0.1 * len(source)
    assert source.names[0] == "astronaut/000_s0_r0_c0"


def test_every_crop_is_read_and_shows_something() -> None:
    for picture in read(open_images()):
        assert picture.image.mode == "RGB"
        assert picture.image.size == (SIDE, SIDE)
        assert np.asarray(picture.image.convert("L")).std() > 0.8 * FLAT  # resizing takes a little contrast away


def test_a_crop_is_its_part_of_the_photograph() -> None:
    source = open_images()
    index = source.names.index("astronaut/000_s0_r0_c0")
    path = bundled._path(PHOTOGRAPHS[0])
    assert path is not None
    whole = Image.open(path).convert("RGB")
    (picture,) = read(source, [index])
    expected = np.asarray(whole.resize((SIDE, SIDE), Image.Resampling.BICUBIC))
    assert np.array_equal(np.asarray(picture.image), expected)


def test_two_passes_and_two_sources_are_identical() -> None:
    first, again = open_images("bundled"), bundled._bundled.__wrapped__()
    assert first == again
    assert first.fingerprint == again.fingerprint
    chosen = range(0, len(first), 29)
    for one, other in zip(read(first, chosen), read(again, chosen), strict=True):
        assert one.image.tobytes() == other.image.tobytes()


def test_crops_come_in_batches_like_any_pictures_also_in_another_process() -> None:
    source = pickle.loads(pickle.dumps(open_images()))
    numbers, pictures = next(batches(source, 128, (112, 112), 7))
    assert numbers.tolist() == list(range(7))
    assert pictures.shape == (7, 3, 112, 112)


@given(st.integers(100, 1500), st.integers(100, 1500))
def test_the_grid_covers_the_photograph_with_overlapping_squares(width: int, height: int) -> None:
    boxes = grid(width, height)
    assert len({title for _, title in boxes}) == len(boxes)
    for scale in range(len(SCALES)):
        places = [place for place, title in boxes if title.startswith(f"s{scale}_")]
        for near, far, end in ((0, 2, width), (1, 3, height)):
            spans = sorted({(place[near], place[far]) for place in places})
            assert spans[0][0] == 0
            assert spans[-1][1] == end
            side = spans[0][1]
            assert all(after[0] - before[0] <= STRIDE * side + 1 for before, after in itertools.pairwise(spans))
        assert all(right - left == bottom - top for left, top, right, bottom in places)


def test_nearly_constant_crops_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    everything = len(open_images())
    monkeypatch.setattr(bundled, "FLAT", 30.0)
    fewer = bundled._bundled.__wrapped__()
    assert 0 < len(fewer) < everything
    assert fewer.fingerprint != open_images().fingerprint


def test_a_photograph_that_is_not_there_is_left_out_and_none_at_all_is_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gone = bundled.Photograph("gone", "skimage", "data/gone.png", "nobody")
    absent = bundled.Photograph("absent", "no_such_package", "a.png", "nobody")
    monkeypatch.setattr(bundled, "PHOTOGRAPHS", (gone, PHOTOGRAPHS[0], absent))
    assert bundled._bundled.__wrapped__().classes == ("astronaut",)
    monkeypatch.setattr(bundled, "PHOTOGRAPHS", (gone, absent))
    with pytest.raises(BadImages, match="photographs that scikit-image and scikit-learn carry are not there"):
        bundled._bundled.__wrapped__()


def test_any_other_word_is_a_place() -> None:
    with pytest.raises(BadImages, match=r"There is no 'bundles'\. Give a folder, .*or bundled\."):
        open_images("bundles")


def test_the_default_pictures_need_neither_torch_nor_the_packages_that_carry_them() -> None:
    code = (
        "import sys; from micrographia.images.bundled import open_images; open_images();"
        "print({'torch', 'sklearn', 'skimage', 'pooch'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
