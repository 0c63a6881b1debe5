"""`micrographia vis`: the picture that excites a unit most."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from micrographia import console
from micrographia.commands.options import Device, Json, Model, Seed, Weights


def vis(
    model: Model,
    units: Annotated[list[str], typer.Argument(help="like mixed3b:379, mixed3b:0-31, mixed3b, mixed3b:379@4,4")],
    quality: Annotated[str, typer.Option(help="how long to climb: thumbnail, standard or fine")] = "standard",
    objective: Annotated[str, typer.Option(help="neuron (one cell) or channel (the mean of its map)")] = "neuron",
    out: Annotated[Path | None, typer.Option(help="the folder; default: vis/MODEL")] = None,
    weights: Weights = None,
    seed: Seed = 0,
    device: Device = "cpu",
    precision: Annotated[str, typer.Option(help="auto, float32, bfloat16 or float64")] = "auto",
    json: Json = False,
) -> None:
    """Optimise a picture for each unit: PNG files that hold how they were made, and a contact sheet."""
    from micrographia.jobs.choose import open_network
    from micrographia.jobs.visualize import Visualization, named_units, visualize

    graph = open_network(model, weights)
    for line in graph.notes:
        console.note(line)
    chosen = named_units(graph, units)
    wanted = Visualization(quality, objective, seed, device, precision)
    with console.bars() as stages:
        done = visualize(graph, chosen, wanted, out or Path("vis") / graph.card.name, stages)
    if json:
        return console.document(done.to_json())
    rows = [
        (
            each["unit"],
            f"{each['reached']:.4g}",
            f"{each['numbers']['flat']:.4g}",
            "dead" if each["dead"] else "",
            each["steps"],
            each["file"] or "-",
        )
        for each in done.records
    ]
    console.table(("unit", "reached", "on grey", "dead", "steps", "file"), rows, right=("reached", "on grey", "steps"))
    return console.say(f"Open {done.sheet}")
