"""Which network, which layers, which units: from what was typed to what it means."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from micrographia.errors import BadValue
from micrographia.model.graph import LayerGraph
from micrographia.model.trace import trace
from micrographia.unit import Unit
from micrographia.zoo.registry import load


def open_network(spec: str, weights: Path | None = None) -> LayerGraph:
    """The traced network of a zoo name, `torchvision:NAME`, `timm:NAME` or `FILE.py:factory`.

    Raises BadModel, BadWeights and CannotTrace.

    >>> open_network("mini-inception").layer("mixed3a").channels
    176
    """
    return trace(*load(spec, weights))


def chosen_units(graph: LayerGraph, layers: str, addresses: Sequence[str]) -> dict[str, list[Unit]]:
    """The units of the layers, or those at the addresses if there are any, by layer in the network's order.

    Raises BadAddress, and BadValue for layers that have no maps.
    """
    if addresses:
        found: dict[str, set[Unit]] = {}
        for address in addresses:
            for unit in graph.units(address):
                found.setdefault(unit.layer, set()).add(unit)
        chosen = {name: sorted(found[name]) for name in graph.layers if name in found}
    else:
        chosen = {name: graph.units(name) for name in chosen_layers(graph, layers)}
    for name in chosen:
        if not graph.layer(name).spatial:
            raise BadValue(f"{name} has no maps to observe. Choose layers of maps, such as {_some(graph)}.")
    return chosen


def chosen_layers(graph: LayerGraph, text: str) -> list[str]:
    """The layers that a list with commas means, in the network's order; `first..last` takes the main layers between.

    >>> chosen_layers(open_network("mini-inception"), "conv2d0..conv2d2")
    ['conv2d0', 'conv2d1', 'conv2d2']
    """
    main = [layer.name for layer in graph.main_layers()]
    if not text:
        return main
    order = {name: place for place, name in enumerate(graph.layers)}
    found = set()
    for part in text.split(","):
        first, dots, last = part.strip().partition("..")
        ends = [graph.layer(first).name, graph.layer(last).name] if dots else [graph.layer(first).name]
        if dots:
            between = [name for name in main if order[ends[0]] <= order[name] <= order[ends[1]]]
            if not between:
                raise BadValue(f"'{part}' runs backwards or holds no conv or block. Write the earlier layer first.")
            found.update(between)
        else:
            found.update(ends)
    return sorted(found, key=order.__getitem__)


def _some(graph: LayerGraph) -> str:
    return ", ".join(layer.name for layer in graph.main_layers()[:3])
