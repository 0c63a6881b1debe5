"""Figures with axes: the same bytes twice, zero is the paper, nothing global is left changed."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pytest

from micrographia.errors import BadValue
from micrographia.publish.plot import FORMATS, encoded, figure, signed_map

MAGIC = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}


@pytest.mark.parametrize("kind", FORMATS)
def test_the_same_figure_has_the_same_bytes(kind: str) -> None:
    def draw() -> bytes:
        fig, axes = figure(1, 2, (4.0, 2.0))
        axes[0, 0].plot([0, 1, 4])
        axes[0, 1].imshow(np.array([[-1.0, 0.0, 1.0]]), cmap=signed_map(), vmin=-1, vmax=1)
        return encoded(fig, kind)

    before = dict(mpl.rcParams)
    first = draw()
    assert first.startswith(MAGIC[kind])
    assert first == draw()
    assert dict(mpl.rcParams) == before


def test_zero_is_the_paper_and_the_ends_are_the_signed_scale() -> None:
    low, middle, high = (np.rint(np.array(signed_map()(x)[:3]) * 255).astype(int).tolist() for x in (0.0, 0.5, 1.0))
    assert (low, middle, high) == ([38, 120, 196], [251, 250, 247], [214, 69, 32])


def test_another_kind_is_refused() -> None:
    with pytest.raises(BadValue, match="png, svg, pdf"):
        encoded(figure()[0], "gif")
