"""averaged(first, second, share): the mean of two trainings' weights, its batch norms measured anew."""

from __future__ import annotations

import copy
from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor, nn


def averaged(
    first: nn.Module, second: nn.Module, share: float, batches: Iterable[Float[Tensor, "batch 3 height width"]]
) -> nn.Module:
    """A new network with `share` of the second's weights and the rest of the first's, in eval mode.

    The statistics of every batch norm are those of the new weights on `batches` (normalised pictures), since a mean of
    statistics is not the statistic of the mean. The two must have one architecture and lie near each other, as the ends
    of two cycles of one run do; they are left as they were.

    Source: stochastic weight averaging (Izmailov et al. 2018, section 3.2).

    >>> averaged(after_one_cycle, after_two, 0.5, batches)  # doctest: +SKIP
    """
    network = copy.deepcopy(second)
    with torch.no_grad():
        for mine, theirs in zip(network.parameters(), first.parameters(), strict=True):
            mine.lerp_(theirs.to(mine), 1 - share)
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = None  # the plain mean over all batches
        norm.reset_running_stats()
    network.train()
    with torch.no_grad():
        for batch in batches:
            network(batch)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    return network.eval()
