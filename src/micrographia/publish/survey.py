"""What a store holds, as its pages need it: which units are there, what a unit looks like, where a link leads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from micrographia.publish import urls
from micrographia.publish.index import WHOLE_LAYER
from micrographia.publish.store import Record, Store, get, records
from micrographia.unit import Unit


@dataclass(frozen=True)
class Survey:
    """The whole of a store by name: {layer: {channel: {kind: files}}} and {layer: {scalar: {channel: value}}}.

    `observed` has the layers with at least one record, in the network's order; a unit is in it where it has one.
    """

    store: Store
    layers: Mapping[str, Mapping[str, Any]]
    observed: Mapping[str, Mapping[int, Mapping[str, tuple[str, ...]]]]
    whole: Mapping[str, Mapping[str, tuple[str, ...]]]
    scalars: Mapping[str, Mapping[str, Mapping[int, float]]]


@dataclass(frozen=True)
class Tile:
    """A unit's small picture: its file, and whether only the first square of that file is meant."""

    file: str
    crop: bool


@dataclass(frozen=True)
class Scene:
    """What a panel is drawn from: a unit or layer, its records by kind, and the survey for everything around it."""

    survey: Survey
    place: Unit | str
    records: Mapping[str, Record]


def survey(store: Store) -> Survey:
    """Look through a store's index once.

    >>> survey(open_store("site")).observed["conv2d0"][7]
    {'vis': ('vis.jpg',)}
    """
    layers = {layer["name"]: layer for layer in store.manifest.layers}
    units: dict[str, dict[int, dict[str, tuple[str, ...]]]] = {}
    whole: dict[str, dict[str, tuple[str, ...]]] = {}
    numbers: dict[str, dict[str, dict[int, float]]] = {}
    for entry in records(store):
        if entry.channel == WHOLE_LAYER:
            whole.setdefault(entry.layer, {})[entry.kind] = entry.files
            units.setdefault(entry.layer, {})
            continue
        units.setdefault(entry.layer, {}).setdefault(entry.channel, {})[entry.kind] = entry.files
        for name, value in entry.scalars.items():
            numbers.setdefault(entry.layer, {}).setdefault(name, {})[entry.channel] = value
    observed = {name: units[name] for name in layers if name in units}
    return Survey(store, layers, observed, whole, numbers)


def scene(survey: Survey, place: Unit | str) -> Scene:
    """A unit or layer with all its records read."""
    if isinstance(place, Unit):
        kinds = survey.observed.get(place.layer, {}).get(place.channel, {})
    else:
        kinds = survey.whole.get(place, {})
    found = {kind: get(survey.store, place, kind) for kind in kinds}
    return Scene(survey, place, {kind: record for kind, record in found.items() if record})


def seen(survey: Survey, unit: Unit) -> bool:
    """Whether a unit has a page."""
    return unit.channel in survey.observed.get(unit.layer, {})


def tile(survey: Survey, unit: Unit) -> Tile | None:
    """The small picture of a unit: the optimised one, else its first example, else none."""
    kinds = survey.observed.get(unit.layer, {}).get(unit.channel, {})
    if kinds.get("vis"):
        return Tile(min(kinds["vis"], key=lambda name: (name.partition(".")[0] != "vis", name)), False)
    return Tile(kinds["examples"][0], True) if kinds.get("examples") else None


def shown(survey: Survey, source: urls.Place, unit: Unit) -> dict[str, Any]:
    """A unit as another page shows it: {address, href, picture, crop}; href and picture are None where there is none.

    >>> shown(look, "mixed3b", Unit("mixed3b", 379))["href"]
    '379/index.html'
    """
    small = tile(survey, unit)
    return {
        "address": str(unit),
        "channel": unit.channel,
        "href": urls.link(source, unit) if seen(survey, unit) else None,
        "picture": urls.link(source, unit, small.file) if small else None,
        "crop": bool(small and small.crop),
    }


def branch(layer: Mapping[str, Any], channel: int) -> dict[str, Any] | None:
    """The branch of a layer that a channel lies in: {name, first, last}."""
    inside = [each for each in layer.get("branches") or () if each["first"] <= channel <= each["last"]]
    return dict(inside[0]) if inside else None


def beside(survey: Survey, unit: Unit) -> tuple[Unit | None, Unit | None]:
    """The units before and after this one among those with a page."""
    channels = list(survey.observed[unit.layer])
    at = channels.index(unit.channel)
    before = Unit(unit.layer, channels[at - 1]) if at > 0 else None
    after = Unit(unit.layer, channels[at + 1]) if at + 1 < len(channels) else None
    return before, after
