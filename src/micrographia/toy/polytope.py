"""Which regular figure a group of features forms: the tegum factors of a model's weights, named from their Gram matrix.

Section The Geometry of Superposition of Elhage et al. 2022: features fall into groups that are orthogonal to each
other, and each group is a uniform polytope. A square is no such group, it is two digons; an octahedron is three.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cache
from itertools import combinations, permutations
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from micrographia.toy.geometry import LEAST_NORM

EDGE = 0.15
"""Two features belong to one group if the size of their cosine is above this; a pentagon's smallest is 0.31."""
TOLERANCE = 0.1
"""A group has a polytope's name if its residual is at most this."""
NONE = "none"
_TRIED = 12


@dataclass(frozen=True)
class Group:
    """Features that are connected to each other, and the polytope that they form: its name, or 'none'.

    `residual` is the root mean square, over all entries, between the group's Gram matrix, over its mean squared norm,
    and the nearest polytope's of so many vertices: infinite where none is known. `dimensions` is the numerical rank.
    """

    features: tuple[int, ...]
    dimensions: int
    name: str
    residual: float

    def to_json(self) -> dict[str, Any]:
        """Plain values; the residual is None where no polytope has so many vertices."""
        residual = self.residual if np.isfinite(self.residual) else None
        return {
            "features": list(self.features), "dimensions": self.dimensions, "name": self.name, "residual": residual
        }  # fmt: skip


@cache
def vertices(name: str) -> Float[np.ndarray, "vertex dimension"]:
    """The unit vertices of a polytope by its name, one of `POLYTOPES`.

    >>> vertices("triangle").round(2)[1]
    array([-0.5 ,  0.87])
    """
    return _BUILT[name]


def groups(
    weights: Float[np.ndarray, "hidden feature"],
    least: float = LEAST_NORM,
    edge: float = EDGE,
    tolerance: float = TOLERANCE,
) -> tuple[Group, ...]:
    """The tegum factors of one model, largest first: the connected parts of its geometry graph, each with its name.

    Features of a norm below `least` belong to none. Two features are joined if their cosine is larger than `edge` in
    size; a group is named after the nearest polytope if its residual is at most `tolerance`, otherwise 'none'.

    >>> [group.name for group in groups(np.array([[1.0, -1.0, 0.0], [0.0, 0.0, 1.0]]))]
    ['digon', 'single']
    """
    length = np.linalg.norm(weights, axis=0)
    kept = np.flatnonzero(length >= max(least, np.finfo(float).tiny))
    unit = weights[:, kept] / length[kept]
    label = _connected(np.abs(unit.T @ unit) > edge)
    members = sorted((kept[label == each] for each in np.unique(label)), key=lambda m: (-len(m), m[0]))
    return tuple(_named(weights[:, each], tuple(each.tolist()), tolerance) for each in members)


def summary(found: tuple[Group, ...]) -> str:
    """The groups counted by name, in words.

    >>> summary(groups(np.array([[1.0, -1.0, 0.0, 0.0], [0.0, 0.0, 1.0, -1.0]])))
    '2 digon'
    """
    counts = Counter(group.name for group in found)
    return ", ".join(f"{counts[name]} {name}" for name in (*POLYTOPES, NONE) if counts[name]) or "nothing"


def _connected(joined: Bool[np.ndarray, "feature feature"]) -> Int[np.ndarray, " feature"]:
    """For each feature the first one that it is joined to, directly or by others."""
    label = np.arange(len(joined))
    reached = joined | np.eye(len(joined), dtype=bool)
    while True:
        least = np.where(reached, label, len(label)).min(1, initial=len(label))
        if (least == label).all():
            return label
        label = least


def _named(columns: Float[np.ndarray, "hidden feature"], features: tuple[int, ...], tolerance: float) -> Group:
    values = np.linalg.svd(columns, compute_uv=False)
    rank = int((values > 0.1 * values[0]).sum())
    scaled = columns.T / np.sqrt(np.square(columns).sum(0).mean())
    best, nearest = np.inf, NONE
    for name in POLYTOPES:
        corners = vertices(name)
        if len(corners) == len(scaled):
            residual = _residual(scaled, corners)
            if residual < best:
                best, nearest = residual, name
    return Group(features, rank, nearest if best <= tolerance else NONE, best)


def _residual(points: Float[np.ndarray, "vertex hidden"], corners: Float[np.ndarray, "vertex dimension"]) -> float:
    """The smallest found root mean square between the two Gram matrices over the orders of the points."""
    gram, wanted = points @ points.T, corners @ corners.T
    return min(float(np.sqrt(np.square(gram[np.ix_(o, o)] - wanted).mean())) for o in _orders(points, gram, corners))


def _orders(
    points: Float[np.ndarray, "vertex hidden"],
    gram: Float[np.ndarray, "vertex vertex"],
    corners: Float[np.ndarray, "vertex dimension"],
) -> list[np.ndarray]:
    """Ways to deal the points out to the corners: a few points that fit a base of corners best place all the others."""
    count, space = corners.shape
    wanted = corners @ corners.T
    if space == count - 1 or count == 1:
        return [np.arange(count)]  # all orders of a simplex are alike
    base = _base(corners)
    tuples = np.array(list(permutations(range(count), space)))
    misfit = np.square(gram[tuples[:, :, None], tuples[:, None, :]] - wanted[np.ix_(base, base)]).sum((1, 2))
    orders = []
    for chosen in tuples[np.argsort(misfit, kind="stable")[:_TRIED]]:
        left, _, right = np.linalg.svd(corners[base].T @ points[chosen], full_matrices=False)
        orders.append(_dealt((corners @ left @ right) @ points.T))
    return orders


def _dealt(likeness: Float[np.ndarray, "corner point"]) -> Int[np.ndarray, " corner"]:
    """One point for each corner, so that the likenesses sum to the most."""
    nearest = likeness.argmax(1)
    if len(set(nearest.tolist())) == len(nearest):
        return nearest  # no sum is larger than that of all largest
    from scipy.optimize import linear_sum_assignment  # takes long to import, and is rarely needed

    order: Int[np.ndarray, " corner"] = linear_sum_assignment(-likeness)[1]
    return order


def _base(corners: Float[np.ndarray, "vertex dimension"]) -> list[int]:
    """The corners, as many as dimensions, that span the space best."""
    space = corners.shape[1]
    return list(max(combinations(range(len(corners)), space), key=lambda c: abs(np.linalg.det(corners[list(c)]))))


def _simplex(count: int) -> Float[np.ndarray, "vertex dimension"]:
    centred = np.eye(count) - 1 / count
    points = np.linalg.svd(centred)[0][:, : count - 1]
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def _ring(count: int, height: float = 0.0, turn: float = 0.0) -> Float[np.ndarray, "vertex 3"]:
    angle = 2 * np.pi * (np.arange(count) + turn) / count
    radius = np.sqrt(1 - height**2)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), np.full(count, height)], 1)


def _rings(count: int, height: float, turn: float) -> Float[np.ndarray, "vertex 3"]:
    return np.concatenate([_ring(count, height), _ring(count, -height, turn)])


def _icosahedron() -> Float[np.ndarray, "vertex 3"]:
    poles = np.array([[0.0, 0.0, 1.0], [0.0, 0.0, -1.0]])
    return np.concatenate([poles, _rings(5, 1 / np.sqrt(5), 0.5)])


_BUILT: dict[str, Float[np.ndarray, "vertex dimension"]] = {
    "single": np.ones((1, 1)),
    "digon": np.array([[1.0], [-1.0]]),
    "triangle": _ring(3)[:, :2],
    "tetrahedron": _simplex(4),
    "5-cell": _simplex(5),
    "5-simplex": _simplex(6),
    "pentagon": _ring(5)[:, :2],
    "hexagon": _ring(6)[:, :2],
    "heptagon": _ring(7)[:, :2],
    "octagon": _ring(8)[:, :2],
    # the height of a tight frame, where all features have 3/8 of a dimension; Thomson's is 0.560
    "square antiprism": _rings(4, 1 / np.sqrt(3), 0.5),
    "cube": _rings(4, 1 / np.sqrt(3), 0.0),
    "icosahedron": _icosahedron(),
}
POLYTOPES = tuple(_BUILT)
"""The names known, a single feature of its own dimension being the first."""
