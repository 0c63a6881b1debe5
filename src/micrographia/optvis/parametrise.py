"""Parametrisations: the numbers that are optimised, and the picture that they stand for.

A parametrisation is a frozen dataclass: `start` draws the numbers of one picture, the call turns a batch of numbers
into a batch of pictures in values 0..1. Every step treats each picture on its own and uses operations that are exactly
rounded, so a picture comes out the same, bit for bit, in any batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from micrographia.optvis.kernels.colours import coloured as coloured_picture
from micrographia.optvis.kernels.threads import compiled

Extent = tuple[int, int]

# columns: the axes of colour variation in natural pictures (lightness, blue-yellow, green-purple), rows: R, G, B;
# from the eigenvectors of ImageNet's pixels (Olah, Mordvintsev and Schubert, Distill 2017), longest column of length 1
COLOUR_AXES = (
    (0.5628, 0.1948, 0.0433),
    (0.5845, 0.0000, -0.1082),
    (0.5845, -0.1948, 0.0649),
)


@runtime_checkable
class Parametrisation(Protocol):
    """What the engine asks of the numbers behind a picture."""

    def start(self, size: Extent, channels: int, generator: torch.Generator) -> Tensor:
        """The first numbers of one picture."""
        ...

    def __call__(self, numbers: Tensor, size: Extent) -> Tensor:
        """Pictures, "batch channel height width" in values 0..1, of a batch of numbers."""
        ...


class Plain(Parametrisation, Protocol):
    """A parametrisation with one stack of numbers per channel, which others can be built on."""

    def shape(self, size: Extent) -> tuple[int, ...]:
        """What the numbers of one channel look like."""
        ...

    def plain(self, numbers: Tensor, size: Extent) -> Float[Tensor, "batch channel height width"]:
        """The pictures before colour and squashing."""
        ...


def squash(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """A sigmoid of square roots, (1 + u / sqrt(1 + u^2)) / 2 with u = x / 2: the logistic's slope, slower to saturate.

    >>> squash(torch.tensor([0.0]))
    tensor([0.5000])
    """
    u = x * 0.5
    return u * (u * u + 1).rsqrt() * 0.5 + 0.5 if x.device.type != "cpu" else u / (u * u + 1).sqrt() * 0.5 + 0.5


def unsquash(y: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """The inverse of `squash`, for values between 0 and 1.

    >>> unsquash(squash(torch.tensor([3.0])))
    tensor([3.0000])
    """
    s = y * 2 - 1
    return 2 * s / ((1 - s) * (1 + s)).sqrt()


def recolour(x: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch 3 height width"]:
    """From decorrelated colour axes to R, G, B."""
    axes = torch.tensor(COLOUR_AXES, dtype=x.dtype, device=x.device)
    columns = [axes[:, i, None, None] for i in range(3)]
    return x[:, 0:1] * columns[0] + x[:, 1:2] * columns[1] + x[:, 2:3] * columns[2]


def decolour(x: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch 3 height width"]:
    """From R, G, B to decorrelated colour axes: the inverse of `recolour`."""
    inverse = torch.linalg.inv(torch.tensor(COLOUR_AXES, dtype=torch.float64)).to(x)
    return torch.einsum("ij,bjhw->bihw", inverse, x)


def frequencies(size: Extent, dtype: torch.dtype = torch.float32) -> Float[Tensor, "height columns"]:
    """Distance from zero, in cycles per px, of every coefficient of a real picture's half spectrum.

    >>> frequencies((4, 4))[0]
    tensor([0.0000, 0.2500, 0.5000])
    """
    rows = torch.fft.fftfreq(size[0], dtype=dtype)[:, None]
    columns = torch.fft.rfftfreq(size[1], dtype=dtype)[None]
    return (rows * rows + columns * columns).sqrt()


class _MeanSquare(torch.autograd.Function):
    """Per picture, by adding halves to halves: the order of summation depends on the picture's size alone."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        rest = (x * x).flatten(1)
        count = rest.shape[1]
        while rest.shape[1] > 1:
            half = rest.shape[1] // 2
            added = rest[:, :half] + rest[:, half : 2 * half]
            rest = torch.cat([added, rest[:, 2 * half :]], 1) if rest.shape[1] % 2 else added
        return rest / count

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return x * (gradient * (2 / x[0].numel())).view(-1, *[1] * (x.ndim - 1))


def limited(
    x: Float[Tensor, "batch channel height width"], contrast: float
) -> Float[Tensor, "batch channel height width"]:
    """Each picture scaled down to a root mean square of `contrast` where it exceeds that.

    >>> limited(torch.full((1, 1, 2, 2), 4.0), 1.0).unique()
    tensor([1.])
    """
    spread = _MeanSquare.apply(x).sqrt().view(-1, 1, 1, 1)
    return x * (contrast / spread.clamp(min=contrast))


def finished(
    plain: Float[Tensor, "batch channel height width"], contrast: float | None = None, logistic: bool = False
) -> Float[Tensor, "batch channel height width"]:
    """Values 0..1 of decorrelated, unbounded ones: colour (for three channels), contrast, squashing."""
    if plain.shape[1] == 3 and plain.dtype == torch.float32 and compiled(plain) and not logistic:
        return coloured_picture(plain, tuple(each for row in COLOUR_AXES for each in row), contrast)
    coloured = recolour(plain) if plain.shape[1] == 3 else plain
    coloured = coloured if contrast is None else limited(coloured, contrast)
    return torch.sigmoid(coloured) if logistic else squash(coloured)


def unfinished(
    pictures: Float[Tensor, "batch channel height width"], logistic: bool = False
) -> Float[Tensor, "batch channel height width"]:
    """The inverse of `finished` without contrast, of values kept within 0.01 of black and white."""
    inside = pictures.clamp(0.01, 0.99)
    coloured = torch.logit(inside) if logistic else unsquash(inside)
    return decolour(coloured) if pictures.shape[1] == 3 else coloured


@lru_cache(maxsize=16)
def _falling(size: Extent, decay: float) -> Float[Tensor, "height columns"]:
    return frequencies(size, torch.float64).clamp(min=1 / max(size)) ** -decay


class _Synthesis(torch.autograd.Function):
    """Planes of a half spectrum times `scale`; its gradient is an analysis, in which inner columns count twice."""

    @staticmethod
    def forward(ctx: Any, numbers: Tensor, scale: Tensor, size: Extent) -> Tensor:
        ctx.size = size
        ctx.save_for_backward(scale)
        spectrum = torch.empty((*numbers.shape[:2], *scale.shape, 2), dtype=numbers.dtype, device=numbers.device)
        torch.mul(numbers.movedim(2, -1), scale[..., None], out=spectrum)
        return torch.fft.irfft2(torch.view_as_complex(spectrum), s=size)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (scale,) = ctx.saved_tensors
        height, width = ctx.size
        twice = torch.full_like(scale[0], 2)
        twice[0] = 1
        if width % 2 == 0:
            twice[-1] = 1
        found = torch.view_as_real(torch.fft.rfft2(gradient))
        weight = scale * (twice / (height * width))
        out = gradient.new_empty((*gradient.shape[:2], 2, *scale.shape))
        torch.mul(found.movedim(-1, 2), weight, out=out)
        return out, None, None


@dataclass(frozen=True)
class Fourier:
    """A spectrum with decorrelated colour, scaled so that equal steps move every scale of a 1/f picture equally.

    Coefficients are divided by max(f, 1 / longest side) ** decay; `deviation` is that of the first random numbers and
    `gain` scales the result before squashing, by `squash` or by the logistic function (Olah, Mordvintsev and Schubert,
    "Feature Visualization", 2017).
    """

    decay: float = 1.25
    deviation: float = 0.01
    gain: float = 0.25
    contrast: float | None = 1.2
    logistic: bool = False

    def start(
        self, size: Extent, channels: int, generator: torch.Generator
    ) -> Float[Tensor, "channel 2 height columns"]:
        """Gaussian real and imaginary parts."""
        return torch.randn((channels, *self.shape(size)), generator=generator) * self.deviation

    def shape(self, size: Extent) -> tuple[int, ...]:
        """What the numbers of one channel look like."""
        return (2, size[0], size[1] // 2 + 1)

    def plain(
        self, numbers: Float[Tensor, "batch channel 2 height columns"], size: Extent
    ) -> Float[Tensor, "batch channel height width"]:
        """The pictures before colour and squashing."""
        planes: Tensor = _Synthesis.apply(numbers, self._scale(size).to(numbers), size)
        return planes

    def __call__(
        self, numbers: Float[Tensor, "batch channel 2 height columns"], size: Extent
    ) -> Float[Tensor, "batch channel height width"]:
        """Pictures of a batch of spectra."""
        return finished(self.plain(numbers, size), self.contrast, self.logistic)

    def invert(
        self, pictures: Float[Tensor, "batch channel height width"]
    ) -> Float[Tensor, "batch channel 2 height columns"]:
        """The numbers of given pictures, whose values are kept within 0.01 of black and white; without `contrast`."""
        plain = unfinished(pictures, self.logistic)
        size = pictures.shape[2], pictures.shape[3]
        spectrum = torch.fft.rfft2(plain) / self._scale(size).to(plain)
        return torch.stack([spectrum.real, spectrum.imag], 2)

    def _scale(self, size: Extent) -> Float[Tensor, "height columns"]:
        return _falling(size, self.decay) * (self.gain * (size[0] * size[1]) ** 0.5)


def default_fourier(window: Extent, decay: float = Fourier.decay) -> Fourier:
    """Spectrum, contrast and gain for a window: below 27 px more contrast, below 56 px faster steps.

    The smaller a patch of a photograph, the closer it comes to pure black and white, so a limit of contrast that suits
    large pictures would keep small ones below what photographs reach. Beyond 3 hardly more units exceed photographs,
    and patches of one colour break up into black, white and pure colours.

    >>> default_fourier((224, 224)) == Fourier(), default_fourier((7, 7)).contrast
    (True, 3.0)
    """
    small, smaller = max(1.0, 56 / max(window)), max(1.0, 27 / max(window))
    return Fourier(decay, gain=0.25 * small**0.75, contrast=round(min(1.2 * smaller**0.68, 3.0), 3))


def faint(size: Extent, channels: int, count: int) -> Float[Tensor, "count channel height width"]:
    """Faint random pictures, as a climb meets them in its first steps, always the same: to try a network on.

    >>> faint((8, 8), 3, 2).shape
    torch.Size([2, 3, 8, 8])
    """
    generator, make = torch.Generator().manual_seed(0), Fourier(gain=4.0)
    return make(torch.stack([make.start(size, channels, generator) for _ in range(count)]), size)


# the settings of Lucid's fft_image with decorrelated colour and sigmoid, number for number
LUCID = Fourier(decay=1.0, deviation=0.01, gain=0.25, contrast=None, logistic=True)
