"""The family view of a circuit: what families read of families, as shares of the weights and as measured effects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure

from micrographia.circuits.evidence import family_circuit, family_effects
from micrographia.circuits.faithful import Interval
from micrographia.circuits.graph import Circuit
from micrographia.circuits.shares import REMAINDER, Groups, family_shares, made_of
from micrographia.circuits.verify import Verified
from micrographia.console import Stages, silent
from micrographia.errors import BadValue
from micrographia.model.graph import LayerGraph
from micrographia.publish.draw import Tile
from micrographia.publish.ribbons import Family, Ribbon, draw_families

Shares = list[tuple[str, float]]


@dataclass(frozen=True, eq=False)
class FamilyView:
    """Families as nodes: `circuit` is the circuit drawn together, `reads` the shares of what each whole family reads.

    `effects` says what the target loses without all that one whole family reads of another; `made_of` what share of the
    target's expanded weights each family has. The target is a family of its own.
    """

    circuit: Circuit
    layers: tuple[str, ...]
    groups: Mapping[str, Groups]
    reads: Mapping[tuple[str, str], Shares]
    made_of: Mapping[str, Shares]
    effects: Mapping[tuple[str, str], Interval]

    def ribbons(self) -> list[Ribbon]:
        """One for each pair of families in layers that follow each other."""
        before = dict(zip(self.layers[1:], self.layers, strict=False))
        return [
            Ribbon(
                (before[layer], name),
                (layer, to),
                share,
                *_numbers(self.effects[f"{before[layer]}:{name}", f"{layer}:{to}"]),
            )
            for (layer, to), parts in self.reads.items()
            for name, share in parts
            if name != REMAINDER
        ]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "metric": "total", "layers": list(self.layers),
            "families": {layer: {n: list(units) for n, units in names.items()} for layer, names in self.groups.items()},
            "ribbons": [
                {"source": list(r.source), "target": list(r.target), "share": r.share,
                 "effect": {"value": r.effect, "low": r.low, "high": r.high}}
                for r in self.ribbons()
            ],
            "made_of": {layer: [{"family": n, "share": s} for n, s in parts] for layer, parts in self.made_of.items()},
            "nodes": [node.to_json() for node in self.circuit.nodes],
            "edges": [edge.to_json() for edge in self.circuit.edges],
        }  # fmt: skip


def _numbers(effect: Interval) -> tuple[float, float, float]:
    return effect.value, effect.low, effect.high


def chosen_families(layers: Sequence[str], families: Mapping[str, Groups]) -> dict[str, Groups]:
    """The families of a circuit's layers before the target's; raises BadValue where there are none."""
    chosen = {layer: families[layer] for layer in layers[:-1] if families.get(layer)}
    if not chosen:
        raise BadValue(
            f"None of the families is in a layer of the circuit ({', '.join(layers[:-1])}). Give families of "
            "these layers, or another depth."
        )
    return chosen


def family_view(
    graph: LayerGraph,
    circuit: Circuit,
    verified: Verified,
    families: Mapping[str, Groups],
    seed: int = 0,
    stages: Stages = silent,
) -> FamilyView:
    """Measure the families of a circuit's layers; raises BadValue where none of them is in these layers."""
    aim = circuit.node(circuit.target)
    chosen = chosen_families(circuit.layers, families)
    # the first layer with families begins the view
    layers = circuit.layers[next(i for i, layer in enumerate(circuit.layers) if layer in chosen) :]
    own = {circuit.target.partition(":")[2]: [channel for channel, _ in aim.members]}
    groups: dict[str, Groups] = {layer: chosen.get(layer, {}) for layer in layers[:-1]} | {layers[-1]: own}
    drawn_together = family_circuit(circuit, verified.probe, verified.ablation, verified.links, chosen, seed, stages)
    return FamilyView(
        drawn_together, layers, groups, family_shares(graph, layers, groups),
        made_of(graph, layers, next(iter(own.values())), groups),
        family_effects(verified.probe, verified.ablation, groups, seed, stages),
    )  # fmt: skip


def drawn(view: FamilyView, tiles: Mapping[str, Tile], words: Sequence[str] = ()) -> Figure:
    """The view as a figure; `tiles` are pictures of units by address, `words` what is said of the circuit."""
    boxes = [
        Family(layer, name, len(units), [tiles[f"{layer}:{unit}"] for unit in units if f"{layer}:{unit}" in tiles])
        for layer in view.layers
        for name, units in view.groups[layer].items()
    ]
    return draw_families(view.layers, boxes, view.ribbons(), view.made_of, words=words)
