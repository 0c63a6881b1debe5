"""direct(graph, layer): the weights that write a layer, each with the units of earlier layers that it reads.

A layer is followed up through rectifiers, norms, poolings, concats and additions to the convolutions that make it, and
from those on to the nearest layers of `graph.main_layers()`. Nothing is run: the weights are read where they stand.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, fx

from micrographia.errors import BadValue
from micrographia.model.graph import LayerGraph
from micrographia.model.ops import argument, data_inputs, kind
from micrographia.model.twin import floating_type

_NEUTRAL = frozenset({"relu", "activation", "dropout", "identity", "lrn", "norm", "softmax"})
_POOLING = frozenset({"maxpool", "avgpool", "adaptive pool", "mean", "pad", "upsample"})
# passed by, though not without effect: a result names them
_LOSSY = _POOLING | {"lrn", "norm"}


@dataclass(frozen=True, eq=False)
class Direct:
    """The weights of one convolution (or shortcut) into the channels `first`, `first` + 1, ... of a layer.

    Kernel (out, j) reads the input number group * kernels.shape[1] + j, where the group counts equal parts of the
    channels written. Input i is channel `channels[i]` of the layer `layers[i]`; what stands between it and the
    convolution and is not folded into the kernels is in `through`. Scale and shift of the batch norms on the way, on
    both sides, are folded in. `via` names the branch.
    """

    via: str
    first: int
    kernels: Float[np.ndarray, "out in height width"]
    bias: Float[np.ndarray, " out"]
    layers: tuple[str, ...]
    channels: Int[np.ndarray, " inputs"]
    groups: int = 1
    through: tuple[str, ...] = ()

    def input_of(self, out: int, column: int) -> int:
        """The number of the input that a kernel reads, which differs from its column where there are groups."""
        return out // (len(self.kernels) // self.groups) * self.kernels.shape[1] + column


def direct(graph: LayerGraph, layer: str) -> tuple[Direct, ...]:
    """The direct weights into a layer, branch by branch; the paths of an addition all write every channel.

    A pre-activation is the sum over all of them of kernel * input map + bias, with rectifiers, poolings and local
    response norms passed by. The shortcut of a residual unit is a 1x1 kernel of weight 1 from each channel to itself.
    Without batch norms on the way the kernels are the raw weights. Raises BadAddress, and BadValue where the layer is
    not made of convolutions.

    >>> [each.via for each in direct(graph, "mixed3b")]  # doctest: +SKIP
    ['mixed3b_1x1', 'mixed3b_3x3', 'mixed3b_5x5', 'mixed3b_pool_reduce']
    """
    return _Walk(graph).into(graph.layer(layer).name)


def wiring(graph: LayerGraph) -> dict[str, tuple[Direct, ...]]:
    """The direct weights into every main layer and every fully connected one, {layer: weights}, in order."""
    walk = _Walk(graph)
    linear = {layer.name for layer in graph.visible() if layer.op == "linear"}
    chosen = linear | walk.main
    return {name: walk.into(name) for name in graph.layers if name in chosen and name != "input"}


@dataclass(frozen=True)
class _Scale:
    """A value is `by` times another plus `shift`, channel by channel; None stands for 1 and 0."""

    by: np.ndarray | None = None
    shift: np.ndarray | None = None

    def after(self, by: np.ndarray, shift: np.ndarray) -> _Scale:
        """The scale from one norm further up."""
        if self.by is None:
            return _Scale(by, shift if self.shift is None else self.shift + shift)
        return _Scale(self.by * by, self.by * shift + (0 if self.shift is None else self.shift))

    def part(self, start: int, stop: int | None) -> _Scale:
        cut = lambda values: None if values is None else values[start:stop]  # noqa: E731
        return _Scale(cut(self.by), cut(self.shift))


@dataclass
class _Inputs:
    """What a convolution reads, channel by channel, gathered on the way up."""

    layers: list[str] = field(default_factory=list)
    channels: list[int] = field(default_factory=list)
    by: list[np.ndarray] = field(default_factory=list)
    shift: list[np.ndarray] = field(default_factory=list)
    scaled: bool = False
    through: dict[str, None] = field(default_factory=dict)


class _Walk:
    def __init__(self, graph: LayerGraph) -> None:
        self.graph = graph
        self.modules = dict(graph.module.named_modules(remove_duplicate=False))
        self.nodes = {node.name: node for node in graph.module.graph.nodes}
        self.kinds = {name: kind(node, self.modules) for name, node in self.nodes.items()}
        self.named = {graph.node_of[name]: name for name in graph.layers}
        self.main = {layer.name for layer in graph.main_layers()}
        self.dtype = torch.empty(0, dtype=floating_type(graph.module)[0]).numpy().dtype

    def into(self, layer: str) -> tuple[Direct, ...]:
        node = self.nodes[self.graph.node_of[layer]]
        found = tuple(self._writers(node, 0, _Scale(), layer, (), own=True))
        if not found:
            raise BadValue(f"{layer} is not made of convolutions. Name one of the network's convolutions or blocks.")
        return found

    def _writers(
        self, node: fx.Node, first: int, scale: _Scale, via: str, through: tuple[str, ...], own: bool = False
    ) -> Iterable[Direct]:
        """All direct weights that write a node, whose channel 0 is channel `first` of the layer asked for."""
        word, name = self.kinds[node.name], self.named.get(node.name)
        if not own and (word == "input" or len(node.users) > 1):
            # a value that others read too is passed on here, not made here
            yield self._passed(node, first, scale, via, through)
            return
        if name is not None and not self.graph.layers[name].inner and word not in ("add", "concat"):
            via = name
        source = self._source(node)
        if word in ("conv", "linear"):
            yield self._convolution(node, first, scale, via)
        elif word == "concat" and self._joins_channels(node):
            for each in data_inputs(node):
                width = _width(each)
                yield from self._writers(each, first, scale.part(0, width), via, through)
                scale, first = scale.part(width, None), first + width
        elif word == "add":
            for each in data_inputs(node):
                yield from self._writers(each, first, scale, via, through)
                scale = _Scale(scale.by)  # a shift counts once
        elif source is not None:
            scale = scale.after(*self._norm(node)) if word == "batchnorm" else scale
            through = (*through, name or node.name) if word in _LOSSY else through
            # a map that is gated has two readers, the gate and the product, and is made here all the same
            yield from self._writers(source, first, scale, via, through, own=word == "multiply")
        elif not own:
            yield self._passed(node, first, scale, via, through)

    def _passed(self, node: fx.Node, first: int, scale: _Scale, via: str, through: tuple[str, ...]) -> Direct:
        inputs = _Inputs(through=dict.fromkeys(through))
        self._read(node, _Scale(), inputs)
        count = len(inputs.channels)
        by = np.ones(count, self.dtype) if scale.by is None else scale.by
        shift = np.zeros(count, self.dtype) if scale.shift is None else scale.shift
        return self._folded(via, first, by[:, None, None, None], shift, inputs, count)

    def _convolution(self, node: fx.Node, first: int, scale: _Scale, via: str) -> Direct:
        weight = self._parameter(node, 1, "weight")
        bias = self._parameter(node, 2, "bias")
        inputs = _Inputs()
        source = data_inputs(node)[0]
        if self.kinds[node.name] == "linear":
            source, weight = self._unflattened(source, weight)
        self._read(source, _Scale(), inputs)
        if scale.by is not None:
            weight = weight * scale.by[:, None, None, None]
            bias = None if bias is None else bias * scale.by
        if scale.shift is not None:
            bias = scale.shift if bias is None else bias + scale.shift
        if bias is None:
            bias = np.zeros(len(weight), weight.dtype)
        groups = len(inputs.channels) // weight.shape[1]
        return self._folded(via, first, weight, bias, inputs, groups)

    def _folded(
        self, via: str, first: int, kernels: np.ndarray, bias: np.ndarray, inputs: _Inputs, groups: int
    ) -> Direct:
        """With the norms between the source and the convolution folded in."""
        if inputs.scaled:
            each = np.arange(len(kernels)) // (len(kernels) // groups) * kernels.shape[1]
            columns = each[:, None] + np.arange(kernels.shape[1])
            shift, by = np.concatenate(inputs.shift)[columns], np.concatenate(inputs.by)[columns]
            bias = bias + (kernels.sum((2, 3)) * shift).sum(1)
            kernels = kernels * by[:, :, None, None]
        kernels, bias = kernels.astype(self.dtype, copy=False), bias.astype(self.dtype, copy=False)
        channels = np.asarray(inputs.channels)
        return Direct(via, first, kernels, bias, tuple(inputs.layers), channels, groups, tuple(inputs.through))

    def _unflattened(self, source: fx.Node, weight: np.ndarray) -> tuple[fx.Node, np.ndarray]:
        """A fully connected layer as a convolution of the map that was flattened for it."""
        node: fx.Node | None = source
        while node is not None and self.kinds[node.name] in _NEUTRAL:
            node = self._source(node)
        if node is not None and self.kinds[node.name] in ("flatten", "reshape"):
            flattened = data_inputs(node)[0]
            shape = flattened.meta["shape"]
            if len(shape) == 4 and weight.shape[1] == shape[1] * shape[2] * shape[3]:
                return flattened, weight.reshape(len(weight), *shape[1:])
        return source, weight[:, :, None, None]

    def _read(self, node: fx.Node, scale: _Scale, inputs: _Inputs) -> None:
        """Add the channels of a node to `inputs`, followed up to the nearest main layers."""
        word, name = self.kinds[node.name], self.named.get(node.name)
        source = self._source(node)
        stop = name in self.main or word in ("input", "conv", "linear")
        if not stop and word == "concat" and self._joins_channels(node):
            for each in data_inputs(node):
                self._read(each, scale.part(0, _width(each)), inputs)
                scale = scale.part(_width(each), None)
        elif not stop and source is not None:
            if word == "batchnorm":
                scale = scale.after(*self._norm(node))
            elif word in _LOSSY:
                inputs.through[name or node.name] = None
            self._read(source, scale, inputs)
        else:
            width = _width(node)
            inputs.layers.extend([name or node.name] * width)
            inputs.channels.extend(range(width))
            inputs.by.append(np.ones(width, self.dtype) if scale.by is None else scale.by)
            inputs.shift.append(np.zeros(width, self.dtype) if scale.shift is None else scale.shift)
            inputs.scaled |= scale.by is not None

    def _source(self, node: fx.Node) -> fx.Node | None:
        """The one value whose channels a node keeps, one for one; None where it does something else."""
        word = self.kinds[node.name]
        values = [each for each in data_inputs(node) if "shape" in each.meta]
        if word == "multiply" and len(values) == 2:
            # maps times one factor per channel: the maps go on
            values = sorted(values, key=lambda each: -int(np.prod(each.meta["shape"])))[:1]
        elif word not in _NEUTRAL | _POOLING | {"batchnorm", "flatten", "reshape"} or len(values) != 1:
            return None
        return values[0] if _width(values[0]) == _width(node) else None

    def _joins_channels(self, node: fx.Node) -> bool:
        return sum(_width(source) for source in data_inputs(node)) == _width(node)

    def _norm(self, node: fx.Node) -> tuple[np.ndarray, np.ndarray]:
        """Scale and shift of a batch norm in evaluation mode."""
        mean, variance = self._parameter(node, 1, "running_mean"), self._parameter(node, 2, "running_var")
        module = self.modules[str(node.target)] if node.op == "call_module" else None
        epsilon = argument(node, 7, "eps", 1e-5) if module is None else module.eps
        if mean is None or variance is None:
            raise BadValue(
                f"The norm '{node.name}' depends on the pictures, so its layer has no fixed weights. "
                "Use a network whose norms keep running statistics."
            )
        weight, bias = self._parameter(node, 3, "weight"), self._parameter(node, 4, "bias")
        by = (1 if weight is None else weight) / np.sqrt(variance.astype(np.float64) + epsilon)
        return by, (0 if bias is None else bias) - mean * by

    def _parameter(self, node: fx.Node, position: int, name: str) -> Any:
        """A weight of a module, or of a function that is given it, as an array on the weights' own memory."""
        if node.op == "call_module":
            value = getattr(self.modules[str(node.target)], name, None)
        else:
            value = self._constant(argument(node, position, name))
        return value.detach().cpu().numpy() if isinstance(value, Tensor) else None

    def _constant(self, value: Any) -> Any:
        """What a node that depends on parameters alone comes to."""
        if not isinstance(value, fx.Node):
            return value
        if value.op == "get_attr":
            owner, _, name = str(value.target).rpartition(".")
            return getattr(self.graph.module.get_submodule(owner), name)
        arguments, options = fx.map_arg((value.args, value.kwargs), self._constant)
        if value.op == "call_method":
            return getattr(arguments[0], str(value.target))(*arguments[1:], **options)
        function: Any = self.modules[str(value.target)] if value.op == "call_module" else value.target
        return function(*arguments, **options)


def _width(node: fx.Node) -> int:
    shape = node.meta["shape"]
    return int(shape[1]) if len(shape) > 1 else 1
