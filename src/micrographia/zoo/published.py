"""The lecture's networks: architecture, preprocessing, labels, licence, and where their authors published the weights.

The checksums of files are those that OpenVINO's Open Model Zoo (Caffe's two), TensorFlow's own build files
(inception5h) and nixpkgs (VGG19) record for the same addresses.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from micrographia.model.card import Card
from micrographia.zoo import alexnet, inception, labels, resnetv2, vgg
from micrographia.zoo.cache import Download
from micrographia.zoo.weights import Aliases

CAFFE_MEAN = (104.0, 117.0, 123.0)  # blue, green, red


@dataclass(frozen=True)
class Published:
    """A published network: how it is built, its card without a checksum, its file, and how other files name its layers.

    `sha256` is the checksum of the weights themselves, in our names, where it is known.
    """

    description: str
    build: Callable[[], nn.Module]
    card: Callable[[], Card]
    download: Download
    aliases: Aliases = ()
    auxiliary: str = ""
    sha256: str = ""


def _caffe_card(name: str, names: tuple[str, ...], source: str, licence: str, **other: object) -> Card:
    return Card(
        name, scale=255.0, mean=CAFFE_MEAN, std=(1.0, 1.0, 1.0), order="BGR", labels=names, licence=licence,
        source=source, **other,  # type: ignore[arg-type]
    )  # fmt: skip


_INCEPTION5H = Download(
    "inception5h.zip",
    "https://storage.googleapis.com/download.tensorflow.org/models/inception5h.zip",
    "d13569f6a98159de37e92e9c8ec4dae8f674fbf475f69fe6199b514f756d4364",
)
_BVLC_GOOGLENET = Download(
    "bvlc_googlenet.caffemodel",
    "http://dl.caffe.berkeleyvision.org/bvlc_googlenet.caffemodel",
    "6f7101e3a2183738a7125a0c5021ba82a1feb4228c5ca0924d991b6daf6f6fad",
)
_PLACES365 = Download(
    "googlenet_places365.caffemodel",
    "http://places2.csail.mit.edu/models_places365/googlenet_places365.caffemodel",
)
_BVLC_ALEXNET = Download(
    "bvlc_alexnet.caffemodel",
    "http://dl.caffe.berkeleyvision.org/bvlc_alexnet.caffemodel",
    "4bff209a9837298157915ef50a4831a59636a6ca1a6b8ebacd990c3a5f3053e0",
)
_VGG19 = Download(
    "VGG_ILSVRC_19_layers.caffemodel",
    "http://www.robots.ox.ac.uk/~vgg/software/very_deep/caffe/VGG_ILSVRC_19_layers.caffemodel",
    "31b4c627c40c6ee151325f079b7ac557fddbd1f79af932888796127a4f4f6954",
)
_RESNETV2 = Download(
    "resnet_v2_50_2017_04_14.tar.gz",
    "http://download.tensorflow.org/models/resnet_v2_50_2017_04_14.tar.gz",
    first="it is a TensorFlow checkpoint, whose tensors must first be saved under their own names as an .npz",
)

PUBLISHED: dict[str, Published] = {
    "inceptionv1": Published(
        "InceptionV1, TensorFlow's inception5h: the network of the Circuits articles",
        inception.inception5h,
        lambda: Card(
            "inceptionv1", scale=255.0, mean=(117.0, 117.0, 117.0), std=(1.0, 1.0, 1.0), labels=labels.inception5h(),
            licence="Apache-2.0", source=_INCEPTION5H.address,
        ),
        _INCEPTION5H, inception.ALIASES, inception.AUXILIARY,
    ),
    "inceptionv1-bvlc": Published(
        "InceptionV1 trained on ImageNet with Caffe (bvlc_googlenet)",
        inception.googlenet,
        lambda: _caffe_card("inceptionv1-bvlc", labels.imagenet(), _BVLC_GOOGLENET.address, "unrestricted (BVLC)"),
        _BVLC_GOOGLENET, inception.ALIASES, inception.AUXILIARY,
    ),
    "inceptionv1-places365": Published(
        "InceptionV1 trained on Places365 with Caffe",
        lambda: inception.googlenet(365),
        lambda: _caffe_card("inceptionv1-places365", labels.places365(), _PLACES365.address, "CC BY"),
        _PLACES365, inception.ALIASES, inception.AUXILIARY,
    ),
    "alexnet": Published(
        "AlexNet in two groups, trained on ImageNet with Caffe (bvlc_alexnet)",
        alexnet.AlexNet,
        lambda: _caffe_card(
            "alexnet", labels.imagenet(), _BVLC_ALEXNET.address, "unrestricted (BVLC)", size=(227, 227)
        ),
        _BVLC_ALEXNET, alexnet.ALIASES,
    ),
    "vgg19": Published(
        "VGG19, as its authors published it",
        vgg.VGG19,
        lambda: Card(
            "vgg19", scale=255.0, mean=(103.939, 116.779, 123.68), std=(1.0, 1.0, 1.0), order="BGR",
            labels=labels.imagenet(), licence="CC BY 4.0", source=_VGG19.address,
        ),
        _VGG19, vgg.ALIASES,
    ),
    "resnetv2-50": Published(
        "ResNetV2-50 of TensorFlow-Slim",
        resnetv2.ResNetV2,
        lambda: Card(
            "resnetv2-50", mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), labels=labels.slim(), licence="Apache-2.0",
            source=_RESNETV2.address,
        ),
        _RESNETV2, resnetv2.ALIASES, resnetv2.AUXILIARY,
    ),
}  # fmt: skip
