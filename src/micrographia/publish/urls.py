"""Address = folder = URL: where a layer or unit lies in the store, and how one page links to another."""

from __future__ import annotations

from functools import lru_cache
from pathlib import PurePosixPath
from urllib.parse import quote

from micrographia.errors import BadAddress
from micrographia.unit import Unit

Place = Unit | str | None
"""What has a page of its own: a unit, a layer (its name), or the whole network (None)."""

ASSETS = "-"
"""The folder of the site's own files; no layer may be called that."""


def folder(place: Place) -> PurePosixPath:
    """The folder of a place below the store's root; raises BadAddress where the layer's name cannot be a folder.

    >>> str(folder(Unit("mixed3b", 379)))
    'mixed3b/379'
    """
    if place is None:
        return PurePosixPath()
    if isinstance(place, Unit):
        if place.position is not None:
            raise BadAddress(f"{place} is one position. A page is about the whole unit {place.layer}:{place.channel}.")
        return PurePosixPath(_folder_name(place.layer), str(place.channel))
    return PurePosixPath(_folder_name(place))


def link(source: Place, target: Place, file: str = "index.html") -> str:
    """The relative address of a target's file as seen from the source's page; it works from disk and from a server.

    >>> link(Unit("mixed3b", 379), Unit("mixed3a", 12))
    '../../mixed3a/12/index.html'
    >>> link("mixed3b", Unit("mixed3b", 379))
    '379/index.html'
    >>> link(None, "layer1.0#2", "index.json")
    'layer1.0%232/index.json'
    """
    here, there = _quoted(source), _quoted(target)
    shared = 0
    while shared < min(len(here), len(there)) and here[shared] == there[shared]:
        shared += 1
    return "/".join([".."] * (len(here) - shared) + [*there[shared:], quote(file)])


def asset(source: Place, file: str) -> str:
    """The relative address of one of the site's own files.

    >>> asset("mixed3b", "site.css")
    '../-/site.css'
    """
    return "/".join([".."] * len(_quoted(source)) + [ASSETS, quote(file)])


def _quoted(place: Place) -> tuple[str, ...]:
    if place is None:
        return ()
    return (_quoted_layer(place.layer), str(place.channel)) if isinstance(place, Unit) else (_quoted_layer(place),)


@lru_cache(maxsize=4096)
def _quoted_layer(name: str) -> str:
    return quote(_folder_name(name), safe="")


@lru_cache(maxsize=4096)
def _folder_name(layer: str) -> str:
    reserved = layer in ("", ".", "..", ASSETS) or layer.startswith(("index.", "manifest."))
    if reserved or any(c in "/\\:@" or c.isspace() or not c.isprintable() for c in layer):
        raise BadAddress(
            f"The layer name '{layer}' cannot be the name of a folder. Rename it to letters, digits, '_', '.' or '#'."
        )
    return layer
