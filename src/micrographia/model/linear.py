"""affine(graph, src, dst): the path between two layers as an affine map, by a table of stand-ins for the rest.

The stand-ins are those of Voss et al., Visualizing Weights (Distill 2021): rectifiers and their kin are left out, and a
max pooling becomes the average pooling of the same windows. Which of them were needed is part of every result.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from micrographia.errors import BadValue
from micrographia.model.graph import LayerGraph
from micrographia.model.ops import POINTWISE, Window, argument, data_inputs, kind, window
from micrographia.model.receptive import Field, merged, same_grid, through, through_transposed

# kinds that are affine as they are, for every argument
AFFINE = frozenset(
    {"conv", "transposed conv", "linear", "avgpool", "flatten", "reshape", "pad", "upsample", "concat", "add", "mean",
     "identity", "input"}
)  # fmt: skip
_SIGNED: frozenset[Any] = frozenset(
    {operator.getitem, operator.sub, operator.neg, torch.sub, torch.neg, torch.split, torch.chunk,
     "split", "chunk", "sub", "neg"}
)  # fmt: skip
_REARRANGING: frozenset[Any] = _SIGNED | {
    torch.permute, torch.transpose, torch.squeeze, torch.unsqueeze, torch.stack, torch.sum,
    "permute", "transpose", "squeeze", "unsqueeze", "sum",
}  # fmt: skip
_REARRANGING_MODULES = (nn.PixelShuffle, nn.PixelUnshuffle, nn.ChannelShuffle, nn.Unflatten)
_SCALING = frozenset({operator.mul, operator.truediv, torch.mul, torch.div, "mul", "div"})
_SHIFTING = frozenset({operator.add, torch.add, "add"})


@dataclass(frozen=True)
class Op:
    """A node of the forward pass as a rule sees it: its kind, its module if it is one, and its window over space."""

    kind: str
    node: fx.Node
    module: nn.Module | None
    window: Window | None

    @property
    def values(self) -> list[fx.Node]:
        """The values computed from the picture that it reads; parameters are not among them."""
        return data_inputs(self.node)

    def option(self, name: str, position: int, default: Any = None) -> Any:
        """A setting such as ceil_mode, wherever the op keeps it."""
        if self.module is not None:
            return getattr(self.module, name, default)
        return argument(self.node, position, name, default)


@dataclass(frozen=True)
class Rule:
    """One pair of the table: which ops it is for, and the affine module that stands in for them.

    `reads` picks the one value that the stand-in reads; most ops have no other.

    >>> Rule("swish -> half", lambda op: op.kind == "activation", lambda op: nn.Identity()).name
    'swish -> half'
    """

    name: str
    matches: Callable[[Op], bool]
    stand_in: Callable[[Op], nn.Module]
    reads: Callable[[Op], fx.Node] = lambda op: op.values[0]


def _of(*kinds: str) -> Callable[[Op], bool]:
    return lambda op: op.kind in kinds and not _is_affine(op)


def _identity(_op: Op) -> nn.Module:
    return nn.Identity()


def _average(op: Op) -> nn.Module:
    return _windows(op, op.window, None)


def _copied(op: Op) -> nn.Module:
    return _windows(op, op.window, 1)


def _windows(op: Op, size: Window | None, divisor: int | None) -> nn.Module:
    if size is None or op.option("return_indices", 5, False):
        raise BadValue(f"The pooling '{op.node}' returns indices or has no window. Give a rule of your own for it.")
    if size.dilation == (1, 1):
        # max pooling never sees its padding, so neither does the mean
        ceil = bool(op.option("ceil_mode", 5, False))
        return nn.AvgPool2d(size.kernel, size.stride, size.padding, ceil, False, divisor)
    channels = int(op.node.meta["shape"][1])
    sparse = nn.Conv2d(
        channels, channels, size.kernel, size.stride, size.padding, size.dilation, channels, bias=False
    ).requires_grad_(False)  # fmt: skip
    nn.init.constant_(sparse.weight, 1 / (divisor or size.kernel[0] * size.kernel[1]))
    return sparse


def _average_adaptive(op: Op) -> nn.Module:
    return nn.AdaptiveAvgPool2d(op.option("output_size", 1))


def _extent(node: fx.Node) -> tuple[int, int]:
    shape = node.meta.get("shape", ())
    return (shape[2], shape[3]) if len(shape) == 4 else (1, 1)


def _area(node: fx.Node) -> int:
    height, width = _extent(node)
    return height * width


def _is_gate(op: Op) -> bool:
    """A product of maps with one factor per channel, as in squeeze-and-excitation."""
    return op.kind == "multiply" and len(op.values) == 2 and len({_area(value) for value in op.values}) == 2


RULES: tuple[Rule, ...] = (
    Rule("ReLU -> identity", _of("relu"), _identity),
    Rule("activation -> identity", _of("activation", "softmax"), _identity),
    Rule("max pool -> average pool", _of("maxpool"), _average),
    Rule("adaptive max pool -> adaptive average pool", _of("adaptive pool"), _average_adaptive),
    Rule("dropout -> identity", _of("dropout"), _identity),
    Rule("local response normalisation -> identity", _of("lrn"), _identity),
    Rule("gate -> open", _is_gate, _identity, lambda op: max(op.values, key=_area)),
)

# the convention of Olah et al., Early Vision (2020): a weight is copied to every cell of the pooling window
COPIED_POOLS: tuple[Rule, ...] = (Rule("max pool -> sum over the window", _of("maxpool"), _copied), *RULES)


@dataclass(frozen=True, eq=False)
class Affine:
    """The affine stand-in of a path. `module` takes the value of `src` and returns that of `dst`.

    `reach` says for each axis which cells of `src` a cell of `dst` reads, as `receptive.Field` counts them; None where
    it reads the whole map or the grids do not fit. Where some path to `dst` goes around `src`, `complete` is False
    and what comes along that path is held at zero.
    """

    module: fx.GraphModule
    src: str
    dst: str
    rules: tuple[str, ...]
    reach: tuple[Field, Field] | None
    complete: bool


def affine(graph: LayerGraph, src: str, dst: str, rules: tuple[Rule, ...] = RULES) -> Affine:
    """The path from `src` to `dst` with every op that is not affine replaced by the first rule that matches.

    A new graph that shares the parameters. Raises BadAddress, and BadValue where `dst` does not depend on `src` or no
    rule makes an op affine. Method: Voss et al., Visualizing Weights (Distill 2021).

    >>> affine(graph, "mixed3a", "mixed3b").rules  # doctest: +SKIP
    ('ReLU -> identity', 'max pool -> average pool')
    """
    graph.layer(src), graph.layer(dst)
    nodes = {node.name: node for node in graph.module.graph.nodes}
    modules = dict(graph.module.named_modules(remove_duplicate=False))
    start, end = nodes[graph.node_of[src]], nodes[graph.node_of[dst]]
    inside = _between(start, end)
    if end not in inside:
        raise BadValue(f"{dst} does not depend on {src}. Name a layer that stands after {src}: micrographia layers.")
    built = _Builder(graph.module, modules, rules, (src, dst))
    module = built.build(start, end, inside)
    used = dict.fromkeys(node.meta["rule"] for node in module.graph.nodes if "rule" in node.meta)
    return Affine(module, src, dst, tuple(used), _reach(module), built.complete)


def _between(start: fx.Node, end: fx.Node) -> set[fx.Node]:
    """The nodes on any path from start to end, both counted in."""
    below, above = {start}, {end}
    for node in start.graph.nodes:
        if any(source in below for source in node.all_input_nodes):
            below.add(node)
    for node in reversed(start.graph.nodes):
        if any(user in above for user in node.users):
            above.add(node)
    return below & above


def _op(node: fx.Node, modules: dict[str, nn.Module]) -> Op:
    word = kind(node, modules)
    own = modules[str(node.target)] if node.op == "call_module" else None
    return Op(word, node, own, window(node, word, modules, _extent) if "shape" in node.meta else None)


def _is_affine(op: Op) -> bool:
    if "shape" not in op.node.meta:
        return True  # a size, or the parts that a value was split into
    if op.kind == "batchnorm":
        return op.option("running_mean", 1) is not None
    if op.kind == "adaptive pool":
        return op.node.target is nn.functional.adaptive_avg_pool2d or isinstance(op.module, nn.AdaptiveAvgPool2d)
    if op.kind in AFFINE or op.node.target in _REARRANGING or isinstance(op.module, _REARRANGING_MODULES):
        return True
    # a product with a constant or a parameter, a sum with a constant
    target = op.node.target
    quotient = target in (operator.truediv, torch.div, "div") and op.node.args[:1] != tuple(op.values)
    return len(op.values) == 1 and not quotient and (target in _SCALING or target in _SHIFTING)


class _Builder:
    def __init__(
        self, root: fx.GraphModule, modules: dict[str, nn.Module], rules: tuple[Rule, ...], ends: tuple[str, str]
    ) -> None:
        self.root, self.modules, self.rules, self.ends = root, modules, rules, ends
        self.targets: dict[str, Any] = {}
        self.placed: dict[fx.Node, fx.Node] = {}
        self.complete = True
        self.graph = fx.Graph()

    def build(self, start: fx.Node, end: fx.Node, inside: set[fx.Node]) -> fx.GraphModule:
        self.placed[start] = self.graph.placeholder("value")
        self.placed[start].meta["shape"] = start.meta["shape"]
        for node in start.graph.nodes:
            if node in inside and node is not start:
                self.place(node)
        self.graph.output(self.placed[end])
        module = fx.GraphModule(self.targets, self.graph)
        module.graph.eliminate_dead_code()
        module.recompile()
        return module

    def place(self, node: fx.Node) -> None:
        op = _op(node, self.modules)
        rule = next((rule for rule in self.rules if rule.matches(op)), None)
        if rule is not None and rule.reads(op) in self.placed:
            name = f"stand_in_{node.name}"
            self.targets[name] = self._fitted(rule.stand_in(op))
            placed = self.graph.call_module(name, (self.placed[rule.reads(op)],))
            placed.meta.update(shape=node.meta["shape"], rule=rule.name)
            self.placed[node] = placed
            return
        if rule is not None or not _is_affine(op):
            raise BadValue(
                f"The path from {self.ends[0]} to {self.ends[1]} goes through '{node.name}' ({op.kind}), which no rule "
                "makes affine. Choose two layers on one side of it, or give a rule for it: rules=(Rule(...), *RULES)."
            )
        if node.op == "call_module":
            self.targets[str(node.target)] = self.modules[str(node.target)]
        self.placed[node] = self.graph.node_copy(node, lambda source: self.value(source, node))

    def value(self, source: fx.Node, reader: fx.Node) -> fx.Node:
        if source in self.placed:
            return self.placed[source]
        if source not in data_inputs(reader):
            # a parameter, or something made from parameters alone
            if source.op == "get_attr":
                owner, _, name = str(source.target).rpartition(".")
                self.targets[str(source.target)] = getattr(self.root.get_submodule(owner), name)
            elif source.op == "call_module":
                self.targets[str(source.target)] = self.modules[str(source.target)]
            self.placed[source] = self.graph.node_copy(source, lambda each: self.value(each, source))
            return self.placed[source]
        self.complete = False
        beside = next(self.placed[each] for each in data_inputs(reader) if each in self.placed)
        blank = self.graph.call_function(_blank, (beside, int(source.meta["shape"][1])))
        blank.meta["shape"] = (*source.meta["shape"][:2], *beside.meta["shape"][2:])
        return blank

    def _fitted(self, stand_in: nn.Module) -> nn.Module:
        """In the type and on the device of the network."""
        like = next((p for p in self.root.parameters() if p.is_floating_point()), None)
        return stand_in if like is None else stand_in.to(like.device, like.dtype)


def _blank(beside: Tensor, channels: int) -> Tensor:
    """Zeros in the place of a value that does not come from `src`, on the grid of one that does."""
    return beside.new_zeros((beside.shape[0], channels, *beside.shape[2:]))


def _reach(module: fx.GraphModule) -> tuple[Field, Field] | None:
    modules = dict(module.named_modules(remove_duplicate=False))
    fields: dict[fx.Node, tuple[Field, Field] | None] = {}
    for node in module.graph.nodes:
        if node.op == "output":
            return fields[node.args[0]]
        fields[node] = (Field(), Field()) if node.op == "placeholder" else _field(node, modules, fields)
    return None


def _field(
    node: fx.Node, modules: dict[str, nn.Module], fields: dict[fx.Node, tuple[Field, Field] | None]
) -> tuple[Field, Field] | None:
    sources = data_inputs(node)
    read = [fields[source] for source in sources]
    rows, columns = [each[0] for each in read if each], [each[1] for each in read if each]
    if not sources or len(rows) < len(read) or not (same_grid(rows) and same_grid(columns)):
        return None
    before = (merged(rows), merged(columns))
    op = _op(node, modules)
    if op.window is not None and op.kind != "adaptive pool":
        pass_on = through_transposed if op.kind == "transposed conv" else through
        return pass_on(before[0], op.window, 0), pass_on(before[1], op.window, 1)
    if op.kind in POINTWISE | {"concat", "add", "multiply"} or "shape" not in node.meta or node.target is _blank:
        return before
    return before if node.target in _SIGNED and _extent(node) == _extent(sources[0]) else None
