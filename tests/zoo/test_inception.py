"""InceptionV1: the published widths and sizes, the channel ranges of the branches, and where the windows lie."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from micrographia.model.card import Card
from micrographia.model.graph import LayerGraph
from micrographia.model.trace import trace
from micrographia.zoo import inception
from micrographia.zoo.parts import LRN, ConvUnit
from micrographia.zoo.registry import load

# from the Circuits articles' network: output channels of every block
CHANNELS = {
    "mixed3a": 256, "mixed3b": 480, "mixed4a": 508, "mixed4b": 512, "mixed4c": 512, "mixed4d": 528, "mixed4e": 832,
    "mixed5a": 832, "mixed5b": 1024,
}  # fmt: skip
FIVE = {"mixed3a": (192, 223), "mixed3b": (320, 415), "mixed4a": (396, 443), "mixed4d": (400, 463)}


@pytest.fixture(scope="module")
def graph() -> LayerGraph:
    return trace(*load("inceptionv1", "random"))


def parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def test_parameter_counts() -> None:
    with torch.device("meta"):
        assert parameters(inception.googlenet()) == 6_998_552
        tensorflow = parameters(inception.inception5h())
    # the published graph is a file of 53,884,595 bytes: our weights, two auxiliary heads, and 36 kB of graph
    heads = sum(inputs * 128 + 128 + 2048 * 1024 + 1024 + 1024 * 1008 + 1008 for inputs in (508, 528))
    assert tensorflow == 7_066_380
    assert 0 < 53_884_595 - 4 * (tensorflow + heads) < 40_000


def test_layers_are_microscopes(graph: LayerGraph) -> None:
    assert {name: graph.layer(name).channels for name in CHANNELS} == CHANNELS
    assert [graph.layer(f"conv2d{n}").channels for n in range(3)] == [64, 64, 192]
    assert graph.layer("softmax2_pre_activation").channels == 1008
    assert graph.layer("mixed3a_5x5_bottleneck").channels == 16
    assert graph.layer("mixed4a").shape == (508, 14, 14)
    assert graph.layer("mixed5b").shape == (1024, 7, 7)
    assert graph.layer("mixed4a_3x3").channels == 204
    assert graph.layer("mixed5a_5x5_bottleneck").channels == 48


def test_branches_have_the_published_ranges(graph: LayerGraph) -> None:
    found = {name: {b.name: (b.first, b.last) for b in graph.layer(name).branches}[f"{name}_5x5"] for name in FIVE}
    assert found == FIVE


def test_receptive_fields_are_the_published_ones(graph: LayerGraph) -> None:
    fields = {"conv2d0": 7, "conv2d2": 19, "mixed3a_3x3": 43, "mixed3a_5x5": 59, "mixed3b_5x5": 91}
    assert {name: graph.layer(name).receptive_field for name in fields} == {n: (f, f) for n, f in fields.items()}


def test_a_name_means_the_rectified_value() -> None:
    model, _ = load("inceptionv1-bvlc", "random", seed=1)
    graph = trace(model, Card("small", size=(64, 64)))
    x = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    value = graph.upto("mixed3a_5x5_bottleneck")(x)["mixed3a_5x5_bottleneck"]
    below = graph.upto("maxpool1")(x)["maxpool1"]
    unit = model.get_submodule("mixed3a_5x5_bottleneck.conv")
    torch.testing.assert_close(value, F.relu(F.conv2d(below, unit.weight, unit.bias)))


def same(x: Tensor, kernel: int, stride: int, fill: float) -> Tensor:
    """TensorFlow's SAME: as many windows as side / stride, the odd cell of padding after the picture."""
    total = [max((math.ceil(side / stride) - 1) * stride + kernel - side, 0) for side in x.shape[2:]]
    top, left = total[0] // 2, total[1] // 2
    return F.pad(x, (left, total[1] - left, top, total[0] - top), value=fill)


@pytest.mark.parametrize("side", [224, 96])
def test_windows_lie_as_tensorflows(side: int) -> None:
    with torch.random.fork_rng():
        unit = ConvUnit(2, 3, 7, stride=2, pad=(2, 3, 2, 3)).double()
    x = torch.randn(1, 2, side, side, dtype=torch.float64, generator=torch.Generator().manual_seed(side))
    expected = F.relu(F.conv2d(same(x, 7, 2, 0.0), unit.conv.weight, unit.conv.bias, 2))
    torch.testing.assert_close(unit(x), expected)
    for cells in (side // 2, side // 4, side // 8, side // 16):  # the sides that the four pools see
        maps = torch.randn(1, 2, cells, cells, dtype=torch.float64, generator=torch.Generator().manual_seed(cells))
        assert torch.equal(inception._pool()(maps), F.max_pool2d(same(maps, 3, 2, -math.inf), 3, 2))


def test_windows_lie_as_caffes() -> None:
    # Caffe: conv rounds down with 3 px on all sides, pooling rounds up: 224 -> 112 -> 56 -> 28 -> 14 -> 7
    graph = trace(*load("inceptionv1-bvlc", "random"))
    sides = [graph.layer(name).shape[1] for name in ("conv2d0", "maxpool0", "maxpool1", "maxpool4", "maxpool10")]
    assert sides == [112, 56, 28, 14, 7]
    assert graph.layer("conv2d0").window.padding == (3, 3)


def test_lrn_has_the_published_constants() -> None:
    with torch.device("meta"):
        caffe, tensorflow = inception.googlenet(), inception.inception5h()
    x = 20 * torch.randn(1, 13, 3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    padded = F.pad(x * x, (0, 0, 0, 0, 5, 5))
    sums = torch.stack([padded[:, c : c + 11].sum(1) for c in range(13)], 1)  # depth_radius 5
    torch.testing.assert_close(tensorflow.localresponsenorm0(x), x / (2 + 1e-4 * sums) ** 0.5)
    norms = [module for module in caffe.modules() if isinstance(module, LRN)]
    assert [(norm.size, norm.alpha, norm.beta, norm.k) for norm in norms] == [(5, 1e-4, 0.75, 1.0)] * 2
