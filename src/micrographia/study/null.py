"""What a finding is held against: permutations, hypergeometric tails, and corrections for how many were looked at."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from micrographia.errors import BadValue

Correction = Callable[[Float[np.ndarray, " finding"]], Float[np.ndarray, " finding"]]


@dataclass(frozen=True)
class Finding:
    """A claim with its evidence: the effect's size, the null model, the p-values, and the number of cases n.

    `corrected` is the p-value after a correction for all findings of the same question; None before one was made.

    >>> Finding("vector 0 follows colour", 0.83, "rows dealt out anew", 1e-4, n=64).holds()
    True
    """

    what: str
    effect: float
    null: str
    p: float
    corrected: float | None = None
    n: int = 0

    def holds(self, level: float = 0.05) -> bool:
        """Whether the corrected p-value (the plain one where there is no other) is at most `level`."""
        return (self.p if self.corrected is None else self.corrected) <= level

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "what": self.what, "effect": self.effect, "null": self.null, "p": self.p, "corrected_p": self.corrected,
            "n": self.n,
        }  # fmt: skip


def permuted_entries(
    matrix: Float[np.ndarray, "row column"], rng: np.random.Generator
) -> Float[np.ndarray, "row column"]:
    """All entries dealt out anew: keeps their distribution, and nothing of rows and columns.

    >>> np.sort(permuted_entries(np.eye(2), np.random.default_rng(0)), None)
    array([0., 0., 1., 1.])
    """
    return rng.permutation(matrix.reshape(-1)).reshape(matrix.shape)


def permuted_rows(matrix: Float[np.ndarray, "row column"], rng: np.random.Generator) -> Float[np.ndarray, "row column"]:
    """Whole rows dealt out anew: keeps all inside the matrix, but not which row belongs to which unit.

    >>> permuted_rows(np.ones((3, 2)), np.random.default_rng(0)).shape
    (3, 2)
    """
    return rng.permutation(matrix, axis=0)


def permuted_within_rows(
    matrix: Float[np.ndarray, "row column"], rng: np.random.Generator
) -> Float[np.ndarray, "row column"]:
    """Each row's entries dealt out anew in that row: keeps how strong a row is, but not what it goes to.

    >>> permuted_within_rows(np.eye(3), np.random.default_rng(0)).sum(1)
    array([1., 1., 1.])
    """
    return rng.permuted(matrix, axis=1)


def permutation_p(observed: float, null: Float[np.ndarray, " trial"], both_sides: bool = False) -> float:
    """The share of trials at least as extreme as what was observed, which counts as one trial itself.

    On `both_sides` extreme means far from the mean of all trials. The p-value is exact for trials that are exchangeable
    with the observation (Phipson and Smyth 2010). Raises BadValue without trials.

    >>> permutation_p(3.0, np.array([0.0, 1.0, 2.0]))
    0.25
    """
    if not len(null):
        raise BadValue("A null of 0 trials gives no p-value. Ask for at least 19 trials.")
    values = np.append(null, observed)
    if both_sides:
        values = np.abs(values - values.mean())
    # rounding must not turn a tie into a win
    slack = 1e-12 * max(1.0, float(np.abs(values).max()))
    return float(np.mean(values >= values[-1] - slack))


def hypergeometric_tail(found: int, marked: int, drawn: int, total: int) -> float:
    """P(at least `found` marked ones among `drawn` of `total`, of which `marked` are marked), drawn without returning.

    Summed from the logarithms of exact binomials, so that it is right far out in the tail. Raises BadValue for counts
    that contradict each other.

    >>> f"{hypergeometric_tail(9, 9, 32, 256):.1e}"
    '2.5e-09'
    """
    if not (found >= 0 and 0 <= marked <= total and 0 <= drawn <= total and found <= min(marked, drawn)):
        raise BadValue(
            f"{found} marked of {drawn} drawn from {total} with {marked} marked cannot be. "
            "Give found <= marked, found <= drawn, and both at most the total."
        )
    least = max(found, marked + drawn - total)
    terms = [
        math.log(math.comb(marked, k)) + math.log(math.comb(total - marked, drawn - k))
        for k in range(least, min(marked, drawn) + 1)
    ]
    largest = max(terms)
    tail = largest + math.log(math.fsum(math.exp(term - largest) for term in terms))
    return min(1.0, math.exp(tail - math.log(math.comb(total, drawn))))


def benjamini_hochberg(p: Float[np.ndarray, " finding"]) -> Float[np.ndarray, " finding"]:
    """Adjusted p-values: calling those up to q found keeps the expected share of false ones at or below q.

    Benjamini and Hochberg 1995; for independent or positively dependent tests.

    >>> benjamini_hochberg(np.array([0.01, 0.04, 0.03]))
    array([0.03, 0.04, 0.04])
    """
    order = np.argsort(p, kind="stable")[::-1]
    ranks = np.arange(len(p), 0, -1)
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(1.0, np.minimum.accumulate(p[order] * (len(p) / ranks)))
    return adjusted


def holm(p: Float[np.ndarray, " finding"]) -> Float[np.ndarray, " finding"]:
    """Adjusted p-values: calling those up to a found keeps the chance of any false one at or below a. Holm 1979.

    >>> holm(np.array([0.01, 0.04, 0.03]))
    array([0.03, 0.06, 0.06])
    """
    order = np.argsort(p, kind="stable")
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)))
    return adjusted


def corrected(findings: Sequence[Finding], correction: Correction = benjamini_hochberg) -> tuple[Finding, ...]:
    """The findings of one question with their corrected p-values.

    >>> corrected([Finding("a", 1.0, "none", 0.01), Finding("b", 1.0, "none", 0.5)])[0].corrected
    0.02
    """
    values = correction(np.array([finding.p for finding in findings], dtype=np.float64))
    return tuple(replace(each, corrected=float(value)) for each, value in zip(findings, values, strict=True))


def mutual_information(table: Float[np.ndarray, "family branch"]) -> float:
    """The mutual information, in bit, of the row and the column of a table of counts.

    >>> mutual_information(np.array([[8.0, 0.0], [0.0, 8.0]]))
    1.0
    """
    share = table / table.sum()
    expected = share.sum(1, keepdims=True) * share.sum(0, keepdims=True)
    used: Bool[np.ndarray, "family branch"] = share > 0
    return float(np.sum(share[used] * np.log2(share[used] / expected[used])))
