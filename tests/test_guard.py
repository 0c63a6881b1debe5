from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from micrographia.model.card import Card
from micrographia.model.trace import trace
from tests.guard import Guard


def model() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.ReLU(inplace=True))


def _train(net: nn.Sequential) -> None:
    net(torch.randn(2, 3, 7, 7))


def _grad(net: nn.Sequential) -> None:
    net.eval()(torch.randn(2, 3, 7, 7)).sum().backward()
    net.train()


CHANGES: dict[str, Callable[[nn.Sequential], object]] = {
    "a weight": lambda net: net[0].weight.data.add_(1e-6),
    "a weight through numpy": lambda net: net[0].weight.detach().numpy().__setitem__((0, 0, 0, 0), 5),
    "running statistics": _train,
    "a gradient": _grad,
    "requires_grad": lambda net: net[0].bias.requires_grad_(False),
    "the training flag": lambda net: net[1].eval(),
    "in-place": lambda net: setattr(net[2], "inplace", False),
    "a forward hook": lambda net: net[0].register_forward_hook(lambda *_: None),
    "a forward pre-hook": lambda net: net.register_forward_pre_hook(lambda *_: None),
    "a backward hook": lambda net: net[2].register_full_backward_hook(lambda *_: None),
    "a tensor's hook": lambda net: net[0].weight.register_hook(lambda g: g),
    "an attribute": lambda net: setattr(net[0], "was_inplace", True),
    "a module's type": lambda net: net.__setitem__(2, nn.Identity()),
    "a new parameter": lambda net: setattr(net[0], "weight", nn.Parameter(net[0].weight.detach())),
    "the type of number": lambda net: net.double(),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_every_change_is_seen_once(change: Callable[[nn.Sequential], object]) -> None:
    guard, net = Guard(), model()
    guard.watch(net)
    assert guard.differences() == []
    change(net)
    assert guard.differences()
    assert guard.differences() == []


def test_a_second_watch_does_not_forgive() -> None:
    guard, net = Guard(), model()
    guard.watch(net)
    net.eval()
    guard.watch(net)
    assert guard.differences()


def test_traced_models_are_watched(guard: Guard) -> None:
    net = model()
    trace(net, Card("x", size=(7, 7)))
    assert guard.differences() == []
    net.eval()
    assert any("training" in line for line in guard.differences())


def test_models_that_are_gone_are_forgotten() -> None:
    guard = Guard()
    guard.watch(model())
    assert guard.differences() == []
    assert not guard._seen
