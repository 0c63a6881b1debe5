"""How the bundled networks are trained: a schedule of sizes and rates, and the crops of every epoch."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int64
from PIL import Image
from torch import Tensor

from micrographia.errors import BadImages
from micrographia.images.source import ImageSource, Unreadable, read


@dataclass(frozen=True)
class Recipe:
    """How to train: sizes in px, lengths in epochs, decay per step of the optimiser.

    `sizes` are (share of the epochs, px): training starts on small pictures, where an epoch is cheap. The first
    layer has a decay of its own, because what its kernels keep of their random start is seen as noise. `area` is the
    range of a crop's share of the picture, `colour` how far brightness, contrast and saturation are changed, `cutmix`
    the share of the batches in which a rectangle of each picture is taken from another one. `teaching` is the share of
    the target that teachers give, where there are any.
    """

    epochs: int = 60
    batch: int = 64
    learning_rate: float = 0.15
    decay: float = 5e-4
    first_decay: float = 3e-3
    smoothing: float = 0.1
    warmup: float = 0.15
    sizes: tuple[tuple[float, int], ...] = ((0.35, 64), (0.35, 80), (0.3, 96))
    area: tuple[float, float] = (0.25, 1.0)
    colour: float = 0.3
    cutmix: float = 0.5
    teaching: float = 0.7
    seed: int = 0
    bfloat16: bool = True

    def size(self, epoch: int) -> int:
        """Side of the training crops in px in this epoch."""
        passed = 0.0
        for share, px in self.sizes:
            passed += share
            if epoch < round(passed * self.epochs):
                return px
        return self.sizes[-1][1]

    def rate(self, progress: float) -> float:
        """Learning rate at this share of the run: a linear rise, then half a cosine down to zero."""
        if progress < self.warmup:
            return self.learning_rate * (0.02 + 0.98 * progress / self.warmup)
        fall = (progress - self.warmup) / (1 - self.warmup)
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * fall))


# a further cycle, from weights that have seen small pictures already
AGAIN = Recipe(epochs=25, learning_rate=0.05, warmup=0.05, sizes=((0.5, 80), (0.5, 96)))

# a last, short cycle on pictures as large as those of the test and less disturbed: crops that are enlarged in training
# make things look larger than they do later (Touvron et al. 2019, "Fixing the train-test resolution discrepancy")
FINISH = Recipe(epochs=10, learning_rate=0.02, warmup=0.1, sizes=((1.0, 112),), area=(0.35, 1.0), cutmix=0.25)


@dataclass(frozen=True, eq=False)
class Pictures:
    """Decoded pictures with their class numbers, held in memory for many epochs."""

    images: Sequence[Image.Image]
    labels: Int64[np.ndarray, " picture"]
    classes: tuple[str, ...]


def decoded(source: ImageSource, short: int, advance: Callable[[int], None] = lambda _: None) -> Pictures:
    """All pictures of a source in memory, larger ones brought down to a short side of `short` px.

    Raises BadImages where there are fewer than two classes, since then there is nothing to learn.
    """
    if len(source.classes) < 2:
        raise BadImages(f"{source.place} has no classes. Put the pictures of each class into a folder of its own.")
    images, labels = [], []
    unreadable: list[Unreadable] = []
    for picture in read(source, unreadable=unreadable):
        image, share = picture.image, short / min(picture.image.size)
        if share < 1:
            image = image.resize((round(image.width * share), round(image.height * share)), Image.Resampling.BILINEAR)
        images.append(image)
        labels.append(picture.label)
        advance(1)
    return Pictures(images, np.array(labels, np.int64), source.classes)


Box = tuple[float, float, float, float]


def crop_box(rng: np.random.Generator, width: int, height: int, area: tuple[float, float]) -> Box:
    """A random box (left, top, right, bottom) in px with a share of the picture between the two of `area`.

    Its aspect lies between 3:4 and 4:3 (Szegedy et al. 2014, section 6); where ten draws do not fit, the centre square.
    """
    for _ in range(10):
        target = rng.uniform(*area) * width * height
        aspect = math.exp(rng.uniform(math.log(3 / 4), math.log(4 / 3)))
        w, h = math.sqrt(target * aspect), math.sqrt(target / aspect)
        if w <= width and h <= height:
            left, top = rng.uniform(0, width - w), rng.uniform(0, height - h)
            return left, top, left + w, top + h
    side = min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    return left, top, left + side, top + side


def augmented(
    pictures: Pictures, recipe: Recipe, epoch: int
) -> Iterator[tuple[Float[Tensor, "batch 3 height width"], Float[Tensor, "batch classes"]]]:
    """The batches of one epoch with the probability of each class: crops, mirrored, of changed colour, and mixed.

    Values are around 0..1. The order, the crops and all else follow from the recipe's seed and the epoch.
    """
    rng = np.random.default_rng([recipe.seed, epoch])
    order = rng.permutation(len(pictures.images))
    px = recipe.size(epoch)
    for start in range(0, len(order) - recipe.batch + 1, recipe.batch):
        chosen = order[start : start + recipe.batch]
        batch = np.empty((len(chosen), px, px, 3), np.uint8)
        for row, index in enumerate(chosen):
            image = pictures.images[index]
            width, height = image.size
            box = crop_box(rng, width, height, recipe.area)
            crop = np.asarray(image.resize((px, px), Image.Resampling.BILINEAR, box=box))
            batch[row] = crop[:, ::-1] if rng.random() < 0.5 else crop
        images = recoloured(torch.from_numpy(batch).permute(0, 3, 1, 2).float() / 255, recipe.colour, rng)
        targets = torch.eye(len(pictures.classes))[torch.from_numpy(pictures.labels[chosen])]
        if rng.random() < recipe.cutmix:
            images, targets = mixed(images, targets, rng)
        yield images, targets


def recoloured(
    images: Float[Tensor, "batch 3 height width"], reach: float, rng: np.random.Generator
) -> Float[Tensor, "batch 3 height width"]:
    """Saturation, contrast and brightness of each picture changed by factors within 1 - reach to 1 + reach."""
    change = torch.from_numpy(rng.uniform(1 - reach, 1 + reach, (3, len(images), 1, 1, 1))).float()
    grey = images.mean(1, keepdim=True)
    images = grey + (images - grey) * change[0]
    mean = images.mean((1, 2, 3), keepdim=True)
    return (mean + (images - mean) * change[1]) * change[2]


def mixed(
    images: Float[Tensor, "batch 3 height width"],
    targets: Float[Tensor, "batch classes"],
    rng: np.random.Generator,
) -> tuple[Float[Tensor, "batch 3 height width"], Float[Tensor, "batch classes"]]:
    """One rectangle of every picture taken from its mirror in the batch, the targets shared by area.

    Source: CutMix (Yun et al. 2019, algorithm 1), its share of the area uniform.
    """
    height, width = images.shape[-2:]
    share = math.sqrt(rng.uniform())
    rows, columns = round(height * share), round(width * share)
    top, left = int(rng.integers(height - rows + 1)), int(rng.integers(width - columns + 1))
    images = images.clone()
    window = (slice(None), slice(None), slice(top, top + rows), slice(left, left + columns))
    images[window] = images.flip(0)[window].clone()
    taken = rows * columns / (height * width)
    return images, targets * (1 - taken) + targets.flip(0) * taken
