"""Tuning: what every unit of a layer answers to stimuli of known parameters, and the numbers that sum it up.

Answers are counted from the answer to plain grey, and what lies below it is left out: tuning is about what excites.
Radial tuning curves, echoes and widths are those of Cammarata et al., Curve Detectors (Distill 2020).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Complex, Float, Int

from micrographia.images.stimuli.frame import Axis, Family, Frame, batches, shape
from micrographia.model.probe import Probe, respond
from micrographia.study.null import Finding, benjamini_hochberg, permutation_p

HARMONICS = 3  # how many are told apart in a spectrum
OPPOSITE = 45.0  # degrees about the opposite direction in which an echo is looked for
NULL = "settings turned against each other"

Grid = Float[np.ndarray, "unit ..."]
Curve = Float[np.ndarray, "unit value"]
PerUnit = Float[np.ndarray, " unit"]


@dataclass(frozen=True, eq=False)
class Measured:
    """The excitation of each unit of a layer by each stimulus of each family, above that by plain grey.

    `excited[family]` is "unit" by the values of each axis of `families[family]`; `grey` is what was taken off;
    `top` is the strongest excitation over all families, 0 for units that nothing excites.
    """

    layer: str
    families: Mapping[str, Family]
    excited: Mapping[str, Grid]
    grey: PerUnit

    @property
    def top(self) -> PerUnit:
        """The strongest excitation of each unit over all families."""
        return np.max([each.reshape(len(each), -1).max(1) for each in self.excited.values()], axis=0)

    @property
    def dead(self) -> list[int]:
        """The units that no stimulus excites."""
        return np.flatnonzero(self.top <= 0).tolist()


@dataclass(frozen=True, eq=False)
class Tuning:
    """How the units of a layer are tuned to one family.

    `curve` runs over the last axis, with the others pooled; `preferred` is where it is highest, `width` its full
    width at half its maximum, both in the axis's unit, and `echo` its maximum within 45 degrees of the opposite over
    its maximum. `harmonics` are the shares that the first three hold of the curve's power without its mean. `strength`
    is the length of the mean resultant over all stimuli: 0 for no preference, 1 for answers to one value only. `best`
    has the values of all axes of the stimulus that excites most, `peak` that excitation. What does not exist (echoes of
    axes that are not full circles, everything of units that the family does not excite) is NaN.
    """

    family: str
    axes: tuple[Axis, ...]
    curve: Curve
    preferred: PerUnit
    width: PerUnit
    echo: PerUnit
    harmonics: Float[np.ndarray, "unit harmonic"]
    strength: PerUnit
    best: Float[np.ndarray, "unit axis"]
    peak: PerUnit
    p: PerUnit
    corrected: PerUnit

    def of(self, unit: int) -> dict[str, Any]:
        """Plain values of one unit; NaN becomes None."""
        finding = Finding(
            f"{self.axes[-1].name} in {self.family}", float(self.strength[unit]), NULL, float(self.p[unit]),
            float(self.corrected[unit]), int(np.prod([len(axis.values) for axis in self.axes])),
        )  # fmt: skip
        return {
            "preferred": _plain(self.preferred[unit]),
            "width": _plain(self.width[unit]),
            "echo": _plain(self.echo[unit]),
            "harmonics": [_plain(each) for each in self.harmonics[unit]],
            "peak": _plain(self.peak[unit]),
            "best": {axis.name: _plain(v) for axis, v in zip(self.axes, self.best[unit], strict=True)},
            "curve": [_plain(each) for each in self.curve[unit]],
            "finding": {key: _plain(value) for key, value in finding.to_json().items()},
        }


def _plain(value: Any) -> Any:
    if isinstance(value, float | np.floating):
        return None if not np.isfinite(value) else float(f"{float(value):.6g}")
    return value


def measured(
    to: Probe,
    families: Mapping[str, Family],
    field: float | int | None = None,
    batch: int = 64,
    progress: Callable[[int], Any] = lambda count: None,
) -> Measured:
    """Show every stimulus of the families to a probe, in one pass for all units of its layer.

    Stimuli are as wide as the probe's receptive field, or `field` px.

    >>> measured(probe(graph, "mixed3b"), catalogue(91)).excited["curves"].shape  # doctest: +SKIP
    (480, 2, 7, 36)
    """
    frame = Frame(to.size, to.centre, to.field if field is None else field)
    grey = respond(to, torch.full((1, 3, *to.size), 0.5))[0].double().cpu().numpy()
    excited = {}
    for name, family in families.items():
        answers = []
        for pictures in batches(family, frame, batch):
            answers.append(respond(to, pictures).double().cpu().numpy())
            progress(len(pictures))
        above = np.maximum(np.concatenate(answers).T - grey[:, None], 0)
        # what rounding makes of equal answers is no excitation
        above[above < 1e-5 * (np.abs(grey) + above.max(1))[:, None]] = 0
        excited[name] = above.reshape(to.units, *shape(family))
    return Measured(to.layer, dict(families), excited, grey)


def pooled(excited: Grid, axes: tuple[Axis, ...], keep: int = -1) -> Curve:
    """The excitation over one axis, with the others pooled as each of them says, the fastest first.

    >>> pooled(np.ones((7, 2, 5)), (Axis("a", (0, 1)), Axis("b", (0, 1, 2, 3, 4)))).shape
    (7, 5)
    """
    keep %= len(axes)
    for place in reversed(range(len(axes))):
        if place == keep:
            continue
        if axes[place].pooled == "best":
            front = np.moveaxis(excited, place + 1, 1)
            chosen = front.reshape(*front.shape[:2], -1).max(2).argmax(1)
            excited = front[np.arange(len(front)), chosen]
        else:
            excited = excited.max(place + 1) if axes[place].pooled == "max" else excited.mean(place + 1)
    return excited


def tune(family: Family, excited: Grid, trials: int = 999, seed: int = 0) -> Tuning:
    """Sum up the excitations by one family; the last axis is the one that is looked at.

    The null of the strength: a unit whose answers do not follow the axis prefers other values at each setting of the
    other axes. So every setting's curve is turned by a random step; each keeps its own shape and smoothness, and only
    what they agree in is lost. p is corrected over the units after Benjamini and Hochberg. Units that the family
    does not excite, and axes that are no circle, have no strength and no p (NaN).

    >>> tune(Curves(), measured.excited["curves"]).preferred[379]  # doctest: +SKIP
    243.0
    """
    axes = family.axes
    axis = axes[-1]
    curve = pooled(excited, axes)
    flat = excited.reshape(len(excited), -1)
    awake = flat.max(1) > 0
    values = [np.array(each.values, dtype=np.float64) for each in axes]
    places = np.unravel_index(flat.argmax(1), excited.shape[1:])
    best = np.stack([each[place] for each, place in zip(values, places, strict=True)], 1)
    sums = {"preferred": preferred(curve, axis), "width": width(curve, axis), "echo": echo(curve, axis)}
    sums |= {"harmonics": harmonics(curve, axis), "best": best}
    for each in sums.values():
        each[~awake] = np.nan
    strength, p, corrected = _strength(excited, axes, trials, seed)
    return Tuning(family.name, axes, curve, strength=strength, peak=flat.max(1), p=p, corrected=corrected, **sums)


def preferred(curve: Curve, axis: Axis) -> PerUnit:
    """Where each curve is highest, in the axis's unit, between its samples by a parabola through the three about it.

    >>> preferred(np.array([[0.0, 2.0, 2.0, 0.0]]), Axis("angle", (0.0, 90.0, 180.0, 270.0), period=360))
    array([135.])
    """
    size = curve.shape[1]
    at = curve.argmax(1)
    if axis.period is None:
        return np.array(axis.values, dtype=np.float64)[at]
    rows = np.arange(len(curve))
    before, middle, after = (curve[rows, (at + step) % size] for step in (-1, 0, 1))
    bend = 2 * middle - before - after
    shift = np.divide(after - before, 2 * bend, out=np.zeros(len(curve)), where=bend > 0)
    step = axis.period / size
    return (axis.values[0] + (at + shift) * step) % axis.period


def width(curve: Curve, axis: Axis) -> PerUnit:
    """The full width at half the maximum of each curve, between its samples along straight lines, in the axis's unit.

    Only the range about the maximum counts, not further bumps. A curve that never falls to half is as wide as the axis.

    >>> width(np.array([[0.0, 2.0, 0.0, 0.0]]), Axis("angle", (0.0, 90.0, 180.0, 270.0), period=360))
    array([90.])
    """
    size = curve.shape[1]
    wide = np.zeros(len(curve))
    at = np.array(axis.values, dtype=np.float64)
    for unit, each in enumerate(curve):
        top, half = int(each.argmax()), each.max() / 2
        reach = []
        for way in (1, -1):
            ends = (size - 1 - top if way > 0 else top) if axis.period is None else size
            steps = each[(top + way * np.arange(ends + 1)) % size]
            below = np.flatnonzero(steps < half)
            if len(below):
                last = int(below[0])
                part = last - 1 + (steps[last - 1] - half) / (steps[last - 1] - steps[last])
            else:
                part = float(ends)
            if axis.period is None:
                part = abs(float(np.interp(top + way * part, np.arange(size), at)) - at[top])
            else:
                part *= axis.period / size
            reach.append(part)
        wide[unit] = sum(reach) if axis.period is None else min(sum(reach), axis.period)
    return wide


def echo(curve: Curve, axis: Axis) -> PerUnit:
    """The largest answer within 45 degrees of the opposite of each curve's maximum, over that maximum.

    NaN where the axis is not a full circle.

    >>> echo(np.array([[4.0, 0.0, 1.0, 0.0]]), Axis("angle", (0.0, 90.0, 180.0, 270.0), period=360))
    array([0.25])
    """
    if axis.period != 360 or curve.shape[1] < 3:
        return np.full(len(curve), np.nan)
    size = curve.shape[1]
    reach = int(OPPOSITE / 360 * size + 1e-9)
    places = (curve.argmax(1)[:, None] + round(size / 2) + np.arange(-reach, reach + 1)) % size
    opposite = np.take_along_axis(curve, places, 1).max(1)
    top = curve.max(1)
    return np.divide(opposite, top, out=np.full(len(curve), np.nan), where=top > 0)


def harmonics(curve: Curve, axis: Axis) -> Float[np.ndarray, "unit harmonic"]:
    """The shares of the curve's power, without its mean, that its first three harmonics hold; NaN without a circle.

    >>> harmonics(np.cos(np.linspace(0, 2 * np.pi, 8, endpoint=False))[None], Axis("a", (0,) * 8, period=360)).round(3)
    array([[1., 0., 0.]])
    """
    if axis.period is None:
        return np.full((len(curve), HARMONICS), np.nan)
    size = curve.shape[1]
    power = np.square(np.abs(np.fft.rfft(curve, axis=1)))[:, 1:]
    power[:, : (size - 1) // 2] *= 2  # each of these stands for a pair
    total = power.sum(1, keepdims=True)
    shares = np.divide(power, total, out=np.full_like(power, np.nan), where=total > 1e-20 * size)
    return np.pad(shares, ((0, 0), (0, HARMONICS)))[:, :HARMONICS]


def _strength(excited: Grid, axes: tuple[Axis, ...], trials: int, seed: int) -> tuple[PerUnit, PerUnit, PerUnit]:
    """The length of the mean resultant over all stimuli, its p, and the p corrected over the units."""
    axis, units, size = axes[-1], len(excited), excited.shape[-1]
    strength, p = np.full(units, np.nan), np.full(units, np.nan)
    if axis.period is None or size < 3:
        return strength, p, p.copy()
    settings = excited.reshape(units, -1, size)
    turns = np.exp(2j * np.pi * np.arange(size) / size)
    resultant, total = settings @ turns, settings.sum((1, 2))
    along = _turning(axes)
    longest = np.abs(resultant @ along.T).max(1)
    steps: Int[np.ndarray, "trial setting"] = np.random.default_rng(seed).integers(
        size, size=(trials, settings.shape[1])
    )
    awake = total > 0
    for unit in np.flatnonzero(awake):
        strength[unit] = longest[unit] / total[unit]
        moved = np.abs((resultant[unit] * turns[steps]) @ along.T).max(1)
        p[unit] = permutation_p(float(strength[unit]), moved / total[unit])
    corrected = p.copy()
    corrected[awake] = benjamini_hochberg(p[awake])
    return strength, p, corrected


def _turning(axes: tuple[Axis, ...]) -> Complex[np.ndarray, "way setting"]:
    """How the preferred value may turn from setting to setting: not at all or, where the axis before is a circle too,
    with it or against it: a unit for an edge of red and green has the opposite angle for green and red."""
    sizes = [len(axis.values) for axis in axes[:-1]]
    still = np.ones((1, int(np.prod(sizes))), complex)
    if not sizes or axes[-2].period != 360:
        return still
    other = np.resize(np.exp(2j * np.pi * np.arange(sizes[-1]) / sizes[-1]), still.shape)
    return np.concatenate([still, other, other.conj()])
