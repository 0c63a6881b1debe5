"""Accentuation: the climb begins at a real picture instead of noise."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from micrographia.errors import BadValue
from micrographia.optvis.parametrise import Extent, Fourier
from micrographia.optvis.pixels import Pixels


@dataclass(frozen=True, eq=False)
class Accentuate:
    """Starts at `picture`, values 0..1, and goes on in the numbers of `inner`, which must have no limit of contrast.

    A canvas larger than the picture shows it in its middle, mirrored beyond its edges.
    Raises BadValue for a picture that cannot be the start of this network's.

    >>> make = Accentuate(np.full((8, 8, 3), 0.25))
    >>> make(make.start((8, 8), 3, torch.Generator())[None], (8, 8)).unique()
    tensor([0.2500])
    """

    picture: Float[np.ndarray, "height width channel"]
    inner: Fourier | Pixels = field(default_factory=lambda: Fourier(contrast=None))

    def __post_init__(self) -> None:
        if self.inner.contrast is not None:
            raise BadValue(
                f"With contrast={self.inner.contrast} a picture could not be reproduced. Give one with contrast=None."
            )

    def __repr__(self) -> str:
        digest = hashlib.sha256(np.ascontiguousarray(self.picture, np.float32).tobytes()).hexdigest()
        return f"Accentuate(picture={self.picture.shape} sha256 {digest[:12]}, inner={self.inner!r})"

    def start(self, size: Extent, channels: int, generator: torch.Generator) -> Tensor:
        """The numbers of the picture; nothing is random."""
        height, width, depth = self.picture.shape
        room = size[0] - height, size[1] - width
        if depth != channels or min(room) < 0:
            raise BadValue(
                f"A picture of {height} x {width} px and {depth} channels cannot be the start of one of "
                f"{size[0]} x {size[1]} px and {channels} channels. Resize it to the size that is optimised."
            )
        before = room[0] // 2, room[1] // 2
        margins = [(first, whole - first) for first, whole in zip(before, room, strict=True)]
        canvas = np.pad(np.asarray(self.picture, np.float64), [*margins, (0, 0)], mode="symmetric")
        values = torch.from_numpy(canvas.transpose(2, 0, 1).copy())[None]
        return self.inner.invert(values)[0].float()

    def __call__(self, numbers: Tensor, size: Extent) -> Float[Tensor, "batch channel height width"]:
        """Pictures of a batch of numbers."""
        return self.inner(numbers, size)
