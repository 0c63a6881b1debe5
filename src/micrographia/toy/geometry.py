"""How features lie in a toy model's hidden space: norms, interference, dimensionality, and the neurons' meanings.

Weights are "instance hidden feature": feature i of an instance is the column W_i, in the paper's orientation. The
measures are those of Elhage et al., Toy Models of Superposition (Transformer Circuits 2022), where not said otherwise.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int

Weights = Float[np.ndarray, "instance hidden feature"]
PerFeature = Float[np.ndarray, "instance feature"]

LEAST_NORM = 0.5
"""A feature of at least this norm counts as represented; trained norms lie near 0 or near 1 and above."""
MEANT = 0.3
"""A neuron means each feature whose weight is at least this part of its largest (in size)."""
ALIVE = 0.1
"""A neuron whose largest weight is below this part of the largest weight of its model is dead."""


def norms(weights: Weights) -> PerFeature:
    """The length of each feature's column: about 1 where it is represented, about 0 where it is not.

    >>> norms(np.array([[[3.0, 0.0], [4.0, 0.0]]]))
    array([[5., 0.]])
    """
    return np.sqrt(np.square(weights).sum(1))


def represented(weights: Weights, least: float = LEAST_NORM) -> Bool[np.ndarray, "instance feature"]:
    """Which features have a norm of `least` or more.

    >>> represented(np.array([[[1.0, 0.1]]]))
    array([[ True, False]])
    """
    return norms(weights) >= least


def interference(weights: Weights) -> PerFeature:
    """The sum over j != i of (unit W_i . W_j)^2: 0 is orthogonal to all, 1 is moved by others as much as by itself.

    This colours the paper's figures, section Demonstrating Superposition; its notebook takes the square root. A feature
    of no length has none.

    >>> interference(np.array([[[1.0, -1.0]]]))
    array([[1., 1.]])
    """
    return _overlaps(weights) - np.square(norms(weights))


def dimensionality(weights: Weights) -> PerFeature:
    """The part of a dimension that each feature has: |W_i|^2 / sum over j of (unit W_i . W_j)^2.

    Section The Geometry of Superposition; capacity in Scherlis et al. 2022. The scale of all weights does not matter. A
    feature of no length has 0.

    >>> dimensionality(np.array([[[1.0, -1.0]]]))
    array([[0.5, 0.5]])
    """
    overlaps = _overlaps(weights)
    return np.divide(np.square(norms(weights)), overlaps, out=np.zeros_like(overlaps), where=overlaps > 0)


def capacity(weights: Weights) -> Float[np.ndarray, " instance"]:
    """The sum of all features' dimensionalities: at most the hidden size, and equal to it where packing is efficient.

    Scherlis et al. 2022, Polysemanticity and Capacity in Neural Networks.

    >>> capacity(np.eye(2)[None])
    array([2.])
    """
    return dimensionality(weights).sum(1)


def dimensions_per_feature(weights: Weights) -> Float[np.ndarray, " instance"]:
    """D* = hidden size / |W|_F^2; unlike the dimensionality it depends on the weights' scale. NaN for no weight at all.

    >>> dimensions_per_feature(np.array([[[1.0, -1.0]]]))
    array([0.5])
    """
    energy = np.square(weights).sum((1, 2))
    return np.divide(float(weights.shape[1]), energy, out=np.full_like(energy, np.nan), where=energy > 0)


def effective_features(weights: Weights) -> Float[np.ndarray, " instance"]:
    """How many features there are by the entropy of their shares of |W|_F^2: exp(-sum p_i log p_i); scale-free.

    k features of one length and no others give k. Hill's number of order 1 (Hill 1973). 0 for no weight at all.

    >>> effective_features(np.array([[[1.0, 1.0, 0.0]]]))
    array([2.])
    """
    return effective_count(np.square(norms(weights)))


def effective_count(energy: Float[np.ndarray, "*any part"]) -> Float[np.ndarray, "*any"]:
    """exp(entropy) of the last axis taken as shares: how many parts there would be, were they equal; 0 for no energy.

    >>> effective_count(np.array([[1.0, 1.0, 0.0]]))
    array([2.])
    """
    total = energy.sum(-1, keepdims=True)
    share = np.divide(energy, total, out=np.zeros_like(energy), where=total > 0)
    logs = np.log(share, out=np.zeros_like(share), where=share > 0)
    return np.where(total[..., 0] > 0, np.exp(-(share * logs).sum(-1)), 0.0)


def meanings(weights: Weights, meant: float = MEANT, alive: float = ALIVE) -> Int[np.ndarray, "instance hidden"]:
    """How many features each hidden neuron means: 0 is dead, 1 monosemantic, 2 and more polysemantic.

    Only for a privileged basis. The rule: a neuron means the features whose weight's size is at least `meant` of its
    largest; it is dead if that one is below `alive` of the model's largest. The paper judges by eye.

    >>> meanings(np.array([[[1.0, 0.0], [0.7, -0.6], [0.0, 0.01]]]))
    array([[1, 2, 0]])
    """
    size = np.abs(weights)
    largest = size.max(2, keepdims=True)
    # a neuron without any weight is dead at every threshold
    living = (largest >= alive * size.max((1, 2), keepdims=True)) & (largest > 0)
    return ((size >= meant * largest) & living).sum(2)


def _overlaps(weights: Weights) -> PerFeature:
    """The sum over all j of (unit W_i . W_j)^2, with j = i; 0 for a feature of no length."""
    length = norms(weights)[:, None]
    unit = np.divide(weights, length, out=np.zeros_like(weights), where=length > 0)
    # |W' u_i|^2 by the hidden second moment: n m^2 instead of n^2 m
    moment = weights @ weights.transpose(0, 2, 1)
    return np.einsum("imf,imk,ikf->if", unit, moment, unit, optimize=True)
