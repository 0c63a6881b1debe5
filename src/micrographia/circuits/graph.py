"""Circuit: a graph of features whose edges carry their weights, their attribution, and what happens without them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from micrographia.circuits.faithful import Interval
from micrographia.errors import BadValue

if TYPE_CHECKING:
    import networkx as nx

SCHEMA = "micrographia/circuit/1"


@dataclass(frozen=True)
class Node:
    """A feature: a "unit", a "direction" of several, or a "family"; `members` are channels of the layer, with weights.

    `id` is its address, layer:channel for a unit and layer:name otherwise.
    """

    id: str
    layer: str
    kind: str
    members: tuple[tuple[int, float], ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        members = [{"channel": channel, "weight": weight} for channel, weight in self.members]
        return {"id": self.id, "layer": self.layer, "kind": self.kind, "members": members}


@dataclass(frozen=True, eq=False)
class Edge:
    """What a feature reads of another one in the layer before.

    `weight` is the L2 norm of the expanded weights, below 0 where their sum is; `kernel` are these weights (None in a
    family's edge), of which `positive` and `negative` are the sums of either sign. `attribution` is the mean over
    pictures of activation (less the ablated one) times gradient; `effect` the mean of what the target loses when this
    edge alone is ablated in the network, with its interval. `kernels` are the single kernels kept; None: all of them.
    """

    source: str
    target: str
    weight: float
    positive: float
    negative: float
    attribution: float
    effect: Interval | None
    kernel: Float[np.ndarray, "height width"] | None = field(default=None, repr=False)
    kernels: tuple[int, ...] | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "source": self.source, "target": self.target, "weight": self.weight, "positive": self.positive,
            "negative": self.negative, "attribution": self.attribution,
            "effect": None if self.effect is None else self.effect.to_json(),
            "kernel": None if self.kernel is None else self.kernel.tolist(),
            "kernels": None if self.kernels is None else list(self.kernels),
        }  # fmt: skip


@dataclass(frozen=True, eq=False)
class Circuit:
    """A circuit behind a target. `layers` are in order, the base first; `scores` the verification as plain values;
    `made_by` says which call made it, on which weights.

    >>> Circuit.from_json(circuit.to_json()).target == circuit.target  # doctest: +SKIP
    True
    """

    network: str
    fingerprint: str
    target: str
    layers: tuple[str, ...]
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    scores: Mapping[str, Any] = field(default_factory=dict, repr=False)
    made_by: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def node(self, name: str) -> Node:
        """The node of this id; raises BadValue."""
        for node in self.nodes:
            if node.id == name:
                return node
        raise BadValue(
            f"The circuit of {self.target} has no node {name}. It has {len(self.nodes)}, such as {self.target}."
        )

    def into(self, name: str) -> tuple[Edge, ...]:
        """The edges into a node, the largest effect first."""
        return tuple(sorted((edge for edge in self.edges if edge.target == name), key=_size, reverse=True))

    def to_json(self) -> dict[str, Any]:
        """Plain values, as circuits/circuit.schema.json describes them."""
        return {
            "schema": SCHEMA, "network": self.network, "fingerprint": self.fingerprint, "target": self.target,
            "layers": list(self.layers), "nodes": [node.to_json() for node in self.nodes],
            "edges": [edge.to_json() for edge in self.edges], "scores": dict(self.scores),
            "made_by": dict(self.made_by),
        }  # fmt: skip

    @staticmethod
    def from_json(document: Mapping[str, Any]) -> Circuit:
        """The circuit of a document that `schema.check_document` has found right."""
        nodes = tuple(
            Node(n["id"], n["layer"], n["kind"], tuple((m["channel"], m["weight"]) for m in n["members"]))
            for n in document["nodes"]
        )
        edges = tuple(_edge(each) for each in document["edges"])
        return Circuit(
            document["network"], document["fingerprint"], document["target"], tuple(document["layers"]), nodes, edges,
            document["scores"], document["made_by"],
        )  # fmt: skip


def _edge(each: Mapping[str, Any]) -> Edge:
    effect = None if each["effect"] is None else Interval(*(each["effect"][name] for name in ("value", "low", "high")))
    kernel = None if each["kernel"] is None else np.array(each["kernel"], dtype=np.float64)
    kernels = None if each["kernels"] is None else tuple(each["kernels"])
    return Edge(
        each["source"], each["target"], each["weight"], each["positive"], each["negative"], each["attribution"], effect,
        kernel, kernels,
    )  # fmt: skip


def _size(edge: Edge) -> float:
    return abs(edge.attribution if edge.effect is None else edge.effect.value)


def to_networkx(circuit: Circuit) -> nx.DiGraph:
    """The circuit as a networkx graph; nodes and edges have the numbers as attributes, kernels left out.

    >>> to_networkx(circuit).in_degree(circuit.target)  # doctest: +SKIP
    6
    """
    import networkx

    graph = networkx.DiGraph(network=circuit.network, fingerprint=circuit.fingerprint, target=circuit.target)
    for node in circuit.nodes:
        members = ",".join(str(channel) for channel, _ in node.members)
        graph.add_node(node.id, layer=node.layer, kind=node.kind, members=members)
    for edge in circuit.edges:
        effect = {} if edge.effect is None else {
            "effect": edge.effect.value, "effect_low": edge.effect.low, "effect_high": edge.effect.high
        }  # fmt: skip
        graph.add_edge(edge.source, edge.target, weight=edge.weight, attribution=edge.attribution, **effect)
    return graph


def to_graphml(circuit: Circuit) -> bytes:
    """The circuit as GraphML, with the numbers as attributes of nodes and edges."""
    import networkx

    text = "\n".join(networkx.generate_graphml(to_networkx(circuit)))
    return (text + "\n").encode()


def to_dot(circuit: Circuit) -> str:
    """The circuit in Graphviz's language: layers as ranks, warm edges excite, cool ones inhibit, wide ones matter.

    >>> to_dot(circuit).splitlines()[0]  # doctest: +SKIP
    'digraph "mixed3b:379" {'
    """
    lines = [f"digraph {_quoted(circuit.target)} {{", "  rankdir=LR;", "  node [shape=box, fontname=Helvetica];"]
    for layer in circuit.layers:
        names = " ".join(f"{_quoted(node.id)};" for node in circuit.nodes if node.layer == layer)
        lines.append(f"  {{ rank=same; {names} }}")
    largest = max((_size(edge) for edge in circuit.edges), default=1.0) or 1.0
    for edge in circuit.edges:
        value = edge.attribution if edge.effect is None else edge.effect.value
        colour = "#d64520" if value >= 0 else "#2678c4"
        width = 0.5 + 5 * _size(edge) / largest
        lines.append(
            f"  {_quoted(edge.source)} -> {_quoted(edge.target)} "
            f'[color="{colour}", penwidth={width:.2f}, weight="{abs(edge.weight):.4g}", label="{value:+.2g}"];'
        )
    return "\n".join([*lines, "}"]) + "\n"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def places(circuit: Circuit, families: Mapping[str, Mapping[str, Sequence[int]]]) -> dict[str, str]:
    """Of each node, by id, the id of the node that it becomes where units are drawn together into families.

    `families` are given as {layer: {name: channels}}. The target and units of no family stay as they are.
    """
    owner = {
        (layer, channel): f"{layer}:{name}"
        for layer, names in families.items()
        for name, channels in names.items()
        for channel in channels
    }
    return {
        node.id: owner.get((node.layer, node.members[0][0]), node.id)
        if node.kind == "unit" and node.id != circuit.target
        else node.id
        for node in circuit.nodes
    }


def by_family(circuit: Circuit, families: Mapping[str, Mapping[str, Sequence[int]]]) -> Circuit:
    """The circuit with its units drawn together into families, given as {layer: {name: channels}}.

    A family's edge has the sum of the attributions and the root of the sum of squared weights, signed by their sum.
    Effects of single edges do not add up, so it has none here: `evidence.family_circuit` measures it.
    """
    place = places(circuit, families)
    merged: dict[str, list[tuple[int, float]]] = {}
    kinds: dict[str, tuple[str, str]] = {}
    for node in circuit.nodes:
        kinds[place[node.id]] = (node.layer, node.kind if place[node.id] == node.id else "family")
        merged.setdefault(place[node.id], []).extend(node.members)
    nodes = tuple(Node(name, *kinds[name], tuple(members)) for name, members in merged.items())
    pairs: dict[tuple[str, str], list[Edge]] = {}
    for edge in circuit.edges:
        pairs.setdefault((place[edge.source], place[edge.target]), []).append(edge)
    edges = tuple(_joined(source, target, group) for (source, target), group in pairs.items())
    return replace(circuit, nodes=nodes, edges=edges)


def _joined(source: str, target: str, edges: list[Edge]) -> Edge:
    if len(edges) == 1:
        return replace(edges[0], source=source, target=target)
    positive, negative = sum(edge.positive for edge in edges), sum(edge.negative for edge in edges)
    size = float(np.sqrt(sum(edge.weight**2 for edge in edges)))
    return Edge(
        source, target, size if positive >= negative else -size, positive, negative,
        sum(edge.attribution for edge in edges), None,
    )  # fmt: skip
