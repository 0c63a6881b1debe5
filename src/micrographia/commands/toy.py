"""`micrographia toy`: toy models of superposition, experiment by experiment."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from micrographia import console
from micrographia.commands.options import Device, Json, Seed, Weights
from micrographia.errors import BadValue


def toy(
    experiment: Annotated[str, typer.Argument(help="intro, phase, geometry, ..., real; or all")],
    quick: Annotated[bool, typer.Option("--quick", help="fewer and shorter runs")] = False,
    out: Annotated[
        Path | None, typer.Option(help="folder for the page, figures and numbers; finished experiments are kept")
    ] = None,
    features: Annotated[int | None, typer.Option(help="n, the number of features")] = None,
    hidden: Annotated[int | None, typer.Option(help="m, the number of hidden units")] = None,
    sparsity: Annotated[str | None, typer.Option(help="S, the chance of zero: numbers with commas")] = None,
    importance: Annotated[str | None, typer.Option(help="one number for each feature, with commas")] = None,
    instances: Annotated[int | None, typer.Option(help="how many models a sweep trains")] = None,
    restarts: Annotated[int | None, typer.Option(help="how many models compete for each point")] = None,
    steps: Annotated[int | None, typer.Option(help="steps of training")] = None,
    batch: Annotated[int | None, typer.Option(help="samples of a step")] = None,
    model: Annotated[
        str | None, typer.Option(help="of real: a network as other commands take it; mini-inception if not given")
    ] = None,
    weights: Weights = None,
    images: Annotated[
        str | None, typer.Option(help="of real: a folder or archive of pictures; the bundled ones if not given")
    ] = None,
    layers: Annotated[str | None, typer.Option(help="of real: layers with commas, or first..last; else all")] = None,
    pictures: Annotated[int | None, typer.Option(help="of real: how many pictures are read, at most")] = None,
    seed: Seed = 0,
    device: Device = "cpu",
    json: Json = False,
) -> None:
    """Run toy models of superposition and hold them against theory and the paper."""
    from micrographia.jobs.toy import run

    options: dict[str, Any] = {
        "features": features, "hidden": hidden, "instances": instances, "restarts": restarts, "steps": steps,
        "batch": batch, "density": _density(sparsity), "importance": _numbers("importance", importance),
        "model": model, "weights": weights, "images": images, "layers": layers, "pictures": pictures,
    }  # fmt: skip
    if out is None and experiment == "all":
        out = Path("toy-report")
    done = run(experiment, quick, seed, out, {k: v for k, v in options.items() if v is not None}, console.note, device)
    if json:
        documents = [each.document for each in done]
        return console.document(documents if experiment == "all" else documents[0])
    for each in done:
        console.say(f"{each.document['title']} ({each.name})")
        rows = [
            (row["what"], row["expected"], row["measured"], "yes" if row["agrees"] else "no", row["source"])
            for row in each.checks
        ]
        if rows:
            console.table(("what", "expected", "measured", "agrees", "source"), rows)
        console.say("")
    agree = sum(row["agrees"] for each in done for row in each.checks)
    console.say(f"{agree} of {sum(len(each.checks) for each in done)} agree.")
    return None if out is None else console.say(f"Open {out / 'index.html'}")


def _numbers(name: str, text: str | None) -> list[float] | None:
    if text is None:
        return None
    try:
        return [float(each) for each in text.split(",")]
    except ValueError:
        raise BadValue(
            f"--{name} '{text}' is not a list of numbers. Give numbers with commas, such as 0.9,0.5."
        ) from None


def _density(sparsity: str | None) -> list[float] | None:
    given = _numbers("sparsity", sparsity)
    for each in given or []:
        if not 0 <= each < 1:
            raise BadValue(
                f"A sparsity of {each:g} is not possible. It is the chance that a feature is zero: from 0 to below 1."
            )
    return given and [round(1 - each, 12) for each in given]
