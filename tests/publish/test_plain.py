from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from micrographia.errors import BadValue
from micrographia.publish.plain import dumps, plain

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@settings(max_examples=40)
@given(values)
def test_plain_is_stable_and_survives_json(value: object) -> None:
    once = plain(value)
    assert plain(once) == once
    assert json.loads(dumps(once)) == once


@given(st.floats(-1e30, 1e30), st.floats(-1e-9, 1e-9))
def test_the_last_bits_do_not_reach_the_file(value: float, off: float) -> None:
    assert plain(value) == pytest.approx(value, rel=5e-6)
    assert dumps(plain(0.1 + off * 0.1)) == b"0.1\n"


def test_arrays_become_lists() -> None:
    found = plain({"a": np.eye(2, dtype=np.float32), "n": np.int64(3), "b": np.bool_(True), "t": (1, 2)})
    assert found == {"a": [[1.0, 0.0], [0.0, 1.0]], "n": 3, "b": True, "t": [1, 2]}


def test_no_minus_zero() -> None:
    assert math.copysign(1, plain(-0.0)) == 1


@pytest.mark.parametrize(
    ("value", "said"), [(float("nan"), "number nan"), (np.float32("inf"), "inf"), ({1, 2}, "a set")]
)
def test_what_cannot_be_kept(value: object, said: str) -> None:
    with pytest.raises(BadValue, match=rf"The mean holds .*{said}.*, which cannot be kept\. Give "):
        plain({"deep": [value]}, "The mean")
