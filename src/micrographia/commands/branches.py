"""`micrographia branches`: do the branches of a layer specialise?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from micrographia import console
from micrographia.commands.options import Json, Model, Seed, Weights


def branches(
    model: Model,
    layer: Annotated[str, typer.Argument(help="a layer with branches, like mixed3a, or a residual sum")],
    labels: Annotated[str, typer.Option(help="file of units' families (JSON or CSV), or 'published'")] = "",
    weights: Weights = None,
    trials: Annotated[int, typer.Option(min=0, help="networks with their weights dealt out anew")] = 199,
    images: Annotated[str, typer.Option(help="pictures to measure the shares of residual paths on")] = "bundled",
    pictures: Annotated[int, typer.Option(min=1, help="how many of them")] = 64,
    out: Annotated[Path | None, typer.Option(help="folder for the figure and all numbers")] = None,
    store: Annotated[Path | None, typer.Option(help="a folder that observe made: draw its optimised pictures")] = None,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Show in what the branches of a layer specialise, if in anything, with nulls and corrected p-values."""
    from micrographia.jobs.branches import specialisation, write_branches
    from micrographia.jobs.choose import open_network

    graph = open_network(model, weights)
    with console.bars(json) as stages:
        found = specialisation(graph, layer, labels, trials, seed, images, pictures, stages)
    figure = None if out is None else write_branches(graph, found, out, store)
    for line in found.notes:
        console.note(line)
    if json:
        return console.document(found.to_json())
    if found.families is not None:
        names = found.families.branches
        rows = [(kind, *counts) for kind, counts in zip(found.families.families, found.families.table, strict=True)]
        console.table(("family", *names), rows, right=names)
        bits = found.families.information
        console.say(
            f"Mutual information {bits.effect:.3f} bit, by chance {found.families.null_mean:.3f}, p {bits.p:.2g}."
        )
    findings = found.scores if found.families is None else tuple(c for c in found.families.cells if c.holds())
    if not any(each.holds() for each in findings):
        console.say("No branch specialises beyond chance.")
    if findings:
        head = ("finding", "effect", "held against", "p", "corrected p", "n")
        rows = [
            (each.what, f"{each.effect:+.2f}", each.null, f"{each.p:.2g}", f"{each.corrected:.2g}", each.n)
            for each in sorted(findings, key=lambda each: each.p)
        ]
        console.table(head, rows, right=("effect", "p", "corrected p", "n"))
    return None if figure is None else console.say(f"Open {figure}")
