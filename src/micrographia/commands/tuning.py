"""`micrographia tuning`: what a unit, or a layer, answers to stimuli of known parameters."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from micrographia import console
from micrographia.commands.options import Json, Model, Seed, Weights


def tuning(
    model: Model,
    units: Annotated[str, typer.Argument(help="a unit like mixed3b:379, some like mixed3b:0-31, or a layer")],
    stimuli: Annotated[str, typer.Option(help="families of stimuli, with commas, or all")] = "all",
    size: Annotated[str, typer.Option(help="width of the stimuli: receptive fields, like 0.7, or px, like 60px")] = "1",
    images: Annotated[str, typer.Option(help="pictures for the scale: a folder, an archive, or bundled")] = "bundled",
    pictures: Annotated[int, typer.Option(min=0, help="how many of them")] = 64,
    over_map: Annotated[bool, typer.Option(help="the largest answer nearby, not the middle cell's")] = False,
    weights: Weights = None,
    out: Annotated[Path | None, typer.Option(help="folder for figures and all numbers")] = None,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Show what units are tuned to: curves, lines, gratings, pairs of frequencies, colours, ..."""
    from micrographia.jobs.choose import open_network
    from micrographia.jobs.tuning import tuning as find
    from micrographia.jobs.tuning import write_tuning

    graph = open_network(model, weights)
    with console.bars(json) as stages:
        result = find(graph, units, stimuli, size, images, pictures, over_map, seed=seed, stages=stages)
    figures = [] if out is None else write_tuning(result, out)
    for line in result.notes:
        console.note(line)
    if json:
        return console.document(result.to_json())
    one = len(result.units) == 1
    rows = []
    for name in result.families:
        rows += [_row(result, name, unit) for unit in result.strongest(name, 6)]
        if not one and not result.strongest(name, 6):
            console.say(f"No unit is tuned to {name}.")
    head = ("stimuli", "unit", "share", "preferred", "width", "echo", "3 harmonics", "sd", "strength", "corrected p")
    console.table(head, rows, right=head[2:])
    return console.say(f"Look at {', '.join(path.name for path in figures)} in {out}") if figures else None


def _row(result: Any, family: str, unit: int) -> tuple[str, ...]:
    found = result.families[family]
    last = found.axes[-1]
    degrees = "°" if last.unit == "degrees" else f" {last.unit}"
    held = found.harmonics[unit].sum()
    deviations = result.deviations(family, unit)
    return (
        family,
        f"{result.layer}:{unit}",
        f"{result.share(family)[unit]:.0%}",
        f"{found.preferred[unit]:.3g}{degrees}",
        f"{found.width[unit]:.3g}{degrees}",
        _or_dash(found.echo[unit], ".2f"),
        _or_dash(held, ".0%"),
        "-" if deviations is None else f"{deviations:+.1f}",
        _or_dash(found.strength[unit], ".2f"),
        _or_dash(found.corrected[unit], ".2g"),
    )


def _or_dash(value: float, form: str) -> str:
    return "-" if value != value else format(value, form)
