"""The connections between two layers: the matrix of weights, its singular vectors, and the figure of both."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from micrographia.errors import BadValue
from micrographia.jobs.looks import known_looks, pictures
from micrographia.model.graph import LayerGraph
from micrographia.publish import atomic
from micrographia.publish.draw import Tile, encode
from micrographia.publish.plot import encoded
from micrographia.publish.scatter import Scatter, scatter
from micrographia.publish.shapes import shapes
from micrographia.publish.store import open_store
from micrographia.study.factor import Connections, connections
from micrographia.study.matrix import Matrix, as_matrix
from micrographia.study.weights import expanded


@dataclass(frozen=True, eq=False)
class Svd:
    """What the command `svd` found between two layers, with the sentences that belong to it."""

    src: str
    dst: str
    found: Connections
    notes: tuple[str, ...]
    tiles: list[Tile]
    shape: tuple[int, int, int, int]
    matrix: Matrix


def svd(graph: LayerGraph, src: str, dst: str, reduce: str = "l1", centre: str = "double", seed: int = 0) -> Svd:
    """The singular vectors of the weights from `src` to `dst` and what they follow.

    Raises BadAddress for unknown layers, and BadValue for layers in the wrong order, reductions and centrings that
    there are not, and layers of one unit.

    >>> svd(graph, "conv2d0", "conv2d1").found.factors.share[0]  # doctest: +SKIP
    0.2008
    """
    src, dst = graph.layer(src).name, graph.layer(dst).name
    if src == dst:
        raise BadValue(f"{src} is both source and target. Name a layer that reads it as the second one.")
    weights = expanded(graph, src, dst)
    matrix = as_matrix(weights.kernels, reduce)
    look, problem = known_looks(graph, src)
    traits = {name: look.traits[name] for name in ("colour", "frequency")}
    notes = [f"{src} -> {dst}, {matrix.note}; batch norm folded in."]
    if weights.rules:
        notes.append(f"Made linear: {', '.join(weights.rules)}.")
    if not weights.complete:
        notes.append(f"Some path to {dst} goes around {src} and is not part of this.")
    if problem:
        notes.append(f"Nothing is known of colour and frequency: {problem}")
    found = connections(matrix.values, traits, centre, matrix.taps, seed=seed)
    if found.factors.one_signed:
        notes.append("Vector 0 has one sign: mostly it tells how strongly a unit is connected at all.")
    return Svd(src, dst, found, tuple(notes), look.tiles, weights.kernels.shape, matrix)


def write_svd(graph: LayerGraph, result: Svd, out: Path, store: Path | None = None) -> Path:
    """Write the figure and all numbers as `svd.png` and `svd.json`; returns the figure's path.

    `shapes.png` beside them shows how the tensor became the matrix. Units are drawn as their optimised pictures where
    the `store` has them, otherwise as kernels over pixels. Raises BadStore.
    """
    sides = {result.src: result.tiles, result.dst: known_looks(graph, result.dst)[0].tiles}
    if store is not None:
        opened = open_store(store)
        sides = {layer: pictures(opened, graph, layer, tiles) for layer, tiles in sides.items()}
    way = shapes(result.shape, result.matrix.values, result.found.factors.share.tolist(), result.matrix.reduction,
                 (result.src, result.dst))  # fmt: skip
    files = {
        "svd.png": encode(_figure(result, sides), "png"),
        "svd.json": _document(result),
        "shapes.png": encoded(way),
    }
    atomic.write(out, files)
    return out / "svd.png"


def _figure(result: Svd, sides: dict[str, list[Tile]]) -> Any:
    found, groups = result.found, result.found.clusters
    rows, columns = (groups.rows.tolist(), groups.columns.tolist()) if groups else ((), ())
    axes = ("singular vector 1", "singular vector 0")
    root = np.sqrt(np.maximum(found.factors.values[:2], np.finfo(float).tiny))
    panels = [
        Scatter(f"{result.src}: left singular vectors", *axes, (found.points / root)[:, ::-1], sides[result.src], rows),
        Scatter(
            f"{result.dst}: right singular vectors", *axes, (found.targets / root)[:, ::-1], sides[result.dst], columns
        ),
    ]
    return scatter(panels, caption(result))


def caption(result: Svd) -> list[str]:
    """The numbers of the figure and the nulls they were held against, line by line."""
    found = result.found
    share = found.factors.share
    lines = [
        result.notes[0],
        f"Centring: {found.factors.centre}. Vector 0 holds {share[0]:.0%} of the energy, vector 1 {share[1]:.0%}; "
        f"with entries dealt out anew the largest is below {found.null_share_95:.0%} in 95 of 100.",
    ]
    for vector in (0, 1):
        each = [a for a in found.alignments if a.vector == vector]
        if each:
            words = (
                f"{a.trait} {a.r:+.2f} (null 95 %: {a.null_95:.2f}, corrected p {a.finding.corrected:.2g})"
                for a in each
            )
            lines.append(f"Rank correlation of vector {vector} with {'; '.join(words)}.")
    verdict = found.findings[-1]
    count = "No clusters" if found.clusters is None else f"{len(found.clusters.mean)} clusters"
    lines.append(
        f"{count}: silhouette {verdict.effect:.2f}, p {verdict.p:.2g}, the largest of those against {verdict.null}."
    )
    return lines


def _document(result: Svd) -> bytes:
    found = result.found
    body = found.to_json() | {
        "src": result.src,
        "dst": result.dst,
        "centre": found.factors.centre,
        "notes": list(result.notes),
        "findings": [each.to_json() for each in found.findings],
        "points": {"left": found.points.tolist(), "right": found.targets.tolist()},
    }
    return (json.dumps(body, indent=1) + "\n").encode()
