"""One-sided non-negative factors of a family's weights: which few mixtures of inputs do its units read, and where?

The kernels of some units are written as a sum over a few factors, each a mixture of input channels (never negative) and
a map for each unit (of either sign). High-low frequency detectors, for one, come down to a high-frequency and a
low-frequency mixture, read on opposite sides.

Source: Schubert et al., High-Low Frequency Detectors (Distill 2021), footnote on one-sided NMF; Voss et al.,
Visualizing Weights (Distill 2021), for three factors of one unit as the colours of a picture.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.optimize import linear_sum_assignment
from sklearn.decomposition import NMF
from sklearn.exceptions import ConvergenceWarning

from micrographia.errors import BadValue
from micrographia.study.null import Finding, corrected, holm, permutation_p

Kernels = Float[np.ndarray, "unit in height width"]


@dataclass(frozen=True, eq=False)
class Factors:
    """A family's kernels as mixtures of inputs times maps, the strongest factor first.

    `mixtures` are of length 1 each, so that the `maps` carry all strength. `explained` is the share of the squared
    weights that the product holds. `stability` is how alike the mixtures of other random starts are (mean cosine of
    the best one-to-one match), 1 where there is one answer only.
    """

    mixtures: Float[np.ndarray, "factor in"]
    maps: Float[np.ndarray, "unit factor height width"]
    explained: float
    stability: float

    def correlation(self) -> Float[np.ndarray, " unit"]:
        """For each unit the correlation of its first two maps over space: -1 where they are read on opposite sides.

        NaN where a map is the same everywhere. Raises BadValue for a single factor.
        """
        if len(self.mixtures) < 2:
            raise BadValue("One factor has nothing to correlate with. Ask for two factors or more.")
        flat = self.maps[:, :2].reshape(len(self.maps), 2, -1).astype(np.float64)
        flat = flat - flat.mean(2, keepdims=True)
        size = np.sqrt(np.square(flat).sum(2)).prod(1)
        return np.divide((flat[:, 0] * flat[:, 1]).sum(1), size, out=np.full(len(flat), np.nan), where=size > 0)

    def strongest(self, count: int = 5) -> list[list[int]]:
        """For each factor the input channels that weigh most in it."""
        return [np.argsort(-mixture, kind="stable")[:count].tolist() for mixture in self.mixtures]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        together = self.correlation() if len(self.mixtures) > 1 else np.full(len(self.maps), np.nan)
        return {
            "mixtures": self.mixtures.tolist(), "maps": self.maps.tolist(), "explained": self.explained,
            "stability": self.stability, "map_correlation": [None if np.isnan(r) else float(r) for r in together],
        }  # fmt: skip


def one_sided(kernels: Kernels, count: int, starts: int = 10, seed: int = 0) -> Factors:
    """The best of several starts of non-negative factors of the positive and the negative weights side by side.

    Both signs share the mixtures, so a map is what is read with a plus less what is read with a minus. Raises BadValue
    for no factor or more than there are inputs, and for kernels that are zero everywhere.

    >>> planted = np.einsum("kc,ukhw->uchw", np.eye(2, 5), np.random.default_rng(0).normal(size=(3, 2, 3, 3)))
    >>> round(one_sided(planted, 2).explained, 3)
    1.0
    """
    wide = kernels.astype(np.float64)
    units, inputs, height, width = wide.shape
    rows = wide.transpose(0, 2, 3, 1).reshape(-1, inputs)
    if not 1 <= count <= min(inputs, 2 * len(rows)):
        raise BadValue(f"{count} factors of {inputs} inputs cannot be. Ask for 1 to {min(inputs, 2 * len(rows))}.")
    if not np.square(rows).sum() > 0:
        raise BadValue("These weights are zero everywhere, so there is nothing to factor. Choose live units.")
    split = np.concatenate([np.maximum(rows, 0), np.maximum(-rows, 0)])
    found = [_start(split, rows, count, seed + start) for start in range(max(1, starts))]
    best = min(range(len(found)), key=lambda number: found[number][2])
    mixtures, strengths, error = found[best]
    order = np.argsort(-np.square(strengths).sum(0), kind="stable")
    others = [_alike(mixtures, each[0]) for number, each in enumerate(found) if number != best]
    maps = strengths[:, order].reshape(units, height, width, count).transpose(0, 3, 1, 2)
    stability = float(np.mean(others)) if others else 1.0
    return Factors(mixtures[order], np.ascontiguousarray(maps), 1 - error, stability)


def against_random(
    kernels: Kernels, members: Sequence[int], count: int, found: Factors, trials: int = 99, seed: int = 0
) -> tuple[Finding, ...]:
    """Whether a family comes down to its few factors better than as many units of its layer chosen at random.

    `kernels` are those of the whole layer, `members` the family, `found` its factors. Two findings: the share explained
    and, for two factors or more, how negative the mean correlation of the first two maps is. p-values are corrected
    after Holm. Raises BadValue for a family that leaves fewer than two units of the layer out.

    >>> [each.what for each in against_random(kernels, family, 2, one_sided(kernels[family], 2))]  # doctest: +SKIP
    ['share explained by 2 factors', 'correlation of the two maps']
    """
    live = np.flatnonzero(np.square(kernels).sum((1, 2, 3)) > 0)
    if len(live) < len(members) + 2:
        raise BadValue(
            f"{len(members)} of {len(live)} live units leave no others to compare with. Choose fewer of the layer."
        )
    maps = count > 1 and kernels.shape[2] * kernels.shape[3] > 1  # one tap has nothing to correlate
    rng = np.random.default_rng(seed)
    explained, together = np.empty(trials), np.empty(trials)
    for trial in range(trials):
        each = one_sided(kernels[rng.choice(live, len(members), replace=False)], count, 1, seed + trial)
        explained[trial] = each.explained
        together[trial] = np.nanmean(each.correlation()) if maps else 0.0
    null, units = f"{len(members)} units at random", len(members)
    # held against one start, as the trials are
    single = one_sided(kernels[list(members)], count, 1, seed)
    p = permutation_p(single.explained, explained)
    findings = [Finding(f"share explained by {count} factors", found.explained, null, p, n=units)]
    if maps:
        p = permutation_p(-float(np.nanmean(single.correlation())), -together)
        mean = float(np.nanmean(found.correlation()))
        findings.append(Finding("correlation of the two maps", mean, null, p, n=units))
    return corrected(findings, holm)


def against_turned(
    kernel: Float[np.ndarray, "in height width"], count: int, found: Factors, trials: int = 99, seed: int = 0
) -> Finding:
    """Whether one unit's inputs share a few maps more than if each input's map were turned and mirrored at random.

    What each input's weights are, and how smooth, stays as it is; only that they lie in the same places is lost.
    `found` are the unit's factors; the null is held against one start, as each of its trials is. Raises BadValue
    for a single tap, which has no places.

    >>> against_turned(kernels[5], 3, one_sided(kernels[5:6], 3)).null  # doctest: +SKIP
    "each input's map turned and mirrored at random"
    """
    if kernel.shape[1] * kernel.shape[2] < 2:
        raise BadValue("A kernel of one tap has no map. Choose units with larger kernels, or factor a family jointly.")
    rng = np.random.default_rng(seed)
    single = one_sided(kernel[None], count, 1, seed).explained
    turned = (one_sided(_turned(kernel, rng)[None], count, 1, seed + trial).explained for trial in range(trials))
    p = permutation_p(single, np.fromiter(turned, float, trials))
    what = f"share explained by {count} factors"
    return Finding(what, found.explained, "each input's map turned and mirrored at random", p, n=len(kernel))


def _turned(
    kernel: Float[np.ndarray, "in height width"], rng: np.random.Generator
) -> Float[np.ndarray, "in height width"]:
    turns = (0, 1, 2, 3) if kernel.shape[1] == kernel.shape[2] else (0, 2)
    each = [np.rot90(one, rng.choice(turns))[:: rng.choice((1, -1))] for one in kernel]
    return np.stack(each)


def _start(
    split: Float[np.ndarray, "row in"], rows: Float[np.ndarray, "cell in"], count: int, seed: int
) -> tuple[Float[np.ndarray, "factor in"], Float[np.ndarray, "cell factor"], float]:
    """Mixtures of length 1, signed strengths, and the share of the squared weights that they miss."""
    model = NMF(count, init="random", solver="cd", tol=1e-5, max_iter=400, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a little short of the optimum is told by `stability`
        strengths = model.fit_transform(split)
    lengths = np.sqrt(np.square(model.components_).sum(1))
    mixtures = model.components_ / np.where(lengths > 0, lengths, 1)[:, None]
    signed = (strengths[: len(rows)] - strengths[len(rows) :]) * lengths
    missed = np.square(rows - signed @ mixtures).sum() / np.square(rows).sum()
    return mixtures, signed, float(missed)


def _alike(one: Float[np.ndarray, "factor in"], other: Float[np.ndarray, "factor in"]) -> float:
    cosines = one @ other.T
    return float(cosines[linear_sum_assignment(-cosines)].mean())
