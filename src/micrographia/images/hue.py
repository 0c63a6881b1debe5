"""The hue of a whole picture: a rotation of its colours about the grey axis."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor


def turn_hue(degrees: float | int) -> Float[Tensor, "3 3"]:
    """The matrix that turns red, green and blue about the grey axis: the hue shift of a whole picture.

    >>> (turn_hue(120) @ torch.tensor([1.0, 0, 0], dtype=torch.float64)).round(decimals=3).tolist()
    [0.0, 1.0, 0.0]
    """
    steps = torch.tensor([[0.0, -120.0, 120.0], [120.0, 0.0, -120.0], [-120.0, 120.0, 0.0]], dtype=torch.float64)
    return (1 + 2 * torch.cos(math.pi / 180 * (degrees - steps))) / 3
