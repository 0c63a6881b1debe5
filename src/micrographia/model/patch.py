"""run(graph, images, edits, layers): the network with some of its units changed; the edits are values.

Edits work where their units are: everything below them in the network sees the change. At one layer they are made in
the order in which they are given, each on what the ones before it left; an implant reads values as edited so far.
Editing a concat leaves its branches as they are, and editing a branch shows in the concat.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, fx, nn

from micrographia.errors import BadAddress, BadValue
from micrographia.model.capture import check_pictures
from micrographia.model.card import normalise
from micrographia.model.edit import Ablate, Edit, Implant
from micrographia.model.graph import LayerGraph
from micrographia.model.twin import floating_type, twin
from micrographia.unit import Unit


def run(
    graph: LayerGraph,
    images: Float[Tensor, "picture channel height width"] | Tensor,
    edits: Iterable[Edit],
    layers: str | Iterable[str],
    batch: int = 32,
    prepared: bool = False,
) -> dict[str, Float[Tensor, "picture _unit ..."]]:
    """Activations of the layers with the edits made, for pictures as in `capture`; the graph stays as it is.

    Raises BadAddress for unknown layers and units, and BadValue for edits that have no effect on any of the layers and
    for values that do not fit.

    >>> run(graph, pictures, [Ablate("mixed3b:379")], "mixed4a")["mixed4a"].shape  # doctest: +SKIP
    torch.Size([5, 508, 14, 14])
    """
    check_pictures(images, graph.card)
    module = patched(graph, edits, layers)
    dtype, device = floating_type(graph.module)
    parts: list[dict[str, Tensor]] = []
    with torch.no_grad():
        for rows in torch.arange(len(images)).split(batch):
            chosen = images[rows].to(device, dtype)
            parts.append(module(chosen if prepared else normalise(chosen, graph.card), rows))
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def patched(graph: LayerGraph, edits: Iterable[Edit], layers: str | Iterable[str]) -> fx.GraphModule:
    """A new graph over the same weights with the edits in it; its module takes the picture and the pictures' `rows`.

    It returns {name: value} and lets gradients through. Raises as `run` does.

    >>> patched(graph, [Scale("conv2d0:3", 0.0)], "conv2d1")(pictures, torch.arange(5))  # doctest: +SKIP
    """
    wanted = [layers] if isinstance(layers, str) else list(layers)
    for name in wanted:
        graph.layer(name)
    made = [patch for edit in edits for patch in _patches(graph, edit)]
    new = fx.Graph()
    placed: dict[str, fx.Node] = {}
    root: dict[str, Any] = {}
    rows = None
    for node in graph.module.graph.nodes:
        if node.op == "output":
            break
        if node.op in ("call_module", "get_attr"):
            owner, _, name = str(node.target).rpartition(".")
            root[str(node.target)] = getattr(graph.module.get_submodule(owner), name)
        placed[node.name] = new.node_copy(node, lambda source: placed[source.name])
        rows = rows or new.placeholder("rows")
        for number, patch in enumerate(made):
            if graph.node_of[patch.layer] == node.name:
                root[f"edit_{number}"] = patch
                read = [_before(graph, name, patch, placed) for name in patch.inputs]
                placed[node.name] = new.call_module(f"edit_{number}", (placed[node.name], rows, *read))
    new.output({name: placed[graph.node_of[name]] for name in wanted})
    module = fx.GraphModule(root, new).eval()
    module.graph.eliminate_dead_code()
    module.recompile()
    used = {str(node.target) for node in module.graph.nodes if node.op == "call_module"}
    for number, patch in enumerate(made):
        if f"edit_{number}" not in used:
            raise BadValue(
                f"The edit of {patch.layer} has no effect on {', '.join(wanted)}. Look at a layer that comes after it."
            )
    return module


def _before(graph: LayerGraph, name: str, patch: _Patch, placed: dict[str, fx.Node]) -> fx.Node:
    node = graph.node_of[graph.layer(name).name]
    if node not in placed or node == graph.node_of[patch.layer]:
        raise BadValue(f"An implant in {patch.layer} cannot read {name}, which comes after it. Name layers before it.")
    return placed[node]


def _patches(graph: LayerGraph, edit: Edit) -> list[_Patch]:
    """One patch for each layer that the edit names."""
    where = [edit.units] if isinstance(edit.units, (str, Unit)) else list(edit.units)
    by_layer: dict[str, list[Unit]] = {}
    for each in where:
        for unit in _units(graph, each):
            by_layer.setdefault(unit.layer, []).append(unit)
    if not by_layer:
        raise BadAddress("The edit names no units. Name some, for example mixed3b:379 or mixed3b:0-31.")
    own = isinstance(edit, Implant) or any(isinstance(value, Tensor) for value in vars(edit).values())
    if len(by_layer) > 1 and own:
        raise BadValue(f"One edit cannot take values for {' and '.join(by_layer)}. Give an edit for each layer.")
    return [_Patch(graph, edit, layer, units) for layer, units in by_layer.items()]


def _units(graph: LayerGraph, address: str | Unit) -> list[Unit]:
    if isinstance(address, str) and "@" not in address:
        return graph.units(address)
    unit = Unit.parse(address) if isinstance(address, str) else address
    (known,) = graph.units(f"{unit.layer}:{unit.channel}")
    return [Unit(known.layer, known.channel, unit.position)]


class _Patch(nn.Module):
    """An edit of one layer, as a node of the new graph."""

    def __init__(self, graph: LayerGraph, edit: Edit, layer: str, units: list[Unit]) -> None:
        super().__init__()
        self.edit, self.layer, self.named = edit, layer, units
        self.inputs: tuple[str, ...] = ()
        if isinstance(edit, Implant):
            self.inputs = edit.inputs or graph.layers[layer].parents
            function = edit.function
            self.edit = Implant(edit.units, twin(function) if isinstance(function, nn.Module) else function)
        self.channels = [unit.channel for unit in units]
        self.whole = [place for place, unit in enumerate(units) if unit.position is None]
        self.placed = [place for place, unit in enumerate(units) if unit.position is not None]
        self.reference = None
        if isinstance(edit, Ablate) and edit.values:
            given = {graph.layer(name).name: value for name, value in edit.values.items()}
            if layer not in given or given[layer].shape[1] != graph.layers[layer].channels:
                raise BadValue(
                    f"The edit has no activations of all units of {layer}. Capture that layer for its values."
                )
            self.reference = given[layer][:, self.channels]

    def forward(self, value: Tensor, rows: Tensor, *inputs: Tensor) -> Tensor:
        old = value[:, self.channels]
        new = self.edit(old, rows, self.reference, *inputs)
        if new.ndim != old.ndim or any(a not in (1, b) for a, b in zip(new.shape, old.shape, strict=True)):
            raise BadValue(
                f"The new values for {len(self.channels)} units of {self.layer} have the shape {tuple(new.shape)}. "
                f"They have to fit into {tuple(old.shape)}: picture, unit, then the map."
            )
        new = new.to(old).expand_as(old)
        result = value.clone()
        if self.whole:
            result[:, [self.channels[place] for place in self.whole]] = new[:, self.whole]
        if self.placed:
            row, column = self._positions(old)
            result[:, [self.channels[place] for place in self.placed], row, column] = new[:, self.placed, row, column]
        return result

    def _positions(self, old: Tensor) -> tuple[list[int], list[int]]:
        cells = [unit.position for unit in self.named if unit.position is not None]
        for row, column in cells:
            if old.ndim != 4 or row >= old.shape[2] or column >= old.shape[3]:
                size = " x ".join(map(str, old.shape[2:])) or "1"
                raise BadAddress(f"{self.layer} has no cell {row},{column}. Its maps are {size} cells, counted from 0.")
        return [row for row, _ in cells], [column for _, column in cells]
