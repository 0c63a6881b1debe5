"""The card of a set of weights: what goes in, what comes out, whose work it is, and its checksum."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from micrographia.errors import BadValue

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Card:
    """Preprocessing, labels and provenance of one set of weights.

    A picture's short side is brought down to `resize` px, its centre of `size` (height, width) px cut out, and given as
    values 0..1 in RGB; the network sees (value * scale - mean) / std, in `order`. `mean` and `std` are in
    the network's own order and scale.
    """

    name: str
    size: tuple[int, int] = (224, 224)
    resize: int = 256
    channels: int = 3
    scale: float = 1.0
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    order: str = "RGB"
    interpolation: str = "bilinear"
    labels: tuple[str, ...] = ()
    licence: str = "unknown"
    source: str = ""
    sha256: str = ""
    training: dict[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        if self.order not in ("RGB", "BGR"):
            raise BadValue(f"The card's order '{self.order}' is not known. It is 'RGB' or 'BGR'.")
        if len(self.mean) != self.channels or len(self.std) != self.channels:
            raise BadValue(
                f"The card names {self.channels} channels but {len(self.mean)} means and {len(self.std)} deviations. "
                "Give one of each per channel."
            )
        if min(self.size) < 1 or self.resize < 1 or self.scale <= 0 or min(self.std, default=1) <= 0:
            raise BadValue(
                f"The card of '{self.name}' has size {self.size}, resize {self.resize}, scale {self.scale} and "
                f"deviations {self.std}. Each of them must be above 0."
            )

    def to_json(self) -> dict[str, Any]:
        """A dictionary of plain values: `Card.from_json(card.to_json()) == card`."""
        return asdict(self)

    @staticmethod
    def from_json(values: dict[str, Any]) -> Card:
        """The card that `to_json` wrote; unknown keys, of a later version, are left out."""
        known = {f.name for f in fields(Card)}
        kept: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items() if k in known}
        return Card(**kept)


def normalise(
    images: Float[Tensor, "batch channel height width"], card: Card
) -> Float[Tensor, "batch channel height width"]:
    """What the network sees of pictures in values 0..1, RGB; differentiable.

    >>> normalise(torch.zeros(1, 3, 2, 2), Card("x", mean=(1.0, 2, 3), std=(1.0, 1, 1)))[0, :, 0, 0]
    tensor([-1., -2., -3.])
    """
    if card.order == "BGR":
        images = images.flip(1)
    mean = torch.tensor(card.mean, dtype=images.dtype, device=images.device)[:, None, None]
    std = torch.tensor(card.std, dtype=images.dtype, device=images.device)[:, None, None]
    return (images * card.scale - mean) / std


def denormalise(
    values: Float[Tensor, "batch channel height width"], card: Card
) -> Float[Tensor, "batch channel height width"]:
    """Back from what the network sees to pictures in values 0..1, RGB: the inverse of `normalise`."""
    mean = torch.tensor(card.mean, dtype=values.dtype, device=values.device)[:, None, None]
    std = torch.tensor(card.std, dtype=values.dtype, device=values.device)[:, None, None]
    images = (values * std + mean) / card.scale
    return images.flip(1) if card.order == "BGR" else images
