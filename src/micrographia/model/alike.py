"""redrawn_alike(module, pictures): a network of the same structure that has learned nothing, but is as active.

Weights dealt out anew alone make another network in more than one way: its units may be all silent or never silent. To
be a null for what units answer, each unit has to be as active as the one in its place. So every convolution's weights
are dealt out anew, then scaled and shifted unit by unit until its values on some pictures have the mean and standard
deviation that they have in the network itself (as in data-dependent initialisation, Mishkin and Matas 2016).
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, fx, nn


class _Pair(fx.Interpreter):
    """Runs the network and its copy side by side; each node's value is the pair of both."""

    def __init__(self, module: fx.GraphModule, rng: np.random.Generator) -> None:
        super().__init__(module, garbage_collect_values=True)
        self.own: dict[str, nn.Module] = {}
        self.rng = rng

    def run_node(self, n: fx.Node) -> Any:
        if n.op == "placeholder":
            value = super().run_node(n)
            return value, value
        left: Any = fx.node.map_arg((n.args, n.kwargs), lambda each: self.env[each][0])
        right: Any = fx.node.map_arg((n.args, n.kwargs), lambda each: self.env[each][1])
        if n.op == "output":
            return None
        call = getattr(self, n.op)
        first, name = call(n.target, *left), str(n.target)
        if n.op == "call_module" and isinstance(own := self.fetch_attr(name), nn.Conv2d | nn.Linear):
            if name not in self.own:
                self.own[name] = self._matched(own, first, *right[0])
            return first, self.own[name](*right[0])
        return first, call(n.target, *right)

    def _matched(self, own: nn.Conv2d | nn.Linear, wanted: Tensor, shown: Tensor) -> nn.Module:
        other: Any = copy.deepcopy(own).requires_grad_(False)
        order = torch.from_numpy(self.rng.permutation(own.weight.numel())).to(own.weight.device)
        other.weight.copy_(own.weight.flatten()[order].reshape(own.weight.shape))
        raw = other(shown)
        axes = [axis for axis in range(raw.ndim) if axis != (1 if isinstance(own, nn.Conv2d) else raw.ndim - 1)]
        spread, mean = torch.std_mean(raw, axes, correction=0)
        to_spread, to_mean = torch.std_mean(wanted, axes, correction=0)
        scale = torch.where(spread > 0, to_spread / spread.clamp(min=torch.finfo(raw.dtype).tiny), 1)
        shift = to_mean - scale * mean
        bias = torch.zeros_like(scale) if own.bias is None else own.bias
        other.weight.mul_(scale.reshape(-1, *[1] * (own.weight.ndim - 1)))
        other.bias = nn.Parameter(scale * bias + shift, requires_grad=False)
        return other


def redrawn_alike(
    module: fx.GraphModule, pictures: Float[Tensor, "picture channel height width"], seed: int = 0
) -> fx.GraphModule:
    """A copy in which each convolution has its own weights in another order, and units as active as before.

    `pictures` are as the network sees them. Batch norms should have been folded into the convolutions before; what is
    no module of its own (weights that a network computes) stays as it is. The given module is not changed.

    >>> redrawn_alike(fold(graph.upto("mixed3b")), pictures, seed=1)  # doctest: +SKIP
    """
    pair = _Pair(module, np.random.default_rng(seed))
    with torch.no_grad():
        pair.run(pictures)
    root: dict[str, Any] = {}
    for node in module.graph.nodes:
        if node.op in ("call_module", "get_attr"):
            value: Any = module
            for part in str(node.target).split("."):
                value = getattr(value, part)
            root[str(node.target)] = pair.own.get(str(node.target), value)
    graph = fx.Graph()
    graph.output(graph.graph_copy(module.graph, {}))
    return fx.GraphModule(root, graph)
