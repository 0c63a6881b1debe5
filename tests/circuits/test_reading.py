"""What a unit reads: the sum over all inputs is the pre-activation, on every kind of network; kernels are the weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from micrographia.circuits.contributions import Contributions, contributions
from micrographia.circuits.reading import Reading, reading
from micrographia.errors import BadAddress, BadValue
from micrographia.model.card import Card
from micrographia.model.graph import LayerGraph
from micrographia.model.trace import trace
from micrographia.study.weights import expanded
from micrographia.unit import Unit
from tests.networks import NETWORKS, SIZE, seeded


def traced(net: nn.Module, size: tuple[int, int] = SIZE) -> LayerGraph:
    return trace(net, Card("test", size=size, mean=(0.4,) * 3, std=(0.3,) * 3))


def pictures(count: int = 3, size: tuple[int, int] = SIZE) -> Tensor:
    return torch.rand((count, 3, *size), generator=torch.Generator().manual_seed(3), dtype=torch.float64)


class Kernels(nn.Module):
    """Kernels of 1x1 to 7x7, one of 3x7, dilated, strided, grouped, depthwise; a dense head on a map."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Conv2d(3, 12, 1)
        self.three = nn.Conv2d(12, 10, 3, 2, 1)
        self.five = nn.Conv2d(10, 8, 5, padding=2, groups=2)
        self.wide = nn.Conv2d(8, 8, (3, 7), padding="same", dilation=(2, 1))
        self.depthwise = nn.Conv2d(8, 16, 7, padding=3, groups=8)
        self.norm = nn.BatchNorm2d(16)
        self.head = nn.Linear(16 * 12 * 10, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.three(F.relu(self.one(x))))
        x = F.relu(self.wide(F.silu(self.five(x))))
        return self.head(torch.flatten(F.relu(self.norm(self.depthwise(x))), 1))


class Separate(nn.Module):
    """A bottleneck whose norm and rectifier are modules beside it, and a gate that is no rectifier."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 7, 3)
        self.squeeze = nn.Conv2d(7, 4, 1)
        self.norm = nn.BatchNorm2d(4)
        self.second = nn.Conv2d(4, 5, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(F.silu(self.norm(self.squeeze(F.relu(self.stem(x))))))


def rebuilt(found: Contributions) -> float:
    """The largest difference between the sum of all inputs plus the constant and the pre-activation, relative."""
    gap = found.parts.sum(1) + found.constant - found.before
    return float(gap.abs().max() / found.before.abs().max())


CASES = [
    *[("kernels", f"{layer}:{channel}") for layer in ("one", "three", "five", "wide", "norm", "head") for channel in (1, 4)],
    ("plain", "features:7"), ("plain", "classifier:2"), ("inception", "three:2"), ("inception", "concat:1"),
    ("inception", "concat:9"), ("inception", "concat:14"), ("inception", "concat:16"), ("resnet", "layer1.0:3"),
    ("resnet", "layer1:6"), ("resnet", "layer1.1.relu:2"), ("resnet", "fc:1"), ("preactivated", "add:4"),
    ("preactivated", "conv2:5"), ("grouped", "depthwise:23"), ("grouped", "conv2:11"), ("grouped", "pointwise:3"),
    ("standardised", "conv2d:3"), ("separate", "second:4"), ("listed", "table.last.0:4"),
]  # fmt: skip


@pytest.fixture(scope="module")
def graphs() -> dict[str, LayerGraph]:
    made = {name: traced(seeded(make)) for name, make in NETWORKS.items() if name in {case for case, _ in CASES}}
    return made | {"kernels": traced(seeded(Kernels)), "separate": traced(seeded(Separate))}


@pytest.mark.parametrize(("network", "address"), CASES)
@pytest.mark.parametrize("way", ["direct", "auto"])
def test_all_inputs_and_the_constant_sum_to_the_pre_activation(
    graphs: dict[str, LayerGraph], network: str, address: str, way: str
) -> None:
    graph = graphs[network]
    read = reading(graph, Unit.parse(address), way)
    if read.problem:
        pytest.fail(read.problem)
    found = contributions(graph, read, pictures())
    assert found.parts.shape[1] == len(read.sources)
    assert found.before.std() > 1e-4, "the pictures make a difference"
    assert rebuilt(found) < 1e-10
    if read.way == "direct":
        assert torch.all(found.constant == read.bias)


def test_the_pre_activation_is_the_value_before_the_rectifier(graphs: dict[str, LayerGraph]) -> None:
    graph = graphs["inception"]
    before = contributions(graph, reading(graph, Unit("three", 2)), pictures()).before
    images = (pictures() - 0.4) / 0.3
    after = graph.upto("three")(images)["three"][:, 2]
    assert (before < 0).any()
    assert torch.equal(before.clamp(min=0), after)


def test_one_input_s_part_is_what_the_unit_loses_without_it(graphs: dict[str, LayerGraph]) -> None:
    graph = graphs["kernels"]
    read = reading(graph, Unit("five", 6), "direct")
    parts = contributions(graph, read, pictures()).parts
    assert read.sources[0] == Unit("three", 5), "the second group begins at the sixth channel"
    images = (pictures() - 0.4) / 0.3
    value = torch.relu(graph.upto("three")(images)["three"])
    conv = graph.module.get_submodule("five")
    for column, source in enumerate(read.sources):
        without = value.clone()
        without[:, source.channel] = 0
        lost = conv(value)[:, 6] - conv(without)[:, 6]
        assert torch.allclose(parts[:, column], lost, atol=1e-12)


def test_without_batch_norm_the_kernels_are_the_weights_bit_for_bit(graphs: dict[str, LayerGraph]) -> None:
    graph = graphs["kernels"]
    for layer in ("one", "three", "five", "wide"):
        (row,) = reading(graph, Unit(layer, 3), "direct").rows
        weight = graph.module.get_submodule(layer).weight.detach().numpy()
        assert np.array_equal(row.kernels, weight[3])


def test_through_a_bottleneck_the_kernels_are_the_composed_ones(graphs: dict[str, LayerGraph]) -> None:
    graph = graphs["inception"]
    read = reading(graph, Unit("three", 2))
    assert read.way == "expanded"
    assert [str(source) for source in read.sources] == [f"stem:{i}" for i in range(7)]
    first = expanded(graph, "stem", "three.0").kernels[:, :, 0, 0]
    second = expanded(graph, "three.0", "three", [2]).kernels[0]
    assert np.allclose(read.rows[0].kernels, np.einsum("bhw,bi->ihw", second, first), atol=1e-12)


def test_through_a_bottleneck_a_part_is_activation_times_gradient(graphs: dict[str, LayerGraph]) -> None:
    """A slow replica: the gradient of one cell with the bottleneck's rectifiers as they are."""
    graph = graphs["inception"]
    read = reading(graph, Unit("five", 1))
    assert read.way == "expanded"
    found = contributions(graph, read, pictures(2))
    images = (pictures(2) - 0.4) / 0.3
    value = graph.upto("stem")(images)["stem"].detach().requires_grad_(True)
    probe = graph.between("stem", "five.1.bn")
    before = probe(value)["five.1.bn"][:, 1]
    assert torch.allclose(before, found.before, atol=1e-12)
    for row, column in ((0, 0), (5, 3), (11, 9)):
        (gradient,) = torch.autograd.grad(before[:, row, column].sum(), value, retain_graph=True)
        assert torch.allclose((gradient * value).sum((2, 3)), found.parts[:, :, row, column], atol=1e-10)


def test_a_linear_bottleneck_adds_exactly_what_its_expanded_weights_say() -> None:
    net = nn.Sequential(nn.Conv2d(3, 7, 3), nn.ReLU(), nn.Conv2d(7, 2, 1), nn.Conv2d(2, 5, 3, padding=1)).double()
    graph = traced(net)
    read = reading(graph, Unit("3", 4))
    found = contributions(graph, read, pictures())
    assert read.way == "expanded"
    assert found.linear is not None
    # the same but for a constant inside the map; at its border the bottleneck's bias is cut off
    gap = (found.linear - found.before)[:, 1:-1, 1:-1]
    assert float(gap.std()) < 1e-12


def reads(graph: LayerGraph, address: str, way: str = "auto") -> Reading:
    return reading(graph, Unit.parse(address), way)


def test_what_reads_nothing_or_is_no_convolution_is_refused_in_a_sentence(graphs: dict[str, LayerGraph]) -> None:
    with pytest.raises(BadValue, match=r"input:0 is a channel of the picture and reads nothing\. Name a unit of"):
        reads(graphs["plain"], "input:0")
    with pytest.raises(BadAddress, match=r"features\.2 \(maxpool\) has no weights of its own\. Name a unit of"):
        reads(graphs["plain"], "features.2:3")
    with pytest.raises(BadValue, match="cannot be taken 'sideways'. Choose auto, direct, expanded"):
        reads(graphs["plain"], "features:3", "sideways")
    with pytest.raises(BadValue, match="has no 1x1 bottleneck before it"):
        reads(graphs["plain"], "features:3", "expanded")


def test_a_unit_whose_weights_are_all_zero_reads_nothing() -> None:
    net = nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU(), nn.Conv2d(5, 4, 3)).double()
    with torch.no_grad():
        net[2].weight[1] = 0
    with pytest.raises(BadValue, match="2:1 reads nothing: all its weights are 0"):
        reads(traced(net), "2:1")


def test_where_the_sum_cannot_be_taken_apart_the_reading_says_why() -> None:
    net = nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU(), nn.Conv2d(5, 4, 3, padding=1, padding_mode="reflect")).double()
    read = reads(traced(net), "2:1")
    assert "pads with something else than zeros" in read.problem
    assert len(read.sources) == 5
    with pytest.raises(BadValue, match="cannot be summed up"):
        contributions(traced(net), read, pictures())
