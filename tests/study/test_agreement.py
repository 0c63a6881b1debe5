from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from micrographia.errors import BadValue
from micrographia.model.card import Card, normalise
from micrographia.model.graph import LayerGraph
from micrographia.model.trace import trace
from micrographia.study.agreement import Agreement, agreement
from micrographia.study.weights import expanded

SIZE = (19, 23)
IMAGES = torch.rand(5, 3, *SIZE, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


class Boundary(nn.Module):
    """A source map s, detectors of rising and of falling edges in it, and a unit excited by both.

    Unit 0 of `out` reads both with weight 1: their kernels are each other's negatives, so that the expansion is zero.
    Unit 1 reads only the rising one; unit 2 reads neither.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 1, 1)
        self.edges = nn.Conv2d(1, 2, (1, 2), stride=(1, 2))
        self.out = nn.Conv2d(2, 3, 1)
        with torch.no_grad():
            self.stem.weight.fill_(1.0)
            self.edges.weight[0, 0, 0] = torch.tensor([-1.0, 1.0])
            self.edges.weight[1, 0, 0] = torch.tensor([1.0, -1.0])
            self.out.weight[:, :, 0, 0] = torch.tensor([[1.0, 1.0], [1.0, 0.0], [0.0, 0.0]])
            for layer in (self.stem, self.edges, self.out):
                nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(torch.relu(self.edges(self.stem(x))))


class Straight(nn.Module):
    """Convolutions without a rectifier between them, around which a shortcut goes."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 5, 3, stride=2, padding=1)
        self.one = nn.Conv2d(5, 7, 3, padding=1)
        self.two = nn.Conv2d(7, 5, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return x + self.two(self.one(x))


def of(model: nn.Module) -> LayerGraph:
    return trace(model.double().eval(), Card("test", size=SIZE))


def measure(graph: LayerGraph, src: str, dst: str, images: Tensor = IMAGES) -> Agreement:
    w = expanded(graph, src, dst)
    return agreement(graph, w.src, w.dst, w.units, w.kernels, w.stride, w.offset, images)


def test_an_affine_path_agrees_whole_even_where_another_goes_around_it() -> None:
    torch.manual_seed(1)
    graph = of(Straight())
    for src, dst in (("stem", "two"), ("one", "add"), ("stem", "add"), ("input", "one")):
        found = measure(graph, src, dst)
        assert found.units == pytest.approx(1)
        assert found.measured == pytest.approx(expanded(graph, src, dst).kernels)


def test_cancelling_detectors_are_not_trusted() -> None:
    graph = of(Boundary())
    # pictures that brighten to the right: the rising detector runs, the falling one does not
    ramp = torch.linspace(0, 1, SIZE[1], dtype=torch.float64).expand(2, 3, *SIZE)
    found = measure(graph, "stem", "out", ramp)
    assert found.units[0] == 0
    assert found.units[1] == pytest.approx(1)
    assert np.isnan(found.units[2])
    assert found.trusted.tolist() == [False, True, False]
    assert np.abs(found.measured[0]).max() == pytest.approx(1)
    assert found.to_json()["units"] == [0, pytest.approx(1), None]


def test_a_unit_that_never_responds_is_not_judged() -> None:
    graph = of(Boundary())
    ramp = torch.linspace(0, 1, SIZE[1], dtype=torch.float64).expand(2, 3, *SIZE)
    w = expanded(graph, "stem", "out")
    kernels = np.where(np.isnan(w.kernels), 0, w.kernels) + 1  # weights on paper, for the shut unit too
    found = agreement(graph, w.src, w.dst, w.units, kernels, w.stride, w.offset, ramp)
    assert not found.measured[2].any()
    assert np.isnan(found.units[2])
    assert np.isnan(found.pairs[2]).all()
    assert not np.isnan(found.units[:2]).any()


def test_the_mean_jacobian_against_one_backward_pass_per_place() -> None:
    torch.manual_seed(2)
    model = nn.Sequential(nn.Conv2d(3, 5, 3, stride=2), nn.ReLU(), nn.Conv2d(5, 4, 3), nn.ReLU()).double().eval()
    graph = trace(model, Card("test", size=SIZE))
    w = expanded(graph, "1", "3")
    found = measure(graph, "1", "3")
    source = torch.relu(model[0](normalise(IMAGES, graph.card))).detach()
    slow = np.zeros(w.kernels.shape)
    places = [(r, c) for r in range(0, source.shape[2] - 2, 3) for c in range(0, source.shape[3] - 2, 3)]
    for unit in range(4):
        for image in range(5):
            for row, column in places:
                patch = source[image : image + 1, :, row : row + 3, column : column + 3].clone().requires_grad_(True)
                (gradient,) = torch.autograd.grad(torch.relu(model[2](patch))[0, unit, 0, 0], patch)
                slow[unit] += gradient[0].numpy() / (5 * len(places))
    assert found.samples == 5 * len(places)
    assert found.measured == pytest.approx(slow)
    expected = [np.sum(a * b) / np.sqrt(np.sum(a * a) * np.sum(b * b)) for a, b in zip(slow, w.kernels, strict=True)]
    assert found.units == pytest.approx(expected)


def test_what_has_no_kernel_is_refused() -> None:
    graph = of(Straight())
    kernels = np.ones((1, 5, 3, 3))
    with pytest.raises(BadValue, match="has no kernel to compare"):
        agreement(graph, "stem", "one", (0,), kernels, None, (0, 0), IMAGES)
    with pytest.raises(BadValue, match="No kernel of 99 x 3"):
        agreement(graph, "stem", "one", (0,), np.ones((1, 5, 99, 3)), (1, 1), (-1, -1), IMAGES)
