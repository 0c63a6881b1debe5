"""What a unit says to a finished picture: its activation there, on the picture as it is or changed."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from micrographia.model.card import Card, normalise
from micrographia.optvis.network import Network


def answers(
    judge: Network, pictures: Float[Tensor, "batch channel height width"], card: Card
) -> Float[Tensor, "batch unit *space"]:
    """The layer's values on pictures, set in the middle of plain grey where the network sees more than they show."""
    window = judge.box.bottom - judge.box.top + 1, judge.box.right - judge.box.left + 1
    if window != tuple(pictures.shape[2:]):
        canvas = torch.full((*pictures.shape[:2], *window), 0.5, dtype=pictures.dtype, device=pictures.device)
        top, left = [(n - m) // 2 for n, m in zip(window, pictures.shape[2:], strict=True)]
        canvas[:, :, top : top + pictures.shape[2], left : left + pictures.shape[3]] = pictures
        pictures = canvas
    return judge(normalise(pictures, card))


def judged(
    judge: Network, pictures: Float[Tensor, "batch channel height width"], channels: Tensor, card: Card
) -> Float[Tensor, " batch"]:
    """The activation of each picture's own channel: at the cell, or the greatest of its map."""
    values = answers(judge, pictures, card)
    own = values[torch.arange(len(channels), device=channels.device), channels]
    return own if own.ndim == 1 else own.flatten(1).amax(1)
