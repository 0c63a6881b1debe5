"""The figures of the toy experiments: from their results to the drawing functions, with the words under each figure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from micrographia.jobs.later_toy_figures import later_toy_figures
from micrographia.publish import film
from micrographia.publish import toy as draw
from micrographia.toy import dynamics, packing, phase
from micrographia.toy.demonstrate import Demonstrate
from micrographia.toy.dynamics import Dynamics
from micrographia.toy.geometry import interference, norms
from micrographia.toy.intro import Intro
from micrographia.toy.phase import Phase
from micrographia.toy.polytope import groups
from micrographia.toy.structure import Structure

_SHOWN = (0.6, 0.4, 0.27, 0.2)


@dataclass(frozen=True, eq=False)
class ToyFigure:
    """One figure: its file's name, its bytes, and the words under it."""

    file: str
    data: bytes
    caption: str


def toy_figures(name: str, result: Any) -> list[ToyFigure]:
    """The figures of an experiment's result; none for an experiment that has only numbers.

    >>> [each.file for each in toy_figures("intro", result)]  # doctest: +SKIP
    ['vectors.png']
    """
    return DRAWN[name](result) if name in DRAWN else [ToyFigure(*each) for each in later_toy_figures(name, result)]


def _intro(result: Intro) -> list[ToyFigure]:
    if result.weights.shape[1] != 2:
        return []
    titles = [f"density {p:g}\n{shape}" for p, shape in zip(result.density, result.structure, strict=True)]
    count = min(4, len(titles))
    data = draw.weights_in_the_plane(result.weights, titles, result.importance, columns=count)
    return [ToyFigure("vectors.png", data, "The best restart at each density; dark features are the important ones.")]


def _demonstrate(result: Demonstrate) -> list[ToyFigure]:
    found = []
    for each in result.models:
        titles = ["linear", *(f"density {p:g}" for p in each.density[1:])]
        data = draw.models(each.weights, each.bias, norms(each.weights), interference(each.weights), titles)
        n, m = each.weights.shape[2], each.weights.shape[1]
        words = f"n = {n}, m = {m}. Above: the Gram matrix and the biases; below: norms, coloured by interference."
        found.append(ToyFigure(f"n{n}.png", data, words))
    return found


def _phase(result: Phase) -> list[ToyFigure]:
    found = []
    for each in result.diagrams:
        data = draw.phase(
            each.density, each.importance, each.theory, each.found, each.norm, each.colour, each.band, phase.STATES
        )
        words = (
            f"n = {each.features}, m = {each.hidden}: {each.agreement:.1%} of the cells off the borders are as theory "
            "says; dots mark the others. Right: white is not learned, green orthogonal, red shared."
        )
        found.append(ToyFigure(f"n{each.features}.png", data, words))
    return found


def _geometry(result: Structure) -> list[ToyFigure]:
    uniform, uneven, grouped = result.packing, result.perturbed, result.sets
    whole = draw.geometry(
        uniform.density, uniform.packed,
        [d[r > 0] for d, r in zip(uniform.dimensions, uniform.represented, strict=True)], packing.LINES,
    )  # fmt: skip
    shown = sorted({int(np.abs(np.log(uniform.density / p)).argmin()) for p in _SHOWN})
    rows = [(f"density {uniform.density[at]:.3g}", _groups(uniform.weights[at])) for at in shown]
    poses = draw.weights_in_the_plane(
        uneven.weights, [f"{r:g} times as dense" for r in uneven.relative], groups=(1, 0, 0, 0, 0), columns=6
    )
    planes = [each for each in grouped.cases if each.case.hidden == 2]
    members = [each.case.correlated or each.case.anticorrelated for each in planes]
    four = draw.weights_in_the_plane(
        np.stack([each.weights for each in planes[:2]]), [each.case.name for each in planes[:2]],
        groups=_colours(members[0]), columns=2,
    )  # fmt: skip
    swept = draw.weights_in_the_plane(
        grouped.weights, [f"density {p:g}" for p in grouped.density], groups=_colours(members[2]), columns=5
    )
    tens = grouped.cases[3]
    figures = (
        ("packing", whole, "Equally important features: D* sticks at 1 and 1/2, each D_i at a polytope's fraction."),
        (
            "polytopes", draw.polytopes(rows),
            "Groups of features that interfere, along their main axes; cool edges inhibit, warm ones excite.",
        ),
        (
            "uneven", draw.uneven(uneven.relative, uneven.loss, uneven.kept, uneven.crossing),
            "One of five features made sparser or denser than the rest: the two solutions' lowest losses cross.",
        ),
        ("poses", poses, "The best model at each density of the red feature."),
        ("pairs", four, "Pairs that come together are orthogonal, pairs that exclude each other opposite."),
        (
            "collapse", swept,
            "Three correlated pairs in two dimensions: collapsed where dense, a hexagon where sparse.",
        ),
        ("tens", draw.gram(tens.weights, (10,)), "Two correlated tens: each is nearly orthogonal in itself."),
    )  # fmt: skip
    return [ToyFigure(f"{name}.png", data, words) for name, data, words in figures]


def _groups(weights: np.ndarray) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """The groups of a model, one of each polytope with how many there are, then those without a name, ten in all."""
    found = [each for each in groups(weights) if len(each.features) > 1]
    counts = Counter(each.name for each in found)
    named = {each.name: each for each in reversed(found) if each.name != "none"}
    drawn = []
    for each in ([*named.values()] + [each for each in found if each.name == "none"])[:10]:
        columns = weights[:, list(each.features)]
        points = columns.T @ np.linalg.svd(columns, full_matrices=False)[0][:, :2]
        if points.shape[1] < 2:
            points = np.hstack([points, np.zeros_like(points)])
        known = f"{each.name} \u00d7 {counts[each.name]}"
        name = known if each.name != "none" else f"{len(each.features)} in {each.dimensions} dims"
        drawn.append((name, points, columns.T @ columns))
    return drawn


def _colours(members: tuple[tuple[int, ...], ...]) -> tuple[int, ...]:
    number = {i: at for at, each in enumerate(members) for i in each}
    return tuple(number[i] for i in sorted(number))


def _dynamics(result: Dynamics) -> list[ToyFigure]:
    frames = (result.frames, result.frame_loss, result.frame_steps, dynamics.SETS)
    return [
        ToyFigure(
            "levels.png",
            draw.levels(result.steps, result.dimensions, result.loss),
            "Every feature's dimensionality, above the loss.",
        ),
        ToyFigure(
            "octahedron.webp",
            film.film(*frames),
            "Two correlated sets of three features, in three dimensions, as they are learned.",
        ),
        ToyFigure("octahedron.png", film.strip(*frames), "The same: five moments, even steps of the loss."),
    ]


DRAWN: dict[str, Callable[[Any], list[ToyFigure]]] = {
    "intro": _intro,
    "demonstrate": _demonstrate,
    "phase": _phase,
    "geometry": _geometry,
    "dynamics": _dynamics,
}
"""How each experiment's result is drawn."""
