"""Transforms: what a picture goes through before the network sees it, drawn anew for each picture at each step.

Here are jitter, scale and rotation as one warp; `disturb` holds noise, blur, random crops and Lucid's own order.

The picture that is optimised is a little larger than what the network sees, so no step shows the network a border.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from micrographia.optvis.kernels.threads import compiled
from micrographia.optvis.kernels.warped import warped

Extent = tuple[int, int]


@runtime_checkable
class Transform(Protocol):
    """What the engine asks of a transform: a frozen dataclass whose call treats each picture on its own."""

    def canvas(self, size: Extent) -> Extent:
        """How large a picture to optimise for a window of this size."""
        ...

    def draw(self, steps: int, generator: torch.Generator) -> Float[Tensor, "steps ..."]:
        """The random numbers of one picture, for each step."""
        ...

    def __call__(
        self, images: Float[Tensor, "batch channel tall wide"], drawn: Float[Tensor, "batch ..."], size: Extent
    ) -> Float[Tensor, "batch channel height width"]:
        """The windows of `size` that the network sees of the pictures, by the numbers drawn for this step."""
        ...


@dataclass(frozen=True)
class Warp:
    """Ranges to draw from: jitter up to so many px each way, scale 1 +- `scale`, rotation +- `rotate` degrees."""

    jitter: float = 8.0
    scale: float = 0.1
    rotate: float = 10.0

    def draw(self, steps: int, generator: torch.Generator) -> Float[Tensor, "steps 2 3"]:
        """One picture's affine maps, one a step: rotation times scale, then the jitter in px."""
        uniform = torch.rand((steps, 4), generator=generator, dtype=torch.float64) * 2 - 1
        angle = uniform[:, 0] * self.rotate * (torch.pi / 180)
        scale = 1 / (1 + uniform[:, 1] * self.scale)
        cos, sin = angle.cos() * scale, angle.sin() * scale
        rows = torch.stack([cos, -sin, uniform[:, 2] * self.jitter, sin, cos, uniform[:, 3] * self.jitter], 1)
        return rows.view(-1, 2, 3).float()

    def __call__(
        self, images: Float[Tensor, "batch channel tall wide"], drawn: Float[Tensor, "batch 2 3"], size: Extent
    ) -> Float[Tensor, "batch channel height width"]:
        """See `warp`."""
        return warp(images, drawn, size)

    def canvas(self, size: Extent) -> Extent:
        """How large a picture to optimise for a window of this size: with room for the jitter and half of the rest.

        The lengths have no prime factor above 7, for the sake of the Fourier transform, and leave equal margins.
        """
        room = 2 * (self.jitter + max(size) * (self.scale + self.rotate * torch.pi / 180) / 4)
        return _smooth(size[0], size[0] + room), _smooth(size[1], size[1] + room)


def described(transform: Transform) -> dict[str, Any]:
    """A transform as plain values: a warp's settings by name, of any other its representation.

    >>> described(STILL)
    {'jitter': 0.0, 'scale': 0.0, 'rotate': 0.0}
    """
    return asdict(transform) if isinstance(transform, Warp) else {"is": repr(transform)}


STILL = Warp(jitter=0.0, scale=0.0, rotate=0.0)


def default_warp(window: Extent, moves: float = 1.0) -> Warp:
    """Jitter of a fourteenth of the window but at most 8 px, scale within 10 % and rotation within 10 degrees.

    Windows below 56 px are turned and scaled less in proportion, and those below 28 px move less: there, what moves
    blurs the finest lines that a unit looks for. `moves` is the share of all these that is taken.
    """
    longest = max(window)
    calm = min(1.0, longest / 56) * moves
    return Warp(jitter=min(8.0, longest / 14) * min(1.0, longest / 28) * moves, scale=0.1 * calm, rotate=10.0 * calm)


def middle(
    pictures: Float[Tensor, "batch channel tall wide"], window: Extent
) -> Float[Tensor, "batch channel height width"]:
    """The central window of each picture: what is left of it when nothing is transformed."""
    top, left = [(n - m) // 2 for n, m in zip(pictures.shape[2:], window, strict=True)]
    return pictures[:, :, top : top + window[0], left : left + window[1]]


def _smooth(start: int, least: float) -> int:
    length = start
    while length < least or not _is_smooth(length):
        length += 2
    return length


def _is_smooth(length: int) -> bool:
    for prime in (2, 3, 5, 7):
        while length % prime == 0:
            length //= prime
    return length == 1


def warp(
    images: Float[Tensor, "batch channel tall wide"], maps: Float[Tensor, "batch 2 3"], size: Extent
) -> Float[Tensor, "batch channel height width"]:
    """The central window of `size` of each picture after its own affine map, bilinear; beyond the edge it is mirrored.

    A map takes the window's (x, y) in px from its centre to the picture's; raises nothing.

    >>> identity = torch.tensor([[[1.0, 0, 0], [0, 1, 0]]])
    >>> warp(torch.eye(4)[None, None], identity, (2, 2))[0, 0]
    tensor([[1., 0.],
            [0., 1.]])
    """
    if images.shape[1] == 3 and images.dtype == torch.float32 and compiled(images):
        return warped(images, maps, size)
    tall, wide = images.shape[2:]
    device, dtype = images.device, images.dtype
    y = (torch.arange(size[0], device=device, dtype=dtype) - (size[0] - 1) / 2)[:, None]
    x = (torch.arange(size[1], device=device, dtype=dtype) - (size[1] - 1) / 2)[None, :]
    a = maps.to(dtype)[:, :, :, None, None]
    across = (a[:, 0, 0] * x + a[:, 0, 1] * y + a[:, 0, 2]) * (2 / wide)
    down = (a[:, 1, 0] * x + a[:, 1, 1] * y + a[:, 1, 2]) * (2 / tall)
    grid = torch.stack([across, down], -1)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
