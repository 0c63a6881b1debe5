from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from micrographia.errors import BadAddress
from micrographia.unit import Unit, UnitRange, unknown_layer

LETTERS = st.characters(exclude_characters=":@").filter(lambda letter: not re.match(r"\s", letter))
LAYERS = st.text(LETTERS, min_size=1, max_size=12)
NUMBERS = st.integers(0, 999_999_999)
UNITS = st.builds(Unit, LAYERS, NUMBERS, st.none() | st.tuples(NUMBERS, NUMBERS))
SPANS = st.tuples(NUMBERS, NUMBERS).map(lambda span: (min(span), max(span)))


@given(UNITS)
def test_a_unit_is_its_address(unit: Unit) -> None:
    assert Unit.parse(str(unit)) == unit
    assert len(str(unit).split()) == 1


@given(LAYERS, st.lists(SPANS, max_size=5))
def test_a_range_is_its_address(layer: str, spans: list[tuple[int, int]]) -> None:
    wanted = UnitRange(layer, tuple(spans))
    assert UnitRange.parse(str(wanted)) == wanted


@given(st.text())
def test_any_text_is_an_address_or_a_clear_error(text: str) -> None:
    for kind in (Unit, UnitRange):
        try:
            read = kind.parse(text)
        except BadAddress as error:
            assert text in str(error)  # noqa: PT017 - most texts are no addresses, some are
        else:
            assert kind.parse(str(read)) == read


@given(st.lists(UNITS, max_size=6))
def test_units_sort_by_layer_channel_and_position(units: list[Unit]) -> None:
    ordered = sorted(units)
    keys = [(unit.layer, unit.channel, () if unit.position is None else unit.position) for unit in ordered]
    assert keys == sorted(keys)


@given(st.integers(1, 40), st.lists(st.tuples(st.integers(0, 39), st.integers(0, 39)), max_size=4))
def test_units_of_a_range(channels: int, pairs: list[tuple[int, int]]) -> None:
    spans = tuple((min(pair) % channels, max(min(pair) % channels, max(pair) % channels)) for pair in pairs)
    units = UnitRange("conv", spans).units(channels)
    expected = [c for c in range(channels) if not spans or any(a <= c <= b for a, b in spans)]
    assert units == [Unit("conv", channel) for channel in expected]


@pytest.mark.parametrize(
    "text",
    [
        "", "mixed3b", "mixed3b:", ":3", "mixed3b:-1", "mixed3b:3.5", "mixed3b:3@4", "mixed3b:3@4,", "mixed3b:3@4,4,4",
        "mixed3b:3 ", " mixed3b:3", "mixed3b:3\n", "mixed 3b:3", "mixed3b::3", "a:b:3", "mixed3b@3", "mixed3b:3@-1,2",
        "mixed3b:٣", "mixed3b:" + "9" * 5000, "mixed3b:1e3", "mixed3b:*", "mixed3b:0-3",
    ],
)  # fmt: skip
def test_malformed_units(text: str) -> None:
    with pytest.raises(BadAddress, match=r"is not the address of a unit\. Write layer:channel"):
        Unit.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "", ":", ":3", "a:", "a:,", "a:1,", "a:-1", "a:1-", "a:1-2-3", "a:1@2,3", "a b:1", "a:*,1", "a:1:2", "a:٣",
        "a\r:1",
    ],
)  # fmt: skip
def test_malformed_ranges(text: str) -> None:
    with pytest.raises(BadAddress, match=r"does not name units\. Write layer:channel"):
        UnitRange.parse(text)


def test_a_backward_range_says_what_to_write() -> None:
    with pytest.raises(BadAddress, match=r"'a:0-3,9-4' runs backwards\. Write the smaller channel first: 4-9\."):
        UnitRange.parse("a:0-3,9-4")


def test_out_of_range_says_the_range() -> None:
    with pytest.raises(BadAddress, match=re.escape("conv has no unit 7. Its 7 units are conv:0 to conv:6.")):
        UnitRange.parse("conv:2-7").units(7)
    with pytest.raises(BadAddress, match="conv has no unit 9"):
        UnitRange.parse("conv:9-12").units(7)


def test_texts_that_name_all() -> None:
    assert UnitRange.parse("conv") == UnitRange.parse("conv:*") == UnitRange("conv")
    assert len(UnitRange.parse("conv").units(5)) == 5
    assert UnitRange.parse("conv:007").spans == ((7, 7),)


@pytest.mark.parametrize(
    "wrong", [("a:b", 1, None), ("", 1, None), ("a", -1, None), ("a", 1, (0, -1)), ("a@", 1, None)]
)
def test_what_has_no_address_cannot_be_made(wrong: tuple) -> None:
    with pytest.raises(BadAddress, match="cannot be the address of a unit"):
        Unit(*wrong)


def test_an_unknown_layer_names_the_nearest() -> None:
    error = unknown_layer("mixed3", ["conv2d0", "mixed3a", "mixed3b"])
    assert str(error).startswith("There is no layer 'mixed3'. Near it: mixed3b, mixed3a;")
