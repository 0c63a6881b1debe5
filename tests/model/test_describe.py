from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from micrographia.model.card import Card
from micrographia.model.ops import Window
from micrographia.model.trace import trace
from tests.networks import NETWORKS, SIZE, Block, seeded

CARD = Card("small", size=SIZE)


class Functions(nn.Module):
    """The same network twice, from modules and from functions."""

    def __init__(self, functional: bool) -> None:
        super().__init__()
        self.functional = functional
        self.conv = nn.Conv2d(3, 4, (3, 5), (2, 1), (1, 2), dilation=(2, 1), groups=1)
        self.grouped = nn.Conv2d(4, 6, 3, padding="same", groups=2)
        self.up = nn.ConvTranspose2d(6, 4, 3, 2, 1, groups=2, dilation=2)
        self.rest = nn.ModuleList(
            [
                nn.ReLU(), nn.MaxPool2d(3, 2, 1, ceil_mode=True), nn.AvgPool2d((2, 3)), nn.AdaptiveAvgPool2d((4, 2)),
                nn.BatchNorm2d(4), nn.LocalResponseNorm(3), nn.ZeroPad2d((1, 2, 3, 4)), nn.Upsample(scale_factor=2),
                nn.Hardswish(), nn.Dropout(), nn.GroupNorm(2, 4), nn.Flatten(), nn.Softmax(1),
            ]
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        if not self.functional:
            x = self.up(self.grouped(self.conv(x)))
            for module in self.rest:
                x = module(x)
            return x
        x = F.conv2d(x, self.conv.weight, self.conv.bias, (2, 1), padding=(1, 2), dilation=(2, 1))
        x = F.conv2d(x, self.grouped.weight, self.grouped.bias, 1, "same", 1, 2)
        x = F.conv_transpose2d(x, self.up.weight, self.up.bias, 2, 1, 0, 2, 2)
        x = F.max_pool2d(F.relu(x), 3, 2, 1, ceil_mode=True)
        x = F.adaptive_avg_pool2d(F.avg_pool2d(x, (2, 3)), (4, 2))
        norm = self.rest[4]
        x = F.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias)
        x = F.interpolate(F.pad(F.local_response_norm(x, 3), (1, 2, 3, 4)), scale_factor=2)
        x = F.dropout(F.hardswish(x), training=self.training)
        x = torch.flatten(F.group_norm(x, 2, self.rest[10].weight, self.rest[10].bias), 1)
        return torch.softmax(x, 1)


def test_modules_and_functions_are_described_alike() -> None:
    one, two = (trace(seeded(lambda flag=flag: Functions(flag)), CARD) for flag in (False, True))
    facts = [
        [(x.op, x.shape, x.window, x.groups, x.stride, x.receptive_field, x.offset) for x in graph.layers.values()]
        for graph in (one, two)
    ]
    assert facts[0] == facts[1]
    assert [fact[0] for fact in facts[0]] == [
        "input", "conv", "conv", "transposed conv", "relu", "maxpool", "avgpool", "adaptive pool", "batchnorm", "lrn",
        "pad", "upsample", "activation", "dropout", "norm", "flatten", "softmax",
    ]  # fmt: skip
    assert facts[0][1][2] == Window((3, 5), (2, 1), (1, 2), (2, 1))
    assert facts[0][2][2:4] == (Window((3, 3), (1, 1), (1, 1)), 2)
    assert facts[0][3][2:4] == (Window((3, 3), (2, 2), (1, 1), (2, 2)), 2)
    assert facts[0][6][2] == Window((2, 3), (2, 3))


def test_values_made_from_weights_alone_are_no_layers() -> None:
    graph = trace(seeded(NETWORKS["standardised"]), CARD)
    assert list(graph.layers) == ["input", "conv2d", "mul", "add", "relu"]
    assert graph.layers["conv2d"].parents == ("input",)
    # scaled and shifted by parameters: no two paths meet here
    assert [graph.layers[name].op for name in ("mul", "add")] == ["activation", "activation"]


def test_sizes_are_no_parents() -> None:
    class Sized(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fine = nn.Conv2d(3, 5, 3)
            self.coarse = nn.Conv2d(3, 5, 3, 2)

        def forward(self, x: Tensor) -> Tensor:
            fine = self.fine(x)
            return F.interpolate(self.coarse(x), size=fine.shape[2:])

    assert trace(seeded(Sized), CARD).layers["interpolate"].parents == ("coarse",)


class Heads(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.block = Block(3, 5)
        self.preact = nn.Sequential(nn.BatchNorm2d(5), nn.ReLU())
        self.pooled = nn.Sequential(nn.ReLU(), nn.MaxPool2d(2))
        self.stack = nn.Sequential(nn.Conv2d(5, 5, 1), nn.Conv2d(5, 7, 1), nn.BatchNorm2d(7), nn.ReLU())
        self.inner = nn.Sequential(nn.Conv2d(7, 7, 1), nn.ReLU())

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x = self.stack(self.pooled(self.preact(self.block(x))))
        y = self.inner[0](x)
        return {"both": y, "relu": self.inner[1](y)}


def test_what_a_block_is_called_and_what_is_inside_it() -> None:
    layers = trace(seeded(Heads), CARD).layers
    assert (layers["block"].op, layers["block"].parents) == ("conv", ("input",))
    assert layers["block"].window == Window((3, 3), (1, 1), (1, 1))
    assert {name for name, layer in layers.items() if layer.inner} == {"block.conv", "block.bn", "stack.1", "stack.2"}
    assert (layers["preact"].op, layers["preact"].parents) == ("relu", ("preact.0",))
    assert (layers["pooled"].op, layers["pooled"].aliases) == ("maxpool", ("pooled.1",))
    assert (layers["stack"].op, layers["stack"].parents) == ("conv", ("stack.0",))


def test_a_norms_value_that_others_read_stays_visible() -> None:
    class Read(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.block = Inside()

        def forward(self, x: Tensor) -> Tensor:
            return self.block(x)

    class Inside(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 5, 1)
            self.relu = nn.ReLU()

        def forward(self, x: Tensor) -> Tensor:
            x = self.conv(x)
            self.kept = x.sum()
            return self.relu(x) if self.training else self.relu(x) * 1 + x

    layers = trace(seeded(Read), CARD).layers
    assert not any(layer.inner for layer in layers.values())
    assert layers["block"].op == "add"


@pytest.mark.parametrize("name", NETWORKS)
def test_fields_grow_along_the_way(name: str) -> None:
    layers = trace(seeded(NETWORKS[name]), CARD).layers
    for layer in layers.values():
        for parent in (layers[each] for each in layer.parents):
            if layer.receptive_field is None:
                continue
            assert parent.receptive_field is not None
            assert parent.receptive_field <= layer.receptive_field
            assert parent.stride[0] <= layer.stride[0]
