"""A network with some of its weights dealt out anew: the null of what an architecture does without having learned."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import nn

from micrographia.model.graph import LayerGraph
from micrographia.model.linear import affine


def convolutions_between(graph: LayerGraph, src: str, dst: str) -> list[str]:
    """The names of the modules with kernels on the paths from `src` to `dst`; raises as `affine` does.

    >>> convolutions_between(graph, "maxpool1", "mixed3a")[0]  # doctest: +SKIP
    'mixed3a_1x1'
    """
    path = affine(graph, src, dst).module
    kinds = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)
    return [name for name, module in path.named_modules() if isinstance(module, kinds)]


def redrawn(graph: LayerGraph, modules: Sequence[str], seed: int = 0) -> LayerGraph:
    """A copy of the network in which each of these modules has its own weights, all in another order.

    The weights keep their distribution and lose everything else. The given network stays as it is; the copy's
    fingerprint says that it is another.

    >>> redrawn(graph, ["conv2d0"], seed=1).fingerprint == graph.fingerprint  # doctest: +SKIP
    False
    """
    rng = np.random.default_rng(seed)
    other = copy.deepcopy(graph.module)
    for name in modules:
        weight = other.get_parameter(f"{name}.weight")
        order = torch.from_numpy(rng.permutation(weight.numel())).to(weight.device)
        with torch.no_grad():
            weight.copy_(weight.flatten()[order].reshape(weight.shape))
    return replace(graph, module=other, fingerprint=f"{graph.fingerprint}-redrawn-{seed}")
