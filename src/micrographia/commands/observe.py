"""`micrographia observe`: the whole microscope of a network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from micrographia import console
from micrographia.commands.options import Device, Json, Model, Seed, Weights


def observe(
    model: Model,
    images: Annotated[
        str, typer.Option(help="folder, .zip or .tar of pictures; 'bundled' for the ones inside")
    ] = "bundled",
    layers: Annotated[str, typer.Option(help="layers with commas, or first..last; default: every conv or block")] = "",
    units: Annotated[list[str] | None, typer.Option(help="only these, like mixed3b:0-31; may be repeated")] = None,
    out: Annotated[Path | None, typer.Option(help="the folder; default: microscopes/MODEL")] = None,
    weights: Weights = None,
    quality: Annotated[str, typer.Option(help="of the optimised pictures: thumbnail, standard or fine")] = "thumbnail",
    keep: Annotated[int, typer.Option(min=1, max=100, help="examples per unit")] = 9,
    seed: Seed = 0,
    device: Device = "cpu",
    json: Json = False,
) -> None:
    """The whole microscope of a network, as a folder to browse: run it again and it goes on where it stopped."""
    from micrographia.jobs.choose import open_network
    from micrographia.jobs.observe import Observation
    from micrographia.jobs.observe import observe as observe_network

    graph = open_network(model, weights)
    for line in graph.notes:
        console.note(line)
    wanted = Observation(images, layers, tuple(units or ()), quality, keep, seed, device)
    with console.bars() as stages:
        done = observe_network(graph, wanted, out or Path("microscopes") / graph.card.name, stages)
    for line in done.notes:
        console.note(line)
    if json:
        return console.document(done.to_json())
    console.say(f"{done.units} units of {done.layers} layers.")
    return console.say(f"Open {done.page}")
