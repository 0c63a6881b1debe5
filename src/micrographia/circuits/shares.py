"""What families read of families: shares of the expanded weights, and the row of what a target is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from jaxtyping import Float

from micrographia.errors import BadValue
from micrographia.model.graph import LayerGraph
from micrographia.study.weights import expanded
from micrographia.unit import Unit

METRICS = ("total", "mean")
REMAINDER = "remainder"
Groups = Mapping[str, Sequence[int]]


def shares(
    norms: Float[np.ndarray, "target source"], families: Groups, metric: str = "total"
) -> list[tuple[str, float]]:
    """Each family's share of what some target units read of a layer, largest first, and the remainder: they sum to 1.

    "total" counts the norms of all weights of a family, so that many weak ones can outweigh a strong one; "mean" the
    mean norm of one of its units. Which of them is told changes the order (Cammarata et al. 2021 warn of it). Raises
    BadValue for another metric, for a unit in two families, and for units that the layer does not have.

    >>> shares(np.array([[3.0, 1.0, 0.0, 0.0]]), {"lines": [0]})
    [('lines', 0.75), ('remainder', 0.25)]
    """
    if metric not in METRICS:
        raise BadValue(f"There is no metric '{metric}'. Choose {' or '.join(METRICS)}.")
    strength = norms.sum(0)
    taken = [channel for channels in families.values() for channel in channels]
    if len(set(taken)) < len(taken) or any(not 0 <= channel < len(strength) for channel in taken):
        raise BadValue(
            f"The families name a unit twice, or one that is not among the layer's {len(strength)}. Name each once."
        )
    rest = [channel for channel in range(len(strength)) if channel not in set(taken)]
    groups = {**{name: list(channels) for name, channels in families.items() if len(channels)}, REMAINDER: rest}
    sizes = {
        name: float(strength[channels].sum() if metric == "total" else strength[channels].mean()) if channels else 0.0
        for name, channels in groups.items()
    }
    whole = sum(sizes.values()) or 1.0
    ranked = sorted(
        ((name, size / whole) for name, size in sizes.items() if name != REMAINDER), key=lambda each: -each[1]
    )
    return [*ranked, (REMAINDER, 1.0 - sum(share for _, share in ranked))]


def family_shares(
    graph: LayerGraph, layers: Sequence[str], families: Mapping[str, Groups], metric: str = "total"
) -> dict[tuple[str, str], list[tuple[str, float]]]:
    """For each family, by (layer, name), the shares of the families of the layer before, with the remainder.

    Raises BadAddress for unknown layers and units, BadValue as `shares` does.

    >>> family_shares(graph, ["mixed3a", "mixed3b"], {...})["mixed3b", "curves"]  # doctest: +SKIP
    [('early curves', 0.31), ('lines', 0.22), ('remainder', 0.47)]
    """
    found = {}
    for before, layer in pairwise(layers):
        for name, channels in families.get(layer, {}).items():
            norms = expanded(graph, before, layer, list(channels)).norms
            found[layer, name] = shares(norms, families.get(before, {}), metric)
    return found


def made_of(
    graph: LayerGraph,
    layers: Sequence[str],
    target: Sequence[int],
    families: Mapping[str, Groups],
    metric: str = "total",
) -> dict[str, list[tuple[str, float]]]:
    """For each layer before the last, the shares of its families in the weights expanded to units of the last layer.

    Raises as `family_shares`.
    """
    return {
        layer: shares(expanded(graph, layer, layers[-1], list(target)).norms, families.get(layer, {}), metric)
        for layer in layers[:-1]
    }


def read_families(documents: Sequence[Any], graph: LayerGraph) -> dict[str, dict[str, list[int]]]:
    """Families from {layer: {name: [channels]}}, or as `micrographia families --out` writes them, one layer in each.

    A unit that several documents name belongs to the first, and so does one that `families` found in several families
    of a layer: by its weights and by its responses, say. Raises BadValue for another form, and for a document written
    by hand that names a unit twice; BadAddress for unknown units.

    >>> read_families([{"mixed3b": {"curves": [379, 385]}}], graph)  # doctest: +SKIP
    {'mixed3b': {'curves': [379, 385]}}
    """
    found: dict[str, dict[str, list[int]]] = {}
    known: set[Unit] = set()
    for document in documents:
        own: set[Unit] = set()
        for layer, name, channel in _named(document):
            for unit in graph.units(f"{layer}:{channel}"):
                if unit in own and "families" not in document:
                    raise BadValue(f"The families name {unit} twice. Name each unit of a layer once.")
                if unit not in known | own:
                    found.setdefault(unit.layer, {}).setdefault(name, []).append(unit.channel)
                own.add(unit)
        known |= own
    return found


def turns_of(documents: Sequence[Any], steps: int) -> dict[str, tuple[str, int]]:
    """Of each unit that `families` put into a rotation family: the family, and how far it is turned, in `steps` steps.

    All steps together are half a turn, after which a line looks the same. Other documents say nothing of turns.

    >>> turns_of([{"layer": "a", "group": "rotation", "families": [
    ...     {"label": "x", "members": [{"unit": "a:3", "element": 45.0}]}]}], 8)
    {'a:3': ('a:x', 2)}
    """
    found: dict[str, tuple[str, int]] = {}
    for document in documents:
        if isinstance(document, Mapping) and document.get("group") == "rotation":
            for family in document.get("families", ()):
                for member in family["members"]:
                    element = member.get("element")
                    if isinstance(element, (int, float)):
                        step = round(element % 180 * steps / 180) % steps
                        found.setdefault(str(member["unit"]), (f"{document['layer']}:{family['label']}", step))
    return found


def _named(document: Any) -> list[tuple[str, str, Any]]:
    """The layer, family and channel of every member."""
    if isinstance(document, Mapping) and isinstance(document.get("families"), list):
        try:
            return [
                (str(document["layer"]), str(each["label"]), int(str(member["unit"]).rpartition(":")[2]))
                for each in document["families"]
                for member in each["members"]
            ]
        except (KeyError, TypeError, ValueError) as error:
            raise BadValue(
                f"The families are not as micrographia families writes them ({error!r}). Make the file anew with --out."
            ) from error
    good = isinstance(document, Mapping) and all(
        isinstance(names, Mapping) and all(isinstance(channels, list) for channels in names.values())
        for names in document.values()
    )
    if not good:
        raise BadValue(
            "The families are not given as {layer: {name: [channels]}}. Write them in that form, or name the "
            "families.json of micrographia families --out."
        )
    return [
        (layer, str(name), channel)
        for layer, names in document.items()
        for name, channels in names.items()
        for channel in channels
    ]
