"""`micrographia train`: the bundled networks' recipe, on any pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from micrographia import console
from micrographia.commands.options import Device, Json, Seed


def train(
    model: Annotated[str, typer.Argument(help="mini-alexnet, mini-inception, mini-vgg or mini-resnetv2")],
    images: Annotated[str, typer.Option(help="training pictures in one folder per class; folder, .zip or .tar")],
    validation: Annotated[str, typer.Option(help="pictures to measure the accuracy on, of the same classes")],
    out: Annotated[Path, typer.Option(help="folder of the checkpoint and of the finished weights")] = Path("runs"),
    start: Annotated[Path | None, typer.Option(help="weights to begin with; default: random ones")] = None,
    epochs: Annotated[int, typer.Option(min=1, help="passes over the pictures")] = 60,
    rate: Annotated[float, typer.Option(min=1e-6, max=10, help="the highest learning rate")] = 0.15,
    seed: Seed = 0,
    device: Device = "cpu",
    json: Json = False,
) -> None:
    """Train one of the bundled architectures. A run that was killed resumes from its checkpoint."""
    from micrographia.images.source import open_source
    from micrographia.zoo.recipe import Recipe
    from micrographia.zoo.registry import load
    from micrographia.zoo.train import train_network
    from micrographia.zoo.weights import save_bundled

    recipe = Recipe(epochs=epochs, learning_rate=rate, seed=seed)
    first = None if start is None else load(model, start)
    with console.bars() as stages:
        advance = stages("epochs", epochs)

        def report(line: dict) -> None:
            advance(1)
            console.note("  ".join(f"{key} {value}" for key, value in line.items()))

        sources = open_source(images), open_source(validation)
        network, card = train_network(model, *sources, recipe, out, device, report, first)
    path = out / f"{model}.safetensors"
    save_bundled(path, network, card)
    if json:
        return console.document({"weights": str(path), **card.training})
    return console.say(f"{card.training['accuracy']:.1%} of {card.training['validation']} right. Weights: {path}")
