"""`micrographia graph`: the verified circuit behind a unit."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from micrographia import console
from micrographia.commands.options import Json, Model, Seed, Weights
from micrographia.errors import BadValue

if TYPE_CHECKING:
    from micrographia.circuits.graph import Circuit


def graph(
    model: Model,
    unit: Annotated[
        str, typer.Argument(help="a unit, such as mixed4a:97, or a direction: mixed4a:97+12-0.5*3; none with --check")
    ] = "",
    depth: Annotated[int, typer.Option(help="how many layers before the unit")] = 3,
    size: Annotated[int, typer.Option(help="edges of the circuit (or nodes, or kernels: --level)")] = 30,
    method: Annotated[str, typer.Option(help="attribution, net, weight, snip, force or actgrad")] = "attribution",
    level: Annotated[str, typer.Option(help="what is kept as one: edge, node or kernel")] = "edge",
    ablation: Annotated[str, typer.Option(help="zero, mean, resample or shuffle")] = "mean",
    images: Annotated[str, typer.Option(help="pictures: a folder, .zip, .tar, or 'bundled'")] = "bundled",
    pictures: Annotated[int, typer.Option(help="pictures to find the circuit on; it is tested on as many others")] = 16,
    networks: Annotated[int, typer.Option(help="untrained networks to hold it against")] = 19,
    check: Annotated[Path | None, typer.Option(help="check this circuit file instead of making one")] = None,
    families: Annotated[
        list[Path] | None,
        typer.Option(help="families.json of `families`, or JSON {layer: {name: [channels]}}; may be given again"),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="folder for JSON, GraphML, DOT, SVG and PNG")] = None,
    store: Annotated[Path | None, typer.Option(help="a folder that observe made: draw its optimised pictures")] = None,
    weights: Weights = None,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Find the circuit behind a unit, measure each edge, and hold it against controls; or check a circuit's file."""
    from micrographia.circuits.controls import Plan
    from micrographia.jobs.choose import open_network
    from micrographia.jobs.graph import check as check_file
    from micrographia.jobs.graph import find, write
    from micrographia.jobs.portraits import opened
    from micrographia.publish.atomic import usable

    network = open_network(model, weights)
    if check is not None:
        circuit = check_file(check, network)
        if json:
            return console.document({"valid": True, "target": circuit.target, "edges": len(circuit.edges)})
        return console.say(
            f"{check} is right: {len(circuit.edges)} edges behind {circuit.target}, with the weights of this network."
        )
    if not unit:
        raise BadValue("No unit was named. Give one, such as mixed4a:97, or --check FILE.")
    if method == "magnitude":
        raise BadValue("The method magnitude is a control. Choose attribution, net, weight, snip, force or actgrad.")
    # what can be said to be wrong is said before the work
    if out is not None:
        usable(out)
    opened(store, network)
    plan = Plan(depth, size, method, level, ablation)
    with console.bars(quiet=json) as stages:
        found = find(network, unit, images, plan, pictures, networks, seed, stages, families or ())
        figures = [] if out is None else write(network, found, out, store)
    if json:
        return console.document(found.to_json())
    _edges(found.circuit)
    if found.families is not None:
        console.say("The same between families; an effect is that of all edges that were drawn together:")
        _edges(found.families.circuit)
        reads = [
            (":".join(r.source), ":".join(r.target), f"{r.share:.1%}", _effect(r.effect, r.low, r.high))
            for r in found.families.ribbons()
        ]
        names = ("whole family", "read by", "share of its weights", "lost without it")
        console.table(names, reads, right=("share of its weights",))
    table = [(name, f"{k:.2f}", f"{r:.2f}") for name, k, r in found.verification.table]
    console.table(("ablated to", "circuit kept", "circuit removed"), table, right=("circuit kept", "circuit removed"))
    head = ("size", "faithfulness", "recovered", "largest weights", "random")
    points = [
        (p.size, *(f"{each:.2f}" for each in (p.faithfulness, p.recovered, p.magnitude, p.random)))
        for p in found.verification.curve
    ]
    console.table(head, points, right=head)
    motifs = [
        (layer, each.what, each.n, f"{one.null_means[each.what]:.1f}", f"{each.p:.2g}",
         "" if each.corrected is None else f"{each.corrected:.2g}")
        for layer, one in found.motifs.items() for each in one.findings
    ]  # fmt: skip
    counted = ("motif at", "what", "count", "null's mean", "p", "corrected p")
    if motifs:
        console.table(counted, motifs, right=counted[2:])
    for line in found.words:
        console.say(line)
    for figure in figures:
        console.say(f"Open {figure}")
    return None


def _edges(circuit: Circuit) -> None:
    rows = [
        (e.source, e.target, f"{e.weight:+.3g}", f"{e.attribution:+.3g}",
         "" if e.effect is None else _effect(e.effect.value, e.effect.low, e.effect.high))
        for node in reversed(circuit.nodes) for e in circuit.into(node.id)
    ]  # fmt: skip
    console.table(("from", "to", "weight", "attribution", "lost without it"), rows, right=("weight", "attribution"))


def _effect(value: float, low: float, high: float) -> str:
    return f"{value:+.3g} ({low:+.2g} to {high:+.2g})"
