"""Circuits between families: do the weights from one family to another turn along with their units?

With f(g x) = g f(x) a circuit between families needs few numbers only (Olah et al., Naturally Occurring Equivariance in
Neural Networks, Distill 2020). Let out-unit a have the element t(a), in-unit b the element s(b), and let g act on
kernels: by turning, by mirroring, or, for hue, not at all. Three templates are possible:

- invariant -> equivariant: W[a, b] = t(a) T[b], one kernel for each input, turned with the output;
- equivariant -> invariant: W[a, b] = s(b) T[a], one kernel for each output, turned with the input;
- equivariant -> equivariant: W[a, b] = t(a) T[s(b) - t(a)], one kernel for each relative element.

A template with many kernels fits anything better, so each kernel is predicted from the others alone: the share of
variance explained is one of weights that had no part in the template. It is held against the same weights with the
elements of the families dealt out anew (in families of six or fewer, which have few orders, drawn at random), and the
best of the templates against the best of as many.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Complex, Float, Int

from micrographia.errors import BadValue
from micrographia.model.rings import ring_samples
from micrographia.study.null import Finding, permutation_p

Kernels = Float[np.ndarray, "out in height width"]
AnyKernels = Float[np.ndarray, "_ _ _ _"]
Elements = Sequence[float | int] | Float[np.ndarray, " _"] | Int[np.ndarray, " _"]

KINDS = ("invariant -> equivariant", "equivariant -> invariant", "equivariant -> equivariant")
ANGLES = 24
FEW = 6
PERIODS = {"rotation": 360.0, "hue": 360.0, "reflection": 2.0}


@dataclass(frozen=True, eq=False)
class Circuit:
    """The weights from one family to another in group order, and the template that explains them best.

    `shares` is the share of variance that each template explains in kernels it was not made from. `kind` is one of
    KINDS, or 'none' where chance explains as much. `rows` and `columns` are the places of the given units in group
    order. `numbers` counts what describes the weights, without and with the template.
    """

    kernels: Kernels
    rows: tuple[int, ...]
    columns: tuple[int, ...]
    kind: str
    shares: dict[str, float]
    finding: Finding
    numbers: tuple[int, int]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "kind": self.kind,
            "shares": self.shares,
            "rows": list(self.rows),
            "columns": list(self.columns),
            "finding": self.finding.to_json(),
            "numbers": {"without": self.numbers[0], "with": self.numbers[1]},
        }


def circuit(
    kernels: Kernels,
    outs: Elements | None,
    ins: Elements | None,
    group: str = "rotation",
    trials: int = 999,
    seed: int = 0,
) -> Circuit:
    """Which template explains the kernels from some units to others, with elements in degrees (or 0 and 1, mirrored).

    Elements of None say that this side is no family: factors, or units that the group does not change. Rows and
    columns of the result are ordered by element. Raises BadValue for another group, for elements that are not one for
    each unit, and where neither side is a family of 3 (mirrored: 2) units or more.

    >>> turned = np.stack([np.rot90(np.arange(9.0).reshape(3, 3), k) for k in range(4)])[:, None]
    >>> circuit(turned, [0, 90, 180, 270], None).kind
    'invariant -> equivariant'
    """
    if group not in PERIODS:
        raise BadValue(f"Circuits cannot be followed under '{group}'. Choose {', '.join(PERIODS)}.")
    least = 2 if group == "reflection" else 3
    for side, elements, count in (("outputs", outs, kernels.shape[0]), ("inputs", ins, kernels.shape[1])):
        if elements is not None and len(elements) != count:
            raise BadValue(f"There are {len(elements)} elements for {count} {side}. Give each unit one element.")
    if all(elements is None or len(elements) < least for elements in (outs, ins)):
        raise BadValue(f"Neither side is a family of {least} units or more. Give the elements of at least one family.")
    field = _field(kernels, group)
    own = (
        np.zeros(kernels.shape[0]) if outs is None else np.asarray(outs, float),
        np.zeros(kernels.shape[1]) if ins is None else np.asarray(ins, float),
    )
    families = (outs is not None and len(outs) >= least, ins is not None and len(ins) >= least)
    shares = _shares(field, own[0], own[1], families, group)
    best = max(shares.values())
    null = [
        max(_shares(field, t, s, families, group).values())
        for t, s in _dealt(own[0], own[1], families, group, trials, seed)
    ]
    p = permutation_p(best, np.array(null))
    kind = max(shares, key=lambda each: shares[each])
    finding = Finding(f"share explained, {kind}", best, "elements dealt out anew", p, p, kernels.shape[0])
    rows, columns = (np.argsort(each, kind="stable") for each in own)
    holds = finding.holds() and best > 0
    return Circuit(
        kernels[np.ix_(rows, columns)],
        tuple(rows.tolist()),
        tuple(columns.tolist()),
        kind if holds else "none",
        shares,
        finding,
        _numbers(kernels.shape, kind if holds else "none", families),
    )


def _numbers(shape: tuple[int, ...], kind: str, families: tuple[bool, bool]) -> tuple[int, int]:
    outs, ins, taps = shape[0], shape[1], shape[2] * shape[3]
    templates = dict(zip(KINDS, (ins, outs, max(outs, ins)), strict=True)).get(kind)
    if templates is None:
        return outs * ins * taps, outs * ins * taps
    elements = (outs if kind != KINDS[1] else 0) + (ins if kind != KINDS[0] else 0)
    return outs * ins * taps, templates * taps + elements


def _field(kernels: Kernels, group: str) -> Complex[np.ndarray, "out in feature harmonic"]:
    """Kernels as coefficients that an element multiplies with a phase; 'harmonic' numbers the turns."""
    outs, ins = kernels.shape[:2]
    wide = kernels.astype(np.float64)
    if group == "rotation":
        rings = np.einsum("oihw,hwra->oira", wide, ring_samples((kernels.shape[2], kernels.shape[3]), ANGLES))
        orders = np.fft.rfft(rings) / np.sqrt(ANGLES)
        orders[..., 1:-1] *= np.sqrt(2)  # for both signs of an order
        return orders
    flat = wide.reshape(outs, ins, -1)
    if group == "hue":
        return flat[..., None].astype(complex)
    mirrored = wide[..., ::-1].reshape(outs, ins, -1)
    return (np.stack([flat + mirrored, flat - mirrored], -1) / 2).astype(complex)


def turned_back(
    field: Complex[np.ndarray, "*kernel feature harmonic"], element: Float[np.ndarray, "*kernel"], group: str
) -> Complex[np.ndarray, "*kernel feature harmonic"]:
    """Kernels as they are at element 0."""
    order = np.arange(field.shape[-1])
    return field * np.exp(2j * np.pi / PERIODS[group] * element[..., None] * order)[..., None, :]


def _shares(
    field: Complex[np.ndarray, "out in feature harmonic"],
    outs: Float[np.ndarray, " out"],
    ins: Float[np.ndarray, " in"],
    families: tuple[bool, bool],
    group: str,
) -> dict[str, float]:
    """The share that each possible template explains in kernels that are left out of it."""
    total = float(np.square(np.abs(field)).sum())
    if total == 0:
        return dict.fromkeys(KINDS, 0.0)
    by_out = turned_back(field, np.broadcast_to(outs[:, None], field.shape[:2]), group)
    by_in = turned_back(field, np.broadcast_to(ins, field.shape[:2]), group)
    missed = {}
    if families[0]:
        missed[KINDS[0]] = _missed(by_out)
    if families[1]:
        missed[KINDS[1]] = _missed(by_in.swapaxes(0, 1))
    if all(families):
        missed[KINDS[2]] = _missed_relative(by_out, outs, ins, PERIODS[group])
    return {kind: 1 - each / total for kind, each in missed.items()}


def _missed(aligned: Complex[np.ndarray, "member other feature harmonic"]) -> float:
    """The energy that the mean of the other members leaves in each."""
    count = len(aligned)
    others = (aligned.sum(0) - aligned) / (count - 1)
    return float(np.square(np.abs(aligned - others)).sum())


def _missed_relative(
    aligned: Complex[np.ndarray, "out in feature harmonic"],
    outs: Float[np.ndarray, " out"],
    ins: Float[np.ndarray, " in"],
    period: float,
) -> float:
    """The same where each kernel is predicted from those of other units whose relative element is near its own."""
    relative = (ins[None] - outs[:, None]).ravel()
    apart = np.abs((relative[:, None] - relative[None] + period / 2) % period - period / 2)
    # as wide as neighbouring members are apart on average, so that there is someone to learn from
    weight = np.maximum(0, 1 - apart / max(period / len(ins), period / len(outs)))
    row, column = np.divmod(np.arange(len(relative)), len(ins))
    weight[(row[:, None] == row[None]) | (column[:, None] == column[None])] = 0
    flat = aligned.reshape(len(relative), -1)
    sums = weight.sum(1, keepdims=True)
    predicted = np.divide(weight @ flat, sums, out=np.zeros_like(flat), where=sums > 1e-9)
    return float(np.square(np.abs(flat - predicted)).sum())


def _dealt(
    outs: Float[np.ndarray, " out"],
    ins: Float[np.ndarray, " in"],
    families: tuple[bool, bool],
    group: str,
    trials: int,
    seed: int,
) -> list[tuple[Float[np.ndarray, " out"], Float[np.ndarray, " in"]]]:
    """Elements of families in other orders; small ones, which have few orders, get elements drawn at random."""
    rng = np.random.default_rng(seed)

    def dealt(elements: Float[np.ndarray, " unit"], family: bool) -> Float[np.ndarray, " unit"]:
        if not family:
            return elements
        if len(elements) > FEW:
            return rng.permutation(elements)
        drawn = rng.uniform(0, PERIODS[group], len(elements))
        return np.floor(drawn) if group == "reflection" else drawn

    return [(dealt(outs, families[0]), dealt(ins, families[1])) for _ in range(trials)]


def transposed(
    first: AnyKernels, outs: Elements, second: AnyKernels, ins: Elements, trials: int = 999, seed: int = 0
) -> Finding:
    """Whether the motif of an equivariant -> invariant circuit is that of an invariant -> equivariant one, transposed.

    `first` goes from as many invariant units as `second` goes to; the templates of both are turned back, those of
    `second` mirrored through their centre, and correlated at the best common turn. The null turns each template
    by itself. Raises BadValue for kernels of different sizes.

    >>> up = np.stack([np.rot90(np.arange(9.0).reshape(3, 3), k) for k in range(4)])[:, None]
    >>> round(transposed(up, [0, 90, 180, 270], up[:, :, ::-1, ::-1].swapaxes(0, 1), [0, 90, 180, 270]).effect, 3)
    1.0
    """
    if first.shape[2:] != second.shape[2:] or first.shape[1] != second.shape[0]:
        raise BadValue(
            f"Kernels of shapes {first.shape} and {second.shape} are not each other's transposes. Give as many inputs "
            "of the first as outputs of the second, and one size of kernels."
        )
    here, there = _field(first, "rotation"), _field(second, "rotation")
    one = turned_back(here, np.broadcast_to(np.asarray(outs, float)[:, None], here.shape[:2]), "rotation").mean(0)
    other = turned_back(there, np.broadcast_to(np.asarray(ins, float), there.shape[:2]), "rotation").mean(1)
    other = other * (-1.0) ** np.arange(other.shape[-1])
    rng = np.random.default_rng(seed)
    null = np.empty(trials)
    for trial in range(trials):
        null[trial] = _best_turn(one, turned_back(other, rng.uniform(0, 360, len(other)), "rotation"))
    effect = _best_turn(one, other)
    p = permutation_p(effect, null)
    return Finding("correlation of the transposed motifs", effect, "each template turned by itself", p, p, len(one))


def copies(
    kernels: Kernels, elements: Elements, group: str = "rotation", trials: int = 999, seed: int = 0
) -> tuple[Float[np.ndarray, " in"], Finding]:
    """How well a family's kernels from each input are copies of each other under the group; 1 where they are exact.

    The correlation over space (each kernel without its mean) of every pair of units, one of them turned (mirrored) by
    the difference of their elements, averaged over the pairs for each input. The finding has the mean over inputs,
    against the units' elements dealt out anew. Raises BadValue for fewer than 3 units (mirrored: 2), one element for
    each.

    >>> turned = np.stack([np.rot90(np.diag([1.0, 2.0, 5.0]), k) for k in range(4)])[:, None]
    >>> copies(turned, [0, 90, 180, 270])[0].round(3)
    array([1.])
    """
    least = 2 if group == "reflection" else 3
    if group not in PERIODS or len(elements) != len(kernels) or len(kernels) < least:
        raise BadValue(
            f"{len(kernels)} units with {len(elements)} elements under '{group}' cannot be held against each other. "
            f"Give {least} units or more, one element for each, and one of {', '.join(PERIODS)}."
        )
    field = _field(kernels - kernels.mean((2, 3), keepdims=True), group)
    size = np.sqrt(np.square(np.abs(field)).sum((2, 3), keepdims=True))
    unit = np.divide(field, size, out=np.zeros_like(field), where=size > 0)
    own = np.asarray(elements, float)
    found = _mean_pair(unit, own, group)
    rng = np.random.default_rng(seed)
    families = (True, False)
    dealt = _dealt(own, np.zeros(kernels.shape[1]), families, group, trials, int(rng.integers(2**31)))
    null = np.array([_mean_pair(unit, each, group).mean() for each, _ in dealt])
    effect = float(found.mean())
    p = permutation_p(effect, null)
    return found, Finding("correlation of copies", effect, "elements dealt out anew", p, p, len(kernels))


def _mean_pair(
    unit: Complex[np.ndarray, "out in feature harmonic"], elements: Float[np.ndarray, " out"], group: str
) -> Float[np.ndarray, " in"]:
    """The mean product of all pairs of units, from the length of their sum: all products are its square."""
    aligned = turned_back(unit, np.broadcast_to(elements[:, None], unit.shape[:2]), group)
    count = len(unit)
    own = np.square(np.abs(unit)).sum((0, 2, 3))
    return (np.square(np.abs(aligned.sum(0))).sum((1, 2)) - own) / (count * (count - 1))


def _best_turn(
    one: Complex[np.ndarray, "template feature harmonic"], other: Complex[np.ndarray, "template feature harmonic"]
) -> float:
    size = np.sqrt(np.square(np.abs(one)).sum() * np.square(np.abs(other)).sum())
    product = (one * other.conj()).sum((0, 1))
    turns = np.exp(2j * np.pi * np.outer(np.arange(72) / 72, np.arange(len(product))))
    return float((turns @ product).real.max() / max(size, 1e-30))
