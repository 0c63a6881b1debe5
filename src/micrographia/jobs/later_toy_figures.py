"""The figures of the later toy experiments and of a real network: from their results to the drawing functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from micrographia.publish import toy_figures as draw
from micrographia.toy.adversarial import Adversarial, unsaturated
from micrographia.toy.autoencoder import Autoencoder
from micrographia.toy.computation import Computation
from micrographia.toy.convolution import Convolution
from micrographia.toy.memorization import Memorization
from micrographia.toy.privileged import HIDDEN, Privileged
from micrographia.toy.real import Real

Drawn = list[tuple[str, bytes, str]]
"""Files' names, their bytes, and the words under the figures."""


def later_toy_figures(name: str, result: Any) -> Drawn:
    """The figures of an experiment's result; none for one that is not known here.

    >>> [file for file, _, _ in later_toy_figures("privileged", result)]  # doctest: +SKIP
    ['neurons.png']
    """
    return _DRAWN[name](result) if name in _DRAWN else []


def _adversarial(result: Adversarial) -> Drawn:
    counted = unsaturated(result.represented)
    data = draw.vulnerability(
        result.features_per_dimension, result.density, result.vulnerability, result.vulnerability_one_attack, counted
    )
    words = (
        "The rise of the loss under attack, over that of a model without superposition on the same data. Hollow marks: "
        "nearly all features are represented, and 1 / D* measures n / m."
    )
    return [("vulnerability.png", data, words)]


def _privileged(result: Privileged) -> Drawn:
    titles = [
        f"density {p:g}: {int((each == 1).sum())} of {HIDDEN} mono, {count} features"
        for p, each, count in zip(result.density, result.meanings, result.represented, strict=True)
    ]
    order = [_by_feature(each) for each in result.weights]
    data = draw.stacks(
        [each[o] for each, o in zip(result.weights, order, strict=True)],
        [each[o].tolist() for each, o in zip(result.meanings, order, strict=True)],
        titles,
    )
    words = (
        f"The best of {result.size.restarts} restarts at each density: every neuron's weights, negative ones below the "
        "axis. A tinted ground marks neurons that mean more than one feature."
    )
    return [("neurons.png", data, words)]


def _computation(result: Computation) -> Drawn:
    scratch = result.scratch
    named = [(each.name, each) for each in (scratch, result.annealed, result.control)]
    curves = draw.sweeps(
        scratch.density,
        [(name, np.median(each.losses, axis=1)) for name, each in named],
        [(name, each.monosemantic.astype(float)) for name, each in named],
        scratch.meanings.shape[1],
    )
    # four densities, evenly through the sweep
    shown = np.unique(np.linspace(0, len(scratch.density) - 1, 4).round().astype(int)).tolist()
    order = {at: _by_feature(scratch.encoder[at]) for at in shown}
    bars = draw.stacks(
        [np.abs(scratch.encoder[at][order[at]]) for at in shown],
        [scratch.meanings[at][order[at]].tolist() for at in shown],
        [f"density {scratch.density[at]:g}: {scratch.monosemantic[at]} monosemantic" for at in shown],
        columns=2,
        named=False,
    )
    found = [
        (
            "loss.png", curves,
            "Medians over the seeds. Annealed: going on from the next denser model; as long: at its own density for as "
            "many steps.",
        ),
        (
            "neurons.png", bars,
            "The sizes of the input weights of models from scratch, the largest made 1; dark features are the "
            "important ones, a tinted ground marks neurons that mean more than one.",
        ),
    ]  # fmt: skip
    return found


def _memorization(result: Memorization) -> Drawn:
    if result.weights.shape[1] != 2:
        return []
    shown = np.unique(np.linspace(0, len(result.points) - 1, min(6, len(result.points))).round().astype(int)).tolist()
    data = draw.descent(
        result.points, result.train_loss, result.test_loss, result.point_dimensions, result.feature_dimensions,
        result.hidden, result.weights, shown,
    )  # fmt: skip
    words = "Few points are stored as points, many as features; below, the two of them in the hidden plane."
    return [("descent.png", data, words)]


def _autoencoder(result: Autoencoder) -> Drawn:
    table = [result.at(p) for p in result.size.densities]
    cosine = np.array([[each.cosine for each in row] for row in table])
    found = np.array([[each.found for each in row] for row in table])
    data = draw.recoveries(result.size.densities, result.size.penalties, cosine, found, result.random, result.data)
    return [("recovery.png", data, "A feature is found if an entry of its own has a cosine of 0.9 or more with it.")]


def _convolution(result: Convolution) -> Drawn:
    codes, size = result.codes, result.size
    last = codes[-1]
    shown = last.weights[-1].transpose(1, 0, 2, 3)
    length = np.sqrt(np.square(shown).sum((1, 2, 3)))
    data = draw.kernels(
        size.densities, size.kernels, np.stack([each.loss for each in codes]),
        np.stack([each.represented for each in codes]), np.stack([each.overlap for each in codes]),
        shown[np.argsort(-length, kind="stable")],
        f"Codes of kernel {last.kernel} x {last.kernel} at density {size.densities[-1]:g}: the longest, by channel",
    )  # fmt: skip
    words = (
        f"{size.features} features in {size.hidden} channels on a torus. Larger kernels give longer codes, not more "
        "room; warm weights excite, cool ones inhibit."
    )
    return [("kernels.png", data, words)]


def _real(result: Real) -> Drawn:
    rows = []
    for title, name in (
        ("Effective features per dimension", "features_per_dimension"),
        ("Dimensionality of a feature", "dimensionality"),
        ("Interference: squared cosines with all others", "interference"),
    ):
        own = np.array([getattr(each.measures, name) for each in result.layers])
        null = np.array([[getattr(n, name) for n in each.nulls] for each in result.layers])
        rows.append((title, own, null))
    data = draw.layers([each.name for each in result.layers], rows)
    words = f"{result.network}: features are the entries of a sparse autoencoder, weighed by their use."
    return [("layers.png", data, words)]


def _by_feature(weights: np.ndarray) -> np.ndarray:
    """Neurons in the order of the feature that they read most."""
    return np.argsort(np.abs(weights).argmax(1), kind="stable")


_DRAWN: dict[str, Callable[[Any], Drawn]] = {
    "adversarial": _adversarial,
    "privileged": _privileged,
    "computation": _computation,
    "memorization": _memorization,
    "autoencoder": _autoencoder,
    "convolution": _convolution,
    "real": _real,
}
