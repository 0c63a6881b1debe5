"""Kernels on rings: samples along circles about a kernel's centre, so that turning a kernel moves its samples."""

from __future__ import annotations

from functools import cache

import numpy as np
from jaxtyping import Float

Samples = Float[np.ndarray, "height width ring angle"]

MOST_RINGS = 16


@cache
def ring_samples(size: tuple[int, int], angles: int = 36) -> Samples:
    """What each tap of a kernel of this size (height, width) adds to each sample, of rings half a cell apart.

    Interpolated bilinearly, and weighted with the root of the area that a sample stands for, so that products of
    kernels stay what they are. Step a of the angles looks in the direction 360 a / angles degrees, counted from right
    towards up.

    >>> ring_samples((3, 3), 8).shape
    (3, 3, 3, 8)
    """
    reach = max(size) / 2
    count = min(MOST_RINGS, round(2 * reach))
    radii = (np.arange(count) + 0.5) * reach / count
    return _sampled(size, radii, np.sqrt(radii * reach / count), angles)


@cache
def log_rings(size: tuple[int, int], angles: int = 36, octave: int = 8) -> Samples:
    """The same on rings in equal ratios, `octave` of them to a factor of two: scaling a kernel moves its samples.

    >>> log_rings((7, 7), 8).shape
    (7, 7, 23, 8)
    """
    reach = max(size) / 2
    count = int(octave * np.log2(reach / 0.5)) + 1
    radii = reach * 2.0 ** (-np.arange(count)[::-1] / octave)
    return _sampled(size, radii, radii, angles)


def _sampled(
    size: tuple[int, int], radii: Float[np.ndarray, " ring"], weight: Float[np.ndarray, " ring"], angles: int
) -> Samples:
    turn = 2 * np.pi * np.arange(angles) / angles
    rows = (size[0] - 1) / 2 - radii[:, None] * np.sin(turn)
    columns = (size[1] - 1) / 2 + radii[:, None] * np.cos(turn)
    along = [
        np.maximum(0, 1 - np.abs(np.arange(extent)[:, None, None] - at))
        for extent, at in zip(size, (rows, columns), strict=True)
    ]
    found = along[0][:, None] * along[1][None] * (weight * np.sqrt(2 * np.pi / angles))[:, None]
    found.setflags(write=False)
    return found
