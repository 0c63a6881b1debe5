from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from micrographia.study.histogram import Histogram

NUMBERS = st.one_of(
    st.floats(-(2.0**100), 2.0**100, width=32),
    st.floats(-8, 8, width=32),
    st.integers(-3, 3).map(float),
    st.sampled_from([0.0, -0.0, 1e-20, 1e7]),
)
STREAMS = st.lists(st.lists(NUMBERS, min_size=1, max_size=7), min_size=1, max_size=5)


def filled(stream: list[list[float]], bins: int) -> Histogram:
    histogram = Histogram.empty(1, bins)
    for values in stream:
        histogram = histogram.with_values(np.array([values]))
    return histogram


@settings(max_examples=40)
@given(STREAMS, st.integers(2, 17))
def test_every_value_is_in_its_bin_and_counted_once(stream: list[list[float]], bins: int) -> None:
    histogram = filled(stream, bins)
    values = np.concatenate([np.array(part) for part in stream])
    edges = histogram.edges(0)
    assert len(edges) == bins + 1
    assert histogram.counts.sum() == len(values)
    expected = [((edges[i] <= values) & (values < edges[i + 1])).sum() for i in range(bins)]
    assert histogram.counts[0].tolist() == expected


@settings(max_examples=40)
@given(STREAMS, st.integers(2, 17), st.randoms(use_true_random=False))
def test_order_and_batches_change_nothing(stream: list[list[float]], bins: int, random: object) -> None:
    one = filled(stream, bins)
    shuffled = [value for part in stream for value in part]
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    for other in (filled([shuffled], bins), filled([[value] for value in shuffled], bins)):
        for ours, theirs in zip(one.trimmed(0), other.trimmed(0), strict=True):
            assert np.array_equal(ours, theirs)


@given(st.lists(st.integers(-1000, 1000), min_size=2, max_size=20), st.integers(4, 64))
def test_bins_are_as_fine_as_the_range_allows(values: list[int], bins: int) -> None:
    edges, _ = filled([[float(value) for value in values]], bins).trimmed(0)
    spread = max(values) - min(values)
    if spread:
        assert (edges[1] - edges[0]) * bins < 4 * spread


def test_units_have_bins_of_their_own() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(5, 300)) * 10.0 ** np.arange(-2, 3)[:, None]
    histogram = Histogram.empty(5, 16)
    for part in np.array_split(values, 7, axis=1):
        histogram = histogram.with_values(part)
    for unit in range(5):
        edges, counts = histogram.trimmed(unit)
        assert np.array_equal(counts, np.histogram(values[unit], edges)[0])
        assert 4 <= len(counts) <= 16


@pytest.mark.parametrize("value", [0.0, 5.0, 1e9, -1e30, 1e-30])
def test_a_constant_unit(value: float) -> None:
    edges, counts = filled([[value] * 3, [value]], 8).trimmed(0)
    assert counts.tolist() == [4]
    assert edges[0] <= value < edges[1]


def test_nothing_yet() -> None:
    edges, counts = Histogram.empty(2, 8).trimmed(1)
    assert edges.tolist() == [0, 1]
    assert counts.tolist() == [0]
