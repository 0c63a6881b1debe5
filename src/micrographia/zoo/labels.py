"""The class names of ImageNet and Places365, in the order of the published classifiers."""

from __future__ import annotations

from functools import cache
from importlib.resources import files


@cache
def _imagenet() -> tuple[tuple[str, int, str], ...]:
    """(WordNet id, number in the challenge of 2012 from 1, name), by WordNet id."""
    rows = (line.split(" ", 2) for line in _lines("imagenet.txt"))
    return tuple((wnid, int(number), name) for wnid, number, name in rows)


def _lines(file: str) -> list[str]:
    return files("micrographia.zoo").joinpath(file).read_text("utf-8").splitlines()


def imagenet() -> tuple[str, ...]:
    """The 1000 names in the order of the WordNet ids, as Caffe, torchvision and most others number them.

    >>> imagenet()[:3]
    ('tench', 'goldfish', 'great white shark')
    """
    return tuple(name for _, _, name in _imagenet())


def wordnet_ids() -> tuple[str, ...]:
    """The 1000 WordNet ids in ascending order: the class folders of ImageNet and Imagenette begin with them.

    >>> wordnet_ids()[0]
    'n01440764'
    """
    return tuple(wnid for wnid, _, _ in _imagenet())


def inception5h() -> tuple[str, ...]:
    """The 1008 names of TensorFlow's inception5h: the order of ILSVRC 2012's own numbers, with eight unused classes.

    >>> inception5h()[1:3]
    ('kit fox', 'english setter')
    """
    ordered = sorted(_imagenet(), key=lambda row: row[1])
    return ("unused", *(name for _, _, name in ordered), *["unused"] * 7)


def slim() -> tuple[str, ...]:
    """The 1001 names of TensorFlow-Slim: a background class, then the order of `imagenet`.

    >>> slim()[:2]
    ('background', 'tench')
    """
    return ("background", *imagenet())


@cache
def places365() -> tuple[str, ...]:
    """The 365 kinds of places, in the order of the published classifiers.

    >>> places365()[8]
    'apartment building, outdoor'
    """
    return tuple(name.replace("_", " ").replace("/", ", ") for name in _lines("places365.txt"))
