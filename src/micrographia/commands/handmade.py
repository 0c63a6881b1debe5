"""`micrographia handmade`: curve detectors written by hand, alone or in the place of a network's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from micrographia import console
from micrographia.commands.options import Json, Seed, Weights
from micrographia.errors import BadValue


def handmade(
    model: Annotated[str | None, typer.Argument(help="the network to implant them into; none: draw them")] = None,
    units: Annotated[
        str, typer.Option(help="the network's own curves, LAYER:A@DEG,B@DEG,...; a direction left out is measured")
    ] = "",
    images: Annotated[str, typer.Option(help="folder, .zip or .tar of pictures of the network's classes")] = "",
    pictures: Annotated[int, typer.Option(help="how many of them test the network")] = 200,
    fit: Annotated[int, typer.Option(help="how many others give the new units' scale and offset")] = 50,
    weights: Weights = None,
    out: Annotated[Path | None, typer.Option(help="folder for figures and all numbers")] = None,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Draw a curve network written by hand, or put it into the place of a network's own curve units."""
    from micrographia.jobs.handmade import handmade as draw
    from micrographia.jobs.handmade import implanted, write_handmade, write_implanted

    if model is None and (units or images or weights):
        raise BadValue("Units, pictures and weights are of a network to implant into. Name it first: handmade MODEL.")
    if model is None:
        with console.bars(quiet=json) as stages:
            result = draw(stages)
        figures = [] if out is None else write_handmade(result, out)
        return console.document(result.to_json()) if json else _tuning(result, figures, out)
    if not units or not images:
        raise BadValue("An implant needs the units it replaces and pictures to test it on. Give --units and --images.")
    from micrographia.jobs.choose import open_network

    graph = open_network(model, weights)
    with console.bars(quiet=json) as stages:
        found = implanted(graph, units, images, pictures, fit, seed, stages)
    figures = [] if out is None else write_implanted(found, out)
    return console.document(found.to_json()) if json else _outcome(found, figures, out)


def _tuning(result: Any, figures: list[Path], out: Path | None) -> None:
    found = result.families["curves"]
    rows = [
        (f"curves:{unit}", f"{found.preferred[unit]:.0f}°", f"{found.width[unit]:.0f}°", f"{found.echo[unit]:.2f}")
        for unit in result.units
    ]
    console.table(("unit", "preferred", "width", "echo"), rows, right=("preferred", "width", "echo"))
    _pointed(figures, out)


def _outcome(found: Any, figures: list[Path], out: Path | None) -> None:
    outcome = found.outcome
    rows = [
        (str(unit), f"{direction:.0f}°", f"{correlation:.2f}")
        for unit, direction, correlation in zip(outcome.units, outcome.directions, outcome.correlation, strict=True)
    ]
    console.table(("unit", "direction", "r with the handwritten"), rows, right=("direction", "r with the handwritten"))
    networks = []
    for each in outcome.conditions:
        shares = [f"{each.means['top1']:.1%}", f"{each.means['top5']:.1%}", f"{each.means['loss']:.3f}"]
        changes = [_points(each.change["top1"]), _points(each.change["top5"]), _interval(each.change["loss"])]
        networks.append([each.name, *shares, *(["-"] * 3 if each.name == "intact" else changes)])
    shown = ("first, points", "first five, points", "loss")
    head = ("network", "first", "first five", "loss", *(f"{each} from intact" for each in shown))
    console.table(head, networks, right=head[1:])
    against = [
        (one, other, _points(change["top1"]), _points(change["top5"]), _interval(change["loss"]))
        for one, other, change in outcome.against
    ]
    console.table(("network", "against", *shown), against, right=shown)
    console.say(
        f"{outcome.pictures} pictures, gains fitted on {outcome.fitted_on} others; intervals of 95 %, paired. "
        f"Share of the units' own maps kept: {outcome.kept:.2f}."
    )
    _pointed(figures, out)


def _points(found: Any) -> str:
    p = "" if found.p is None else f", p {found.p:.2g}"
    return f"{100 * found.change:+.1f} ({100 * found.low:+.1f} to {100 * found.high:+.1f}{p})"


def _interval(found: Any) -> str:
    return f"{found.change:+.4f} ({found.low:+.4f} to {found.high:+.4f})"


def _pointed(figures: list[Path], out: Path | None) -> None:
    if figures:
        console.say(f"Look at {', '.join(path.name for path in figures)} in {out}")
