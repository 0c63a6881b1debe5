"""Numbers and facts as people read them."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup, escape

MINUS, TIMES, DASH = "\u2212", "\u00d7", "\u2013"


def number(value: Any) -> str:
    """A number at three significant digits, with a true minus sign; a dash for what is not there.

    >>> number(-0.012345), number(1234567), number(None)
    ('−0.0123', '1,234,567', '–')
    """
    if value is None:
        return DASH
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value
    if isinstance(value, int) or (value == int(value) and abs(value) < 1e15):
        text = f"{int(value):,}"
    elif abs(value) >= 1000:
        text = f"{value:,.0f}"
    elif abs(value) >= 0.001:
        text = f"{value:.3g}"
    else:
        text = f"{value:.1e}".replace("e-0", "e-")
    return text.replace("-", MINUS)


def percent(share: float | int) -> str:
    """A share of 1 in per cent.

    >>> percent(0.0412), percent(0.00003)
    ('4.1 %', '<0.01 %')
    """
    value = share * 100
    if 0 < abs(value) < 0.01:
        return "<0.01 %"
    digits = 0 if value == 0 else 2 if abs(value) < 1 else 1 if abs(value) < 10 else 0
    return f"{value:.{digits}f} %".replace("-", MINUS)


def phrase(name: str) -> str:
    """A name from code as a label: `fraction_active` is Fraction active."""
    text = name.replace("_", " ").strip()
    return text[:1].upper() + text[1:]


def listed(value: Any) -> str:
    """Any plain value in one line: a list with commas, a dictionary as `name value` pairs.

    >>> listed({"steps": 512, "layers": ["conv2d0", "mixed3a"]})
    'steps 512, layers conv2d0, mixed3a'
    """
    if isinstance(value, dict):
        return ", ".join(f"{name} {listed(each)}" for name, each in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(listed(each) for each in value)
    return number(value)


def square(value: Any) -> str:
    """A size that is a number or (height, width), as one: 7 is 7 × 7.

    >>> square(7), square([1, 7])
    ('7 × 7', '1 × 7')
    """
    height, width = value if isinstance(value, (list, tuple)) else (value, value)
    return f"{number(height)} {TIMES} {number(width)}"


def breakable(name: str) -> Markup:
    """A layer's name as HTML that may break after `_` and `.`.

    >>> breakable("mixed3a_3x3")
    Markup('mixed3a_<wbr>3x3')
    """
    return Markup(str(escape(name)).replace("_", "_<wbr>").replace(".", ".<wbr>"))
