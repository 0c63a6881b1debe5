from __future__ import annotations

import numpy as np
import pytest

from micrographia.publish.families import circuit_figure, family_figure
from micrographia.publish.plot import encoded


@pytest.mark.parametrize(
    ("group", "steps"), [("rotation", np.arange(0.0, 360, 10)), ("reflection", np.arange(2.0)), ("scale", np.arange(-2.0, 2, 0.5))]
)  # fmt: skip
def test_a_family_is_drawn_in_group_order(group: str, steps: np.ndarray) -> None:
    tiles = [np.zeros((7, 7, 3)), np.ones((7, 7, 3)), np.full((99, 99, 3), 0.5)]
    fig = family_figure(
        "three", group, ["a:4", "a:2", "a:9"], [1.0, 0.0, 1.0], tiles, np.ones((3, len(steps))), steps, "r"
    )
    sheet = fig.axes[0].images[0].get_array()
    # the white tile has the first element and stands left
    assert sheet[20, 20].tolist() == [255, 255, 255]
    assert fig.axes[0].get_title(loc="left") == "three"
    assert len([line for line in fig.axes[1].lines if len(line.get_xdata()) >= len(steps)]) >= 3
    assert encoded(fig)[:4] == b"\x89PNG"


def test_the_grid_of_a_circuit_has_one_scale() -> None:
    kernels = np.zeros((3, 2, 5, 5))
    kernels[1, 1, 2, 2] = -7
    fig = circuit_figure("grid", kernels, ["0", "90", "180"], ["HF", "LF"], "caption " * 30)
    (box,) = fig.axes
    assert box.images[0].get_clim() == (-7, 7)
    assert [label.get_text() for label in box.get_xticklabels()] == ["HF", "LF"]
    assert [label.get_text() for label in box.get_yticklabels()] == ["0", "90", "180"]
    drawn = np.ma.filled(box.images[0].get_array(), np.nan)
    assert drawn.shape == (17, 11)
    assert drawn[6 + 2, 6 + 2] == -7
    assert np.isnan(drawn[5]).all()
