"""A stage is the network: every unit as its reader gives it, through branches, bottlenecks, shortcuts and norms."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from micrographia.circuits.chain import chain, chain_layers
from micrographia.circuits.stage import Stage, stage_between
from micrographia.errors import BadAddress, BadValue
from micrographia.model.capture import capture
from micrographia.model.card import Card
from micrographia.model.graph import LayerGraph
from micrographia.model.trace import trace


def conv(inside: int, outside: int, size: int = 3, **options: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inside, outside, size, padding=size // 2, **options), nn.ReLU())


class Branched(nn.Module):
    """Two layers in a row, a block of three branches behind a response norm and a pooling, and another block."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = conv(3, 5), conv(5, 7)
        self.norm, self.pool = nn.LocalResponseNorm(5, alpha=0.5), nn.MaxPool2d(3, 2, 1)
        self.one, self.narrow, self.wide = conv(7, 3, 1), conv(7, 2, 1), conv(2, 4, 3)
        self.spread, self.reduce = nn.MaxPool2d(3, 1, 1), conv(7, 2, 1)
        self.last = nn.Sequential(nn.Conv2d(9, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.norm(self.second(self.first(x))))
        x = torch.cat([self.one(x), self.wide(self.narrow(x)), self.reduce(self.spread(x))], 1)
        return self.last(x)


class Residual(nn.Module):
    """A pre-activation residual block with grouped convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = conv(3, 6)
        self.norm, self.inner, self.outer = nn.BatchNorm2d(6), conv(6, 4, 3, groups=2), nn.Conv2d(4, 6, 1, groups=2)
        self.last = conv(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return self.last(x + self.outer(self.inner(torch.relu(self.norm(x)))))


def traced(model: nn.Module, seed: int = 0) -> LayerGraph:
    torch.manual_seed(seed)
    model = model.double()
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(module.weight, 0, 0.4)
            if module.bias is not None:
                nn.init.normal_(module.bias, 0, 0.1)
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, 0, 0.3)
            nn.init.uniform_(module.running_var, 0.5, 2)
    return trace(model.eval(), Card("small", (13, 17), 17, mean=(0.5,) * 3, std=(0.5,) * 3))


@pytest.fixture(scope="module")
def branched() -> LayerGraph:
    return traced(Branched())


@pytest.fixture(scope="module")
def residual() -> LayerGraph:
    return traced(Residual())


def pictures(count: int = 3) -> Tensor:
    return torch.rand(count, 3, 13, 17, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def check_stage(graph: LayerGraph, stage: Stage) -> None:
    values = capture(graph, pictures(), [stage.src, stage.dst])
    read = stage.read(values[stage.src])
    assert torch.allclose(stage.full(read), values[stage.dst])
    ratios = stage.ratios(values[stage.src])
    for channel in range(graph.layer(stage.src).channels):
        some = stage.read_some(values[stage.src][:, channel : channel + 1], [channel], ratios)
        assert torch.allclose(some[:, 0], read[:, channel])
    for channel in range(graph.layer(stage.dst).channels):
        reader = stage.reader(channel)
        own = reader([entry.whole(read) for entry in reader.entries])
        assert torch.allclose(own[:, 0], values[stage.dst][:, channel])


def test_every_reader_is_its_unit(branched: LayerGraph, residual: LayerGraph) -> None:
    for graph in (branched, residual):
        layers = chain(graph, "last", 4)
        for stage in layers.stages:
            check_stage(graph, stage)


def test_an_entry_is_a_sum_over_the_sources(branched: LayerGraph) -> None:
    stage = stage_between(branched, "second", "concat")
    read = stage.read(capture(branched, pictures(), "second")["second"])
    for channel in (0, 4, 8):
        for entry in stage.reader(channel).entries:
            parts = [entry.mix(entry.before(read[:, [c]], [c]), [c]) for c in range(7)]
            bias = 0 if entry.bias is None else entry.bias[:, None, None]
            assert torch.allclose(torch.stack(parts).sum(0) + bias, entry.whole(read))


def test_only_layers_on_every_path_are_in_a_chain(branched: LayerGraph, residual: LayerGraph) -> None:
    assert chain_layers(branched, "last", 9) == ("input", "first", "second", "concat", "last")
    assert chain_layers(branched, "last", 2) == ("second", "concat", "last")
    assert chain_layers(branched, "wide", 2) == ("second", "narrow", "wide")
    names = chain_layers(residual, "last", 9)
    assert names[:2] == ("input", "stem")
    assert "inner" not in names


@pytest.mark.parametrize(
    ("layer", "depth", "said"),
    [
        ("first", 3, "first reads the picture itself: no unit stands before it, so it has no circuit."),
        ("last", 0, "A circuit of depth 0 has no edges. Give a depth of 1 or more."),
        ("input", 1, "input reads the picture itself"),
    ],
)
def test_what_has_no_chain_is_refused(branched: LayerGraph, layer: str, depth: int, said: str) -> None:
    with pytest.raises(BadValue) as caught:
        chain(branched, layer, depth)
    assert said in str(caught.value)


def test_an_unknown_layer_is_refused(branched: LayerGraph) -> None:
    with pytest.raises(BadAddress):
        chain(branched, "middle", 1)


def test_a_norm_of_some_channels_needs_its_scale(branched: LayerGraph) -> None:
    stage = stage_between(branched, "second", "concat")
    step: Callable[..., Tensor] = stage.steps[0]
    with pytest.raises(BadValue, match="needs its scale"):
        step(torch.ones(1, 1, 4, 4, dtype=torch.float64), [2])
