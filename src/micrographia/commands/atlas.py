"""`micrographia atlas`: what a layer tells apart, over many pictures, on one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from micrographia import console
from micrographia.commands.options import Device, Json, Model, Seed, Weights


def atlas(
    model: Model,
    layer: Annotated[str, typer.Argument(help="a layer, like mixed4a")],
    images: Annotated[str, typer.Option(help="pictures: a folder, .zip or .tar, or bundled")] = "bundled",
    side: Annotated[int, typer.Option(help="rows and columns of the field")] = 8,
    quality: Annotated[str, typer.Option(help="of the icons: thumbnail, standard or fine")] = "standard",
    ridge: Annotated[float, typer.Option(min=0, help="of the whitening of directions, 0 for none")] = 0.1,
    out: Annotated[Path | None, typer.Option(help="the folder; default: vis/MODEL")] = None,
    weights: Weights = None,
    seed: Seed = 0,
    device: Device = "cpu",
    json: Json = False,
) -> None:
    """Lay a layer's activations over many pictures out on a plane, and draw what each part of it stands for."""
    from micrographia.jobs.choose import open_network
    from micrographia.jobs.likeness import make_atlas

    graph = open_network(model, weights)
    with console.bars() as stages:
        folder = out or Path("vis") / graph.card.name
        done = make_atlas(graph, layer, images, folder, side, quality, ridge or None, seed, device, stages)
    if json:
        return console.document(done.to_json())
    console.say(f"{len(done.facts['cells'])} cells of {done.facts['pictures']} pictures.")
    return console.say(f"Open {done.file}")
