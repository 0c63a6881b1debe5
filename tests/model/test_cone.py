"""The cone of a cell gives the value that the whole network gives, from the pixels of its box alone."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from micrographia.model.card import Card
from micrographia.model.cone import cone
from micrographia.model.fold import fold
from micrographia.model.graph import LayerGraph
from micrographia.model.trace import trace


class Parallel(nn.Module):
    """Strides, ceil-mode pooling, branches of different reach, an addition, a squeeze that sees the whole map."""

    def __init__(self, squeeze: bool = False) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 7, 5, 2, 2), nn.BatchNorm2d(7), nn.ReLU())
        self.pool = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.narrow = nn.Conv2d(7, 5, 1)
        self.wide = nn.Sequential(nn.Conv2d(7, 3, 1), nn.ReLU6(), nn.Conv2d(3, 5, 5, padding=2))
        self.even = nn.Conv2d(10, 10, (3, 2), padding="same")
        self.late = nn.MaxPool2d(3, 1, 1)
        self.norm = nn.BatchNorm2d(10)
        self.squeeze = squeeze

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.pool(self.stem(x))
        x = torch.cat([self.narrow(x), self.wide(x)], 1)
        if self.squeeze:
            x = x * torch.sigmoid(x.mean((2, 3), keepdim=True))
        return self.norm(self.late(x + self.even(x)))


def single(graph: LayerGraph, name: str) -> torch.fx.GraphModule:
    module = graph.upto(name)
    output = next(node for node in module.graph.nodes if node.op == "output")
    output.args = (output.args[0][name],)
    module.recompile()
    return module


def ready(squeeze: bool = False) -> LayerGraph:
    torch.manual_seed(0)
    model = Parallel(squeeze).double()
    for norm in (model.stem[1], model.norm):
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2)
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
    return trace(model, Card("parallel", size=(41, 37)))


@pytest.mark.parametrize("squeeze", [False, True])
@pytest.mark.parametrize("cell", [(0, 0), (5, 4), (9, 8), (3, 0), (9, 5)])
def test_a_cone_gives_the_value_of_the_whole_network(cell: tuple[int, int], squeeze: bool) -> None:
    graph = ready(squeeze)
    images = torch.randn(2, 3, 41, 37, dtype=torch.float64)
    whole = graph.module(images)[:, :, cell[0], cell[1]]
    part = cone(fold(single(graph, "norm")), (41, 37), 3, cell)
    seen = images[:, :, part.box.top : part.box.bottom + 1, part.box.left : part.box.right + 1]
    torch.testing.assert_close(part.module(seen), whole, rtol=1e-9, atol=1e-9)
    assert squeeze == (seen.shape == images.shape)


def test_an_inner_cells_box_is_its_receptive_field() -> None:
    graph = ready()
    layer = graph.layer("wide")
    box = cone(single(graph, "wide"), (41, 37), 3, (5, 4)).box
    assert (box.bottom - box.top + 1, box.right - box.left + 1) == layer.receptive_field


def test_pixels_outside_the_box_do_not_matter() -> None:
    graph = ready()
    box = cone(single(graph, "norm"), (41, 37), 3, (2, 7)).box
    one = torch.randn(1, 3, 41, 37, dtype=torch.float64)
    other = torch.randn_like(one)
    other[:, :, box.top : box.bottom + 1, box.left : box.right + 1] = one[
        :, :, box.top : box.bottom + 1, box.left : box.right + 1
    ]
    assert torch.equal(graph.module(one)[:, :, 2, 7], graph.module(other)[:, :, 2, 7])


def test_without_a_cell_the_result_is_whole() -> None:
    graph = ready()
    part = cone(single(graph, "norm"), (41, 37), 3)
    images = torch.randn(2, 3, 41, 37, dtype=torch.float64)
    torch.testing.assert_close(part.module(images), graph.module(images))


def test_padding_of_other_modes_is_computed_whole() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect"), nn.Conv2d(4, 2, 3)).double()
    graph = trace(model, Card("reflect", size=(11, 13)))
    images = torch.randn(2, 3, 11, 13, dtype=torch.float64)
    part = cone(single(graph, "1"), (11, 13), 3, (0, 3))
    assert (part.box.bottom, part.box.right) == (10, 12)
    torch.testing.assert_close(part.module(images), graph.module(images)[:, :, 0, 3])
