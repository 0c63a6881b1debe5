"""`micrographia svd`: clusters of connections between two layers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from micrographia import console
from micrographia.commands.options import Json, Model, Seed, Weights


def svd(
    model: Model,
    src: Annotated[str, typer.Argument(help="the layer that the weights read")],
    dst: Annotated[str, typer.Argument(help="a later layer")],
    weights: Weights = None,
    reduce: Annotated[str, typer.Option(help="tensor to matrix: l1, l2, max, 'signed sum' or none")] = "l1",
    centre: Annotated[str, typer.Option(help="raw, double (without the means) or degree")] = "double",
    out: Annotated[Path | None, typer.Option(help="folder for the figure and all numbers")] = None,
    store: Annotated[Path | None, typer.Option(help="a folder that observe made: draw its optimised pictures")] = None,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Show which units of two layers are wired together: the singular vectors of |W|, with their nulls."""
    from micrographia.jobs.choose import open_network
    from micrographia.jobs.svd import svd as find
    from micrographia.jobs.svd import write_svd

    graph = open_network(model, weights)
    result = find(graph, src, dst, reduce, centre, seed)
    figure = None if out is None else write_svd(graph, result, out, store)
    for line in result.notes:
        console.note(line)
    found = result.found
    if json:
        return console.document(found.to_json())
    shares = found.factors.share
    console.say(
        f"Share of the energy: {'  '.join(f'{s:.1%}' for s in shares[:5])}  (null 95 %: {found.null_share_95:.1%})"
    )
    rows = [
        (each.what, f"{each.effect:+.2f}", each.null, f"{each.p:.2g}", f"{each.corrected:.2g}", each.n)
        for each in found.findings
    ]
    head = ("finding", "effect", "held against", "p", "corrected p", "n")
    console.table(head, rows, right=("effect", "p", "corrected p", "n"))
    if found.clusters is None:
        console.say("No clusters.")
    else:
        for number, (sources, targets) in enumerate(zip(*_members(found.clusters.to_json()), strict=True)):
            console.say(f"Cluster {number}: {result.src}:{sources} -> {result.dst}:{targets}")
        columns = ("mean |W|", *(f"to {each}" for each in range(len(found.clusters.mean))))
        means = [(f"from {i}", *(f"{m:.3g}" for m in row)) for i, row in enumerate(found.clusters.mean)]
        console.table(columns, means, right=columns[1:])
    return None if figure is None else console.say(f"Open {figure}")


def _members(clusters: dict) -> tuple[list[str], list[str]]:
    joined = [[",".join(map(str, units)) for units in clusters[side]] for side in ("source", "target")]
    return joined[0], joined[1]
