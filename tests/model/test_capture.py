from __future__ import annotations

import pytest
import torch

from micrographia.errors import BadValue
from micrographia.model.capture import capture
from micrographia.model.card import Card, normalise
from micrographia.model.trace import trace
from tests.networks import NETWORKS, SIZE, seeded

CARD = Card("caffe", size=SIZE, scale=255.0, mean=(104.0, 117.0, 123.0), std=(57.0, 58.0, 59.0), order="BGR")


def test_pictures_are_prepared_as_the_card_says() -> None:
    net = seeded(NETWORKS["inception"])
    graph = trace(net, CARD)
    images = torch.rand(5, 3, *SIZE, dtype=torch.float64)
    with torch.no_grad():
        expected = net(normalise(images, CARD))
        raw = net(images)
    assert torch.equal(capture(graph, images, "concat")["concat"], expected)
    assert torch.equal(capture(graph, images, "concat", prepared=True)["concat"], raw)


def test_the_batch_size_changes_nothing() -> None:
    graph = trace(seeded(NETWORKS["resnet"]), CARD)
    images = torch.rand(7, 3, *SIZE, dtype=torch.float64)
    layers = ["fc", "layer1", "layer1.0.bn1"]
    whole = capture(graph, images, layers)
    assert list(whole) == layers
    for batch in (1, 3, 7):
        parts = capture(graph, images, layers, batch)
        for name in layers:
            assert torch.allclose(parts[name], whole[name], rtol=0, atol=1e-12)


def test_results_are_ordinary_tensors_without_history() -> None:
    graph = trace(seeded(NETWORKS["plain"]), CARD)
    value = capture(graph, torch.rand(1, 3, *SIZE), "features")["features"]
    assert not value.requires_grad
    # a later optimisation may use it as a target
    target = torch.zeros_like(value, requires_grad=True)
    (target * value).sum().backward()
    assert torch.equal(target.grad, value)


def test_pictures_of_another_size_than_the_cards() -> None:
    graph = trace(seeded(NETWORKS["inception"]), CARD)
    assert capture(graph, torch.rand(1, 3, 37, 41), "concat")["concat"].shape == (1, 17, 19, 21)


@pytest.mark.parametrize(
    "wrong",
    [
        torch.rand(3, *SIZE),
        torch.rand(1, 1, *SIZE),
        torch.zeros(1, 3, *SIZE, dtype=torch.uint8),
        torch.rand(1, *SIZE, 3),
    ],
)
def test_pictures_that_do_not_fit(wrong: torch.Tensor) -> None:
    graph = trace(seeded(NETWORKS["plain"]), CARD)
    with pytest.raises(BadValue, match=r"The pictures have the shape .*Give batch x 3 x height x width in floating"):
        capture(graph, wrong, "features")


def test_no_pictures() -> None:
    graph = trace(seeded(NETWORKS["plain"]), CARD)
    with pytest.raises(BadValue, match="no pictures to look at"):
        capture(graph, torch.rand(0, 3, *SIZE), "features")
