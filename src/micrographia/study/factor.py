"""Which units of two layers are wired together: the singular vectors of |W|, what they follow, and their clusters.

The method is that of Voss et al., Branch Specialization (Distill 2021), on connection clusters; the centrings, the
nulls and the clusters' test are added here. |W| has no negative entry, so its own first vector is mostly how strongly
each unit is connected at all; centring takes that out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from scipy.cluster.hierarchy import cut_tree, linkage
from scipy.linalg import eigh
from scipy.spatial.distance import cdist
from scipy.stats import rankdata

from micrographia.errors import BadValue, suggest
from micrographia.study.gaps import apart, strewn
from micrographia.study.null import (
    Finding,
    corrected,
    holm,
    permutation_p,
    permuted_entries,
    permuted_within_rows,
)

Values = Float[np.ndarray, "row column"]

Shuffle = Callable[[Values, np.random.Generator], Values]

MOST_CLUSTERS = 8
LEAST_SHARE = 0.1  # of the points, in a cluster
CORRELATION_TRIALS = 9999
CLUSTER_NULL = "entries dealt out anew; one cloud of the same shape; one hump between neighbours"


def _raw(matrix: Values) -> Values:
    return matrix


def _double(matrix: Values) -> Values:
    return matrix - matrix.mean(0) - matrix.mean(1, keepdims=True) + matrix.mean()


def _degree(matrix: Values) -> Values:
    if (matrix < 0).any():
        raise BadValue(
            "Weights with signs have no degrees to divide by. Use the centring 'double' or a reduction of |W|."
        )
    rows, columns = matrix.sum(1, keepdims=True), matrix.sum(0, keepdims=True)
    scale = np.sqrt(rows * columns)
    return np.divide(matrix, scale, out=np.zeros_like(matrix), where=scale > 0)


_CENTRES: dict[str, Callable[[Values], Values]] = {"raw": _raw, "double": _double, "degree": _degree}
CENTRES = tuple(_CENTRES)
"""`raw`: as it is; `double`: without the means of rows and columns; `degree`: each entry over the square root of its
row's and its column's sums, as in spectral co-clustering (Dhillon 2001), where vector 0 is the trivial one."""


@dataclass(frozen=True, eq=False)
class Factors:
    """A centred matrix as left * values @ right; in each left vector the entry of largest size is positive.

    `share` is each singular value's square as a part of the sum of squares; `one_signed` tells whether all entries of
    left vector 0 have one sign.
    """

    left: Float[np.ndarray, "row vector"]
    values: Float[np.ndarray, " vector"]
    right: Float[np.ndarray, "vector column"]
    centre: str

    @property
    def share(self) -> Float[np.ndarray, " vector"]:
        squares = np.square(self.values)
        return squares / squares.sum() if squares.sum() > 0 else squares

    @property
    def one_signed(self) -> bool:
        return bool((self.left[:, 0] >= -1e-9).all())


@dataclass(frozen=True)
class Alignment:
    """Spearman's rank correlation of a left vector with a trait of the units, and the null's 95 % quantile of |r|."""

    vector: int
    trait: str
    r: float
    null_95: float
    finding: Finding


@dataclass(frozen=True, eq=False)
class Clusters:
    """Groups of units of both layers that lie together in the plane of vectors 0 and 1.

    `rows` and `columns` number each unit's cluster. `mean` is the mean of |matrix| from the source units of one to
    the target units of another, `total` the sum there: all totals add up to the sum of |matrix|.
    """

    rows: Int[np.ndarray, " unit"]
    columns: Int[np.ndarray, " column"]
    silhouette: float
    mean: Float[np.ndarray, "cluster cluster"]
    total: Float[np.ndarray, "cluster cluster"]

    def to_json(self) -> dict[str, Any]:
        """Plain values: the units of each cluster, and the tables."""
        count = len(self.mean)
        return {
            "count": count,
            "silhouette": self.silhouette,
            "source": [np.flatnonzero(self.rows == each).tolist() for each in range(count)],
            "target": [np.flatnonzero(self.columns == each).tolist() for each in range(count)],
            "mean": self.mean.tolist(),
            "total": self.total.tolist(),
        }


@dataclass(frozen=True, eq=False)
class Connections:
    """All that was found in one matrix: its factors, what the left vectors follow, clusters (None: none), findings."""

    factors: Factors
    points: Float[np.ndarray, "unit 2"]
    targets: Float[np.ndarray, "column 2"]
    null_share_95: float
    alignments: tuple[Alignment, ...]
    clusters: Clusters | None
    findings: tuple[Finding, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values, as `svd --json` prints them."""
        left: dict[int, dict[str, Any]] = {}
        for each in self.alignments:
            entry = left.setdefault(each.vector, {"vector": each.vector})
            entry |= {each.trait: each.r, f"{each.trait}_null_95": each.null_95}
        return {
            "share": self.factors.share.tolist(),
            "null_share_95": self.null_share_95,
            "left": list(left.values()),
            "clusters": None if self.clusters is None else self.clusters.to_json(),
        }


def factors(matrix: Values, centre: str = "double") -> Factors:
    """The singular value decomposition of a matrix, centred in the way named, with its signs fixed.

    Raises BadValue for another centring, and for weights with signs where they are to be divided by degrees.

    >>> factors(np.eye(2)).share.round(6)
    array([1., 0.])
    """
    left, values, right = np.linalg.svd(_centred(matrix, centre), full_matrices=False)
    signs = np.where(left[np.abs(left).argmax(0), np.arange(len(values))] < 0, -1.0, 1.0)
    return Factors(left * signs, values, right * signs[:, None], centre)


def connections(
    matrix: Values,
    traits: Mapping[str, Float[np.ndarray, " unit"] | None],
    centre: str = "double",
    taps: int = 1,
    vectors: int = 3,
    trials: int = 199,
    seed: int = 0,
) -> Connections:
    """What the singular vectors of a matrix tell about how two layers are wired.

    `traits` gives a number for each source unit (None where there is none); each has `taps` rows. The shares are held
    against entries (with several taps: whole kernels) dealt out anew, over the whole matrix and for each source unit
    apart; the correlations against whole rows dealt out anew; the clusters as `clusters` says. Raises BadValue.

    >>> connections(np.eye(7), {"colour": np.arange(7.0)}).clusters is None
    True
    """
    found = factors(matrix, centre)
    largest, size = float(found.share[0]), matrix.size // taps
    anywhere = _share_null(matrix, centre, taps, permuted_entries, trials, seed)
    within = _share_null(matrix, centre, taps, permuted_within_rows, trials, seed)
    p = (permutation_p(largest, anywhere), permutation_p(largest, within))
    shares = (
        Finding("share of vector 0", largest, "entries dealt out anew", p[0], p[0], size),
        Finding("share of vector 0", largest, "each unit's entries dealt out anew", p[1], p[1], size),
    )
    coordinates = _by_unit(found.left[:, :vectors], taps)
    alignments = _alignments(coordinates, traits, CORRELATION_TRIALS, seed)
    groups, verdict = clusters(matrix, centre, taps, trials, seed)
    points, targets = _plane(found.left, found.values, found.right, taps)
    findings = (*shares, *(each.finding for each in alignments), verdict)
    return Connections(found, points, targets, float(np.quantile(anywhere, 0.95)), alignments, groups, findings)


def clusters(
    matrix: Values, centre: str = "double", taps: int = 1, trials: int = 199, seed: int = 0
) -> tuple[Clusters | None, Finding]:
    """Groups of rows and columns in the plane of vectors 0 and 1, or None where the plane shows no more than chance.

    Rows and columns are points of one plane (each vector times the root of its singular value) and are grouped together
    by Ward's method into the 2 to 8 groups, of a tenth of them or more, that have the largest mean silhouette. Three
    nulls have to be beaten, and p is the largest: the plane must hold more of the energy than with entries dealt out
    anew (there is structure), the silhouette must be larger than that of points strewn along the shortest tree through
    the plane's, and every group must be apart from its nearest one by more than values of one hump are (`gaps`): a bent
    or a one-sided cloud is no cluster. How often this errs, and what it finds, is measured by bench/clusters.py.

    >>> groups, finding = clusters(np.kron(np.eye(2), np.ones((7, 5))) + np.eye(14, 10) / 99)
    >>> groups.rows
    array([0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1], dtype=int32)
    """
    rng = np.random.default_rng(seed)
    rows, columns = _plane(*_leading(_centred(matrix, centre)), taps)
    points = np.concatenate([rows, columns])
    labels, silhouette = _grouped(points)
    energy, bridged = np.empty(trials), np.empty(trials)
    for trial in range(trials):
        energy[trial] = _energy(_centred(_dealt(matrix, taps, permuted_entries, rng), centre), 2)
        bridged[trial] = _grouped(strewn(points, rng))[1]
    structure = permutation_p(_energy(_centred(matrix, centre), 2), energy)
    p = max(structure, permutation_p(silhouette, bridged), apart(points, labels, trials))
    finding = Finding("clusters: silhouette in the plane", silhouette, CLUSTER_NULL, p, p, len(points))
    if not finding.holds():
        return None, finding
    # the cluster of the first unit is number 0, and so on
    order = {label: place for place, label in enumerate(dict.fromkeys(labels.tolist()))}
    labels = np.array([order[label] for label in labels.tolist()], dtype=np.int32)
    of_row, of_column = labels[: len(rows)], labels[len(rows) :]
    each = np.arange(len(order))[:, None]
    out, into = (np.repeat(of_row, taps) == each).astype(float), (of_column == each).astype(float)
    total = out @ np.abs(matrix) @ into.T
    size = np.outer(out.sum(1), into.sum(1))
    mean = np.divide(total, size, out=np.zeros_like(total), where=size > 0)
    return Clusters(of_row, of_column, silhouette, mean, total), finding


def _centred(matrix: Values, centre: str) -> Values:
    if centre not in _CENTRES:
        raise BadValue(
            f"There is no centring '{centre}'. Near it: {suggest(centre, CENTRES)}; all: {', '.join(CENTRES)}."
        )
    if min(matrix.shape) < 2:
        raise BadValue(
            f"A matrix of {matrix.shape[0]} x {matrix.shape[1]} has no plane. Choose layers of 2 units or more."
        )
    return _CENTRES[centre](matrix)


def _leading(
    matrix: Values,
) -> tuple[Float[np.ndarray, "row 2"], Float[np.ndarray, " 2"], Float[np.ndarray, "2 column"]]:
    """The first two singular vectors and values, by way of the smaller of the two matrices of products."""
    if matrix.shape[0] < matrix.shape[1]:
        right, values, left = _leading(matrix.T)
        return left.T, values, right.T
    size = matrix.shape[1]
    squares, vectors = eigh(matrix.T @ matrix, subset_by_index=[size - 2, size - 1])
    values, right = np.sqrt(np.maximum(squares[::-1], 0)), vectors[:, ::-1].T
    scale = np.where(values > 1e-12 * max(values[0], 1e-300), values, np.inf)
    return matrix @ right.T / scale, values, right


def _share_null(
    matrix: Values, centre: str, taps: int, shuffle: Shuffle, trials: int, seed: int
) -> Float[np.ndarray, " trial"]:
    rng = np.random.default_rng(seed)
    shuffled = (_centred(_dealt(matrix, taps, shuffle, rng), centre) for _ in range(trials))
    return np.array([_energy(each, 1) for each in shuffled])


def _energy(matrix: Values, vectors: int) -> float:
    """The share of the sum of squares that the first one or two vectors hold."""
    total = float(np.square(matrix).sum())
    return float(np.square(_leading(matrix)[1][:vectors]).sum()) / total if total > 0 else 0.0


def _dealt(matrix: Values, taps: int, shuffle: Shuffle, rng: np.random.Generator) -> Values:
    """The matrix with its kernels dealt out anew; a kernel is the entry, or the `taps` entries, that join two units."""
    units, columns = len(matrix) // taps, matrix.shape[1]
    kernels = matrix.reshape(units, taps, columns).transpose(0, 2, 1).reshape(-1, taps)
    order = shuffle(np.arange(float(units * columns)).reshape(units, columns), rng).astype(np.int64)
    return kernels[order].transpose(0, 2, 1).reshape(matrix.shape)


def _by_unit(rows: Float[np.ndarray, "row vector"], taps: int) -> Float[np.ndarray, "unit vector"]:
    """The mean over the rows of each unit."""
    return rows.reshape(len(rows) // taps, taps, -1).mean(1)


def _plane(
    left: Float[np.ndarray, "row _k"], values: Float[np.ndarray, " _k"], right: Float[np.ndarray, "_k column"],
    taps: int,
) -> tuple[Float[np.ndarray, "unit 2"], Float[np.ndarray, "column 2"]]:  # fmt: skip
    """Rows and columns as points (vector 0, vector 1) of one plane: near each other where the weights are large."""
    root = np.sqrt(values[:2])
    # the root of the taps makes up for a unit's length being spread over several rows
    return _by_unit(left[:, :2], taps) * np.sqrt(taps) * root, right[:2].T * root


def _alignments(
    coordinates: Float[np.ndarray, "unit vector"],
    traits: Mapping[str, Float[np.ndarray, " unit"] | None],
    trials: int,
    seed: int,
) -> tuple[Alignment, ...]:
    found = []
    for trait, values in traits.items():
        known = np.zeros(len(coordinates), bool) if values is None else np.isfinite(values)
        if values is None or known.sum() < 3:
            continue
        ranks = _standard(values[known])
        rng = np.random.default_rng(seed)
        dealt = rng.permuted(np.broadcast_to(ranks, (trials, len(ranks))), axis=1)
        for vector in range(coordinates.shape[1]):
            mine = _standard(coordinates[known, vector])
            r, null = float(mine @ ranks), np.abs(dealt @ mine)
            finding = Finding(
                f"vector {vector} follows {trait}", r, "rows dealt out anew", permutation_p(abs(r), null), n=len(ranks)
            )
            found.append(Alignment(vector, trait, r, float(np.quantile(null, 0.95)), finding))
    adjusted = corrected([each.finding for each in found], holm)
    return tuple(replace(each, finding=finding) for each, finding in zip(found, adjusted, strict=True))


def _standard(values: Float[np.ndarray, " unit"]) -> Float[np.ndarray, " unit"]:
    """Ranks about zero, of length one: their product is Spearman's correlation."""
    ranks = rankdata(values) - (len(values) + 1) / 2
    length = np.linalg.norm(ranks)
    return ranks / length if length > 0 else ranks


def _grouped(points: Float[np.ndarray, "point 2"]) -> tuple[Int[np.ndarray, " point"], float]:
    """The grouping by Ward's method, into 2 to 8 of some size, of the largest mean silhouette (Rousseeuw 1987)."""
    most = min(MOST_CLUSTERS, len(points) - 1)
    cuts = cut_tree(linkage(points, "ward"), range(2, most + 1)).T
    # a few outliers would be the best group of all
    trees = [cut for cut in cuts if np.bincount(cut).min() >= LEAST_SHARE * len(points)] or [cuts[0]]
    distances = cdist(points, points)
    scores = [_silhouette(distances, labels) for labels in trees]
    best = int(np.argmax(scores))
    return trees[best], scores[best]


def _silhouette(distances: Float[np.ndarray, "point point"], labels: Int[np.ndarray, " point"]) -> float:
    members = np.equal.outer(labels, np.arange(labels.max() + 1)).astype(float)
    sizes = members.sum(0)
    sums = distances @ members
    own = members.astype(bool)
    inside = sums[own] / np.maximum(sizes[labels] - 1, 1)
    outside = np.where(own, np.inf, sums / sizes).min(1)
    widths = (outside - inside) / np.maximum(np.maximum(outside, inside), 1e-300)
    return float(np.where(sizes[labels] > 1, widths, 0.0).mean())
