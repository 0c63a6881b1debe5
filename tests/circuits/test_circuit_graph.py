"""A circuit survives being written and read; every kind of broken file is refused in a sentence; the other forms agree."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest

from micrographia.circuits.chain import chain
from micrographia.circuits.evidence import circuit_of, family_circuit, family_effects
from micrographia.circuits.extract import extract, links_of
from micrographia.circuits.graph import Circuit, by_family, to_dot, to_graphml, to_networkx
from micrographia.circuits.masked import TARGET, Link, removed
from micrographia.circuits.motifs import circuit_motifs
from micrographia.circuits.planted import stimuli, written
from micrographia.circuits.probe import Probe, ablated, probe, target
from micrographia.circuits.schema import check_against, check_document, read_circuit, schema
from micrographia.circuits.shares import family_shares, made_of, read_families, shares
from micrographia.errors import BadAddress, BadValue
from micrographia.model.graph import LayerGraph
from micrographia.publish.plain import plain
from micrographia.study.weights import expanded

MADE = {"call": "graph", "arguments": {}, "seed": 0, "fingerprint": "x", "version": "0"}


@pytest.fixture(scope="module")
def graph() -> LayerGraph:
    return written("union over cases").graph


@pytest.fixture(scope="module")
def flow(graph: LayerGraph) -> Probe:
    return probe(graph, chain(graph, "conv3", 2), target(graph, "conv3:0"), stimuli(8))


@pytest.fixture(scope="module")
def circuit(graph: LayerGraph, flow: Probe) -> Circuit:
    gone = ablated(flow)
    return circuit_of(graph, flow, gone, links_of(extract(graph, flow, gone), 6), {"p": 0.5}, MADE)


def test_edges_carry_the_expanded_weights_and_the_measured_effect(
    graph: LayerGraph, flow: Probe, circuit: Circuit
) -> None:
    gone = ablated(flow)
    (edge,) = [each for each in circuit.edges if (each.source, each.target) == ("conv1:1", "conv2:0")]
    kernel = expanded(graph, "conv1", "conv2", [0]).kernels[0, 1]
    assert edge.kernel is not None
    assert edge.effect is not None
    assert np.allclose(edge.kernel, kernel)
    assert edge.weight == pytest.approx(-np.linalg.norm(kernel))  # it inhibits
    lost = (flow.values - removed(flow, [Link(1, 0, 1)], gone))[::2]
    assert edge.effect.value == pytest.approx(float(lost.mean()), rel=1e-5)
    assert edge.effect.low <= edge.effect.value <= edge.effect.high


def test_a_circuit_survives_its_file(circuit: Circuit, tmp_path: Path) -> None:
    file = tmp_path / "circuit.json"
    file.write_text(json.dumps(plain(circuit.to_json())))
    again = read_circuit(file)
    assert plain(again.to_json()) == plain(circuit.to_json())


def test_the_schema_is_published_with_the_package() -> None:
    assert schema()["properties"]["schema"]["const"] == "micrographia/circuit/1"
    assert set(schema()["required"]) == {"schema", "network", "fingerprint", "target", "layers", "nodes", "edges", "scores", "made_by"}  # fmt: skip


def cut(*path: Any) -> Callable[[dict], None]:
    def change(document: Any) -> None:
        for step in path[:-1]:
            document = document[step]
        del document[path[-1]]

    return change


def put(value: Any, *path: Any) -> Callable[[dict], None]:
    def change(document: Any) -> None:
        for step in path[:-1]:
            document = document[step]
        document[path[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (cut("nodes"), "The document has no 'nodes'."),
        (put("other/2", "schema"), 'schema is "other/2", not "micrographia/circuit/1".'),
        (put("heavy", "edges", 0, "weight"), 'edges[0].weight is "heavy", not of type number.'),
        (put(True, "edges", 0, "weight"), "edges[0].weight is true, not of type number."),
        (put(float("nan"), "edges", 0, "attribution"), "edges[0].attribution is NaN, not of type number."),
        (put("group", "nodes", 0, "kind"), 'nodes[0].kind is "group", not one of unit, direction, family.'),
        (put(-1, "nodes", 0, "members", 0, "channel"), "nodes[0].members[0].channel is -1, below 0."),
        (put([], "edges"), "edges has 0 entries, fewer than 1."),
        (put("", "fingerprint"), "fingerprint is empty."),
        (cut("edges", 0, "effect", "low"), "edges[0].effect has no 'low'."),
        (put("conv2:99", "edges", 0, "source"), "has an end that is not one of the nodes."),
        (put("conv3:0", "edges", 0, "source"), "does not lead to the next layer."),
        (put("conv9:0", "target"), "The target conv9:0 is not one of the nodes."),
        (put("conv9", "nodes", 0, "layer"), "is of layer 'conv9', which is not one of the circuit's layers."),
        (put([[1.0, 2.0], [3.0]], "edges", 0, "kernel"), "has rows of different lengths."),
        (put({"value": 0.0, "low": 1.0, "high": 0.0}, "edges", 0, "effect"), "has an interval that ends before it begins."),
        (lambda document: document["nodes"].append(document["nodes"][0]), "is there twice."),
    ],
)  # fmt: skip
def test_a_broken_file_is_refused_in_a_sentence(circuit: Circuit, change: Callable[[dict], None], said: str) -> None:
    document = copy.deepcopy(plain(circuit.to_json()))
    change(document)
    with pytest.raises(BadValue) as caught:
        check_document(document)
    assert said in str(caught.value)
    assert "Write it with micrographia graph" in str(caught.value)


def test_what_is_no_document_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    file.write_text("{")
    with pytest.raises(BadValue, match="is not a JSON document"):
        read_circuit(file)
    file.write_text("[]")
    with pytest.raises(BadValue, match="The document is \\[\\], not of type object"):
        read_circuit(file)


def test_a_circuit_is_checked_against_its_network(circuit: Circuit, graph: LayerGraph) -> None:
    check_against(circuit, graph)
    with pytest.raises(
        BadValue, match="The circuit is of planted-union over cases with weights .*, not of planted-curve"
    ):
        check_against(circuit, written("curve").graph)
    document = copy.deepcopy(plain(circuit.to_json()))
    document["edges"][0]["weight"] *= 1.01
    with pytest.raises(BadValue, match="in the file and .* in the network. Make the circuit anew"):
        check_against(check_document(document), graph)
    document = copy.deepcopy(plain(circuit.to_json()))
    document["nodes"][0]["members"][0]["channel"] = 77
    with pytest.raises(BadValue, match="is not in the network: conv1 has no unit 77"):
        check_against(check_document(document), graph)


def test_other_forms_hold_the_same_graph(circuit: Circuit) -> None:
    pairs = {(edge.source, edge.target) for edge in circuit.edges}
    assert set(to_networkx(circuit).edges) == pairs
    again = nx.parse_graphml(to_graphml(circuit).decode())
    assert set(again.edges) == pairs
    assert again.edges["conv1:1", "conv2:0"]["weight"] == pytest.approx(
        to_networkx(circuit).edges["conv1:1", "conv2:0"]["weight"]
    )
    text = to_dot(circuit)
    assert all(f'"{source}" -> "{end}"' in text for source, end in pairs)
    assert text.count("{") == text.count("}")


def test_units_are_drawn_together_into_families(circuit: Circuit) -> None:
    joined = by_family(circuit, {"conv2": {"cases": [0, 1]}})
    (node,) = [node for node in joined.nodes if node.kind == "family"]
    assert node.id == "conv2:cases"
    assert {channel for channel, _ in node.members} == {0, 1}
    before = sum(edge.attribution for edge in circuit.edges)
    assert sum(edge.attribution for edge in joined.edges) == pytest.approx(before)
    check_document(plain(joined.to_json()))


def test_a_familys_effect_is_that_of_all_its_edges_together(graph: LayerGraph) -> None:
    flow = probe(graph, chain(graph, "conv3", 3), target(graph, "conv3:0"), stimuli(8))
    gone = ablated(flow)
    links = links_of(extract(graph, flow, gone), 12)
    circuit = circuit_of(graph, flow, gone, links, {}, {})
    groups = {"conv2": {"cases": [0, 1]}, "conv1": {"lines": [0, 1]}}
    joined = family_circuit(circuit, flow, gone, links, groups)
    (edge,) = [each for each in joined.edges if each.target == "conv3:0"]
    assert (edge.source, edge.effect is None) == ("conv2:cases", False)
    best = slice(0, None, 2)
    # without both cases nothing is left of what the circuit gives the target
    both = flow.values - removed(flow, [Link(3, TARGET, 0), Link(3, TARGET, 1)], gone)
    assert edge.effect.value == pytest.approx(float(both[best].mean()))
    assert edge.effect.low <= edge.effect.value <= edge.effect.high
    inner = next(each for each in joined.edges if each.source == "conv1:lines" and each.target == "conv2:cases")
    all_four = [Link(2, unit, source) for unit in (0, 1) for source in (0, 1)]
    assert inner.effect.value == pytest.approx(float((flow.values - removed(flow, all_four, gone))[best].mean()))
    # all that whole families read of each other: here these are the circuit's own edges, and so are the effects
    whole = family_effects(flow, gone, groups | {"conv3": {"0": [0]}})
    assert whole["conv2:cases", "conv3:0"] == edge.effect
    assert whole["conv1:lines", "conv2:cases"] == inner.effect


def test_families_are_read_as_the_command_writes_them(graph: LayerGraph) -> None:
    first = {"layer": "conv1", "families": [{"label": "lines", "members": [{"unit": "conv1:3"}, {"unit": "conv1:1"}]}]}
    second = {"conv1": {"others": [1, 5]}, "conv2": {"cases": [0]}}
    found = read_families([first, second], graph)
    assert found == {"conv1": {"lines": [3, 1], "others": [5]}, "conv2": {"cases": [0]}}
    # one that was found in two families belongs to the first; one that is written twice by hand is a mistake
    twice = first["families"] + [{"label": "more", "members": [{"unit": "conv1:1"}, {"unit": "conv1:2"}]}]
    assert read_families([first | {"families": twice}], graph) == {"conv1": {"lines": [3, 1], "more": [2]}}
    with pytest.raises(BadValue, match="The families name conv1:3 twice"):
        read_families([{"conv1": {"lines": [3], "dots": [3]}}], graph)
    with pytest.raises(BadValue, match="not as micrographia families writes them"):
        read_families([{"families": [{"label": "x"}]}], graph)


def test_motifs_of_a_circuit_are_those_of_its_edges(circuit: Circuit) -> None:
    found = circuit_motifs(circuit, trials=19)
    assert found["conv2"].counts["inhibition pair"] == 1
    assert found["conv2"].counts["union over cases"] == 1
    assert all(each.corrected is not None and each.corrected >= each.p for each in found["conv2"].findings)
    assert "residual by-pass" not in found["conv2"].counts
    # conv1:0 and conv1:1 excite the units of their own number, and inhibit each other's
    turns = {"conv1:0": ("lines", 1), "conv1:1": ("lines", 5), "conv2:0": ("cases", 3), "conv2:1": ("cases", 7)}
    found = circuit_motifs(circuit, trials=19, turns=turns, shortcuts=["conv2"])
    assert found["conv2"].counts["residual by-pass"] == 2
    assert found["conv2"].counts["equivariance pair"] == 2
    apart = turns | {"conv1:1": ("dots", 5)}
    assert circuit_motifs(circuit, trials=19, turns=apart)["conv2"].counts["equivariance pair"] == 0


def test_directions_are_written_as_addresses(graph: LayerGraph) -> None:
    assert target(graph, "conv3:+2-5").members == ((2, 1.0), (5, -1.0))
    assert target(graph, "conv3:2+5-0.5*1").members == ((1, -0.5), (2, 1.0), (5, 1.0))
    assert str(target(graph, "conv3:2+5-0.5*1")) == "conv3:2+5-0.5*1"
    with pytest.raises(BadValue, match="names 4 units"):
        target(graph, "conv3:2-5")
    with pytest.raises(BadAddress, match="'/5' cannot be read"):
        target(graph, "conv3:2+3/5")
    with pytest.raises(BadAddress, match="conv3 has no unit 99"):
        target(graph, "conv3:2+99")


@pytest.mark.parametrize("metric", ["total", "mean"])
def test_shares_and_the_remainder_are_the_whole(graph: LayerGraph, metric: str) -> None:
    groups = {"conv1": {"gabors": [0, 1], "rest": [5, 7, 9]}, "conv2": {"cases": [0, 1]}}
    parts = family_shares(graph, ["conv1", "conv2"], groups, metric)["conv2", "cases"]
    assert sum(share for _, share in parts) == pytest.approx(1)
    assert parts[0][0] == "gabors"
    made = made_of(graph, ["conv1", "conv2", "conv3"], [0], groups, metric)
    assert [sum(share for _, share in made[layer]) for layer in ("conv1", "conv2")] == pytest.approx([1, 1])


def test_total_and_mean_can_rank_differently() -> None:
    norms = np.array([[3.0, 1.0, 1.0, 1.0, 1.0]])
    groups = {"one": [0], "many": [1, 2, 3, 4]}
    assert [name for name, _ in shares(norms, groups, "total")] == ["many", "one", "remainder"]
    assert [name for name, _ in shares(norms, groups, "mean")] == ["one", "many", "remainder"]


@pytest.mark.parametrize(
    ("groups", "metric", "said"),
    [
        ({"a": [0], "b": [0]}, "total", "name a unit twice"),
        ({"a": [9]}, "total", "not among the layer's 2"),
        ({"a": [0]}, "median", "There is no metric 'median'."),
    ],
)
def test_bad_families_are_refused(groups: dict, metric: str, said: str) -> None:
    with pytest.raises(BadValue) as caught:
        shares(np.ones((1, 2)), groups, metric)
    assert said in str(caught.value)


def test_families_of_another_form_are_refused(graph: LayerGraph) -> None:
    assert read_families([{"conv2": {"cases": [0, 1]}}], graph) == {"conv2": {"cases": [0, 1]}}
    with pytest.raises(BadValue, match="not given as {layer: {name: \\[channels\\]}}"):
        read_families([{"conv2": [1, 2]}], graph)
