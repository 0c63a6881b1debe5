"""AlexNet, VGG19 and ResNetV2-50: published sizes, AlexNet's two groups, ResNetV2's strides and names."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from micrographia.model.card import Card
from micrographia.model.graph import LayerGraph
from micrographia.model.trace import trace
from micrographia.zoo.alexnet import AlexNet
from micrographia.zoo.registry import load
from micrographia.zoo.resnetv2 import ResNetV2
from micrographia.zoo.vgg import VGG19


def on_meta(build: type[nn.Module]) -> nn.Module:
    with torch.device("meta"):
        return build()


@pytest.mark.parametrize(
    ("build", "count"),
    [
        (AlexNet, 60_965_224),
        (VGG19, 143_667_240),
        # 25,568,360 trainable ones of Keras's ResNet50V2 with 1000 classes, and one class more
        (ResNetV2, 25_568_360 + 2048 + 1),
    ],
)
def test_parameter_counts(build: type[nn.Module], count: int) -> None:
    assert sum(parameter.numel() for parameter in on_meta(build).parameters()) == count


def test_alexnet_has_the_published_maps() -> None:
    model = on_meta(AlexNet).eval()
    x, shapes = torch.empty(1, 3, 227, 227, device="meta"), {}
    for name, module in model.named_children():
        x = module(x)
        shapes[name] = tuple(x.shape[1:])
    assert shapes["conv1"] == (96, 55, 55)
    assert shapes["pool1"] == (96, 27, 27)
    assert shapes["conv2"] == (256, 27, 27)
    assert shapes["pool5"] == (256, 6, 6)
    assert shapes["fc6"] == (4096,)
    assert shapes["fc8"] == (1000,)


def test_alexnets_columns_do_not_see_each_other() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        conv2, conv3 = AlexNet(2).conv2, AlexNet(2).conv3
    x = torch.randn(1, 96, 7, 7, generator=torch.Generator().manual_seed(0))
    other = x.clone()
    other[:, 48:] = 0
    assert torch.equal(conv2(x)[:, :128], conv2(other)[:, :128])
    assert not torch.equal(conv2(x)[:, 128:], conv2(other)[:, 128:])
    assert conv3.conv.groups == 1


def test_vgg19_is_configuration_e() -> None:
    model = on_meta(VGG19)
    convs = [name for name, _ in model.named_children() if name.startswith("conv")]
    assert convs == [f"conv{b}_{n}" for b, depth in enumerate((2, 2, 4, 4, 4), 1) for n in range(1, depth + 1)]
    assert model.eval()(torch.empty(1, 3, 224, 224, device="meta")).shape == (1, 1000)


@pytest.fixture(scope="module")
def resnet() -> tuple[nn.Module, LayerGraph]:
    model, _ = load("resnetv2-50", "random", seed=5)
    return model, trace(model, Card("small", size=(64, 64)))


def test_resnets_units_are_slims(resnet: tuple[nn.Module, LayerGraph]) -> None:
    _, graph = resnet
    adds = {name: layer.shape for name, layer in graph.layers.items() if name.endswith("_add")}
    blocks = [name.partition("_")[0] for name in adds]
    assert [blocks.count(f"block{n}") for n in (1, 2, 3, 4)] == [3, 4, 6, 3]
    # a stage's last unit has the stride
    assert adds["block1_unit_2_add"] == (256, 16, 16)
    assert adds["block1_unit_3_add"] == (256, 8, 8)
    assert adds["block2_unit_3_add"] == (512, 8, 8)
    assert adds["block2_unit_4_add"] == (512, 4, 4)
    assert adds["block4_unit_3_add"] == (2048, 2, 2)
    assert all(not set(name) & set(":@/ ") for name in graph.layers)


def replica(model: nn.Module, x: Tensor) -> Tensor:
    """TensorFlow-Slim's bottleneck_v2, written out from the state dict."""
    state = model.state_dict()

    def norm(x: Tensor, name: str) -> Tensor:
        parts = [state[f"{name}.{kind}"] for kind in ("running_mean", "running_var", "weight", "bias")]
        return F.relu(F.batch_norm(x, *parts, eps=1e-5))

    def conv(x: Tensor, name: str, stride: int = 1, padding: int = 0) -> Tensor:
        return F.conv2d(x, state[f"{name}.weight"], state.get(f"{name}.bias"), stride, padding)

    x = conv(x, "conv1", 2, 3)
    x = F.max_pool2d(F.pad(x, (0, 1, 0, 1), value=-torch.inf), 3, 2)
    for block, units, last in (("block1", 3, 2), ("block2", 4, 2), ("block3", 6, 2), ("block4", 3, 1)):
        for number in range(1, units + 1):
            name, stride = f"{block}_unit_{number}", last if number == units else 1
            active = norm(x, f"{name}_preact.bn")
            kept = conv(active, f"{name}_shortcut", stride) if number == 1 else x[:, :, ::stride, ::stride]
            inner = norm(conv(active, f"{name}_conv1.conv"), f"{name}_conv1.bn")
            inner = norm(conv(inner, f"{name}_conv2.conv", stride, 1), f"{name}_conv2.bn")
            x = kept + conv(inner, f"{name}_conv3")
    return F.linear(norm(x, "postnorm.bn").mean((2, 3)), state["logits.weight"], state["logits.bias"])


def test_resnet_is_slims_bottleneck_v2(resnet: tuple[nn.Module, LayerGraph]) -> None:
    model, _ = resnet
    x = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        ours, theirs = model(x), replica(model, x)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4 * theirs.abs().max().item())
