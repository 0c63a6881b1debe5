"""Chollet's loop, the shortest feature visualization there is, as a preset: to hold ours against, and for teaching."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from micrographia.model.graph import LayerGraph
from micrographia.optvis.appearance import appearance
from micrographia.optvis.ascend import Normalised
from micrographia.optvis.objective import Channel
from micrographia.optvis.optimise import Picture, optimise
from micrographia.optvis.parametrise import Extent
from micrographia.optvis.transform import STILL
from micrographia.unit import Unit


@dataclass(frozen=True)
class Noise:
    """Px of 0..255 as they are, nothing keeps them in range: faint uniform noise on mid-grey to start with."""

    least: float = 128.0
    room: float = 20.0

    def start(self, size: Extent, channels: int, generator: torch.Generator) -> Float[Tensor, "channel height width"]:
        """Uniform noise from `least` to `least + room`."""
        return torch.rand((channels, *size), generator=generator) * self.room + self.least

    def __call__(
        self, numbers: Float[Tensor, "batch channel height width"], size: Extent
    ) -> Float[Tensor, "batch channel height width"]:
        """The px as values of 0..1 and beyond."""
        return numbers / 255


def chollet(
    graph: LayerGraph,
    unit: Unit,
    *,
    size: Extent | None = None,
    steps: int = 40,
    seed: int = 0,
    device: str | torch.device = "cpu",
    precision: str = "float32",
) -> Picture:
    """A channel's picture by plain gradient ascent: steps of RMS 1 in 0..255, then shown at a fixed contrast.

    F. Chollet, "Deep Learning with Python" (2017), section 5.4.2. `reached` is the objective where the climb ended,
    before the contrast was set. Raises what `optimise` raises.

    >>> chollet(graph, Unit("conv2d2", 7)).image.shape  # doctest: +SKIP
    (224, 224, 3)
    """
    (made,) = optimise(
        graph,
        Channel(unit.layer, unit.channel),
        size=size,
        parametrisation=Noise(),
        transform=STILL,
        ascent=Normalised(steps),
        redirected=0,
        seed=seed,
        device=device,
        precision=precision,
    )
    image = _shown(made.image * 255)
    return replace(made, image=image, numbers=made.numbers | appearance(torch.from_numpy(image).permute(2, 0, 1)))


def _shown(pixels: Float[np.ndarray, "height width channel"]) -> Float[np.ndarray, "height width channel"]:
    """Mean at mid-grey, deviation a tenth, the rest cut off."""
    shown: np.ndarray = np.clip((pixels - pixels.mean()) / (pixels.std() + 1e-5) * 0.1 + 0.5, 0, 1)
    return shown
