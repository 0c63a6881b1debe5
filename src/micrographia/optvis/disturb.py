"""More transforms: noise and blur on top of another transform, random crops, and Lucid's five in their own order.

Each picture is disturbed by its own random numbers, with operations that treat every px alike, so that it comes out the
same in any batch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from micrographia.errors import BadValue
from micrographia.optvis.transform import Extent, Transform, Warp, warp

SEEDS = 1 << 24  # as many whole numbers as single precision holds
REACH = 3  # deviations of a blur's Gaussian that are summed

Images = Float[Tensor, "batch channel tall wide"]


@dataclass(frozen=True)
class Noisy:
    """Gaussian noise of this deviation, added to what another transform shows."""

    deviation: float = 0.05
    inner: Transform = field(default_factory=Warp)

    def canvas(self, size: Extent) -> Extent:
        """That of the inner transform."""
        return self.inner.canvas(size)

    def draw(self, steps: int, generator: torch.Generator) -> Float[Tensor, "steps count"]:
        """The inner transform's numbers, and a seed for the noise."""
        seeds = torch.randint(SEEDS, (steps, 1), generator=generator).float()
        return torch.cat([self.inner.draw(steps, generator).flatten(1), seeds], 1)

    def __call__(self, images: Images, drawn: Float[Tensor, "batch count"], size: Extent) -> Tensor:
        """The windows with noise on them."""
        seen = self.inner(images, _inner(drawn[:, :-1], self.inner), size)
        noise = [
            torch.randn(seen.shape[1:], generator=torch.Generator().manual_seed(int(seed))) for seed in drawn[:, -1]
        ]
        return seen + self.deviation * torch.stack(noise).to(seen)


@dataclass(frozen=True)
class Blurred:
    """A Gaussian blur of up to this deviation in px, drawn anew at each step, of what another transform shows."""

    largest: float = 1.0
    inner: Transform = field(default_factory=Warp)

    def canvas(self, size: Extent) -> Extent:
        """That of the inner transform."""
        return self.inner.canvas(size)

    def draw(self, steps: int, generator: torch.Generator) -> Float[Tensor, "steps count"]:
        """The inner transform's numbers, and the blur's deviation."""
        blur = torch.rand((steps, 1), generator=generator) * self.largest
        return torch.cat([self.inner.draw(steps, generator).flatten(1), blur], 1)

    def __call__(self, images: Images, drawn: Float[Tensor, "batch count"], size: Extent) -> Tensor:
        """The windows, blurred."""
        seen = self.inner(images, _inner(drawn[:, :-1], self.inner), size)
        reach = max(1, math.ceil(REACH * self.largest))
        place = torch.arange(-reach, reach + 1, device=seen.device).to(seen)
        taps = torch.exp(-((place / drawn[:, -1:].to(seen).clamp(min=1e-3)) ** 2) / 2)
        taps = taps / taps.sum(1, keepdim=True)
        return _smoothed(_smoothed(seen, taps, 2), taps, 3)


def _smoothed(images: Images, taps: Float[Tensor, "batch tap"], axis: int) -> Images:
    """Each picture with its own taps along an axis, the edges repeated."""
    reach, length = taps.shape[1] // 2, images.shape[axis]
    sides = (0, 0, reach, reach) if axis == 2 else (reach, reach, 0, 0)
    padded = F.pad(images, sides, mode="replicate")
    shifted = (padded.narrow(axis, i, length) * taps[:, i, None, None, None] for i in range(taps.shape[1]))
    total = next(shifted)
    for each in shifted:
        total = total + each
    return total


@dataclass(frozen=True)
class RandomCrop:
    """A square part of the picture anywhere in it, `least` to `most` of its side, enlarged to what the network sees."""

    least: float = 0.5
    most: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.least <= self.most <= 1:
            raise BadValue(
                f"A crop of {self.least} to {self.most} of the side cannot be cut. Take 0 < least <= most <= 1."
            )

    def canvas(self, size: Extent) -> Extent:
        """The window itself: crops lie inside it."""
        return size

    def draw(self, steps: int, generator: torch.Generator) -> Float[Tensor, "steps 3"]:
        """The share of the side, and where in the rest the crop lies, across and down, -1 to 1."""
        drawn = torch.rand((steps, 3), generator=generator)
        share = self.least + drawn[:, :1] * (self.most - self.least)
        return torch.cat([share, drawn[:, 1:] * 2 - 1], 1)

    def __call__(self, images: Images, drawn: Float[Tensor, "batch 3"], size: Extent) -> Tensor:
        """The crops."""
        tall, wide = images.shape[2:]
        share, across, down = drawn.unbind(1)
        zero = torch.zeros_like(share)
        rows = [
            share * wide / size[1], zero, across * (1 - share) * wide / 2,
            zero, share * tall / size[0], down * (1 - share) * tall / 2,
        ]  # fmt: skip
        return warp(images, torch.stack(rows, 1).view(-1, 2, 3), size)


@dataclass(frozen=True)
class LucidOrder:
    """Lucid's standard transforms one after the other: pad, jitter, scale, rotate, jitter, each resampling anew.

    Pad 12 px of grey; crop 8 px less at random; one of 11 scales from 0.9 to 1.1, bilinear; one of 21 whole angles
    within 10 degrees, with five more chances for none, to the nearest px, black beyond the edge; crop 4 px less: the
    `standard_transforms` of Olah, Mordvintsev and Schubert, "Feature Visualization" (2017). Lucid shows the network
    whatever size comes out; so does `whole`, for one picture at a time. Else it is the middle, so that pictures can
    climb together.
    """

    pad: int = 12
    first: int = 8
    last: int = 4
    scale: float = 0.1
    rotate: int = 10
    whole: bool = False

    def canvas(self, size: Extent) -> Extent:
        """Just large enough that the smallest scale still fills the window; the window itself where all is shown."""
        if self.whole:
            return size
        height, width = (math.ceil((n + self.last) / (1 - self.scale)) + self.first - 2 * self.pad for n in size)
        # equal margins, as everywhere
        return max(size[0], height + (height - size[0]) % 2), max(size[1], width + (width - size[1]) % 2)

    def draw(self, steps: int, generator: torch.Generator) -> Float[Tensor, "steps 6"]:
        """Crop down and across, scale, angle in degrees, crop down and across."""
        first = torch.randint(self.first + 1, (steps, 2), generator=generator)
        last = torch.randint(self.last + 1, (steps, 2), generator=generator)
        scale = 1 + (torch.randint(11, (steps, 1), generator=generator) - 5) * (self.scale / 5)
        angles = torch.tensor([*range(-self.rotate, self.rotate + 1), 0, 0, 0, 0, 0])
        angle = angles[torch.randint(len(angles), (steps, 1), generator=generator)]
        return torch.cat([first, scale, angle, last], 1).float()

    def __call__(self, images: Images, drawn: Float[Tensor, "batch 6"], size: Extent) -> Tensor:
        """The middles of what the five transforms make of each picture, or all of it. Raises BadValue."""
        if self.whole and len(images) > 1:
            raise BadValue(
                "LucidOrder(whole=True) shows the network a picture of another size at each step, and so takes one "
                "picture at a time. Ask for one, or leave out whole."
            )
        return torch.cat([self._one(each[None], row.tolist(), size) for each, row in zip(images, drawn, strict=True)])

    def _one(self, image: Images, drawn: list[float], size: Extent) -> Tensor:
        down, across, scale, angle, later_down, later_across = drawn
        x = F.pad(image, (self.pad,) * 4, value=0.5)
        x = _cut(x, self.first, int(down), int(across))
        x = F.interpolate(x, [round(n * scale) for n in x.shape[2:]], mode="bilinear", align_corners=False)
        cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
        tall, wide = x.shape[2:]
        # grid_sample counts in half sides, and a turn must keep px square
        turn = torch.tensor(
            [[[cos, -sin * tall / wide, 0], [sin * wide / tall, cos, 0]]], dtype=x.dtype, device=x.device
        )
        grid = F.affine_grid(turn, list(x.shape), align_corners=False)
        x = F.grid_sample(x, grid, mode="nearest", padding_mode="zeros", align_corners=False)
        x = _cut(x, self.last, int(later_down), int(later_across))
        if self.whole:
            return x
        top, left = (x.shape[2] - size[0]) // 2, (x.shape[3] - size[1]) // 2
        return x[:, :, top : top + size[0], left : left + size[1]]


def _cut(images: Images, less: int, down: int, across: int) -> Tensor:
    return images[:, :, down : images.shape[2] - less + down, across : images.shape[3] - less + across]


def _inner(drawn: Float[Tensor, "batch count"], inner: Transform) -> Tensor:
    return drawn.view(-1, 2, 3) if isinstance(inner, Warp) else drawn
