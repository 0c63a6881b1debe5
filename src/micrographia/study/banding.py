"""Weight banding: do the kernels of a layer change more from row to row than from column to column?

In networks that end in global average pooling, the kernels of the last convolutions have been seen to become horizontal
bands (Petrov, Voss, Schubert, Cammarata, Goh and Olah, Weight Banding, Distill 2021), shown as pictures. Here it is a
number with its null.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from micrographia.errors import BadValue
from micrographia.study.null import Finding, corrected, holm, permutation_p

Kernels = Float[np.ndarray, "out in height width"]


def banding(kernels: Kernels) -> Float[np.ndarray, " out"]:
    """For each unit the share of its kernels' variance over space that rows alone explain, minus that of columns alone.

    1 for kernels that are the same along each row (horizontal bands), -1 for vertical ones, 0 where neither prevails;
    NaN for kernels that do not vary over space. Raises BadValue for kernels of a single tap or that are not square.

    >>> banding(np.arange(9.0).reshape(3, 3)[:, :1].repeat(3, 1)[None, None])
    array([1.])
    """
    height, width = kernels.shape[2:]
    if height != width or height < 2:
        raise BadValue(
            f"Kernels of {height} x {width} taps have no bands to compare. Choose square ones of 2 x 2 or more."
        )
    return _share(kernels, 3) - _share(kernels, 2)


def _share(kernels: Kernels, along: int) -> Float[np.ndarray, " out"]:
    centred = kernels.astype(np.float64)
    centred = centred - centred.mean((2, 3), keepdims=True)
    size = kernels.shape[along]
    part = np.square(centred.mean(along)).sum((1, 2)) * size
    whole = np.square(centred).sum((1, 2, 3))
    return np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0)


def bandings(layers: Mapping[str, Kernels], trials: int = 9999, seed: int = 0) -> tuple[Finding, ...]:
    """The mean banding of each layer, held against the same kernels with rows and columns exchanged in random units.

    Where neither direction is preferred, a unit's kernels are as likely as their transposes. p is two-sided, corrected
    over the layers after Holm. Units without banding (NaN) are left out, and so are layers without any unit.

    >>> bandings({"conv": np.random.default_rng(0).normal(size=(8, 3, 3, 3))})[0].what
    'banding of conv'
    """
    rng = np.random.default_rng(seed)
    found = []
    for name, kernels in layers.items():
        values = banding(kernels)
        values = values[np.isfinite(values)]
        if not len(values):
            continue
        # exchanging rows and columns turns the sign of a unit's banding
        null = (values * rng.choice([-1.0, 1.0], (trials, len(values)))).mean(1)
        mean = float(values.mean())
        p = permutation_p(mean, null, both_sides=True)
        found.append(Finding(f"banding of {name}", mean, "rows and columns exchanged", p, n=len(values)))
    return corrected(found, holm)
