"""reading(graph, unit): what a unit's pre-activation is the sum of, input by input.

A pre-activation is the value before the unit's own rectifier. It is a sum of terms, each a row of kernels over the
channels of one value: one term for a convolution, several where paths are added. Behind a 1x1 bottleneck the row may be
expanded to the units before it; then what each of them adds depends on which of the bottleneck's units are open.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, fx, nn

from micrographia.errors import BadAddress, BadValue
from micrographia.model.direct import Direct, direct
from micrographia.model.graph import LayerGraph
from micrographia.model.ops import argument, data_inputs, kind, pair
from micrographia.study.weights import expanded
from micrographia.unit import Unit

WAYS = ("auto", "direct", "expanded")
# what may stand between a sum and the value that others read, and has no weights
_AFTER = frozenset({"relu", "activation", "dropout", "identity", "softmax"})
_KEEPING = frozenset({"dropout", "identity"})


@dataclass(frozen=True, eq=False)
class Row:
    """The kernels that one unit reads through one convolution or shortcut, and whose they are.

    `kernels` are as the card shows them, with batch norms folded in; kernel j reads the unit `sources[j]`. What stands
    between and is not folded in is named in `through`.
    """

    via: str
    kernels: Float[np.ndarray, "in height width"]
    sources: tuple[Unit, ...]
    through: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Term:
    """A row as it is computed: `kernels` over channels of the value of a node, from its channel `first` on.

    A cell i of the sum reads tap t at the cell stride * i + offset + dilation * t of the value, and zero outside of it.
    """

    node: str
    kernels: Float[np.ndarray, "in height width"]
    first: int = 0
    stride: tuple[int, int] = (1, 1)
    offset: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)


@dataclass(frozen=True, eq=False)
class Gate:
    """A bottleneck: `weights` of its units over the channels of the value of the node `source`, and their `bias`.

    Their sums are the value of the node `before`, what its rectifiers leave of them that of the node `after`. `linear`
    is the whole way with the rectifiers left out, as expanded weights.
    """

    source: str
    before: str
    after: str
    weights: Float[np.ndarray, "unit in"]
    bias: Float[np.ndarray, " unit"]
    linear: Term


@dataclass(frozen=True, eq=False)
class Reading:
    """What a unit reads. `rows` are the weights, `terms` how they are summed up (empty, with a `problem`, if unknown).

    The pre-activation is channel `channel` of the node `node`, and the sum of all terms plus `bias`. Where `way` is
    "expanded" the row is over the units before a bottleneck, and the term reads those through the `gate`.
    """

    unit: Unit
    way: str
    rows: tuple[Row, ...]
    terms: tuple[Term, ...]
    bias: float
    node: str
    channel: int
    problem: str = ""
    gate: Gate | None = None

    @property
    def sources(self) -> tuple[Unit, ...]:
        """The inputs, row after row; a unit that is read on two paths is there twice."""
        return tuple(source for row in self.rows for source in row.sources)


def reading(graph: LayerGraph, unit: Unit, way: str = "auto") -> Reading:
    """What a unit reads: the units of the nearest main layers, or, behind a bottleneck, those before that.

    A bottleneck is a 1x1 convolution with fewer channels than it reads. "auto" goes through it by expanded weights
    (Voss et al., Visualizing Weights, Distill 2021); "direct" stays with its own units; "expanded" insists. Raises
    BadAddress for unknown units, and BadValue for units that read nothing or are not made by a convolution.

    >>> reading(graph, Unit("mixed3b", 379)).way  # doctest: +SKIP
    'expanded'
    """
    if way not in WAYS:
        raise BadValue(f"Inputs cannot be taken '{way}'. Choose {', '.join(WAYS)}.")
    (unit,) = graph.units(f"{unit.layer}:{unit.channel}")
    layer = graph.layer(unit.layer)
    if layer.op == "input":
        raise BadValue(f"{unit} is a channel of the picture and reads nothing. Name a unit of {_first(graph)}.")
    rows = _rows(direct(graph, unit.layer), unit.channel)
    if not any(row.kernels.any() for row in rows):
        raise BadValue(f"{unit} reads nothing: all its weights are 0. Choose another unit of {unit.layer}.")
    walk = _Walk(graph)
    node, channel = walk.before(unit)
    terms, bias, problem = walk.matched(node, channel, rows)
    plain = Reading(unit, "direct", rows, terms, bias, node.name, channel, problem)
    gated = None if way == "direct" else _through_bottleneck(graph, walk, plain)
    if way == "expanded" and gated is None:
        raise BadValue(f"{unit} has no 1x1 bottleneck before it. Take its inputs as they are: direct.")
    return gated or plain


def _rows(parts: Sequence[Direct], channel: int) -> tuple[Row, ...]:
    found = []
    for part in parts:
        out = channel - part.first
        if 0 <= out < len(part.kernels):
            numbers = [part.input_of(out, column) for column in range(part.kernels.shape[1])]
            sources = tuple(Unit(part.layers[i], int(part.channels[i])) for i in numbers)
            found.append(Row(part.via, part.kernels[out], sources, part.through))
    return tuple(found)


def _through_bottleneck(graph: LayerGraph, walk: _Walk, plain: Reading) -> Reading | None:
    """The same unit's reading of what stands before a bottleneck; None where there is none."""
    layers = {source.layer for source in plain.sources}
    if len(plain.terms) != 1 or len(layers) != 1 or plain.rows[0].through:
        return None
    layer = graph.layer(layers.pop())
    if layer.op != "conv" or layer.window is None or len(layer.parents) != 1:
        return None
    parts, source = direct(graph, layer.name), graph.layer(layer.parents[0])
    if layer.window.kernel + layer.window.stride != (1, 1, 1, 1) or len(parts) != 1 or parts[0].groups != 1:
        return None
    if not source.spatial or len(parts[0].channels) != source.channels or layer.channels >= source.channels:
        return None
    before = walk.unrectified(walk.nodes[plain.terms[0].node])
    found = [walk.matched(before, channel, _rows(parts, channel)) for channel in range(layer.channels)]
    weights = expanded(graph, source.name, plain.unit.layer, [plain.unit.channel])
    if any([term.node for term in terms] != [graph.node_of[source.name]] for terms, _, _ in found):
        return None
    if weights.stride is None:
        return None
    gate = Gate(
        graph.node_of[source.name], before.name, plain.terms[0].node,
        np.stack([terms[0].kernels[:, 0, 0] for terms, _, _ in found]), np.array([bias for _, bias, _ in found]),
        Term(graph.node_of[source.name], weights.kernels[0], 0, weights.stride, weights.offset),
    )  # fmt: skip
    sources = tuple(Unit(name, int(number)) for name, number in zip(parts[0].layers, parts[0].channels, strict=True))
    row = Row(plain.rows[0].via, weights.kernels[0], sources, (*parts[0].through, layer.name))
    return replace(plain, way="expanded", rows=(row,), gate=gate)


def _first(graph: LayerGraph) -> str:
    return ", ".join(layer.name for layer in graph.main_layers()[:2])


class _Walk:
    """From a value back to the convolutions whose sum it is."""

    def __init__(self, graph: LayerGraph) -> None:
        self.graph = graph
        self.nodes = {node.name: node for node in graph.module.graph.nodes}
        self.modules = dict(graph.module.named_modules(remove_duplicate=False))

    def kind(self, node: fx.Node) -> str:
        return kind(node, self.modules)

    def before(self, unit: Unit) -> tuple[fx.Node, int]:
        """The node and channel of the unit's pre-activation."""
        node, channel = self.unrectified(self.nodes[self.graph.node_of[unit.layer]]), unit.channel
        while self.kind(node) == "concat":
            node, channel = self.branch(node, channel)
            node = self.unrectified(node)
        if (word := self.kind(node)) not in ("conv", "linear", "batchnorm", "add"):
            near = ", ".join(self.graph.layers[unit.layer].parents)
            raise BadAddress(f"{unit.layer} ({word}) has no weights of its own. Name a unit of {near} instead.")
        return node, channel

    def unrectified(self, node: fx.Node) -> fx.Node:
        """The value before the rectifiers and dropouts that made this one."""
        while self.kind(node) in _AFTER and len(data_inputs(node)) == 1:
            node = data_inputs(node)[0]
        return node

    def branch(self, node: fx.Node, channel: int) -> tuple[fx.Node, int]:
        for source in data_inputs(node):
            width = int(source.meta["shape"][1])
            if channel < width:
                return source, channel
            channel -= width
        raise BadAddress(f"'{node}' has no channel {channel}. It joins fewer.")

    def matched(self, node: fx.Node, channel: int, rows: tuple[Row, ...]) -> tuple[tuple[Term, ...], float, str]:
        """The terms, one for each row in its order, or none and the reason."""
        try:
            found = list(self.terms(node, channel, 1.0, own=True))
        except BadValue as error:
            return (), 0.0, str(error)
        terms = [term for term, _ in found if term is not None]
        shapes = [row.kernels.shape for row in rows]
        if len(terms) != len(rows) or any(t.kernels.size != np.prod(s) for t, s in zip(terms, shapes, strict=False)):
            return (), 0.0, f"the sum before {node} is not made of convolutions and shortcuts alone."
        return tuple(terms), sum(shift for _, shift in found), ""

    def terms(
        self, node: fx.Node, channel: int, scale: float, own: bool = False
    ) -> Iterator[tuple[Term | None, float]]:
        """Each term, with the constant that comes along with it."""
        word = self.kind(node)
        if not own and len(node.users) > 1:
            yield self.passed(node, channel, scale)
        elif word == "batchnorm":
            by, shift = self.norm(node, channel)
            yield None, scale * shift
            yield from self.terms(data_inputs(node)[0], channel, scale * by)
        elif word == "add":
            for source in data_inputs(node):
                yield from self.terms(source, channel, scale)
        elif word == "concat":
            yield from self.terms(*self.branch(node, channel), scale)
        elif word in _KEEPING and len(data_inputs(node)) == 1:
            yield from self.terms(data_inputs(node)[0], channel, scale)
        elif word in ("conv", "linear"):
            yield self.convolution(node, word, channel, scale)
        else:
            yield self.passed(node, channel, scale)

    def passed(self, node: fx.Node, channel: int, scale: float) -> tuple[Term, float]:
        return Term(node.name, np.full((1, 1, 1), scale), channel), 0.0

    def convolution(self, node: fx.Node, word: str, channel: int, scale: float) -> tuple[Term, float]:
        weight, bias = self.parameter(node, 1, "weight"), self.parameter(node, 2, "bias")
        constant = 0.0 if bias is None else scale * float(bias[channel])
        source = data_inputs(node)[0].name
        row = weight[channel].double().cpu().numpy() * scale
        if word == "linear":
            return Term(source, row[:, None, None]), constant
        module = self.modules.get(str(node.target)) if node.op == "call_module" else None
        if getattr(module, "padding_mode", "zeros") != "zeros":
            raise BadValue(f"'{node}' pads with something else than zeros, so its inputs cannot be told apart there.")
        stride, dilation = (pair(self.option(node, module, *each, 1)) for each in ((3, "stride"), (5, "dilation")))
        padding = self.option(node, module, 4, "padding", 0)
        if isinstance(padding, str):
            reach = [d * (n - 1) for d, n in zip(dilation, row.shape[1:], strict=True)]
            padding = (reach[0] // 2, reach[1] // 2) if padding == "same" else (0, 0)
        top, left = pair(padding)
        groups = int(self.option(node, module, 6, "groups", 1))
        first = channel // (len(weight) // groups) * len(row)
        return Term(source, row, first, stride, (-top, -left), dilation), constant

    def option(self, node: fx.Node, module: nn.Module | None, position: int, name: str, default: Any) -> Any:
        return argument(node, position, name, default) if module is None else getattr(module, name, default)

    def norm(self, node: fx.Node, channel: int) -> tuple[float, float]:
        """Scale and shift of a batch norm in evaluation mode."""
        module = self.modules.get(str(node.target)) if node.op == "call_module" else None
        mean, variance = self.parameter(node, 1, "running_mean"), self.parameter(node, 2, "running_var")
        weight, bias = self.parameter(node, 3, "weight"), self.parameter(node, 4, "bias")
        epsilon = argument(node, 7, "eps", 1e-5) if module is None else module.eps
        by = (1.0 if weight is None else float(weight[channel])) / float(variance[channel].double() + epsilon) ** 0.5
        return by, (0.0 if bias is None else float(bias[channel])) - float(mean[channel]) * by

    def parameter(self, node: fx.Node, position: int, name: str) -> Any:
        if node.op == "call_module":
            value = getattr(self.modules[str(node.target)], name, None)
        else:
            value = self.constant(argument(node, position, name))
        return value.detach() if isinstance(value, Tensor) else None

    def constant(self, value: Any) -> Any:
        """What a node that depends on parameters alone comes to."""
        if not isinstance(value, fx.Node):
            return value
        if value.op == "get_attr":
            owner, _, name = str(value.target).rpartition(".")
            return getattr(self.graph.module.get_submodule(owner), name)
        arguments, options = fx.map_arg((value.args, value.kwargs), self.constant)
        with torch.no_grad():
            if value.op == "call_method":
                return getattr(arguments[0], str(value.target))(*arguments[1:], **options)
            function: Any = self.modules[str(value.target)] if value.op == "call_module" else value.target
            return function(*arguments, **options)
