from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from micrographia.publish import words


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (3, "3"),
        (1234567, "1,234,567"),
        (4.0, "4"),
        (0.98765, "0.988"),
        (12345.6, "12,346"),
        (-0.5, "\u22120.5"),
        (0.000012, "1.2e\u22125"),
        (None, "\u2013"),
        (True, "yes"),
        ("neuron", "neuron"),
    ],
)
def test_number(value: object, text: str) -> None:
    assert words.number(value) == text


@given(st.floats(-1e12, 1e12))
def test_number_is_the_number_to_three_digits(value: float) -> None:
    read = float(words.number(value).replace(",", "").replace(words.MINUS, "-"))
    assert read == pytest.approx(value, rel=0.051 if abs(value) < 0.001 else 0.0051)


@pytest.mark.parametrize(
    ("share", "text"), [(0, "0 %"), (1, "100 %"), (0.1234, "12 %"), (0.05, "5.0 %"), (0.00001, "<0.01 %")]
)
def test_percent(share: float, text: str) -> None:
    assert words.percent(share) == text


def test_breakable_escapes() -> None:
    assert words.breakable("a_<b>.c") == "a_<wbr>&lt;b&gt;.<wbr>c"


def test_sizes_and_lists() -> None:
    assert words.square([3, 5]) == "3 \u00d7 5"
    assert words.listed({"a": [1, 2.5], "b": None}) == "a 1, 2.5, b \u2013"
    assert words.phrase("fraction_active") == "Fraction active"
