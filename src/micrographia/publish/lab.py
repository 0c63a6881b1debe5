"""The page of a lab: one HTML file that loads nothing, holds its own numbers, and has room for the student's words."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from micrographia.errors import BadValue
from micrographia.publish import chart, draw, words
from micrographia.publish.draw import Tile
from micrographia.publish.panels import environment
from micrographia.publish.site import STATIC

DATA = "lab-data"
_HERE = Path(__file__).parent / "templates"
_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 520, 230, 46, 12, 10, 40


@dataclass(frozen=True, eq=False)
class Pictures:
    """What the page shows beside its numbers: tiles in the order of the numbers, None where there is no picture.

    `own` is the kernel in colour of a unit that reads pixels.
    """

    guesses: Sequence[Tile]
    portrait: Tile | None
    examples: Sequence[Tile]
    inputs: Sequence[Tile | None]
    own: Tile | None = None


def lab_page(document: Mapping[str, Any], pictures: Pictures) -> str:
    """The page of a lab's document {schema, version, parameters, numbers}. Equal documents give equal pages.

    >>> lab_page(lab.to_json(), lab.pictures)[:15]  # doctest: +SKIP
    '<!doctype html>'
    """
    numbers = document["numbers"]
    card, check = numbers["card"], numbers["card"]["check"]
    kernels = [np.array(each["kernel"], dtype=np.float64) for each in card["inputs"]]
    limit = max((float(np.abs(kernel).max()) for kernel in kernels), default=0.0) or 1.0
    values = {
        "version": document["version"],
        "parameters": document["parameters"],
        "numbers": numbers,
        "data": Markup(json.dumps(document, ensure_ascii=False).replace("<", "\\u003c")),
        "css": Markup((STATIC / "site.css").read_text() + (_HERE / "lab.css").read_text()),
        "js": Markup((_HERE / "lab.js").read_text()),
        "theme": Markup((STATIC / "theme.js").read_text()),
        "guesses": [(line, _jpeg(tile)) for line, tile in zip(numbers["guesses"], pictures.guesses, strict=True)],
        "portrait": _jpeg(pictures.portrait),
        "own": None if pictures.own is None else draw.data_uri(draw.png(np.asarray(pictures.own, np.uint8))),
        "examples": [(line, _jpeg(tile)) for line, tile in zip(numbers["examples"], pictures.examples, strict=True)],
        "inputs": [
            {
                **line, **more, "picture": _jpeg(tile), "png": draw.data_uri(draw.kernel_png(kernel, limit)),
                "warm": 100 * line["positive"] / ((line["positive"] + line["negative"]) or 1.0),
            }
            for line, more, tile, kernel in zip(
                card["inputs"], numbers["inputs"], pictures.inputs, kernels, strict=True
            )
        ],
        "size": words.square(list(kernels[0].shape)),
        "scale": Markup(chart.scale(limit)),
        "curve": None if check is None or check["p"] is None else Markup(_curve(check)),
        "ranking": _axis(numbers["ranking"]["classes"], numbers["ranking"]["chance"]),
        "effects": _axis(
            [{**each, **each["unit"]} for each in numbers["ablation"]["effects"] if each["unit"] is not None],
            0,
        ),
    }  # fmt: skip
    return environment().get_template("lab.html").render(values)


def lab_document(text: str, name: str) -> dict[str, Any]:
    """The document that a page holds; raises BadValue where there is none, or it is damaged.

    >>> lab_document(page, "lab.html")["parameters"]["unit"]  # doctest: +SKIP
    'mixed3b:379'
    """
    reader = _Reader()
    reader.feed(text)
    if not reader.found:
        raise BadValue(f"{name} is no lab report: it holds no numbers. Make one with: micrographia lab MODEL UNIT.")
    try:
        document = json.loads("".join(reader.found))
        known = {each: document[each] for each in ("schema", "version", "parameters", "numbers")}
        complete = all("fingerprint" in known["numbers"][each] for each in ("network", "images"))
    except (ValueError, KeyError, TypeError) as error:
        raise BadValue(f"The numbers in {name} are damaged. Take the file as the program wrote it.") from error
    if not complete:
        raise BadValue(f"The numbers in {name} are not complete. Take the file as the program wrote it.")
    return known


class _Reader(HTMLParser):
    """Collects the text of the one script that is data."""

    def __init__(self) -> None:
        super().__init__()
        self.inside, self.found = False, list[str]()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.inside = tag == "script" and ("id", DATA) in attrs

    def handle_endtag(self, tag: str) -> None:
        self.inside = False

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.found.append(data)


def _jpeg(tile: Tile | None) -> str | None:
    return None if tile is None else draw.data_uri(draw.encode(np.asarray(tile), quality=85), "jpeg")


def _axis(rows: Sequence[Mapping[str, Any]], zero: float | int) -> dict[str, Any]:
    """Rows with the places of their means and intervals, in per cent, on one axis that holds them all and `zero`."""
    names = ("low", "mean", "high")
    numbers = [row[name] for row in rows for name in names]
    low, high = min([zero, *numbers]), max([zero, *numbers])
    span = (high - low) or 1.0
    places = [{name: f"{100 * (row[name] - low) / span:.4g}" for name in names} for row in rows]
    return {"rows": list(zip(rows, places, strict=True)), "zero": f"{100 * (zero - low) / span:.4g}"}


def _curve(check: Mapping[str, Any]) -> str:
    """The share explained by the strongest inputs, one more at a time, over what inputs drawn at random explain."""
    steps = np.array(check["steps"], float)
    low = max(min(0.0, *check["curve"], *check["null_low"]), -1.0)

    def at(step: float | int, share: float | int) -> str:
        across = np.log(step) / np.log(max(steps[-1], 2))
        up = (min(max(share, low), 1.0) - low) / (1 - low)
        x, y = _LEFT + across * (_WIDTH - _LEFT - _RIGHT), _HEIGHT - _BOTTOM - up * (_HEIGHT - _TOP - _BOTTOM)
        return f"{x:.1f},{y:.1f}"

    lines = {name: " ".join(map(at, steps, check[name])) for name in ("curve", "null_low", "null_middle", "null_high")}
    band = lines["null_high"] + " " + " ".join(reversed(lines["null_low"].split()))
    ticks = "".join(
        f'<text class="tick" x="{at(step, low).split(",")[0]}" y="{_HEIGHT - _BOTTOM + 18}" '
        f'text-anchor="middle">{step}</text>'
        for step in sorted({1, check["k"], check["steps"][-1]})
    )
    shares = "".join(
        f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y}" y2="{y}"/>'
        f'<text class="tick" x="{_LEFT - 8}" y="{float(y) + 4:.1f}" text-anchor="end">{words.number(share)}</text>'
        for share in (0, 0.5, 1)
        for y in [at(1, share).split(",")[1]]
    )
    x, y = at(check["k"], check["share"]).split(",")
    return (
        f'<svg class="chart explained" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="Share explained by the '
        f'strongest inputs, one more at a time">{shares}<polygon class="null" points="{band}"/>'
        f'<polyline class="random" points="{lines["null_middle"]}"/><polyline class="own" points="{lines["curve"]}"/>'
        f'<circle class="dot" cx="{x}" cy="{y}" r="4.5"/>{ticks}'
        f'<text class="tick" x="{(_LEFT + _WIDTH) / 2}" y="{_HEIGHT - 4}" text-anchor="middle">inputs, strongest first'
        "</text></svg>"
    )
