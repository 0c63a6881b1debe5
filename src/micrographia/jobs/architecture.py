"""The drawing of a network's architecture, and of a residual chain as parallel paths."""

from __future__ import annotations

from pathlib import Path

from micrographia.errors import BadValue
from micrographia.model.graph import LayerGraph
from micrographia.model.residual import paths
from micrographia.publish import atomic
from micrographia.publish.architecture import THROUGH, architecture, unrolled
from micrographia.publish.plot import FORMATS, encoded


def draw_architecture(graph: LayerGraph, out: Path, unroll: str = "") -> None:
    """Draw the network, or the residual sum `unroll` as parallel paths, into an .svg, .png or .pdf file.

    Raises BadValue for another kind of file and for a layer that is no sum, and BadAddress for an unknown one.

    >>> draw_architecture(graph, Path("mini-resnetv2.svg"))  # doctest: +SKIP
    """
    kind = out.suffix.lower().lstrip(".")
    if kind not in FORMATS:
        raise BadValue(f"A drawing cannot be written as '{out.name}'. End its name in {', '.join(FORMATS)}.")
    if unroll:
        rows = []
        for names in paths(graph, unroll):
            drawn = [graph.layer(name).to_json() for name in names if graph.layer(name).op not in THROUGH]
            rows.append(drawn or [graph.layer(names[-1]).to_json()])
        figure = unrolled(rows, graph.layer(unroll).to_json())
    else:
        figure = architecture([layer.to_json() for layer in graph.visible()], graph.card.name)
    atomic.write(out.parent, {out.name: encoded(figure, kind)})
