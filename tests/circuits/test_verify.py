"""The measure of a circuit, its areas and intervals, and a verdict that a random network seldom gets."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from micrographia.circuits.chain import chain
from micrographia.circuits.controls import Plan, magnitude_only, other_networks
from micrographia.circuits.extract import extract, joined, links_of
from micrographia.circuits.faithful import (
    Draws,
    area,
    better_p,
    faithfulness,
    interval,
    jaccard,
    mean_interval,
    recovered,
)
from micrographia.circuits.masked import kept, nothing
from micrographia.circuits.planted import card_of, null_network, stimuli, written
from micrographia.circuits.probe import ablated, probe, target
from micrographia.circuits.untrained import moments, untrained
from micrographia.circuits.verdict import halves, supported
from micrographia.circuits.verify import verify
from micrographia.errors import BadValue
from micrographia.model.trace import trace


def test_faithfulness_is_one_for_the_whole_and_zero_for_nothing() -> None:
    whole, empty = np.array([1.0, 4.0, 2.0]), np.array([0.5, 0.5, 0.5])
    assert faithfulness(whole, whole, empty) == 1
    assert faithfulness(whole, empty, empty) == 0
    assert faithfulness(whole, 2 * whole, empty) < 0
    # errors that cancel recover the mean but nothing of the variation
    assert recovered(whole, whole[::-1], empty) == pytest.approx(1)
    assert faithfulness(whole, whole[[1, 0, 2]], empty) < 0


def test_areas_and_overlaps_by_hand() -> None:
    assert area([1, 2, 8], [0.0, 1.0, 1.0]) == pytest.approx((0.5 * 1 + 1 * 2) / 3)
    assert area([7], [0.4]) == pytest.approx(0.4)
    assert jaccard(frozenset("abc"), frozenset("bcd")) == pytest.approx(0.5)


def test_intervals_keep_the_windows_of_a_picture_together() -> None:
    values = np.repeat([0.0, 1.0], 8)
    apart = mean_interval(values, range(16))
    together = mean_interval(values, [0] * 8 + [1] * 8)
    assert together.low == 0
    assert together.high == 1
    assert apart.high - apart.low < 0.6
    whole = np.random.default_rng(0).normal(size=20)
    found = interval(whole, whole * 0.9, np.zeros(20), range(20))
    assert found.low == pytest.approx(found.value) == pytest.approx(0.99)
    assert better_p(whole, whole * 0.9, whole * 0.5, range(20)) < 0.01
    assert better_p(whole, whole * 0.5, whole * 0.9, range(20)) == 1


def test_an_untrained_copy_fires_as_the_network_does() -> None:
    graph, images = null_network(3), stimuli(6)
    wanted = moments(graph, "conv3", images)
    other = untrained(graph, "conv3", images, wanted, seed=1)
    found = moments(other, "conv3", images)
    assert list(found) == ["conv1.conv", "conv2.conv", "conv3.conv"]
    for name, (mean, spread) in wanted.items():
        assert found[name] == pytest.approx((mean, spread), rel=1e-3, abs=1e-4)
        # the same weights in another order, but for the gain of the layer
        own, theirs = (each.module.get_parameter(f"{name}.weight") for each in (graph, other))
        gain = theirs.norm() / own.norm()
        assert torch.allclose(theirs.flatten().sort()[0], gain * own.flatten().sort()[0], atol=1e-5)
        assert not torch.allclose(theirs, gain * own)
    assert other.fingerprint != graph.fingerprint


class Normed(nn.Module):
    """A convolution with a batch norm behind it, one beside a shortcut, and a batch norm that follows no convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(3, 5, 3, padding=1, bias=False), nn.BatchNorm2d(5)
        self.second, self.lone = nn.Conv2d(5, 5, 3, padding=1), nn.BatchNorm2d(5)
        self.third = nn.Conv2d(5, 2, 1)
        for norm in (self.norm, self.lone):
            norm.running_mean = torch.randn(5)
            norm.running_var = torch.rand(5) + 0.5
            nn.init.uniform_(norm.weight, 0.5, 1.5)
            nn.init.normal_(norm.bias)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        read = torch.relu(self.norm(self.first(images)))
        return self.third(torch.relu(self.lone(self.second(read) + read)))


def test_a_batch_norm_is_dealt_out_with_its_convolution() -> None:
    torch.manual_seed(0)
    graph, images = trace(Normed().eval(), card_of("normed")), stimuli(4)
    wanted = moments(graph, "third", images)
    assert list(wanted) == ["norm", "second", "lone", "third"]
    other = untrained(graph, "third", images, wanted, seed=1)
    for name, each in moments(other, "third", images).items():
        assert each == pytest.approx(wanted[name], rel=1e-3, abs=1e-4)
    first, norm = (graph.module.get_submodule(name) for name in ("first", "norm"))
    folded = first.weight * (norm.weight / (norm.running_var + norm.eps).sqrt())[:, None, None, None]
    theirs = other.module.get_parameter("first.weight")
    gain = theirs.norm() / folded.norm()
    assert torch.allclose(theirs.flatten().sort()[0], gain * folded.flatten().sort()[0], atol=1e-5)
    value = torch.randn(1, 5, 7, 7)
    assert torch.allclose(other.module.get_submodule("norm")(value), value, atol=1e-6)


def test_a_sum_over_a_draw_is_that_of_its_pictures() -> None:
    rng, pictures = np.random.default_rng(1), [0, 0, 3, 3, 3, 7]
    draws, values = Draws(pictures, seed=5, count=50), rng.normal(size=6)
    chosen = np.random.default_rng(5).integers(3, size=(50, 3))
    names = np.array([0, 3, 7])
    slow = [sum(values[np.array(pictures) == names[i]].sum() for i in row) for row in chosen]
    assert np.allclose(draws.sums(values), slow)


def test_the_largest_weights_make_as_large_a_circuit() -> None:
    planted = written("curve")
    flow = probe(planted.graph, chain(planted.graph, "conv3", 3), target(planted.graph, "conv3:0"), stimuli(8))
    links = links_of(extract(planted.graph, flow, ablated(flow)), 21)
    chosen = magnitude_only(planted.graph, flow, links, "edge")
    assert chosen == joined(chosen, 3)
    assert len(chosen) == len(links)


def test_the_planted_circuit_does_what_the_network_does() -> None:
    planted = written("union over cases")
    flow = probe(planted.graph, chain(planted.graph, "conv3", 3), target(planted.graph, "conv3:0"), stimuli(12))
    gone = ablated(flow)
    links = links_of(extract(planted.graph, flow, gone), len(planted.edges))
    assert faithfulness(flow.values.numpy(), kept(flow, links, gone).numpy(), nothing(flow, gone).numpy()) > 0.98


def test_untrained_networks_stop_where_the_circuit_has_lost() -> None:
    graph = null_network(5)
    pair = halves(stimuli(8), 0, 4)
    plan = Plan(depth=1, size=3)
    values, p = other_networks(graph, target(graph, "conv3:1"), pair, plan, -9.0, 19, 0, lambda count: None)
    assert len(values) == 3
    assert p == 1
    values, p = other_networks(graph, target(graph, "conv3:1"), pair, plan, 2.0, 4, 0, lambda count: None)
    assert len(values) == 4
    assert p == pytest.approx(0.2)


@pytest.mark.long
def test_a_written_circuit_is_supported_or_as_good_as_its_weights() -> None:
    planted = written("union over cases")
    plan = Plan(size=len(planted.edges))
    found = verify(
        planted.graph, target(planted.graph, "conv3:0"), stimuli(48), plan, randoms=19, pictures=8
    ).verification
    assert found.faithfulness.value > 0.95
    assert found.completeness > 0.95
    assert found.needed > 0.9
    assert min(found.overlap) > 0.9
    assert found.cpr == pytest.approx(1 - found.cmd, abs=0.2)
    assert [name for name, _, _ in found.table] == ["zero", "mean", "resample", "shuffle"]
    assert found.same_as_magnitude
    assert {each.what for each in found.findings} == {
        "beats random circuits of equal size", "beats the largest weights", "beats untrained networks",
    }  # fmt: skip
    assert found.supported == (found.p <= 0.05)
    again = supported(planted.graph, target(planted.graph, "conv3:0"), stimuli(48), plan, 19, 19, 8)
    assert again == found.supported


@pytest.mark.parametrize(
    ("options", "count", "said"),
    [({"networks": 5}, 8, "5 controls cannot give a p-value of 0.05."), ({}, 3, "3 pictures cannot be shared out")],
)
def test_too_little_to_test_with_is_refused(options: dict, count: int, said: str) -> None:
    graph = null_network(0)
    with pytest.raises(BadValue) as caught:
        verify(graph, target(graph, "conv3:0"), stimuli(count), **options)
    assert said in str(caught.value)
