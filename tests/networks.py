"""Small networks of every structure that a trace has to understand, made on the spot with random weights."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SIZE = (23, 19)


def seeded(make: Callable[[], nn.Module], seed: int = 0) -> nn.Module:
    """A network in float64 and evaluation mode whose norms have statistics of their own."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = make().double()
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d) and module.running_mean is not None:
                # so that no unit is silent
                module.running_mean.normal_(0, 0.2)
                module.running_var.uniform_(0.2, 1)
                nn.init.uniform_(module.weight, 0.5, 2)
                nn.init.normal_(module.bias, 0, 0.5)
    return net.eval()


class Block(nn.Module):
    def __init__(self, inputs: int, outputs: int, kernel: int = 3, **options: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False, **options)
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)), inplace=True)


class Plain(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 7, 5, 2, 2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, ceil_mode=True),
            nn.LocalResponseNorm(5), nn.Conv2d(7, 11, 3), nn.ReLU(),
        )  # fmt: skip
        self.pool = nn.AdaptiveAvgPool2d((2, 1))
        self.drop = nn.Dropout(0.5)
        self.classifier = nn.Linear(22, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.features(x))
        return self.classifier(self.drop(torch.flatten(x, 1)))


class Inception(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = Block(3, 7, stride=2)
        self.one = Block(7, 5, 1)
        self.three = nn.Sequential(Block(7, 3, 1), Block(3, 7))
        self.five = nn.Sequential(Block(7, 2, 1), Block(2, 3, 5))
        self.pool = nn.Sequential(nn.MaxPool2d(3, 1, 1), Block(7, 2, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return torch.cat([self.one(x), self.three(x), self.five(x), self.pool(x)], 1)


class Residual(nn.Module):
    """As in ResNet: added in place, one ReLU module used twice, an empty shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.shortcut = nn.Sequential() if stride == 1 else nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride))

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += self.shortcut(x)
        return self.relu(out)


class ResNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = Block(3, 5)
        self.layer1 = nn.Sequential(Residual(5, 5), Residual(5, 7, 2))
        self.fc = nn.Linear(7, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.layer1(self.stem(x)).mean((2, 3)))


class Preactivated(nn.Module):
    def __init__(self, inputs: int = 3) -> None:
        super().__init__()
        self.stem = nn.Conv2d(inputs, 7, 3, 2, 1)
        self.preact = nn.Sequential(nn.BatchNorm2d(7), nn.ReLU())
        self.conv1 = nn.Conv2d(7, 5, 1)
        self.conv2 = nn.Conv2d(5, 7, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return x + self.conv2(torch.relu(self.conv1(self.preact(x))))


class Grouped(nn.Module):
    """AlexNet's two columns, then a depthwise and a pointwise convolution, as in MobileNet."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 10, 5, 2, 2)
        self.norm = nn.LocalResponseNorm(3)
        self.conv2 = nn.Conv2d(10, 14, 3, padding=1, groups=2)
        self.depthwise = nn.Conv2d(14, 28, 3, padding=1, groups=14)
        self.pointwise = nn.Conv2d(28, 5, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(F.relu(self.conv1(x)))
        x = F.relu(self.conv2(F.max_pool2d(x, 3, stride=2)))
        return self.pointwise(F.relu6(self.depthwise(x)))


class Shared(nn.Module):
    """A block, and the convolution inside it, called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 5, 1)
        self.block = Block(5, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        return self.block(self.block(x)) + x


class InPlace(nn.Module):
    """In-place operations whose old names are read afterwards."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 5, 3)
        self.relu = nn.ReLU(inplace=True)
        self.other = nn.Conv2d(5, 5, 1)

    def forward(self, x: Tensor) -> Tensor:
        first = self.conv(x)
        self.relu(first)
        second = self.other(first)
        kept = second
        second += first
        second.mul_(0.5)
        kept = kept * 2
        third = F.relu(input=kept, inplace=True)
        kept.clamp_(max=1.5)
        return third - F.leaky_relu_(first.neg(), 0.1)


class Inside(nn.Module):
    """A block that returns the name that an in-place operation was applied to."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 5, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        x.relu_()
        return x


class Nested(nn.Module):
    """Names in names: a block in a block, one that hands its input on, one that returns its child's value."""

    def __init__(self) -> None:
        super().__init__()
        self.inside = Inside()
        self.outer = nn.Sequential(nn.Sequential(Block(5, 7)))
        self.skip = nn.Sequential()
        self.identity = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.identity(self.skip(self.outer(self.inside(x))))


class Listed(nn.Module):
    """Modules in plain containers, which torch does not know of, and a list of ones that it knows."""

    def __init__(self) -> None:
        super().__init__()
        self.known = nn.Conv2d(3, 5, 1)
        # their owner has to convert and to switch them, too
        self.steps = [self.known, nn.Conv2d(5, 5, 3).double()]
        self.table = {"last": (Block(5, 7).double().eval(), nn.ReLU())}

    def forward(self, x: Tensor) -> Tensor:
        for step in self.steps:
            x = step(x)
        for step in self.table["last"]:
            x = step(x)
        return x


class Shuffled(nn.Module):
    """Split, shuffle and concatenation of channels, as in ShuffleNet."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, 2, 1)
        self.conv = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        kept, rest = self.stem(x).chunk(2, dim=1)
        x = torch.cat((kept, self.conv(rest)), dim=1)
        batch, channels, height, width = x.size()
        x = x.view(batch, 2, channels // 2, height, width)
        return torch.transpose(x, 1, 2).contiguous().view(batch, -1, height, width)


class Standardised(nn.Module):
    """A convolution whose weight is computed in the forward pass, a parameter and a buffer that are used there."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(5, 3, 3, 3))
        self.gain = nn.Parameter(torch.randn(5, 1, 1))
        self.register_buffer("shift", torch.randn(1, 5, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        return torch.relu(F.conv2d(x, weight, None, 2, 1) * self.gain + self.shift)


class Gated(nn.Module):
    """Squeeze and excitation."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 5, 3)
        self.squeeze = nn.Conv2d(5, 5, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return x * self.squeeze(x.mean((2, 3), keepdim=True)).sigmoid()


class Options(nn.Module):
    """Arguments with defaults that the forward pass decides on."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 5, 3)

    def forward(self, x: Tensor, features: bool = False, *, power: int = 2, **rest: object) -> Tensor:
        x = self.conv(x)
        return x if features else x**power


class ManyOutputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 5, 3)

    def forward(self, x: Tensor) -> dict[str, Tensor | tuple[Tensor, Tensor]]:
        x = self.conv(x)
        return {"maps": x, "extremes": (x.amax((2, 3)), x.amin((2, 3)))}


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    each.__name__.lower(): each
    for each in (
        Plain, Inception, ResNet, Preactivated, Grouped, Shared, InPlace, Nested, Listed, Shuffled, Standardised, Gated,
        Options, ManyOutputs,
    )
}  # fmt: skip
