from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from micrographia.errors import BadAddress, BadValue
from micrographia.model.card import Card
from micrographia.model.direct import direct, wiring
from micrographia.model.graph import LayerGraph
from micrographia.model.trace import trace
from micrographia.study.neighbours import Link, sign_of, strongest_inputs, strongest_users
from micrographia.unit import Unit


class Network(nn.Module):
    """A grouped layer, a block of two branches, and a residual unit with an identity shortcut."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 6, 3)
        self.grouped = nn.Conv2d(6, 8, 3, padding=1, groups=2)
        self.narrow = nn.Conv2d(8, 3, 1)
        self.wide = nn.Conv2d(3, 5, 3, padding=1)
        self.pool = nn.MaxPool2d(3, 1, 1)
        self.reduce = nn.Conv2d(8, 2, 1)
        self.inner = nn.Conv2d(7, 4, 3, padding=1)
        self.outer = nn.Conv2d(4, 7, 1)
        self.norm = nn.BatchNorm2d(7)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.grouped(torch.relu(self.first(x))))
        x = torch.relu(torch.cat([self.wide(torch.relu(self.narrow(x))), self.reduce(self.pool(x))], 1))
        return x + self.norm(self.outer(torch.relu(self.inner(x))))


LAYERS = ["first", "grouped", "narrow", "concat", "inner", "add"]


@pytest.fixture(scope="module")
def model() -> Network:
    torch.manual_seed(11)
    model = Network().double().eval()
    nn.init.uniform_(model.norm.running_var, 0.5, 2)
    nn.init.normal_(model.norm.weight)
    return model


@pytest.fixture(scope="module")
def graph(model: Network) -> LayerGraph:
    return trace(model, Card("test", size=(23, 29)))


def all_links(graph: LayerGraph) -> list[tuple[Unit, Unit, np.ndarray]]:
    """Every pair of connected units with its kernel, written out one by one."""
    found = []
    for layer, parts in wiring(graph).items():
        for part in parts:
            for out in range(len(part.kernels)):
                for column in range(part.kernels.shape[1]):
                    number = out // (len(part.kernels) // part.groups) * part.kernels.shape[1] + column
                    source = Unit(part.layers[number], int(part.channels[number]))
                    found.append((source, Unit(layer, part.first + out), part.kernels[out, column]))
    return found


def square(kernel: np.ndarray) -> float:
    return float((kernel**2).sum())


@pytest.mark.parametrize("layer", LAYERS)
def test_inputs_are_those_of_the_slow_way(graph: LayerGraph, layer: str) -> None:
    links = all_links(graph)
    found = strongest_inputs(graph, layer, k=4)
    assert [each.unit for each in found] == [Unit(layer, c) for c in range(graph.layer(layer).channels)]
    for each in found:
        mine = sorted((link for link in links if link[1] == each.unit), key=lambda link: -square(link[2]))
        total = sum(square(link[2]) for link in mine)
        assert each.count == len(mine)
        assert each.total == pytest.approx(total**0.5)
        assert [link.source for link in each.links] == [link[0] for link in mine[:4]]
        assert each.covered == pytest.approx(sum(square(link[2]) for link in mine[:4]) / total)
        for link, (_, _, kernel) in zip(each.links, mine, strict=False):
            assert np.array_equal(link.kernel, kernel)
            assert link.norm == pytest.approx(square(kernel) ** 0.5)
            assert link.share == pytest.approx(square(kernel) / total)
            assert link.positive + link.negative == pytest.approx(np.abs(kernel).sum())
            assert link.positive - link.negative == pytest.approx(kernel.sum())


@pytest.mark.parametrize("layer", ["input", *LAYERS])
def test_users_are_the_inverse(graph: LayerGraph, layer: str) -> None:
    links = all_links(graph)
    for each in strongest_users(graph, layer, k=5):
        mine = sorted((link for link in links if link[0] == each.unit), key=lambda link: -square(link[2]))
        assert each.count == len(mine)
        assert [link.target for link in each.links] == [link[1] for link in mine[:5]]
        assert all(link.source == each.unit for link in each.links)
        for link in each.links:
            total = sum(square(other[2]) for other in links if other[1] == link.target)
            assert link.share == pytest.approx(link.norm**2 / total)


def test_all_inputs_together_cover_everything(graph: LayerGraph) -> None:
    for each in strongest_inputs(graph, "add", k=100):
        assert len(each.links) == each.count == 5
        assert each.covered == pytest.approx(1)
        assert sum(link.share for link in each.links) == pytest.approx(1)


def test_where_each_branch_comes_from(graph: LayerGraph, model: Network) -> None:
    inputs = strongest_inputs(graph, "concat", k=8)
    assert {(link.via, link.source.layer) for link in inputs[2].links} == {("wide", "narrow")}
    assert {(link.via, link.source.layer, link.through) for link in inputs[6].links} == {
        ("reduce", "grouped", ("pool",))
    }
    link = inputs[6].links[0]
    assert link.kernel[0, 0] == model.reduce.weight[1, link.source.channel, 0, 0]
    first = strongest_inputs(graph, "first", k=3)[0]
    assert {str(link.source) for link in first.links} == {"input:0", "input:1", "input:2"}


def test_a_shortcut_is_one_from_the_same_channel(graph: LayerGraph, model: Network) -> None:
    scale = (model.norm.weight / (model.norm.running_var + model.norm.eps).sqrt()).detach().numpy()
    for each in strongest_inputs(graph, "add", k=5):
        (shortcut,) = [link for link in each.links if link.source.layer == "concat"]
        assert (shortcut.source.channel, shortcut.via) == (each.unit.channel, "add")
        assert np.array_equal(shortcut.kernel, [[1.0]])
        for link in each.links:
            if link is not shortcut:
                raw = model.outer.weight[each.unit.channel, link.source.channel].detach().numpy()
                np.testing.assert_allclose(link.kernel, raw * scale[each.unit.channel], rtol=1e-14)


def test_groups_only_see_their_own_half(graph: LayerGraph) -> None:
    for each in strongest_inputs(graph, "grouped", k=9):
        half = each.unit.channel // 4
        assert {link.source.channel for link in each.links} == {3 * half, 3 * half + 1, 3 * half + 2}


def test_a_planted_connection_is_found_with_its_sign() -> None:
    model = nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU(), nn.Conv2d(5, 7, 3), nn.ReLU()).double().eval()
    with torch.no_grad():
        model[2].weight.mul_(0.01)
        model[2].weight[3, 1] = -torch.eye(3, dtype=torch.float64)
        model[2].weight[3, 4] = torch.full((3, 3), 0.4, dtype=torch.float64)
    graph = trace(model, Card("planted", size=(17, 19)))
    before, after = strongest_inputs(graph, "2", k=2)[3], strongest_users(graph, "0", k=1)
    assert [(str(link.source), link.sign) for link in before.links] == [("0:1", "inhibitory"), ("0:4", "excitatory")]
    assert before.covered > 0.99
    assert (str(after[1].links[0].target), after[1].links[0].negative) == ("2:3", 3.0)


@pytest.mark.parametrize(
    ("positive", "negative", "expected"),
    [(2, 1, "excitatory"), (1.9, 1, "mixed"), (1, 2, "inhibitory"), (0, 0, "mixed"), (3, 0, "excitatory")],
)
def test_the_rule_of_the_sign(positive: float, negative: float, expected: str) -> None:
    assert sign_of(float(positive), float(negative)) == expected


def test_ready_wires_give_the_same(graph: LayerGraph) -> None:
    wires = wiring(graph)
    for a, b in zip(strongest_inputs(graph, "concat"), strongest_inputs(graph, "concat", wires=wires), strict=True):
        assert [link.to_json() for link in a.links] == [link.to_json() for link in b.links]


def test_kernels_are_copies_and_the_last_layer_has_no_users(graph: LayerGraph, model: Network) -> None:
    link = strongest_inputs(graph, "first", k=1)[0].links[0]
    before = model.first.weight.clone()
    link.kernel[:] = 99
    assert torch.equal(model.first.weight, before)
    assert all((each.links, each.count, each.total) == ((), 0, 0.0) for each in strongest_users(graph, "add"))
    assert np.array_equal(direct(graph, "first")[0].kernels, before.detach().numpy())


def test_json(graph: LayerGraph) -> None:
    found = json.loads(json.dumps(strongest_inputs(graph, "concat", k=2)[5].to_json()))
    assert found["unit"] == "concat:5"
    assert set(found["links"][0]) == {
        "source", "target", "via", "norm", "share", "positive", "negative", "sign", "kernel", "through"
    }  # fmt: skip
    assert isinstance(strongest_inputs(graph, "concat", k=1)[0].links[0], Link)


def test_a_silent_unit_has_no_shares() -> None:
    model = nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU(), nn.Conv2d(5, 2, 3)).double().eval()
    nn.init.zeros_(model[2].weight)
    found = strongest_inputs(trace(model, Card("zero", size=(17, 19))), "2", k=1)[0]
    assert (found.total, found.covered, found.links[0].share, found.links[0].sign) == (0.0, 0.0, 0.0, "mixed")


def test_wrong_questions(graph: LayerGraph) -> None:
    with pytest.raises(BadValue, match=r"k is 0. Ask for at least one"):
        strongest_inputs(graph, "first", k=0)
    with pytest.raises(BadAddress, match="There is no layer 'concatt'"):
        strongest_users(graph, "concatt")
    with pytest.raises(BadValue, match="input is not made of convolutions"):
        strongest_inputs(graph, "input")
