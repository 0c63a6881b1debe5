"""Experiment `real`: the toys' measures on a trained network's activations, layer by layer, with a null.

A network's features are not known, so each layer gets a dictionary: a sparse autoencoder's (autoencoder.py), with more
entries than units. An entry counts by how much it is used: W_i is its unit direction times the root mean square of its
code, as a toy's W_i is a direction times a feature's norm. Features are counted by the entropy of the use (as in
Bereska et al. 2025, arXiv 2512.13568), dimensions by the entropy of the activations' spectrum.

The null has every unit's activations dealt out anew over the samples: each unit keeps its own distribution, its
sparsity too, and nothing of which units go together is left. There the units themselves are the features.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from micrographia.errors import BadValue
from micrographia.toy.autoencoder import learn
from micrographia.toy.check import Check
from micrographia.toy.geometry import dimensionality, effective_count

SOURCE = "null model"
USED = 1e-3
"""An entry is used if its share of all energy is at least this part of the most used one's."""


@dataclass(frozen=True)
class Size:
    """How the dictionaries are made; `most_units` and `samples` bound what is read of a layer."""

    width: float
    penalty: float
    steps: int
    batch: int
    nulls: int
    most_units: int
    samples: int


FULL = Size(width=2.0, penalty=0.2, steps=1500, batch=256, nulls=3, most_units=128, samples=8000)
QUICK = Size(width=2.0, penalty=0.2, steps=300, batch=128, nulls=1, most_units=32, samples=2000)


@dataclass(frozen=True)
class Measures:
    """Of one matrix of activations: effective numbers of features and dimensions, and how features share them.

    `dimensionality` is the mean D_i of the features, weighed by their use; `interference` the mean over used features
    of the sum over the others of the squared cosine; `active` and `explained` tell how the dictionary does.
    """

    features: float
    dimensions: float
    dimensionality: float
    interference: float
    active: float
    explained: float

    @property
    def features_per_dimension(self) -> float:
        return self.features / self.dimensions

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return vars(self) | {"features_per_dimension": self.features_per_dimension}


@dataclass(frozen=True)
class Layer:
    """One layer: its units (of which `read` were looked at), its measures, and those of the nulls."""

    name: str
    units: int
    read: int
    samples: int
    measures: Measures
    nulls: tuple[Measures, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "name": self.name, "units": self.units, "read": self.read, "samples": self.samples,
            "measures": self.measures.to_json(), "nulls": [each.to_json() for each in self.nulls],
        }  # fmt: skip


@dataclass(frozen=True)
class Real:
    """The layers of one network, in its order."""

    size: Size
    network: str
    layers: tuple[Layer, ...]
    checks: tuple[Check, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "size": vars(self.size), "network": self.network, "layers": [each.to_json() for each in self.layers],
            "checks": [each.to_json() for each in self.checks],
        }  # fmt: skip


def real(
    activations: Mapping[str, Float[np.ndarray, "sample unit"]], network: str, size: Size = FULL, seed: int = 0
) -> Real:
    """Measure every layer of a network; `activations` are of places drawn from pictures, by layer.

    Raises BadValue for a layer with fewer than two units that are ever active.

    >>> real({"conv1": np.random.rand(500, 8)}, "a network", QUICK).layers[0].read  # doctest: +SKIP
    8
    """
    layers = tuple(_layer(name, values, size, seed) for name, values in activations.items())
    return Real(size, network, layers, _checks(layers))


def measures(
    dictionary: Float[np.ndarray, "unit entry"],
    use: Float[np.ndarray, " entry"],
    spectrum: Float[np.ndarray, " dimension"],
    active: float,
    explained: float,
) -> Measures:
    """The measures of unit entries of a given use (the root mean square of their codes) and the activations' spectrum.

    >>> measures(np.eye(2), np.ones(2), np.ones(2), 1.0, 1.0).features_per_dimension
    1.0
    """
    energy = np.square(use)
    weights = (dictionary * use)[None]
    share = energy / max(float(energy.sum()), np.finfo(float).tiny)
    used = dictionary[:, energy >= USED * energy.max()]
    cosine = used.T @ used
    return Measures(
        float(effective_count(energy)),
        float(effective_count(spectrum)),
        float((dimensionality(weights)[0] * share).sum()),
        float((np.square(cosine).sum(1) - 1).mean()),
        active,
        explained,
    )


def _layer(name: str, values: Float[np.ndarray, "sample unit"], size: Size, seed: int) -> Layer:
    rng = np.random.default_rng(seed)
    alive = np.flatnonzero(values.std(0) > 0)
    if len(alive) < 2:
        raise BadValue(f"Fewer than two units of {name} ever change on these pictures. Choose another layer.")
    kept = np.sort(rng.permutation(alive)[: size.most_units])
    rows = rng.permutation(len(values))[: size.samples]
    own = values[np.ix_(rows, kept)].astype(np.float32)
    own = own / np.sqrt(np.square(own).sum(1).mean())
    data = np.stack([own, *(rng.permuted(own, axis=0) for _ in range(size.nulls))])

    def batch(step: int) -> Float[np.ndarray, "model sample unit"]:
        chosen = np.random.default_rng([seed, step]).integers(data.shape[1], size=size.batch)
        return data[:, chosen]

    entries = round(size.width * len(kept))
    found = learn(batch, entries, (size.penalty,) * len(data), size.steps, seed)
    spectra = [np.linalg.eigvalsh(np.cov(each.T)).clip(0).astype(np.float64) for each in data]
    own_measures, *nulls = (
        measures(each.dictionary, each.use, spectrum, each.active, each.explained)
        for each, spectrum in zip(found, spectra, strict=True)
    )
    return Layer(name, values.shape[1], len(kept), len(rows), own_measures, tuple(nulls))


def _checks(layers: tuple[Layer, ...]) -> tuple[Check, ...]:
    checks = []
    for layer in layers:
        own, null = layer.measures.features_per_dimension, [each.features_per_dimension for each in layer.nulls]
        checks.append(
            Check(
                f"{layer.name}: effective features per dimension",
                f"above the null's ({', '.join(f'{each:.2f}' for each in null)})", f"{own:.2f}", own > max(null),
                SOURCE,
            )
        )  # fmt: skip
    return tuple(checks)
