"""`micrographia vis`: the picture that excites a unit most."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from micrographia import console
from micrographia.commands.options import Device, Json, Model, Seed, Weights
from micrographia.errors import BadValue


def vis(
    model: Model,
    units: Annotated[
        list[str] | None, typer.Argument(help="like mixed3b:379, mixed3b:0-31, mixed3b, mixed3b:379@4,4")
    ] = None,
    quality: Annotated[str, typer.Option(help="how long to climb: thumbnail, standard or fine")] = "standard",
    objective: Annotated[str, typer.Option(help="neuron (one cell) or channel (the mean of its map)")] = "neuron",
    images: Annotated[str, typer.Option(help="pictures to hold them against: a folder, .zip or .tar, bundled")] = "",
    store: Annotated[Path | None, typer.Option(help="a folder that observe made of these pictures")] = None,
    seeds: Annotated[int, typer.Option(help="2 or more: make each that many times, to see whether they agree")] = 1,
    picture: Annotated[Path | None, typer.Option(help="a picture instead of units, with one of these three")] = None,
    grid: Annotated[str, typer.Option(help="a layer: what each of its cells sees in the picture")] = "",
    invert: Annotated[str, typer.Option(help="a layer: what it has kept of the picture")] = "",
    caricature: Annotated[str, typer.Option(help="a layer: what it sees in the picture, exaggerated")] = "",
    out: Annotated[Path | None, typer.Option(help="the folder; default: vis/MODEL")] = None,
    weights: Weights = None,
    seed: Seed = 0,
    device: Device = "cpu",
    precision: Annotated[str, typer.Option(help="auto, float32, bfloat16 or float64")] = "auto",
    json: Json = False,
) -> None:
    """Optimise a picture for each unit: PNG files that hold how they were made, and a contact sheet."""
    from micrographia.jobs.beside import Beside
    from micrographia.jobs.choose import open_network
    from micrographia.jobs.likeness import inspect_picture
    from micrographia.jobs.visualize import Visualization, named_units, visualize

    graph = open_network(model, weights)
    for line in graph.notes:
        console.note(line)
    asked = {way: layer for way, layer in (("grid", grid), ("invert", invert), ("caricature", caricature)) if layer}
    if picture is not None or asked:
        if picture is None or units or len(asked) != 1:
            raise BadValue(
                f"There are {len(asked)} ways and {len(units or ())} units to look at {picture or 'no picture'}. "
                "Give --picture FILE with one of --grid, --invert and --caricature LAYER, and no units."
            )
        ((way, layer),) = asked.items()
        made = inspect_picture(graph, picture, way, layer, out or Path("vis") / graph.card.name, quality, seed, device)
        return console.document(made.to_json()) if json else console.say(f"Open {made.file}")
    chosen = named_units(graph, units or [])
    wanted, beside = Visualization(quality, objective, seed, device, precision), Beside(images, store, seeds)
    with console.bars() as stages:
        done = visualize(graph, chosen, wanted, out or Path("vis") / graph.card.name, stages, beside)
    if json:
        return console.document(done.to_json())
    shown = {name: cell for name, cell in COLUMNS.items() if any(cell(each) for each in done.records)}
    rows = [[cell(each) for cell in shown.values()] for each in done.records]
    console.table(tuple(shown), rows, right=tuple(name for name in shown if name not in ("unit", "dead", "file")))
    return console.say(f"Open {done.sheet}")


def _cell(record: dict[str, Any], *names: str, form: str = ".4g") -> str:
    """A number of a record in short, nothing where it is not there."""
    value: Any = record
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return "" if value is None else format(value, form)


def _path(record: dict[str, Any]) -> str:
    layers = record.get("path", {}).get("layers", [])
    mean = {name: sum(each[name] for each in layers) / len(layers) for name in ("own", "others")} if layers else {}
    return f"{mean['own']:.2f} to {mean['others']:.2f}" if mean else ""


COLUMNS: dict[str, Callable[[dict[str, Any]], str]] = {
    "unit": lambda each: each["unit"],
    "reached": lambda each: _cell(each, "reached"),
    "on grey": lambda each: _cell(each, "numbers", "flat"),
    "best picture": lambda each: _cell(each, "pictures", "greatest"),
    "above": lambda each: _cell(each, "pictures", "above", form=".2%"),
    "keeps": lambda each: f"{min(each['held_out'].values()):.0%}" if each.get("held_out") else "",
    "fine": lambda each: "" if each["dead"] else _cell(each, "numbers", "grain", form=".0%"),
    "burnt": lambda each: "" if each["dead"] else _cell(each, "numbers", "saturated", form=".0%"),
    "seeds alike": lambda each: _cell(each, "seeds", "alike", form=".2f"),
    "path": _path,
    "p": lambda each: _cell(each, "path", "corrected_p", form=".2g"),
    "dead": lambda each: "dead" if each["dead"] else "",
    "steps": lambda each: str(each["steps"]),
    "file": lambda each: each["file"] or "-",
}
"""The columns of the table; one that would be empty is left out."""
