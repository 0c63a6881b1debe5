"""The circuit card as a figure: its kinds of file, one scale for all kernels, and equal sheets in equal bytes."""

from __future__ import annotations

import io
import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from micrographia.errors import BadValue
from micrographia.publish.card import Curve, Neighbour, Sheet, draw_card
from micrographia.publish.draw import COOL, WARM


def tile(side: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)


def neighbour(name: str, kernel: np.ndarray | None = None, cancelling: bool = False) -> Neighbour:
    return Neighbour(name, tile(23, 1), 0.12, 3.0, 1.0, "excitatory", cancelling, kernel)


@pytest.fixture(scope="module")
def sheet() -> Sheet:
    kernels = [np.full((3, 3), value) for value in (0.5, -0.5, 0.25)]
    return Sheet(
        title="mixed3b:379", lead=["a network, a layer"], portrait=tile(37, 0), portrait_note="reaches 3",
        examples=[tile(29, i) for i in range(5)], examples_note="strongest", heading="Its 3 strongest inputs of 7",
        inputs=[neighbour(f"mixed3a:{i}", kernel, i == 1) for i, kernel in enumerate(kernels)],
        users_heading="Read by 1", users=[neighbour("mixed4a:2")], facts=["One sentence. " * 9, "Another."],
        curve=Curve((1, 3, 7), (0.1, 0.5, 1.0), (0.0, 0.1, 1.0), (0.1, 0.3, 1.0), (0.2, 0.6, 1.0), 3),
    )  # fmt: skip


@pytest.mark.parametrize(("kind", "start"), [("png", b"\x89PNG"), ("pdf", b"%PDF"), ("svg", b"<?xml")])
def test_equal_sheets_have_equal_bytes(sheet: Sheet, kind: str, start: bytes) -> None:
    first, second = draw_card(sheet, kind, 60), draw_card(sheet, kind, 60)
    assert first == second
    assert first.startswith(start)


def test_the_words_are_on_it(sheet: Sheet) -> None:
    text = re.sub(r"<[^>]+>", " ", draw_card(sheet, "svg").decode())
    for word in ("mixed3b:379", "mixed3a:2", "mixed4a:2", "excitatory 75 %", "12 % of the squared norm", "reaches 3",
                 "Its 3 strongest inputs of 7", "explained (R²)", "one scale for all kernels", "excites 0.5"):  # fmt: skip
        assert word in text, word
    assert text.count("spatially cancelling") == 1


def test_all_kernels_are_on_one_scale(sheet: Sheet) -> None:
    """The strongest weight has the scale's own end, half of it a colour half way to the paper."""
    pixels = np.asarray(Image.open(io.BytesIO(draw_card(sheet, dpi=60))).convert("RGB")).reshape(-1, 3).astype(int)
    half = (np.array(WARM) + np.array((251, 250, 247))) / 2
    for colour in (np.array(WARM), np.array(COOL), half):
        # an area the size of a kernel, not the scale's or a bar's few pixels
        assert (np.abs(pixels - colour).max(1) <= 3).sum() > 1500


def test_a_unit_that_reads_pixels_and_missing_pictures_are_drawn(sheet: Sheet) -> None:
    odd = replace(sheet, own=tile(7, 3), curve=None, portrait=None, examples=[], users=[])
    with Image.open(io.BytesIO(draw_card(odd, dpi=40))) as image:
        assert image.size[0] == 520
    assert "no picture" in draw_card(odd, "svg").decode()


def test_another_kind_is_refused(sheet: Sheet) -> None:
    with pytest.raises(BadValue, match="gif"):
        draw_card(sheet, "gif")
