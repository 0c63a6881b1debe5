"""The values of a circuit card: a brute-force ranking, masses and signs, users, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import nn

from micrographia.circuits.card import Card, card, checked
from micrographia.errors import BadAddress, BadValue
from micrographia.model.card import Card as ModelCard
from micrographia.model.graph import LayerGraph
from micrographia.model.trace import trace
from micrographia.unit import Unit
from tests.networks import SIZE, Grouped, Inception, ResNet, seeded


def traced(net: nn.Module) -> LayerGraph:
    return trace(net, ModelCard("test", size=SIZE, mean=(0.4,) * 3, std=(0.3,) * 3))


@pytest.fixture(scope="module")
def inception() -> LayerGraph:
    return traced(seeded(Inception))


def batch(count: int = 7) -> np.ndarray:
    return np.random.default_rng(2).integers(0, 256, (count, 3, *SIZE), dtype=np.uint8)


@pytest.mark.parametrize("k", [1, 6, 31])
def test_the_first_k_are_those_of_a_brute_force_sort(k: int) -> None:
    torch.manual_seed(4)
    net = nn.Sequential(nn.Conv2d(3, 37, 3), nn.ReLU(), nn.Conv2d(37, 5, 5, padding=2)).double()
    with torch.no_grad():
        net[2].weight[3, 11] = net[2].weight[3, 29].flip(0)  # a tie: the earlier channel comes first
    found = card(traced(net), Unit("2", 3), k)
    weight = net[2].weight[3].detach().numpy()
    squares = [float((kernel.astype(np.float64) ** 2).sum()) for kernel in weight]
    best = sorted(range(37), key=lambda i: (-squares[i], i))[:k]
    assert [each.unit for each in found.inputs] == [Unit("0", i) for i in best]
    for each, i in zip(found.inputs, best, strict=True):
        assert np.array_equal(each.kernel, weight[i])
        assert each.norm == pytest.approx(squares[i] ** 0.5)
        assert each.positive + each.negative == pytest.approx(np.abs(weight[i]).sum())
        assert each.positive - each.negative == pytest.approx(weight[i].sum())
    assert found.covered == pytest.approx(sum(squares[i] for i in best) / sum(squares))
    assert found.to_json()["rest"] == pytest.approx(1 - found.covered)
    assert sum(each.share for each in found.inputs) == pytest.approx(found.covered)


def test_signs_go_by_the_larger_mass_and_even_masses_are_flagged() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3)).double()
    with torch.no_grad():
        net[2].weight[0] = 0
        net[2].weight[0, 0] = 1.0
        net[2].weight[0, 1] = -0.5
        net[2].weight[0, 2, 0], net[2].weight[0, 2, 2] = 0.4, -0.3
        net[2].weight[0, 3, 1, 1], net[2].weight[0, 3, 0, 0] = -0.2, 0.1
    signs = [(each.unit.channel, each.sign, each.cancelling) for each in card(traced(net), Unit("2", 0)).inputs]
    assert signs == [
        (0, "excitatory", False), (1, "inhibitory", False), (2, "excitatory", True), (3, "inhibitory", False),
    ]  # fmt: skip


def test_a_grouped_unit_ranks_only_what_it_reads() -> None:
    graph = traced(seeded(Grouped))
    assert [each.unit for each in card(graph, Unit("depthwise", 23)).inputs] == [Unit("conv2", 11)]
    found = card(graph, Unit("conv2", 9), 5)
    assert {each.unit.channel for each in found.inputs} == {5, 6, 7, 8, 9}
    assert set(found.through) == {"max_pool2d", "norm"}


def test_a_residual_unit_reads_its_paths_and_its_own_past() -> None:
    found = card(traced(seeded(ResNet)), Unit("layer1.0", 2))
    assert Unit("stem", 2) in [each.unit for each in found.inputs]
    assert found.count == 6
    assert len(found.via) == 2


def test_users_are_those_that_read_it_most(inception: LayerGraph) -> None:
    found = card(inception, Unit("stem", 3), users=4)
    assert found.pixels
    assert len(found.users) == 4
    norms = [link.norm for link in found.users]
    assert norms == sorted(norms, reverse=True)
    assert all(link.source == Unit("stem", 3) for link in found.users)


def test_the_check_is_exact_and_the_document_is_plain(inception: LayerGraph) -> None:
    for address in ("concat:1", "concat:9", "stem:2"):
        found = checked(inception, card(inception, Unit.parse(address)), [batch()])
        assert found.check is not None
        assert found.check.residual < 1e-4
        assert found.check.pictures == 7
        plain = json.loads(json.dumps(found.to_json()))
        assert plain["check"]["share"] == found.check.share
        assert len(plain["inputs"]) == len(found.inputs)


def test_where_no_check_can_be_made_the_card_says_so() -> None:
    net = nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU(), nn.Conv2d(5, 4, 3, padding=1, padding_mode="circular")).double()
    found = checked(traced(net), card(traced(net), Unit("2", 1)), [batch()])
    assert found.check is None
    assert "pads with something else than zeros" in found.problem
    still = np.zeros((3, 3, *SIZE), np.uint8)
    net = nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU(), nn.Conv2d(5, 4, 1)).double()
    assert "does the same on all" in checked(traced(net), card(traced(net), Unit("2", 1)), [still]).problem


def refused(found: LayerGraph, address: str, k: int | None = None) -> Card:
    return card(found, Unit.parse(address), k)


def test_k_beyond_the_inputs_is_refused_and_without_k_all_are_taken(inception: LayerGraph) -> None:
    with pytest.raises(
        BadValue, match=r"concat:1 has 7 inputs, so the strongest 8 cannot be shown\. Give k from 1 to 7"
    ):
        refused(inception, "concat:1", 8)
    with pytest.raises(BadValue, match="Give k from 1 to 7"):
        refused(inception, "concat:1", 0)
    with pytest.raises(BadAddress, match="no unit 17"):
        refused(inception, "concat:17")
    assert len(card(inception, Unit("stem", 1)).inputs) == 3
