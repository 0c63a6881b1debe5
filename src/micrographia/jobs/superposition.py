"""A network's activations for the toys' measures: places drawn from pictures, layer by layer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from micrographia.errors import BadValue
from micrographia.images.bundled import open_images
from micrographia.images.source import batches
from micrographia.jobs.choose import chosen_layers, open_network
from micrographia.model.capture import capture
from micrographia.model.graph import LayerGraph
from micrographia.toy.real import FULL as FULL
from micrographia.toy.real import QUICK as QUICK
from micrographia.toy.real import Real, Size
from micrographia.toy.real import real as measured

BATCH = 16
PLACES = 16


def real(
    size: Size = FULL,
    model: str = "mini-inception",
    weights: Path | None = None,
    images: str | None = None,
    layers: str = "",
    pictures: int | None = None,
    seed: int = 0,
) -> Real:
    """Features per dimension, dimensionality and interference of a network's layers, held against shuffled activations.

    `images` is a folder or archive (the bundled photographs where None), `layers` as in `chosen_layers`, `pictures` how
    many are read at most (where None, as many as give the samples of `size`). Raises BadModel, BadWeights, CannotTrace,
    BadAddress, BadImages and BadValue.

    >>> real(QUICK, layers="mixed3a").layers[0].units  # doctest: +SKIP
    176
    """
    graph = open_network(model, weights)
    pictures = -(-size.samples // PLACES) if pictures is None else pictures
    read = activations(graph, images, chosen_layers(graph, layers), pictures, seed)
    return measured(read, graph.card.name, size, seed)


def activations(
    graph: LayerGraph,
    images: str | None,
    layers: Sequence[str],
    pictures: int = 500,
    seed: int = 0,
) -> dict[str, Float[np.ndarray, "sample unit"]]:
    """The activations at up to 16 random places of each of up to `pictures` pictures, drawn at random, by layer.

    Raises BadAddress, BadImages, and BadValue for fewer than one picture.

    >>> activations(graph, None, ["conv2d0"], pictures=10)["conv2d0"].shape  # doctest: +SKIP
    (160, 64)
    """
    if pictures < 1:
        raise BadValue(f"{pictures} pictures hold no activations. Give 1 or more.")
    source, card = open_images(images), graph.card
    rng = np.random.default_rng(seed)
    indices = rng.permutation(len(source))[:pictures]
    found: dict[str, list[np.ndarray]] = {name: [] for name in layers}
    for _, pixels in batches(source, card.resize, card.size, BATCH, indices, card.interpolation):
        maps = capture(graph, torch.from_numpy(pixels).float() / 255, layers)
        for name, each in maps.items():
            values = each.cpu().flatten(2).numpy() if each.ndim > 2 else each.cpu().numpy()[:, :, None]
            at = rng.random((len(values), values.shape[2])).argsort(1)[:, :PLACES]
            found[name].append(
                np.take_along_axis(values, at[:, None], 2).transpose(0, 2, 1).reshape(-1, values.shape[1])
            )
    return {name: np.concatenate(parts) for name, parts in found.items()}
