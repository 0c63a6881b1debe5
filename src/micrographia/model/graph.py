"""The network as data: every named value of a forward pass, and new graphs that compute only a part of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import fx

from micrographia.errors import BadValue
from micrographia.model.card import Card
from micrographia.model.ops import POINTWISE, Window
from micrographia.unit import Unit, UnitRange, unknown_layer


@dataclass(frozen=True)
class Branch:
    """One of the parallel paths that meet in a layer, and the channels (first to last) that it supplies there."""

    name: str
    first: int
    last: int
    layers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Layer:
    """A named value of the forward pass.

    `op` is what makes the value: a block of convolution, batch norm and ReLU that has a name of its own is a "conv".
    `shape` is the value's without the batch, for a picture of the card's size; `stride` and `receptive_field` are in
    px of the picture, (height, width), and None where a value sees the whole picture. `parents` are the layers read.
    """

    name: str
    op: str
    shape: tuple[int, ...]
    window: Window | None = None
    groups: int = 1
    stride: tuple[float, float] | None = None
    receptive_field: tuple[int, int] | None = None
    offset: tuple[float, float] | None = None
    parents: tuple[str, ...] = ()
    branches: tuple[Branch, ...] = ()
    inner: bool = False
    aliases: tuple[str, ...] = ()

    @property
    def channels(self) -> int:
        """How many units the layer has."""
        return self.shape[0] if self.shape else 1

    @property
    def spatial(self) -> bool:
        """Whether the value is a stack of maps (channel, height, width)."""
        return len(self.shape) == 3

    def to_json(self) -> dict[str, Any]:
        """Plain values, as `layers --json` prints them; a square size is one number."""
        return {
            "name": self.name,
            "op": self.op,
            "channels": self.channels,
            "shape": list(self.shape),
            "kernel": None if self.window is None else _square(self.window.kernel),
            "stride": _square(self.stride),
            "receptive_field": _square(self.receptive_field),
            "parents": list(self.parents),
            "branches": [{"name": b.name, "first": b.first, "last": b.last} for b in self.branches],
        }


def _square(size: tuple[Any, Any] | None) -> Any:
    if size is None:
        return None
    plain = [int(s) if s == int(s) else s for s in size]
    return plain[0] if plain[0] == plain[1] else plain


@dataclass(frozen=True, eq=False)
class LayerGraph:
    """A traced network. `layers` holds every named value in the order of computation; addresses may also use aliases.

    It shares the weights' memory with the model that was traced and never changes it. Make one with
    `micrographia.model.trace.trace`.
    """

    module: fx.GraphModule
    card: Card
    fingerprint: str
    layers: Mapping[str, Layer]
    node_of: Mapping[str, str] = field(repr=False)
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"LayerGraph({self.card.name!r}, {len(self.layers)} layers, fingerprint {self.fingerprint[:12]})"

    def layer(self, name: str) -> Layer:
        """The layer of this name or alias; raises BadAddress with the nearest names."""
        if name in self.layers:
            return self.layers[name]
        node = self.node_of.get(name)
        if node is None:
            raise unknown_layer(name, [layer.name for layer in self.layers.values() if not layer.inner])
        return next(layer for key, layer in self.layers.items() if self.node_of[key] == node)

    def units(self, address: str) -> list[Unit]:
        """The units an address names, checked against this network; raises BadAddress.

        >>> graph.units("mixed3b:0-2")  # doctest: +SKIP
        [Unit('mixed3b', 0), Unit('mixed3b', 1), Unit('mixed3b', 2)]
        """
        wanted = UnitRange.parse(address)
        layer = self.layer(wanted.layer)
        return UnitRange(layer.name, wanted.spans).units(layer.channels)

    def visible(self) -> list[Layer]:
        """The layers a person would list: without the insides of a conv, norm and ReLU that have a name together."""
        return [layer for layer in self.layers.values() if not layer.inner]

    def main_layers(self) -> list[Layer]:
        """Every conv or block output: convs that only feed a concat or an addition are seen in that block.

        Gates and classifiers after a global pooling are left out; they have no map.
        """
        computed = {name for name, layer in self.layers.items() if layer.op in ("conv", "transposed conv")}
        for name, layer in self.layers.items():
            if not computed.isdisjoint(layer.parents):
                computed.add(name)
        maps = [layer for layer in self.visible() if layer.spatial and layer.name in computed]
        return [layer for layer in maps if _is_main(self, layer)]

    def upto(self, layers: str | Iterable[str]) -> fx.GraphModule:
        """A new graph from the picture to these layers, with nothing computed beyond them.

        It returns {name: value} under the names that were asked for. Raises BadAddress.
        """
        return self._cut(self._names(layers), ())

    def between(self, src: str | Iterable[str], dst: str | Iterable[str]) -> fx.GraphModule:
        """The segment from the values of `src`, given in that order, to {name: value} of `dst`.

        Raises BadValue where `dst` can also be reached around `src`, because the segment would need the picture too.
        """
        return self._cut(self._names(dst), self._names(src))

    def _names(self, layers: str | Iterable[str]) -> tuple[str, ...]:
        names = (layers,) if isinstance(layers, str) else tuple(layers)
        if not names:
            raise BadValue("No layer was named. Name at least one, for example the last of micrographia layers.")
        for name in names:
            self.layer(name)
        return names

    def _cut(self, dst: tuple[str, ...], src: tuple[str, ...]) -> fx.GraphModule:
        old = {node.name: node for node in self.module.graph.nodes}
        starts = {self.node_of[name]: name for name in src}
        if len(starts) < len(src):
            raise BadValue(f"Two of {', '.join(src)} are names of one value. Name each value once.")
        needed: set[str] = set()
        stack = [self.node_of[name] for name in dst]
        while stack:
            name = stack.pop()
            if name not in needed:
                needed.add(name)
                if name not in starts:
                    stack.extend(each.name for each in old[name].all_input_nodes)
        new = fx.Graph()
        placed: dict[fx.Node, fx.Node] = {}
        for start, address in starts.items():
            if start not in needed:
                raise BadValue(f"{', '.join(dst)} does not depend on {address}. Name a layer further down.")
            placed[old[start]] = new.placeholder(start)
        for node in self.module.graph.nodes:
            if node.name not in needed or node in placed:
                continue
            if src and node.op == "placeholder":
                raise BadValue(
                    f"{', '.join(dst)} can be reached from the picture around {', '.join(src)}. "
                    "Name all the layers that the paths go through, or a later one where they have met."
                )
            placed[node] = new.node_copy(node, lambda n: placed[n])
        new.output({name: placed[old[self.node_of[name]]] for name in dst})
        return fx.GraphModule(self.module, new)


def _is_main(graph: LayerGraph, layer: Layer) -> bool:
    if layer.op == "add":
        return True
    if layer.op not in ("conv", "transposed conv", "concat") or _is_dense(graph, layer):
        return False
    if layer.shape[1:] == (1, 1) and layer.receptive_field is None:
        return False
    readers = _readers(graph, layer)
    return not readers or not all(r.op == "add" or (r.op == "concat" and not _is_dense(graph, r)) for r in readers)


def _is_dense(graph: LayerGraph, layer: Layer) -> bool:
    """Whether a concat collects what others read too, as in dense blocks: then its new channels are the convs'."""
    if layer.op != "concat":
        return False
    collected = [graph.layers[parent] for parent in layer.parents]
    return len(collected) < 2 or any(
        sum(reader.op == "concat" for reader in readers) > 1 or (parent.op == "concat" and len(readers) > 1)
        for parent in collected
        if (readers := [other for other in graph.layers.values() if parent.name in other.parents and not other.inner])
    )


def _readers(graph: LayerGraph, layer: Layer) -> list[Layer]:
    """The layers that read a value, looking through norms and ReLUs that stand alone."""
    found: list[Layer] = []
    for other in graph.layers.values():
        if layer.name in other.parents and not other.inner:
            found.extend(_readers(graph, other) if other.op in POINTWISE else [other])
    return found
