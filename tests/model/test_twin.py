from __future__ import annotations

from collections import OrderedDict, namedtuple

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from micrographia.model.twin import floating_type, hooked, twin
from tests.guard import Guard
from tests.networks import NETWORKS, seeded


@pytest.mark.parametrize("name", NETWORKS)
def test_a_twin_computes_the_same_from_the_same_memory(name: str) -> None:
    guard, net = Guard(), seeded(NETWORKS[name])
    guard.watch(net)
    other = twin(net)
    for path, weight in net.named_parameters():
        own = other.get_parameter(path)
        assert own.data_ptr() == weight.data_ptr()
        assert own is not weight
        assert not own.requires_grad
    for path, buffer in net.named_buffers():
        assert torch.equal(other.get_buffer(path), buffer)
        assert other.get_buffer(path).data_ptr() != buffer.data_ptr()
    assert not any(module.training for module in other.modules())
    mine = {id(module) for module in net.modules()}
    assert not mine & {id(module) for module in other.modules()}
    exact = twin(net, in_place=True)
    x = torch.randn(1, 3, 23, 19, dtype=torch.float64)
    with torch.no_grad():
        ours, theirs = exact(x.clone()), net(x.clone())
    if isinstance(ours, Tensor):
        assert torch.equal(ours, theirs)
    other.train().requires_grad_(True)
    assert guard.differences() == []


def test_in_place_is_torchs_own_modules_only() -> None:
    class Mine(nn.Module):
        inplace = True

    net = nn.Sequential(nn.ReLU(inplace=True), Mine(), nn.Dropout(inplace=True))
    assert [module.inplace for module in twin(net)] == [False, True, False]
    assert [module.inplace for module in twin(net, in_place=True)] == [True, True, True]
    assert [module.inplace for module in net] == [True, True, True]


def test_what_is_shared_stays_shared() -> None:
    net = nn.Module()
    net.one = nn.Linear(2, 3)
    net.two = net.one
    net.three = nn.Linear(2, 3)
    net.three.weight = net.one.weight
    other = twin(net)
    assert other.two is other.one
    assert other.three.weight is other.one.weight
    assert list(other.state_dict()) == list(net.state_dict())


def test_plain_attributes_are_the_twins_own() -> None:
    Pair = namedtuple("Pair", "left right")
    net = nn.Module()
    net.known = nn.Linear(2, 3)
    net.log, net.options, net.table = [1, [2]], {"a": 1}, torch.ones(3)
    net.pair = Pair(net.known, nn.ReLU())
    net.ordered = OrderedDict(last=nn.Tanh(), again=net.known)
    net.method = net.known.forward
    net.__dict__["hidden"] = nn.Linear(3, 2)
    net.names = {"x", "y"}
    other = twin(net)
    other.log[1].append(3)
    other.options["a"] = 2
    other.table += 1
    other.names.add("z")
    assert (net.log, net.options, net.table.tolist(), net.names) == ([1, [2]], {"a": 1}, [1, 1, 1], {"x", "y"})
    assert isinstance(other.pair, Pair)
    assert other.pair.left is other.ordered["again"] is other.known is other.method.__self__
    assert other.pair.right is not net.pair.right
    names = [name for name, _ in other.named_modules()]
    assert names == ["", "known", "pair.1", "ordered.last", "hidden"]
    assert list(net._modules) == ["known"]
    assert [name for name, _ in twin(other).named_modules()] == names


def test_hooks_stay_behind_but_computed_weights_do_not() -> None:
    net = nn.Sequential(nn.Linear(2, 3), parametrizations.spectral_norm(nn.Linear(3, 3)))
    assert not any(map(hooked, net.modules()))
    net[0].register_forward_hook(lambda *_: torch.zeros(3))
    net.register_forward_pre_hook(lambda *_: None)
    net[1].register_full_backward_hook(lambda *_: None)
    assert hooked(net)
    assert hooked(net[0])
    other = twin(net)
    assert not any(map(hooked, other.modules()))
    assert not any(module._backward_hooks for module in other.modules())
    x = torch.randn(5, 2)
    net.eval()
    assert torch.equal(other(x), net[1](nn.functional.linear(x, net[0].weight, net[0].bias)))
    assert torch.equal(other[1].weight, net[1].weight)


def test_floating_type() -> None:
    assert floating_type(nn.Linear(2, 3).double())[0] == torch.float64
    net = nn.Module()
    net.register_buffer("counts", torch.zeros(3, dtype=torch.int64))
    net.register_buffer("table", torch.zeros(3, dtype=torch.bfloat16))
    assert floating_type(net) == (torch.bfloat16, torch.device("cpu"))
    assert floating_type(nn.ReLU()) == (torch.float32, torch.device("cpu"))
