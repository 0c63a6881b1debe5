"""The figure of tuning: each unit on the circle at its own direction, beside its map."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from micrographia.errors import BadValue
from micrographia.publish.plot import encoded
from micrographia.publish.tuning import INNER, Sheet, direction_colour, tuning_figure

VALUES = tuple(float(v) for v in range(0, 360, 30))
CURVES = np.stack([np.roll(np.eye(12)[0], turn) * (turn + 1) for turn in range(5)])
SHEET = Sheet(
    "curves in a", tuple(f"a:{n}" for n in range(5)), "angle, degrees", VALUES, 360, CURVES,
    np.arange(5) * 30.0, "curvature", (0.0, 1.0, 2.0), np.repeat(CURVES[:, None], 3, 1), "sd above grey",
)  # fmt: skip


def test_all_units_stand_on_one_circle_and_each_has_its_map() -> None:
    fig = tuning_figure(SHEET)
    (circle,) = [axes for axes in fig.axes if axes.name == "polar"]
    assert len(circle.lines) == 5
    for unit, line in enumerate(circle.lines):
        turn, radius = line.get_data()
        assert np.degrees(turn[np.argmax(radius)]) == pytest.approx(30 * unit)
        assert radius.max() == pytest.approx(INNER + (1 - INNER) * (unit + 1) / 5)
        assert radius.min() == INNER
        assert line.get_color() == direction_colour(30 * unit)
        assert turn[-1] == pytest.approx(2 * np.pi)
    maps = [axes for axes in fig.axes if axes.images]
    assert [axes.get_title(loc="left") or axes.get_title() for axes in maps] == list(SHEET.names)
    assert np.array_equal(maps[3].images[0].get_array(), SHEET.maps[3])


def test_half_a_circle_is_drawn_twice_and_no_circle_not_at_all() -> None:
    half = replace(SHEET, values=tuple(v / 2 for v in VALUES), period=180, preferred=SHEET.preferred / 2)
    (circle,) = [axes for axes in tuning_figure(half).axes if axes.name == "polar"]
    turn, radius = circle.lines[2].get_data()
    assert np.degrees(turn[radius > INNER]) == pytest.approx([30, 210])
    assert not [axes for axes in tuning_figure(replace(SHEET, period=None)).axes if axes.name == "polar"]


def test_the_same_numbers_are_the_same_bytes() -> None:
    assert encoded(tuning_figure(SHEET), dpi=40) == encoded(tuning_figure(SHEET), dpi=40)


def test_no_units_are_a_sentence() -> None:
    with pytest.raises(BadValue, match="There are no units to draw"):
        tuning_figure(replace(SHEET, names=()))
