"""`micrographia train`: the bundled networks' recipe, on any pictures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from micrographia import console
from micrographia.commands.options import Device, Json, Seed
from micrographia.errors import BadValue


def train(
    model: Annotated[str, typer.Argument(help="mini-alexnet, mini-inception, mini-vgg or mini-resnetv2")],
    images: Annotated[str, typer.Option(help="training pictures in one folder per class; folder, .zip or .tar")],
    validation: Annotated[str, typer.Option(help="pictures to measure the accuracy on, of the same classes")],
    out: Annotated[Path, typer.Option(help="folder of the checkpoint and of the finished weights")] = Path("runs"),
    start: Annotated[Path | None, typer.Option(help="weights to begin with; default: random ones")] = None,
    finish: Annotated[
        bool,
        typer.Option(help="a last, short cycle from --start on pictures of the network's own size, less disturbed"),
    ] = False,
    average: Annotated[bool, typer.Option(help="end in the mean of the weights after every cycle")] = False,
    teacher: Annotated[list[str] | None, typer.Option(help="a network to learn from as well; may be repeated")] = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="passes over the pictures; 60, 25 with --start, 10 with --finish")
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option(min=1e-6, max=10, help="the highest learning rate; 0.15, 0.05 with --start, 0.02 with --finish"),
    ] = None,
    seed: Seed = 0,
    device: Device = "cpu",
    json: Json = False,
) -> None:
    """Train one of the bundled architectures. A run that was killed resumes from its checkpoint."""
    from micrographia.images.source import open_source
    from micrographia.zoo.recipe import AGAIN, FINISH, Recipe
    from micrographia.zoo.registry import load
    from micrographia.zoo.train import train_network
    from micrographia.zoo.weights import save_bundled

    if finish and start is None:
        raise BadValue("There is nothing to finish. Give the weights of the cycle before: --start FILE.")
    usual = FINISH if finish else Recipe() if start is None else AGAIN
    recipe = replace(usual, epochs=epochs or usual.epochs, learning_rate=rate or usual.learning_rate, seed=seed)
    first = None if start is None else load(model, start)
    with console.bars() as stages:
        advance = stages("epochs", recipe.epochs)

        def report(line: dict) -> None:
            advance(1)
            console.note("  ".join(f"{key} {value}" for key, value in line.items()))

        sources = open_source(images), open_source(validation)
        teachers = [load(name) for name in teacher or []]
        network, card = train_network(model, *sources, recipe, out, device, report, first, teachers, average)
    path = out / f"{model}.safetensors"
    save_bundled(path, network, card)
    if json:
        return console.document({"weights": str(path), **card.training})
    return console.say(f"{card.training['accuracy']:.1%} of {card.training['validation']} right. Weights: {path}")
