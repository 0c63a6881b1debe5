"""Networks of torchvision, as their library makes them, at random weights; `trace` itself proves each result."""

from __future__ import annotations

import pytest

from micrographia.errors import BadModel
from micrographia.model.card import Card
from micrographia.model.graph import LayerGraph
from micrographia.model.trace import trace
from micrographia.zoo.adapters import library

pytestmark = pytest.mark.long


def graph_of(name: str, size: int = 64) -> LayerGraph:
    try:
        models = library("torchvision").models
    except BadModel as error:
        pytest.skip(str(error))
    options = {"init_weights": False, "transform_input": True} if name in ("googlenet", "inception_v3") else {}
    return trace(models.get_model(name, weights=None, **options).eval(), Card(name, size=(size, size)))


def main(graph: LayerGraph) -> list[str]:
    return [layer.name for layer in graph.main_layers()]


def test_googlenet() -> None:
    graph = graph_of("googlenet")
    five = {f"inception{name}": graph.layer(f"inception{name}").branches[2] for name in ("3a", "3b")}
    assert [(b.first, b.last) for b in five.values()] == [(192, 223), (320, 415)]
    # torchvision's "5x5" branch is a 3x3; the channels of the picture that are scaled one by one are still local
    assert graph.layer("conv1").receptive_field == (7, 7)
    assert graph.layer("inception3a.branch2.1").receptive_field == (43, 43)
    assert main(graph)[:6] == [
        "conv1", "conv2", "conv3", "inception3a.branch2.0", "inception3a.branch3.0", "inception3a",
    ]  # fmt: skip


def test_resnet18() -> None:
    graph = graph_of("resnet18")
    assert main(graph)[:5] == ["conv1", "layer1.0.conv1", "layer1.0", "layer1.1.conv1", "layer1"]
    assert graph.layer("layer4").receptive_field == (435, 435)
    assert graph.layer("layer2.0").branches[1].layers == ("layer2.0.downsample",)


def test_squeezenet() -> None:
    graph = graph_of("squeezenet1_1")
    assert main(graph)[:3] == ["features.0", "features.3.squeeze", "features.3"]
    assert [(b.first, b.last) for b in graph.layer("features.3").branches] == [(0, 63), (64, 127)]


def test_mobilenet_v2() -> None:
    graph = graph_of("mobilenet_v2")
    assert graph.layer("features.1.conv.0").branches == ()
    assert graph.layer("features").receptive_field == (491, 491)


def test_densenet_lists_its_convolutions_not_its_concats() -> None:
    found = main(graph_of("densenet121"))
    assert len(found) == 120
    assert not any("concat" in name for name in found)


@pytest.mark.parametrize(
    ("name", "size", "last"),
    [
        ("inception_v3", 96, "Mixed_7c"),
        ("shufflenet_v2_x0_5", 64, "conv5"),
        ("efficientnet_b0", 64, "features"),
        ("convnext_tiny", 64, "features"),
    ],
)
def test_others(name: str, size: int, last: str) -> None:
    found = main(graph_of(name, size))
    assert found[-1] == last
