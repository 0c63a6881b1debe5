"""The two kinds of evidence for families of a layer's units: its weights, and its responses to transformed pictures.

Both are given for the network itself and for surrogates of it, in which the weights of this layer are dealt out anew.

Responses are the values that a unit's rectifier reads. What it lets through is little in higher layers: where a unit
answers to few of the pieces, a few pieces that two units share by chance make them look like copies, so that nothing
could be told from that. A unit that lets nothing through is dead all the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import networkx as nx
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from micrographia.errors import BadValue
from micrographia.images.patches import patches
from micrographia.images.source import ImageSource
from micrographia.images.transformed import transformed
from micrographia.model.capture import capture
from micrographia.model.cell import Segment, Stage, segment, stage
from micrographia.model.graph import LayerGraph
from micrographia.model.redraw import convolutions_between
from micrographia.study.alignment import (
    ANGLES,
    LARGEST,
    OCTAVE,
    Carried,
    Group,
    Spectrum,
    carried,
    of_pixels,
    of_weights,
    spectrum,
)
from micrographia.study.weights import expanded

PICTURES = 48
"""Pictures at each of 36 steps; of a group of fewer steps more pictures, up to six times as many."""
BATCH = 96


@dataclass(frozen=True, eq=False)
class Evidence:
    """Where a layer's own weights start, which modules hold them, and the functions that read a network's evidence."""

    layer: str
    source: str
    modules: tuple[str, ...]
    pixels: bool
    read: dict[str, Callable[[LayerGraph], Spectrum]]


def own_weights(graph: LayerGraph, name: str) -> tuple[str, tuple[str, ...]]:
    """The nearest layer that all paths to a layer go through and that kernels lie behind, and those kernels' modules.

    Raises BadAddress, and BadValue for a layer that no kernels lead to.

    >>> own_weights(graph, "mixed3a")[0]  # doctest: +SKIP
    'maxpool1'
    """
    layer = graph.layer(name)
    tree = nx.DiGraph((parent, each.name) for each in graph.layers.values() for parent in each.parents)
    start = next(each.name for each in graph.layers.values() if each.op == "input")
    before = dict(nx.immediate_dominators(tree, start))
    source = before.get(layer.name)
    while source is not None:
        modules = convolutions_between(graph, source, layer.name)
        if modules:
            return source, tuple(modules)
        source = None if source == start else before[source]
    raise BadValue(f"No kernels lead to {layer.name}. Choose a layer behind a convolution.")


def evidence(
    graph: LayerGraph, name: str, group: Group, wanted: tuple[str, ...], pictures: ImageSource, seed: int = 0
) -> Evidence:
    """What is needed to read the wanted kinds of evidence ('weights', 'responses') from a network and its surrogates.

    Everything that lies before the layer's own weights is computed once. Raises as `stage` does, and BadValue for the
    hue of a network that sees no colours.
    """
    if group.name == "hue" and graph.card.channels != 3:
        raise BadValue(
            f"{graph.card.name} sees pictures of {graph.card.channels} channel, which have no hue. "
            "Choose rotation, reflection or scale."
        )
    at = stage(graph, name)
    source, modules = own_weights(graph, at.layer)
    pixels = graph.layer(source).op == "input"
    read: dict[str, Callable[[LayerGraph], Spectrum]] = {}
    if "weights" in wanted and pixels:
        read["weights"] = lambda other: of_pixels(_rgb(other, source, at.layer), group)
    elif "weights" in wanted and group.name != "scale":
        inputs = _carried(graph, source, group, pictures, seed)
        read["weights"] = lambda other: of_weights(expanded(other, source, at.layer).kernels, inputs)
    if "responses" in wanted:
        read["responses"] = _responses(graph, source, at, group, pictures, seed)
    if not read:
        raise BadValue(
            f"Weights from {source} to {at.layer} cannot be scaled. Ask for the evidence of responses, or for a layer "
            "that reads pixels."
        )
    return Evidence(at.layer, source, modules, pixels, read)


def _rgb(graph: LayerGraph, picture: str, layer: str) -> Float[np.ndarray, "unit channel height width"]:
    """Kernels on values 0..1 in the order red, green, blue."""
    kernels = expanded(graph, picture, layer).kernels
    kernels = kernels * (graph.card.scale / np.array(graph.card.std, kernels.dtype))[None, :, None, None]
    return kernels[:, ::-1] if graph.card.order == "BGR" else kernels


def _steps(group: Group) -> tuple[int, float]:
    """The steps at which pictures are shown: of scales only one octave to each side, which pictures still resolve."""
    return (group.steps, group.step) if group.cyclic else (LARGEST + 1, 1 / OCTAVE)


def _maps(
    graph: LayerGraph, layer: str, at: Stage, group: Group, pictures: ImageSource, seed: int
) -> list[Float[Tensor, "picture channel height width"]]:
    """What a layer answers to the pictures at each step, on the canvas of a stage."""
    steps, step = _steps(group)
    count = min(PICTURES * ANGLES // steps, 6 * PICTURES)
    # the diagonal, so that turned pictures go on beyond the canvas
    shown = patches(pictures, count, int(np.ceil(1.5 * max(at.size))) | 1, seed, graph.card.channels == 3)
    found = []
    for each in transformed(shown, group.name, steps, step, at.size, at.centre):
        seen = each if graph.card.channels == 3 else each.mean(1, keepdim=True)
        found.append(capture(graph, seen, layer, BATCH)[layer])
    return found


def _carried(graph: LayerGraph, source: str, group: Group, pictures: ImageSource, seed: int) -> Carried:
    at = stage(graph, source)
    maps = _maps(graph, source, at, group, pictures, seed)
    return carried(np.stack([each[:, :, at.cell[0], at.cell[1]].T.numpy() for each in maps], 2), group)


def _responses(
    graph: LayerGraph, source: str, at: Stage, group: Group, pictures: ImageSource, seed: int
) -> Callable[[LayerGraph], Spectrum]:
    maps = _maps(graph, source, at, group, pictures, seed)
    extent = (maps[0].shape[2], maps[0].shape[3])
    first = segment(graph, source, at, extent)
    kept = torch.cat([each[:, :, first.rows, first.columns] for each in maps])
    count, steps = len(maps[0]), len(maps)

    built: dict[int, Segment] = {}

    def read(other: LayerGraph) -> Spectrum:
        if id(other.module) not in built:
            # surrogates are one module whose weights change; the segment shares them
            built.clear()
            built[id(other.module)] = segment(other, source, at, extent, both=True)
        cut = built[id(other.module)].module
        with torch.no_grad():
            values = torch.cat([cut(kept[i : i + BATCH]) for i in range(0, len(kept), BATCH)])
        before, own = values.numpy().reshape(steps, count, 2, -1).transpose(2, 3, 1, 0)
        dead = np.ptp(own, (1, 2)) == 0
        field = np.where(dead[:, None, None], 0, before - before.mean((1, 2), keepdims=True))
        return spectrum(field, group)

    return read
