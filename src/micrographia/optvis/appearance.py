"""What a finished picture looks like, in two numbers: burnt or not, grainy or not."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from micrographia.optvis.parametrise import frequencies


def appearance(picture: Float[Tensor, "channel height width"]) -> dict[str, float]:
    """`saturated`, the share of values within 2 % of black or white; `grain`, of energy above half of Nyquist.

    >>> appearance(torch.zeros(3, 4, 4))
    {'saturated': 1.0, 'grain': 0.0}
    """
    extreme = ((picture < 0.02) | (picture > 0.98)).double().mean()
    power = torch.fft.rfft2((picture - picture.mean((1, 2), keepdim=True)).double()).abs().square().sum(0).cpu()
    fine = frequencies((picture.shape[1], picture.shape[2]), torch.float64) > 0.25
    total = power.sum()
    return {"saturated": float(extreme), "grain": float(power[fine].sum() / total) if total > 0 else 0.0}
