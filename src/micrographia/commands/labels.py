"""`micrographia labels`: what the units of a layer are called."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from micrographia import console
from micrographia.commands.options import Json, Model, Seed, Weights


def labels(
    model: Model,
    layer: Annotated[str, typer.Argument(help="a layer whose units see no more than the picture")],
    given: Annotated[str, typer.Option(help="file of a person's labels (JSON or CSV); they override")] = "",
    copies: Annotated[int, typer.Option(min=0, help="networks that have learned nothing; 0: as many as needed")] = 0,
    weights: Weights = None,
    out: Annotated[Path | None, typer.Option(help="folder for the units of each label as pictures and a file")] = None,
    store: Annotated[Path | None, typer.Option(help="a folder that observe made: draw its optimised pictures")] = None,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Name each unit of a layer in standard words, Gabor, curve, colour contrast, ..., or none, each with its p."""
    from micrographia.jobs.choose import open_network
    from micrographia.jobs.family_answers import branch_findings
    from micrographia.jobs.labels import labels as find
    from micrographia.jobs.labels import write_labels
    from micrographia.publish.store import open_store

    graph = open_network(model, weights)
    if store is not None:
        open_store(store)  # what is wrong with it is said before the search
    with console.bars(json) as stages:
        found = find(graph, layer, given, copies, seed, stages)
    homes = branch_findings(graph, found.layer, {k: v for k, v in found.called().items() if k not in ("none", "dead")})
    figure = None if out is None else write_labels(graph, found, out, store)
    for line in found.notes:
        console.note(line)
    if json:
        extra = {"branches": [{"label": name} | each.to_json() for name, each in homes]} if homes else {}
        return console.document(found.to_json() | extra)
    rows = [
        (f"{found.layer}:{e.unit}", e.label, "person" if e.given else "", e.best, f"{e.score:.2f}",
         f"{e.confidence:.3f}", f"{e.p:.2g}", f"{e.corrected:.2g}")
        for e in sorted(found.labels, key=lambda e: (e.label == "none", e.label, -e.score))
        if e.label != "none"
    ]  # fmt: skip
    if rows:
        head = ("unit", "label", "by", "measured best", "score", "confidence", "p", "corrected p")
        console.table(head, rows, right=head[4:])
    if homes:
        console.table(
            ("label", "most at home", "times chance", "p", "corrected p"),
            [(name, e.what, f"{e.effect:.1f}", f"{e.p:.2g}", f"{e.corrected:.2g}") for name, e in homes],
            right=("times chance", "p", "corrected p"),
        )
    if figure is not None:
        console.say(f"Open {figure}")
    return console.say("; ".join(f"{name}: {number}" for name, number in found.counts().items()) + ".")
