"""A probe answers what the whole network answers at its middle cell; a copy that learned nothing is as active."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from micrographia.errors import BadValue
from micrographia.model.alike import redrawn_alike
from micrographia.model.capture import capture
from micrographia.model.card import Card, normalise
from micrographia.model.graph import LayerGraph
from micrographia.model.probe import maps_of, probe, respond
from micrographia.model.trace import trace
from tests.networks import Inception, Plain, Preactivated, ResNet, seeded

CARD = Card("test", size=(47, 53), scale=255.0, order="BGR", mean=(104.0, 117.0, 123.0), std=(58.0, 57.0, 57.0))


def graph_of(model: nn.Module, card: Card = CARD) -> LayerGraph:
    return trace(model, card)


@pytest.mark.parametrize(("make", "layer"), [(Inception, "concat"), (Plain, "features.5"), (ResNet, "layer1.0")])
def test_a_probe_answers_as_the_whole_network(make: type[nn.Module], layer: str) -> None:
    graph = graph_of(seeded(make))
    to = probe(graph, layer)
    generator = torch.Generator().manual_seed(1)
    whole = torch.rand((3, 3, 47, 53), generator=generator, dtype=torch.float64)
    found = graph.layer(layer)
    assert found.stride is not None
    assert found.offset is not None
    at = [o + s * cell for o, s, cell in zip(found.offset, found.stride, to.cell, strict=True)]
    top, left = round(at[0] - to.centre[0]), round(at[1] - to.centre[1])
    crop = whole[:, :, top : top + to.size[0], left : left + to.size[1]]
    expected = capture(graph, whole, layer)[layer][:, :, to.cell[0], to.cell[1]]
    torch.testing.assert_close(respond(to, crop), expected)
    # the middle of what it sees is the middle of the picture, within a step
    assert abs(at[0] - 23) <= found.stride[0]
    assert abs(at[1] - 26) <= found.stride[1]


def test_a_spread_probe_takes_the_largest_nearby() -> None:
    graph = graph_of(seeded(Inception))
    to = probe(graph, "concat", spread=2)
    assert to.size == (47, 53)
    pictures = torch.rand((2, 3, 47, 53), dtype=torch.float64)
    maps = capture(graph, pictures, "concat")["concat"]
    row, column = to.cell
    near = maps[:, :, row - 2 : row + 3, column - 2 : column + 3].amax((2, 3))
    torch.testing.assert_close(respond(to, pictures), near)


def test_grey_networks_see_the_mean_of_the_colours() -> None:
    graph = graph_of(seeded(lambda: Preactivated(1)), Card("grey", size=(23, 19), channels=1, mean=(0.5,), std=(0.25,)))
    to = probe(graph, "conv2")
    pictures = torch.rand((2, 3, *to.size), dtype=torch.float64)
    grey = pictures.mean(1, keepdim=True).expand(-1, 3, -1, -1)
    torch.testing.assert_close(respond(to, pictures), respond(to, grey))


class Classifier(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 5, 3)
        self.wide = nn.Conv2d(5, 5, 31, padding=15)
        self.fc = nn.Linear(5, 7)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.wide(torch.relu(self.conv(x))).mean((2, 3)))


def test_what_cannot_be_probed_is_a_sentence() -> None:
    graph = graph_of(Classifier().double().eval(), Card("test", size=(23, 19)))
    with pytest.raises(
        BadValue, match=r"wide sees 33 x 33 px, more than a picture of 23 x 19 px shows\. Choose a layer .* conv"
    ):
        probe(graph, "wide")
    with pytest.raises(BadValue, match="fc has no maps"):
        probe(graph, "fc")
    with pytest.raises(BadValue, match=r"conv is shown stimulus x 3 x 3 x 3"):
        respond(probe(graph, "conv"), torch.rand(1, 3, 5, 5))
    five = graph_of(
        seeded(lambda: Preactivated(5)), Card("five", (23, 19), channels=5, mean=(0.0,) * 5, std=(1.0,) * 5)
    )
    with pytest.raises(BadValue, match="five sees 5 channels"):
        probe(five, "conv2")


@pytest.mark.parametrize(("make", "layer"), [(Inception, "concat"), (Plain, "features.5"), (ResNet, "layer1.0")])
def test_a_redrawn_copy_is_as_active_and_another(make: type[nn.Module], layer: str) -> None:
    graph = graph_of(seeded(make))
    maps = maps_of(graph, layer)
    pictures = normalise(torch.rand((5, 3, 47, 53), dtype=torch.float64), graph.card)
    before = [parameter.clone() for parameter in maps.parameters()]
    own, other = maps(pictures), redrawn_alike(maps, pictures, seed=3)(pictures)
    assert all(torch.equal(a, b) for a, b in zip(before, maps.parameters(), strict=True))
    assert torch.equal(own, maps(pictures))
    assert not torch.allclose(own, other)
    assert torch.equal(other, redrawn_alike(maps, pictures, seed=3)(pictures))
    assert not torch.allclose(other, redrawn_alike(maps, pictures, seed=4)(pictures))


def test_a_redrawn_convolution_has_its_weights_in_another_order_up_to_each_unit_s_scale() -> None:
    model = nn.Sequential(nn.Conv2d(3, 11, 5)).double().eval()
    graph = graph_of(model)
    maps = maps_of(graph, "0")
    pictures = normalise(torch.rand((5, 3, 47, 53), dtype=torch.float64), graph.card)
    other = redrawn_alike(maps, pictures, seed=3)
    own, redrawn = maps(pictures), other(pictures)
    torch.testing.assert_close(redrawn.mean((0, 2, 3)), own.mean((0, 2, 3)))
    torch.testing.assert_close(redrawn.std((0, 2, 3)), own.std((0, 2, 3)))
    mine, theirs = (next(module.parameters()).detach() for module in (maps, other))
    # one unknown scale per unit: each of its weights is one of the old ones times it
    ratio = (theirs[0].flatten()[:, None] / mine.flatten()[None]).flatten()
    counts = torch.unique(ratio.double().round(decimals=9), return_counts=True)[1]
    assert counts.max() == theirs[0].numel()
