"""labels: what a unit answers to, in the field's standard words, each label with its score and its null.

A score says how strong a unit's answer to a label's own stimuli is, of its strongest answer to anything, and how
selective; both over all settings of what does not matter (curvature, phase, offset, ...), for any unit that is seldom
active is selective at some. Scores are between 0 and 1 and do not depend on a unit's scale. What they mean
is told by networks of the same structure that have learned nothing (`model.alike`): even their units prefer something.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from micrographia.errors import BadValue
from micrographia.study.null import Finding, benjamini_hochberg

NULL = "units of networks that have learned nothing"
NONE = "none"

PerUnit = Float[np.ndarray, " unit"]
Excited = Mapping[str, Float[np.ndarray, "unit ..."]]


def _ratio(part: PerUnit, whole: PerUnit) -> PerUnit:
    return np.divide(part, whole, out=np.zeros(np.shape(part)), where=whole > 0)


def _resultant(curves: Float[np.ndarray, "unit value"]) -> PerUnit:
    """The length of the mean resultant: 0 for even answers on the circle, 1 for answers to one value only."""
    turns = np.exp(2j * np.pi * np.arange(curves.shape[1]) / curves.shape[1])
    return _ratio(np.abs(curves @ turns), curves.sum(1))


def _steady(curves: Float[np.ndarray, "unit value"], top: PerUnit) -> PerUnit:
    """How strong the best value is over all settings, of the best answer to anything, times how selective it is."""
    return _ratio(curves.max(1), top) * _resultant(curves)


def _best(groups: Float[np.ndarray, "unit group ..."]) -> Float[np.ndarray, "unit ..."]:
    """Of each unit the group with the largest answer, as of bright and dark strokes."""
    flat = groups.reshape(*groups.shape[:2], -1)
    return groups[np.arange(len(groups)), flat.max(2).argmax(1)]


def _less(answer: PerUnit, other: PerUnit) -> PerUnit:
    """1 where another kind of stimulus excites nothing, 0 where it excites as much."""
    return np.maximum(1 - _ratio(other, answer), 0)


def _gabor(e: Excited, top: PerUnit) -> PerUnit:
    """One orientation at all frequencies, over all phases."""
    waves = e["gratings"].mean(1)
    return _ratio(waves.max((1, 2)), top) * _resultant(waves.sum(1))


def _line(e: Excited, top: PerUnit) -> PerUnit:
    """One orientation over offsets and widths."""
    return _steady(_best(e["lines"].mean((2, 3))), top)


def _edge(e: Excited, top: PerUnit) -> PerUnit:
    """One direction over offsets."""
    return _steady(e["edges"].mean(1), top)


def _gradient(e: Excited, top: PerUnit) -> PerUnit:
    """One direction over spans."""
    return _steady(e["gradients"].mean(1), top)


def _curve(e: Excited, top: PerUnit) -> PerUnit:
    """One direction over curvatures, less what a straight line does; an echo shortens the resultant."""
    bent = e["curves"][:, :, 1:].mean(2)
    chosen = bent.max(2).argmax(1)
    curves = e["curves"][np.arange(len(chosen)), chosen]  # unit, curvature, angle
    return _steady(_best(bent), top) * _less(curves[:, 1:].max((1, 2)), curves[:, 0].max(1))


def _corner(e: Excited, top: PerUnit) -> PerUnit:
    """One direction over openings; half of the score is for doing more than curves do."""
    corners, smooth = e["corners"].mean(2), e["curves"][:, :, 1:].mean(2)
    return _steady(_best(corners), top) * (1 + _less(corners.max((1, 2)), smooth.max((1, 2)))) / 2


def _high_low(e: Excited, top: PerUnit) -> PerUnit:
    """The largest difference of opposite directions over high ratios, less what a texture of one frequency does."""
    ratios = e["high-low"].shape[2]
    pairs = e["high-low"][:, :, ratios // 2 :].mean((1, 2))
    difference = (pairs - np.roll(pairs, pairs.shape[1] // 2, axis=1)).max(1)
    return _ratio(difference, top) * _less(pairs.max(1), e["textures"].mean(1).max((1, 2)))


def _texture(e: Excited, top: PerUnit) -> PerUnit:
    """One frequency in all orientations and phases of crossed waves, and no orientation of single ones."""
    waves = e["textures"].mean((1, 3))
    return _ratio(waves.max(1), top) * (1 - _resultant(e["gratings"].mean(1).sum(1)))


def _spot(e: Excited, top: PerUnit) -> PerUnit:
    """Bright in the dark or the reverse, over sizes, not both."""
    spots = e["spots"].mean(2)
    return _ratio(spots.max(1) - spots.min(1), top)


def _colour_contrast(e: Excited, top: PerUnit) -> PerUnit:
    """Hue and angle go together over offsets: with the hues exchanged, the other side is preferred."""
    edges = e["colour-edges"].mean(1)
    hue, angle = (np.exp(2j * np.pi * np.arange(n) / n) for n in edges.shape[1:])
    both = sum(np.abs(np.einsum("uha,h,a->u", edges, each, angle)) for each in (hue, hue.conj()))
    # over all hues an answer that follows the cosine of hue has 1 / pi of its best one
    held = np.minimum(np.pi * _ratio(edges.mean(1).max(1), top), 1)
    return held * np.minimum(_ratio(both, edges.sum((1, 2))), 1)


def _colour_spot(e: Excited, top: PerUnit) -> PerUnit:
    """One hue over sizes, less what it does without a surround."""
    spots = e["colour-spots"].mean(1)
    return _steady(spots, top) * _less(spots.max(1), e["tints"].mean(1).max(1))


def _colour(e: Excited, top: PerUnit) -> PerUnit:
    """One hue over strengths."""
    return _steady(e["tints"].mean(1), top)


def _black_white(e: Excited, top: PerUnit) -> PerUnit:
    """What a tint of any hue takes away from the answer to textures without colour, over frequencies."""
    waves = e["tinted-textures"]
    plain, tinted = waves[:, :, 0].mean((1, 2)), waves[:, :, -1].max(2).mean(1)
    return _ratio(plain, top) * _less(plain, tinted)


SCORES: dict[str, tuple[tuple[str, ...], Callable[[Excited, PerUnit], PerUnit]]] = {
    "Gabor": (("gratings",), _gabor),
    "line": (("lines",), _line),
    "edge": (("edges",), _edge),
    "brightness gradient": (("gradients",), _gradient),
    "curve": (("curves",), _curve),
    "corner": (("corners", "curves"), _corner),
    "high-low frequency": (("high-low", "textures"), _high_low),
    "texture": (("textures", "gratings"), _texture),
    "centre-surround": (("spots",), _spot),
    "colour contrast": (("colour-edges",), _colour_contrast),
    "colour centre-surround": (("colour-spots", "tints"), _colour_spot),
    "colour": (("tints",), _colour),
    "black-white vs colour": (("tinted-textures",), _black_white),
}
"""Every label with the families of stimuli it needs and the function that scores it."""


@dataclass(frozen=True)
class Label:
    """What one unit is called. `measured` is the label that was found, or "none"; `given` a person's, which overrides.

    `score` is that of the best label whether it holds or not, `p` its chance in networks that have learned nothing
    (the best of all labels there), `corrected` over the units of the layer; `confidence` is the share of such networks'
    units with a smaller score for this label.
    """

    unit: int
    measured: str
    best: str
    score: float
    confidence: float
    p: float
    corrected: float
    scores: Mapping[str, float]
    given: str = ""

    @property
    def label(self) -> str:
        """What the unit is called in the end."""
        return self.given or self.measured

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        finding = Finding(self.best, self.score, NULL, self.p, self.corrected)
        return {
            "unit": self.unit, "label": self.label, "by": "person" if self.given else "measurement",
            "measured": self.measured, "given": self.given or None, "confidence": self.confidence,
            "finding": finding.to_json(), "scores": dict(self.scores),
        }  # fmt: skip


def scores(excited: Excited) -> dict[str, PerUnit]:
    """The score of each unit for each label whose stimuli were shown; 0 everywhere for a unit that nothing excites.

    >>> scores(measured.excited)["curve"][379]  # doctest: +SKIP
    0.61
    """
    top = np.max([each.reshape(len(each), -1).max(1) for each in excited.values()], axis=0)
    known = {name: score for name, (needs, score) in SCORES.items() if all(each in excited for each in needs)}
    return {name: score(excited, top) for name, score in known.items()}


def labels(
    found: Mapping[str, PerUnit],
    null: Mapping[str, Float[np.ndarray, " other"]],
    dead: Sequence[int] = (),
    given: Mapping[int, str] | None = None,
    level: float = 0.05,
) -> tuple[Label, ...]:
    """Name each unit by the label in which it is rarest among the null's units, where that is rare enough.

    Each score becomes the share of the null's units (of the same layer in networks that have learned nothing)
    with a score as large; the smallest over the labels is compared with the smallest of each of the null's units, as
    having many labels to choose from makes a small one likely (Westfall and Young 1993, min P). These p are corrected
    over the layer's living units after Benjamini and Hochberg. Labels that a person gave are kept apart from what was
    measured. Raises BadValue for scores of different labels.

    >>> labels({"line": np.array([0.9])}, {"line": np.linspace(0, 0.5, 99)})[0].measured
    'line'
    """
    if list(found) != list(null) or not found:
        raise BadValue(f"Scores of {', '.join(found)} cannot be held against {', '.join(null)}. Score the same labels.")
    given = given or {}
    names = list(found)
    values, others = np.stack([found[name] for name in names]), np.stack([null[name] for name in names])
    # how many of the null's units have a score as large, for each label; and so for each of these units themselves
    above = np.stack([_as_large(v, o) for v, o in zip(values, others, strict=True)])
    ranks = np.stack([_as_large(o, o) for o in others])
    below = np.stack([_next(v, o) for v, o in zip(values, others, strict=True)])
    under = np.stack([_next(o, o) for o in others])
    units = range(values.shape[1])
    p = np.array([_min_p(values[:, u], above[:, u], below[:, u], others, ranks, under) for u in units])
    tails = (1 + above) / (1 + others.shape[1])
    living = np.setdiff1d(np.arange(values.shape[1]), np.asarray(list(dead), int))
    corrected = np.ones(values.shape[1])
    if len(living):
        corrected[living] = benjamini_hochberg(p[living])
    result = []
    for unit in range(values.shape[1]):
        # of labels that are equally rare, that of the larger score
        order = np.lexsort((-values[:, unit], tails[:, unit]))
        best = int(order[0])
        alive = bool((living == unit).any())
        result.append(
            Label(
                unit,
                names[best] if alive and corrected[unit] <= level else NONE,
                names[best] if alive else NONE,
                float(values[best, unit]) if alive else 0.0,
                float(1 - tails[best, unit]) if alive else 0.0,
                float(p[unit]) if alive else 1.0,
                float(corrected[unit]),
                {name: float(value) for name, value in zip(names, values[:, unit], strict=True)},
                given.get(unit, ""),
            )
        )
    return tuple(result)


def _as_large(values: PerUnit, null: Float[np.ndarray, " other"]) -> Int[np.ndarray, " unit"]:
    """How many of the null are as large as each value."""
    slack = 1e-12 * np.abs(values)  # rounding must not turn a tie into a win
    return len(null) - np.searchsorted(np.sort(null), values - slack, side="left")


def _next(values: PerUnit, null: Float[np.ndarray, " other"]) -> Float[np.ndarray, " unit"]:
    """The largest of the null that is smaller than each value, 0 where there is none."""
    ordered = np.concatenate([[0.0], np.sort(null)])
    return ordered[np.searchsorted(ordered[1:], values, side="left")]


def _lead(values: Float[np.ndarray, "*any"], following: Float[np.ndarray, "*any"]) -> Float[np.ndarray, "*any"]:
    """How far each value is ahead of the one that follows, as a share of it: from 0 to below 1."""
    ahead = np.divide(values - following, values, out=np.zeros(values.shape), where=values > 0)
    return np.clip(ahead, 0, 0.999)


def _min_p(
    values: Float[np.ndarray, " label"],
    above: Int[np.ndarray, " label"],
    below: Float[np.ndarray, " label"],
    others: Float[np.ndarray, "label other"],
    ranks: Int[np.ndarray, "label other"],
    under: Float[np.ndarray, "label other"],
) -> float:
    """The share of units, itself and the null's, that are as rare in some label as this one is in its rarest.

    Every unit is ranked among all of them, this one included, so that where none differ, p is exact. Of units that
    are equally rare (there is a first in each label), the one that is further ahead of the next counts as rarer.
    """
    mine = values[:, None]
    following = np.where(mine < others, np.maximum(under, mine), under)
    own = (above + 1 - _lead(values, below)).min()
    each = (ranks + (mine >= others) - _lead(others, following)).min(0)
    return float((1 + np.sum(each <= own + 1e-12)) / (1 + others.shape[1]))
