"""lab(graph, wanted): all parts of Lab Three about one unit, measured, as one page that can be run again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor, fx

from micrographia import __version__
from micrographia.circuits.ablation import Ablation, ablation
from micrographia.circuits.card import Card, card, checked
from micrographia.console import Stages, silent
from micrographia.errors import BadImages, BadValue
from micrographia.images.bundled import open_images
from micrographia.images.source import ImageSource, batches, read
from micrographia.jobs.circuit import BATCH, input_name, made_by_layer, one_unit, own_kernel, sampled, sentences
from micrographia.jobs.examples import TILE, cut
from micrographia.jobs.portraits import Portrait, opened, portraits
from micrographia.model.capture import capture
from micrographia.model.graph import LayerGraph
from micrographia.publish.draw import Tile
from micrographia.publish.lab import Pictures
from micrographia.publish.plain import plain
from micrographia.study.examples import Survey, survey
from micrographia.unit import Unit

SCHEMA = 1
GUESSED, GUESSES, RANKED, LAST = 4, 3, 10, 3


@dataclass(frozen=True)
class LabWanted:
    """Everything that a lab depends on. `pictures` of `images` are ranked, the first `tested` of them ablated on.

    `to` says what an ablated unit becomes: mean, zero, resample or shuffle; `controls` are as many random inputs.
    """

    model: str
    unit: str
    images: str = "bundled"
    weights: str | None = None
    k: int | None = None
    way: str = "auto"
    pictures: int = 400
    tested: int = 48
    to: str = "mean"
    controls: int = 19
    store: str | None = None
    quality: str = "thumbnail"
    seed: int = 0
    threads: int = 1


@dataclass(frozen=True, eq=False)
class Lab:
    """A finished lab: `numbers` are plain values that can be reproduced, `pictures` what the page shows beside them."""

    wanted: LabWanted
    numbers: dict[str, Any]
    pictures: Pictures

    def to_json(self) -> dict[str, Any]:
        """What the page carries, and `lab --json` prints: the parameters and all numbers."""
        return {
            "schema": SCHEMA, "version": __version__, "parameters": asdict(self.wanted), "numbers": self.numbers,
        }  # fmt: skip


def lab(graph: LayerGraph, wanted: LabWanted, stages: Stages = silent) -> Lab:
    """Measure all that the page shows. Equal arguments on equal machines give equal numbers.

    Raises BadAddress, BadStore, BadImages where the pictures have no classes, and BadValue for a unit that reads
    nothing or does the same on all pictures, and k above the number of its inputs.

    >>> lab(graph, LabWanted("mini-inception", "mixed3b:3")).numbers["check"]["share"]  # doctest: +SKIP
    0.41
    """
    unit = one_unit(graph, wanted.unit)
    found = card(graph, unit, wanted.k, wanted.way)
    source = open_images(wanted.images)
    if len(source.classes) < 2:
        raise BadImages(
            f"'{wanted.images}' has no classes: its {len(source)} pictures lie in one folder. "
            "Put them into one folder for each class, so that the classes can be ranked."
        )
    if wanted.tested < 2:
        raise BadValue(f"An ablation on {wanted.tested} pictures has no interval. Test on 2 or more.")
    store = opened(None if wanted.store is None else Path(wanted.store), graph)
    indices = sampled(source, wanted.pictures, wanted.seed)
    ranked = _ranked(graph, source, indices, unit, wanted.seed, stages)
    row = unit.channel
    if not ranked.greatest[row] > ranked.least[row]:
        raise BadValue(
            f"{unit} is dead on these {ranked.seen} pictures: it never rises above {ranked.greatest[row]:.3g}, so no "
            f"class excites it. Choose another unit of {unit.layer}, or other pictures."
        )
    if not (ranked.class_count > 1).any():
        raise BadImages(
            f"No class of '{wanted.images}' has two of the {ranked.seen} pictures drawn, so none has an interval. "
            "Give several pictures of each class, or draw more with --pictures."
        )
    mixed = np.random.default_rng(wanted.seed).permutation(indices).tolist()
    tested = _pictures(graph, source, sorted(mixed[: wanted.tested]))
    found = checked(graph, found, (tested[i : i + BATCH] for i in range(0, len(tested), BATCH)), wanted.seed)
    looks = portraits(graph, [unit, *(e.unit for e in found.inputs)], store, wanted.quality, wanted.seed, stages)
    output = score_layer(graph)
    effects = _ablated(graph, tested, found, output, wanted, stages)
    guessed = _guesses(graph, source, indices, output)
    ((_, strip, lines),) = cut(source, graph.layer(unit.layer), ranked, [unit], graph.card.resize, graph.card.size)
    numbers = {
        "network": _network(graph, output),
        "images": {
            "fingerprint": source.fingerprint, "count": len(source), "classes": len(source.classes),
            "ranked": ranked.seen, "tested": len(tested),
        },
        "guesses": guessed,
        "unit": _unit(graph, unit, ranked),
        "optimised": _optimised(looks.get(unit)),
        "examples": lines,
        "ranking": _ranking(ranked, row),
        "card": found.to_json() | {"norms": sorted(found.norms.tolist(), reverse=True)},
        "inputs": [
            {"name": input_name(graph, each.unit), "optimised": _optimised(looks.get(each.unit))}
            for each in found.inputs
        ],
        "sentences": sentences(found, found.check),
        "ablation": effects.to_json() | {"class_names": [_label(graph, each) for each in effects.classes]},
    }  # fmt: skip
    shown = Pictures(
        guesses=_thumbs(source, [each["index"] for each in guessed]),
        portrait=_picture(looks.get(unit)),
        examples=[strip[:, i * TILE : (i + 1) * TILE] for i in range(len(lines))],
        inputs=[_picture(looks.get(each.unit)) for each in found.inputs],
        own=own_kernel(graph, found),
    )
    return Lab(wanted, plain(numbers), shown)


def _ranked(
    graph: LayerGraph, source: ImageSource, indices: Sequence[int], unit: Unit, seed: int, stages: Stages
) -> Survey:
    size = graph.card
    stream = batches(source, size.resize, size.size, 32, indices, size.interpolation)
    advance = stages("pictures", len(indices))
    return survey(
        graph, stream, [unit.layer], labels=source.labels, classes=source.classes, shuffles=199, seed=seed,
        progress=advance,
    )[unit.layer]  # fmt: skip


def _pictures(
    graph: LayerGraph, source: ImageSource, indices: Sequence[int]
) -> UInt8[np.ndarray, "picture channel height width"]:
    size = graph.card
    found = [b for _, b in batches(source, size.resize, size.size, 32, indices, size.interpolation)]
    return np.concatenate(found)


def _ablated(
    graph: LayerGraph, tested: UInt8[np.ndarray, "picture channel height width"], found: Card, output: str | None,
    wanted: LabWanted, stages: Stages,
) -> Ablation:  # fmt: skip
    k, rest = len(found.inputs), found.count - len(found.inputs)
    runs = 1 + k + (k > 1) + 1 + min(wanted.controls, rest) + wanted.controls * (1 < k < rest)
    images = torch.from_numpy(tested).float() / 255
    return ablation(
        graph, images, found.unit, list(dict.fromkeys(each.unit for each in found.inputs)), found.reading.sources,
        [link.target for link in found.users], output, wanted.to, wanted.controls, wanted.seed,
        stages("ablations", runs),
    )  # fmt: skip


def score_layer(graph: LayerGraph) -> str | None:
    """The layer of class scores that the network returns; None where it returns something else.

    >>> score_layer(graph)  # doctest: +SKIP
    'head'
    """
    value = next(node for node in graph.module.graph.nodes if node.op == "output").args[0]
    if not isinstance(value, fx.Node):
        return None
    names = [
        name for name, layer in graph.layers.items() if graph.node_of[name] == value.name and len(layer.shape) == 1
    ]
    return names[0] if names else None


def _guesses(
    graph: LayerGraph, source: ImageSource, indices: Sequence[int], output: str | None
) -> list[dict[str, Any]]:
    """The first guesses on a few pictures of different classes, in the order of the classes."""
    if output is None:
        return []
    first: dict[int, int] = {}
    for index in indices:
        first.setdefault(source.labels[index], index)
    few = sorted(first)
    chosen = [first[few[(2 * i + 1) * len(few) // (2 * min(GUESSED, len(few)))]] for i in range(min(GUESSED, len(few)))]
    images = torch.from_numpy(_pictures(graph, source, chosen)).float() / 255
    shares = _probabilities(capture(graph, images, output)[output].double())
    found = []
    for index, share in zip(chosen, shares, strict=True):
        best = np.argsort(-share, kind="stable")[:GUESSES]
        found.append(
            {
                "index": index,
                "picture": source.names[index],
                "class": source.classes[source.labels[index]],
                "guesses": [{"class": _label(graph, int(i)), "share": float(share[i])} for i in best],
            }
        )
    return found


def _probabilities(scores: Float[Tensor, "picture class"]) -> Float[np.ndarray, "picture class"]:
    done = bool((scores >= 0).all()) and bool(((scores.sum(1) - 1).abs() < 1e-4).all())
    return (scores if done else scores.softmax(1)).cpu().numpy()


def _label(graph: LayerGraph, index: int) -> str:
    labels = graph.card.labels
    return labels[index] if index < len(labels) else f"class {index}"


def _network(graph: LayerGraph, output: str | None) -> dict[str, Any]:
    weights = sum(parameter.numel() for parameter in graph.module.parameters())
    return {
        "name": graph.card.name, "fingerprint": graph.fingerprint, "layers": len(graph.main_layers()),
        "parameters": weights, "size": list(graph.card.size), "licence": graph.card.licence,
        "source": graph.card.source, "classes": 0 if output is None else graph.layer(output).channels,
    }  # fmt: skip


def _unit(graph: LayerGraph, unit: Unit, ranked: Survey) -> dict[str, Any]:
    layer, row = made_by_layer(graph, unit), unit.channel
    return {
        "address": str(unit), "layer": layer.to_json(), "of": graph.layer(unit.layer).channels,
        "mean": float(ranked.mean[row]), "greatest": float(ranked.greatest[row]), "active": float(ranked.active[row]),
        "active_pictures": float(ranked.active_pictures[row]),
    }  # fmt: skip


def _ranking(ranked: Survey, row: int) -> dict[str, Any]:
    """The first and the last classes, each beside what as many pictures drawn at random would give."""
    each = ranked.ranking
    order = [int(i) for i in np.argsort(-each.mean[row], kind="stable") if each.count[i] > 1]
    # one or two are not worth a gap
    kept = order if len(order) <= RANKED + LAST + 2 else [*order[:RANKED], *order[-LAST:]]
    rows = [
        {
            "rank": order.index(i) + 1, "class": ranked.classes[i], "mean": float(each.mean[row, i]),
            "n": int(each.count[i]), "low": float(each.mean[row, i] - each.half[row, i]),
            "high": float(each.mean[row, i] + each.half[row, i]), "chance_half": float(each.chance_half[row, i]),
        }
        for i in kept
    ]  # fmt: skip
    return {
        "classes": rows, "of": len(order), "alone": int((each.count == 1).sum()), "chance": float(each.chance[row]),
        "p": float(each.p[row]), "shuffles": each.shuffles,
    }  # fmt: skip


def _optimised(look: Portrait | None) -> dict[str, Any] | None:
    return None if look is None else {"reached": look.reached, "dead": look.dead}


def _picture(look: Portrait | None) -> Tile | None:
    return None if look is None else look.picture


def _thumbs(source: ImageSource, indices: Sequence[int]) -> list[Tile]:
    found = {}
    for picture in read(source, sorted(indices)):
        side = min(picture.image.size)
        left, top = (picture.image.width - side) // 2, (picture.image.height - side) // 2
        square = (left, top, left + side, top + side)
        found[picture.index] = np.asarray(picture.image.resize((160, 160), Image.Resampling.BICUBIC, box=square))
    return [found[index] for index in indices]
