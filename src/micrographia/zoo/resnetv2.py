"""ResNetV2-50 as in TensorFlow-Slim (`resnet_v2_50`), with Microscope's layer names made legal as addresses.

The plan is He et al. 2016, "Identity Mappings in Deep Residual Networks". Slim's `resnet_v2.py` differs from other
ports in that a stage's last unit, not its first, has the stride, and that the convolutions without a norm have biases.

A name here is Slim's with `resnet_v2_50/` and `bottleneck_v2/` dropped and every slash replaced by an underscore:

    resnet_v2_50/block1/unit_3/bottleneck_v2/add          -> block1_unit_3_add
    resnet_v2_50/block2/unit_1/bottleneck_v2/preact/Relu  -> block2_unit_1_preact
    resnet_v2_50/block4/unit_2/bottleneck_v2/conv1/Relu   -> block4_unit_2_conv1
    resnet_v2_50/postnorm/Relu                            -> postnorm
"""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn

from micrographia.zoo.parts import Add

#         middle width, units, stride of the last unit
STAGES = {"block1": (64, 3, 2), "block2": (128, 4, 2), "block3": (256, 6, 2), "block4": (512, 3, 1)}


class NormUnit(nn.Sequential):
    """Batch norm and its ReLU."""

    def __init__(self, channels: int) -> None:
        super().__init__(OrderedDict(bn=nn.BatchNorm2d(channels, eps=1e-5), relu=nn.ReLU()))


class ConvNormUnit(nn.Sequential):
    """A convolution without a bias, its batch norm and its ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> None:
        conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
        norm = nn.BatchNorm2d(outputs, eps=1e-5)
        super().__init__(OrderedDict(conv=conv, bn=norm, relu=nn.ReLU()))


class ResNetV2(nn.Module):
    """ResNetV2-50; returns the logits. Class 0 of the published training is the background."""

    def __init__(self, classes: int = 1001) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3)
        # TensorFlow's SAME leaves its one cell of padding after the picture, where ceil_mode does
        self.pool1 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.units: list[str] = []
        inputs = 64
        for block, (middle, units, last_stride) in STAGES.items():
            for number in range(1, units + 1):
                stride = last_stride if number == units else 1
                self._add_unit(f"{block}_unit_{number}", inputs, middle, 4 * middle, stride)
                inputs = 4 * middle
        self.postnorm = NormUnit(inputs)
        self.pool5 = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.logits = nn.Linear(inputs, classes)

    def _add_unit(self, name: str, inputs: int, middle: int, outputs: int, stride: int) -> None:
        self.units.append(name)
        self.add_module(f"{name}_preact", NormUnit(inputs))
        if inputs != outputs:
            self.add_module(f"{name}_shortcut", nn.Conv2d(inputs, outputs, 1, stride))
        elif stride > 1:
            self.add_module(f"{name}_shortcut", nn.MaxPool2d(1, stride))
        self.add_module(f"{name}_conv1", ConvNormUnit(inputs, middle, 1))
        self.add_module(f"{name}_conv2", ConvNormUnit(middle, middle, 3, stride))
        self.add_module(f"{name}_conv3", nn.Conv2d(middle, outputs, 1))
        self.add_module(f"{name}_add", Add())

    def _unit(self, name: str, x: Tensor) -> Tensor:
        active = getattr(self, f"{name}_preact")(x)
        residual = active
        for part in ("conv1", "conv2", "conv3"):
            residual = getattr(self, f"{name}_{part}")(residual)
        shortcut = getattr(self, f"{name}_shortcut", None)
        if shortcut is None:
            kept = x
        else:
            # a projection reads the activated value, a subsampling the raw one
            kept = shortcut(active if isinstance(shortcut, nn.Conv2d) else x)
        return getattr(self, f"{name}_add")(kept, residual)

    def forward(self, images: Tensor) -> Tensor:
        x = self.pool1(self.conv1(images))
        for name in self.units:
            x = self._unit(name, x)
        return self.logits(self.flatten(self.pool5(self.postnorm(x))))


ALIASES = (
    (r"resnet_v2_50/(block\d)/(unit_\d)/bottleneck_v2/preact", r"\1_\2_preact.bn"),
    (r"resnet_v2_50/(block\d)/(unit_\d)/bottleneck_v2/(conv\d)/BatchNorm", r"\1_\2_\3.bn"),
    (r"resnet_v2_50/(block\d)/(unit_\d)/bottleneck_v2/(conv[12])", r"\1_\2_\3.conv"),
    (r"resnet_v2_50/(block\d)/(unit_\d)/bottleneck_v2/(conv3|shortcut)", r"\1_\2_\3"),
    (r"resnet_v2_50/postnorm", "postnorm.bn"),
    (r"resnet_v2_50/(conv1|logits)", r"\1"),
)
AUXILIARY = r"global_step|.*/Momentum"
