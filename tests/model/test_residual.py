"""A chain of residual blocks as parallel paths: the values found really sum to the layer."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from micrographia.errors import BadValue
from micrographia.model.capture import capture
from micrographia.model.card import Card
from micrographia.model.residual import paths, start, summands
from micrographia.model.trace import trace
from micrographia.zoo.registry import load


def test_the_summands_of_every_sum_add_up() -> None:
    model, card = load("mini-resnetv2")
    graph = trace(model.double(), card)
    images = torch.rand(2, 3, *card.size, dtype=torch.float64)
    sums = [each.name for each in graph.visible() if each.op == "add"]
    assert len(sums) >= 6
    for name in sums:
        parts = summands(graph, name)
        found = capture(graph, images, [name, *parts])
        torch.testing.assert_close(sum(found[part] for part in parts), found[name], rtol=1e-12, atol=1e-12)


def test_a_stage_is_its_projection_and_what_each_block_adds() -> None:
    graph = trace(*load("mini-resnetv2"))
    blocks = [f"block2.unit{i}.conv3" for i in (1, 2, 3)]
    assert summands(graph, "block2") == ("block2.unit1.shortcut", *blocks)
    assert [path[-1] for path in paths(graph, "block2")] == list(summands(graph, "block2"))
    assert "block2.unit2.conv2" in paths(graph, "block2")[2]


def test_a_relu_behind_the_sum_ends_the_chain() -> None:
    class Classic(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.c = (nn.Conv2d(3, 3, 3, padding=1) for _ in range(3))

        def forward(self, x: Tensor) -> Tensor:
            x = self.a(x)
            x = torch.relu(x + self.b(x))
            return x + self.c(x) + x

    graph = trace(Classic(), Card("classic", size=(7, 11)))
    last = [each.name for each in graph.visible() if each.op == "add"][-1]
    parts = summands(graph, last)
    assert "a" not in parts
    found = capture(graph, torch.rand(1, 3, 7, 11), [last, *parts])
    torch.testing.assert_close(sum(found[part] for part in parts), found[last])


@pytest.mark.parametrize(("name", "layer", "words"), [
    ("mini-resnetv2", "block1.unit1.conv2", "not a sum of paths. Its sums are block1.unit1"),
    ("mini-vgg", "conv1_1", "no residual additions"),
])  # fmt: skip
def test_what_is_no_sum_is_refused(name: str, layer: str, words: str) -> None:
    with pytest.raises(BadValue, match=words):
        summands(trace(*load(name)), layer)


def test_the_paths_start_from_the_last_layer_that_nothing_goes_around() -> None:
    graph = trace(*load("mini-resnetv2"))
    assert start(graph, "block2") == "block2.unit1.preact"
    assert start(graph, "block2.unit3") == "block2.unit1.preact"

    class Around(nn.Module):
        """One path reads the stem and its rectified value, so that only the stem is what both come from."""

        def __init__(self) -> None:
            super().__init__()
            self.stem, self.one, self.two = (nn.Conv2d(3, 3, 1) for _ in range(3))

        def forward(self, x: Tensor) -> Tensor:
            stem = self.stem(x)
            active = torch.relu(stem)
            return self.one(active) + self.two(torch.cat([active, stem], 1)[:, :3])

    with torch.no_grad():
        graph = trace(Around(), Card("around", size=(7, 7)))
    name = next(each.name for each in graph.visible() if each.op == "add")
    assert start(graph, name) == "stem"
