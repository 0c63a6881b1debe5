"""Chollet's loop on our engine against its direct transcription."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from micrographia.errors import BadAddress
from micrographia.model.card import Card
from micrographia.model.graph import LayerGraph
from micrographia.model.trace import trace
from micrographia.optvis.chollet import Noise, chollet
from micrographia.optvis.optimise import picture_seed
from micrographia.unit import Unit
from tests.replicas import generate_pattern

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)


@pytest.fixture(scope="module")
def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 5, 2), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(3, 2), nn.Conv2d(8, 6, 3), nn.ReLU()
    ).eval()


@pytest.fixture(scope="module")
def graph(net: nn.Sequential) -> LayerGraph:
    return trace(net, Card("tiny", size=(31, 29), mean=MEAN, std=STD))


@pytest.mark.parametrize(("precision", "close"), [("float64", 1e-6), ("float32", 1e-5)])
@pytest.mark.parametrize("channel", [0, 3])
def test_our_loop_is_chollets_loop(
    net: nn.Sequential, graph: LayerGraph, channel: int, precision: str, close: float
) -> None:
    dtype = getattr(torch, precision)
    copied = copy.deepcopy(net)[:5].to(dtype)
    mean, std = (torch.tensor(each, dtype=dtype)[:, None, None] for each in (MEAN, STD))

    def layer_output(image: Tensor) -> Tensor:
        result: Tensor = copied((image / 255 - mean) / std)
        return result

    generator = torch.Generator().manual_seed(picture_seed(5, 0))
    noise = Noise().start((31, 29), 3, generator)[None].to(dtype)
    expected = generate_pattern(layer_output, channel, noise)
    made = chollet(graph, Unit("4", channel), seed=5, precision=precision)
    np.testing.assert_allclose(made.image, expected, atol=close)
    assert made.reached > made.course[0]
    assert made.steps == 40


def test_the_start_is_faint_noise_on_grey() -> None:
    start = Noise().start((64, 64), 3, torch.Generator().manual_seed(0))
    assert 128 <= start.min() < start.max() <= 148


def test_a_unit_that_is_not_there_is_refused(graph: LayerGraph) -> None:
    with pytest.raises(BadAddress, match="has no unit 6"):
        chollet(graph, Unit("4", 6))
