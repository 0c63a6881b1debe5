"""Stages: each unit of a layer as a function of the units of the layer before, edge by edge.

A unit is split where the network first mixes channels: what it reads of one source unit there is a term of a sum, so an
edge can be kept, removed or measured alone, through any bottleneck, branch or shortcut behind it. What stands before
the first mixing (rectifiers, poolings) belongs to the source; a local response norm there is held at its scale on the
picture.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, fx, nn
from torch.nn import functional as F

from micrographia.errors import BadValue
from micrographia.model.fold import fold
from micrographia.model.graph import LayerGraph
from micrographia.model.ops import data_inputs, kind

_CHANNELWISE = frozenset({"relu", "activation", "maxpool", "avgpool", "dropout", "identity", "input"})


@dataclass(frozen=True, eq=False)
class Step:
    """An operation that keeps the channels apart: a function of any of them, a scale of each, or a response norm."""

    word: str
    run: nn.Module

    def __call__(self, value: Tensor, channels: Sequence[int] | None = None, ratio: Tensor | None = None) -> Tensor:
        """The operation on these channels (None: all); a norm on some needs its `ratio`, output over input."""
        if self.word == "scale" and channels is not None:
            scale: Any = self.run.scale
            offset: Any = self.run.offset
            return value * scale[list(channels)] + offset[list(channels)]
        if self.word == "lrn" and channels is not None:
            if ratio is None:
                raise BadValue("A response norm of some channels needs its scale. Give the ratios of a probe.")
            return value * ratio[:, list(channels)]
        result: Tensor = self.run(value)
        return result


@dataclass(frozen=True, eq=False)
class Entry:
    """A first mixing of channels: `weight` over what `steps` make of the source layer.

    `key` names the convolution and its rows, `source` what it reads, by which both are computed only once. A `shortcut`
    hands each channel on as it is.
    """

    key: str
    source: str
    steps: tuple[Step, ...]
    weight: Float[Tensor, "out channel height width"]
    bias: Float[Tensor, " out"] | None
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    shortcut: bool = False

    def before(self, value: Tensor, channels: Sequence[int] | None = None) -> Tensor:
        """What the convolution reads of these channels."""
        for step in self.steps:
            value = step(value, channels)
        return value

    def mix(self, value: Tensor, channels: Sequence[int] | None = None, mask: Tensor | None = None) -> Tensor:
        """The convolution of these channels, without its bias; `mask` "out channel" leaves kernels out."""
        weight = self.weight if channels is None else self.weight[:, list(channels)]
        if mask is not None:
            weight = weight * mask[:, :, None, None]
        return F.conv2d(value, weight, None, self.stride, self.padding, self.dilation)

    def whole(self, value: Tensor) -> Tensor:
        """The convolution of the whole source layer, with its bias."""
        return self.of(self.before(value))

    def of(self, before: Tensor) -> Tensor:
        """The same, where what the convolution reads is already known."""
        mixed = self.mix(before)
        return mixed if self.bias is None else mixed + self.bias[:, None, None]


@dataclass(frozen=True, eq=False)
class Reader:
    """One unit as a function of the layer before it: a `tail` of what its entries give.

    The tail is run node by node, with the modules and values of `root`. There are hundreds of readers, each of a few
    nodes and seldom called: to have torch.fx write and compile code for each takes longer than to run them all.
    """

    entries: tuple[Entry, ...]
    tail: fx.Graph
    root: Mapping[str, Any]

    def __call__(self, outs: Sequence[Tensor]) -> Tensor:
        """The unit's map, from the maps that its entries give."""
        left = list(outs)
        known: dict[fx.Node, Any] = {}
        for node in self.tail.nodes:
            args = fx.map_arg(node.args, known.__getitem__)
            kwargs = fx.map_arg(node.kwargs, known.__getitem__)
            target: Any = node.target
            if node.op == "placeholder":
                known[node] = left.pop(0)
            elif node.op == "get_attr":
                known[node] = self.root[target]
            elif node.op == "call_module":
                known[node] = self.root[target](*args, **kwargs)
            elif node.op == "call_function":
                known[node] = target(*args, **kwargs)
            elif node.op == "call_method":
                known[node] = getattr(args[0], target)(*args[1:], **kwargs)
            else:
                result: Tensor = args[0]
        return result


@dataclass(eq=False)
class Stage:
    """From the layer `src`, as its readers see it, to the layer `dst`. `steps` bring the value of `src` to that point.

    `full` computes all units of `dst`; `reader(channel)` is one of them, `reader(channel, True)` before its rectifier.
    """

    src: str
    dst: str
    steps: tuple[Step, ...]
    full: fx.GraphModule
    _result: fx.Node
    _made: dict[tuple[int, bool], Reader] = field(default_factory=dict)
    _steps: dict[fx.Node, Step] = field(default_factory=dict)

    def read(self, value: Tensor) -> Tensor:
        """The value of `src` as its readers see it."""
        for step in self.steps:
            value = step(value)
        return value

    def read_some(self, value: Tensor, channels: Sequence[int], ratios: Sequence[Tensor]) -> Tensor:
        """The same of some channels alone, with the scales of the response norms given."""
        left = list(ratios)
        for step in self.steps:
            value = step(value, channels, left.pop(0) if step.word == "lrn" else None)
        return value

    def ratios(self, value: Tensor) -> list[Tensor]:
        """Output over input of every response norm on the way, for the whole layer's natural value."""
        found = []
        for step in self.steps:
            if step.word == "lrn":
                # a silent unit would be scaled as well if it spoke a little
                some = torch.where(value.abs() < 1e-4, torch.full_like(value, 1e-4), value)
                found.append(step(some) / some)
            value = step(value)
        return found

    def reader(self, channel: int, pre: bool = False) -> Reader:
        """The unit as a function of what its entries give; raises BadValue where channels cannot be told apart."""
        if (channel, pre) not in self._made:
            self._made[channel, pre] = _Slicing(self).of(channel, pre)
        return self._made[channel, pre]


def stage_between(graph: LayerGraph, src: str, dst: str) -> Stage:
    """The stage from one layer to a later one that every path goes through it to; raises BadAddress and BadValue.

    >>> stage_between(graph, "mixed3a", "mixed3b").reader(379).entries[0].weight.shape  # doctest: +SKIP
    torch.Size([32, 256, 1, 1])
    """
    if not graph.layer(src).spatial:
        raise BadValue(f"{src} has no maps. Choose a smaller depth.")
    segment = fold(graph.between(src, dst))
    modules = dict(segment.named_modules(remove_duplicate=False))
    node = next(each for each in segment.graph.nodes if each.op == "placeholder")
    result = next(each for each in segment.graph.nodes if each.op == "output").args[0][dst]
    steps = []
    while len(node.users) == 1 and node is not result:
        user = next(iter(node.users))
        word = _word(user, modules)
        if word not in _CHANNELWISE | {"lrn", "scale"} or len(user.all_input_nodes) != 1:
            break
        steps.append(Step(word, _alone(user, segment, word)))
        node = user
    graph_new = fx.Graph()
    placed: dict[fx.Node, fx.Node] = {node: graph_new.placeholder("read")}
    root: dict[str, Any] = {}
    begun = False
    for each in segment.graph.nodes:
        if begun and each.op != "output" and each not in placed:
            if each.op in ("call_module", "get_attr"):
                root[str(each.target)] = _target(segment, str(each.target))
            placed[each] = graph_new.node_copy(each, lambda n: placed[n])
        begun = begun or each is node
    graph_new.output(placed[result])
    full = fx.GraphModule(root, graph_new)
    like = next((p for p in segment.parameters()), torch.zeros(()))
    with torch.no_grad():
        value = torch.zeros((1, *graph.layer(src).shape), dtype=like.dtype, device=like.device)
        for step in steps:
            value = step(value)
        _Shapes(full).run(value)
    return Stage(src, dst, tuple(steps), full, placed[result])


class _Shapes(fx.Interpreter):
    """Writes the shape of every value where it can be looked up."""

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        if isinstance(result, Tensor):
            n.meta["shape"] = tuple(result.shape)
        return result


def _word(node: fx.Node, modules: dict[str, nn.Module]) -> str:
    """The kind of a node; "scale" is a norm that became one number per channel, "lrn" a response norm."""
    own = modules.get(str(node.target)) if node.op == "call_module" else None
    if own is not None and hasattr(own, "scale") and hasattr(own, "offset"):
        return "scale"
    if own is not None and hasattr(own, "bands"):
        return "lrn"
    word = kind(node, modules)
    return "prelu" if isinstance(own, nn.PReLU) and own.num_parameters > 1 else word


def _target(root: nn.Module, path: str) -> Any:
    owner, _, name = path.rpartition(".")
    return getattr(root.get_submodule(owner), name)


def _alone(node: fx.Node, root: fx.GraphModule, word: str) -> nn.Module:
    """One operation as a module of its own."""
    if word in ("scale", "lrn"):
        own: nn.Module = _target(root, str(node.target))
        return own
    graph = fx.Graph()
    value = graph.placeholder("value")
    graph.output(graph.node_copy(node, lambda n: value))
    return fx.GraphModule(
        {str(node.target): _target(root, str(node.target))} if node.op == "call_module" else {}, graph
    )


class _Slicing:
    """Builds the tail of one unit: the part of a stage that it needs, cut open at the first mixings of channels."""

    def __init__(self, stage: Stage) -> None:
        self.stage, self.modules = stage, dict(stage.full.named_modules(remove_duplicate=False))
        self.start = next(node for node in stage.full.graph.nodes if node.op == "placeholder")
        self.graph = fx.Graph()
        self.root: dict[str, Any] = {}
        self.entries: list[Entry] = []
        self.placed: dict[tuple[fx.Node, int | None], fx.Node] = {}
        self.calls: list[tuple[fx.Node, int | None]] = []

    def of(self, channel: int, pre: bool) -> Reader:
        node = self.stage._result
        while _word(node, self.modules) == "concat":
            node, channel = self._part(node, channel)
        if pre and _word(node, self.modules) == "relu":
            node = node.all_input_nodes[0]
        result = self._build(node, channel)
        self.graph.output(result)
        return Reader(tuple(self.entries), self.graph, self.root)

    def _part(self, node: fx.Node, channel: int) -> tuple[fx.Node, int]:
        """The value of a concat that holds a channel, and the channel's number there."""
        for each in data_inputs(node):
            width = int(each.meta["shape"][1])
            if channel < width:
                return each, channel
            channel -= width
        raise BadValue(f"{self.stage.dst} joins maps in another way than by channels. Choose another layer.")

    def _build(self, node: fx.Node, channel: int | None) -> fx.Node:
        """The node's channel (None: all of them) in the tail."""
        if (node, channel) not in self.placed:
            self.placed[node, channel] = self._made(node, channel)
        return self.placed[node, channel]

    def _made(self, node: fx.Node, channel: int | None) -> fx.Node:
        word = _word(node, self.modules)
        steps = self._steps(node)
        if steps is not None:
            return self._passed(node, steps, channel)
        conv: Any = self.modules.get(str(node.target)) if node.op == "call_module" else None
        if type(conv) is nn.Conv2d and conv.padding_mode == "zeros" and not isinstance(conv.padding, str):
            return self._convolution(node, conv, channel)
        if channel is not None:
            if word == "concat":
                return self._build(*self._part(node, channel))
            if word == "add":
                first, second = (self._build(each, channel) for each in data_inputs(node))
                return self.graph.call_function(torch.add, (first, second))
            if word in _CHANNELWISE and len(data_inputs(node)) == 1:
                if node.op == "call_module":
                    self.root[str(node.target)] = _target(self.stage.full, str(node.target))
                return self.graph.node_copy(node, lambda n: self._build(n, channel))
            return self._index(self._build(node, None), channel)
        if node.op in ("call_module", "get_attr"):
            self.root[str(node.target)] = _target(self.stage.full, str(node.target))
        return self.graph.node_copy(node, lambda n: self._build(n, None))

    def _steps(self, node: fx.Node) -> tuple[Step, ...] | None:
        """The operations from what the unit reads to this node, if they all keep the channels apart."""
        steps: list[Step] = []
        while node is not self.start:
            word = _word(node, self.modules)
            if word not in _CHANNELWISE | {"scale"} or node.op == "placeholder" or len(data_inputs(node)) != 1:
                return None
            if node not in self.stage._steps:
                self.stage._steps[node] = Step(word, _alone(node, self.stage.full, word))
            steps.insert(0, self.stage._steps[node])
            (node,) = data_inputs(node)
        return tuple(steps)

    def _passed(self, node: fx.Node, steps: tuple[Step, ...], channel: int | None) -> fx.Node:
        """A shortcut: a kernel of one 1 from each channel to itself."""
        width = int(node.meta["shape"][1])
        like = next((p for p in self.stage.full.parameters()), torch.zeros(()))
        eye = torch.eye(width, dtype=like.dtype, device=like.device)[:, :, None, None]
        rows = slice(None) if channel is None else slice(channel, channel + 1)
        return self._entry(f"{node.name}[{channel}]", node.name, steps, eye[rows], None, (1, 1), (0, 0), (1, 1), True)

    def _convolution(self, node: fx.Node, conv: Any, channel: int | None) -> fx.Node:
        rows = slice(None) if channel is None else slice(channel, channel + 1)
        weight, bias = conv.weight.detach(), None if conv.bias is None else conv.bias.detach()
        if conv.groups > 1:
            weight = _dense(weight, conv.groups)
        weight, bias = weight[rows], None if bias is None else bias[rows]
        steps = self._steps(node.all_input_nodes[0])
        if steps is not None:
            key = f"{node.name}[{'' if channel is None else channel}]"
            return self._entry(
                key, node.all_input_nodes[0].name, steps, weight, bias, conv.stride, conv.padding, conv.dilation
            )
        source = self._build(node.all_input_nodes[0], None)
        name = f"sliced_{node.name}_{'all' if channel is None else channel}"
        self.root[name] = _Fixed(weight, bias, conv.stride, conv.padding, conv.dilation)
        return self.graph.call_module(name, (source,))

    def _entry(
        self, key: str, source: str, steps: tuple[Step, ...], weight: Tensor, bias: Tensor | None, *how: Any
    ) -> fx.Node:
        self.entries.append(Entry(key, source, steps, weight, bias, *how))
        return self.graph.placeholder(f"entry_{len(self.entries) - 1}")

    def _index(self, value: fx.Node, channel: int) -> fx.Node:
        return self.graph.call_function(torch.narrow, (value, 1, channel, 1))


class _Fixed(nn.Module):
    """A convolution with some of another's kernels."""

    weight: Tensor
    bias: Tensor | None

    def __init__(self, weight: Tensor, bias: Tensor | None, stride: Any, padding: Any, dilation: Any) -> None:
        super().__init__()
        self.register_buffer("weight", weight)
        self.register_buffer("bias", bias)
        self.how = (stride, padding, dilation)

    def forward(self, value: Tensor) -> Tensor:
        return F.conv2d(value, self.weight, self.bias, *self.how)


def _dense(weight: Tensor, groups: int) -> Tensor:
    """The kernels of a grouped convolution as those of an ordinary one."""
    out, width = len(weight) // groups, weight.shape[1]
    dense = weight.new_zeros((len(weight), width * groups, *weight.shape[2:]))
    for group in range(groups):
        rows = slice(group * out, (group + 1) * out)
        dense[rows, group * width : (group + 1) * width] = weight[rows]
    return dense
