"""LRN against torch's own and against its formula written out; the parts' names and gradients."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from micrographia.model.card import Card
from micrographia.model.trace import trace
from micrographia.zoo.parts import LRN, ConvUnit

SETTINGS = [
    (5, 1e-1, 0.75, 1.0),
    (11, 0.3, 0.5, 2.0),
    (4, 0.2, 0.75, 1.0),
    (3, 0.5, 0.6, 1.5),
    (1, 0.1, 0.5, 1.0),
    (17, 0.4, 0.75, 1.0),
]


@pytest.mark.parametrize(("size", "alpha", "beta", "k"), SETTINGS)
def test_lrn_is_torchs(size: int, alpha: float, beta: float, k: float) -> None:
    x = 3 * torch.randn(2, 13, 5, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(size))
    ours, theirs = LRN(size, alpha, beta, k)(x), F.local_response_norm(x, size, alpha, beta, k)
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-14)


def test_lrn_is_its_formula() -> None:
    x = torch.randn(1, 7, 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    expected = torch.empty_like(x)
    for channel in range(7):
        near = [other for other in range(7) if abs(other - channel) <= 2]
        for row in range(2):
            for column in range(3):
                total = sum(x[0, other, row, column] ** 2 for other in near)
                expected[0, channel, row, column] = x[0, channel, row, column] / (1.5 + 0.2 / 5 * total) ** 0.75
    torch.testing.assert_close(LRN(5, 0.2, 0.75, 1.5)(x), expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("beta", [0.5, 0.75, 0.6])
def test_lrn_has_the_right_gradient(beta: float) -> None:
    x = torch.randn(1, 5, 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1), requires_grad=True)
    assert torch.autograd.gradcheck(LRN(3, 0.3, beta, 1.0), (x,))


def test_lrn_takes_vectors_too() -> None:
    x = torch.randn(3, 11, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    expected = F.local_response_norm(x[..., None], 5, 0.1, 0.75, 1.0)[..., 0]
    torch.testing.assert_close(LRN(5, 0.1, 0.75, 1.0)(x), expected)


def test_trace_keeps_lrn_whole() -> None:
    network = torch.nn.Sequential()
    network.add_module("conv", ConvUnit(3, 5, 3))
    network.add_module("norm", LRN(5))
    graph = trace(network.eval(), Card("tiny", size=(11, 13)))
    assert graph.layers["norm"].op == "lrn"
    assert [layer.name for layer in graph.visible()] == ["input", "conv", "norm"]
