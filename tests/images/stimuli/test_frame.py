"""Stimuli: turned by a quarter they are the turned picture, they repeat with their periods, and replicas agree."""

from __future__ import annotations

import math
from dataclasses import fields

import numpy as np
import pytest
import torch

from micrographia.errors import BadValue
from micrographia.images.stimuli.catalogue import STANDARD, catalogue
from micrographia.images.stimuli.frame import Axis, Frame, angles, batches, count, grid, render, shape
from micrographia.images.stimuli.shapes import Corners, Curves, Edges, Gradients, Lines, Spots
from micrographia.images.stimuli.waves import Gratings, HighLow, Textures, frequencies

SIDE = 29
QUARTERS = {
    "curves": Curves(4, (0.0, 0.7, 2.0)),
    "corners": Corners(4),
    "edges": Edges(4, (-0.1, 0.2)),
    "gradients": Gradients(4),
    "high-low": HighLow(4, (1.0, 5.0), middle=0.1),
    "lines": Lines(2, (0.0,)),
    "gratings": Gratings(2, (0.07, 0.3), phases=1),
}


@pytest.mark.parametrize("name", QUARTERS)
def test_a_quarter_turn_of_the_angle_turns_the_picture(name: str) -> None:
    family = QUARTERS[name]
    pictures = render(family, Frame.square(SIDE), dtype=torch.float64).reshape(-1, shape(family)[-1], 3, SIDE, SIDE)
    for step in range(1, shape(family)[-1]):
        turned = torch.rot90(pictures[:, 0], step, (2, 3))
        torch.testing.assert_close(pictures[:, step], turned, atol=1e-9, rtol=0)


@pytest.mark.parametrize("name", STANDARD)
def test_all_families_are_pictures_on_grey(name: str) -> None:
    family = catalogue(SIDE)[name]
    some = render(family, Frame.square(SIDE + 8, SIDE), range(0, count(family), 7))
    assert some.shape == (len(range(0, count(family), 7)), 3, SIDE + 8, SIDE + 8)
    assert 0 <= some.min() < 0.4
    assert 0.6 < some.max() <= 1
    # beyond the disc there is nothing, and each stimulus is one of its own
    assert torch.equal(some[:, :, :4], torch.full_like(some[:, :, :4], 0.5))
    assert (some - 0.5).abs().amax((1, 2, 3)).ge(0.1).all()


def test_every_stimulus_differs_from_every_other_but_straight_lines_and_equal_frequencies() -> None:
    for name, family in catalogue(19).items():
        drawn = render(family, Frame.square(19)).flatten(1).numpy()
        distinct = len(np.unique(drawn.round(4), axis=0))
        # straight curves and pairs of equal frequencies repeat after half a turn or a quarter, strength 0 for each hue,
        # and colour edges are the same again with hue, angle and offset reversed
        expected = {
            "curves": 2 * 5 * 36 + 2 * 18, "high-low": 2 * 3 * 36 + 2 * 9, "tinted-textures": 3 * 2 * 12 + 3,
            "colour-edges": 8 * 16, "textures": count(family), "lines": count(family),
        }.get(name, count(family))  # fmt: skip
        assert distinct <= expected, name
        assert distinct >= 0.9 * expected, name


def test_stimuli_of_one_brightness_are_grey_in_the_mean() -> None:
    frame = Frame.square(41)
    for family in (Edges(12, (0.0,)), Gradients(12), HighLow(12, middle=0.1)):
        pictures = render(family, frame, dtype=torch.float64).reshape(-1, *shape(family), 3, 41, 41)[0]
        # an edge is as bright on one side as dark on the other; a pair of textures with its negative
        mean = pictures.mean() if isinstance(family, HighLow) else pictures.mean((-3, -2, -1))
        torch.testing.assert_close(mean, torch.full_like(mean, 0.5), atol=1e-9, rtol=0)


@pytest.mark.parametrize(
    ("family", "period"), [(Gratings(3, (0.2,), 1), 180), (Textures(3, (0.2,), 1), 90), (Lines(3, (0.0,)), 180)]
)
def test_pictures_repeat_after_a_period(family: Gratings | Textures | Lines, period: float) -> None:
    assert family.axes[-1].period == period
    canvas = Frame.square(23)
    drawn = render(family, canvas, dtype=torch.float64)

    class Later(type(family)):  # type: ignore[misc]
        @property
        def axes(self) -> tuple[Axis, ...]:
            *others, last = super().axes
            return (*others, Axis(last.name, tuple(v + period for v in last.values)))

    later = Later(**{name: getattr(family, name) for name in (each.name for each in fields(family))})
    torch.testing.assert_close(render(later, canvas, dtype=torch.float64), drawn, atol=1e-9, rtol=0)


def test_polarity_turns_bright_into_dark() -> None:
    for family in (Curves(5), Lines(5), Corners(5), Spots()):
        pictures = render(family, Frame.square(21), dtype=torch.float64).reshape(2, -1)
        torch.testing.assert_close(pictures[0], 1 - pictures[1])


def test_a_curve_is_the_area_of_a_ring_through_the_centre() -> None:
    """A slow replica: each px is cut into 20 x 20 and counted."""
    side, stroke, bend, degrees = 17, 3.0, 1.3, 40.0
    fine = 20
    at = (np.arange(side * fine) + 0.5) / fine - side / 2
    x, y = np.meshgrid(at, -at)
    radius = side / bend
    middle = radius * np.cos(np.radians(degrees)), radius * np.sin(np.radians(degrees))
    inside = np.abs(np.hypot(x - middle[0], y - middle[1]) - radius) <= stroke / 2
    share = inside.reshape(side, fine, side, fine).mean((1, 3))
    family = Curves(9, (bend,), stroke=stroke / side)
    at_40 = render(family, Frame.square(side), [1], dtype=torch.float64)[0, 0].numpy()
    # well within the disc
    core = slice(5, 12)
    assert np.abs(2 * at_40 - 1 - share)[core, core].max() < 0.12
    assert np.abs(2 * at_40 - 1 - share)[core, core].mean() < 0.03


def test_a_grating_is_the_sampled_wave() -> None:
    frame = Frame((13, 17), (5.5, 8.0), 40)
    picture = render(Gratings(4, (0.11,), phases=2), frame, [1], dtype=torch.float64)[0, 2]
    for row, column in ((0, 0), (5, 8), (12, 16), (3, 11)):
        x, y = column - 8.0, 5.5 - row
        along = (x + y) * math.sqrt(0.5)  # 45 degrees: to the right and up
        assert math.hypot(x, y) < 0.8 * 20
        assert picture[row, column] == pytest.approx(0.5 + 0.5 * math.cos(2 * math.pi * 0.11 * along))


def test_the_angle_points_where_it_is_said_to() -> None:
    frame = Frame.square(31)
    right = (slice(None), 0, 15, slice(18, 28))
    up = (slice(None), 0, slice(3, 13), 15)
    edges = render(Edges(4, (0.0,)), frame)
    assert (edges[right][0] > 0.9).all()
    assert (edges[up][1] > 0.9).all()
    # the high frequency has more local contrast on its side
    pairs = render(HighLow(4, (9.0,), middle=0.09, phases=1), frame)[:, 0]
    rough = pairs.diff(dim=2).abs()
    assert rough[0, 8:23, 17:25].mean() > 1.5 * rough[0, 8:23, 5:13].mean()
    # the inside of a curve, and the opening of a corner, is where its ends are
    for family in (Curves(4, (2.5,)), Corners(4, (90.0,))):
        bright = (render(family, frame)[:4, 0] - 0.5).relu()
        columns = torch.arange(31.0) - 15
        assert (bright[0] * columns).sum() > 0
        assert (bright[1] * -columns[:, None]).sum() > 0


def test_batches_are_the_whole_in_order() -> None:
    family = Corners(5)
    parts = list(batches(family, Frame.square(13), batch=7))
    assert [len(part) for part in parts] == [7, 7, 7, 7, 2]
    assert torch.equal(torch.cat(parts), render(family, Frame.square(13)))


def test_the_grid_runs_fastest_in_the_last_axis() -> None:
    table = grid(Curves(3, (0.0, 1.0)))
    assert table.shape == (12, 3)
    assert table[:4].tolist() == [[1, 0, 0], [1, 0, 120], [1, 0, 240], [1, 1, 0]]


def test_frequencies_reach_from_the_field_to_what_px_can_show() -> None:
    found = frequencies(40, 5)
    assert found[0] == pytest.approx(1 / 40)
    assert found[-1] == pytest.approx(0.4)
    assert np.diff(np.log(found)) == pytest.approx(np.log(16) / 4)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: catalogue(31, "curvs"), "There are no stimuli 'curvs'. Near it: curves"),
        (lambda: catalogue(31, "lines,tints", coloured=False), "one channel, which has no hue for 'tints'"),
        (lambda: Gratings(4, (0.7,)), "cannot be drawn. Give frequencies above 0 and up to 0.5"),
        (lambda: HighLow(ratios=(1.0, 900.0)), "cannot be drawn"),
        (lambda: Frame((0, 5), (0, 0), 5), "Stimuli of 5 px cannot be drawn in pictures of 0 x 5 px"),
        (lambda: angles(0), "There cannot be 0 directions"),
    ],
)
def test_what_cannot_be_drawn_is_a_sentence(make: object, sentence: str) -> None:
    with pytest.raises(BadValue, match=sentence):
        make()  # type: ignore[operator]


def test_without_colour_only_black_and_white_is_left() -> None:
    assert set(catalogue(31)) - set(catalogue(31, coloured=False)) == {
        "colour-edges", "colour-spots", "tints", "tinted-textures",
    }  # fmt: skip
