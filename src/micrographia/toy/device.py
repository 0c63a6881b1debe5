"""The same training in plain torch, batched over instances, on any device: where the fused kernel does not run.

The gradients are written out, five batched products, and not taken by autograd. Data are drawn on the device by torch's
own generator: of the same distributions as the kernel's, but other numbers, and one stream for the instances trained
together. Losses of trained models are measured by the kernel all the same (`train.evaluate`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from micrographia.errors import BadValue
from micrographia.toy.model import Optimiser, Toy
from micrographia.toy.reference import walker

TOGETHER = 2**26
"""Instances times samples times features of a step, at most: a quarter of a gigabyte for each array of that shape."""


def on_device(name: str) -> torch.device:
    """The device of that name; raises BadValue where torch has none.

    >>> on_device("cpu")
    device(type='cpu')
    """
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise BadValue(f"torch cannot compute on '{name}' here: {reason}. Give --device cpu.") from None
    return device


def drawn(toy: Toy, samples: int, generator: torch.Generator) -> Float[Tensor, "instance sample feature"]:
    """Fresh samples for every instance, on the generator's device.

    >>> drawn(make_toy(5, 2, density=[1.0, 0.1]), 7, torch.Generator()).shape  # doctest: +SKIP
    torch.Size([2, 7, 5])
    """
    device = generator.device
    p = torch.tensor(toy.density, dtype=torch.float32, device=device)[:, None]
    value = torch.rand(toy.instances, samples, toy.features, generator=generator, device=device)
    on = value < p
    # where on, the same number over p is uniform again
    own = [i for i in range(toy.features) if not any(i in each for each in toy.correlated)]
    value[..., own] /= p[..., own]
    for each in toy.correlated:
        members = list(each)
        shared = torch.rand(toy.instances, samples, 1, generator=generator, device=device)
        on[..., members] = shared < p[..., members]
    for each in toy.anticorrelated:
        members = list(each)
        shared = torch.rand(toy.instances, samples, 1, generator=generator, device=device) / p[..., members]
        part = shared * len(members) - torch.arange(len(members), device=device)
        on[..., members], value[..., members] = (part >= 0) & (part < 1), part
    if toy.kind == "absolute":
        value = value * 2 - 1
    return torch.where(on, value, 0.0)


def gradients(
    toy: Toy, parameters: Sequence[Tensor], x: Float[Tensor, "instance sample feature"]
) -> tuple[Float[Tensor, " instance"], list[Tensor]]:
    """Every instance's loss and its gradients, written out; parameters as in reference.py.

    >>> gradients(toy, [weights, bias], x)[1][0].shape == weights.shape  # doctest: +SKIP
    True
    """
    weights, readout, bias = parameters[0], parameters[-2], parameters[-1]
    weigh = torch.tensor(toy.importance, dtype=x.dtype, device=x.device)[:, None] / (x.shape[1] * x.shape[2])
    before = x @ weights.transpose(1, 2)
    h = before.relu() if toy.hidden_relu else before
    out = torch.baddbmm(bias[:, None], h, readout)
    error = (out.relu() if toy.output_relu else out) - x.abs()
    scaled = error * weigh
    loss = (scaled * error).sum((1, 2))
    slope = 2 * scaled * (out > 0) if toy.output_relu else 2 * scaled
    back = slope @ readout.transpose(1, 2)
    if toy.hidden_relu:
        back = back * (before > 0)
    found = [back.transpose(1, 2) @ x, h.transpose(1, 2) @ slope]
    return loss, [found[0] + found[1], slope.sum(1)] if toy.tied else [*found, slope.sum(1)]


def descend(
    toy: Toy,
    start: Sequence[np.ndarray],
    rates: np.ndarray,
    batch: int,
    optimiser: Optimiser,
    stops: Sequence[int],
    at_stop: Callable[[int, slice, np.ndarray, np.ndarray], None],
    device: torch.device,
    finished: Callable[[int], None] = lambda instances: None,
) -> None:
    """Train the instances, as many at a time as memory is meant to hold; for `at_stop` see the kernel's function."""
    some = max(1, TOGETHER // (batch * toy.features))
    for begin in range(0, toy.instances, some):
        which = slice(begin, min(begin + some, toy.instances))
        part = replace(toy, density=toy.density[which], importance=toy.importance[which], seeds=toy.seeds[which])
        generator = torch.Generator(device).manual_seed(int(part.seeds[0]) % 2**63)
        parameters = [torch.tensor(each[which], dtype=torch.float32, device=device) for each in start]
        walk = walker(parameters, optimiser)
        total, since = torch.zeros(part.instances, device=device), 0
        for step, rate in enumerate(rates):
            walk.param_groups[0]["lr"] = float(rate)
            loss, slopes = gradients(part, parameters, drawn(part, batch, generator))
            for each, slope in zip(parameters, slopes, strict=True):
                each.grad = slope
            walk.step()
            total, since = total + loss, since + 1
            if step + 1 in stops:
                theta = torch.cat([each.flatten(1) for each in parameters], 1)
                at_stop(step + 1, which, theta.cpu().numpy(), (total / since).double().cpu().numpy())
                total, since = torch.zeros_like(total), 0
        finished(part.instances)
