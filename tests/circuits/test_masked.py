"""Keeping everything is the network, removing nothing too, and what is kept or removed is what a slow replica says."""

from __future__ import annotations

from collections import Counter
from functools import partial
from itertools import product

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from micrographia.circuits.chain import chain
from micrographia.circuits.extract import extract, joined, links_of, relabelled, select, size_of
from micrographia.circuits.masked import TARGET, Link, kept, nothing, removed
from micrographia.circuits.paths import Paths
from micrographia.circuits.probe import ABLATIONS, Probe, ablated, probe, target
from micrographia.circuits.score import Scores, StageScores, score
from micrographia.errors import BadValue
from micrographia.model.capture import capture
from micrographia.model.edit import Ablate
from micrographia.model.graph import LayerGraph
from micrographia.model.patch import run
from micrographia.study.weights import expanded
from tests.circuits.test_chain import Branched, conv, pictures, traced


@pytest.fixture(scope="module")
def graph() -> LayerGraph:
    return traced(Branched())


@pytest.fixture(scope="module")
def found(graph: LayerGraph) -> Probe:
    return probe(graph, chain(graph, "last", 3), target(graph, "last:2"), pictures(4))


def every(found: Probe) -> list[Link]:
    channels, depth = found.chain.channels, len(found.chain.stages)
    return [
        Link(stage, unit, source)
        for stage in range(1, depth + 1)
        for unit in (range(channels[stage]) if stage < depth else [TARGET])
        for source in range(channels[stage - 1])
    ]


@pytest.mark.parametrize("kind", ABLATIONS)
def test_keeping_everything_is_the_network(found: Probe, kind: str) -> None:
    gone = ablated(found, kind, 3)
    assert torch.allclose(kept(found, every(found), gone), found.values, atol=1e-10)
    assert torch.equal(removed(found, [], gone), found.values)
    assert torch.equal(kept(found, [], gone), nothing(found, gone))
    assert torch.allclose(removed(found, every(found), gone), nothing(found, gone), atol=1e-10)


def test_values_are_the_pre_activation_of_the_network(graph: LayerGraph, found: Probe) -> None:
    # the value before the last rectifier, which the trace names by the norm in front of it
    values = capture(graph, pictures(4), "last.1")["last.1"][:, 2]
    for window, (row, column) in enumerate(found.cells):
        assert torch.isclose(found.values[window], values[found.pictures[window], row, column])


def test_the_first_window_of_a_picture_is_the_best_one(graph: LayerGraph, found: Probe) -> None:
    values = capture(graph, pictures(4), "last.1")["last.1"][:, 2]
    assert torch.allclose(found.values[::2], values.flatten(1).max(1).values)


def test_windows_give_what_whole_maps_give() -> None:
    graph = traced(nn.Sequential(*(conv(a, b) for a, b in ((3, 4), (4, 5), (5, 4)))))
    wide = torch.rand(3, 3, 41, 43, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    layers = chain(graph, "2", 2)
    cut = probe(graph, layers, target(graph, "2:1"), wide)
    assert cut.reads[0].shape[2:] == (5, 5)
    whole = capture(graph, wide, "2.0")["2.0"][:, 1]
    inside = whole[:, 2:-2, 2:-2]
    assert torch.allclose(cut.values[::2], inside.flatten(1).max(1).values)


def test_zero_ablation_of_all_edges_of_a_unit_is_that_of_the_unit(graph: LayerGraph, found: Probe) -> None:
    unit = 4
    links = [Link(3, TARGET, unit)]
    out = run(graph, pictures(4), [Ablate(f"concat:{unit}")], "last.1")["last.1"][:, 2]
    values = removed(found, links, ablated(found, "zero"))
    for window, (row, column) in enumerate(found.cells):
        assert torch.isclose(values[window], out[found.pictures[window], row, column])


def test_kernels_are_parts_of_an_edge(found: Probe) -> None:
    gone = ablated(found, "zero")
    unit = 4  # of the branch behind the bottleneck of two units
    rest = [link for link in every(found) if link.stage != 2 or link.target != unit]
    whole = kept(found, every(found), gone)
    single = [Link(2, unit, source, kernel) for source, kernel in product(range(7), range(2))]
    assert torch.allclose(kept(found, rest + single, gone), whole, atol=1e-10)
    assert not torch.allclose(kept(found, rest + single[::2], gone), whole)


def linear_graph() -> LayerGraph:
    class Linear(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.c = nn.Conv2d(3, 5, 3, padding=1), nn.Conv2d(5, 4, 3), nn.Conv2d(4, 3, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.c(self.b(self.a(x)))

    return traced(Linear())


def test_attribution_of_a_linear_network_is_exact() -> None:
    graph = linear_graph()
    layers = chain(graph, "c", 3)
    flow = probe(graph, layers, target(graph, "c:1"), pictures(4))
    gone = ablated(flow, "zero")
    scores = score(graph, flow, gone, "net", pool=99)
    # what all edges of a layer add to the target, with its bias, is the target: so too with each layer alone removed
    for number, stage in enumerate(scores.stages, start=1):
        for row, unit in enumerate(stage.targets):
            for source in range(stage.edges.shape[1]):
                lost = flow.values - removed(flow, [Link(number, unit, source)], gone)
                assert stage.signed[row, source] == pytest.approx(float(lost.mean()), abs=1e-9)
                assert stage.edges[row, source] == pytest.approx(float(lost.square().mean().sqrt()), abs=1e-9)


def test_attribution_sums_the_squares_of_single_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("micrographia.circuits.score.Paths", partial(Paths, draws=300))
    graph = linear_graph()
    flow = probe(graph, chain(graph, "c", 3), target(graph, "c:1"), pictures(4))
    scores = score(graph, flow, ablated(flow, "zero"), pool=99)
    first, second, last = (dict(graph.module.named_parameters())[f"{name}.weight"] for name in "abc")
    for unit, source in ((0, 0), (3, 2), (4, 1)):
        # the picture's one channel through one unit of each layer
        own = F.conv2d(flow.reads[0][:, source : source + 1], first[unit, source][None, None], padding=1)
        squares = torch.zeros(len(flow), dtype=own.dtype)
        for middle in range(4):
            out = F.conv2d(F.conv2d(own, second[middle, unit][None, None]), last[1, middle][None, None])
            squares += flow.at_cells(out).square()
        wanted = float(squares.mean().sqrt())
        assert scores.stages[0].edges[unit, source] == pytest.approx(wanted, rel=0.08)
    # one path leads from each edge of the last two layers, so that nothing is estimated there
    net = score(graph, flow, ablated(flow, "zero"), "net", pool=99)
    for number in (1, 2):
        assert np.allclose(scores.stages[number].edges, net.stages[number].edges)


def test_contributions_sum_to_the_pre_activation_less_the_bias() -> None:
    graph = linear_graph()
    flow = probe(graph, chain(graph, "c", 1), target(graph, "c:1"), pictures(4))
    scores = score(graph, flow, ablated(flow, "zero"), "net")
    bias = expanded(graph, "b", "c", [1]).bias[0]
    assert scores.stages[0].signed.sum() == pytest.approx(float(flow.values.mean()) - bias, abs=1e-10)


def test_a_direction_is_the_sum_of_its_units(graph: LayerGraph) -> None:
    layers = chain(graph, "last", 3)
    aim = target(graph, {"last:1": 2.0, "last:4": -1.0}, "difference")
    flow = probe(graph, layers, aim, pictures(4))
    values = capture(graph, pictures(4), "last.1")["last.1"]
    sums = 2 * values[:, 1] - values[:, 4]
    for window, (row, column) in enumerate(flow.cells):
        assert torch.isclose(flow.values[window], sums[flow.pictures[window], row, column])
    assert str(aim) == "last:difference"
    assert torch.allclose(kept(flow, every(flow), ablated(flow, "mean")), flow.values, atol=1e-10)


def test_snip_and_actgrad_are_what_their_definitions_say() -> None:
    graph = traced(nn.Sequential(conv(3, 4), conv(4, 5)))
    flow = probe(graph, chain(graph, "1", 1), target(graph, "1:3"), pictures(4))
    weight = dict(graph.module.named_parameters())["1.0.weight"][3].detach()
    taps, sums = torch.zeros(4), torch.zeros(4)
    for window, (row, column) in enumerate(flow.cells):
        own = torch.nn.functional.pad(flow.reads[0][window], (1, 1, 1, 1))[:, row : row + 3, column : column + 3]
        taps += (own * weight).abs().sum((1, 2)) / len(flow)
        sums += (own * weight).sum((1, 2)).abs() / len(flow)
    gone = ablated(flow, "zero")
    assert np.allclose(score(graph, flow, gone, "snip").stages[0].edges[0], taps.numpy(), rtol=1e-5)
    assert np.allclose(score(graph, flow, gone, "actgrad").stages[0].edges[0], sums.numpy(), rtol=1e-5)


@pytest.mark.parametrize("method", ["attribution", "net", "weight", "snip", "force", "actgrad"])
@pytest.mark.parametrize("level", ["edge", "node"])
def test_every_circuit_joins_the_base_to_the_target(graph: LayerGraph, found: Probe, method: str, level: str) -> None:
    gone = ablated(found, "mean")
    links = links_of(extract(graph, found, gone, method, level), 12)
    assert links == joined(links, 3)
    assert 1 <= size_of(links, level) <= 12


def test_kernel_level_keeps_single_kernels(graph: LayerGraph, found: Probe) -> None:
    links = links_of(extract(graph, found, ablated(found), "attribution", "kernel"), 20)
    assert 1 <= len(links) <= 20
    assert all(link.kernel >= 0 for link in links)
    other = relabelled(found, links, np.random.default_rng(0))
    assert sorted(link.stage for link in other) == sorted(link.stage for link in links)


def test_edges_that_lead_nowhere_do_not_count() -> None:
    scores = Scores(
        "attribution",
        (
            StageScores((0, 1), np.array([[0.0, 5.0], [9.0, 0.0]]), np.zeros((2, 2))),
            StageScores((TARGET,), np.array([[3.0, 0.0]]), np.zeros((1, 2))),
        ),
        (np.ones(2), np.ones(2)),
    )
    assert select(scores, 3) == {Link(1, 0, 1), Link(2, TARGET, 0)}


def _degrees(links: frozenset[Link]) -> list[int]:
    return sorted(Counter((link.stage, link.source) for link in links).values())


def test_a_random_circuit_has_the_same_graph(graph: LayerGraph, found: Probe) -> None:
    links = links_of(extract(graph, found, ablated(found)), 10)
    other = relabelled(found, links, np.random.default_rng(2))
    assert len(other) == len(links)
    assert _degrees(other) == _degrees(links)
    assert {x.target for x in other if x.stage == 3} == {TARGET}


def test_a_dead_target_is_refused() -> None:
    graph = traced(nn.Sequential(conv(3, 4), conv(4, 5)))
    with torch.no_grad():
        dict(graph.module.named_parameters())["1.0.weight"][3] = 0
    with pytest.raises(BadValue, match="1:3 is dead: its value is the same everywhere on these 4 pictures"):
        probe(graph, chain(graph, "1", 1), target(graph, "1:3"), pictures(4))


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda g, f: ablated(f, "noise"), "cannot be ablated to 'noise'. Choose zero, mean, resample, shuffle."),
        (lambda g, f: score(g, f, ablated(f), "snap"), "There is no method 'snap'. Near it: snip"),
        (lambda g, f: extract(g, f, ablated(f), "snip", "tap"), "There is no level 'tap'."),
        (lambda g, f: extract(g, f, ablated(f), "weight", "kernel"), "The method weight looks at whole edges."),
        (lambda g, f: links_of(extract(g, f, ablated(f)), 0), "A circuit of size 0 has nothing in it."),
        (lambda g, f: target(g, "last:0-2"), "'last:0-2' names 3 units."),
        (lambda g, f: target(g, {"last:0": 0.0}), "A direction needs units of one layer"),
    ],
)
def test_bad_arguments_are_refused(graph: LayerGraph, found: Probe, call: object, said: str) -> None:
    with pytest.raises(BadValue) as caught:
        call(graph, found)  # type: ignore[operator]
    assert said in str(caught.value)
