"""The path check: does a picture excite the layers before a unit in the way that photographs do which excite the unit?

A picture may reach a unit on another way than photographs take (Geirhos, Zimmermann, Bilodeau, Brendel and Kim 2024,
"Don't trust your eyes: on the (un)reliability of feature visualizations"). Then it does not show what the unit stands
for in photographs, however strongly it excites it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float
from torch import Tensor

from micrographia.errors import BadValue
from micrographia.model.capture import capture
from micrographia.model.graph import LayerGraph
from micrographia.study.null import Finding, permutation_p
from micrographia.unit import Unit

NULL = "examples of other units of the layer"

Trace = Mapping[str, Float[np.ndarray, "_ _"]]
"""What pictures do to each layer, {layer: "picture channel"}: the ranks of the channels' means over space, centred and
scaled to length 1, so that the product of two rows is Spearman's rank correlation."""


@dataclass(frozen=True, eq=False)
class Path:
    """How alike a unit's optimised picture and its natural examples are, layer by layer, in rank correlations.

    `own` is the mean over the unit's examples, `others` that over examples of other units, and `natural` what the
    unit's examples have among themselves, NaN where there is only one. The finding's effect is the mean over layers of
    own - others.
    """

    unit: Unit
    layers: tuple[str, ...]
    own: Float[np.ndarray, " layer"] = field(repr=False)
    others: Float[np.ndarray, " layer"] = field(repr=False)
    natural: Float[np.ndarray, " layer"] = field(repr=False)
    finding: Finding

    def to_json(self) -> dict[str, Any]:
        """Plain values; `natural` is None where there is one example."""
        columns = zip(self.layers, self.own.tolist(), self.others.tolist(), self.natural.tolist(), strict=True)
        rows = [
            {"layer": name, "own": own, "others": far, "natural": None if np.isnan(near) else near}
            for name, own, far, near in columns
        ]
        return {"layers": rows, **self.finding.to_json()}


def path_layers(graph: LayerGraph, layer: str) -> tuple[str, ...]:
    """The main layers on the way to a layer: none before the first.

    >>> path_layers(graph, "mixed3a")  # doctest: +SKIP
    ('conv2d0', 'conv2d1', 'conv2d2', 'mixed3a_3x3_bottleneck', 'mixed3a_5x5_bottleneck')
    """
    end = graph.layer(layer)
    nodes = {node.name for node in graph.upto(end.name).graph.nodes}
    before = [m for m in graph.main_layers() if m.name != end.name and graph.node_of[m.name] in nodes]
    # the same units before their rectifier are not on the way to them
    same = end.shape, end.receptive_field
    return tuple(m.name for m in before if (m.shape, m.receptive_field) != same)


def trace_of(
    graph: LayerGraph, layers: Sequence[str], pictures: Float[Tensor, "picture channel height width"]
) -> dict[str, Float[np.ndarray, "picture _"]]:
    """The traces of pictures in values 0..1, of whatever one size. Raises BadAddress and BadValue.

    >>> trace_of(graph, ["conv2d0"], torch.rand(5, 3, 59, 59))["conv2d0"].shape  # doctest: +SKIP
    (5, 64)
    """
    found = capture(graph, pictures, layers)
    return {name: _ranks(maps.flatten(2).mean(2).cpu().double().numpy()) for name, maps in found.items()}


def path(unit: Unit, made: Trace, own: Trace, others: Trace) -> Path:
    """Hold the trace of a unit's picture against those of its natural examples and of other units' examples.

    `others` has one row for each other unit: the mean of its examples' traces. The null puts each of them in the place
    of the unit's own, so p is at least 1 / (others + 1). Raises BadValue for a unit without examples, for no layers,
    and for fewer than 19 others.

    >>> path(unit, made, own, others).finding.p  # doctest: +SKIP
    0.025
    """
    examples = {len(each) for each in own.values()}
    trials = {len(each) for each in others.values()}
    if not made or 0 in examples or min(trials, default=0) < 19:
        raise BadValue(
            f"The path to {unit} cannot be checked on {len(made)} layers with {max(examples, default=0)} examples of "
            f"its own against {min(trials, default=0)} other units. Take at least 1, 1 and 19."
        )
    near = np.array([float((own[name] @ made[name][0]).mean()) for name in made])
    null = np.stack([others[name] @ made[name][0] for name in made])
    observed, chance = float(near.mean()), null.mean(0)
    finding = Finding(
        f"the picture of {unit} takes the path of its examples",
        observed - float(chance.mean()),
        NULL,
        permutation_p(observed, chance),
        n=len(chance),
    )
    among = np.array([_among(own[name]) for name in made])
    return Path(unit, tuple(made), near, null.mean(1), among, finding)


def _among(examples: Float[np.ndarray, "example channel"]) -> float:
    """The mean rank correlation of examples with each other; of a single one, NaN."""
    count = len(examples)
    table = examples @ examples.T
    return float((table.sum() - np.trace(table)) / (count * (count - 1))) if count > 1 else float("nan")


def _ranks(values: Float[np.ndarray, "picture channel"]) -> Float[np.ndarray, "picture channel"]:
    from scipy.stats import rankdata  # takes long to import

    ranks = rankdata(values, axis=1)
    ranks = ranks - ranks.mean(1, keepdims=True)
    length = np.linalg.norm(ranks, axis=1, keepdims=True)
    return ranks / np.where(length > 0, length, 1.0)
