"""AlexNet in two groups, as Caffe trained it: the layers of Krizhevsky et al. 2012, conv1 to fc8.

Layers conv2, conv4 and conv5 see one half of the channels below them each, because the network was trained on two
processors; that is why the two halves of conv1 specialise. From `bvlc_alexnet/deploy.prototxt`: the sizes, LRN over 5
channels with alpha 1e-4, beta 0.75, bias 1, and normalising before pooling.
"""

from __future__ import annotations

from torch import Tensor, nn

from micrographia.zoo.parts import LRN, ConvUnit, DenseUnit


class AlexNet(nn.Module):
    """AlexNet for pictures of 227 x 227 px; returns the logits, fc8."""

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        self.conv1 = ConvUnit(3, 96, 11, stride=4, padding=0)
        self.norm1 = LRN(5, 1e-4, 0.75, 1.0)
        self.pool1 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv2 = ConvUnit(96, 256, 5, groups=2)
        self.norm2 = LRN(5, 1e-4, 0.75, 1.0)
        self.pool2 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv3 = ConvUnit(256, 384, 3)
        self.conv4 = ConvUnit(384, 384, 3, groups=2)
        self.conv5 = ConvUnit(384, 256, 3, groups=2)
        self.pool5 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.flatten = nn.Flatten()
        self.fc6 = DenseUnit(256 * 6 * 6, 4096)
        self.drop6 = nn.Dropout(0.5)
        self.fc7 = DenseUnit(4096, 4096)
        self.drop7 = nn.Dropout(0.5)
        self.fc8 = nn.Linear(4096, classes)

    def forward(self, images: Tensor) -> Tensor:
        x = self.pool1(self.norm1(self.conv1(images)))
        x = self.pool2(self.norm2(self.conv2(x)))
        x = self.pool5(self.conv5(self.conv4(self.conv3(x))))
        x = self.drop6(self.fc6(self.flatten(x)))
        return self.fc8(self.drop7(self.fc7(x)))


ALIASES = ((r"(conv[1-5])", r"\1.conv"), (r"(fc[67])", r"\1.fc"))
