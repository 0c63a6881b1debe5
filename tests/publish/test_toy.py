"""The toy figures: drawn the same from the same numbers, and what a film holds."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from micrographia.errors import BadValue
from micrographia.publish import film, toy
from micrographia.publish.toy_page import toy_page

SETS = ((0, 1, 2), (3, 4, 5))


def frames(count: int) -> np.ndarray:
    grown = np.linspace(0.1, 1, count)[:, None, None]
    return grown * np.hstack([np.eye(3), -np.eye(3)])


def test_figures_are_the_same_for_the_same_numbers() -> None:
    weights = np.random.default_rng(0).standard_normal((3, 2, 5))
    drawn = [toy.weights_in_the_plane(weights, "abc", np.ones(5), columns=3) for _ in range(2)]
    assert drawn[0] == drawn[1]
    other = toy.weights_in_the_plane(weights * 0.9, "abc", np.ones(5), columns=3)
    assert other != drawn[0]


def test_a_phase_map_marks_cells_that_differ() -> None:
    axis = 10.0 ** np.linspace(0, 1, 5)
    theory = np.ones((5, 5), np.int64)
    found = theory.copy()
    found[2, 3] = 0
    ones, none = np.ones((5, 5)), np.zeros((5, 5), dtype=bool)
    same = toy.phase(axis[::-1], axis, theory, theory, ones, ones, none, ("a", "b", "c"))
    assert toy.phase(axis[::-1], axis, theory, found, ones, ones, none, ("a", "b", "c")) != same


@pytest.mark.parametrize("kind", ["webp", "gif"])
def test_a_film_has_all_its_frames_and_they_move(kind: str) -> None:
    loss, steps = np.exp(-np.linspace(0, 2, 7)), np.arange(7)
    with Image.open(io.BytesIO(film.film(frames(7), loss, steps, SETS, kind))) as picture:
        assert picture.n_frames == 7
        first = np.asarray(picture.convert("RGB"), np.int64)
        picture.seek(6)
        assert np.abs(np.asarray(picture.convert("RGB"), np.int64) - first).max() > 50
    with Image.open(io.BytesIO(film.strip(frames(7), loss, steps, SETS, 3))) as picture:
        assert picture.width == 3 * (picture.height - 110)


def test_a_film_of_another_kind_is_refused() -> None:
    with pytest.raises(BadValue, match="A film cannot be written as 'mp4'. Choose webp or gif."):
        film.film(frames(2), np.ones(2), np.arange(2), SETS, "mp4")


def test_the_page_says_what_does_not_agree() -> None:
    check = {"what": "the <law>", "expected": "1", "measured": "2", "agrees": False, "source": "algebra"}
    document = {
        "experiment": "intro", "title": "Five", "about": "introduction", "seconds": 1.0, "processor_seconds": 2.0,
        "arguments": {"quick": True, "seed": 0, "options": {}}, "result": {"checks": [check]}, "figures": [],
    }  # fmt: skip
    page = toy_page([document], {})
    assert "0 of 1 statements agree" in page
    assert "the &lt;law&gt;" in page
    assert '<td class="no">no</td>' in page
    assert page == toy_page([document], {})
