from __future__ import annotations

import numpy as np
import pytest

from micrographia.errors import BadValue
from micrographia.publish.scatter import Scatter, kernel_tile, scatter

RED, BLUE = np.zeros((5, 5, 3)), np.zeros((5, 5, 3))
RED[..., 0] = 1
BLUE[..., 2] = 1


def middle(picture: np.ndarray, colour: tuple[int, int, int]) -> tuple[float, float]:
    rows, columns = np.nonzero((picture == colour).all(2))
    return rows.mean(), columns.mean()


def test_up_is_up_and_across_is_to_the_right() -> None:
    picture = scatter([Scatter("units", "x", "y", np.array([[0.0, 0.0], [1.0, 3.0]]), [RED, BLUE])])
    red, blue = middle(picture, (255, 0, 0)), middle(picture, (0, 0, 255))
    assert blue[0] < red[0]
    assert blue[1] > red[1]
    assert picture.shape == (760, 760, 3)


def test_units_of_one_cluster_have_frames_of_one_colour() -> None:
    points = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    plain = scatter([Scatter("units", "x", "y", points, [RED] * 3)])
    framed = scatter([Scatter("units", "x", "y", points, [RED] * 3, [0, 1, 1])])
    count = {colour: int((framed == colour).all(2).sum()) for colour in ((213, 94, 0), (0, 114, 178))}
    assert count[0, 114, 178] == 2 * count[213, 94, 0] > 0
    assert not (plain == (213, 94, 0)).all(2).any()


def test_panels_stand_side_by_side_over_their_caption() -> None:
    panel = Scatter("units", "x", "y", np.zeros((1, 2)), [RED])
    one, two = scatter([panel]), scatter([panel, panel], ["a line", "another"])
    assert two.shape == (760 + 66, 2 * 760, 3)
    assert np.array_equal(two[:760, :760], one)
    assert np.array_equal(two[:760, 760:], one)
    assert len(np.unique(two[760:].reshape(-1, 3), axis=0)) > 1


def test_a_kernel_is_the_colour_it_looks_for() -> None:
    kernel = np.zeros((3, 2, 3))
    kernel[0, 0, 0], kernel[2, 1, 2] = 4.0, -2.0
    tile = kernel_tile(kernel)
    assert tile[0, 0].tolist() == [255, 128, 128]
    assert tile[1, 2].tolist() == [128, 128, 64]


def test_wrong_input_is_a_sentence() -> None:
    with pytest.raises(BadValue, match="'units' has 2 points, 1 tiles and 0 clusters"):
        scatter([Scatter("units", "x", "y", np.eye(2), [RED])])
    with pytest.raises(BadValue, match="nothing to draw"):
        scatter([])
