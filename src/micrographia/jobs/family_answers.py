"""What families answer to (stimuli that had no part in finding them, and labels), and which branches hold them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from micrographia.console import Stages, silent
from micrographia.errors import BadValue
from micrographia.jobs.families import LayerFamilies
from micrographia.jobs.labels import labels
from micrographia.jobs.tuning import LayerTuning, sheet, tuning
from micrographia.model.graph import LayerGraph
from micrographia.publish import atomic
from micrographia.publish.plot import encoded
from micrographia.publish.tuning import tuning_figure
from micrographia.study.families import Family
from micrographia.study.following import LEAST, following
from micrographia.study.null import Finding, corrected, hypergeometric_tail

AXES = {"rotation": "angle", "hue": "hue"}
SHARE = 0.25
"""A unit prefers a value of stimuli only if they excite it by this part of what excites it most."""


@dataclass(frozen=True, eq=False)
class Answer:
    """What one family answers to one kind of stimuli: how many members, how strong of their best (mean), how far off.

    `off` is how far the values that members prefer are off their elements, in degrees on average.
    """

    family: str
    stimuli: str
    units: tuple[int, ...]
    share: float
    off: float
    finding: Finding

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "family": self.family, "stimuli": self.stimuli, "units": list(self.units), "share": round(self.share, 4),
            "off": round(self.off, 2), "finding": self.finding.to_json(),
        }  # fmt: skip


@dataclass(frozen=True, eq=False)
class Answers:
    """All answers of a layer's families, p corrected over all of them; `labels` counts the labels of each's members."""

    answers: tuple[Answer, ...]
    labels: Mapping[str, Mapping[str, int]]
    tuning: LayerTuning

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "answers": [each.to_json() for each in self.answers],
            "labels": {name: dict(counts) for name, counts in self.labels.items()},
        }

    def of(self, family: str) -> list[Answer]:
        """The answers of one family that hold, the strongest stimuli first."""
        own = [each for each in self.answers if each.family == family and each.finding.holds()]
        return sorted(own, key=lambda each: -each.share * each.finding.effect)


def checked(group: str) -> None:
    """Raise BadValue for a group that no stimuli follow, before anything is searched."""
    if group not in AXES:
        raise BadValue(
            f"Stimuli have no values that follow {group}. Ask for answers of families under {' or '.join(AXES)}."
        )


def family_answers(
    graph: LayerGraph, found: LayerFamilies, copies: int = 0, seed: int = 0, stages: Stages = silent
) -> Answers:
    """Show a layer's units the stimuli of `tuning`, and ask whether preferred values follow the families' elements.

    Angles are asked of families under rotation, hues of those under hue; `copies` are those of `labels`. Raises
    BadValue for other groups.

    >>> family_answers(graph, found).of("rotation 1")[0].stimuli  # doctest: +SKIP
    'curves'
    """
    checked(found.group)
    measured = tuning(graph, found.layer, trials=19, seed=seed, stages=stages)
    answers = []
    for each in found.families:
        for name, tuned in measured.families.items():
            axis = tuned.axes[-1]
            if axis.name != AXES[found.group] or axis.period is None:
                continue
            awake = np.flatnonzero(measured.share(name) >= SHARE)
            place = [i for i, unit in enumerate(each.family.members) if unit in set(awake.tolist())]
            units = [each.family.members[i] for i in place]
            elements = [each.family.elements[i] for i in place]
            if len(units) < LEAST:
                continue
            period = min(each.family.period, axis.period)
            off, finding = following(elements, tuned.preferred[units], tuned.preferred[awake], period, seed=seed)
            share = float(measured.share(name)[units].mean())
            answers.append(Answer(each.label, name, tuple(units), share, off, finding))
    tested = corrected([each.finding for each in answers]) if answers else ()
    called = {
        each.unit: each.label for each in labels(graph, found.layer, copies=copies, seed=seed, stages=stages).labels
    }
    return Answers(
        tuple(replace(each, finding=finding) for each, finding in zip(answers, tested, strict=True)),
        {each.label: _counts(each.family, called) for each in found.families},
        measured,
    )


def _counts(family: Family, called: Mapping[int, str]) -> dict[str, int]:
    return dict(Counter(called[unit] for unit in family.members).most_common())


def write_answers(found: Answers, out: Path) -> list[Path]:
    """Write `answers.json` and, for each family, its tuning to the stimuli that it follows most; returns figures."""
    files: dict[str, bytes] = {}
    for name in dict.fromkeys(each.family for each in found.answers):
        best = found.of(name)
        if best:
            drawing = tuning_figure(sheet(found.tuning, best[0].stimuli, best[0].units[:12]))
            files[f"{name.partition(':')[0].replace(' ', '-')}-{best[0].stimuli}.png"] = encoded(drawing)
    figures = [out / name for name in files]
    atomic.write(out, files | {"answers.json": (json.dumps(found.to_json(), indent=1) + "\n").encode()})
    return figures


def branch_findings(
    graph: LayerGraph, layer: str, families: Mapping[str, Sequence[int]]
) -> tuple[tuple[str, Finding], ...]:
    """In which branch of a layer each family is most at home, with p; nothing for a layer without branches of its own.

    p is the chance that as many of so many units drawn at random from the layer are of that branch, corrected over all
    families and branches. A family found by weights shares the form of its kernels, and so a branch, by the way the
    network is built.

    >>> branch_findings(graph, "mixed3a", {"curves": [64, 83, 84]})  # doctest: +SKIP
    """
    own = graph.layer(layer)
    if own.op == "add" or len(own.branches) < 2:
        return ()
    cells = []
    for name, units in families.items():
        for branch in own.branches:
            inside, wide = sum(branch.first <= unit <= branch.last for unit in units), branch.last - branch.first + 1
            p = hypergeometric_tail(inside, len(units), wide, own.channels)
            what = f"{inside} of {len(units)} in {branch.name}"
            effect = inside * own.channels / (len(units) * wide)
            cells.append((name, Finding(what, effect, "units drawn at random", p, n=len(units))))
    tested = corrected([each for _, each in cells]) if cells else ()
    named: dict[str, Finding] = {}
    for (name, _), finding in zip(cells, tested, strict=True):
        if name not in named or finding.p < named[name].p:
            named[name] = finding
    return tuple(named.items())
