"""The store of one network: a folder of records that is at the same time the root of its site.

`manifest.json` says which network and which weights; a record is `LAYER/CHANNEL/KIND.json` with its files beside it
(`LAYER/CHANNEL/vis.jpg`), and `LAYER/KIND.json` where it is about a whole layer. What the kinds hold is written in
`panels.py`. Equal records have equal bytes: sorted keys, six significant digits, no dates.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, SupportsFloat

from micrographia.errors import BadAddress, BadStore, BadValue
from micrographia.publish import atomic, index, urls
from micrographia.publish.plain import dumps, plain
from micrographia.unit import Unit, UnitRange, unknown_layer

MANIFEST = "manifest.json"
SCHEMA = 1
_KIND = re.compile(r"(?!index$)[a-z][a-z0-9_]*")


@dataclass(frozen=True)
class Manifest:
    """Which network a store is about.

    `layers` lists its layers in order, each {name, op, channels, kernel, stride, receptive_field, parents, branches:
    [{name, first, last}]}; parents are names of this list. `card` is the card of the weights as plain values,
    `version` the version of the package that wrote last.
    """

    network: str
    fingerprint: str
    card: dict[str, Any]
    layers: tuple[dict[str, Any], ...]
    version: str
    schema: int = SCHEMA


@dataclass(frozen=True)
class MadeBy:
    """Where a record comes from: `call` with `arguments` and `seed`, on the weights with this fingerprint."""

    call: str
    arguments: dict[str, Any]
    seed: int
    fingerprint: str
    version: str


@dataclass(frozen=True)
class Record:
    """What is known of one kind about a unit, or about a layer where `unit` is its name."""

    unit: Unit | str
    kind: str
    files: tuple[str, ...]
    made_by: MadeBy
    values: dict[str, Any]
    scalars: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Store:
    """An open store; a plain value that may go to other threads and processes."""

    folder: Path
    manifest: Manifest

    def layer(self, name: str) -> dict[str, Any]:
        """The manifest's line about a layer; raises BadAddress where the network has none of that name."""
        for layer in self.manifest.layers:
            if layer["name"] == name:
                return layer
        raise unknown_layer(name, [layer["name"] for layer in self.manifest.layers])


def create(folder: Path | str, manifest: Manifest) -> Store:
    """The store of this network in this folder: a new one, or the one that is there already.

    An older store of the same weights takes over the new manifest and keeps layers that only it lists. Raises BadStore
    where the folder holds another network's store, another checkpoint's, or files that are no store.

    >>> store = create("site", Manifest("mini-inception", "f00d", {}, ({"name": "conv2d0", "channels": 24},), "1.0"))
    """
    folder = Path(folder)
    for layer in manifest.layers:
        urls.folder(layer["name"])
    with atomic.reported(folder):
        if (folder / MANIFEST).exists():
            old = _read_manifest(folder)
            if (old.network, old.fingerprint) != (manifest.network, manifest.fingerprint):
                raise BadStore(_other_network(folder, old, manifest))
            names = {layer["name"] for layer in manifest.layers}
            kept = tuple(layer for layer in old.layers if layer["name"] not in names)
            manifest = replace(manifest, layers=manifest.layers + kept)
        elif folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise BadStore(f"{folder} is not empty and holds no store. Name a new or an empty folder.")
        folder.mkdir(parents=True, exist_ok=True)
    data = dumps(plain(asdict(manifest), "The manifest"))
    atomic.update(folder / MANIFEST, data)
    return _opened(folder, _manifest(json.loads(data)))


def open_store(folder: Path | str) -> Store:
    """The store in a folder; its index is brought up to date. Raises BadStore where there is none."""
    folder = Path(folder)
    with atomic.reported(folder):
        if not (folder / MANIFEST).exists():
            raise BadStore(f"{folder} holds no store. Make one with: micrographia observe MODEL --out {folder}.")
        manifest = _read_manifest(folder)
    return _opened(folder, manifest)


def put(
    store: Store,
    unit: Unit | str,
    kind: str,
    made_by: MadeBy,
    values: Mapping[str, Any],
    scalars: Mapping[str, SupportsFloat] | None = None,
    files: Mapping[str, bytes] | None = None,
) -> Record:
    """Write one record: its files first, its JSON last, so that a record exists only when all of it does.

    File names begin with the kind (`vis.jpg`, `vis-2.jpg`). `scalars` are numbers to sort and filter units by; a name
    belongs to one kind. Raises BadAddress for a unit that the network does not have, BadValue for numbers that are not
    finite and for unusable names, BadStore for another checkpoint's data and for a full disk, where nothing
    half-written is left.

    >>> put(store, Unit("conv2d0", 7), "vis", made_by, {"reached": 3.1}, {"vis_reached": 3.1}, {"vis.jpg": data})
    """
    layer, channel = _place(store, unit)
    what = f"The record '{kind}' of {unit}"
    if made_by.fingerprint != store.manifest.fingerprint:
        raise BadStore(
            f"{what} was made with weights {made_by.fingerprint[:12]}, but {store.folder} is about "
            f"{store.manifest.network} with weights {store.manifest.fingerprint[:12]}. Put it in a store of its own."
        )
    files = dict(files or {})
    named = re.compile(re.escape(kind) + r"(-[\w-]+)?\.(?!json)\w+")
    if wrong := [kind] * (not _KIND.fullmatch(kind)) + [name for name in files if not named.fullmatch(name)]:
        raise BadValue(
            f"{what} cannot be kept under the name {wrong[0]!r}. A kind is a word of small letters like 'vis', "
            "and its files are called like 'vis.jpg' or 'vis-2.jpg'."
        )
    raw = {
        "unit": str(unit),
        "kind": kind,
        "files": sorted(files),
        "made_by": asdict(made_by),
        "values": dict(values),
        "scalars": {name: float(value) for name, value in (scalars or {}).items()},
    }
    body = plain(raw, what)
    data = dumps(body)
    entry = index.Entry(layer, channel, kind, len(data), index.made_key(body["made_by"]), tuple(files), body["scalars"])
    with _indexed(store):
        index.forget(store.folder, (layer, channel, kind))
        atomic.write(store.folder / urls.folder(unit), {**files, f"{kind}.json": data}, replaces=f"{kind}.json")
        index.add(store.folder, entry)
    return _record(unit, body)


def get(store: Store, unit: Unit | str, kind: str) -> Record | None:
    """One record, or None where there is none; raises BadStore where its JSON is damaged or of other weights."""
    _place(store, unit)
    path = store.folder / urls.folder(unit) / f"{kind}.json"
    if not path.exists():
        return None
    try:
        with atomic.reported(path.parent):
            record = _record(unit, json.loads(path.read_bytes()))
    except (ValueError, KeyError, TypeError) as error:
        raise BadStore(f"{path} is damaged. Delete it and run the same command again to have it remade.") from error
    if record.made_by.fingerprint != store.manifest.fingerprint:
        raise BadStore(
            f"{path} was made with weights {record.made_by.fingerprint[:12]}, not {store.manifest.fingerprint[:12]} "
            f"of {store.manifest.network}. Delete it and run the same command again to have it remade."
        )
    return record


def done(store: Store, kind: str, made_by: MadeBy) -> set[Unit | str]:
    """The units (and layers) whose record of this kind was made by the same call, arguments, seed and weights.

    What is left to do is the rest: `[unit for unit in units if unit not in done(store, "vis", made_by)]`.
    """
    key = index.made_key(plain(asdict(made_by), "The provenance"))
    with _indexed(store):
        entries = index.entries(store.folder)
    return {place(entry) for entry in entries if entry.kind == kind and entry.made == key}


def records(store: Store, layer: str | None = None) -> list[index.Entry]:
    """What the index knows of every record (of one layer), ordered by layer, channel and kind."""
    with _indexed(store):
        return index.entries(store.folder, layer)


def scalars(store: Store, layer: str, name: str) -> dict[int, float]:
    """One scalar of a layer's units, {channel: value}; empty where no record gives it."""
    store.layer(layer)
    with _indexed(store):
        return index.scalars(store.folder, layer, name)


def place(entry: index.Entry) -> Unit | str:
    """Whose record an entry of the index is: a unit, or a layer by its name."""
    return entry.layer if entry.channel == index.WHOLE_LAYER else Unit(entry.layer, entry.channel)


def compact(store: Store) -> None:
    """Write the index anew, so that two stores with equal records are equal byte for byte."""
    with _indexed(store):
        index.compact(store.folder)


def _opened(folder: Path, manifest: Manifest) -> Store:
    store = Store(folder, manifest)
    with _indexed(store):
        index.refresh(folder, [layer["name"] for layer in manifest.layers], manifest.fingerprint)
    return store


@contextmanager
def _indexed(store: Store) -> Iterator[None]:
    try:
        with atomic.reported(store.folder):
            yield
    except sqlite3.Error as error:
        raise BadStore(
            f"The index of {store.folder} cannot be read or written ({error}). Free some disk space if it is full, "
            f"delete {index.FILE}, and run the same command again: the index is made anew from the folder."
        ) from error


def _place(store: Store, unit: Unit | str) -> tuple[str, int]:
    if isinstance(unit, str):
        store.layer(unit)
        return unit, index.WHOLE_LAYER
    if unit.position is not None:
        raise BadAddress(f"{unit} is one position. A record is about the whole unit {unit.layer}:{unit.channel}.")
    UnitRange(unit.layer, ((unit.channel, unit.channel),)).units(store.layer(unit.layer)["channels"])
    return unit.layer, unit.channel


def _record(unit: Unit | str, body: dict[str, Any]) -> Record:
    made_by = MadeBy(**{f.name: body["made_by"][f.name] for f in fields(MadeBy)})
    return Record(unit, body["kind"], tuple(body["files"]), made_by, body["values"], body["scalars"])


def _read_manifest(folder: Path) -> Manifest:
    try:
        body = json.loads((folder / MANIFEST).read_bytes())
        if body["schema"] != SCHEMA:
            raise BadStore(
                f"{folder} was written with store schema {body['schema']}, and this version reads schema {SCHEMA}. "
                "Use the version of micrographia that wrote it, or observe into a new folder."
            )
        return _manifest(body)
    except (ValueError, KeyError, TypeError) as error:
        raise BadStore(
            f"{folder / MANIFEST} is damaged. Observe into a new folder, or bring the file back from a copy."
        ) from error


def _manifest(body: dict[str, Any]) -> Manifest:
    known = {f.name: body[f.name] for f in fields(Manifest)}
    return Manifest(**{**known, "layers": tuple(known["layers"])})


def _other_network(folder: Path, old: Manifest, new: Manifest) -> str:
    return (
        f"{folder} holds the store of {old.network} (weights {old.fingerprint[:12]}), "
        f"not of {new.network} (weights {new.fingerprint[:12]}). Name another folder with --out."
    )
