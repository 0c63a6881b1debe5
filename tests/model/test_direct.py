from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from micrographia.errors import BadAddress, BadValue
from micrographia.model.card import Card
from micrographia.model.direct import Direct, direct, wiring
from micrographia.model.graph import LayerGraph
from micrographia.model.trace import trace
from micrographia.study.weights import expanded

SIZE = (53, 59)


def traced(model: nn.Module, size: tuple[int, int] = SIZE) -> LayerGraph:
    generator = torch.Generator().manual_seed(5)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.copy_(torch.randn(module.running_mean.shape, generator=generator))
            module.running_var.copy_(torch.rand(module.running_var.shape, generator=generator) + 0.5)
            module.weight.data.copy_(torch.randn(module.weight.shape, generator=generator))
            module.bias.data.copy_(torch.randn(module.bias.shape, generator=generator))
    return trace(model.double().eval(), Card("test", size=size))


class Plain(nn.Module):
    """No batch norm: kernels are the raw weights. Groups, a concat of branches, a pooling branch, a dense head."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 6, 5, stride=2)
        self.lrn = nn.LocalResponseNorm(3)
        self.pool = nn.MaxPool2d(2)
        self.grouped = nn.Conv2d(6, 4, 3, groups=2, padding=1)
        self.depthwise = nn.Conv2d(4, 8, 3, groups=4, padding=1)
        self.left = nn.Conv2d(8, 3, 1)
        self.right = nn.Conv2d(8, 2, 3, padding=1)
        self.side = nn.MaxPool2d(3, 1, 1)
        self.hidden = nn.Linear(13 * 4 * 4, 7)
        self.head = nn.Linear(7, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.lrn(torch.relu(self.first(x))))
        x = torch.relu(self.depthwise(torch.relu(self.grouped(x))))
        x = torch.relu(torch.cat([self.left(x), self.right(x), self.side(x)], 1))
        x = F.adaptive_avg_pool2d(x, 4)
        return self.head(torch.relu(self.hidden(torch.flatten(x, 1))))


class Classic(nn.Module):
    """A stem, then two residual units as in the first ResNet, with modules beside each other and no named blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.stem_norm, self.pool = nn.Conv2d(3, 5, 3, 2), nn.BatchNorm2d(5), nn.MaxPool2d(3, 2, 1)
        self.a, self.a_norm = nn.Conv2d(5, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4)
        self.b, self.b_norm = nn.Conv2d(4, 5, 3, padding=1), nn.BatchNorm2d(5)
        self.c, self.c_norm = nn.Conv2d(5, 7, 3, 2, 1), nn.BatchNorm2d(7)
        self.down, self.down_norm = nn.Conv2d(5, 7, 1, 2), nn.BatchNorm2d(7)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(torch.relu(self.stem_norm(self.stem(x))))
        x = torch.relu(self.b_norm(self.b(torch.relu(self.a_norm(self.a(x))))) + x)
        return torch.relu(self.c_norm(self.c(x)) + self.down_norm(self.down(x)))


class Unit(nn.Sequential):
    """A convolution, its batch norm and its ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.bn, self.relu = nn.BatchNorm2d(outputs), nn.ReLU()


class Modern(nn.Module):
    """Named blocks with batch norm: branches with bottlenecks, a grouped layer, pre-activated residual units."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.pool = Unit(3, 5, 5, 2), nn.MaxPool2d(3, 2, ceil_mode=True)
        self.one, self.narrow, self.five = Unit(5, 3, 1), Unit(5, 2, 1), Unit(2, 4, 5)
        self.side, self.reduce = nn.MaxPool2d(3, 1, 1), Unit(5, 3, 1)
        self.grouped = Unit(10, 6, 3, groups=2)
        self.preact = nn.Sequential(nn.BatchNorm2d(6), nn.ReLU())
        self.inner, self.outer, self.shortcut = Unit(6, 5, 3, 2), nn.Conv2d(5, 7, 1), nn.Conv2d(6, 7, 1, 2)
        self.preact2 = nn.Sequential(nn.BatchNorm2d(7), nn.ReLU())
        self.inner2, self.outer2 = Unit(7, 5, 3), nn.Conv2d(5, 7, 1)
        self.postnorm, self.mean, self.head = nn.BatchNorm2d(7), nn.AdaptiveAvgPool2d(1), nn.Linear(7, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.stem(x))
        x = torch.cat([self.one(x), self.five(self.narrow(x)), self.reduce(self.side(x))], 1)
        x = self.preact(self.grouped(x))
        x = self.shortcut(x) + self.outer(self.inner(x))
        x = x + self.outer2(self.inner2(self.preact2(x)))
        return self.head(torch.flatten(self.mean(torch.relu(self.postnorm(x))), 1))


def summary(part: Direct) -> tuple[str, int, tuple[int, ...], set[str], int, tuple[str, ...]]:
    return part.via, part.first, part.kernels.shape, set(part.layers), part.groups, part.through


def test_the_wiring_of_a_plain_network() -> None:
    found = {name: [summary(part) for part in parts] for name, parts in wiring(traced(Plain())).items()}
    assert found == {
        "first": [("first", 0, (6, 3, 5, 5), {"input"}, 1, ())],
        "grouped": [("grouped", 0, (4, 3, 3, 3), {"first"}, 2, ("pool", "lrn"))],
        "depthwise": [("depthwise", 0, (8, 1, 3, 3), {"grouped"}, 4, ())],
        "concat": [
            ("left", 0, (3, 8, 1, 1), {"depthwise"}, 1, ()),
            ("right", 3, (2, 8, 3, 3), {"depthwise"}, 1, ()),
            ("side", 5, (8, 1, 1, 1), {"depthwise"}, 8, ("side",)),
        ],
        "hidden": [("hidden", 0, (7, 13, 4, 4), {"concat"}, 1, ("adaptive_avg_pool2d",))],
        "head": [("head", 0, (5, 7, 1, 1), {"hidden"}, 1, ())],
    }


def test_without_batch_norm_the_kernels_are_the_raw_weights_bit_for_bit() -> None:
    model = Plain()
    graph = traced(model)
    for name in ("first", "grouped", "depthwise"):
        (part,) = direct(graph, name)
        module = model.get_submodule(name)
        assert np.array_equal(part.kernels, module.weight.detach().numpy())
        assert np.array_equal(part.bias, module.bias.detach().numpy())
    left, right, side = direct(graph, "concat")
    assert np.array_equal(left.kernels, model.left.weight.detach().numpy())
    assert np.array_equal(right.kernels, model.right.weight.detach().numpy())
    assert np.array_equal(side.kernels, np.ones((8, 1, 1, 1)))
    (hidden,) = direct(graph, "hidden")
    assert np.array_equal(hidden.kernels.reshape(7, -1), model.hidden.weight.detach().numpy())


def test_groups_say_which_input_a_kernel_reads() -> None:
    (part,) = direct(traced(Plain()), "depthwise")
    assert [part.input_of(out, 0) for out in range(8)] == [0, 0, 1, 1, 2, 2, 3, 3]
    (part,) = direct(traced(Plain()), "grouped")
    assert [part.input_of(3, column) for column in range(3)] == [3, 4, 5]


def test_a_classic_residual_network_and_its_shortcuts() -> None:
    found = {name: [summary(part)[:5] for part in parts] for name, parts in wiring(traced(Classic())).items()}
    assert found["add"] == [("b", 0, (5, 4, 3, 3), {"a"}, 1), ("add", 0, (5, 1, 1, 1), {"stem"}, 5)]
    assert found["add#2"] == [("c", 0, (7, 5, 3, 3), {"add"}, 1), ("down", 0, (7, 5, 1, 1), {"add"}, 1)]
    assert found["a"] == [("a", 0, (4, 5, 3, 3), {"stem"}, 1)]


def test_a_residual_network_with_norms_before_its_convolutions() -> None:
    found = {name: [summary(part)[:5] for part in parts] for name, parts in wiring(traced(Modern())).items()}
    assert found["inner"] == [("inner", 0, (5, 6, 3, 3), {"grouped"}, 1)]
    assert found["add"] == [("shortcut", 0, (7, 6, 1, 1), {"grouped"}, 1), ("outer", 0, (7, 5, 1, 1), {"inner"}, 1)]
    assert found["add#2"] == [("add#2", 0, (7, 1, 1, 1), {"add"}, 7), ("outer2", 0, (7, 5, 1, 1), {"inner2"}, 1)]
    assert found["head"] == [("head", 0, (3, 7, 1, 1), {"add#2"}, 1)]


def predicted(graph: LayerGraph, layer: str, maps: dict[str, Tensor], windows: dict[str, tuple[int, int]]) -> Tensor:
    """The sum over all inputs of kernel * map + bias, one pair of units at a time; maps are what convolutions read."""
    total: Tensor | None = None
    for part in direct(graph, layer):
        stride, padding = windows[part.via]
        for out, kernels in enumerate(part.kernels):
            for column, kernel in enumerate(kernels):
                number = part.input_of(out, column)
                read = maps[part.via if part.via in maps else part.layers[number]]
                plane = read[:, [part.channels[number] if part.via not in maps else number]]
                term = F.conv2d(plane, torch.tensor(kernel)[None, None], None, stride, padding)[:, 0]
                if total is None:
                    total = torch.zeros(len(term), graph.layer(layer).channels, *term.shape[1:], dtype=torch.float64)
                total[:, part.first + out] += term
            assert total is not None
            total[:, part.first + out] += part.bias[out]
    assert total is not None
    return total


def test_the_sum_over_all_inputs_is_the_pre_activation() -> None:
    graph = traced(Modern())
    pictures = torch.rand(2, 3, *SIZE, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    values = graph.upto(["one.bn", "five.bn", "reduce.bn", "pool", "narrow", "side"])(pictures)
    maps = {"one": values["pool"], "five": values["narrow"], "reduce": values["side"]}
    expected = torch.cat([values["one.bn"], values["five.bn"], values["reduce.bn"]], 1)
    found = predicted(graph, "concat", maps, {"one": (1, 0), "five": (1, 2), "reduce": (1, 0)})
    assert torch.allclose(found, expected, rtol=0, atol=1e-10)


def test_the_sum_over_both_paths_of_a_residual_unit() -> None:
    model = Classic()
    graph = traced(model)
    pictures = torch.rand(2, 3, *SIZE, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    values = graph.upto(["relu#2", "pool", "add", "stem_norm", "relu", "relu#3", "add#2"])(pictures)
    reads = {"c": values["relu#3"], "down": values["relu#3"]}
    found = predicted(graph, "add#2", reads, {"c": (2, 1), "down": (2, 0)})
    assert torch.allclose(found, values["add#2"], rtol=0, atol=1e-10)
    # the shortcut of the first unit carries the stem's batch norm, whose rectifier and pooling are passed by
    identity = direct(graph, "add")[1]
    scale = (model.stem_norm.weight / (model.stem_norm.running_var + model.stem_norm.eps).sqrt()).detach().numpy()
    np.testing.assert_allclose(identity.kernels[:, 0, 0, 0], scale, rtol=1e-14)
    assert identity.through == ("pool",)


HOPS = [
    ("input", "stem"), ("narrow", "five"), ("concat", "grouped"), ("grouped", "inner"), ("grouped", "shortcut"),
    ("inner", "outer"), ("add", "inner2"), ("add#2", "head"),
]  # fmt: skip


@pytest.mark.parametrize(("src", "dst"), HOPS)
def test_direct_and_expanded_weights_agree(src: str, dst: str) -> None:
    graph = traced(Modern())
    (part,) = direct(graph, dst)
    whole = expanded(graph, src, dst)
    assert set(part.layers) == {src}
    spread = np.zeros((len(part.kernels), len(part.layers), *part.kernels.shape[2:]))
    for out in range(len(part.kernels)):
        for column in range(part.kernels.shape[1]):
            spread[out, part.input_of(out, column)] = part.kernels[out, column]
    if dst == "head":  # the pooling before it is passed by in direct weights and divides expanded ones
        spread = np.broadcast_to(spread / whole.kernels[0, 0].size, whole.kernels.shape)
    np.testing.assert_allclose(spread, whole.kernels, rtol=0, atol=1e-12)
    np.testing.assert_allclose(part.bias, whole.bias, rtol=0, atol=1e-10)


def test_a_shared_value_is_passed_on_and_not_made_again() -> None:
    class Reuse(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 2, 3, padding=1)

        def forward(self, x: Tensor) -> Tensor:
            a = torch.relu(self.a(x))
            return torch.cat([torch.relu(self.b(a)), a], 1)

    found = direct(traced(Reuse()), "concat")
    assert [summary(part)[:5] for part in found] == [
        ("b", 0, (2, 4, 3, 3), {"a"}, 1), ("concat", 2, (4, 1, 1, 1), {"a"}, 4)
    ]  # fmt: skip


def test_dense_blocks_are_read_through_their_concats() -> None:
    class Dense(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(9)
            self.a, self.b, self.c = nn.Conv2d(4, 5, 1), nn.Conv2d(9, 2, 3, padding=1), nn.Conv2d(11, 3, 1)

        def forward(self, x: Tensor) -> Tensor:
            x = self.stem(x)
            y = torch.cat([x, self.a(x)], 1)
            z = torch.cat([y, self.b(torch.relu(self.norm(y)))], 1)
            return self.c(z)

    graph = traced(Dense())
    main = {layer.name for layer in graph.main_layers()}
    (part,) = direct(graph, "c")
    assert set(part.layers) <= main | {"b"}
    if "concat" not in main:
        assert part.layers == ("stem",) * 4 + ("a",) * 5 + ("b",) * 2
        assert part.channels.tolist() == [0, 1, 2, 3, 0, 1, 2, 3, 4, 0, 1]


def test_what_is_not_made_of_convolutions() -> None:
    graph = traced(Plain())
    with pytest.raises(BadValue, match=r"input is not made of convolutions. Name one of"):
        direct(graph, "input")
    with pytest.raises(BadAddress, match=r"There is no layer 'frist'. Near it: first"):
        direct(graph, "frist")
