"""The default pictures: crops of the photographs that scikit-image and scikit-learn carry in their own packages.

Nothing is copied and nothing is downloaded: the files are read where those packages are installed. Only photographs
whose package states that they are free to use are taken; two of them ask that the photographer is named (`credit`).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image

from micrographia.errors import BadImages
from micrographia.images.decode import decode
from micrographia.images.source import ImageSource, Load, open_source

SIDE = 160  # px of a crop as it is read
SCALES = (1.0, 0.6, 0.36)  # side of the crops as a share of the photograph's short side
STRIDE = 0.8  # largest step between neighbouring crops, in sides: they overlap by a fifth or more
FLAT = 8.0  # grey levels: a crop of a smaller standard deviation shows next to nothing and is left out

_Place = tuple[int, int, int, int]  # left, top, right, bottom px in the photograph


@dataclass(frozen=True)
class Photograph:
    """One photograph: the package and file that hold it, and whose work it is under which terms."""

    name: str
    package: str
    file: str
    credit: str


PHOTOGRAPHS = (
    Photograph("astronaut", "skimage", "data/astronaut.png", "NASA, public domain"),
    Photograph("brick", "skimage", "data/brick.png", "CC0Textures, CC0"),
    Photograph("camera", "skimage", "data/camera.png", "Lav Varshney, CC0"),
    Photograph("chelsea", "skimage", "data/chelsea.png", "Stefan van der Walt, CC0"),
    Photograph("china", "sklearn", "datasets/images/china.jpg", "danielbuechele on Flickr, CC BY 2.0"),
    Photograph("coffee", "skimage", "data/coffee.png", "Rachel Michetti, CC0"),
    Photograph("coins", "skimage", "data/coins.png", "Brooklyn Museum, no known copyright restrictions"),
    Photograph("flower", "sklearn", "datasets/images/flower.jpg", "vultilion on Flickr, CC BY 2.0"),
    Photograph("grass", "skimage", "data/grass.png", "linolafett on DeviantArt, CC0"),
    Photograph("gravel", "skimage", "data/gravel.png", "CC0Textures, CC0"),
    Photograph("hubble", "skimage", "data/hubble_deep_field.jpg", "NASA, public domain"),
    Photograph("retina", "skimage", "data/retina.jpg", "Mikael Häggström, CC0"),
    Photograph("rocket", "skimage", "data/rocket.jpg", "SpaceX, public domain"),
    Photograph("tissue", "skimage", "data/ihc.png", "CMMI, no known copyright restrictions"),
)


def open_images(spec: str | Path | None = None) -> ImageSource:
    """The bundled crops for None or "bundled", and what `open_source` finds at any other place; raises BadImages.

    >>> open_images().classes[:3]
    ('astronaut', 'brick', 'camera')
    """
    return _bundled() if spec is None or spec == "bundled" else open_source(spec)


@cache
def _bundled() -> ImageSource:
    paths = {photograph.name: path for photograph in PHOTOGRAPHS if (path := _path(photograph)) and path.is_file()}
    if not paths:
        raise BadImages(
            "The photographs that scikit-image and scikit-learn carry are not there. Install both packages again, "
            "or give a folder, a .zip or a .tar of pictures."
        )
    names, labels, crops, digest = [], [], [], hashlib.sha256()
    for label, (photograph, path) in enumerate(paths.items()):
        digest.update(path.read_bytes())
        grey = np.asarray(_decoded(path).convert("L"))
        for number, (place, title) in enumerate(grid(grey.shape[1], grey.shape[0])):
            left, top, right, bottom = place
            if grey[top:bottom, left:right].std() >= FLAT:
                names.append(f"{photograph}/{number:03d}_{title}")
                labels.append(label)
                crops.append((path, place))
                digest.update(f"{names[-1]} {place}\n".encode())
    return ImageSource(
        place="bundled",
        names=tuple(names),
        labels=tuple(labels),
        classes=tuple(paths),
        fingerprint=digest.hexdigest(),
        opening=_Crops(tuple(crops)),
        credits=tuple(photograph.credit for photograph in PHOTOGRAPHS if photograph.name in paths),
    )


def grid(width: int, height: int) -> list[tuple[_Place, str]]:
    """Overlapping square crops that cover a photograph at every scale, each with its title.

    >>> grid(512, 512)[:2]
    [((0, 0, 512, 512), 's0_r0_c0'), ((0, 0, 307, 307), 's1_r0_c0')]
    """
    crops = []
    for scale, share in enumerate(SCALES):
        side = round(min(width, height) * share)
        for row, top in enumerate(_starts(height, side)):
            for column, left in enumerate(_starts(width, side)):
                crops.append(((left, top, left + side, top + side), f"s{scale}_r{row}_c{column}"))
    return crops


def _starts(length: int, side: int) -> list[int]:
    steps = math.ceil((length - side) / (STRIDE * side))
    return [round(step * (length - side) / max(steps, 1)) for step in range(steps + 1)]


@dataclass(frozen=True)
class _Crops:
    crops: tuple[tuple[Path, _Place], ...]

    @contextmanager
    def __call__(self) -> Iterator[Load]:
        yield self._cut

    def _cut(self, index: int) -> Image.Image:
        path, place = self.crops[index]
        return _decoded(path).resize((SIDE, SIDE), Image.Resampling.BICUBIC, box=place)


def _path(photograph: Photograph) -> Path | None:
    found = find_spec(photograph.package)  # where it is, without the seconds that importing scikit-learn takes
    return Path(found.origin).parent / photograph.file if found and found.origin else None


@cache
def _decoded(path: Path) -> Image.Image:
    return decode(path.read_bytes())
