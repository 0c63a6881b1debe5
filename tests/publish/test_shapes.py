"""The drawing from filters to matrix: it says the shapes that it was given."""

from __future__ import annotations

import numpy as np
import pytest

from micrographia.publish.plot import encoded
from micrographia.publish.shapes import shapes


@pytest.mark.parametrize(
    ("reduction", "matrix", "words"),
    [
        ("l1", np.ones((3, 13)), ["13 filters of 3 x 5 x 7", "|W|: 3 x 13", "l1 over the 35 taps", "units of b"]),
        ("signed sum", -np.ones((3, 13)), ["W: 3 x 13", "signed sum over the 35 taps"]),
        ("none", np.ones((105, 13)), ["|W|: 105 x 13", "each filter a column of |weights|", "units of a x taps"]),
    ],
)
def test_the_shapes_are_said(reduction: str, matrix: np.ndarray, words: list[str]) -> None:
    drawn = encoded(shapes((13, 3, 5, 7), matrix, [0.6, 0.4], reduction, ("a", "b")), "svg").decode()
    for each in [*words, "f₁₂"]:
        assert each in drawn
