"""InceptionV1 (GoogLeNet) in its published trainings, with the layer names of Lucid and OpenAI Microscope.

The plan is Szegedy et al. 2014, "Going Deeper with Convolutions", table 1, without the auxiliary heads. Two trainings
of it are published, which differ in four things:

- TensorFlow's `inception5h`: 3x3 of mixed4a 204 wide (so that mixed4a has 508 channels), 5x5 bottleneck of mixed5a 48
  wide, 1008 classes; windows placed as TensorFlow's SAME; LRN over 11 channels, alpha 1e-4 per channel, beta 0.5, bias
  2 (depth_radius 5 in the graph; the same constants in captum's port of it).
- Caffe's `bvlc_googlenet` and its retraining on Places365: 208 and 32 wide; windows placed as Caffe does; LRN over 5
  channels, alpha 1e-4 over all of them, beta 0.75, bias 1 (deploy.prototxt).
"""

from __future__ import annotations

from torch import Tensor, nn

from micrographia.zoo.parts import LRN, Concat, ConvUnit

Widths = tuple[int, int, int, int, int, int]

#           1x1  3x3 bottleneck, 3x3  5x5 bottleneck, 5x5  pool
CAFFE: dict[str, Widths] = {
    "mixed3a": (64, 96, 128, 16, 32, 32),
    "mixed3b": (128, 128, 192, 32, 96, 64),
    "mixed4a": (192, 96, 208, 16, 48, 64),
    "mixed4b": (160, 112, 224, 24, 64, 64),
    "mixed4c": (128, 128, 256, 24, 64, 64),
    "mixed4d": (112, 144, 288, 32, 64, 64),
    "mixed4e": (256, 160, 320, 32, 128, 128),
    "mixed5a": (256, 160, 320, 32, 128, 128),
    "mixed5b": (384, 192, 384, 48, 128, 128),
}
TENSORFLOW: dict[str, Widths] = {
    **CAFFE,
    "mixed4a": (192, 96, 204, 16, 48, 64),
    "mixed5a": (256, 160, 320, 48, 128, 128),
}
POOLS = {"mixed4a": "maxpool4", "mixed5a": "maxpool10"}
BRANCHES = ("1x1", "3x3_bottleneck", "3x3", "5x5_bottleneck", "5x5", "pool", "pool_reduce")


class InceptionV1(nn.Module):
    """InceptionV1 with these block widths; returns the logits, which Lucid calls softmax2_pre_activation."""

    def __init__(
        self,
        widths: dict[str, Widths],
        classes: int,
        lrn: tuple[int, float, float, float],
        pad: tuple[int, int, int, int] | None,
    ) -> None:
        super().__init__()
        self.conv2d0 = ConvUnit(3, 64, 7, stride=2, pad=pad)
        self.maxpool0 = _pool()
        self.localresponsenorm0 = LRN(*lrn)
        self.conv2d1 = ConvUnit(64, 64, 1)
        self.conv2d2 = ConvUnit(64, 192, 3)
        self.localresponsenorm1 = LRN(*lrn)
        self.maxpool1 = _pool()
        inputs = 192
        for name, (one, three_in, three, five_in, five, pooled) in widths.items():
            if name in POOLS:
                self.add_module(POOLS[name], _pool())
            self.add_module(f"{name}_1x1", ConvUnit(inputs, one, 1))
            self.add_module(f"{name}_3x3_bottleneck", ConvUnit(inputs, three_in, 1))
            self.add_module(f"{name}_3x3", ConvUnit(three_in, three, 3))
            self.add_module(f"{name}_5x5_bottleneck", ConvUnit(inputs, five_in, 1))
            self.add_module(f"{name}_5x5", ConvUnit(five_in, five, 5))
            self.add_module(f"{name}_pool", nn.MaxPool2d(3, 1, 1))
            self.add_module(f"{name}_pool_reduce", ConvUnit(inputs, pooled, 1))
            self.add_module(name, Concat())
            inputs = one + three + five + pooled
        self.blocks = tuple(widths)
        self.avgpool0 = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.dropout = nn.Dropout(0.4)
        self.softmax2_pre_activation = nn.Linear(inputs, classes)

    def forward(self, images: Tensor) -> Tensor:
        x = self.localresponsenorm0(self.maxpool0(self.conv2d0(images)))
        x = self.maxpool1(self.localresponsenorm1(self.conv2d2(self.conv2d1(x))))
        for name in self.blocks:
            if name in POOLS:
                x = getattr(self, POOLS[name])(x)
            x = self._block(name, x)
        return self.softmax2_pre_activation(self.dropout(self.flatten(self.avgpool0(x))))

    def _block(self, name: str, x: Tensor) -> Tensor:
        one, three_in, three, five_in, five, pool, reduce = (getattr(self, f"{name}_{part}") for part in BRANCHES)
        return getattr(self, name)(one(x), three(three_in(x)), five(five_in(x)), reduce(pool(x)))


def _pool() -> nn.MaxPool2d:
    # Caffe rounds the number of windows up. TensorFlow's SAME does the same where the side is even, which it is at
    # every one of these pools for pictures of a multiple of 32 px.
    return nn.MaxPool2d(3, 2, ceil_mode=True)


def inception5h(classes: int = 1008) -> InceptionV1:
    """InceptionV1 as in TensorFlow's inception5h, the network of the Circuits articles.

    SAME puts 2 px before and 3 px after the 7x7 windows of stride 2, for every even side. torch divides alpha by the
    size of the window and TensorFlow does not, hence 11 times 1e-4.
    """
    return InceptionV1(TENSORFLOW, classes, lrn=(11, 11e-4, 0.5, 2.0), pad=(2, 3, 2, 3))


def googlenet(classes: int = 1000) -> InceptionV1:
    """InceptionV1 as in Caffe's bvlc_googlenet; 365 classes for its retraining on Places365."""
    return InceptionV1(CAFFE, classes, lrn=(5, 1e-4, 0.75, 1.0), pad=None)


# what other files call the layers, as (pattern, our layer), and what they hold beside our network
ALIASES = (
    (r"conv1[/_]7x7_s2|conv2d0_pre_relu_conv", "conv2d0.conv"),
    (r"conv2[/_]3x3_reduce|conv2d1_pre_relu_conv", "conv2d1.conv"),
    (r"conv2[/_]3x3|conv2d2_pre_relu_conv", "conv2d2.conv"),
    (r"inception_(\d[a-e])[/_](\dx\d)_reduce", r"mixed\1_\2_bottleneck.conv"),
    (r"inception_(\d[a-e])[/_](\dx\d)", r"mixed\1_\2.conv"),
    (r"inception_(\d[a-e])[/_]pool_proj", r"mixed\1_pool_reduce.conv"),
    (r"loss3[/_]classifier|softmax2(_pre_activation_matmul)?", "softmax2_pre_activation"),
    (r"(conv2d\d|mixed\d[a-e]_(?:\dx\d(?:_bottleneck)?|pool_reduce))(?:_pre_relu_conv)?", r"\1.conv"),
)
AUXILIARY = r"loss[12][/_].*|head\d_bottleneck.*|nn\d.*|softmax[01].*"
