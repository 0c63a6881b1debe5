"""`micrographia nmf`: what mixtures of inputs a family of units reads, and where."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from micrographia import console
from micrographia.commands.options import Json, Model, Seed, Weights


def nmf(
    model: Model,
    src: Annotated[str, typer.Argument(help="the layer that the weights read")],
    units: Annotated[str, typer.Argument(help="units of one later layer, like mixed3a:5,9,12")],
    weights: Weights = None,
    k: Annotated[int, typer.Option(min=1, help="how many factors")] = 2,
    trials: Annotated[int, typer.Option(min=0, help="sets of random units to hold the family against")] = 99,
    out: Annotated[Path | None, typer.Option(help="folder for the figure and all numbers")] = None,
    store: Annotated[Path | None, typer.Option(help="a folder that observe made: draw its optimised pictures")] = None,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Factor the weights of a family of units: mixtures of inputs without sign, and signed maps for each unit."""
    from micrographia.jobs.choose import open_network
    from micrographia.jobs.nmf import nmf as factor
    from micrographia.jobs.nmf import write_nmf

    graph = open_network(model, weights)
    found = factor(graph, src, units, k, trials, seed)
    figure = None if out is None else write_nmf(graph, found, out, store)
    for line in found.notes:
        console.note(line)
    if json:
        return console.document(found.to_json())
    for row, each in enumerate(found.factors.strongest()):
        inputs = "  ".join(f"{found.src}:{channel} {found.factors.mixtures[row, channel]:.2f}" for channel in each)
        console.say(f"Factor {row}: {inputs}")
    console.say(f"Stability over starts: {found.factors.stability:.2f}")
    if found.findings:
        head = ("finding", "effect", "held against", "p", "corrected p", "n")
        rows = [
            (each.what, f"{each.effect:+.2f}", each.null, f"{each.p:.2g}", f"{each.corrected:.2g}", each.n)
            for each in found.findings
        ]
        console.table(head, rows, right=("effect", "p", "corrected p", "n"))
    return None if figure is None else console.say(f"Open {figure}")
