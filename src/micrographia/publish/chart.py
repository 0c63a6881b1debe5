"""Charts as inline SVG that take the page's own colours: the histogram of a unit, the scale of signed colours."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from html import escape

import numpy as np

from micrographia.publish.draw import data_uri, png, signed
from micrographia.publish.words import number

_WIDTH, _HEIGHT = 520, 210
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 12, 14, 34


Number = float | int


def histogram(edges: Sequence[Number], counts: Sequence[Number], marks: Sequence[tuple[str, Number]] = ()) -> str:
    """How often each value occurs: bars over `edges` (one more than `counts`), counts on a logarithmic axis.

    `marks` are named values drawn as lines. The axis begins at half a count, so that a count of 1 is seen.

    >>> histogram([0, 1, 2], [90, 10]).startswith("<svg")
    True
    """
    low, high, most = edges[0], edges[-1], max([*counts, 1])
    span = (high - low) or 1.0
    floor, decades = -0.3, math.log10(most) + 0.3

    def across(value: Number) -> float:
        return _LEFT + (value - low) / span * (_WIDTH - _LEFT - _RIGHT)

    def up(count: Number) -> float:
        share = (math.log10(count) - floor) / decades if count > 0 else 0.0
        return _HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM)

    base = up(0)
    bars = "".join(
        f"M{across(left):.1f} {base}V{up(count):.1f}H{max(across(right) - 0.6, across(left) + 0.4):.1f}V{base}z"
        for left, right, count in zip(edges, edges[1:], counts, strict=False)
        if count > 0
    )
    every = 1 + int(decades) // 5
    lines = "".join(
        f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{up(10**e):.1f}" y2="{up(10**e):.1f}"/>'
        f'<text class="tick" x="{_LEFT - 8}" y="{up(10**e) + 4:.1f}" text-anchor="end">{_power(e)}</text>'
        for e in range(0, int(math.log10(most)) + 1, every)
    )
    ticks = "".join(
        f'<line class="axis" x1="{across(t):.1f}" x2="{across(t):.1f}" y1="{base}" y2="{base + 5}"/>'
        f'<text class="tick" x="{across(t):.1f}" y="{base + 20}" text-anchor="middle">{number(t)}</text>'
        for t in round_steps(low, high)
    )
    flags = "".join(
        f'<line class="mark" x1="{across(v):.1f}" x2="{across(v):.1f}" y1="{_TOP - 4}" y2="{base}"/>'
        f'<text class="tick strong" x="{across(v) + 5:.1f}" y="{_TOP + 6}">{escape(name)} {number(v)}</text>'
        for name, v in marks
    )
    label = f"Histogram of {number(sum(counts))} values from {number(low)} to {number(high)}, counts on a log axis"
    return (
        f'<svg class="chart" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{label}">{lines}'
        f'<path class="bars" d="{bars}"/>'
        f'<line class="axis" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{base}" y2="{base}"/>'
        f"{ticks}{flags}</svg>"
    )


def scale(limit: Number, low: str = "inhibits", high: str = "excites") -> str:
    """The legend of signed colours: from -limit through zero, which is the paper, to +limit.

    >>> "−0.25" in scale(0.25)
    True
    """
    label = f"Colour scale from {number(-limit)} ({low}) through 0 to {number(limit)} ({high})"
    words = f'<text class="tick" x="0" y="26">{number(-limit)} {low}</text>'
    words += '<text class="tick" x="120" y="26" text-anchor="middle">0</text>'
    words += f'<text class="tick" x="240" y="26" text-anchor="end">{high} {number(limit)}</text>'
    return (
        f'<svg class="scale" viewBox="0 0 240 30" role="img" aria-label="{label}">'
        f'<image href="{_ramp()}" width="240" height="12" preserveAspectRatio="none"/>'
        f'<rect class="frame" x=".5" y=".5" width="239" height="11" fill="none"/>{words}</svg>'
    )


def round_steps(low: Number, high: Number, count: int = 5) -> list[float]:
    """Round numbers across a range, about so many: steps of 1, 2 or 5 times a power of ten.

    >>> round_steps(0, 9.3)
    [0.0, 2.0, 4.0, 6.0, 8.0]
    """
    if not high > low:
        return [float(low)]
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * each for each in (1, 2, 5, 10) if power * each >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(i * step, 12) + 0.0 for i in range(first, last + 1)]


@cache
def _ramp() -> str:
    return data_uri(png(signed(np.linspace(-1, 1, 121)[None], 1.0)))


def _power(exponent: int) -> str:
    return f"{10**exponent:,}" if exponent < 4 else f'10<tspan dy="-5" font-size="9">{exponent}</tspan>'
