"""What the units of a layer look like as kernels over pixels: their traits as numbers, and a small picture of each."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from PIL import Image

from micrographia.errors import BadStore, BadValue
from micrographia.model.graph import LayerGraph
from micrographia.publish.draw import Tile
from micrographia.publish.scatter import kernel_tile
from micrographia.publish.store import Store, get
from micrographia.study.traits import colour_index, orientation_selectivity, spatial_frequency
from micrographia.study.weights import expanded
from micrographia.unit import Unit

CHUNK = 32
TILE = 64


@dataclass(frozen=True, eq=False)
class Looks:
    """Traits of a layer's units by name (None where the network has no colours) and a tile for each unit."""

    traits: dict[str, Float[np.ndarray, " unit"] | None]
    tiles: list[Tile]


def looks(graph: LayerGraph, layer: str) -> Looks:
    """The looks of a layer's units by their expanded weights to the picture; of a first layer, its very kernels.

    Weights are those on sRGB values 0..1, in the order red, green, blue. Raises BadValue where no path from the picture
    can be made affine.

    >>> sorted(looks(graph, "conv2d0").traits)  # doctest: +SKIP
    ['colour', 'frequency', 'orientation']
    """
    picture = next(each.name for each in graph.layers.values() if each.op == "input")
    units = range(graph.layer(layer).channels)
    found: dict[str, list[Float[np.ndarray, " unit"]]] = {"colour": [], "frequency": [], "orientation": []}
    tiles: list[Tile] = []
    for start in range(0, len(units), CHUNK):
        kernels = expanded(graph, picture, layer, units[start : start + CHUNK]).kernels
        kernels = kernels * (graph.card.scale / np.array(graph.card.std, kernels.dtype))[None, :, None, None]
        kernels = kernels[:, ::-1] if graph.card.order == "BGR" else kernels
        found["colour"].append(colour_index(kernels))
        found["frequency"].append(spatial_frequency(kernels))
        found["orientation"].append(orientation_selectivity(kernels))
        tiles += [_small(kernel_tile(np.broadcast_to(each, (3, *each.shape[1:])))) for each in kernels]
    traits: dict[str, Float[np.ndarray, " unit"] | None] = {name: np.concatenate(each) for name, each in found.items()}
    if graph.card.channels != 3:
        traits["colour"] = None
    return Looks(traits, tiles)


def pictures(store: Store, graph: LayerGraph, layer: str, otherwise: list[Tile]) -> list[Tile]:
    """The optimised picture of each unit that the store has one of, and the tile given otherwise.

    Raises BadStore where the store is of other weights, or has no picture of the layer at all.
    """
    if store.manifest.fingerprint != graph.fingerprint:
        raise BadStore(
            f"{store.folder} was made with weights {store.manifest.fingerprint[:12]}, not {graph.fingerprint[:12]}. "
            f"Name a store of these weights, or leave it out to draw kernels."
        )
    chosen: list[Tile] = []
    found = 0
    for channel, tile in enumerate(otherwise):
        unit = Unit(graph.layer(layer).name, channel)
        record = get(store, unit, "vis") if layer in {each["name"] for each in store.manifest.layers} else None
        name = next((name for name in record.files if name.startswith("vis.")), None) if record else None
        if name is None:
            chosen.append(tile)
        else:
            data = (store.folder / unit.layer / str(channel) / name).read_bytes()
            chosen.append(_small(np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))))
            found += 1
    if otherwise and not found:
        raise BadStore(
            f"{store.folder} holds no optimised pictures of {layer}. Run micrographia observe with --layers {layer} "
            f"and --out {store.folder} first, or leave the store out to draw kernels."
        )
    return chosen


def known_looks(graph: LayerGraph, layer: str) -> tuple[Looks, str]:
    """The looks, or empty ones and a sentence where the layer cannot be expanded to the picture."""
    try:
        return looks(graph, layer), ""
    except BadValue as error:
        blank: Tile = np.full((8, 8, 3), 200, np.uint8)
        return Looks({"colour": None, "frequency": None}, [blank] * graph.layer(layer).channels), str(error)


def _small(tile: Tile) -> Tile:
    if max(tile.shape[:2]) <= TILE:
        return tile
    return np.asarray(Image.fromarray(tile).resize((TILE, TILE), Image.Resampling.BOX))
