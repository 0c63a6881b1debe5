"""What happens without an input: exact where the answer is planted, a bootstrap replica, and a null that holds."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from micrographia.circuits.ablation import ablation
from micrographia.errors import BadValue
from micrographia.model.card import Card
from micrographia.model.graph import LayerGraph
from micrographia.model.trace import trace
from micrographia.unit import Unit

SIZE = (13, 11)


class Planted(nn.Module):
    """Unit 0 of `second` is the sum of units 0 and 1 of `first` with weights 2 and 1; the head reads it alone."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 11, 3)
        self.second = nn.Conv2d(11, 3, 1)
        self.head = nn.Linear(3, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.second(F.relu(self.first(x))))
        return self.head(x.mean((2, 3)))


@pytest.fixture(scope="module")
def graph() -> LayerGraph:
    torch.manual_seed(0)
    net = Planted().double().eval()
    with torch.no_grad():
        net.second.weight.mul_(0.001)[0, :2, 0, 0] = torch.tensor([2.0, 1.0])
        net.second.bias.zero_()
        net.head.weight.zero_()[2, 0] = 5.0
    return trace(net, Card("planted", size=SIZE, mean=(0.5,) * 3, std=(0.2,) * 3))


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.rand((17, 3, *SIZE), generator=torch.Generator().manual_seed(1), dtype=torch.float64)


FIRST = [Unit("first", i) for i in range(11)]


def test_each_effect_is_the_mean_difference_of_two_runs(graph: LayerGraph, images: Tensor) -> None:
    found = ablation(graph, images, Unit("second", 0), FIRST[:2], FIRST, output="head", to="zero", controls=5)
    prepared = (images - 0.5) / 0.2
    maps = F.relu(graph.upto("first")(prepared)["first"])
    second, head = graph.module.get_submodule("second"), graph.module.get_submodule("head")
    intact = F.relu(second(maps))
    assert [each.what for each in found.effects] == ["first:0", "first:1", "all 2", "second:0"]
    assert found.classes[0] == 2
    for effect, channels in zip(found.effects, ([0], [1], [0, 1]), strict=False):
        without = maps.clone()
        without[:, channels] = 0
        other = F.relu(second(without))
        # the unit's own values are those before the rectifier
        change = (second(without)[:, 0].flatten(1).amax(1) - second(maps)[:, 0].flatten(1).amax(1)).mean()
        scores = (head(other.mean((2, 3))) - head(intact.mean((2, 3))))[:, 2].mean()
        assert effect.unit is not None
        assert effect.unit.mean == pytest.approx(float(change), abs=1e-12)
        assert effect.classes[0].mean == pytest.approx(float(scores), abs=1e-12)
        assert effect.unit.low <= effect.unit.mean <= effect.unit.high
    assert found.effects[-1].unit is None
    assert found.intact == pytest.approx(float(second(maps)[:, 0].flatten(1).amax(1).mean()))


def test_the_planted_inputs_beat_the_null_and_their_order_is_right(graph: LayerGraph, images: Tensor) -> None:
    found = ablation(graph, images, Unit("second", 0), FIRST[:2], FIRST, controls=19)
    first, second, both, itself = found.effects
    assert first.unit is not None
    assert second.unit is not None
    assert first.unit.mean < second.unit.mean < 0
    assert len(found.controls) == 9, "there are no more others"
    assert (first.p, second.p) == (1 / 10, 1 / 10)
    assert first.corrected == second.corrected == 1 / 10
    assert both.corrected is None
    assert both.p == 1 / 20
    assert (itself.p, itself.changed) == (None, None)
    assert abs(first.unit.mean) > 50 * max(map(abs, found.controls))


def test_an_input_like_the_others_does_not_beat_the_null(graph: LayerGraph, images: Tensor) -> None:
    p = []
    for chosen in range(2, 11):
        others = [unit for unit in FIRST[2:] if unit.channel != chosen]
        p.append(ablation(graph, images, Unit("second", 0), [FIRST[chosen]], others).effects[0].p)
    assert sorted(p) == pytest.approx([i / 9 for i in range(1, 10)]), "ranks among equals"


def test_the_interval_is_the_bootstrap_s(graph: LayerGraph, images: Tensor) -> None:
    found = ablation(graph, images, Unit("second", 0), FIRST[:1], users=[Unit("second", 1)], to="zero")
    change = found.effects[0].unit
    assert change is not None
    prepared = (images - 0.5) / 0.2
    maps = F.relu(graph.upto("first")(prepared)["first"])
    without = maps.clone()
    without[:, 0] = 0
    second = graph.module.get_submodule("second")
    each = (second(without)[:, 0].flatten(1).amax(1) - second(maps)[:, 0].flatten(1).amax(1)).detach().numpy()
    rng = np.random.default_rng(9)
    means = [rng.choice(each, len(each)).mean() for _ in range(4000)]
    width = np.std(each) / len(each) ** 0.5
    assert (change.low, change.high) == pytest.approx(np.percentile(means, (2.5, 97.5)), abs=0.25 * width)
    assert found.users == ("second:1",)
    assert found.effects[0].users[0].mean != 0
    assert found.effects[0].classes == ()


@pytest.mark.parametrize("to", ["mean", "zero", "resample", "shuffle"])
def test_equal_arguments_give_equal_numbers(graph: LayerGraph, images: Tensor, to: str) -> None:
    runs = [
        ablation(graph, images, Unit("second", 0), FIRST[:2], FIRST, output="head", to=to, controls=3, seed=5).to_json()
        for _ in range(2)
    ]
    assert runs[0] == runs[1]
    assert runs[0]["to"] == to


def test_wrong_words_are_refused(graph: LayerGraph, images: Tensor) -> None:
    with pytest.raises(BadValue, match="ablated to 'nothing'. Choose zero, mean, resample or shuffle"):
        ablation(graph, images, Unit("second", 0), FIRST[:1], to="nothing")
    with pytest.raises(BadValue, match="has no inputs to take out"):
        ablation(graph, images, Unit("second", 0), [])
