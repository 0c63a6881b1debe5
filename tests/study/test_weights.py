from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from micrographia.errors import BadAddress, BadValue
from micrographia.model.card import Card
from micrographia.model.graph import LayerGraph
from micrographia.model.trace import trace
from micrographia.study import weights as module
from micrographia.study.weights import composed, expanded

SIZE = (61, 67)


class Network(nn.Module):
    """A stem, a block of branches, residual units and a head; `bare` without rectifiers and with average pooling."""

    def __init__(self, bare: bool = False) -> None:
        super().__init__()
        self.act: Callable[[Tensor], Tensor] = nn.Identity() if bare else nn.ReLU()
        pool = (lambda k, s, p: nn.AvgPool2d(k, s, p, count_include_pad=False)) if bare else nn.MaxPool2d
        self.stem = nn.Conv2d(3, 7, 5, stride=2, padding=2)
        self.norm = nn.BatchNorm2d(7)
        self.pool = pool(3, 2, 1)
        self.one = nn.Conv2d(7, 3, 1)
        self.narrow = nn.Conv2d(7, 2, 1)
        self.five = nn.Conv2d(2, 5, 5, padding=2)
        self.side = pool(3, 1, 1)
        self.reduce = nn.Conv2d(7, 2, 1)
        self.depthwise = nn.Conv2d(10, 20, 3, padding=1, groups=10)
        self.grouped = nn.Conv2d(20, 10, (1, 3), padding=(0, 1), groups=5)
        self.strided = nn.Conv2d(10, 11, 2, stride=2, padding=1, dilation=2)
        self.mean = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(11, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.act(self.norm(self.stem(x))))
        x = torch.cat([self.one(x), self.act(self.five(self.act(self.narrow(x)))), self.reduce(self.side(x))], 1)
        x = x + self.grouped(self.act(self.depthwise(x)))
        x = self.strided(x)
        return self.head(torch.flatten(self.mean(x), 1))


def make(bare: bool = False) -> Network:
    torch.manual_seed(3)
    model = Network(bare)
    nn.init.normal_(model.norm.running_mean)
    nn.init.uniform_(model.norm.running_var, 0.5, 2)
    nn.init.normal_(model.norm.weight)
    return model.double().eval()


@pytest.fixture(scope="module")
def graph() -> LayerGraph:
    return trace(make(), Card("test", size=SIZE))


@pytest.fixture(scope="module")
def bare() -> LayerGraph:
    return trace(make(bare=True), Card("test", size=SIZE))


PAIRS = [
    ("input", "stem"), ("stem", "pool"), ("pool", "concat"), ("input", "concat"), ("concat", "add"),
    ("concat", "depthwise"), ("narrow", "five"), ("pool", "strided"), ("input", "strided"), ("norm", "strided"),
]  # fmt: skip


def replica(bare: LayerGraph, src: str, dst: str) -> tuple[Tensor, tuple[int, int]]:
    """What a middle cell of dst makes of an impulse at each cell of src: out x in x height x width, and that cell."""
    run = bare.between(src, dst)
    channels, rows, columns = bare.layer(src).shape
    _, height, width = bare.layer(dst).shape
    place = (height // 2, width // 2)
    with torch.no_grad():
        zero = run(torch.zeros(1, channels, rows, columns, dtype=torch.float64))[dst]
        impulses = torch.eye(rows * columns, dtype=torch.float64).view(-1, rows, columns)
        found = []
        for channel in range(channels):
            pushed = torch.zeros(rows * columns, channels, rows, columns, dtype=torch.float64)
            pushed[:, channel] = impulses
            found.append((run(pushed)[dst] - zero)[:, :, place[0], place[1]].T.reshape(-1, rows, columns))
    return torch.stack(found, 1), place


@pytest.mark.parametrize(("src", "dst"), [p for p in PAIRS if p[0] not in ("input", "stem", "norm")])
def test_kernels_are_the_impulse_responses(graph: LayerGraph, bare: LayerGraph, src: str, dst: str) -> None:
    expected, place = replica(bare, src, dst)
    found = expanded(graph, src, dst)
    assert found.stride is not None
    top, left = (s * p + o for s, p, o in zip(found.stride, place, found.offset, strict=True))
    rows, columns = found.kernels.shape[2:]
    window = expected[:, :, top : top + rows, left : left + columns].numpy()
    assert window.shape == found.kernels.shape
    np.testing.assert_allclose(found.kernels, window, rtol=0, atol=1e-12)
    # nothing was cropped away
    assert abs(np.abs(found.kernels).sum() - expected.abs().sum()) < 1e-9


@pytest.mark.parametrize(("src", "dst"), PAIRS)
def test_kernels_and_bias_are_the_affine_map(graph: LayerGraph, bare: LayerGraph, src: str, dst: str) -> None:
    found = expanded(graph, src, dst)
    picture = torch.randn(2, 3, 107, 109, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    seen = bare.upto([src, dst])(picture)
    # the first cell of dst whose window lies wholly inside src: from there on no padding is seen
    cell = [max(0, -(o // s)) for o, s in zip(found.offset, found.stride, strict=True)]
    top, left = (s * i + o for s, i, o in zip(found.stride, cell, found.offset, strict=True))
    kernels, bias = torch.from_numpy(found.kernels), torch.from_numpy(found.bias)
    ours = torch.conv2d(seen[src][:, :, top:, left:], kernels, bias, found.stride)
    theirs = seen[dst][:, :, cell[0] : cell[0] + ours.shape[2], cell[1] : cell[1] + ours.shape[3]]
    assert ours.shape == theirs.shape
    assert torch.allclose(ours, theirs, rtol=0, atol=1e-10)


def test_adjacent_convolutions_equal_the_kernel(graph: LayerGraph) -> None:
    model = make()
    assert np.array_equal(expanded(graph, "narrow", "five").kernels, model.five.weight.detach().numpy())
    assert np.array_equal(expanded(graph, "five", "concat", [3, 7]).kernels[:, :, 0, 0], np.eye(5)[[0, 4]])
    strided = expanded(graph, "add", "strided")
    assert np.array_equal(strided.kernels[:, :, ::2, ::2], model.strided.weight.detach().numpy())
    assert (strided.stride, strided.offset) == ((2, 2), (-1, -1))
    assert not strided.kernels[:, :, 1::2].any()


def test_a_batch_norm_that_follows_is_part_of_the_kernel(graph: LayerGraph) -> None:
    model = make()
    scale = (model.norm.weight / (model.norm.running_var + model.norm.eps).sqrt()).detach()
    expected = model.stem.weight.detach() * scale[:, None, None, None]
    np.testing.assert_allclose(expanded(graph, "input", "norm").kernels, expected.numpy(), rtol=0, atol=1e-14)


def test_groups_are_zero_outside_and_equal_inside(graph: LayerGraph) -> None:
    model = make()
    found = expanded(graph, "depthwise", "grouped").kernels
    dense = np.zeros_like(found)
    for out in range(10):
        dense[out, out // 2 * 4 : out // 2 * 4 + 4] = model.grouped.weight[out].detach().numpy()
    assert np.array_equal(found, dense)


def test_a_bottleneck_is_the_product(graph: LayerGraph) -> None:
    model = make()
    expected = torch.einsum("obhw,bi->oihw", model.five.weight, model.narrow.weight[:, :, 0, 0]).detach().numpy()
    found = expanded(graph, "pool", "five")
    np.testing.assert_allclose(found.kernels, expected, rtol=0, atol=1e-14)
    assert found.rules == ("ReLU -> identity",)
    np.testing.assert_allclose(
        expanded(graph, "pool", "concat", range(3, 8)).kernels, expected, rtol=0, atol=1e-14
    )  # fmt: skip


@pytest.mark.parametrize(
    ("a", "b", "c"), [("input", "stem", "pool"), ("stem", "pool", "concat"), ("pool", "concat", "strided"),
                      ("input", "pool", "strided"), ("concat", "add", "strided")]
)  # fmt: skip
def test_composition_equals_the_direct_expansion(graph: LayerGraph, a: str, b: str, c: str) -> None:
    steps = composed(expanded(graph, a, b), expanded(graph, b, c))
    whole = expanded(graph, a, c)
    assert (steps.stride, steps.offset, set(steps.rules)) == (whole.stride, whole.offset, set(whole.rules))
    np.testing.assert_allclose(steps.kernels, whole.kernels, rtol=0, atol=1e-12)
    np.testing.assert_allclose(steps.bias, whole.bias, rtol=0, atol=1e-12)


def test_units_in_any_order_and_chunks_of_one(graph: LayerGraph) -> None:
    whole = expanded(graph, "pool", "strided")
    some = expanded(graph, "pool", "strided", units=[7, 2, 7], work_bytes=1)
    assert some.units == (7, 2, 7)
    assert some.offset == whole.offset
    np.testing.assert_allclose(some.kernels, whole.kernels[[7, 2, 7]], rtol=0, atol=1e-13)


def test_one_branch_is_cropped_to_its_own_support(graph: LayerGraph) -> None:
    whole = expanded(graph, "pool", "concat")
    one = expanded(graph, "pool", "concat", units=range(3))
    assert whole.kernels.shape == (10, 7, 5, 5)
    assert one.kernels.shape == (3, 7, 1, 1)
    assert (whole.offset, one.offset) == ((-2, -2), (0, 0))
    assert np.array_equal(whole.kernels[:3, :, 2:3, 2:3], one.kernels)


def test_the_classifier_reads_the_whole_map(graph: LayerGraph) -> None:
    model = make()
    found = expanded(graph, "strided", "head")
    _, height, width = graph.layer("strided").shape
    assert found.kernels.shape == (4, 11, height, width)
    assert found.stride is None
    spread = np.broadcast_to(
        model.head.weight.detach().numpy()[:, :, None, None] / (height * width), found.kernels.shape
    )
    np.testing.assert_allclose(found.kernels, spread, rtol=0, atol=1e-14)
    assert np.array_equal(expanded(graph, "flatten", "head").kernels[:, :, 0, 0], model.head.weight.detach().numpy())


def test_a_path_around_the_source_is_said(graph: LayerGraph) -> None:
    assert not expanded(graph, "depthwise", "add").complete
    assert expanded(graph, "concat", "add").complete
    # 10 channels over themselves and through the block
    through = composed(expanded(graph, "concat", "depthwise"), expanded(graph, "depthwise", "add"))
    whole = expanded(graph, "concat", "add").kernels.copy()
    whole[np.arange(10), np.arange(10), 1, 2] -= 1
    np.testing.assert_allclose(through.kernels, whole, rtol=0, atol=1e-13)


def test_nothing_is_left_on_the_model() -> None:
    model = make()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    graph = trace(model, Card("test", size=SIZE))
    with torch.inference_mode():
        expanded(graph, "stem", "concat")
    assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_wrong_units_and_too_much_memory(graph: LayerGraph, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadAddress, match=r"concat has no unit 10. Its 10 units are concat:0 to concat:9"):
        expanded(graph, "pool", "concat", units=[3, 10])
    with pytest.raises(BadValue, match="Name at least one of 0 to 9"):
        expanded(graph, "pool", "concat", units=[])
    with pytest.raises(BadValue, match="stem does not depend on concat"):
        expanded(graph, "concat", "stem")
    with pytest.raises(BadValue, match="do not lead on to weights from"):
        composed(expanded(graph, "pool", "concat", [1, 2]), expanded(graph, "concat", "add"))
    monkeypatch.setattr(module, "RESULT_BYTES", 7 * 5 * 5 * 8 * 3)
    with pytest.raises(BadValue, match=r"would take .* GiB. Name fewer units, for example concat:0-2"):
        expanded(graph, "pool", "concat")
    assert expanded(graph, "pool", "concat", units=[0, 1, 2]).norms.shape == (3, 7)
