"""The four bundled networks: small versions of the lecture's families, trained here, shipped in the wheel.

They keep what makes each family interesting under a microscope: AlexNet's two columns, Inception's parallel
branches, VGG's plain stacks of 3x3 convolutions and the pre-activation residual units of ResNetV2.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor, nn


class ConvUnit(nn.Sequential):
    """A convolution, its batch norm and its ReLU; the name of the block is the name of the rectified value."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
        super().__init__(OrderedDict(conv=conv, bn=nn.BatchNorm2d(outputs), relu=nn.ReLU()))


class Concat(nn.Module):
    """Parallel branches joined along the channels."""

    def forward(self, *branches: Tensor) -> Tensor:
        return torch.cat(branches, 1)


class Head(nn.Sequential):
    """Mean over space, dropout and the classifier."""

    def __init__(self, inputs: int, classes: int, dropout: float = 0.2) -> None:
        layers = OrderedDict(
            avgpool=nn.AdaptiveAvgPool2d(1),
            flatten=nn.Flatten(),
            dropout=nn.Dropout(dropout),
            fc=nn.Linear(inputs, classes),
        )
        super().__init__(layers)


class MiniAlexNet(nn.Module):
    """AlexNet's plan at 112 px: the first layer's two halves feed one group of the second layer each."""

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.conv1 = ConvUnit(3, 64, 9, stride=2)
        self.pool1 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv2 = ConvUnit(64, 128, 5, groups=2)
        self.pool2 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv3 = ConvUnit(128, 192, 3)
        self.conv4 = ConvUnit(192, 192, 3, groups=2)
        self.conv5 = ConvUnit(192, 192, 3, groups=2)
        self.pool5 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv6 = ConvUnit(192, 256, 3)
        self.head = Head(256, classes)

    def forward(self, images: Tensor) -> Tensor:
        x = self.pool1(self.conv1(images))
        x = self.pool2(self.conv2(x))
        x = self.pool5(self.conv5(self.conv4(self.conv3(x))))
        return self.head(self.conv6(x))


class MiniInception(nn.Module):
    """InceptionV1's stem and first three blocks, with Microscope's layer names."""

    #                1x1  3x3 bottleneck, 3x3  5x5 bottleneck, 5x5  pool
    BLOCKS: ClassVar[dict[str, tuple[int, ...]]] = {
        "mixed3a": (48, 64, 80, 16, 24, 24),
        "mixed3b": (72, 80, 112, 20, 48, 40),
        "mixed4a": (96, 80, 128, 24, 48, 48),
    }

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.conv2d0 = ConvUnit(3, 48, 7, stride=2)
        self.maxpool0 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv2d1 = ConvUnit(48, 48, 1)
        self.conv2d2 = ConvUnit(48, 128, 3)
        self.maxpool1 = nn.MaxPool2d(3, 2, ceil_mode=True)
        inputs = 128
        for name, (one, three_in, three, five_in, five, pool) in self.BLOCKS.items():
            if name == "mixed4a":
                self.maxpool4 = nn.MaxPool2d(3, 2, ceil_mode=True)
            self.add_module(f"{name}_1x1", ConvUnit(inputs, one, 1))
            self.add_module(f"{name}_3x3_bottleneck", ConvUnit(inputs, three_in, 1))
            self.add_module(f"{name}_3x3", ConvUnit(three_in, three, 3))
            self.add_module(f"{name}_5x5_bottleneck", ConvUnit(inputs, five_in, 1))
            self.add_module(f"{name}_5x5", ConvUnit(five_in, five, 5))
            self.add_module(f"{name}_pool", nn.MaxPool2d(3, 1, 1))
            self.add_module(f"{name}_pool_reduce", ConvUnit(inputs, pool, 1))
            self.add_module(name, Concat())
            inputs = one + three + five + pool
        self.head = Head(inputs, classes)

    def _block(self, name: str, x: Tensor) -> Tensor:
        part = {
            suffix: getattr(self, f"{name}_{suffix}")
            for suffix in ("1x1", "3x3_bottleneck", "3x3", "5x5_bottleneck", "5x5", "pool", "pool_reduce")
        }
        return getattr(self, name)(
            part["1x1"](x),
            part["3x3"](part["3x3_bottleneck"](x)),
            part["5x5"](part["5x5_bottleneck"](x)),
            part["pool_reduce"](part["pool"](x)),
        )

    def forward(self, images: Tensor) -> Tensor:
        x = self.conv2d1(self.maxpool0(self.conv2d0(images)))
        x = self.maxpool1(self.conv2d2(x))
        x = self._block("mixed3b", self._block("mixed3a", x))
        x = self._block("mixed4a", self.maxpool4(x))
        return self.head(x)


class MiniVGG(nn.Module):
    """VGG's plan: stacks of 3x3 convolutions between poolings, four scales."""

    WIDTHS: ClassVar[tuple[int, ...]] = (16, 40, 96, 160)

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        inputs = 3
        for block, width in enumerate(self.WIDTHS, 1):
            for layer in (1, 2):
                self.add_module(f"conv{block}_{layer}", ConvUnit(inputs, width, 3))
                inputs = width
            self.add_module(f"pool{block}", nn.MaxPool2d(2, 2))
        self.conv5_1 = ConvUnit(inputs, 192, 3)
        self.head = Head(192, classes)

    def forward(self, images: Tensor) -> Tensor:
        x = images
        for block in range(1, len(self.WIDTHS) + 1):
            for part in (f"conv{block}_1", f"conv{block}_2", f"pool{block}"):
                x = getattr(self, part)(x)
        return self.head(self.conv5_1(x))


class PreactUnit(nn.Module):
    """A bottleneck unit of ResNetV2: normalise, rectify, then 1x1, 3x3, 1x1, added to the unchanged input."""

    def __init__(self, inputs: int, middle: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.preact = nn.Sequential(OrderedDict(bn=nn.BatchNorm2d(inputs), relu=nn.ReLU()))
        self.conv1 = ConvUnit(inputs, middle, 1)
        self.conv2 = ConvUnit(middle, middle, 3, stride=stride)
        self.conv3 = nn.Conv2d(middle, outputs, 1)
        self.shortcut = nn.Conv2d(inputs, outputs, 1, stride) if inputs != outputs or stride > 1 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        active = self.preact(x)
        # ResNetV2 projects the pre-activated value, but passes the raw one on where no projection is needed.
        skip = self.shortcut(x if isinstance(self.shortcut, nn.Identity) else active)
        return skip + self.conv3(self.conv2(self.conv1(active)))


class MiniResNetV2(nn.Module):
    """ResNetV2's plan: a 7x7 stem and three stages of pre-activation bottleneck units."""

    #         middle, outputs, stride of the first unit, units
    STAGES: ClassVar[dict[str, tuple[int, int, int, int]]] = {
        "block1": (40, 128, 1, 2),
        "block2": (64, 192, 2, 3),
        "block3": (96, 288, 2, 2),
    }

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 48, 7, 2, 3)
        self.pool1 = nn.MaxPool2d(3, 2, ceil_mode=True)
        inputs = 48
        for name, (middle, outputs, stride, units) in self.STAGES.items():
            stage: OrderedDict[str, nn.Module] = OrderedDict()
            for index in range(units):
                stage[f"unit{index + 1}"] = PreactUnit(inputs, middle, outputs, stride if index == 0 else 1)
                inputs = outputs
            self.add_module(name, nn.Sequential(stage))
        self.postnorm = nn.Sequential(OrderedDict(bn=nn.BatchNorm2d(inputs), relu=nn.ReLU()))
        self.head = Head(inputs, classes)

    def forward(self, images: Tensor) -> Tensor:
        x = self.pool1(self.conv1(images))
        for name in (*self.STAGES, "postnorm", "head"):
            x = getattr(self, name)(x)
        return x


ARCHITECTURES: dict[str, Callable[[int], nn.Module]] = {
    "mini-alexnet": MiniAlexNet,
    "mini-inception": MiniInception,
    "mini-vgg": MiniVGG,
    "mini-resnetv2": MiniResNetV2,
}
