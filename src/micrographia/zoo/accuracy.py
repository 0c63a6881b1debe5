"""accuracy(model, card, source): how often the right class is the first guess, or among the first five."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import nn

from micrographia.errors import BadImages
from micrographia.images.source import ImageSource, batches
from micrographia.model.card import Card, normalise
from micrographia.model.twin import floating_type


def accuracy(
    model: nn.Module,
    card: Card,
    source: ImageSource,
    top: Sequence[int] = (1, 5),
    indices: Sequence[int] | None = None,
    batch: int = 64,
    advance: Callable[[int], None] = lambda _: None,
) -> dict[int, float]:
    """Share of the pictures whose class is among the network's first k guesses, for each k of `top`.

    The source's classes, in order, are taken to be the network's outputs. Raises BadImages where it has more classes
    than the network has outputs.

    >>> accuracy(model, card, open_source("imagenet_1000.zip"))  # doctest: +SKIP
    {1: 0.75, 5: 0.931}
    """
    labels = np.array(source.labels)
    dtype, device = floating_type(model)
    right, seen = dict.fromkeys(top, 0), 0
    with torch.inference_mode():
        for numbers, pictures in batches(source, card.resize, card.size, batch, indices, card.interpolation):
            images = torch.from_numpy(pictures).to(device, dtype) / 255
            logits = model(normalise(images, card)).float().flatten(1)
            if logits.shape[1] < len(source.classes):
                raise BadImages(
                    f"{source.place} has {len(source.classes)} classes, the network {logits.shape[1]} outputs. "
                    "Give pictures of the classes it was trained on."
                )
            order = logits.argsort(dim=1, descending=True, stable=True).cpu().numpy()
            hits = order[:, : max(top)] == labels[numbers][:, None]
            for k in top:
                right[k] += int(hits[:, :k].any(1).sum())
            seen += len(numbers)
            advance(len(numbers))
    return {k: right[k] / seen for k in top}
