"""Who writes a channel of a sum? Each path's share of its variance over pictures, and what goes along with it.

In a residual network all paths into an addition write every channel, so that a unit belongs to none of them. But its
variance comes from them in parts: var(sum) is the sum over the paths of cov(path, sum), and that part is the path's
share. Where a score of the units goes along with a path's share, that path is specialised.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, Int
from scipy.stats import rankdata

from micrographia.errors import BadValue
from micrographia.study.null import Finding, corrected, permutation_p

Shares = Float[np.ndarray, "path unit"]


def variance_shares(parts: Sequence[Float[np.ndarray, "picture unit *space"]]) -> Shares:
    """Each path's share of the variance of every channel of their sum, over pictures and places; they add up to 1.

    A share is the covariance of path and sum over the variance of the sum: below 0 where a path cancels what others
    write, above 1 where others cancel it. A channel that never changes has NaN. Raises BadValue unless there are two
    paths or more of one shape.

    Source: the covariance decomposition of a sum's variance, which is also its Shapley value.

    >>> one, two = np.array([[[0.0]], [[3.0]]]), np.array([[[0.0]], [[1.0]]])
    >>> variance_shares([one, two])[:, 0]
    array([0.75, 0.25])
    """
    if len(parts) < 2 or any(each.shape != parts[0].shape for each in parts):
        shapes = ", ".join(" x ".join(map(str, each.shape)) for each in parts) or "none"
        raise BadValue(f"The paths have the values {shapes}. Give two paths or more whose values are added.")
    flat = [_by_channel(each) for each in parts]
    total = np.sum(flat, axis=0)
    products = np.array([np.einsum("uv,uv->u", each, total) for each in flat])
    whole = products.sum(0)
    # what is left of a constant after its mean is taken away is rounding
    size = np.sum([np.square(each).sum(1) for each in map(_plain, parts)], axis=0)
    return np.divide(products, whole, out=np.full(products.shape, np.nan), where=whole > 1e-12 * size)


def main_path(shares: Shares) -> Int[np.ndarray, " unit"]:
    """The number of the path with the largest share of each unit; -1 for units without shares.

    >>> main_path(np.array([[0.7, 0.2], [0.3, 0.8]]))
    array([0, 1])
    """
    known = np.isfinite(shares).all(0)
    return np.where(known, np.where(known, shares, 0).argmax(0), -1)


def along(
    values: Mapping[str, Float[np.ndarray, " unit"]],
    shares: Shares,
    names: Sequence[str],
    redrawn: Sequence[tuple[Mapping[str, Float[np.ndarray, " unit"]], Shares]] = (),
    trials: int = 9999,
    seed: int = 0,
) -> tuple[Finding, ...]:
    """Which scores of the units go along with a path's share of them: Spearman's rank correlation, for each of both.

    It is held against units exchanged and, where `redrawn` has the scores and shares of networks with their weights
    dealt out anew, against theirs; p is the larger one, corrected over all after Benjamini and Hochberg. Units without
    a score or share (NaN) are left out.

    >>> along({"size": np.arange(8.0)}, np.stack([np.arange(8.0), -np.arange(8.0)]), ["up", "down"])[1].effect
    -1.0
    """
    found = []
    for kind, each in values.items():
        for number, name in enumerate(names):
            mine, other = _ranks(each, shares[number])
            if len(mine) < 3 or not mine.any() or not other.any():
                continue
            effect = float(mine @ other)
            rng = np.random.default_rng(seed)
            dealt = rng.permuted(np.broadcast_to(mine, (trials, len(mine))), axis=1) @ other
            p, null = permutation_p(effect, dealt, both_sides=True), "units exchanged"
            if redrawn:
                drawn = [_ranks(scores[kind], parts[number]) for scores, parts in redrawn]
                p = max(p, permutation_p(effect, np.array([float(a @ b) for a, b in drawn]), both_sides=True))
                null = "units exchanged; weights dealt out anew"
            found.append(Finding(f"{kind} along {name}", effect, null, p, n=len(mine)))
    return corrected(found)


def _plain(values: Float[np.ndarray, "picture unit *space"]) -> Float[np.ndarray, "unit value"]:
    return np.moveaxis(values.astype(np.float64), 1, 0).reshape(values.shape[1], -1)


def _by_channel(values: Float[np.ndarray, "picture unit *space"]) -> Float[np.ndarray, "unit value"]:
    flat = _plain(values)
    return flat - flat.mean(1, keepdims=True)


def _ranks(
    one: Float[np.ndarray, " unit"], other: Float[np.ndarray, " unit"]
) -> tuple[Float[np.ndarray, " known"], Float[np.ndarray, " known"]]:
    """Ranks about zero and of length one, of the units that have both; zeros where all are alike."""
    known = np.isfinite(one) & np.isfinite(other)
    both = []
    for each in (one[known], other[known]):
        ranks = rankdata(each) - (len(each) + 1) / 2
        length = np.linalg.norm(ranks)
        both.append(ranks / length if length > 0 else ranks)
    return both[0], both[1]
