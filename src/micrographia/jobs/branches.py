"""Branch specialisation of a layer: scores of its units from their weights, or given labels, branch by branch."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Complex, Float

from micrographia.console import Stages, silent
from micrographia.errors import BadValue, suggest
from micrographia.jobs.looks import known_looks
from micrographia.jobs.looks import pictures as known_pictures
from micrographia.jobs.sums import Paths, along_paths, path_shares
from micrographia.model.graph import Layer, LayerGraph
from micrographia.model.redraw import convolutions_between, redrawn
from micrographia.model.residual import start
from micrographia.publish import atomic
from micrographia.publish.branches import Group
from micrographia.publish.branches import branches as draw_branches
from micrographia.publish.plot import encoded
from micrographia.publish.store import open_store
from micrographia.study.branches import Families, branch_of, families, scores
from micrographia.study.null import Finding
from micrographia.study.shares import main_path
from micrographia.study.traits import grating_frequencies, spectral_traits
from micrographia.study.weights import expanded

PUBLISHED = "published"
"""The name of the labels of Olah et al., Early Vision (Distill 2020), for InceptionV1 as it was published first."""


@dataclass(frozen=True, eq=False)
class Specialisation:
    """What was found of a layer's branches: findings of scores, and of families where there were labels.

    `values` are the scores themselves, one for each unit (NaN where there is none); `labels` the families, if given.
    `paths` has the shares of the paths where they meet in a sum, instead of each having units of its own.
    """

    layer: str
    branches: dict[str, tuple[int, int]]
    scores: tuple[Finding, ...]
    families: Families | None
    notes: tuple[str, ...]
    values: dict[str, Float[np.ndarray, " unit"]] = field(default_factory=dict)
    labels: tuple[str, ...] = ()
    paths: Paths | None = None

    def members(self) -> dict[str, list[int]]:
        """The units of each branch; of paths that meet in a sum, those that come from it more than from any other."""
        if self.paths is not None:
            return self.paths.members()
        return {name: list(range(first, last + 1)) for name, (first, last) in self.branches.items()}

    def to_json(self) -> dict[str, Any]:
        """Plain values, as `branches --json` prints them."""
        return {
            "layer": self.layer,
            "branches": [{"name": name, "first": a, "last": b} for name, (a, b) in self.branches.items()],
            "scores": [each.to_json() for each in self.scores],
            "families": None if self.families is None else self.families.to_json(),
        } | ({} if self.paths is None else {"paths": self.paths.to_json()})


def specialisation(
    graph: LayerGraph,
    name: str,
    labels: str = "",
    trials: int = 199,
    seed: int = 0,
    images: str = "bundled",
    pictures: int = 64,
    stages: Stages = silent,
) -> Specialisation:
    """Whether the branches of a layer specialise: in scores of their units, or, if given, in the families of `labels`.

    Scores are colour, frequency and orientation of the expanded weights to the picture, held also against `trials`
    networks in which the weights of this block are dealt out anew. `labels` is a file (see `read_labels`) or
    'published'. Where the paths meet in a sum, each one's share of a unit's variance is measured on `pictures` of
    `images`; scores are correlated with it, and labels counted by the path with the largest share. Raises BadAddress,
    BadImages, and BadValue for a layer of one branch and for labels that do not fit.

    >>> specialisation(graph, "mixed3a").scores[0].what  # doctest: +SKIP
    'colour in mixed3a_1x1'
    """
    layer = graph.layer(name)
    if not layer.branches:
        known = [each.name for each in graph.visible() if each.branches]
        raise BadValue(
            f"{layer.name} has one path only. "
            + (f"Layers with branches: {', '.join(known)}." if known else "This network has no branches to compare.")
        )
    spans = {each.name: (each.first, each.last) for each in layer.branches}
    if layer.op == "add":
        return _of_sum(graph, layer, spans, labels, trials, seed, images, pictures, stages)
    owner = branch_of(spans, layer.channels)
    if labels:
        given = read_labels(labels, layer.name, layer.channels)
        table = families(given, owner, list(spans), seed=seed)
        return Specialisation(layer.name, spans, (), table, (), labels=tuple(given))
    source = _source(graph, layer)
    measure = _measure(graph, source, layer.name)
    values = {kind: each for kind, each in measure(graph).items() if np.isfinite(each).any()}
    modules = convolutions_between(graph, source, layer.name)
    notes = [
        f"Scores from expanded weights; the weights from {source} to {layer.name} were dealt out anew for the null."
    ]
    others = None
    if modules and trials:
        advance = stages("networks dealt out anew", trials)
        drawn = []
        for trial in range(trials):
            drawn.append(measure(redrawn(graph, modules, seed + trial)))
            advance(1)
        others = {kind: np.stack([each[kind] for each in drawn]) for kind in values}
    else:
        notes = ["Held against exchanged units only: differences may come from how the branches are built."]
    found = scores(values, owner, list(spans), others, seed=seed)
    return Specialisation(layer.name, spans, found, None, tuple(notes), values)


def _of_sum(
    graph: LayerGraph, layer: Layer, spans: dict[str, tuple[int, int]], labels: str, trials: int, seed: int,
    images: str, pictures: int, stages: Stages,
) -> Specialisation:  # fmt: skip
    source = start(graph, layer.name)
    found = path_shares(graph, layer.name, source, images, pictures)
    spans = dict.fromkeys(found.names, (0, layer.channels - 1))
    if labels:
        given = read_labels(labels, layer.name, layer.channels)
        main = main_path(found.shares)
        known = np.flatnonzero(main >= 0)
        table = families([given[unit] for unit in known], main[known], found.names, seed=seed)
        return Specialisation(layer.name, spans, (), table, found.notes(), labels=tuple(given), paths=found)
    measure = _measure(graph, source, layer.name)
    values = {kind: each for kind, each in measure(graph).items() if np.isfinite(each).any()}
    findings = along_paths(graph, layer.name, source, found, values, measure, images, trials, seed, stages)
    held = (
        f"The weights from {source} to {layer.name} were dealt out anew for the null."
        if trials
        else ("Held against exchanged units only: differences may come from how the paths are built.")
    )
    return Specialisation(layer.name, spans, findings, None, (*found.notes(), held), values, paths=found)


def write_branches(graph: LayerGraph, found: Specialisation, out: Path, store: Path | None = None) -> Path:
    """Write `branches.png`, the units of each branch as pictures, and `branches.json`; returns the figure's path.

    Units lie in the order of the score that differs most between branches; with labels, a row is a family in a branch,
    for the five families that are most at home in one. Units are drawn as their optimised pictures where the `store`
    has them, otherwise as their expanded weights to the picture. Raises BadStore.
    """
    tiles = known_looks(graph, found.layer)[0].tiles
    if store is not None:
        tiles = known_pictures(open_store(store), graph, found.layer, tiles)
    groups = [
        Group(heading, tuple(units), tuple(tiles[unit] for unit in units), len(units))
        for heading, units in (_by_family(found) if found.families else _by_score(found))
        if units
    ]
    document = (json.dumps(found.to_json(), indent=1) + "\n").encode()
    drawing = encoded(draw_branches(groups, f"{graph.card.name} {found.layer}"))
    atomic.write(out, {"branches.png": drawing, "branches.json": document})
    return out / "branches.png"


def _by_score(found: Specialisation) -> list[tuple[str, list[int]]]:
    best = min(found.scores, key=lambda each: (each.p, -abs(each.effect)), default=None)
    word = " in " if found.paths is None else " along "
    kind = best.what.partition(word)[0] if best else ""
    values = found.values.get(kind, np.zeros(0))
    rows = []
    for name, units in found.members().items():
        said = next((each for each in found.scores if each.what == f"{kind}{word}{name}"), None)
        effect = kind if found.paths is None else f"rank correlation of share and {kind}"
        verdict = f"{effect} {said.effect:+.2f} (corrected p {said.corrected:.2g})" if said else "no score"
        if len(values):
            units.sort(key=lambda unit: (np.isnan(values[unit]), -np.nan_to_num(values[unit])))
        rows.append((f"{name}: from high to low {kind}; {verdict}", units))
    return rows


def _by_family(found: Specialisation) -> list[tuple[str, list[int]]]:
    assert found.families is not None
    rows = []
    for cell in sorted(found.families.cells, key=lambda each: each.p)[:5]:
        family, _, branch = cell.what.rpartition(":")[0].rpartition(" in ")
        units = [unit for unit in found.members()[branch] if found.labels[unit] == family]
        rows.append((f"{cell.what}, {cell.effect:.1f} times chance, corrected p {cell.corrected:.2g};", units))
    return rows


def _source(graph: LayerGraph, layer: Layer) -> str:
    """The one layer that all branches read."""
    if layer.op != "concat":
        return layer.parents[0]
    above = [graph.layer(each.layers[0]).parents for each in layer.branches if each.layers]
    common = set(above[0]).intersection(*above[1:]) if len(above) == len(layer.branches) else set()
    if len(common) != 1:
        raise BadValue(f"The branches of {layer.name} do not start from one layer. Give labels: --labels FILE.")
    return common.pop()


def _measure(
    graph: LayerGraph, source: str, layer: str
) -> Callable[[LayerGraph], dict[str, Float[np.ndarray, " unit"]]]:
    """A function from a network, with any weights after `source`, to the scores of the layer's units.

    Expanded kernels may be hundreds of px wide; their responses to some gratings are enough, and are products of the
    responses up to `source` (computed once) and from there.
    """
    picture = next(each.name for each in graph.layers.values() if each.op == "input")
    field = graph.layer(layer).receptive_field or graph.card.size
    rows, columns = grating_frequencies(1 / (2 * max(field)))
    colours = np.diag(graph.card.scale / np.array(graph.card.std, np.float64)).astype(complex)
    before: Complex[np.ndarray, "frequency unit colour"] = np.broadcast_to(colours, (len(rows), *colours.shape))
    step = (1.0, 1.0)
    if source != picture:
        first = expanded(graph, picture, source)
        before = _response(first.kernels, (1.0, 1.0), rows, columns) @ colours
        if first.stride is None:
            raise BadValue(f"{source} reads the whole picture. Choose a layer of maps.")
        step = (float(first.stride[0]), float(first.stride[1]))

    def measure(other: LayerGraph) -> dict[str, Float[np.ndarray, " unit"]]:
        after = _response(expanded(other, source, layer).kernels, step, rows, columns)
        return spectral_traits((after @ before).transpose(1, 2, 0), rows, columns)

    return measure


def _response(
    kernels: Float[np.ndarray, "out in height width"],
    step: tuple[float, float],
    rows: Float[np.ndarray, " frequency"],
    columns: Float[np.ndarray, " frequency"],
) -> Complex[np.ndarray, "frequency out in"]:
    """What kernels whose taps are `step` px apart make of gratings."""
    out, inputs, height, width = kernels.shape
    y, x = (np.arange(extent) * each for extent, each in zip((height, width), step, strict=True))
    along = [np.exp(-2j * np.pi * np.outer(f, at)).astype(np.complex64) for f, at in ((rows, y), (columns, x))]
    waves = (along[0][:, :, None] * along[1][:, None, :]).reshape(len(rows), -1)
    flat = kernels.reshape(out * inputs, height * width).astype(np.float32)
    return (waves @ flat.T).reshape(len(rows), out, inputs)


def read_labels(path: str, layer: str, channels: int, whole: bool = True) -> list[str]:
    """One label for each unit of a layer, from a JSON or CSV file, or the published ones by the name 'published'.

    Where labels need not be `whole`, units without one have an empty one.

    JSON is {family: [channels]}, or {layer: {family: [channels]}}, also under the key "layers"; CSV has lines of unit
    and family, a unit being a channel or an address like mixed3b:379. Raises BadValue for a file that cannot be read,
    and for units that are missing, doubled or of another layer.

    >>> read_labels("published", "mixed3b", 480)[379]
    'Curves'
    """
    try:
        text = (files("micrographia.study") / "families.json" if path == PUBLISHED else Path(path)).read_text()
        pairs = _from_csv(text, layer) if path.lower().endswith(".csv") else _from_json(text, layer)
    except (ValueError, AttributeError, TypeError, IndexError) as error:
        raise BadValue(
            f'{path} holds no labels that can be read ({error}). Write JSON like {{"curves": [3, 5]}}, '
            "or CSV with lines like 3,curves."
        ) from error
    count = Counter(unit for unit, _ in pairs)
    doubled = sorted(unit for unit, times in count.items() if times > 1)
    outside = sorted(unit for unit in count if not 0 <= unit < channels)
    missing = sorted(set(range(channels)) - set(count)) if whole else []
    for units, what in (
        (outside, ""),
        (doubled, "have two labels"),
        (missing, "have none"),
    ):
        if units:
            shown = ", ".join(map(str, units[:5])) + (f" and {len(units) - 5} more" if len(units) > 5 else "")
            if units is outside:
                raise BadValue(
                    f"{path} labels {layer}:{shown}, which are not among its {channels} units. These labels are of "
                    "another network or layer."
                )
            raise BadValue(f"Of the units of {layer}, {shown} {what} in {path}. Give each unit one label.")
    labels = dict(pairs)
    return [labels.get(unit, "") for unit in range(channels)]


def _from_json(text: str, layer: str) -> list[tuple[int, str]]:
    body = json.loads(text)
    body = body.get("layers", body)
    if all(isinstance(each, dict) for each in body.values()):
        if not body:
            raise BadValue('These labels are empty. Write JSON like {"curves": [3, 5]}, or {"mixed3b": {...}}.')
        if layer not in body:
            raise BadValue(f"The labels are not about {layer}. They are about {suggest(layer, body)}.")
        body = body[layer]
    return [(int(unit), str(family)) for family, units in body.items() for unit in units]


def _from_csv(text: str, layer: str) -> list[tuple[int, str]]:
    pairs: list[tuple[int, str]] = []
    for line in csv.reader(io.StringIO(text)):
        if not line:
            continue
        owner, colon, unit = line[0].strip().rpartition(":")
        if colon and owner != layer:
            raise BadValue(f"'{line[0]}' is no unit of {layer}. Give labels of this layer only.")
        if not unit.isdigit() and not pairs:
            continue  # the head of the table
        pairs.append((int(unit), line[1].strip()))
    return pairs
