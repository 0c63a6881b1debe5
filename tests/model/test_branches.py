from __future__ import annotations

from types import MappingProxyType

import pytest
import torch
from torch import Tensor, nn

from micrographia.model.capture import capture
from micrographia.model.card import Card
from micrographia.model.graph import Branch
from micrographia.model.trace import trace
from tests.networks import NETWORKS, SIZE, Block, seeded

CARD = Card("small", size=SIZE)


def branches(name: str, layer: str) -> tuple[Branch, ...]:
    return trace(seeded(NETWORKS[name]), CARD).layers[layer].branches


def test_a_concats_branches_share_its_channels_out() -> None:
    assert branches("inception", "concat") == (
        Branch("one", 0, 4, ("one",)),
        Branch("three", 5, 11, ("three.0", "three")),
        Branch("five", 12, 14, ("five.0", "five")),
        Branch("pool", 15, 16, ("pool.0", "pool")),
    )


@pytest.mark.parametrize(("name", "layer"), [("inception", "concat"), ("shuffled", "concat")])
def test_the_channels_of_a_branch_are_its_value(name: str, layer: str) -> None:
    graph = trace(seeded(NETWORKS[name]), CARD)
    found = graph.layers[layer].branches
    values = capture(graph, torch.rand(2, 3, *SIZE), [layer, *(branch.name for branch in found)])
    assert [branch.first for branch in found] == [0, *(branch.last + 1 for branch in found[:-1])]
    assert found[-1].last == graph.layers[layer].channels - 1
    for branch in found:
        assert torch.equal(values[layer][:, branch.first : branch.last + 1], values[branch.name])


def test_residual_paths_both_supply_every_channel() -> None:
    kept, residual = branches("preactivated", "add")
    assert (kept.name, kept.first, kept.last, kept.layers) == ("stem", 0, 6, ())
    assert (residual.name, residual.first, residual.last) == ("conv2", 0, 6)
    assert residual.layers == ("preact.0", "preact", "conv1", "relu", "conv2")
    # a block that adds and then rectifies has the branches of its addition
    added, shortcut = branches("resnet", "layer1")
    assert added.layers[0] == "layer1.1.conv1"
    assert shortcut == Branch("layer1.1.shortcut", 0, 6, ("layer1.1.shortcut",))


def test_groups_are_columns_and_so_is_what_they_alone_read() -> None:
    assert branches("grouped", "conv2") == (Branch("conv2.group0", 0, 6), Branch("conv2.group1", 7, 13))
    # through ReLU, local response normalisation and pooling
    assert branches("grouped", "conv1") == (Branch("conv1.group0", 0, 4), Branch("conv1.group1", 5, 9))


def test_depthwise_convolutions_have_none() -> None:
    assert branches("grouped", "depthwise") == ()
    assert branches("grouped", "pointwise") == ()
    assert branches("plain", "features") == ()


class Odd(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 1)
        self.read = nn.Conv2d(4, 6, 1, groups=2)
        self.also = nn.Conv2d(4, 6, 1)
        self.ends = nn.Conv2d(6, 6, 1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x = self.stem(x)
        return {
            "twice": torch.cat([x, x], 1), "below": torch.cat([x, x + 1], 2), "double": x + x, "scaled": 2 * x + 1,
            "mean": torch.cat([x.mean(1)[:, None], x], 1), "gate": x * x.sigmoid(), "groups": self.read(x),
            "all": self.ends(self.also(x)),
        }  # fmt: skip


def test_what_looks_like_branches_but_is_none() -> None:
    layers = trace(seeded(Odd), CARD).layers
    assert layers["concat"].branches == ()
    assert layers["concat#2"].branches == ()
    assert [(b.name, b.first, b.last) for b in layers["concat#3"].branches] == [("getitem", 0, 0), ("stem", 1, 4)]
    assert layers["add#2"].branches == ()
    assert layers["mul#2"].op == "multiply"
    assert layers["mul#2"].branches == ()
    # read by a grouped and by an ordinary convolution
    assert layers["stem"].branches == ()
    assert len(layers["read"].branches) == 2


def test_a_graph_by_hand() -> None:
    net = nn.Sequential(Block(3, 8), nn.Conv2d(8, 12, 3, groups=4), nn.ReLU()).eval()
    layers = trace(net, Card("hand", size=(7, 7))).layers
    assert [(b.first, b.last) for b in layers["0"].branches] == [(0, 1), (2, 3), (4, 5), (6, 7)]
    assert [(b.first, b.last) for b in layers["1"].branches] == [(0, 2), (3, 5), (6, 8), (9, 11)]
    assert isinstance(trace(net, Card("hand", size=(7, 7))).layers, MappingProxyType)
