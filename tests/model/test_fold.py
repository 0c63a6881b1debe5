"""A folded network is the same function: batch norm, dropout and local response normalisation in fewer operations."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from micrographia.model.card import Card
from micrographia.model.fold import fold
from micrographia.model.trace import trace


def shaken(model: nn.Module) -> nn.Module:
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
            if module.affine:
                nn.init.normal_(module.weight)
                nn.init.normal_(module.bias)
    return model.double()


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("affine", [False, True])
def test_batch_norm_goes_into_the_convolution(bias: bool, affine: bool) -> None:
    model = shaken(nn.Sequential(nn.Conv2d(4, 6, 3, groups=2, bias=bias), nn.BatchNorm2d(6, affine=affine), nn.ReLU()))
    module = trace(model, Card("norm", size=(7, 11), channels=4, mean=(0.0,) * 4, std=(1.0,) * 4)).module
    folded = fold(module)
    images = torch.randn(2, 4, 7, 11, dtype=torch.float64)
    torch.testing.assert_close(folded(images), module(images))
    assert not any(isinstance(m, nn.BatchNorm2d) for m in folded.modules())
    assert sum(node.op == "call_module" for node in folded.graph.nodes) == 2


def test_a_convolution_read_twice_keeps_its_own_value() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm, self.drop = nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.Dropout()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.conv(x)
            return self.drop(self.norm(x)) + x

    module = trace(shaken(Twice()), Card("twice", size=(7, 11))).module
    images = torch.randn(2, 3, 7, 11, dtype=torch.float64)
    torch.testing.assert_close(fold(module)(images), module(images))


@pytest.mark.parametrize("size", [2, 3, 5])
@pytest.mark.parametrize("beta", [0.75, 0.5])
def test_local_response_norm_is_a_banded_convolution(size: int, beta: float) -> None:
    model = nn.Sequential(nn.Conv2d(3, 11, 1), nn.LocalResponseNorm(size, 0.3, beta, 2.0)).double()
    module = trace(model, Card("lrn", size=(5, 7))).module
    images = torch.randn(2, 3, 5, 7, dtype=torch.float64)
    torch.testing.assert_close(fold(module)(images), module(images))


def test_the_original_graph_is_not_touched() -> None:
    model = shaken(nn.Sequential(nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5)))
    graph = trace(model, Card("norm", size=(7, 11)))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    code = graph.module.code
    fold(graph.module)
    assert graph.module.code == code
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
