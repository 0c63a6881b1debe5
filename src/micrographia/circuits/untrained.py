"""untrained(graph, layer, images, seed): a network of the same make that has learned nothing, for a control.

All weights of each convolution are dealt out anew, after a batch norm behind it has been folded in, and so are its
biases. In a trained network most units would then fall silent a few layers up; so each layer as a whole is given the
mean and the spread that it has in the network itself.

That is done by one gain and one shift for all units of a layer. To give every unit its own mean and spread would be
nearer to the network, but in a random network a unit's mean and spread follow from its weights, and in such a copy they
would not: the network could be told from its copies, and was called better than them more often than it should be.
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

Moments = dict[str, tuple[float, float]]


def moments(graph: LayerGraph, layer: str, images: Float[Tensor, "picture channel height width"]) -> Moments:
    """Mean and standard deviation of what each convolution up to a layer gives, with the batch norm behind it.

    >>> moments(graph, "mixed3b", pictures)["conv2d0.conv"]  # doctest: +SKIP
    (-3.1, 42.8)
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
    """The network with its weights up to a layer dealt out anew, every layer with the moments that are `wanted`.

    Where a network's weights are independent draws, it and its untrained copies are exchangeable but for two numbers of
    each layer: that is what makes them a null. The given network stays as it is; the copy's fingerprint says that it is
    another.

    >>> untrained(graph, "mixed3b", pictures, moments(graph, "mixed3b", pictures)).fingerprint  # doctest: +SKIP
    '8294cb97a2c6...-untrained-0'
    """
    module = copy.deepcopy(graph.module)
    other = replace(graph, module=module, fingerprint=f"{graph.fingerprint}-untrained-{seed}")
    rng = np.random.default_rng(seed)
    with torch.no_grad():
        for conv, norm in _sites(other.upto(layer)).values():
            _deal_out(None if conv is None else module.get_submodule(conv),
                      None if norm is None else module.get_submodule(norm), rng)  # fmt: skip
        _Calibration(other.upto(layer), wanted).run(_prepared(graph, images))
    return other


def _prepared(graph: LayerGraph, images: Tensor) -> Tensor:
    dtype, device = floating_type(graph.module)
    return normalise(images.to(device, dtype), graph.card)


def _sites(module: fx.GraphModule) -> dict[str, tuple[str | None, str | None]]:
    """What is dealt out, by its last module: a convolution with the batch norm that alone reads it, or a batch norm."""
    modules = dict(module.named_modules(remove_duplicate=False))
    found: dict[str, tuple[str | None, str | None]] = {}
    for node in module.graph.nodes:
        own = modules.get(str(node.target)) if node.op == "call_module" else None
        if isinstance(own, nn.Conv2d):
            found[str(node.target)] = (str(node.target), None)
        elif isinstance(own, nn.BatchNorm2d):
            before = node.all_input_nodes[0]
            conv = str(before.target) if before.op == "call_module" and len(before.users) == 1 else ""
            found[str(node.target)] = (conv if found.pop(conv, None) else None, str(node.target))
    return found


def _deal_out(conv: Any, norm: Any, rng: np.random.Generator) -> None:
    """Fold the norm into the convolution and deal out its weights, and its biases; of a lone norm, its rows."""
    scale: Any = 1.0
    offset: Any = 0.0
    if norm is not None:
        spread = (norm.running_var + norm.eps).sqrt()
        scale = (1.0 if norm.weight is None else norm.weight) / spread
        offset = (0.0 if norm.bias is None else norm.bias) - norm.running_mean * scale
        norm.running_mean.zero_()
        norm.running_var.fill_(1.0 - norm.eps)
        norm.weight, norm.bias = _fixed(torch.ones_like(spread)), _fixed(torch.zeros_like(spread))
    units = len(norm.running_mean) if conv is None else len(conv.weight)
    rows = torch.from_numpy(rng.permutation(units))
    if conv is None:
        norm.weight, norm.bias = _fixed(scale[rows]), _fixed(offset[rows])
        return
    whole = conv.weight * (scale[:, None, None, None] if norm is not None else 1.0)
    order = torch.from_numpy(rng.permutation(whole.numel()))
    bias = whole.new_zeros(units) if conv.bias is None else conv.bias
    conv.weight = _fixed(whole.flatten()[order].reshape(whole.shape))
    conv.bias = _fixed((bias * scale + offset)[rows])


def _fixed(value: Tensor) -> nn.Parameter:
    return nn.Parameter(value, requires_grad=False)


class _Moments(fx.Interpreter):
    """Runs a network and notes the moments of what it will deal out."""

    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module)
        self.sites = _sites(module)
        self.found: Moments = {}

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        if n.op == "call_module" and str(n.target) in self.sites:
            self.found[str(n.target)] = (float(result.mean()), float(result.std()))
        return result


class _Calibration(fx.Interpreter):
    """Runs a network and gives each layer the moments wanted before the next one reads it."""

    def __init__(self, module: fx.GraphModule, wanted: Moments) -> None:
        super().__init__(module)
        self.sites = _sites(module)
        self.wanted = wanted

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        site = self.sites.get(str(n.target)) if n.op == "call_module" else None
        if site is None:
            return result
        mean, spread = self.wanted[str(n.target)]
        gain = spread / max(float(result.std()), 1e-12)
        shift = mean - gain * float(result.mean())
        # the norm behind a convolution has become the identity
        own: Any = self.fetch_attr(str(site[0] or site[1]))
        own.weight.mul_(gain)
        own.bias.mul_(gain).add_(shift)
        return result * gain + shift
