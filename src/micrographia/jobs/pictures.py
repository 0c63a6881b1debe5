"""The `vis` and `path` records: the optimised picture of each unit, and the numbers that say how much to believe it."""

from __future__ import annotations

import io
from dataclasses import asdict

import numpy as np
from PIL import Image

from micrographia.console import Stages, silent
from micrographia.images.source import ImageSource
from micrographia.jobs.natural import EXAMPLES, OTHERS, paths, stored
from micrographia.jobs.provenance import made_by
from micrographia.model.graph import LayerGraph
from micrographia.optvis.evidence import HELD_OUT, Judges, held_out
from micrographia.optvis.quality import quality_of
from micrographia.optvis.render import Rendered, render
from micrographia.publish import draw
from micrographia.publish.store import Store, done, get, put
from micrographia.unit import Unit


def write_pictures(
    store: Store,
    graph: LayerGraph,
    chosen: dict[str, list[Unit]],
    quality: str = "thumbnail",
    seed: int = 0,
    device: str = "cpu",
    stages: Stages = silent,
) -> None:
    """Render what is missing, layer by layer, each record written as its batch is finished."""
    arguments = {"quality": asdict(quality_of(quality)), "objective": "neuron", "held_out": list(HELD_OUT)}
    source = made_by(graph, "render", arguments, seed)
    finished = done(store, "vis", source)
    missing = {name: [u for u in units if u not in finished] for name, units in chosen.items()}
    if not any(missing.values()):
        return
    advance = stages("optimised pictures", sum(map(len, missing.values())))
    for units in missing.values():
        judges: Judges = {}
        for rendered in render(graph, units, quality=quality, seed=seed, device=device):
            files = {} if rendered.dead else {"vis.jpg": draw.encode(rendered.image, quality=90)}
            values = _facts(rendered)
            if not rendered.dead and (kept := held_out(graph, rendered, device=device, judges=judges)):
                values["held_out"] = kept
            put(store, rendered.unit, "vis", source, values, {"vis_reached": rendered.reached}, files)
            advance(1)


def write_paths(
    store: Store,
    graph: LayerGraph,
    chosen: dict[str, list[Unit]],
    source: ImageSource,
    seed: int = 0,
    stages: Stages = silent,
) -> None:
    """The path check of each unit's picture against the examples in the store; a layer is checked as a whole.

    Units without a picture or without examples have no record, nor has a layer too small for a null.
    """
    arguments = {"images": source.fingerprint, "examples": EXAMPLES, "others": OTHERS}
    origin = made_by(graph, "path", arguments, seed)
    finished = done(store, "path", origin)
    pictures = {name: [u for u in units if _has_picture(store, u)] for name, units in chosen.items()}
    left = {name: units for name, units in pictures.items() if not finished.issuperset(units)}
    if not left:
        return
    advance = stages("path checks", sum(map(len, left.values())))
    for name, units in left.items():
        made = {unit: _picture(store, unit) for unit in units}
        for unit, found in paths(graph, source, stored(store, source, name), made, seed).items():
            put(store, unit, "path", origin, found.to_json(), {"path_effect": found.finding.effect})
        advance(len(units))


def _has_picture(store: Store, unit: Unit) -> bool:
    record = get(store, unit, "vis")
    return record is not None and "vis.jpg" in record.files


def _picture(store: Store, unit: Unit) -> np.ndarray:
    data = (store.folder / unit.layer / str(unit.channel) / "vis.jpg").read_bytes()
    pixels: np.ndarray = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), np.float32) / 255
    return pixels


def _facts(rendered: Rendered) -> dict:
    settings = rendered.settings
    return {
        "size": rendered.image.shape[0],
        "objective": settings["objective"],
        "reached": rendered.reached,
        "dead": rendered.dead,
        "steps": rendered.steps,
        "precision": settings["precision"],
        **rendered.numbers,
    }
