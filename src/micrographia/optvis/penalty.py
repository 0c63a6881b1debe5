"""Penalties: objectives that read the picture alone, to be subtracted from others.

They are means over px and channels, so that a weight keeps its meaning on pictures of any size.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from micrographia.errors import BadValue
from micrographia.optvis.objective import Objective, Scene

TINY = 1e-12  # under a root, whose slope has no end at zero


class _OfPicture(Objective):
    @property
    def layers(self) -> tuple[str, ...]:
        return ()


@dataclass(frozen=True)
class L1(_OfPicture):
    """Mean distance from a level of grey."""

    level: float = 0.5

    def __call__(self, scene: Scene) -> Float[Tensor, " batch"]:
        return (scene.pictures - self.level).abs().flatten(1).mean(1)


@dataclass(frozen=True)
class L2(_OfPicture):
    """Root of the mean squared distance from a level of grey: the contrast."""

    level: float = 0.5

    def __call__(self, scene: Scene) -> Float[Tensor, " batch"]:
        return ((scene.pictures - self.level).square().flatten(1).mean(1) + TINY).sqrt()


@dataclass(frozen=True)
class TotalVariation(_OfPicture):
    """Mean difference between neighbouring px, down and across (Rudin, Osher and Fatemi 1992, in its L1 form)."""

    def __call__(self, scene: Scene) -> Float[Tensor, " batch"]:
        down = scene.pictures.diff(dim=2).abs().flatten(1).sum(1)
        across = scene.pictures.diff(dim=3).abs().flatten(1).sum(1)
        return (down + across) / scene.pictures[0].numel()


@dataclass(frozen=True)
class Boundary(_OfPicture):
    """Contrast of a frame of `width` px along the edges: to keep what a picture shows in its middle."""

    width: int = 8

    def __call__(self, scene: Scene) -> Float[Tensor, " batch"]:
        height, width = scene.pictures.shape[2:]
        if not 1 <= self.width <= min(height, width) // 2:
            raise BadValue(
                f"A frame of {self.width} px does not fit a picture of {height} x {width} px. "
                f"Take 1 to {min(height, width) // 2}."
            )
        frame = torch.ones((height, width), dtype=torch.bool, device=scene.pictures.device)
        frame[self.width : height - self.width, self.width : width - self.width] = False
        return ((scene.pictures[:, :, frame] - 0.5).square().flatten(1).mean(1) + TINY).sqrt()


@dataclass(frozen=True)
class Opacity(_OfPicture):
    """Mean opacity of a picture with transparency; subtract it to see only what matters."""

    def __call__(self, scene: Scene) -> Float[Tensor, " batch"]:
        if scene.opacity is None:
            raise BadValue("These pictures have no opacity. Use the parametrisation Transparent.")
        return scene.opacity.flatten(1).mean(1)
