"""Plain values and their bytes: equal values give equal JSON, whatever the last bits of a float say."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from micrographia.errors import BadValue

DIGITS = 6


def plain(value: Any, what: str = "The value") -> Any:
    """JSON values, arrays as lists, floats at six significant digits; `what` begins the error's sentence.

    Raises BadValue for numbers that are not finite and for objects that JSON does not know.

    >>> plain({"mean": np.float32(0.1), "size": (1, 2)})
    {'mean': 0.1, 'size': [1, 2]}
    """
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise BadValue(f"{what} holds the number {value}, which cannot be kept. Give finite numbers.")
        return float(f"{value:.{DIGITS}g}") + 0.0  # no minus zero
    if isinstance(value, Mapping):
        return {str(key): plain(each, what) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(each, what) for each in value]
    if isinstance(value, (np.ndarray, np.generic)):
        return plain(value.tolist(), what)
    raise BadValue(
        f"{what} holds a {type(value).__name__}, which cannot be kept. Give numbers, texts, lists or dictionaries."
    )


def dumps(value: Any) -> bytes:
    """The bytes of plain values as one line of JSON, keys in order.

    >>> dumps({"b": [1, 2.5], "a": None})
    b'{"a":null,"b":[1,2.5]}\\n'
    """
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
