"""read_circuit(file), check_against(circuit, graph): a circuit's file is right in itself, and right about a network."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from micrographia.circuits.graph import Circuit, Node
from micrographia.errors import BadAddress, BadValue
from micrographia.model.graph import LayerGraph
from micrographia.study.weights import expanded

TOLERANCE = 1e-3  # of an edge's weight: what a file's rounding may make of it
_PLAIN: Mapping[str, tuple[type, ...]] = {
    "object": (dict,), "array": (list,), "string": (str,), "number": (int, float), "integer": (int,),
    "boolean": (bool,), "null": (type(None),),
}  # fmt: skip
_REMEDY = "Write it with micrographia graph, or follow circuits/circuit.schema.json."


def schema() -> dict[str, Any]:
    """The published JSON Schema (draft 2020-12) of a circuit's file.

    >>> schema()["title"]
    'A verified circuit of a convolutional network'
    """
    text = files("micrographia.circuits").joinpath("circuit.schema.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def read_circuit(file: Path) -> Circuit:
    """The circuit in a file; raises BadValue for what is no JSON, breaks the schema or contradicts itself."""
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise BadValue(f"{file} is not a JSON document ({error}). {_REMEDY}") from error
    try:
        return check_document(document)
    except BadValue as error:
        raise BadValue(f"{file}: {error}") from error


def check_document(document: Any) -> Circuit:
    """The circuit that a JSON document describes; raises BadValue with the first thing that is wrong with it.

    >>> check_document({})
    Traceback (most recent call last):
    micrographia.errors.BadValue: The document has no 'schema'. Write it with micrographia graph, or ...
    """
    problem = _problem(document, schema(), "The document", schema()["$defs"]) or _contradiction(document)
    if problem:
        raise BadValue(f"{problem}. {_REMEDY}")
    return Circuit.from_json(document)


def _problem(value: Any, rule: Mapping[str, Any], place: str, definitions: Mapping[str, Any]) -> str:
    """The first way in which a value breaks a rule of the schema, in words; empty where it keeps it."""
    if "$ref" in rule:
        return _problem(value, definitions[rule["$ref"].rpartition("/")[2]], place, definitions)
    if "const" in rule and value != rule["const"]:
        return f"{place} is {_shown(value)}, not {_shown(rule['const'])}"
    if "enum" in rule and value not in rule["enum"]:
        return f"{place} is {_shown(value)}, not one of {', '.join(rule['enum'])}"
    kinds = [rule["type"]] if isinstance(rule.get("type"), str) else rule.get("type", [])
    if kinds and not any(_is(value, each) for each in kinds):
        return f"{place} is {_shown(value)}, not of type {' or '.join(kinds)}"
    if "minimum" in rule and value < rule["minimum"]:
        return f"{place} is {value}, below {rule['minimum']}"
    if isinstance(value, str) and len(value) < rule.get("minLength", 0):
        return f"{place} is empty"
    if isinstance(value, list):
        if len(value) < rule.get("minItems", 0):
            return f"{place} has {len(value)} entries, fewer than {rule['minItems']}"
        parts = ((each, rule.get("items", {}), f"{place}[{i}]") for i, each in enumerate(value))
    elif isinstance(value, dict):
        missing = [name for name in rule.get("required", []) if name not in value]
        if missing:
            return f"{place} has no '{missing[0]}'"
        known = rule.get("properties", {})
        parts = (
            (value[name], known[name], name if place == "The document" else f"{place}.{name}")
            for name in known
            if name in value
        )
    else:
        return ""
    return next((found for each in parts if (found := _problem(*each, definitions))), "")


def _is(value: Any, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    return isinstance(value, _PLAIN[kind]) and (not isinstance(value, float) or math.isfinite(value))


def _shown(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else text[:37] + "..."


def _contradiction(document: Mapping[str, Any]) -> str:
    """What a schema cannot say: edges join nodes of the circuit, from one layer to the next."""
    layers = {name: place for place, name in enumerate(document["layers"])}
    place: dict[str, int] = {}
    for node in document["nodes"]:
        if node["id"] in place:
            return f"The node {node['id']} is there twice"
        if node["layer"] not in layers:
            return f"The node {node['id']} is of layer '{node['layer']}', which is not one of the circuit's layers"
        place[node["id"]] = layers[node["layer"]]
    if document["target"] not in place:
        return f"The target {document['target']} is not one of the nodes"
    for edge in document["edges"]:
        for end in (edge["source"], edge["target"]):
            if end not in place:
                return f"The edge from {edge['source']} to {edge['target']} has an end that is not one of the nodes"
        if place[edge["target"]] != place[edge["source"]] + 1:
            return f"The edge from {edge['source']} to {edge['target']} does not lead to the next layer"
        effect = edge["effect"]
        if effect is not None and effect["low"] > effect["high"]:
            return f"The edge from {edge['source']} to {edge['target']} has an interval that ends before it begins"
        if edge["kernel"] is not None and len({len(row) for row in edge["kernel"]}) > 1:
            return f"The kernel of the edge from {edge['source']} to {edge['target']} has rows of different lengths"
    return ""


def check_against(circuit: Circuit, graph: LayerGraph) -> None:
    """Raise BadValue unless the circuit is of this network: its fingerprint, its units, the weights of every edge."""
    if circuit.fingerprint != graph.fingerprint:
        raise BadValue(
            f"The circuit is of {circuit.network} with weights {circuit.fingerprint[:12]}, not of {graph.card.name} "
            f"with {graph.fingerprint[:12]}. Give the network and the weights that it was made with."
        )
    for node in circuit.nodes:
        try:
            for channel, _ in node.members:
                graph.units(f"{node.layer}:{channel}")
        except BadAddress as error:
            raise BadValue(f"The node {node.id} is not in the network: {error}") from error
    nodes = {node.id: node for node in circuit.nodes}
    for edge in circuit.edges:
        ends = nodes[edge.source], nodes[edge.target]
        if edge.kernel is None or any(node.kind == "family" for node in ends):
            continue
        kernel = _kernel(graph, *ends)
        weight = float(np.sqrt(np.square(kernel).sum()))
        if not np.isclose(abs(edge.weight), weight, rtol=TOLERANCE, atol=1e-9):
            raise BadValue(
                f"The edge from {edge.source} to {edge.target} has the weight {abs(edge.weight):.6g} in the file and "
                f"{weight:.6g} in the network. Make the circuit anew: micrographia graph."
            )
        if kernel.shape != edge.kernel.shape or not np.allclose(edge.kernel, kernel, rtol=0, atol=TOLERANCE * weight):
            raise BadValue(
                f"The edge from {edge.source} to {edge.target} has another kernel in the file than in the network. "
                "Make the circuit anew: micrographia graph."
            )


def _kernel(graph: LayerGraph, source: Node, target: Node) -> Float[np.ndarray, "height width"]:
    channels = [channel for channel, _ in target.members]
    parts = np.array([weight for _, weight in target.members])
    kernels = expanded(graph, source.layer, target.layer, channels).kernels[:, source.members[0][0]]
    total: Float[np.ndarray, "height width"] = np.einsum("o,ohw->hw", parts, kernels)
    return total
