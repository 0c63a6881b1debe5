from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from micrographia.publish import chart


def test_histogram_has_a_bar_for_every_count_and_log_heights() -> None:
    svg = chart.histogram([0.0, 1.0, 2.0, 3.0, 4.0], [1000, 100, 0, 1], [("mean", 0.5)])
    tree = ElementTree.fromstring(svg)
    path = tree.find("path[@class='bars']")
    assert path is not None
    bars = re.findall(r"M([\d.]+) ([\d.]+)V([\d.]+)H([\d.]+)", path.attrib["d"])
    heights = [float(base) - float(top) for _, base, top, _ in bars]
    assert len(bars) == 3
    assert heights[0] - heights[1] == pytest.approx((heights[1] - heights[2]) / 2, abs=0.11)  # one decade, two decades
    assert heights[2] > 5  # a single count is seen
    assert "mean 0.5" in svg


@pytest.mark.parametrize(("edges", "counts"), [([0.0, 0.0], [5]), ([-1.0, 0.0, 1.0], [0, 0]), ([0.0, 1e-9], [3])])
def test_histogram_of_next_to_nothing(edges: list[float], counts: list[int]) -> None:
    svg = chart.histogram(edges, counts)
    assert ElementTree.fromstring(svg).tag == "svg"
    assert "nan" not in svg


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6))
def test_round_steps_are_round_inside_and_enough(low: float, span: float) -> None:
    high = low + span
    if not high - low > 1e-9 * max(abs(low), abs(high), 1e-9):
        return
    steps = np.array(chart.round_steps(low, high))
    assert 2 <= len(steps) <= 7
    assert steps[0] >= low - 1e-6 * span
    assert steps[-1] <= high + 1e-6 * span


def test_scale_tells_its_ends() -> None:
    svg = chart.scale(0.25)
    assert ElementTree.fromstring(svg).tag == "svg"
    words = re.findall(r">([^<>]+)</text>", svg)
    assert words == ["\u22120.25 inhibits", "0", "excites 0.25"]
