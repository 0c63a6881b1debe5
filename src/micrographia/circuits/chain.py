"""chain(graph, layer, depth): the layers that a circuit runs through, one after the other.

They are the layers that every path from the picture to the target goes through, so that together they hold all that the
target can know; units inside the branches between them belong to the edges.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

from torch import fx

from micrographia.circuits.stage import Stage, stage_between
from micrographia.errors import BadValue
from micrographia.model.graph import LayerGraph
from micrographia.model.linear import affine
from micrographia.model.ops import data_inputs, window
from micrographia.model.receptive import Field, through


@dataclass(frozen=True, eq=False)
class Chain:
    """The layers of a circuit, the base first and the target's last, and the stages between them.

    A cell of the target reads, along each axis, the cells `scale` * cell + `low` to + `high` of the base as its readers
    see it; None where it reads the whole map.
    """

    layers: tuple[str, ...]
    channels: tuple[int, ...]
    stages: tuple[Stage, ...]
    reach: tuple[Field, Field] | None


def chain_layers(graph: LayerGraph, layer: str, depth: int) -> tuple[str, ...]:
    """The target's layer and up to `depth` layers before it that every path to it goes through, in order.

    The picture, "input", is the first layer of all. Raises BadAddress, and BadValue for a depth below 1.

    >>> chain_layers(graph, "mixed4a", 3)  # doctest: +SKIP
    ('conv2d2', 'mixed3a', 'mixed3b', 'mixed4a')
    """
    if depth < 1:
        raise BadValue(f"A circuit of depth {depth} has no edges. Give a depth of 1 or more.")
    target = graph.layer(layer)
    nodes = {node.name: node for node in graph.module.graph.nodes}
    end = nodes[graph.node_of[target.name]]
    source = next(node for node in graph.module.graph.nodes if node.op == "placeholder")
    names = ["input", *(each.name for each in graph.main_layers())]
    found = [
        name
        for name in names
        if name != target.name and name in graph.layers and not _avoids(end, nodes[graph.node_of[name]], source)
    ]
    return (*found[-depth:], target.name)


def _avoids(end: fx.Node, without: fx.Node, source: fx.Node) -> bool:
    """Whether a path from the picture to `end` goes around a node."""
    seen, stack = {without}, [end]
    while stack:
        node = stack.pop()
        if node not in seen:
            seen.add(node)
            stack.extend(data_inputs(node))
    return source in seen and source is not without


def chain(graph: LayerGraph, layer: str, depth: int = 3) -> Chain:
    """The stages from up to `depth` layers before a layer to that layer.

    Raises BadAddress; BadValue for the first layer, whose kernels over pixels need no circuit, for layers without maps
    and where two layers cannot be split into edges.

    >>> chain(graph, "mixed4a", 2).layers  # doctest: +SKIP
    ('mixed3a', 'mixed3b', 'mixed4a')
    """
    target = graph.layer(layer)
    if not target.spatial:
        raise BadValue(f"{target.name} has no maps. Choose a unit of a convolution or block: micrographia layers.")
    layers = chain_layers(graph, layer, depth)
    if target.op == "input" or layers[:-1] in ((), ("input",)):
        raise BadValue(
            f"{target.name} reads the picture itself: no unit stands before it, so it has no circuit. "
            f"Look at its kernels: micrographia weights MODEL input {target.name}."
        )
    stages = tuple(stage_between(graph, src, dst) for src, dst in pairwise(layers))
    return Chain(layers, tuple(graph.layer(name).channels for name in layers), stages, _reach(graph, layers, stages[0]))


def _reach(graph: LayerGraph, layers: tuple[str, ...], first: Stage) -> tuple[Field, Field] | None:
    """Which cells of the base, as its readers see it, a cell of the target reads."""
    try:
        fields = affine(graph, layers[0], layers[-1]).reach
    except BadValue:
        return None
    if fields is None:
        return None
    head = [Field(), Field()]
    for step in first.steps:
        inner = getattr(step.run, "graph", None)
        for node in [] if inner is None else list(inner.nodes):
            modules = dict(step.run.named_modules(remove_duplicate=False))
            size = window(node, step.word, modules, lambda n: (1, 1)) if node.op.startswith("call") else None
            if size is not None:
                head = [through(each, size, axis) for axis, each in enumerate(head)]
    found = [
        Field(all_.scale / own.scale, (all_.low - own.low) / own.scale, (all_.high - own.high) / own.scale)
        for all_, own in zip(fields, head, strict=True)
    ]
    return (found[0], found[1]) if all(math.isfinite(each.scale) for each in found) else None
