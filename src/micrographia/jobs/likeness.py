"""What a layer holds of one picture, and its atlas over many: the files that `vis --picture` and `atlas` write."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from micrographia.console import Stages, silent
from micrographia.errors import BadImages, BadValue
from micrographia.images.bundled import open_images
from micrographia.images.fit import fit
from micrographia.images.source import batches, open_source, read
from micrographia.jobs.provenance import made_by
from micrographia.model.graph import LayerGraph
from micrographia.optvis.atlas import RIDGE, atlas, samples
from micrographia.optvis.likeness import caricature, grid, invert
from micrographia.optvis.precision import device_of
from micrographia.optvis.quality import quality_of
from micrographia.publish import atomic
from micrographia.publish.stamped import stamped

WAYS = ("grid", "invert", "caricature")


@dataclass(frozen=True)
class Made:
    """The file that was written, and what is known of it."""

    file: Path
    facts: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"file": str(self.file), **self.facts}


def inspect_picture(
    graph: LayerGraph, picture: Path, way: str, layer: str, folder: Path, quality: str, seed: int, device: str
) -> Made:
    """Write WAY-LAYER.png, the picture beside what the layer makes of it by a way of `WAYS`.

    Raises BadAddress, BadImages and BadValue.
    """
    chosen, name = quality_of(quality), graph.layer(layer).name
    device_of(device)
    image = _fitted(graph, picture)
    options: dict[str, Any] = {"quality": chosen, "seed": seed, "device": device}
    facts: dict[str, Any] = {"layer": name, "way": way, "picture": picture.name}
    if way == "grid":
        found = grid(graph, image, name, **options)
        shown = found.picture()
        facts["strength"] = found.strength.round(4).tolist()
    else:
        made = (invert if way == "invert" else caricature)(graph, image, name, **options)
        shown = made.image.astype(np.float64)
        facts |= {"reached": made.reached, "dead": made.dead, "steps": made.steps, "numbers": made.numbers}
    source = made_by(graph, way, {"layer": name, "quality": asdict(chosen), "picture": picture.name}, seed)
    return _written(folder / f"{way}-{name}.png", _beside(image, shown), facts | {"made_by": asdict(source)})


def make_atlas(
    graph: LayerGraph,
    layer: str,
    images: str,
    folder: Path,
    side: int = 8,
    quality: str = "standard",
    ridge: float | None = RIDGE,
    seed: int = 0,
    device: str = "cpu",
    stages: Stages = silent,
) -> Made:
    """Write atlas-LAYER.png, the icons of a layer's mean activations, laid out by their principal components.

    Raises BadAddress, BadImages and BadValue.
    """
    chosen, name, card = quality_of(quality), graph.layer(layer).name, graph.card
    device_of(device)
    source = open_images(images)
    if card.channels != 3:
        raise BadValue(f"{card.name} reads {card.channels} channels. An atlas is made of colour pictures.")
    # icons are small already: a preset's share of the card's picture is not taken of them again
    options: dict[str, Any] = {"quality": replace(chosen, share=1.0), "seed": seed, "device": device}
    advance = stages("pictures", len(source))
    stream = batches(source, card.resize, card.size, 32, interpolation=card.interpolation)
    values = samples(graph, _counted(stream, advance), name, seed)
    found = atlas(graph, name, values, side=side, ridge=ridge, **options)
    arguments = {"layer": name, "images": source.fingerprint, "side": side, "quality": asdict(chosen), "ridge": ridge}
    facts = found.to_json() | {"pictures": len(values), "made_by": asdict(made_by(graph, "atlas", arguments, seed))}
    return _written(folder / f"atlas-{name}.png", found.picture(), facts)


def _counted(stream: Any, advance: Any) -> Any:
    for indices, pictures in stream:
        yield indices, pictures
        advance(len(indices))


def _fitted(graph: LayerGraph, picture: Path) -> Float[np.ndarray, "height width 3"]:
    card = graph.card
    if card.channels != 3:
        raise BadValue(f"{card.name} reads {card.channels} channels, and a picture file has colours. Take another one.")
    source = open_source(picture)
    if len(source) != 1:
        raise BadImages(f"'{picture}' holds {len(source)} pictures. Name one picture file.")
    (one,) = read(source)
    return fit(one.image, card.resize, card.size, card.interpolation).transpose(1, 2, 0).astype(np.float64) / 255


def _beside(
    image: Float[np.ndarray, "height width 3"], shown: Float[np.ndarray, "tall wide 3"]
) -> Float[np.ndarray, "high broad 3"]:
    """The picture and, to its right, what was made, each in the middle of white."""
    gap, high = 8, max(image.shape[0], shown.shape[0])
    paper = np.ones((high, image.shape[1] + gap + shown.shape[1], 3))
    for each, left in ((image, 0), (shown, image.shape[1] + gap)):
        top = (high - each.shape[0]) // 2
        paper[top : top + each.shape[0], left : left + each.shape[1]] = each
    return paper


def _written(path: Path, image: Float[np.ndarray, "height width 3"], facts: dict[str, Any]) -> Made:
    pixels = np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)
    atomic.write(path.parent, {path.name: stamped(pixels, path.stem, facts)})
    return Made(path, facts)
