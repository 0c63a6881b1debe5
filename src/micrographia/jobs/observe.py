"""observe(graph, wanted, folder): the main job, from a network to a folder that is its store and its site."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from micrographia import __version__
from micrographia.console import Stages, silent
from micrographia.images.bundled import open_images
from micrographia.images.source import Unreadable, sum_up
from micrographia.jobs.choose import chosen_units
from micrographia.jobs.examples import write_examples
from micrographia.jobs.neighbours import write_neighbours
from micrographia.jobs.pictures import write_paths, write_pictures
from micrographia.model.graph import LayerGraph
from micrographia.optvis.precision import device_of
from micrographia.optvis.quality import quality_of
from micrographia.publish.site import bake
from micrographia.publish.store import Manifest, create


@dataclass(frozen=True)
class Observation:
    """What to observe of a network: which pictures, which layers and units, and how well.

    `images` is a source of pictures, `layers` names with commas or `first..last`, empty for every conv and block,
    `units` addresses such as mixed3b:0-31, empty for all units of the layers; `keep` is the number of examples.
    """

    images: str = "bundled"
    layers: str = ""
    units: tuple[str, ...] = ()
    quality: str = "thumbnail"
    keep: int = 9
    seed: int = 0
    device: str = "cpu"


@dataclass(frozen=True)
class Observed:
    """What came of it: the store's folder, the page to open, how many units and layers it holds, what to tell."""

    folder: Path
    page: Path
    units: int
    layers: int
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "folder": str(self.folder),
            "page": str(self.page),
            "units": self.units,
            "layers": self.layers,
            "notes": list(self.notes),
        }


def observe(graph: LayerGraph, wanted: Observation, folder: Path, stages: Stages = silent) -> Observed:
    """The main job: pictures, examples, activations and neighbours of the units, in a store, baked to a site.

    Interrupted at any moment, the next call does only what is missing; with the same arguments it writes the same
    bytes. Raises BadAddress, BadImages, BadStore and BadValue before anything is computed.
    """
    chosen = chosen_units(graph, wanted.layers, wanted.units)
    quality_of(wanted.quality)
    device_of(wanted.device)
    source = open_images(wanted.images)
    layers = tuple(layer.to_json() for layer in graph.visible())
    store = create(folder, Manifest(graph.card.name, graph.fingerprint, graph.card.to_json(), layers, __version__))
    unreadable: list[Unreadable] = []
    write_neighbours(store, graph, chosen, stages)
    write_examples(store, graph, chosen, source, wanted.keep, wanted.device, stages, unreadable)
    write_pictures(store, graph, chosen, wanted.quality, wanted.seed, wanted.device, stages)
    write_paths(store, graph, chosen, source, wanted.seed, stages)
    page = bake(store, progress=_counted(stages, "pages"))
    notes = [sum_up(list({each.index: each for each in unreadable}.values()))]
    return Observed(folder, page, sum(map(len, chosen.values())), len(chosen), tuple(each for each in notes if each))


def _counted(stages: Stages, name: str) -> Callable[[int, int], None]:
    """A stage for work that tells how much is done of how much, and only once it runs."""
    advance: list[Callable[[int], None]] = []
    seen = 0

    def progress(done: int, total: int) -> None:
        nonlocal seen
        if not advance:
            advance.append(stages(name, total))
        advance[0](done - seen)
        seen = done

    return progress
