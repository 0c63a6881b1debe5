"""The `examples` and `activation` records: the pictures that excite each unit most, and how it behaves over all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from micrographia.console import Stages, silent
from micrographia.images.fit import original_box
from micrographia.images.source import ImageSource, Unreadable, batches, read
from micrographia.jobs.provenance import made_by
from micrographia.model.graph import Layer, LayerGraph
from micrographia.publish import draw
from micrographia.publish.store import Store, done, put
from micrographia.study.examples import Survey, crop_box, survey
from micrographia.unit import Unit

TILE = 96  # px; side of an example's crop
CHUNK = 512  # units whose crops are cut in one pass over the pictures, which bounds the memory


def write_examples(
    store: Store,
    graph: LayerGraph,
    chosen: dict[str, list[Unit]],
    source: ImageSource,
    keep: int = 9,
    device: str = "cpu",
    stages: Stages = silent,
    unreadable: list[Unreadable] | None = None,
) -> None:
    """The `examples` and `activation` records: one pass over the pictures for all layers, then the crops."""
    card = graph.card
    origin = made_by(graph, "survey", {"images": source.fingerprint, "keep": keep, "tile": TILE})
    finished = done(store, "examples", origin) & done(store, "activation", origin)
    missing = {name: left for name, units in chosen.items() if (left := [u for u in units if u not in finished])}
    if not missing:
        return
    advance = stages("pictures", len(source))
    stream = batches(source, card.resize, card.size, 32, interpolation=card.interpolation, unreadable=unreadable)
    found = survey(
        graph,
        stream,
        list(missing),
        keep=keep,
        labels=source.labels,
        classes=source.classes,
        device=device,
        progress=advance,
    )
    advance = stages("examples", sum(map(len, missing.values())))
    for name, units in missing.items():
        result = found[name]
        for start in range(0, len(units), CHUNK):
            part = units[start : start + CHUNK]
            for unit, strip, lines in cut(source, graph.layer(name), result, part, card.resize, card.size):
                values = {"tile": TILE, "examples": lines}
                put(store, unit, "examples", origin, values, files={"examples.jpg": draw.encode(strip)})
                summary, scalars = _activation(result, unit.channel)
                put(store, unit, "activation", origin, summary, scalars)
                advance(1)


def cut(
    source: ImageSource, layer: Layer, found: Survey, units: Sequence[Unit], resize: int, size: tuple[int, int]
) -> Iterator[tuple[Unit, UInt8[np.ndarray, "height width 3"], list[dict[str, Any]]]]:
    """For each unit its examples as one strip of square crops, and a line about each, strongest first.

    A crop shows the receptive field at the strongest position, cut from the picture as it was before it was resized.
    """
    wanted: dict[int, list[tuple[int, int]]] = {}
    for row, unit in enumerate(units):
        for rank, picture in enumerate(found.pictures[unit.channel]):
            wanted.setdefault(int(picture), []).append((row, rank))
    keep = found.pictures.shape[1]
    strips = np.full((len(units), TILE, keep * TILE, 3), 128, np.uint8)
    lines: list[list[dict[str, Any]]] = [[{}] * keep for _ in units]
    for picture in read(source, sorted(wanted)):
        for row, rank in wanted[picture.index]:
            channel = units[row].channel
            place = found.positions[channel, rank]
            frame = crop_box(layer, (int(place[0]), int(place[1])), size)
            box = original_box(frame, picture.image.size, resize, size)
            crop = picture.image.resize((TILE, TILE), Image.Resampling.BICUBIC, box=_inside(box, picture.image.size))
            strips[row, :, rank * TILE : (rank + 1) * TILE] = np.asarray(crop)
            lines[row][rank] = {
                "picture": picture.name,
                "class": source.classes[picture.label] if picture.label >= 0 else "",
                "value": float(found.values[channel, rank]),
                "position": [int(place[0]), int(place[1])],
                "box": [round(edge, 1) for edge in box],
            }
            if source.credits and picture.label >= 0:
                lines[row][rank]["credit"] = source.credits[picture.label]
    for row, unit in enumerate(units):
        yield unit, strips[row], lines[row]


def _inside(box: tuple[float, float, float, float], size: tuple[int, int]) -> tuple[float, float, float, float]:
    """Rounding may carry a box a hair over the edge, which the resizing refuses."""
    left, top, right, bottom = box
    return max(left, 0.0), max(top, 0.0), min(right, float(size[0])), min(bottom, float(size[1]))


def _activation(found: Survey, channel: int) -> tuple[dict[str, Any], dict[str, float]]:
    edges, counts = found.histogram.trimmed(channel)
    scalars = {
        "fraction_active": float(found.active[channel]),
        "mean": float(found.mean[channel]),
        "max": float(found.greatest[channel]),
    }
    values: dict[str, Any] = {
        "histogram": {"edges": edges.tolist(), "counts": counts.tolist()},
        "std": float(found.std[channel]),
        "pictures": found.seen,
        **scalars,
    }
    order = np.argsort(-found.class_mean[channel], kind="stable") if len(found.classes) > 1 else ()
    ranking = [
        {
            "class": found.classes[i],
            "mean": (mean := float(found.class_mean[channel, i])),
            "n": int(found.class_count[i]),
            "low": mean - float(found.class_half[channel, i]),
            "high": mean + float(found.class_half[channel, i]),
        }
        for i in order
        if found.class_count[i] > 1
    ]
    return (values | {"classes": ranking[:10]} if ranking else values), scalars
