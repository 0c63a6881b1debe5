"""What a kernel that reads pixels looks for, as one number for each unit: colour, spatial frequency, orientation."""

from __future__ import annotations

import numpy as np
from jaxtyping import Complex, Float

Kernels = Float[np.ndarray, "unit colour height width"]


def colour_index(kernels: Kernels) -> Float[np.ndarray, " unit"]:
    """The share of each kernel's energy that lies off the grey axis: 0 for black and white, 1 for pure colour contrast.

    Kernels that are zero everywhere give NaN, here and below.

    >>> colour_index(np.array([[[[1.0]], [[1.0]], [[1.0]]], [[[1.0]], [[0.0]], [[-1.0]]]]))
    array([0., 1.])
    """
    wide = kernels.astype(np.float64)
    return _ratio(np.square(wide - wide.mean(1, keepdims=True)).sum((1, 2, 3)), np.square(wide).sum((1, 2, 3)))


def spatial_frequency(kernels: Kernels) -> Float[np.ndarray, " unit"]:
    """The mean radius of the grey kernel's power spectrum, weighted by power, in cycles per px.

    The spectrum is sampled at least twice as densely as the kernel, which makes the mean independent of its crop.

    >>> spatial_frequency(np.resize([1.0, -1.0], (1, 3, 2, 8))).round(1)
    array([0.5])
    """
    power, rows, columns = _spectrum(kernels)
    return _ratio((power * np.hypot(rows, columns)).sum((1, 2)), power.sum((1, 2)))


def orientation_selectivity(kernels: Kernels) -> Float[np.ndarray, " unit"]:
    """How much of the grey kernel's power lies along one orientation: 0 for a disc, 1 for a grating.

    The length of the mean over the spectrum of exp(2 i angle), weighted by power (circular variance of orientation).

    >>> orientation_selectivity(np.ones((1, 3, 5, 5))).round(6)
    array([0.])
    """
    power, rows, columns = _spectrum(kernels)
    power = power * (np.hypot(rows, columns) > 0)  # a uniform part has no orientation
    turned = (power * np.exp(2j * np.arctan2(rows, columns))).sum((1, 2))
    return _ratio(np.abs(turned), power.sum((1, 2)))


def _spectrum(
    kernels: Kernels,
) -> tuple[Float[np.ndarray, "unit rows columns"], Float[np.ndarray, "rows 1"], Float[np.ndarray, " columns"]]:
    # a square and odd grid, so that no orientation is favoured: an even one has its highest frequency on one side only
    size = max(33, 2 * max(kernels.shape[2:]) + 1)
    power = np.square(np.abs(np.fft.fft2(kernels.astype(np.float64).mean(1), (size, size))))
    each = np.fft.fftfreq(size)
    return power, each[:, None], each


def _ratio(part: Float[np.ndarray, " unit"], whole: Float[np.ndarray, " unit"]) -> Float[np.ndarray, " unit"]:
    return np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0)


def spectral_traits(
    response: Complex[np.ndarray, "unit colour frequency"],
    rows: Float[np.ndarray, " frequency"],
    columns: Float[np.ndarray, " frequency"],
) -> dict[str, Float[np.ndarray, " unit"]]:
    """The three traits from a kernel's response to gratings: what to use where the kernel itself is too large.

    `rows` and `columns` are the gratings' frequencies in cycles per px, as `grating_frequencies` gives them.

    >>> spectral_traits(np.ones((1, 3, 5), complex), np.ones(5), np.zeros(5))["colour"]
    array([0.])
    """
    radius, angle = np.hypot(rows, columns), np.arctan2(rows, columns)
    # each grating stands for an area of the spectrum that grows with the square of its radius
    grey = np.square(np.abs(response.mean(1))) * radius**2
    whole = (np.square(np.abs(response)) * radius**2).sum((1, 2))
    total = grey.sum(1)
    return {
        "colour": _ratio(whole - 3 * total, whole) if response.shape[1] == 3 else np.full(len(whole), np.nan),
        "frequency": _ratio((grey * radius).sum(1), total),
        "orientation": _ratio(np.abs((grey * np.exp(2j * angle)).sum(1)), total),
    }


def grating_frequencies(
    lowest: float, radii: int = 12, orientations: int = 16
) -> tuple[Float[np.ndarray, " frequency"], Float[np.ndarray, " frequency"]]:
    """Frequencies along rows and columns of gratings in all orientations, from `lowest` to 0.5 in equal ratios.

    >>> [each.shape for each in grating_frequencies(0.01)]
    [(192,), (192,)]
    """
    radius = np.geomspace(lowest, 0.5, radii)[:, None]
    angle = np.pi * np.arange(orientations) / orientations
    return (radius * np.sin(angle)).ravel(), (radius * np.cos(angle)).ravel()
