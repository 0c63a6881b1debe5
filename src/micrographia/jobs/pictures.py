"""The `vis` records: the optimised picture of each unit, and the numbers that say how much to believe it."""

from __future__ import annotations

from dataclasses import asdict

from micrographia.console import Stages, silent
from micrographia.jobs.provenance import made_by
from micrographia.model.graph import LayerGraph
from micrographia.optvis.quality import quality_of
from micrographia.optvis.render import Rendered, render
from micrographia.publish import draw
from micrographia.publish.store import Store, done, put
from micrographia.unit import Unit


def write_pictures(
    store: Store,
    graph: LayerGraph,
    chosen: dict[str, list[Unit]],
    quality: str = "thumbnail",
    seed: int = 0,
    device: str = "cpu",
    stages: Stages = silent,
) -> None:
    """Render what is missing, layer by layer, each record written as its batch is finished."""
    source = made_by(graph, "render", {"quality": asdict(quality_of(quality)), "objective": "neuron"}, seed)
    finished = done(store, "vis", source)
    missing = {name: [u for u in units if u not in finished] for name, units in chosen.items()}
    if not any(missing.values()):
        return
    advance = stages("optimised pictures", sum(map(len, missing.values())))
    for units in missing.values():
        for rendered in render(graph, units, quality=quality, seed=seed, device=device):
            files = {} if rendered.dead else {"vis.jpg": draw.encode(rendered.image, quality=90)}
            values = _facts(rendered)
            put(store, rendered.unit, "vis", source, values, {"vis_reached": rendered.reached}, files)
            advance(1)


def _facts(rendered: Rendered) -> dict:
    settings = rendered.settings
    return {
        "size": rendered.image.shape[0],
        "objective": settings["objective"],
        "reached": rendered.reached,
        "dead": rendered.dead,
        "steps": rendered.steps,
        "precision": settings["precision"],
        **rendered.numbers,
    }
