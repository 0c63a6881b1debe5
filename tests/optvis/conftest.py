"""A small network of InceptionV1's plan, with random weights, for the tests of feature visualization."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from micrographia.model.card import Card
from micrographia.model.graph import LayerGraph
from micrographia.model.trace import trace


def unit(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


class SmallInception(nn.Module):
    """A stem of stride 8 and one block of four branches, of 12, 20, 8 and 8 channels."""

    def __init__(self) -> None:
        super().__init__()
        self.conv2d0 = unit(3, 16, 7, 2)
        self.maxpool0 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.norm0 = nn.LocalResponseNorm(5, 1e-2, 0.75)
        self.conv2d2 = unit(16, 40, 3)
        self.maxpool1 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.one = unit(40, 12, 1)
        self.three = nn.Sequential(unit(40, 24, 1), unit(24, 20, 3))
        self.five = nn.Sequential(unit(40, 6, 1), unit(6, 8, 5))
        self.pool = nn.MaxPool2d(3, 1, 1)
        self.reduced = unit(40, 8, 1)
        self.late = unit(48, 10, 5)
        self.head = nn.Linear(10, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool1(self.conv2d2(self.norm0(self.maxpool0(self.conv2d0(x)))))
        mixed = torch.cat([self.one(x), self.three(x), self.five(x), self.reduced(self.pool(x))], 1)
        return self.head(self.late(mixed).mean((2, 3)))


@pytest.fixture(scope="session")
def small() -> LayerGraph:
    """The network, traced for pictures of 88 px."""
    torch.manual_seed(0)
    return trace(SmallInception(), Card("small-inception", size=(88, 88)))
