"""made_by(graph, call, arguments): what a record says of where it comes from, and by which it is known to be done."""

from __future__ import annotations

from typing import Any

from micrographia import __version__
from micrographia.model.graph import LayerGraph
from micrographia.publish.store import MadeBy


def made_by(graph: LayerGraph, call: str, arguments: dict[str, Any], seed: int = 0) -> MadeBy:
    """The provenance of a record about this network: equal provenance, equal bytes."""
    return MadeBy(call, arguments, seed, graph.fingerprint, __version__)
