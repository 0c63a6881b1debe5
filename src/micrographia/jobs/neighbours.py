"""The `weights` records: what each unit reads, and who reads it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from micrographia.console import Stages, silent
from micrographia.jobs.provenance import made_by
from micrographia.model.direct import Direct, wiring
from micrographia.model.graph import LayerGraph
from micrographia.publish import draw
from micrographia.publish.store import Store, done, put
from micrographia.study.neighbours import Link, Neighbours, strongest_inputs, strongest_users
from micrographia.unit import Unit


def write_neighbours(
    store: Store, graph: LayerGraph, chosen: dict[str, list[Unit]], stages: Stages = silent, k: int = 6
) -> None:
    """The `weights` records: the k strongest inputs of each unit and the k units that use it most."""
    source = made_by(graph, "neighbours", {"k": k})
    finished = done(store, "weights", source)
    missing = {name: [u for u in units if u not in finished] for name, units in chosen.items()}
    total = sum(map(len, missing.values()))
    if not total:
        return
    advance = stages("weights", total)
    wires = wiring(graph)
    for name, units in missing.items():
        if not units or name not in wires:
            advance(len(units))
            continue
        inputs, users = strongest_inputs(graph, name, k, wires), strongest_users(graph, name, k, wires)
        for unit in units:
            values = _neighbours(inputs[unit.channel], users[unit.channel])
            files = _pixel_kernel(graph, unit, wires[name])
            put(store, unit, "weights", source, values, {"norm": inputs[unit.channel].total}, files)
            advance(1)


def _neighbours(inputs: Neighbours, users: Neighbours) -> dict[str, Any]:
    limit = max((float(np.abs(link.kernel).max()) for link in inputs.links + users.links), default=1.0)
    return {
        "inputs": [_link(link, link.source) for link in inputs.links],
        "users": [_link(link, link.target) for link in users.links],
        "limit": limit or 1.0,
        "covered": inputs.covered,
        "count": inputs.count,
    }


def _link(link: Link, other: Unit) -> dict[str, Any]:
    plain = link.to_json()
    return {"unit": str(other)} | {
        key: plain[key] for key in ("norm", "share", "positive", "negative", "sign", "kernel", "via")
    }


def _pixel_kernel(graph: LayerGraph, unit: Unit, parts: Sequence[Direct]) -> dict[str, bytes]:
    """A first-layer unit's kernel in colour: the one case where a kernel is itself a picture."""
    for part in parts:
        inside = part.first <= unit.channel < part.first + len(part.kernels)
        if inside and set(part.layers) == {"input"} and part.kernels.shape[1] == graph.card.channels == 3:
            kernel = part.kernels[unit.channel - part.first]
            rgb = kernel[::-1] if graph.card.order == "BGR" else kernel
            return {"weights.png": draw.colour_kernel_png(rgb)}
    return {}
