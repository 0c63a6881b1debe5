"""capture(graph, images, layers): the activations of named layers, with nothing computed beyond the last of them."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor

from micrographia.errors import BadValue
from micrographia.model.card import Card, normalise
from micrographia.model.graph import LayerGraph
from micrographia.model.twin import floating_type


def check_pictures(images: Tensor, card: Card) -> None:
    """Raise BadValue for what is not at least one picture of the card's channels in floating point."""
    if images.ndim != 4 or images.shape[1] != card.channels or not images.is_floating_point():
        raise BadValue(
            f"The pictures have the shape {tuple(images.shape)} and the type {images.dtype}. "
            f"Give batch x {card.channels} x height x width in floating point, values 0 to 1."
        )
    if not len(images):
        raise BadValue("There are no pictures to look at. Give at least one.")


def capture(
    graph: LayerGraph,
    images: Float[Tensor, "batch channel height width"] | Tensor,
    layers: str | Iterable[str],
    batch: int = 32,
    prepared: bool = False,
) -> dict[str, Float[Tensor, "batch _unit ..."]]:
    """Activations of the layers for pictures in values 0..1 (or, `prepared`, as the network sees them).

    Raises BadAddress for unknown layers and BadValue for pictures of the wrong number of channels.

    >>> capture(graph, torch.rand(5, 3, 224, 224), ["conv2d0"])["conv2d0"].shape  # doctest: +SKIP
    torch.Size([5, 64, 112, 112])
    """
    check_pictures(images, graph.card)
    module = graph.upto(layers)
    dtype, device = floating_type(graph.module)
    parts: list[dict[str, Tensor]] = []
    with torch.no_grad():
        for start in range(0, len(images), batch):
            chosen = images[start : start + batch].to(device, dtype)
            parts.append(module(chosen if prepared else normalise(chosen, graph.card)))
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
