"""What units look like, from a store where it has them and made anew where it has not."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from micrographia.console import Stages, silent
from micrographia.errors import BadStore
from micrographia.images.source import ImageSource, batches
from micrographia.jobs.examples import TILE, cut
from micrographia.model.graph import LayerGraph
from micrographia.optvis.render import render
from micrographia.publish import urls
from micrographia.publish.store import Store, get, open_store
from micrographia.study.examples import survey
from micrographia.unit import Unit


@dataclass(frozen=True, eq=False)
class Portrait:
    """A unit's optimised picture, None where it stayed dead, and the activation that it reaches."""

    picture: UInt8[np.ndarray, "height width 3"] | None
    reached: float
    dead: bool


@dataclass(frozen=True, eq=False)
class Examples:
    """Crops of the pictures that excite a unit most, strongest first, with a line about each."""

    tiles: tuple[UInt8[np.ndarray, "side side 3"], ...]
    lines: tuple[dict, ...] = field(default=())


def opened(store: Path | None, graph: LayerGraph) -> Store | None:
    """The store of this network; raises BadStore where it is none, or of other weights."""
    if store is None:
        return None
    found = open_store(store)
    if found.manifest.fingerprint != graph.fingerprint:
        raise BadStore(
            f"{store} was made with weights {found.manifest.fingerprint[:12]}, not {graph.fingerprint[:12]}. "
            "Name a store of these weights, or leave it out."
        )
    return found


def portraits(
    graph: LayerGraph,
    units: Sequence[Unit],
    store: Store | None,
    quality: str = "thumbnail",
    seed: int = 0,
    stages: Stages = silent,
) -> dict[Unit, Portrait]:
    """The optimised pictures of the units that have maps; those that the store lacks are rendered now.

    Raises BadStore and BadValue.

    >>> portraits(graph, graph.units("mixed3a:0-5"), None)[Unit("mixed3a", 0)].reached  # doctest: +SKIP
    3.1
    """
    found: dict[Unit, Portrait] = {}
    missing = []
    for unit in dict.fromkeys(units):
        layer = graph.layer(unit.layer)
        if layer.op != "input" and layer.spatial:
            known = None if store is None else _stored(store, unit)
            if known is None:
                missing.append(unit)
            else:
                found[unit] = known
    if missing:
        advance = stages("optimised pictures", len(missing))
        for each in render(graph, missing, quality=quality, seed=seed):
            pixels = np.rint(np.clip(each.image, 0, 1) * 255).astype(np.uint8)
            pixels = pixels if pixels.shape[2] == 3 else np.repeat(pixels[:, :, :1], 3, 2)
            found[each.unit] = Portrait(None if each.dead else pixels, each.reached, each.dead)
            advance(1)
    return found


def kept(graph: LayerGraph, units: Sequence[Unit], store: Store) -> dict[Unit, Portrait]:
    """The optimised pictures of those units that the store has observed; nothing is made."""
    found = {unit: _stored(store, unit) for unit in units if graph.layer(unit.layer).spatial}
    return {unit: portrait for unit, portrait in found.items() if portrait is not None}


def _stored(store: Store, unit: Unit) -> Portrait | None:
    if unit.layer not in {each["name"] for each in store.manifest.layers}:
        return None
    record = get(store, unit, "vis")
    if record is None:
        return None
    name = next((name for name in record.files if name.startswith("vis.")), None)
    picture = None if name is None else _pixels(store.folder / urls.folder(unit) / name)
    return Portrait(picture, float(record.values["reached"]), picture is None)


def _pixels(path: Path) -> UInt8[np.ndarray, "height width 3"]:
    try:
        return np.asarray(Image.open(io.BytesIO(path.read_bytes())).convert("RGB"))
    except OSError as error:
        raise BadStore(f"{path} is missing or damaged. Run the observation again to have it remade.") from error


def stored_examples(store: Store | None, unit: Unit) -> Examples | None:
    """The unit's examples out of a store, None where it has none."""
    if store is None or unit.layer not in {each["name"] for each in store.manifest.layers}:
        return None
    record = get(store, unit, "examples")
    if record is None or not record.files:
        return None
    strip, side = _pixels(store.folder / urls.folder(unit) / record.files[0]), record.values["tile"]
    lines = tuple(record.values["examples"])
    return Examples(tuple(strip[:, i * side : (i + 1) * side] for i in range(len(lines))), lines)


def found_examples(
    graph: LayerGraph, source: ImageSource, indices: Sequence[int], unit: Unit, keep: int = 9
) -> Examples:
    """The unit's strongest among these pictures of a source. Raises BadImages.

    >>> len(found_examples(graph, open_images(), range(40), Unit("mixed3a", 3)).tiles)  # doctest: +SKIP
    9
    """
    card = graph.card
    stream = batches(source, card.resize, card.size, 32, indices, card.interpolation)
    found = survey(graph, stream, [unit.layer], keep=keep)[unit.layer]
    ((_, strip, lines),) = cut(source, graph.layer(unit.layer), found, [unit], card.resize, card.size)
    return Examples(tuple(strip[:, i * TILE : (i + 1) * TILE] for i in range(len(lines))), tuple(lines))
