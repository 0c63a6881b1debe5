"""Panels: the sections of the pages. A panel reads records and gives HTML; the built-in ones come in by the same door.

The kinds of record, with the `values` that the built-in panels read (`?` marks what may be left out):

- `vis`, a unit's optimised picture. File `vis.jpg`, none where the unit stayed dead; more pictures as `vis-NAME.jpg`.
  {"size": px, "objective": "neuron" or "channel", "reached": activation, "dead": bool, "steps": n, "flat"?: activation
  on plain grey, "saturated"? and "grain"?: shares of burnt values and of energy above half the highest frequency,
  "held_out"?: {change: share of the activation that is kept}, and any further honest numbers, shown under their own
  names}. Scalar `vis_reached`.
- `path`, whether the picture takes the way that the unit's examples take. {"layers": [{"layer", "own", "others",
  "natural"}]: rank correlations of the picture with the unit's examples and with examples of other units, and of the
  examples with each other; "effect", "null", "p", "corrected_p", "n": number of other units}. Scalar `path_effect`.
- `examples`, the pictures that excite a unit most. File `examples.jpg`: square crops of `tile` px, left to right.
  {"tile": px, "examples": [{"picture": name, "class"?: text, "value": activation, "position"?: [row, column] in the
  layer, "box"?: [left, top, right, bottom] in px of the picture, "credit"?: whose picture it is}]}.
- `activation`, how a unit behaves over all pictures. {"histogram": {"edges", "counts"}, "fraction_active", "mean",
  "std", "max", "pictures": n, "classes"?: [{"class", "mean", "n", "low", "high"}]}; a class's mean is that of its
  pictures' largest activations, low and high the ends of its 95 % interval, and the strongest class comes first.
  Scalars `fraction_active`, `mean`, `max`.
- `weights`, what a unit reads and who reads it. {"inputs": [NEIGHBOUR], "users": [NEIGHBOUR], "limit"?: largest weight
  of all without its sign, "covered"?: share of the squared norm in the listed inputs, "count"?: number of all inputs}
  with NEIGHBOUR = {"unit": address, "norm", "share": of the squared norm over all inputs of the reading unit,
  "positive", "negative": sums of the weights of one sign, "sign": "excitatory", "inhibitory" or "mixed", "kernel":
  rows, "via"?: layer between}. Scalar `norm`. Each list is drawn on one signed scale that ends at its largest weight.
  A unit that reads pixels may have its kernel in colour as `weights.png`, one pixel per weight.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup

from micrographia.errors import BadValue
from micrographia.publish import chart, draw, words
from micrographia.publish.standing import share_below
from micrographia.publish.survey import Scene, shown
from micrographia.unit import Unit

View = Callable[[Scene], Mapping[str, Any] | None]
_FACTS = {
    "reached": "Activation reached",
    "held_out": "Of it kept when changed",
    "flat": "Activation on grey",
    "saturated": "Black or white",
    "grain": "Energy in the finest detail",
    "size": "Size in px",
    "objective": "Objective",
    "steps": "Steps",
}
_SHARES = {"held_out", "saturated", "grain"}
_SIGNS = {"excitatory": "excites", "inhibitory": "inhibits", "mixed": "mixed"}


@dataclass(frozen=True)
class Panel:
    """A section of a page: shown where all `kinds` of record are there and `html` gives something.

    `html` takes a Scene and returns safe HTML, or None for nothing to show. `width` counts twelfths of the page,
    `level` says which pages: "unit" or "layer".
    """

    name: str
    title: str
    kinds: tuple[str, ...]
    html: Callable[[Scene], str | None]
    width: int = 12
    level: str = "unit"


PANELS: dict[str, Panel] = {}
"""Every panel by its name, which is also its anchor on the page, in the order of the page. Add with `register`."""


def register(panel: Panel) -> Panel:
    """Put a panel on every page of its level; raises BadValue where the name is taken or the level unknown.

    >>> register(Panel("note", "Note", ("note",), lambda scene: scene.records["note"].values["html"]))  # doctest: +SKIP
    """
    if panel.name in PANELS or panel.level not in ("unit", "layer"):
        raise BadValue(
            f"The panel '{panel.name}' of level '{panel.level}' cannot be added. Its name must be new "
            f"(taken: {', '.join(PANELS)}) and its level 'unit' or 'layer'."
        )
    PANELS[panel.name] = panel
    return panel


def drawn(scene: Scene) -> list[tuple[Panel, Markup]]:
    """The panels that have something to show about this unit or layer, with their HTML."""
    level = "unit" if isinstance(scene.place, Unit) else "layer"
    fitting = [p for p in PANELS.values() if p.level == level and all(kind in scene.records for kind in p.kinds)]
    html = ((panel, panel.html(scene)) for panel in fitting)
    return [(panel, Markup(text)) for panel, text in html if text]


def missing(scene: Scene) -> list[str]:
    """The titles of this level's panels whose records are not there (yet), one for each kind of record."""
    level = "unit" if isinstance(scene.place, Unit) else "layer"
    lacking = [p for p in PANELS.values() if p.level == level and not all(k in scene.records for k in p.kinds)]
    first: dict[tuple[str, ...], str] = {}
    for panel in lacking:
        first.setdefault(panel.kinds, panel.title)
    return list(first.values())


@cache
def environment() -> jinja2.Environment:
    """The templates, with the words' filters."""
    found = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters = (words.number, words.percent, words.phrase, words.listed, words.square, words.breakable)
    found.filters.update({each.__name__: each for each in filters})
    return found


def templated(template: str, view: View) -> Callable[[Scene], str | None]:
    """The `html` of a panel from one of our templates and the function that finds what the template shows."""
    return partial(_templated, template, view)


def _templated(template: str, view: View, scene: Scene) -> str | None:
    values = view(scene)
    return None if values is None else environment().get_template(f"panels/{template}").render(values)


def _vis(scene: Scene) -> dict[str, Any]:
    record = scene.records["vis"]
    pictures = [name for name in record.files if not record.values.get("dead")]
    facts = [(_FACTS.get(k, words.phrase(k)), _fact(k, v)) for k, v in record.values.items() if k != "dead"]
    facts.sort(key=lambda fact: [*_FACTS.values(), fact[0]].index(fact[0]))
    if (activation := scene.records.get("activation")) and "reached" in record.values:
        facts[1:1] = _against(record.values["reached"], activation.values)
    named = {name: name.rpartition(".")[0].partition("-")[2].replace("-", " ") for name in sorted(pictures)}
    return {
        "unit": scene.place,
        "main": next((name for name, words_ in named.items() if not words_), None),
        "others": [(name, caption) for name, caption in named.items() if caption],
        "facts": [*facts, ("Seed", words.number(record.made_by.seed))],
    }


def _fact(name: str, value: Any) -> str:
    if name not in _SHARES:
        return words.listed(value)
    if isinstance(value, dict):
        return ", ".join(f"{each} {words.percent(share)}" for each, share in value.items())
    return words.percent(value)


def _against(reached: float, activation: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Where an activation stands among those of the pictures."""
    bins = activation["histogram"]
    below = share_below(reached, np.array(bins["edges"], float), np.array(bins["counts"], int), activation["max"])
    return [
        ("Maximum in the pictures", words.number(activation["max"])),
        ("Above", "all activations in the pictures" if below == 1 else f"{words.percent(below)} of their activations"),
    ]


def _path(scene: Scene) -> dict[str, Any] | None:
    if "path" not in scene.records:  # a first layer has none, nor has a small one
        return None
    values = scene.records["path"].values
    p = values["corrected_p"] if values.get("corrected_p") is not None else values["p"]
    columns = ("own", "natural", "others")
    rows = [
        {"layer": each["layer"]} | {n: "-" if each[n] is None else words.number(each[n]) for n in columns}
        for each in values["layers"]
    ]
    return {"rows": rows, "p": words.number(p), "holds": p <= 0.05, "n": values["n"], "null": values["null"]}


def _examples(scene: Scene) -> dict[str, Any] | None:
    record = scene.records["examples"]
    crops = record.values["examples"]
    if not crops or not record.files:
        return None
    steps = max(len(crops) - 1, 1)
    shown = [
        {
            "picture": crop["picture"],
            "kind": crop.get("class") or "",
            "value": words.number(crop["value"]),
            "place": "row {}, column {}".format(*crop["position"]) if crop.get("position") else "",
            "at": f"{100 * i / steps:.4g}",
        }
        for i, crop in enumerate(crops)
    ]
    credits = {
        f"{crop.get('class') or crop['picture']}: {crop['credit']}": None for crop in crops if crop.get("credit")
    }
    return {"unit": scene.place, "strip": record.files[0], "crops": shown, "credits": list(credits)}


def _activation(scene: Scene) -> dict[str, Any]:
    values = scene.records["activation"].values
    bins = values["histogram"]
    facts = [
        ("Fraction active", words.percent(values["fraction_active"])),
        ("Mean", words.number(values["mean"])),
        ("Standard deviation", words.number(values["std"])),
        ("Maximum", words.number(values["max"])),
    ]
    plot = chart.histogram(bins["edges"], bins["counts"], [("mean", values["mean"])])
    return {"plot": Markup(plot), "facts": facts, "pictures": values["pictures"]}


def _classes(scene: Scene) -> dict[str, Any] | None:
    rows = scene.records["activation"].values.get("classes")
    if not rows:
        return None
    low, high = min(0.0, *(row["low"] for row in rows)), max(row["high"] for row in rows)
    span = (high - low) or 1.0
    places = [{name: f"{100 * (row[name] - low) / span:.4g}" for name in ("low", "mean", "high")} for row in rows]
    return {"rows": list(zip(rows, places, strict=True)), "low": low, "high": high, "zero": f"{-100 * low / span:.4g}"}


def _neighbours(scene: Scene, which: str) -> dict[str, Any] | None:
    record = scene.records["weights"]
    listed = record.values.get(which, [])
    own = "weights.png" if which == "inputs" and "weights.png" in record.files else None
    if not listed and own is None:
        return None
    kernels = [np.array(each["kernel"], dtype=np.float64) for each in listed]
    limit = max((float(np.abs(kernel).max()) for kernel in kernels), default=0.0) or 1.0
    through = {_via(scene, each) for each in listed}
    return {
        "which": which,
        "unit": scene.place,
        "own": own,
        "neighbours": [
            _neighbour(scene, each, draw.kernel_png(kernel, limit), len(through) > 1)
            for each, kernel in zip(listed, kernels, strict=True)
        ],
        "scale": Markup(chart.scale(limit)) if listed else "",
        "covered": record.values.get("covered"),
        "count": record.values.get("count"),
        "via": through.pop() if len(through) == 1 else None,
    }


def _via(scene: Scene, values: Mapping[str, Any]) -> str | None:
    """The layer between, where it is neither of the two."""
    ends = {str(place).partition(":")[0] for place in (scene.place, values["unit"])}
    return None if values.get("via") in ends else values.get("via")


def _colours(scene: Scene) -> list[str]:
    """What the channels of the network's input are called, in its own order; nothing where they are not three."""
    card = scene.survey.store.manifest.card
    names = {"R": "red", "G": "green", "B": "blue"}
    return [names[letter] for letter in card.get("order", "RGB")] if card.get("channels", 3) == 3 else []


def _neighbour(scene: Scene, values: Mapping[str, Any], kernel: bytes, tell_via: bool) -> dict[str, Any]:
    positive, negative = abs(values["positive"]), abs(values["negative"])
    rows, unit = values["kernel"], Unit.parse(values["unit"])
    pixels = scene.survey.layers.get(unit.layer, {"op": "input"}).get("op") == "input"
    colours = _colours(scene)
    return {
        **shown(scene.survey, scene.place, unit),
        "pixels": pixels,
        "colour": colours[unit.channel] if pixels and unit.channel < len(colours) else None,
        "kernel": draw.data_uri(kernel),
        "size": words.square([len(rows), len(rows[0])]),
        "norm": words.number(values["norm"]),
        "share": words.percent(values["share"]),
        "sign": _SIGNS.get(values["sign"], values["sign"]),
        "positive": words.percent(positive / ((positive + negative) or 1.0)),
        "warm": f"{100 * positive / ((positive + negative) or 1.0):.3g}",
        "via": _via(scene, values) if tell_via else None,
    }


def _inputs(scene: Scene) -> dict[str, Any] | None:
    return _neighbours(scene, "inputs")


def _users(scene: Scene) -> dict[str, Any] | None:
    return _neighbours(scene, "users")


register(Panel("vis", "Optimised picture", ("vis",), templated("vis.html", _vis), 4))
register(Panel("examples", "Strongest in the pictures", ("examples",), templated("examples.html", _examples), 8))
register(Panel("path", "Path check", ("vis",), templated("path.html", _path), 6))
register(Panel("inputs", "Strongest inputs", ("weights",), templated("weights.html", _inputs), 6))
register(Panel("users", "Used by", ("weights",), templated("weights.html", _users), 6))
register(Panel("activation", "Activation", ("activation",), templated("activation.html", _activation), 6))
register(Panel("classes", "Classes", ("activation",), templated("classes.html", _classes), 6))
