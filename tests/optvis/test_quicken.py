"""quicken and narrowed: the same values and gradients in faster operations, and no more than what is read."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from micrographia.model.fold import fold
from micrographia.model.graph import LayerGraph
from micrographia.optvis.narrow import narrowed, supplier
from micrographia.optvis.network import converted
from micrographia.optvis.objective import Channel, Neuron, WholeLayer
from micrographia.optvis.quicken import quicken
from micrographia.optvis.relu import redirect


class Plan(nn.Module):
    """Every pattern that is made faster: stems with and without padding, ReLUs before poolings, 1x1, a norm."""

    def __init__(self, kernel: int, stride: int, padding: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, kernel, stride, padding)
        self.pool = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.norm = nn.LocalResponseNorm(3, 0.5, 0.75)
        self.point = nn.Conv2d(6, 5, 1)
        self.last = nn.Conv2d(5, 4, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(F.relu(self.stem(x)))
        return F.relu(self.last(F.relu(self.point(self.norm(x)))))


def gradient(run: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
    leaf = images.clone().requires_grad_(True)
    value = run(leaf)
    value = value if isinstance(value, Tensor) else next(iter(value.values()))
    outer = torch.linspace(-1, 1, value.numel(), dtype=value.dtype).view(value.shape)
    return value.detach(), torch.autograd.grad(-(value * outer).sum(), leaf)[0]


@pytest.mark.parametrize("plan", [(7, 2, 3), (5, 2, 0), (11, 4, 2), (3, 3, 1)], ids=str)
@pytest.mark.parametrize("redirected", [False, True], ids=["plain", "redirected"])
def test_values_and_gradients_stay(plan: tuple[int, int, int], redirected: bool) -> None:
    torch.manual_seed(0)
    module = converted(fold(fx.symbolic_trace(Plan(*plan).eval())), torch.float32, None)
    images = torch.randn(2, 3, 41, 38).contiguous(memory_format=torch.channels_last)
    own = redirect(module) if redirected else module
    quick = quicken(own)
    names = [type(each).__name__ for each in quick.modules()]
    assert {"Stem", "Pointwise", "Norm", "Pool"} <= set(names)
    slow = copy.deepcopy(own).double()
    for found, expected in zip(gradient(quick, images), gradient(slow, images.double()), strict=True):
        torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-5)


class Branches(nn.Module):
    """What an inception block has: convolutions of one cell that read one value, one of them without a ReLU."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.three = nn.Conv2d(5, 7, 1), nn.Conv2d(5, 3, 1, bias=False), nn.Conv2d(5, 4, 1)
        self.pool = nn.MaxPool2d(3, 1, 1)
        self.reduced = nn.Conv2d(5, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        after = F.max_pool2d(F.relu(self.three(x)), 2, 2, ceil_mode=True)
        parts = [F.relu(self.one(x)), self.two(x), F.relu(self.reduced(self.pool(x)))]
        return torch.cat([F.max_pool2d(each, 2, 2, ceil_mode=True) for each in parts] + [after], 1)


@pytest.mark.parametrize("redirected", [False, True], ids=["plain", "redirected"])
def test_convolutions_that_read_one_value_are_done_together(redirected: bool) -> None:
    torch.manual_seed(0)
    module = converted(fx.symbolic_trace(Branches().eval()), torch.float32, None)
    images = torch.randn(3, 5, 9, 7)
    images[1] = 0  # and one picture that hardly wakes anything
    own = redirect(module) if redirected else module
    quick = quicken(own)
    groups = [len(each.floors) for each in quick.modules() if type(each).__name__ == "Pointwise"]
    assert sorted(groups) == [1, 3]
    slow = copy.deepcopy(own).double()
    for found, expected in zip(gradient(quick, images), gradient(slow, images.double()), strict=True):
        torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("ceil", [False, True])
@pytest.mark.parametrize("plan", [(2, 2, 0), (3, 2, 1), (3, 2, 0), (3, 3, 1), (2, 1, 1)])
def test_poolings_have_as_many_windows_as_torchs(plan: tuple[int, int, int], ceil: bool) -> None:
    for size in range(3, 12):
        module = fx.symbolic_trace(nn.Sequential(nn.MaxPool2d(*plan, ceil_mode=ceil)))
        images = torch.randn(1, 2, size, 13)
        assert torch.equal(quicken(module)(images), module(images))


def test_the_stem_in_bfloat16_is_as_near_as_bfloat16_is() -> None:
    torch.manual_seed(0)
    module = converted(fx.symbolic_trace(nn.Sequential(nn.Conv2d(3, 8, 7, 2, 3))), torch.bfloat16, None)
    images = torch.randn(2, 3, 37, 41).bfloat16().contiguous(memory_format=torch.channels_last)
    for found, expected in zip(gradient(quicken(module), images), gradient(module, images), strict=True):
        torch.testing.assert_close(found, expected, rtol=0.02, atol=0.05 * float(expected.abs().max()))


def test_only_what_is_read_is_computed(small: LayerGraph) -> None:
    assert supplier(small, "concat", (13, 15)) == ("three", (1, 3))
    assert supplier(small, "concat", (0, 47)) == ("concat", (0, 47))
    images = torch.randn(2, 3, 88, 88, generator=torch.Generator().manual_seed(0))
    whole = small.upto("concat")(images)["concat"]
    name, channels = supplier(small, "concat", (33, 38))
    part = narrowed(fold(small.upto(name)), {name: channels})
    torch.testing.assert_close(part(images)[name], whole[:, [33, 38]], rtol=1e-4, atol=1e-5)
    assert not any("reduced" in str(node.target) or "one" in str(node.target) for node in part.graph.nodes)
    late = narrowed(fold(small.upto("concat")), {"concat": (0, 47)})(images)["concat"]
    torch.testing.assert_close(late, whole[:, [0, 47]], rtol=1e-4, atol=1e-5)


def test_objectives_say_which_channels_they_read() -> None:
    joint = Channel("a", 3) + 0.5 * Neuron("a", 1) - Channel("b", 2)
    assert joint.channels("a") == {1, 3}
    assert joint.channels("b") == {2}
    assert (joint + WholeLayer("b")).channels("b") is None
    assert (joint + WholeLayer("b")).channels("a") == {1, 3}
