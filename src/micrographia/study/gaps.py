"""Are groups of points apart, or parts of one cloud? Two nulls that a cloud of any shape must not beat.

Cutting any cloud gives groups, and a bent one (units along one line of features make an arch) or one with a long tail
(units that are connected more and less strongly) gives groups that look well apart in an even box. So groups are held
against points strewn evenly along the shortest tree through the cloud, which has its shape, and each against its
nearest one on the line between them, where one cloud has one hump.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse.csgraph import minimum_spanning_tree
from scipy.spatial.distance import cdist

from micrographia.study.null import permutation_p

Points = Float[np.ndarray, "point axis"]


def strewn(points: Points, rng: np.random.Generator) -> Points:
    """As many points, evenly by length along the shortest tree that joins the given ones: their shape, without gaps.

    >>> strewn(np.array([[0.0, 0.0], [1.0, 0.0]]), np.random.default_rng(0))[:, 1]
    array([0., 0.])
    """
    distances = cdist(points, points)
    # points in one place are joined as well: the graph leaves out edges of a length near zero
    distances = distances / (distances.max() or 1.0) + 1e-6
    tree = minimum_spanning_tree(distances).tocoo()
    edge = rng.choice(len(tree.data), len(points), p=tree.data / tree.data.sum())
    place = rng.uniform(size=(len(points), 1))
    return points[tree.row[edge]] * (1 - place) + points[tree.col[edge]] * place


def dip(values: Float[np.ndarray, " value"]) -> float:
    """How far values are from having one hump: the distance of their distribution from the nearest with one.

    That is convex up to its mode and concave after it; 0 for values at even distances. Source: Hartigan and Hartigan
    1985, with the distribution taken at the middle of each step.

    >>> dip(np.arange(9.0)) < 1e-9 < 0.1 < dip(np.array([0, 1, 2, 3, 50, 51, 52, 53.0]))
    True
    """
    x = np.sort(values)
    y = (np.arange(len(x)) + 0.5) / len(x)
    first, last, nearest = 0, len(x) - 1, 1.0
    # a mode further right leaves more to be convex and less to be concave, so that halving finds the best
    while first <= last:
        mode = (first + last) // 2
        left = _above_convex(x[: mode + 1], y[: mode + 1])
        right = _above_convex(-x[mode:][::-1], 1 - y[mode:][::-1])
        nearest = min(nearest, max(left, right))
        first, last = (mode + 1, last) if left < right else (first, mode - 1)
    return nearest


def apart(points: Points, groups: Int[np.ndarray, " point"], trials: int = 199) -> float:
    """The p-value of the pair of neighbours that is least apart: a group and the nearest one, on the line between them.

    The dip of both together is held against that of as many even values, which dip most of all that have one hump.

    >>> apart(np.array([[0.0, x] for x in range(9)]), np.repeat([0, 1, 2], 3)) > 0.5
    True
    """
    count = int(groups.max()) + 1
    middles = np.array([points[groups == number].mean(0) for number in range(count)])
    distances = cdist(middles, middles)
    np.fill_diagonal(distances, np.inf)
    found = []
    for number, near in enumerate(distances.argmin(1)):
        both = points[(groups == number) | (groups == near)]
        found.append(permutation_p(dip(both @ (middles[near] - middles[number])), _even(len(both), trials)))
    return max(found)


@lru_cache(128)
def _even(count: int, trials: int) -> Float[np.ndarray, " trial"]:
    rng = np.random.default_rng(count)
    return np.array([dip(rng.uniform(size=count)) for _ in range(trials)])


def _above_convex(x: Float[np.ndarray, " value"], y: Float[np.ndarray, " value"]) -> float:
    """How far a rising curve lies above its greatest convex minorant, at most."""
    hull: list[int] = []
    for i in range(len(x)):
        while len(hull) > 1:
            a, b = hull[-2:]
            if (y[b] - y[a]) * (x[i] - x[a]) < (y[i] - y[a]) * (x[b] - x[a]):
                break
            hull.pop()
        hull.append(i)
    return float((y - np.interp(x, x[hull], y[hull])).max())
