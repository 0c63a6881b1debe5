"""untrained(graph, layer, images, seed): a network of the same make that has learned nothing, for a control.

All weights of each convolution are dealt out anew. That alone would change how strongly units fire, and most would fall
silent a few layers up; so every unit is then given the mean and the spread that it has in the network itself.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, fx, nn

from micrographia.model.card import normalise
from micrographia.model.graph import LayerGraph
from micrographia.model.twin import floating_type

Moments = dict[str, tuple[Tensor, Tensor]]


def moments(graph: LayerGraph, layer: str, images: Float[Tensor, "picture channel height width"]) -> Moments:
    """Mean and standard deviation of every unit of every convolution up to a layer, before anything else is done to it.

    >>> moments(graph, "mixed3b", pictures)["conv2d0.conv"][0].shape  # doctest: +SKIP
    torch.Size([64])
    """
    watcher = _Moments(graph.upto(layer))
    with torch.no_grad():
        watcher.run(_prepared(graph, images))
    return watcher.found


def untrained(
    graph: LayerGraph,
    layer: str,
    images: Float[Tensor, "picture channel height width"],
    wanted: Moments,
    seed: int = 0,
) -> LayerGraph:
    """The network with its weights up to a layer dealt out anew, every unit with the moments that are `wanted`.

    Where a network's weights are independent draws, it and its untrained copies are exchangeable: that is what makes
    them a null. The given network stays as it is; the copy's fingerprint says that it is another.

    >>> untrained(graph, "mixed3b", pictures, moments(graph, "mixed3b", pictures)).fingerprint  # doctest: +SKIP
    '8294cb97a2c6...-untrained-0'
    """
    module = copy.deepcopy(graph.module)
    other = replace(graph, module=module, fingerprint=f"{graph.fingerprint}-untrained-{seed}")
    rng = np.random.default_rng(seed)
    cut = other.upto(layer)
    with torch.no_grad():
        for name, conv in _convolutions(cut).items():
            own: Any = module.get_submodule(name)
            order = torch.from_numpy(rng.permutation(conv.weight.numel()))
            weight = own.weight.flatten()[order].reshape(own.weight.shape)
            own.weight = nn.Parameter(weight, requires_grad=False)
            own.bias = nn.Parameter(weight.new_zeros(len(weight)), requires_grad=False)
        _Calibration(other.upto(layer), wanted).run(_prepared(graph, images))
    return other


def _prepared(graph: LayerGraph, images: Tensor) -> Tensor:
    dtype, device = floating_type(graph.module)
    return normalise(images.to(device, dtype), graph.card)


def _convolutions(module: fx.GraphModule) -> dict[str, Any]:
    modules = dict(module.named_modules(remove_duplicate=False))
    used = dict.fromkeys(str(node.target) for node in module.graph.nodes if node.op == "call_module")
    return {name: modules[name] for name in used if isinstance(modules[name], nn.Conv2d)}


class _Moments(fx.Interpreter):
    """Runs a network and notes the moments of its convolutions."""

    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module)
        self.found: Moments = {}

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        if n.op == "call_module" and isinstance(self.fetch_attr(str(n.target)), nn.Conv2d):
            self.found[str(n.target)] = (result.mean((0, 2, 3)), result.std((0, 2, 3)))
        return result


class _Calibration(fx.Interpreter):
    """Runs a network and gives each convolution the moments wanted before the next one reads it."""

    def __init__(self, module: fx.GraphModule, wanted: Moments) -> None:
        super().__init__(module)
        self.wanted = wanted

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        conv: Any = self.fetch_attr(str(n.target)) if n.op == "call_module" else None
        if not isinstance(conv, nn.Conv2d):
            return result
        mean, spread = self.wanted[str(n.target)]
        gain = spread / result.std((0, 2, 3)).clamp_min(1e-12)
        shift = mean - gain * result.mean((0, 2, 3))
        conv.weight.mul_(gain[:, None, None, None])
        conv.bias = nn.Parameter(gain * (0 if conv.bias is None else conv.bias) + shift, requires_grad=False)
        return result * gain[:, None, None] + shift[:, None, None]
