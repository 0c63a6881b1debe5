"""visualize(graph, units, wanted, folder): a picture file for each unit, that says how it was made, and a sheet.

The numbers beside a picture are of the file as it lies there, so they can be added to one that was made before.
"""

from __future__ import annotations

import json
import math
import platform
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image

from micrographia import __version__
from micrographia.console import Stages, silent
from micrographia.errors import BadValue
from micrographia.images.bundled import open_images
from micrographia.jobs.beside import Beside, against_pictures, against_seeds, natural_of
from micrographia.jobs.provenance import made_by
from micrographia.model.graph import LayerGraph
from micrographia.optvis.evidence import Judges, held_out
from micrographia.optvis.precision import device_of, type_of
from micrographia.optvis.quality import quality_of
from micrographia.optvis.render import Rendered, render
from micrographia.publish import atomic, urls
from micrographia.publish.draw import GROUND, sheet
from micrographia.publish.stamped import stamp_of, stamped
from micrographia.unit import Unit

SHEET, RECORDS = "sheet.png", "vis.json"
LARGE, SMALL, MANY = 160, 96, 100  # px of a tile on the sheet: large ones up to so many units
LETTER = 6  # px of a label's letter


@dataclass(frozen=True)
class Visualization:
    """How to make the pictures: the arguments of `render` that can be typed."""

    quality: str = "standard"
    objective: str = "neuron"
    seed: int = 0
    device: str = "cpu"
    precision: str = "auto"


@dataclass(frozen=True)
class Visualized:
    """What came of it: the folder, the contact sheet in it, and the record of each unit, in the order asked for."""

    folder: Path
    sheet: Path
    records: tuple[dict[str, Any], ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"folder": str(self.folder), "sheet": str(self.sheet), "units": list(self.records)}


def named_units(graph: LayerGraph, addresses: Sequence[str]) -> list[Unit]:
    """The units at addresses such as mixed3b:379, mixed3b:0-31, mixed3b or mixed3b:379@4,4, each once, in that order.

    Raises BadAddress, and BadValue for no addresses.

    >>> named_units(graph, ["mixed3b:1", "mixed3b:0-2"])[:2]  # doctest: +SKIP
    [Unit('mixed3b', 1), Unit('mixed3b', 0)]
    """
    found: dict[Unit, None] = {}
    for address in addresses:
        if "@" in address:
            one = Unit.parse(address)
            (whole,) = graph.units(f"{one.layer}:{one.channel}")
            found[Unit(whole.layer, one.channel, one.position)] = None
        else:
            found.update(dict.fromkeys(graph.units(address)))
    if not found:
        raise BadValue("No unit was named. Name at least one, like mixed3b:379 or mixed3b:0-31.")
    return list(found)


def visualize(
    graph: LayerGraph,
    units: Sequence[Unit],
    wanted: Visualization,
    folder: Path,
    stages: Stages = silent,
    beside: Beside | None = None,
) -> Visualized:
    """Write LAYER/CHANNEL.png for each live unit, sheet.png of all, and vis.json with the record of each.

    Each picture is written as soon as it is finished, and one that is there already, made by the same call with the
    same versions, is kept: a run that was stopped goes on. A dead unit has a record and no picture.
    Raises BadAddress, BadImages, BadStore and BadValue.

    >>> visualize(graph, graph.units("mixed3b:0-31"), Visualization(), Path("vis"))  # doctest: +SKIP
    """
    beside = beside or Beside()
    quality = quality_of(wanted.quality)
    device_of(wanted.device)
    type_of(wanted.precision)
    source = open_images(beside.images) if beside.images else None
    natural = natural_of(graph, _layers(units), source, beside.store, stages) if source else {}
    made = _made(graph, asdict(wanted) | {"quality": asdict(quality)}, wanted.seed)
    files = {unit: _file(unit) for unit in units}
    done: dict[Unit, Rendered] = {}
    records: dict[Unit, dict[str, Any]] = {}
    for unit, file in files.items():
        old = stamp_of(folder / file)
        if old is not None and {key: old[1].get(key) for key in made} == made and old[1].get("unit") == str(unit):
            records[unit], done[unit] = old[1], _kept(unit, *old, graph.card.channels)
    missing = [unit for unit in files if unit not in records]
    pictures = render(graph, missing, **asdict(wanted))
    advance = stages("optimised pictures", len(missing)) if missing else silent("", 0)
    judges: Judges = {}
    for each in pictures:
        record = each.to_json() | made
        if each.dead:
            (folder / files[each.unit]).unlink(missing_ok=True)
        else:
            pixels = _pixels(each.image)
            each = replace(each, image=_image(pixels, graph.card.channels))
            record["held_out"] = held_out(graph, each, device=wanted.device, judges=judges)
            _write(folder / files[each.unit], graph, record, pixels)
        records[each.unit], done[each.unit] = record, each
        advance(1)
    live = [each for each in done.values() if not each.dead]
    found = against_pictures(graph, live, natural, source, stages) if source else {}
    if beside.seeds > 1:
        others = _again(graph, [each.unit for each in live], wanted, beside.seeds, stages)
        for unit, more in against_seeds(graph, [*live, *others], wanted.device, judges).items():
            found[unit] = found.get(unit, {}) | more
    for unit, more in found.items():
        if any(records[unit].get(name) != value for name, value in more.items()):
            records[unit] |= more
            _write(folder / files[unit], graph, records[unit], _pixels(done[unit].image))
    tiles = {unit: _tile(_pixels(each.image), _side(units)) for unit, each in done.items() if not each.dead}
    listed = tuple(records[unit] | {"file": files[unit] if unit in tiles else None} for unit in files)
    result = Visualized(folder, folder / SHEET, listed)
    document = (json.dumps(result.to_json()["units"], indent=1, ensure_ascii=False) + "\n").encode()
    contact = stamped(_sheet(list(files), tiles), graph.card.name, made | {"units": [str(unit) for unit in files]})
    atomic.write(folder, {SHEET: contact, RECORDS: document})
    return result


def _layers(units: Sequence[Unit]) -> list[str]:
    return list(dict.fromkeys(unit.layer for unit in units))


def _again(
    graph: LayerGraph, units: Sequence[Unit], wanted: Visualization, seeds: int, stages: Stages
) -> Iterator[Rendered]:
    """The same pictures from the seeds that follow."""
    advance = stages("further seeds", len(units) * (seeds - 1))
    for seed in range(wanted.seed + 1, wanted.seed + seeds):
        for each in render(graph, units, **asdict(replace(wanted, seed=seed))):
            yield each
            advance(1)


def _made(graph: LayerGraph, arguments: dict[str, Any], seed: int) -> dict[str, Any]:
    versions = {"micrographia": __version__, "torch": str(torch.__version__), "numpy": np.__version__}
    source = asdict(made_by(graph, "render", arguments, seed))
    return {"made_by": source, "versions": versions | {"python": platform.python_version()}}


def _file(unit: Unit) -> str:
    place = "" if unit.position is None else "@{},{}".format(*unit.position)
    return str(urls.folder(Unit(unit.layer, unit.channel))) + f"{place}.png"


def _kept(unit: Unit, pixels: UInt8[np.ndarray, "height width 3"], record: dict[str, Any], channels: int) -> Rendered:
    """What was rendered, from the file that it was written to."""
    return Rendered(
        unit,
        _image(pixels, channels),
        record["reached"],
        record["dead"],
        record["steps"],
        record["settings"],
        record["numbers"],
    )


def _write(path: Path, graph: LayerGraph, record: dict[str, Any], pixels: UInt8[np.ndarray, "height width 3"]) -> None:
    title = f"{record['unit']} of {graph.card.name}"
    atomic.write(path.parent, {path.name: stamped(pixels, title, record)})


def _pixels(image: Float[np.ndarray, "height width channel"]) -> UInt8[np.ndarray, "height wide 3"]:
    """Colour as it is, grey as grey; of any other number of channels each in grey, side by side."""
    if image.shape[2] != 3:
        image = np.repeat(np.concatenate(list(image.transpose(2, 0, 1)), axis=1)[:, :, None], 3, axis=2)
    return np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)


def _image(pixels: UInt8[np.ndarray, "height wide 3"], channels: int) -> Float[np.ndarray, "height width channel"]:
    """The picture that `_pixels` drew."""
    image = pixels.astype(np.float32) / 255
    return image if channels == 3 else np.stack(np.split(image[:, :, 0], channels, axis=1), 2)


def _side(units: Sequence[Unit]) -> int:
    """The side of a tile, in px: wide enough for the longest label."""
    longest = max(len(str(unit)) for unit in units) + len(" dead")
    return max(LARGE if len(units) <= MANY else SMALL, LETTER * longest)


def _tile(pixels: UInt8[np.ndarray, "height width 3"], side: int) -> UInt8[np.ndarray, "side side 3"]:
    """The picture as large as it fits on a square of paper."""
    grow = side / max(pixels.shape[:2])
    height, width = (max(1, round(n * grow)) for n in pixels.shape[:2])
    tile = np.full((side, side, 3), GROUND, np.uint8)
    top, left = (side - height) // 2, (side - width) // 2
    large = Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC)
    tile[top : top + height, left : left + width] = np.asarray(large)
    return tile


def _sheet(units: list[Unit], tiles: dict[Unit, np.ndarray]) -> UInt8[np.ndarray, "height width 3"]:
    paper = np.full((_side(units),) * 2 + (3,), GROUND, np.uint8)
    labels = [str(unit) if unit in tiles else f"{unit} dead" for unit in units]
    return sheet([tiles.get(unit, paper) for unit in units], math.ceil(math.sqrt(len(units))), labels)
