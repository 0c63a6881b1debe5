from __future__ import annotations

import numpy as np
import pytest

from micrographia.errors import BadValue
from micrographia.study.matrix import REDUCTIONS, as_matrix

KERNELS = np.random.default_rng(0).normal(size=(5, 3, 2, 7))


@pytest.mark.parametrize(
    ("reduction", "slow"),
    [
        ("l1", lambda taps: sum(abs(t) for t in taps)),
        ("l2", lambda taps: sum(t * t for t in taps) ** 0.5),
        ("max", lambda taps: max(abs(t) for t in taps)),
        ("signed sum", lambda taps: sum(taps)),
    ],
)
def test_reductions_against_loops(reduction: str, slow: object) -> None:
    matrix = as_matrix(KERNELS, reduction)
    assert matrix.values.shape == (3, 5)
    assert matrix.taps == 1
    for unit in range(3):
        for target in range(5):
            taps = [KERNELS[target, unit, row, column] for row in range(2) for column in range(7)]
            assert matrix.values[unit, target] == pytest.approx(slow(taps))


def test_none_is_every_filter_as_a_column() -> None:
    matrix = as_matrix(KERNELS, "none")
    assert matrix.values.shape == (3 * 2 * 7, 5)
    for target in range(5):
        assert np.array_equal(matrix.values[:, target], np.abs(KERNELS[target]).ravel())
    assert matrix.taps == 14


def test_none_and_l1_hold_the_same_weight() -> None:
    assert as_matrix(KERNELS, "none").values.sum() == pytest.approx(as_matrix(KERNELS, "l1").values.sum())


def test_a_kernel_of_one_tap_is_its_own_matrix_whatever_the_norm() -> None:
    one = KERNELS[:, :, :1, :1]
    for reduction in set(REDUCTIONS) - {"signed sum"}:
        assert as_matrix(one, reduction).values == pytest.approx(np.abs(one[:, :, 0, 0].T))
    assert as_matrix(one, "signed sum").values == pytest.approx(one[:, :, 0, 0].T)


def test_the_note_tells_the_shapes() -> None:
    assert as_matrix(KERNELS, "l2").note == "5 filters of 3 x 2 x 7 -> |W|, 3 x 5: l2 over 2 x 7 taps"
    assert as_matrix(KERNELS, "none").note == "5 filters of 3 x 2 x 7 -> |W|, 42 x 5: a row per channel and tap"


def test_wrong_input_is_a_sentence() -> None:
    with pytest.raises(BadValue, match=r"no reduction 'L3'\. Near it: .*; all of them: l1, l2, max, signed sum, none"):
        as_matrix(KERNELS, "L3")
    with pytest.raises(BadValue, match="not finite"):
        as_matrix(np.full((2, 2, 1, 1), np.nan), "l1")
