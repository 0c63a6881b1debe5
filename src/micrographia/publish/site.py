"""Bake a store into a site: a page for the network, every layer and every unit, each with a JSON twin beside it.

The pages open from disk and from any server, load nothing from elsewhere, and have the same bytes whenever the records
have. Pages of what is there are made; what is not there yet is simply absent.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path

from micrographia.errors import BadStore
from micrographia.publish import atomic, urls
from micrographia.publish.pages import render
from micrographia.publish.plain import dumps
from micrographia.publish.store import MANIFEST, Store, compact
from micrographia.publish.survey import Survey, seen, survey
from micrographia.unit import Unit

STATIC = Path(__file__).parent / "static"
_TWIN = "index.json"


def bake(store: Store, out: Path | str | None = None, progress: Callable[[int, int], None] | None = None) -> Path:
    """Write the site into the store's own folder, or a copy of the site's files alone into `out`; gives its home page.

    Files that would not change are left untouched. `progress` is called with (pages done, pages in all). Raises
    BadStore where `out` holds other things than this network's site, and for a full disk.

    >>> bake(open_store("mini-inception"))
    PosixPath('mini-inception/index.html')
    """
    look = survey(store)
    root = store.folder if out is None else Path(out)
    if root.resolve() != store.folder.resolve():
        _check_target(root, store)
        _copy_pictures(look, root)
    for file in sorted(STATIC.iterdir()):
        atomic.update(root / urls.ASSETS / file.name, file.read_bytes())
    atomic.update(root / urls.ASSETS / "network.js", _directory(look).encode())
    places = _places(look)
    for count, place in enumerate(places, 1):
        page = render(look, place)
        folder = root / urls.folder(place)
        atomic.update(folder / _TWIN, dumps(page.twin))
        atomic.update(folder / "index.html", page.html.encode())
        if progress is not None:
            progress(count, len(places))
    _sweep(look, root)
    if root.resolve() == store.folder.resolve():
        compact(store)
    return root / "index.html"


def _directory(look: Survey) -> str:
    """What the search box knows: every layer's name, its channels, and the spans of them that have a page."""
    layers = [[name, look.layers[name]["channels"], _spans(units)] for name, units in look.observed.items()]
    return f"const NETWORK = {json.dumps(layers, separators=(',', ':'))};\n"


def _spans(channels: Iterable[int]) -> list[list[int]]:
    spans: list[list[int]] = []
    for channel in channels:
        if spans and channel == spans[-1][1] + 1:
            spans[-1][1] = channel
        else:
            spans.append([channel, channel])
    return spans


def _places(look: Survey) -> list[urls.Place]:
    units = [Unit(layer, channel) for layer, found in look.observed.items() for channel in found]
    return [None, *look.observed, *units]


def _check_target(root: Path, store: Store) -> None:
    with atomic.reported(root):
        if root.resolve().is_relative_to(store.folder.resolve()):
            raise BadStore(f"{root} lies inside the store {store.folder}. Name a folder outside of it.")
        if not root.exists() or (root.is_dir() and not any(root.iterdir())):
            return
        try:
            found = json.loads((root / _TWIN).read_bytes()) if not (root / MANIFEST).exists() else {}
        except (FileNotFoundError, NotADirectoryError, ValueError):
            found = {}
    if not isinstance(found, dict) or found.get("fingerprint") != store.manifest.fingerprint:
        raise BadStore(
            f"{root} holds other things than the site of {store.manifest.network}. Name a new or an empty folder."
        )


def _copy_pictures(look: Survey, root: Path) -> None:
    for layer, units in look.observed.items():
        found: dict[urls.Place, Iterable[tuple[str, ...]]] = {layer: look.whole.get(layer, {}).values()}
        found |= {Unit(layer, channel): kinds.values() for channel, kinds in units.items()}
        for place, names in found.items():
            folder = urls.folder(place)
            for file in sorted(name for each in names for name in each):
                with atomic.reported(look.store.folder):
                    data = (look.store.folder / folder / file).read_bytes()
                atomic.update(root / folder / file, data)


def _sweep(look: Survey, root: Path) -> None:
    """Take away pages of layers and units that have no record any more."""
    with atomic.reported(root):
        for base in (root / urls.folder(name) for name in look.layers):
            if not base.is_dir():
                continue
            units = [child for child in base.iterdir() if child.name.isdecimal()]
            stale = [child for child in units if not seen(look, Unit(base.name, int(child.name)))]
            for folder in [*stale, *([] if base.name in look.observed else [base])]:
                for file in ("index.html", _TWIN):
                    (folder / file).unlink(missing_ok=True)
