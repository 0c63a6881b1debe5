from __future__ import annotations

import pytest
import torch
from torch import nn

from micrographia.errors import BadAddress, BadValue
from micrographia.model.card import Card
from micrographia.model.cell import segment, stage
from micrographia.model.trace import trace
from tests.networks import SIZE, Inception, ResNet, seeded


@pytest.mark.parametrize(("make", "source"), [(Inception, "stem"), (ResNet, "stem")])
def test_a_segment_gives_the_value_of_the_whole_network_at_its_cell(make: type[nn.Module], source: str) -> None:
    graph = trace(seeded(make), Card("test", size=SIZE))
    last = [layer.name for layer in graph.main_layers()][-1]
    at = stage(graph, last)
    images = torch.rand((3, 3, *at.size), dtype=torch.float64)
    maps = graph.upto([source, last])(images)
    part = segment(graph, source, at, tuple(maps[source].shape[2:]))
    assert torch.allclose(part(maps[source]), maps[last][:, :, at.cell[0], at.cell[1]])


@pytest.mark.parametrize(("make", "rectified"), [(Inception, True), (ResNet, True), (None, False)])
def test_a_segment_gives_what_the_last_rectifiers_read(make: type[nn.Module] | None, rectified: bool) -> None:
    plain = lambda: nn.Sequential(nn.Conv2d(3, 7, 3), nn.ReLU(), nn.Conv2d(7, 5, 3))  # noqa: E731
    graph = trace(seeded(make or plain), Card("test", size=SIZE))
    last = [layer.name for layer in graph.main_layers()][-1]
    if make is ResNet:
        last = "layer1.0"
    at = stage(graph, last)
    images = 9 * torch.randn((101, 3, *at.size), dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    source = graph.main_layers()[0].name if make is None else "stem"
    maps = graph.upto([source, last])(images)
    part = segment(graph, source, at, tuple(maps[source].shape[2:]), both=True)
    before, own = part(maps[source]).chunk(2, 1)
    assert torch.allclose(own, maps[last][:, :, at.cell[0], at.cell[1]])
    assert torch.allclose(before.relu() if rectified else before, own)
    assert bool((before < 0).any(0).sum() > 0.8 * before.shape[1])  # in every branch there was something to cut off


def test_the_canvas_holds_the_receptive_field_and_no_more() -> None:
    graph = trace(seeded(Inception), Card("test", size=(31, 31)))
    last = graph.layer([layer.name for layer in graph.main_layers()][-1])
    at = stage(graph, last.name)
    assert last.receptive_field is not None
    for seen, extent, middle in zip(last.receptive_field, at.size, at.centre, strict=True):
        assert middle - (seen - 1) / 2 >= 0
        assert extent - 1 - (middle + (seen - 1) / 2) < 1
    # the middle is the px that the cell answers to most evenly: what lies beyond the field changes nothing
    images = torch.rand((1, 3, *at.size), dtype=torch.float64)
    wide = torch.nn.functional.pad(images, (0, 4, 0, 4), value=0.5)
    values = [graph.upto(last.name)(each)[last.name][:, :, at.cell[0], at.cell[1]] for each in (images, wide)]
    assert torch.allclose(*values)


def test_what_has_no_such_cell() -> None:
    graph = trace(seeded(Inception), Card("test", size=(7, 7)))
    last = [layer.name for layer in graph.main_layers()][-1]
    with pytest.raises(BadValue, match="more than a picture of 7 x 7 px shows. Choose "):
        stage(graph, last)
    with pytest.raises(BadAddress):
        stage(graph, "nowhere")
    with pytest.raises(BadValue, match="has no maps"):
        stage(trace(seeded(ResNet), Card("test", size=SIZE)), "fc")
