"""`micrographia circuit`: the circuit card of one unit."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from micrographia import console
from micrographia.commands.options import Json, Model, Seed, Weights


def circuit(
    model: Model,
    unit: Annotated[str, typer.Argument(help="one unit, like mixed3b:379")],
    k: Annotated[
        int | None, typer.Option("--k", help="how many inputs; default: 6, or all where there are fewer")
    ] = None,
    inputs: Annotated[
        str, typer.Option(help="direct, expanded, or auto: through a 1x1 bottleneck where there is one")
    ] = "auto",
    images: Annotated[
        str, typer.Option(help="folder, .zip or .tar of pictures for the check; 'bundled' for the ones inside")
    ] = "bundled",
    pictures: Annotated[int, typer.Option(min=1, help="how many of them")] = 32,
    store: Annotated[Path | None, typer.Option(help="a folder that observe made: take its pictures")] = None,
    out: Annotated[Path | None, typer.Option(help="the folder; default: circuits/MODEL")] = None,
    format: Annotated[str, typer.Option(help="of the figure: png, svg or pdf")] = "png",
    quality: Annotated[str, typer.Option(help="of pictures that are made: thumbnail, standard or fine")] = "thumbnail",
    weights: Weights = None,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Draw a unit's circuit card: its strongest inputs and users, and how much of it the inputs explain."""
    from micrographia.jobs.choose import open_network
    from micrographia.jobs.circuit import Wanted, check_format, write_circuit
    from micrographia.jobs.circuit import circuit as make
    from micrographia.publish.atomic import usable

    check_format(format)
    graph = open_network(model, weights)
    for line in graph.notes:
        console.note(line)
    folder = out or Path("circuits") / graph.card.name
    usable(folder)
    with console.bars() as stages:
        found = make(graph, unit, Wanted(k, inputs, images, pictures, store, quality, seed), stages)
    figure = write_circuit(graph, found, folder, format)
    if json:
        return console.document(found.to_json())
    rows = [
        (
            str(each.unit),
            f"{each.norm:.4g}",
            f"{each.share:.1%}",
            f"{each.positive:.3g}",
            f"{each.negative:.3g}",
            each.sign,
            "spatially cancelling" if each.cancelling else "",
        )
        for each in found.card.inputs
    ]
    head = ("input", "norm", "share", "positive", "negative", "sign", "")
    console.table(head, rows, right=("norm", "share", "positive", "negative"))
    for line in found.notes:
        console.say(line)
    return console.say(f"Open {figure}")
