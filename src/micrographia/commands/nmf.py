"""`micrographia nmf`: what mixtures of inputs a family of units reads, and where."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from micrographia import console
from micrographia.commands.options import Json, Model, Seed, Weights

if TYPE_CHECKING:
    from micrographia.jobs.nmf import Each
    from micrographia.model.graph import LayerGraph


def nmf(
    model: Model,
    src: Annotated[str, typer.Argument(help="the layer that the weights read")],
    units: Annotated[str, typer.Argument(help="units of one later layer, like mixed3a:5,9,12")],
    weights: Weights = None,
    k: Annotated[int | None, typer.Option(min=1, help="how many factors; 2, or 3 with --each")] = None,
    each: Annotated[bool, typer.Option("--each", help="factor every unit by itself, not all together")] = False,
    trials: Annotated[
        int, typer.Option(min=0, help="sets of random units, or of turned maps, to hold it against")
    ] = 99,
    out: Annotated[Path | None, typer.Option(help="folder for the figure and all numbers")] = None,
    store: Annotated[Path | None, typer.Option(help="a folder that observe made: draw its optimised pictures")] = None,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Factor the weights of a family of units: mixtures of inputs without sign, and signed maps for each unit."""
    from micrographia.jobs.choose import open_network
    from micrographia.jobs.nmf import nmf as factor
    from micrographia.jobs.nmf import nmf_each, write_nmf

    graph = open_network(model, weights)
    if each:
        return _apart(nmf_each(graph, src, units, k or 3, trials, seed), graph, out, store, json)
    found = factor(graph, src, units, k or 2, trials, seed)
    figure = None if out is None else write_nmf(graph, found, out, store)
    for line in found.notes:
        console.note(line)
    if json:
        return console.document(found.to_json())
    for row, channels in enumerate(found.factors.strongest()):
        inputs = "  ".join(f"{found.src}:{channel} {found.factors.mixtures[row, channel]:.2f}" for channel in channels)
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


def _apart(found: Each, graph: LayerGraph, out: Path | None, store: Path | None, json: bool) -> None:
    from micrographia.jobs.nmf import write_each

    figure = None if out is None else write_each(graph, found, out, store)
    for line in found.notes:
        console.note(line)
    if json:
        return console.document(found.to_json())
    rows = []
    for place, (unit, each) in enumerate(zip(found.units, found.factors, strict=True)):
        inputs = "; ".join(",".join(map(str, channels)) for channels in each.strongest(3))
        p = (f"{found.findings[place].p:.2g}", f"{found.findings[place].corrected:.2g}") if found.findings else ("", "")
        rows.append((f"{found.dst}:{unit}", inputs, f"{each.explained:.0%}", f"{each.stability:.2f}", *p))
    head = ("unit", f"reads of {found.src}", "explained", "stability", "p", "corrected p")
    console.table(head, rows, right=("explained", "stability", "p", "corrected p"))
    if found.findings:
        console.say(f"Held against {found.findings[0].null}.")
    return None if figure is None else console.say(f"Open {figure}")
