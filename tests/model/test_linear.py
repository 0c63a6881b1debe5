from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from micrographia.errors import BadAddress, BadValue
from micrographia.model.card import Card
from micrographia.model.graph import LayerGraph
from micrographia.model.linear import COPIED_POOLS, RULES, Rule, affine
from micrographia.model.trace import trace

SIZE = (23, 29)


class Everything(nn.Module):
    """Every kind of op that the table names, on parallel paths that meet by concat and by addition."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 5, 3, stride=2, padding=1)
        self.lrn = nn.LocalResponseNorm(3, alpha=0.5)
        self.pool = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.left = nn.Conv2d(5, 3, 1)
        self.right = nn.Conv2d(5, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(7)
        self.swish = nn.SiLU()
        self.drop = nn.Dropout(0.5)
        self.body = nn.Conv2d(7, 7, 3, padding=1, groups=7)
        self.adaptive = nn.AdaptiveMaxPool2d(1)
        self.head = nn.Linear(7, 2)
        self.scale = nn.Parameter(torch.tensor([[[3.0]]]))

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.lrn(torch.relu(self.stem(x * 2 - 1))))
        x = self.drop(self.norm(torch.cat([self.swish(self.left(x)), self.right(x)], 1)))
        x = x + self.body(x) * self.scale
        return self.head(torch.flatten(self.adaptive(x), 1)).softmax(1)


class Gated(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 5, 3)
        self.squeeze = nn.AdaptiveAvgPool2d(1)
        self.gate = nn.Conv2d(5, 5, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return x * torch.sigmoid(self.gate(self.squeeze(x)))


def traced(model: nn.Module, size: tuple[int, int] = SIZE) -> LayerGraph:
    torch.manual_seed(7)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.normal_(module.weight)
    return trace(model.double().eval(), Card("test", size=size))


def values(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_the_path_is_affine_and_names_its_stand_ins() -> None:
    path = affine(traced(Everything()), "input", "softmax")
    a, b, zero = values(2, 3, *SIZE), values(2, 3, *SIZE, seed=1), torch.zeros(2, 3, *SIZE, dtype=torch.float64)
    bias = path.module(zero)
    combined = path.module(3 * a - 5 * b)
    expected = 3 * (path.module(a) - bias) - 5 * (path.module(b) - bias) + bias
    assert torch.allclose(combined, expected, rtol=0, atol=1e-10)
    assert bias.abs().max() > 0.01
    assert set(path.rules) == {rule.name for rule in RULES} - {"gate -> open"}
    assert path.complete


def test_only_the_needed_stand_ins_are_named() -> None:
    graph = traced(Everything())
    assert affine(graph, "left", "swish").rules == ("activation -> identity",)
    assert affine(graph, "right", "norm").rules == ()


def test_the_model_keeps_its_memory_and_its_modules() -> None:
    model = Everything()
    graph = traced(model)
    before = [type(module) for module in model.modules()]
    path = affine(graph, "input", "add")
    assert path.module.get_submodule("stem").weight.data_ptr() == model.stem.weight.data_ptr()
    assert [type(module) for module in model.modules()] == before
    assert any(node.target == "pool" for node in graph.module.graph.nodes)
    assert not any(node.target == "pool" for node in path.module.graph.nodes)


def test_a_path_around_the_source_is_held_at_zero() -> None:
    model = Everything()
    path = affine(traced(model), "right", "norm")
    value = values(1, 4, 7, 11)
    assert not path.complete
    with torch.no_grad():
        expected = model.norm(torch.cat([torch.zeros(1, 3, 7, 11, dtype=torch.float64), value], 1))
    assert torch.equal(path.module(value), expected)


def test_the_identity_path_of_an_addition_is_held_at_zero() -> None:
    model = Everything()
    path = affine(traced(model), "body", "add")
    value = values(1, 7, 5, 5)
    assert torch.allclose(path.module(value), value * 3)
    assert not path.complete


@pytest.mark.parametrize("dilation", [1, 2])
def test_max_pool_becomes_the_mean_or_the_sum_of_its_window(dilation: int) -> None:
    model = nn.Sequential(nn.Identity(), nn.MaxPool2d(3, 2, 1, dilation))
    graph = traced(model.append(nn.Conv2d(3, 2, 1)))
    value = values(1, 3, 17, 19)
    window = value[:, :, 3 : 3 + 2 * dilation + 1 : dilation, 5 : 5 + 2 * dilation + 1 : dilation]
    mean = affine(graph, "input", "1").module(value)[:, :, 2, 3]
    total = affine(graph, "input", "1", COPIED_POOLS).module(value)[:, :, 2, 3]
    assert torch.allclose(mean, window.mean((2, 3)))
    assert torch.allclose(total, window.sum((2, 3)))


def test_a_gate_is_open() -> None:
    model = Gated()
    path = affine(traced(model), "input", "mul")
    value = values(1, 3, *SIZE)
    assert torch.equal(path.module(value), model.conv(value))
    assert path.rules == ("gate -> open",)


def test_reach_counts_cells_of_the_source() -> None:
    path = affine(traced(Everything()), "stem", "body")
    assert path.reach is not None
    assert (path.reach[0].scale, path.reach[0].low, path.reach[0].high) == (2, -4, 6)


class Product(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 5, 1)
        self.b = nn.Conv2d(3, 5, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.a(x) * self.b(x)


def test_an_op_without_a_rule_is_named_and_a_rule_helps() -> None:
    model = Product()
    graph = traced(model)
    with pytest.raises(
        BadValue, match=r"goes through 'mul' \(multiply\), which no rule makes affine. Choose two layers"
    ):
        affine(graph, "input", "mul")
    own = Rule("product -> first factor", lambda op: op.kind == "multiply", lambda op: nn.Identity())
    value = values(1, 3, *SIZE)
    assert torch.equal(affine(graph, "input", "mul", (own, *RULES)).module(value), model.a(value))


def test_wrong_order_and_unknown_layers() -> None:
    graph = traced(Everything())
    with pytest.raises(BadValue, match=r"stem does not depend on body. Name a layer that stands after body"):
        affine(graph, "body", "stem")
    with pytest.raises(BadValue, match="right does not depend on left"):
        affine(graph, "left", "right")
    with pytest.raises(BadAddress, match="There is no layer 'boddy'"):
        affine(graph, "input", "boddy")


def test_batch_statistics_are_refused() -> None:
    model = nn.Sequential(nn.Conv2d(3, 5, 1), nn.BatchNorm2d(5, track_running_stats=False))
    with pytest.raises(BadValue, match="batchnorm"):
        affine(traced_without_init(model), "input", "1")


def traced_without_init(model: nn.Module) -> LayerGraph:
    return trace(model.double().eval(), Card("test", size=SIZE))
