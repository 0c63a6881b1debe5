from __future__ import annotations

import re
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, fx, nn

from micrographia.errors import BadAddress, BadValue
from micrographia.model.capture import capture
from micrographia.model.card import Card
from micrographia.model.graph import LayerGraph
from micrographia.model.trace import trace
from micrographia.unit import Unit
from tests.networks import NETWORKS, SIZE, seeded

CARD = Card("small", size=SIZE)


def graph_of(name: str) -> LayerGraph:
    return trace(seeded(NETWORKS[name]), CARD)


def pictures(batch: int = 2) -> Tensor:
    return torch.randn(batch, 3, *SIZE, generator=torch.Generator().manual_seed(1)).double()


class Values(fx.Interpreter):
    """A slow replica: every node's value in a run of the whole graph."""

    def values(self, graph: LayerGraph, x: Tensor) -> dict[str, Tensor]:
        self.args_iter = iter([x])
        for node in self.graph.nodes:
            self.env[node] = self.run_node(node)
        by_name = {node.name: value for node, value in self.env.items()}
        return {address: by_name[node] for address, node in graph.node_of.items()}


@pytest.mark.parametrize("name", NETWORKS)
def test_upto_each_layer_equals_the_whole(name: str) -> None:
    graph = graph_of(name)
    expected = Values(graph.module).values(graph, pictures())
    for layer in graph.layers:
        part = graph.upto(layer)
        assert torch.equal(part(pictures())[layer], expected[layer])
        assert not part.training
    together = graph.upto(list(graph.node_of))(pictures())
    assert list(together) == list(graph.node_of)
    assert all(torch.equal(together[address], expected[address]) for address in expected)


@pytest.mark.parametrize(
    ("name", "src", "dst"),
    [
        ("inception", "stem", "concat"),
        ("inception", ["one", "three", "five", "pool"], "concat"),
        ("inception", "five.0", "five"),
        ("resnet", "stem", "layer1"),
        ("resnet", "layer1.0", ["layer1.1.bn2", "layer1"]),
        ("shared", "block", "block#2"),
        ("grouped", "conv1", "pointwise"),
        ("plain", "features.3", "classifier"),
        ("inplace", "conv", "sub"),
        ("standardised", "input", "relu"),
        ("gated", ["conv", "sigmoid"], "mul"),
    ],
)
def test_segments_equal_the_whole(name: str, src: str | list[str], dst: str | list[str]) -> None:
    graph = graph_of(name)
    starts, ends = ([each] if isinstance(each, str) else each for each in (src, dst))
    values = Values(graph.module).values(graph, pictures())
    got = graph.between(src, dst)(*(values[start] for start in starts))
    assert list(got) == ends
    for end in ends:
        assert torch.equal(got[end], values[end])


def test_parts_share_the_weights() -> None:
    net = seeded(NETWORKS["inception"])
    graph = trace(net, CARD)
    for part in (graph.upto("concat"), graph.between("stem", "concat")):
        for name, weight in part.named_parameters():
            assert weight.data_ptr() == net.get_parameter(name).data_ptr()


def test_nothing_is_computed_beyond_the_last_layer() -> None:
    calls: list[str] = []

    class Counting(nn.Module):
        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

        def forward(self, x: Tensor) -> Tensor:
            calls.append(self.name)
            return x + 1

    class Chain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.side, self.c = (Counting(name) for name in ("a", "b", "side", "c"))

        def forward(self, x: Tensor) -> Tensor:
            x = self.a(x)
            return self.c(self.b(x)) + self.side(x)

    graph = trace(Chain(), CARD, leaves=["a", "b", "side", "c"])
    for wanted, needed in (("a", ["a"]), ("b", ["a", "b"]), (["side", "a"], ["a", "side"]), ("c", ["a", "b", "c"])):
        calls.clear()
        graph.upto(wanted)(pictures())
        assert calls == needed
    calls.clear()
    graph.between("b", "c")(pictures())
    assert calls == ["c"]


def test_a_segment_with_a_path_around_is_refused() -> None:
    graph = graph_of("resnet")
    message = "layer1.1.add can be reached from the picture around layer1.1.conv2. Name all the layers"
    with pytest.raises(BadValue, match=re.escape(message)):
        graph.between("layer1.1.conv2", "layer1.1.add")
    with pytest.raises(BadValue, match="can be reached from the picture around sigmoid"):
        graph_of("gated").between("sigmoid", "mul")


def test_segments_that_make_no_sense() -> None:
    graph = graph_of("inception")
    with pytest.raises(BadValue, match=re.escape("stem does not depend on concat. Name a layer further down.")):
        graph.between("concat", "stem")
    with pytest.raises(BadValue, match=re.escape("Two of three, three.1 are names of one value.")):
        graph.between(["three", "three.1"], "concat")


def test_a_layer_to_itself_is_the_identity() -> None:
    x = torch.randn(2, 7, 12, 10)
    assert graph_of("inception").between("stem", "stem")(x)["stem"] is x


def ways() -> list[Callable[[LayerGraph, str], object]]:
    return [
        LayerGraph.layer,
        LayerGraph.upto,
        lambda graph, name: graph.between("stem", name),
        lambda graph, name: graph.between(name, "concat"),
        lambda graph, name: graph.units(f"{name}:0"),
        lambda graph, name: capture(graph, torch.rand(1, 3, *SIZE), name),
    ]


@pytest.mark.parametrize("way", range(len(ways())))
def test_unknown_layers_are_answered_with_the_nearest(way: int) -> None:
    with pytest.raises(BadAddress, match=re.escape("There is no layer 'thre.0'. Near it: three.0")):
        ways()[way](graph_of("inception"), "thre.0")


def test_no_layer_at_all() -> None:
    with pytest.raises(BadValue, match=r"No layer was named. Name at least one"):
        graph_of("plain").upto([])


def test_units_are_checked_against_the_network() -> None:
    graph = graph_of("inception")
    assert graph.units("three.1:0-1,6") == [Unit("three", channel) for channel in (0, 1, 6)]
    assert len(graph.units("concat")) == 17
    with pytest.raises(BadAddress, match=re.escape("concat has no unit 17. Its 17 units are concat:0 to concat:16.")):
        graph.units("concat:3-17")


def test_main_layers_are_convs_and_blocks() -> None:
    def names(name: str) -> list[str]:
        return [layer.name for layer in graph_of(name).main_layers()]

    assert names("inception") == ["stem", "three.0", "five.0", "concat"]
    assert names("resnet") == ["stem", "layer1.0.conv1", "layer1.0", "layer1.1.conv1", "layer1"]
    assert names("plain") == ["features.0", "features"]
    assert names("grouped") == ["conv1", "conv2", "depthwise", "pointwise"]
    assert names("preactivated") == ["stem", "conv1", "add"]


def test_visible_layers_are_without_the_inside_of_a_block() -> None:
    graph = graph_of("inception")
    visible = [layer.name for layer in graph.visible()]
    assert visible == ["input", "stem", "one", "three.0", "three", "five.0", "five", "pool.0", "pool", "concat"]
    assert graph.layers["stem.bn"].inner


def test_layers_as_json() -> None:
    graph = graph_of("inception")
    assert graph.layers["five"].to_json() == {
        "name": "five", "op": "conv", "channels": 3, "shape": [3, 12, 10], "kernel": 5, "stride": 2,
        "receptive_field": 11, "parents": ["five.0"], "branches": [],
    }  # fmt: skip
    assert graph.layers["concat"].to_json()["branches"][2] == {"name": "five", "first": 12, "last": 14}
    flat = graph_of("plain").layers["flatten"].to_json()
    assert (flat["kernel"], flat["stride"], flat["receptive_field"]) == (None, None, None)
    assert graph_of("plain").layers["pool"].to_json()["stride"] == [8, 12]


def test_a_graph_is_a_value() -> None:
    graph = graph_of("plain")
    assert repr(graph) == f"LayerGraph('small', 11 layers, fingerprint {graph.fingerprint[:12]})"
    with pytest.raises(TypeError):
        graph.layers["new"] = graph.layers["input"]
    with pytest.raises(AttributeError):
        graph.card = CARD
    assert {graph: 1}[graph] == 1
