"""The index of a store: which records there are, and their scalars, in one SQLite file.

The folder is the truth and the index a cache: opening a store brings it up to date, and a lost or damaged one is made
anew. Its bytes depend only on the records once `compact` has run.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FILE = "index.sqlite"
WHOLE_LAYER = -1
"""The channel under which a record of a whole layer is kept."""

_VERSION = 1
_TABLES = """
CREATE TABLE records (layer TEXT, channel INTEGER, kind TEXT, size INTEGER, made TEXT, files TEXT,
                      PRIMARY KEY (layer, channel, kind)) WITHOUT ROWID;
CREATE TABLE scalars (layer TEXT, name TEXT, channel INTEGER, kind TEXT, value REAL,
                      PRIMARY KEY (layer, name, channel, kind)) WITHOUT ROWID;
"""
Key = tuple[str, int, str]


@dataclass(frozen=True)
class Entry:
    """One record as the index keeps it: where, its JSON's size in bytes, how it was made, its files and scalars."""

    layer: str
    channel: int
    kind: str
    size: int
    made: str
    files: tuple[str, ...] = ()
    scalars: dict[str, float] = field(default_factory=dict)


def made_key(made_by: dict[str, Any]) -> str:
    """A short name for (call, arguments, seed, fingerprint): records with the same one are the same measurement."""
    same = {name: made_by[name] for name in ("call", "arguments", "seed", "fingerprint")}
    return hashlib.sha256(json.dumps(same, sort_keys=True).encode()).hexdigest()[:24]


def refresh(folder: Path, layers: Iterable[str], fingerprint: str) -> None:
    """Make the index agree with the folder: read what is new or changed, forget what is gone."""
    found = dict(_scan(folder, layers))
    try:
        with _open(folder) as base:
            if base.execute("PRAGMA user_version").fetchone()[0] != _VERSION:
                raise sqlite3.DatabaseError("another version's index")
            if base.execute("PRAGMA quick_check").fetchone()[0] != "ok":
                raise sqlite3.DatabaseError("damaged")
            known = {(row[0], row[1], row[2]): row[3] for row in base.execute("SELECT * FROM records")}
            changed = {key for key in known.keys() | found.keys() if known.get(key) != found.get(key)}
            for key in sorted(changed):
                _forget(base, key)
                if key in found and (entry := _read(folder, key, fingerprint)):
                    _add(base, entry)
    except sqlite3.DatabaseError:
        read = (_read(folder, key, fingerprint) for key in sorted(found))
        _replace(folder, [entry for entry in read if entry])


def compact(folder: Path) -> None:
    """Write the index anew in order, so that equal records give equal bytes."""
    _replace(folder, entries(folder))


def add(folder: Path, entry: Entry) -> None:
    """Enter one record, in place of an older one of the same kind."""
    with _open(folder) as base:
        _forget(base, (entry.layer, entry.channel, entry.kind))
        _add(base, entry)


def forget(folder: Path, key: Key) -> None:
    """Take one record out, if it is there."""
    with _open(folder) as base:
        if base.execute("SELECT 1 FROM records WHERE layer=? AND channel=? AND kind=?", key).fetchone():
            _forget(base, key)


def entries(folder: Path, layer: str | None = None) -> list[Entry]:
    """Every record in the index, or those of one layer, ordered by layer, channel and kind."""
    where, values = ("", ()) if layer is None else (" WHERE layer=?", (layer,))
    with _open(folder) as base:
        rows = base.execute(f"SELECT * FROM records{where} ORDER BY layer, channel, kind", values).fetchall()
        numbers: dict[Key, dict[str, float]] = {}
        for name, channel, kind, value, of in base.execute(
            f"SELECT name, channel, kind, value, layer FROM scalars{where} ORDER BY layer, name, channel", values
        ):
            numbers.setdefault((of, channel, kind), {})[name] = value
    return [
        Entry(layer, channel, kind, size, made, tuple(json.loads(files)), numbers.get((layer, channel, kind), {}))
        for layer, channel, kind, size, made, files in rows
    ]


def scalars(folder: Path, layer: str, name: str) -> dict[int, float]:
    """One scalar over the channels of a layer."""
    with _open(folder) as base:
        query = "SELECT channel, value FROM scalars WHERE layer=? AND name=? AND channel>=0 ORDER BY channel, kind"
        return dict(base.execute(query, (layer, name)).fetchall())


@contextlib.contextmanager
def _open(folder: Path) -> Iterator[sqlite3.Connection]:
    """One transaction on the index: a connection per call needs no closing, and crosses threads and processes."""
    # A killed process leaves a rollback journal, which the next reader plays back; only a lost machine can damage
    # the file, and then `refresh` makes it anew: so there is no need to wait for the disk.
    base = sqlite3.connect((folder / FILE).absolute().as_uri() + "?mode=rw", uri=True, timeout=60)
    try:
        base.execute("PRAGMA synchronous=OFF")
        with base:
            yield base
    finally:
        base.close()


def _replace(folder: Path, entries: Iterable[Entry]) -> None:
    temporary = folder / f".{FILE}.part"
    temporary.unlink(missing_ok=True)
    try:
        base = sqlite3.connect(temporary)
        try:
            base.execute("PRAGMA synchronous=OFF")
            base.executescript(f"{_TABLES} PRAGMA user_version={_VERSION};")
            with base:
                for entry in entries:
                    _add(base, entry)
        finally:
            base.close()
        (folder / f"{FILE}-journal").unlink(missing_ok=True)  # it belongs to the file that goes
        os.replace(temporary, folder / FILE)
    finally:
        temporary.unlink(missing_ok=True)


def _add(base: sqlite3.Connection, entry: Entry) -> None:
    place = (entry.layer, entry.channel, entry.kind)
    base.execute("INSERT INTO records VALUES (?,?,?,?,?,?)", (*place, entry.size, entry.made, json.dumps(entry.files)))
    rows = [(entry.layer, name, entry.channel, entry.kind, value) for name, value in entry.scalars.items()]
    base.executemany("INSERT INTO scalars VALUES (?,?,?,?,?)", rows)


def _forget(base: sqlite3.Connection, key: Key) -> None:
    for table in ("records", "scalars"):
        base.execute(f"DELETE FROM {table} WHERE layer=? AND channel=? AND kind=?", key)


def _scan(folder: Path, layers: Iterable[str]) -> Iterator[tuple[Key, int]]:
    """The records in the folder with the size of each one's JSON, by file names alone."""
    for layer in layers:
        for entry in _listing(folder / layer):
            if entry.name.isdecimal() and entry.is_dir():
                for inner in _listing(folder / layer / entry.name):
                    if kind := _kind(inner):
                        yield (layer, int(entry.name), kind), inner.stat().st_size
            elif kind := _kind(entry):
                yield (layer, WHOLE_LAYER, kind), entry.stat().st_size


def _listing(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _kind(entry: os.DirEntry[str]) -> str | None:
    stem, dot, suffix = entry.name.rpartition(".")
    return stem if dot and suffix == "json" and stem.isidentifier() and stem != "index" else None


def _read(folder: Path, key: Key, fingerprint: str) -> Entry | None:
    """The entry of a record's JSON; None where it is damaged or of another network, and so counts as missing."""
    layer, channel, kind = key
    path = folder / layer / (f"{channel}/{kind}.json" if channel != WHOLE_LAYER else f"{kind}.json")
    try:
        data = path.read_bytes()
        record = json.loads(data)
        if record["made_by"]["fingerprint"] != fingerprint or record["kind"] != kind:
            return None
        if not all((path.parent / name).is_file() for name in record["files"]):
            return None
        return Entry(*key, len(data), made_key(record["made_by"]), tuple(record["files"]), record["scalars"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
