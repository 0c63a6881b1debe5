"""`micrographia layers`: what a network is made of."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from micrographia import console
from micrographia.commands.options import Json, Model, Weights
from micrographia.errors import BadValue


def layers(
    model: Model,
    weights: Weights = None,
    every: Annotated[bool, typer.Option("--all", help="also the values inside a block of conv, norm and ReLU")] = False,
    out: Annotated[Path | None, typer.Option(help="draw the architecture into this .svg, .png or .pdf")] = None,
    unroll: Annotated[str, typer.Option(help="draw this residual sum as parallel paths instead")] = "",
    json: Json = False,
) -> None:
    """Show what a network is made of: op, channels, kernel, stride, receptive field, branches."""
    from micrographia.jobs.architecture import draw_architecture
    from micrographia.jobs.choose import open_network

    graph = open_network(model, weights)
    if unroll and out is None:
        raise BadValue(f"{unroll} is drawn into a file. Name it: --out paths.svg.")
    if out is not None:
        draw_architecture(graph, out, unroll)
    shown = [layer.to_json() for layer in (graph.layers.values() if every else graph.visible())]
    if json:
        return console.document(shown)
    for line in graph.notes:
        console.note(line)
    rows = [
        (
            layer["name"],
            layer["op"],
            layer["channels"],
            "x".join(map(str, layer["shape"][1:])),
            console.size(layer["kernel"]),
            console.size(layer["stride"]),
            console.size(layer["receptive_field"]),
            "  ".join(f"{b['name']} {b['first']}-{b['last']}" for b in layer["branches"]),
        )
        for layer in shown
    ]
    head = ("layer", "op", "channels", "map", "kernel", "stride", "field", "branches")
    console.table(head, rows, right=("channels", "map", "kernel", "stride", "field"))
    return None if out is None else console.say(f"Open {out}")
