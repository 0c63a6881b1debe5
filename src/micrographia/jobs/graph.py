"""The verified circuit behind a unit: found, measured, held against its controls, and written in every form."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from micrographia.circuits.chain import chain_layers
from micrographia.circuits.controls import Plan
from micrographia.circuits.evidence import circuit_of
from micrographia.circuits.graph import Circuit, to_dot, to_graphml
from micrographia.circuits.motifs import STEPS, Motifs, circuit_motifs
from micrographia.circuits.probe import Target, target
from micrographia.circuits.schema import check_against, read_circuit
from micrographia.circuits.shares import read_families, turns_of
from micrographia.circuits.verdict import PICTURES
from micrographia.circuits.verify import Verification, Verified, verify
from micrographia.console import Stages, silent
from micrographia.errors import BadValue
from micrographia.images.bundled import open_images
from micrographia.images.source import batches
from micrographia.jobs.family_view import FamilyView, chosen_families, drawn, family_view
from micrographia.jobs.portraits import opened
from micrographia.jobs.provenance import made_by
from micrographia.model.capture import capture
from micrographia.model.graph import LayerGraph
from micrographia.publish import atomic
from micrographia.publish.circuit import draw_circuit
from micrographia.publish.draw import Tile
from micrographia.publish.plain import plain
from micrographia.publish.plot import encoded
from micrographia.publish.ribbons import TILES
from micrographia.publish.store import get
from micrographia.unit import Unit

SHARE = 4  # pictures are drawn from so many times as many as a half holds
_TILE = 96  # px


@dataclass(frozen=True, eq=False)
class Found:
    """A circuit with its verification, the pictures it was found and tested on, and the sentences that belong to it.

    `motifs` are counted in its own edges, by layer. `families` is what becomes of it where its units are drawn together
    into families, with the measured effect of every edge between them; None where none were given.
    """

    circuit: Circuit
    verified: Verified
    images: Float[Tensor, "picture channel height width"]
    words: tuple[str, ...]
    motifs: Mapping[str, Motifs]
    families: FamilyView | None = None

    @property
    def verification(self) -> Verification:
        return self.verified.verification

    def to_json(self) -> dict[str, Any]:
        """The circuit's document; with `families` where there are some."""
        return self.circuit.to_json() | ({} if self.families is None else {"families": self.families.to_json()})


def pictures_of(graph: LayerGraph, source: str, count: int, seed: int) -> Float[Tensor, "picture channel height width"]:
    """Pictures in values 0..1, drawn at random from a source; raises BadImages."""
    opened = open_images(source)
    chosen = np.sort(np.random.default_rng(seed).permutation(len(opened))[:count])
    parts = [part for _, part in batches(opened, graph.card.resize, graph.card.size, 32, chosen)]
    return torch.from_numpy(np.concatenate(parts)).float() / 255


def find(
    graph: LayerGraph,
    what: str | Mapping[str, float],
    images: str = "bundled",
    plan: Plan = Plan(),  # noqa: B008
    pictures: int = PICTURES,
    networks: int = 19,
    seed: int = 0,
    stages: Stages = silent,
    families: Sequence[Path] = (),
) -> Found:
    """The circuit behind a unit or direction, verified; `families` are files of them, see `read_families`.

    Raises BadAddress, BadImages and BadValue as `verify` does.

    >>> find(graph, "mixed4a:97", "pictures.zip").verification.supported  # doctest: +SKIP
    True
    """
    goal = target(graph, what)
    documents = [_document(file) for file in families]
    groups = read_families(documents, graph)
    if pictures < 2:
        raise BadValue(f"A circuit cannot be found on {pictures} pictures. Give 2 or more.")
    if families:
        chosen_families(chain_layers(graph, goal.layer, plan.depth), groups)
    shown = pictures_of(graph, images, SHARE * pictures, seed)
    done = verify(graph, goal, shown, plan, networks=networks, pictures=pictures, seed=seed, stages=stages)
    arguments = {"target": str(goal), "members": [list(each) for each in goal.members], "images": images,
                 "pictures": pictures, "networks": networks, **asdict(plan)}  # fmt: skip
    source = asdict(made_by(graph, "graph", arguments, seed))
    circuit = circuit_of(graph, done.probe, done.ablation, done.links, {}, source, seed, stages)
    counted = circuit_motifs(circuit, seed=seed, turns=turns_of(documents, STEPS), shortcuts=_shortcuts(done))
    scores = done.verification.to_json() | {"motifs": {layer: each.to_json() for layer, each in counted.items()}}
    circuit = replace(circuit, scores=scores)
    view = family_view(graph, circuit, done, groups, seed, stages) if families else None
    return Found(circuit, done, shown, words(goal, circuit, done.verification, plan), counted, view)


def _shortcuts(done: Verified) -> list[str]:
    """The layers of a circuit that a residual block adds to the one before, the target's apart."""
    between = zip(done.probe.chain.layers[1:-1], done.probe.chain.stages, strict=False)
    return [layer for layer, stage in between if any(entry.shortcut for entry in stage.reader(0).entries)]


def _document(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise BadValue(
            f"{file} is not a JSON document ({error}). Write {{layer: {{name: [channels]}}}}, or name the "
            "families.json of micrographia families --out."
        ) from error


def words(goal: Target, circuit: Circuit, found: Verification, plan: Plan) -> tuple[str, ...]:
    """What was found, in sentences: the same on the command line and under the drawing."""
    f = found
    lines = [
        f"{goal}: {len(circuit.edges)} edges between {len(circuit.nodes)} nodes of {' > '.join(circuit.layers)}, "
        f"by {plan.method}, tested on {f.windows} windows of other pictures; ablated to {plan.ablation}.",
        f"Faithfulness {f.faithfulness} (1: the circuit alone does what the network does; 0: no better than nothing); "
        f"the mean where the target fires is recovered to {f.recovered:.0%}.",
        f"Over sizes {f.curve[0].size} to {f.curve[-1].size}: CPR {f.cpr:.2f}, CMD {f.cmd:.2f}. Without the circuit "
        f"{1 - f.completeness:.0%} of the target's variation is left: completeness {f.completeness:.2f}.",
        f"Minimality: leaving one out makes the circuit worse for {f.needed:.0%} of its parts "
        f"(smallest change {f.weakest:+.3f}).",
        f"Circuits found on other pictures share {' '.join(f'{each:.0%}' for each in f.overlap)} with each other "
        f"(Jaccard); random ones {f.chance:.0%}.",
    ]
    for each in f.findings:
        lines.append(f"{_verb(each.what, each.holds())} (by {each.effect:+.2f}, p {each.p:.2g}; {each.null}).")
    if f.same_as_magnitude:
        lines.append("The largest weights alone give the same circuit, so the method adds nothing to them here.")
    lost = [each for each in f.findings if not each.holds()]
    if f.supported:
        lines.append("Supported: it beats every control.")
    else:
        reason = "it does not beat all of its controls" if lost else "it reproduces nothing of the target"
        lines.append(f"Unsupported: {reason}. Do not take this circuit for an explanation of {goal}.")
    return tuple(lines)


def _verb(what: str, holds: bool) -> str:
    text = what if holds else f"does not beat {what.removeprefix('beats ')}"
    return f"It {text}"


def write(graph: LayerGraph, found: Found, out: Path, store: Path | None = None) -> list[Path]:
    """Write circuit.json, .graphml, .dot, .svg and .png (and the family view where there is one); returns the drawings.

    Nodes are drawn as their optimised pictures where the `store` has them, otherwise as what fires them most among the
    pictures used. Raises BadStore, BadValue.
    """
    document = plain(found.circuit.to_json())
    tiles = node_pictures(graph, found, store)
    drawing = draw_circuit(document, tiles, found.words)
    name = "circuit"
    files = {
        f"{name}.json": (json.dumps(document, indent=1) + "\n").encode(),
        f"{name}.graphml": to_graphml(found.circuit),
        f"{name}.dot": to_dot(found.circuit).encode(),
        f"{name}.svg": encoded(drawing, "svg"),
        f"{name}.png": encoded(drawing, "png"),
    }
    drawings = [out / f"{name}.png"]
    if found.families is not None:
        figure = drawn(found.families, tiles, found.words)
        files |= {
            "families.json": (json.dumps(plain(found.families.to_json()), indent=1) + "\n").encode(),
            "families.svg": encoded(figure, "svg"),
            "families.png": encoded(figure, "png"),
        }
        drawings.append(out / "families.png")
    atomic.write(out, files)
    return drawings


def node_pictures(graph: LayerGraph, found: Found, store: Path | None = None) -> dict[str, Tile]:
    """A picture of each node that is a unit, and of families' members: from the store, or what fires it most."""
    units: dict[str, list[int]] = {}
    for node in found.circuit.nodes:
        if node.kind == "unit" and node.layer != "input":
            units.setdefault(node.layer, []).append(node.members[0][0])
    for layer, names in {} if found.families is None else found.families.groups.items():
        for channels in names.values() if layer != "input" else ():
            units.setdefault(layer, []).extend(c for c in channels[:TILES] if c not in units.get(layer, []))
    tiles = _crops(graph, found.images, units)
    for name, tile in _stored(graph, store, units).items():
        tiles[name] = tile
    return tiles


def _crops(graph: LayerGraph, images: Tensor, units: Mapping[str, list[int]]) -> dict[str, Tile]:
    best: dict[str, tuple[float, int, int, int]] = {}
    for start in range(0, len(images), 16):
        values = capture(graph, images[start : start + 16], list(units))
        for layer, channels in units.items():
            for channel in channels:
                maps = values[layer][:, channel]
                place = np.unravel_index(int(maps.argmax()), tuple(maps.shape))
                entry = (float(maps.max()), start + int(place[0]), int(place[1]), int(place[2]))
                best[f"{layer}:{channel}"] = max(best.get(f"{layer}:{channel}", entry), entry)
    tiles = {}
    for name, (_, number, row, column) in best.items():
        of = graph.layer(name.rpartition(":")[0])
        tiles[name] = _crop(images[number], of.stride, of.receptive_field, of.offset, (row, column))
    return tiles


def _crop(picture: Tensor, stride: Any, field: Any, offset: Any, cell: tuple[int, int]) -> Tile:
    """The part of a picture that a cell sees: its receptive field, cut at the border to a square of that size."""
    pixels = (picture.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
    pixels = np.broadcast_to(pixels, (*pixels.shape[:2], 3))
    if field is not None and stride is not None and offset is not None:
        spans = []
        for axis, extent in enumerate(pixels.shape[:2]):
            size = min(max(int(field[axis]), 12), extent)
            middle = offset[axis] + stride[axis] * cell[axis]
            first = int(np.clip(round(middle - (size - 1) / 2), 0, extent - size))
            spans.append(slice(first, first + size))
        pixels = pixels[spans[0], spans[1]]
    return np.asarray(Image.fromarray(np.ascontiguousarray(pixels)).resize((_TILE, _TILE), Image.Resampling.BICUBIC))


def _stored(graph: LayerGraph, store: Path | None, units: Mapping[str, list[int]]) -> dict[str, Tile]:
    kept = opened(store, graph)
    if kept is None:
        return {}
    known = {each["name"] for each in kept.manifest.layers}
    tiles = {}
    for layer in units:
        for channel in units[layer] if layer in known else []:
            record = get(kept, Unit(layer, channel), "vis")
            name = next((each for each in record.files if each.startswith("vis.")), None) if record else None
            if name is not None:
                data = (kept.folder / layer / str(channel) / name).read_bytes()
                image = Image.open(io.BytesIO(data)).convert("RGB").resize((_TILE, _TILE), Image.Resampling.BICUBIC)
                tiles[f"{layer}:{channel}"] = np.asarray(image)
    return tiles


def check(file: Path, graph: LayerGraph) -> Circuit:
    """The circuit in a file, if it is right and of this network; raises BadValue."""
    circuit = read_circuit(file)
    check_against(circuit, graph)
    return circuit
