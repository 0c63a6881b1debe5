"""The redirected ReLU's gradient, against values worked out by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from micrographia.model.card import Card
from micrographia.model.trace import trace
from micrographia.optvis.relu import redirect, redirected_relu


def gradient(x: list[list[float]], outer: list[list[float]], limit: float | None = None) -> Tensor:
    leaf = torch.tensor(x, requires_grad=True)
    (redirected_relu(leaf, limit) * torch.tensor(outer)).sum().backward()
    assert leaf.grad is not None
    return leaf.grad


def test_an_open_picture_gets_the_ordinary_gradient() -> None:
    assert gradient([[1.0, -1, -2]], [[-0.5, -1, 1]]).tolist() == [[-0.5, 0, 0]]


def test_a_blocked_picture_is_let_through_upwards_only() -> None:
    assert gradient([[-3.0, -1, -2]], [[-0.5, -1, 1]]).tolist() == [[-0.5, -1, 0]]


def test_each_picture_is_decided_alone() -> None:
    found = gradient([[1.0, -1, -2], [-3.0, -1, -2]], [[-0.5, -1, 1], [-0.5, -1, 1]])
    assert found.tolist() == [[-0.5, 0, 0], [-0.5, -1, 0]]


def test_an_open_cell_without_a_gradient_counts_as_blocked() -> None:
    assert gradient([[1.0, -1]], [[0.0, -1]]).tolist() == [[0, -1]]


def test_relu6_is_redirected_above_six_too() -> None:
    found = gradient([[7.0, 8, -1, -2]], [[2.0, -2, 2, -2]], limit=6.0)
    assert found.tolist() == [[2, 0, 0, -2]]
    assert redirected_relu(torch.tensor([[7.0, -1, 3]]), 6.0).tolist() == [[6, 0, 3]]


class EveryForm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third = nn.ReLU(inplace=True), nn.ReLU6(), nn.Conv2d(3, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(self.third(x)) - 0.1
        x = self.second(self.third(x)) - 0.1
        x = F.relu(self.third(x), inplace=True) - 0.1
        x = torch.relu(self.third(x)) - 0.1
        x = F.relu6(self.third(x)) - 0.1
        return self.third(x).relu_()


def test_every_form_of_relu_is_replaced_and_the_values_stay() -> None:
    torch.manual_seed(0)
    module = trace(EveryForm().double(), Card("forms", size=(5, 7))).module
    changed = redirect(module)
    images = 9 * torch.randn(2, 3, 5, 7, dtype=torch.float64)
    assert torch.equal(changed(images), module(images))
    assert sum(node.target is redirected_relu for node in changed.graph.nodes) == 6
    assert sum(node.target is redirected_relu and node.args[1] == 6 for node in changed.graph.nodes) == 2


@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
def test_a_gradient_away_from_the_middle_is_seen(memory: torch.memory_format) -> None:
    x = torch.full((1, 2, 3, 3), -1.0)
    x[0, 0, 0, 0] = 1
    x = x.contiguous(memory_format=memory).requires_grad_(True)
    redirected_relu(x).sum().backward()
    assert x.grad is not None
    assert x.grad.sum() == 1
