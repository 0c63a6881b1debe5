"""The pages of the site, one function for each kind: the network, a layer, a unit; each with its JSON twin."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from markupsafe import Markup

from micrographia.publish import diagram, panels, urls, words
from micrographia.publish.store import SCHEMA, Record
from micrographia.publish.survey import Scene, Survey, beside, branch, scene, shown, tile
from micrographia.unit import Unit

_STRIP = 12
_SORTS = {
    "fraction_active": "Fraction active",
    "mean": "Mean activation",
    "max": "Maximum activation",
    "norm": "Weight norm",
    "vis_reached": "Reached by its picture",
}


@dataclass(frozen=True)
class Page:
    """A finished page and its twin: the same content for people and for programs."""

    place: urls.Place
    html: str
    twin: Mapping[str, Any]


def render(look: Survey, place: urls.Place) -> Page:
    """One page of the site: of a unit, of a layer (its name), or of the network (None).

    >>> render(survey(store), Unit("mixed3b", 379)).twin["address"]
    'mixed3b:379'
    """
    if place is None:
        return _home(look)
    return _unit(look, place) if isinstance(place, Unit) else _layer(look, place)


def _home(look: Survey) -> Page:
    manifest = look.store.manifest
    drawn = diagram.rows(manifest.layers)
    lanes = 1 + max((row.lane for row in drawn), default=0)
    lines = []
    for layer, row in zip(manifest.layers, drawn, strict=True):
        name = layer["name"]
        channels = list(look.observed.get(name, {}))
        lines.append(
            {
                **_facts(layer),
                "name": name,
                "href": urls.link(None, name) if name in look.observed else None,
                "observed": len(channels),
                "lane": row.lane,
                "rail": Markup(diagram.svg(row, lanes)),
                "strip": _strip(look, name, channels),
                "branches": [
                    (each, any(each["first"] <= channel <= each["last"] for channel in channels))
                    for each in layer.get("branches") or []
                ],
            }
        )
    units = sum(line["observed"] for line in lines)
    values = {
        "lines": lines,
        "lanes": lanes,
        "units": units,
        "card": _card(manifest.card),
        "observed": len(look.observed),
    }
    listed = [
        {**layer, "observed": len(look.observed.get(layer["name"], {})), "page": line["href"]}
        for layer, line in zip(manifest.layers, lines, strict=True)
    ]
    twin = {**_head(look), "card": manifest.card, "layers": listed, "units": units}
    return Page(None, _template("home.html", look, None, values), twin)


def _layer(look: Survey, name: str) -> Page:
    layer, channels = look.layers[name], list(look.observed[name])
    branches = layer.get("branches") or []
    numbers = {key: dict(look.scalars.get(name, {}).get(key, {})) for key in _sorts(look, name)}
    groups: list[dict[str, Any]] = []
    for channel in channels:
        own = branch(layer, channel)
        if not groups or groups[-1]["branch"] != own:
            about = _facts(look.layers[own["name"]]) if own and own["name"] in look.layers else {"op": "", "sees": ""}
            said = ", ".join(filter(None, (about["op"], about["sees"])))
            groups.append({"branch": own, "at": branches.index(own) if own else None, "about": said, "tiles": []})
        groups[-1]["tiles"].append(shown(look, name, Unit(name, channel)))
    view = scene(look, name)
    names = list(look.observed)
    at = names.index(name)
    values = {
        **_facts(layer),
        "name": name,
        "groups": groups,
        "branches": [each for each in branches if any(g["branch"] == each for g in groups)],
        "numbers": {key: {str(c): v for c, v in found.items()} for key, found in numbers.items()},
        "sorts": [(key, _SORTS.get(key, words.phrase(key))) for key in numbers],
        "observed": len(channels),
        "channels": layer["channels"],
        "panels": panels.drawn(view),
        "records": list(view.records.values()),
        "before": names[at - 1] if at else None,
        "after": names[at + 1] if at + 1 < len(names) else None,
    }
    units = [
        {
            **_where(look, Unit(name, tile["channel"])),
            "page": tile["href"],
            "picture": tile["picture"],
            "scalars": {key: found[tile["channel"]] for key, found in numbers.items() if tile["channel"] in found},
        }
        for group in groups
        for tile in group["tiles"]
    ]
    twin = {**_head(look), "address": name, "layer": layer, "units": units, "records": _records(view)}
    return Page(name, _template("layer.html", look, name, values), twin)


def _unit(look: Survey, unit: Unit) -> Page:
    layer = look.layers[unit.layer]
    view = scene(look, unit)
    before, after = beside(look, unit)
    own = branch(layer, unit.channel)
    small = tile(look, unit)
    values = {
        **_facts(look.layers.get(own["name"], layer) if own else layer),
        "unit": unit,
        "units": layer["channels"],
        "branch": own,
        "branch_at": layer["branches"].index(own) if own else None,
        "panels": panels.drawn(view),
        "missing": panels.missing(view),
        "records": list(view.records.values()),
        "before": shown(look, unit, before) if before else None,
        "after": shown(look, unit, after) if after else None,
    }
    twin = {
        **_head(look),
        **_where(look, unit),
        "layer": layer,
        "picture": small.file if small else None,
        "previous": str(before) if before else None,
        "next": str(after) if after else None,
        "records": _records(view),
    }
    return Page(unit, _template("unit.html", look, unit, values), twin)


def _template(name: str, look: Survey, place: urls.Place, values: Mapping[str, Any]) -> str:
    manifest = look.store.manifest
    page = {
        "network": manifest.network,
        "fingerprint": manifest.fingerprint,
        "version": manifest.version,
        "home": urls.link(place, None),
        "to": lambda target: urls.link(place, target),
        "asset": lambda file: urls.asset(place, file),
        "here": str(place) if isinstance(place, Unit) else place or "",
    }
    return panels.environment().get_template(name).render({**page, **values})


def _head(look: Survey) -> dict[str, Any]:
    manifest = look.store.manifest
    return {
        "schema": SCHEMA,
        "version": manifest.version,
        "network": manifest.network,
        "fingerprint": manifest.fingerprint,
    }


def _where(look: Survey, unit: Unit) -> dict[str, Any]:
    own = branch(look.layers[unit.layer], unit.channel)
    return {"address": str(unit), "channel": unit.channel, "branch": own["name"] if own else None}


def _records(view: Scene) -> dict[str, Any]:
    return {kind: _plain_record(record) for kind, record in view.records.items()}


def _plain_record(record: Record) -> dict[str, Any]:
    made_by = asdict(record.made_by)
    return {"files": record.files, "made_by": made_by, "values": record.values, "scalars": record.scalars}


def _facts(layer: Mapping[str, Any]) -> dict[str, Any]:
    """A layer in words: `conv 3 × 3`, and how many pixels one of its units sees, at which distance from the next."""
    kernel, stride, field = (layer.get(key) for key in ("kernel", "stride", "receptive_field"))
    op = str(layer.get("op") or "")
    every = stride[0] if isinstance(stride, (list, tuple)) and len(set(stride)) == 1 else stride
    apart = "" if every in (None, 1) else f", every {words.listed(every)} px"
    return {
        "op": f"{op} {words.square(kernel)}" if kernel else op,
        "channels": layer["channels"],
        "sees": f"sees {words.square(field)} px{apart}" if field else "",
    }


def _strip(look: Survey, layer: str, channels: list[int]) -> list[dict[str, Any]]:
    """Pictures of units at even distances through the layer: what it holds, not the best of it."""
    pictured = [channel for channel in channels if tile(look, Unit(layer, channel))]
    count = min(_STRIP, len(pictured))
    chosen = [pictured[(2 * i + 1) * len(pictured) // (2 * count)] for i in range(count)]
    return [shown(look, None, Unit(layer, channel)) for channel in chosen]


def _sorts(look: Survey, layer: str) -> list[str]:
    there = look.scalars.get(layer, {})
    return [key for key in _SORTS if key in there] + sorted(key for key in there if key not in _SORTS)


def _card(card: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The card in the order in which people ask: what goes in, what comes out, whose it is, how it was trained."""
    facts = []
    if card.get("size"):
        facts.append(("Input", f"{words.square(card['size'])} px, {card.get('order', 'RGB')}"))
    if card.get("mean"):
        scaled = f"(value {words.TIMES} {words.number(card.get('scale', 1))} {words.MINUS} mean) / deviation"
        facts.append(("Preprocessing", f"short side {words.number(card.get('resize'))} px, centre crop, {scaled}"))
        facts.append(("Mean", words.listed(card["mean"])))
        facts.append(("Deviation", words.listed(card.get("std"))))
    if card.get("labels"):
        facts.append(("Classes", words.number(len(card["labels"]))))
    facts += [(words.phrase(key), str(card[key])) for key in ("licence", "source") if card.get(key)]
    facts += [(words.phrase(key), words.listed(value)) for key, value in (card.get("training") or {}).items()]
    return facts
