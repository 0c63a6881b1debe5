"""The toy models written plainly in torch: the oracle that the fused kernel is held against."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from micrographia.toy.data import draw
from micrographia.toy.model import Optimiser, Toy

Parameters = list[Tensor]
"""weights and, where the kind has one, the decoder, "instance hidden feature"; last the bias, "instance feature"."""


def forward(
    toy: Toy, parameters: Parameters, x: Float[Tensor, "instance sample feature"]
) -> Float[Tensor, "instance sample feature"]:
    """What the toy makes of its data."""
    h = torch.einsum("isf,ihf->ish", x, parameters[0])
    if toy.hidden_relu:
        h = h.relu()
    out = torch.einsum("ish,ihf->isf", h, parameters[-2]) + parameters[-1][:, None]
    return out.relu() if toy.output_relu else out


def loss(toy: Toy, parameters: Parameters, x: Float[Tensor, "instance sample feature"]) -> Float[Tensor, " instance"]:
    """The importance-weighted squared error of every instance, mean over features and samples."""
    importance = torch.from_numpy(toy.importance).to(x.dtype)
    error = x.abs() - forward(toy, parameters, x)
    return (importance[:, None] * error**2).mean((1, 2))


def gradients(
    toy: Toy, parameters: Parameters, x: Float[Tensor, "instance sample feature"]
) -> tuple[Float[Tensor, " instance"], Parameters]:
    """Every instance's loss and the gradients of their sum, by autograd."""
    leaves = [each.detach().clone().requires_grad_() for each in parameters]
    value = loss(toy, leaves, x)
    return value.detach(), list(torch.autograd.grad(value.sum(), leaves))


def walker(parameters: Parameters, optimiser: Optimiser) -> torch.optim.Optimizer:
    """torch's own optimiser of that name, over these parameters.

    >>> type(walker([torch.zeros(2)], Optimiser())).__name__
    'AdamW'
    """
    if optimiser.name == "sgd":
        return torch.optim.SGD(parameters, optimiser.rate, optimiser.momentum, weight_decay=optimiser.decay)
    how = torch.optim.AdamW if optimiser.name == "adamw" else torch.optim.Adam
    return how(parameters, optimiser.rate, (optimiser.beta1, optimiser.beta2), optimiser.eps, optimiser.decay)


def descend(
    toy: Toy,
    start: Sequence[np.ndarray],
    steps: int,
    batch: int,
    optimiser: Optimiser,
    stops: Sequence[int],
    at_stop: Callable[[int, slice, np.ndarray, np.ndarray], None],
    dtype: torch.dtype = torch.float64,
) -> None:
    """Train all instances at once with torch's own optimisers; for `at_stop` see the kernel's function of this name."""
    parameters = [torch.tensor(each, dtype=dtype).requires_grad_() for each in start]
    walk = walker(parameters, optimiser)
    window: list[Tensor] = []
    for step, rate in enumerate(optimiser.rates(steps)):
        walk.param_groups[0]["lr"] = float(rate)
        walk.zero_grad()
        value = loss(toy, parameters, torch.from_numpy(draw(toy, batch, step)).to(dtype))
        value.sum().backward()
        walk.step()
        window.append(value.detach())
        if step + 1 in stops:
            theta = torch.cat([each.detach().flatten(1) for each in parameters], 1)
            at_stop(step + 1, slice(None), theta.numpy(), torch.stack(window).mean(0).numpy())
            window.clear()
