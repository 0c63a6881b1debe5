"""Asymmetric superposition with inhibition: find the motif of Elhage et al. 2022 in a layer that computes |x|.

A neuron that two features share reads one strongly and writes it weakly, and the other the other way round: inputs like
[2, -1/2], outputs like [1/2, 2]. So the first feature disturbs the second a lot, the second the first hardly. Another
neuron takes the disturbance away: it fires together with the first and pushes the victim below zero, which costs
nothing after the output's ReLU.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

SERVES = 0.3
"""A neuron serves a feature if a unit of it moves its own output by at least this much through the neuron."""
LOPSIDED = 2.0
"""The two features' weights differ at least by this factor."""
TRIALS = 200


@dataclass(frozen=True)
class Motif:
    """Neuron `neuron` serves `strong` and `victim`; `inputs` and `outputs` are its weights for the two, in this order.

    `interference` is what a unit of the strong feature adds to the victim's output through the neuron, `remaining` the
    sum over all neurons; `inhibitor` is the neuron that takes most away, None where the sum stays positive.
    """

    neuron: int
    strong: int
    victim: int
    inputs: tuple[float, float]
    outputs: tuple[float, float]
    interference: float
    remaining: float
    inhibitor: int | None

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return vars(self) | {"inputs": list(self.inputs), "outputs": list(self.outputs)}


def motifs(
    encoder: Float[np.ndarray, "hidden feature"], decoder: Float[np.ndarray, "hidden feature"]
) -> tuple[Motif, ...]:
    """Every pair of features that share a neuron lopsidedly: one strong at the input, the other strong at the output.

    >>> motifs(np.array([[2.0, -0.5], [1.0, 0.0]]), np.array([[0.5, 2.0], [0.0, -5.0]]))[0].inhibitor
    1
    """
    own = np.abs(encoder) * decoder
    found = []
    for neuron, row in enumerate(own):
        served = np.flatnonzero(row >= SERVES)
        for strong in served:
            for victim in served:
                a, b = encoder[neuron, [strong, victim]], decoder[neuron, [strong, victim]]
                if abs(a[0]) >= LOPSIDED * abs(a[1]) and b[1] >= LOPSIDED * b[0]:
                    found.append(_motif(encoder, decoder, neuron, int(strong), int(victim)))
    return tuple(found)


def chance(
    encoder: Float[np.ndarray, "hidden feature"],
    decoder: Float[np.ndarray, "hidden feature"],
    rng: np.random.Generator,
    trials: int = TRIALS,
) -> float:
    """The mean number of inhibited motifs when the outputs of neurons to each victim, but its own, are dealt out anew.

    >>> chance(np.ones((2, 1)), np.ones((2, 1)), np.random.default_rng(0), 3)
    0.0
    """
    found = motifs(encoder, decoder)
    total = 0
    for _ in range(trials if found else 0):
        for each in found:
            others = np.delete(np.arange(len(encoder)), each.neuron)
            dealt = decoder.copy()
            dealt[others, each.victim] = rng.permutation(decoder[others, each.victim])
            total += _motif(encoder, dealt, each.neuron, each.strong, each.victim).inhibitor is not None
    return total / trials


def _motif(encoder: np.ndarray, decoder: np.ndarray, neuron: int, strong: int, victim: int) -> Motif:
    a, b = encoder[neuron, [strong, victim]], decoder[neuron, [strong, victim]]
    # what fires when the strong feature is on, with the sign that fires this neuron
    fires = np.maximum(encoder[:, strong] * np.sign(a[0]), 0)
    push = fires * decoder[:, victim]
    remaining = float(push.sum())
    strongest = int(push.argmin())
    inhibitor = strongest if remaining <= 0 and push[strongest] < 0 else None
    inputs, outputs = (float(a[0]), float(a[1])), (float(b[0]), float(b[1]))
    return Motif(neuron, strong, victim, inputs, outputs, float(push[neuron]), remaining, inhibitor)
