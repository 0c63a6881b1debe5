"""VGG19 as its authors published it for Caffe: configuration E of Simonyan and Zisserman 2014, table 1."""

from __future__ import annotations

from torch import Tensor, nn

from micrographia.zoo.parts import ConvUnit, DenseUnit

WIDTHS = (64, 128, 256, 512, 512)
DEPTHS = (2, 2, 4, 4, 4)


class VGG19(nn.Module):
    """VGG19 for pictures of 224 x 224 px, layers conv1_1 to conv5_4 and fc6 to fc8; returns the logits, fc8."""

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        self.order: list[str] = []
        inputs = 3
        for block, (width, depth) in enumerate(zip(WIDTHS, DEPTHS, strict=True), 1):
            for layer in range(1, depth + 1):
                self._append(f"conv{block}_{layer}", ConvUnit(inputs, width, 3))
                inputs = width
            self._append(f"pool{block}", nn.MaxPool2d(2, 2))
        self._append("flatten", nn.Flatten())
        self._append("fc6", DenseUnit(512 * 7 * 7, 4096))
        self._append("drop6", nn.Dropout(0.5))
        self._append("fc7", DenseUnit(4096, 4096))
        self._append("drop7", nn.Dropout(0.5))
        self._append("fc8", nn.Linear(4096, classes))

    def _append(self, name: str, module: nn.Module) -> None:
        self.add_module(name, module)
        self.order.append(name)

    def forward(self, images: Tensor) -> Tensor:
        x = images
        for name in self.order:
            x = getattr(self, name)(x)
        return x


ALIASES = ((r"(conv\d_\d)", r"\1.conv"), (r"(fc[67])", r"\1.fc"))
