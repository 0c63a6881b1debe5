"""Expanded weights between two layers: the strongest kernels as a table and a figure, and how far to trust them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image

from micrographia.errors import BadValue
from micrographia.images.bundled import open_images
from micrographia.images.source import batches
from micrographia.model.graph import LayerGraph
from micrographia.publish import atomic, draw
from micrographia.study.agreement import LEAST, Agreement, agreement
from micrographia.study.neighbours import sign_of
from micrographia.study.weights import ExpandedWeights, expanded

_TILE, _COLUMNS = 84, 6  # px of a kernel; kernels in a row


@dataclass(frozen=True, eq=False)
class Strongest:
    """The strongest kernels between two layers, largest norm first, and the agreement of their target units.

    `links` are plain values, one for each pair of units; `measured` is None where it could not be taken.
    """

    weights: ExpandedWeights
    links: tuple[dict[str, Any], ...]
    measured: Agreement | None
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values, as `weights --json` prints them."""
        w = self.weights
        return {
            "src": w.src, "dst": w.dst, "shape": list(w.kernels.shape), "stride": w.stride and list(w.stride),
            "offset": list(w.offset), "rules": list(w.rules), "complete": w.complete, "strongest": list(self.links),
        }  # fmt: skip


def strongest(
    graph: LayerGraph, src: str, dst: str, unit: str = "", keep: int = 18, images: str = "bundled", pictures: int = 8
) -> Strongest:
    """The `keep` strongest expanded kernels from `src` to `dst` (to one unit: `379` or `mixed3b:379`).

    The target units among them are compared with the Jacobian averaged over so many `pictures`, evenly spread over the
    source; 0 leaves that out.
    Raises BadAddress, BadImages, and BadValue where `dst` does not depend on `src`.

    >>> strongest(graph, "conv2d2", "mixed3a", "147").links[0]["source"]  # doctest: +SKIP
    'conv2d2:31'
    """
    src, dst = graph.layer(src).name, graph.layer(dst).name
    chosen = [each.channel for each in graph.units(unit if ":" in unit else f"{dst}:{unit or '*'}")]
    if ":" in unit and graph.units(unit)[0].layer != dst:
        raise BadValue(f"{unit} is no unit of {dst}. Write its number, or {dst}:NUMBER.")
    weights = expanded(graph, src, dst, chosen)
    squares = np.square(weights.norms)
    order = np.argsort(-squares, axis=None, kind="stable")[:keep]
    pairs = [(int(i), int(j)) for i, j in zip(*np.unravel_index(order, squares.shape), strict=True)]
    targets = list(dict.fromkeys(i for i, _ in pairs))
    measured, problem = None, "" if pictures else "Agreement was not measured."
    if pictures:
        source = open_images(images)
        # evenly spread: pieces of one photograph, and pictures of one class, lie next to each other
        spread = np.unique(np.linspace(0, len(source) - 1, pictures).round().astype(int)).tolist()
        batch = next(batches(source, graph.card.resize, graph.card.size, pictures, spread))[1]
        try:
            measured = agreement(
                graph, src, dst, tuple(weights.units[i] for i in targets), weights.kernels[targets], weights.stride,
                weights.offset, torch.from_numpy(batch).float() / 255,
            )  # fmt: skip
        except BadValue as error:
            problem = f"Agreement was not measured: {error}"
    links = tuple(_link(weights, i, j, squares, measured, targets.index(i)) for i, j in pairs)
    return Strongest(weights, links, measured, _notes(weights, links, squares, targets, measured, problem))


def _link(
    w: ExpandedWeights, i: int, j: int, squares: Float[np.ndarray, "out in"], measured: Agreement | None, row: int
) -> dict[str, Any]:
    kernel = w.kernels[i, j].astype(np.float64)
    positive, negative = float(np.maximum(kernel, 0).sum()), float(np.maximum(-kernel, 0).sum())
    cosines = (np.nan, np.nan) if measured is None else (measured.units[row], measured.pairs[row, j])
    unit, pair = (None if np.isnan(each) else float(each) for each in cosines)
    return {
        "source": f"{w.src}:{j}", "target": f"{w.dst}:{w.units[i]}", "norm": float(np.sqrt(squares[i, j])),
        "share": float(squares[i, j] / squares[i].sum()) if squares[i].any() else 0.0,
        "positive": positive, "negative": negative, "sign": sign_of(positive, negative),
        "agreement": unit, "pair_agreement": pair, "trusted": None if unit is None else unit >= LEAST,
        "kernel": kernel.tolist(),
    }  # fmt: skip


def _notes(
    w: ExpandedWeights, links: tuple[dict[str, Any], ...], squares: Float[np.ndarray, "out in"], targets: list[int],
    measured: Agreement | None, problem: str,
) -> tuple[str, ...]:  # fmt: skip
    size = " x ".join(map(str, w.kernels.shape))
    notes = [f"{w.src} -> {w.dst}: {size} (out, in, rows, columns)."]
    if w.rules:
        notes.append(f"Made linear: {', '.join(w.rules)}.")
    if not w.complete:
        notes.append(f"Some path to {w.dst} goes around {w.src} and is not part of this.")
    if len(w.units) == 1 and squares.any():
        notes.append(f"The kernels shown hold {sum(each['share'] for each in links):.0%} of the unit's squared weight.")
    if problem:
        notes.append(problem)
    if measured is not None:
        silent = [str(w.units[i]) for i, each in zip(targets, measured.units, strict=True) if np.isnan(each)]
        doubted = [str(w.units[i]) for i, each in zip(targets, measured.units, strict=True) if each < LEAST]
        if silent:
            notes.append(f"On these pictures nothing was measured of {w.dst}:{','.join(silent)}.")
        if doubted:
            notes.append(f"Do not trust the kernels of {w.dst}:{','.join(doubted)}: their agreement is below {LEAST}.")
    return tuple(notes)


def write_weights(found: Strongest, out: Path) -> Path:
    """Write the figure, the kernels as an array and the numbers: `weights.png`, `.npy` and `.json`. Raises BadStore."""
    kernels = [np.array(each["kernel"]) for each in found.links]
    limit = max((float(np.abs(each).max()) for each in kernels), default=1.0) or 1.0
    scale = np.broadcast_to(np.linspace(-limit, limit, _TILE), (_TILE, _TILE))
    tiles = [_tile(kernel, limit) for kernel in kernels]
    labels = [f"{each['source'].rpartition(':')[2]} > {each['target'].rpartition(':')[2]}" for each in found.links]
    sheet = draw.sheet([*tiles, _tile(scale, limit)], _COLUMNS, [*labels, f"-{limit:.2g} to {limit:.2g}"], gap=10)
    document = (json.dumps(found.to_json(), indent=1) + "\n").encode()
    atomic.write(out, {"weights.png": draw.encode(sheet, "png"), "weights.json": document})
    np.save(out / "weights.npy", found.weights.kernels)
    return out / "weights.png"


def _tile(kernel: Float[np.ndarray, "height width"], limit: float) -> UInt8[np.ndarray, "rows columns 3"]:
    """A kernel on the signed scale, over white, its longer side as long as the tile."""
    colours = draw.signed(kernel, limit).astype(np.float64)
    opacity = colours[..., 3:] / 255
    pixels = np.rint(colours[..., :3] * opacity + 255 * (1 - opacity)).astype(np.uint8)
    step = max(1, _TILE // max(kernel.shape))
    large = Image.fromarray(pixels).resize((kernel.shape[1] * step, kernel.shape[0] * step), Image.Resampling.NEAREST)
    large.thumbnail((_TILE, _TILE))
    tile = Image.new("RGB", (_TILE, _TILE), draw.GROUND)
    tile.paste(large, ((_TILE - large.width) // 2, (_TILE - large.height) // 2))
    return np.asarray(tile)
