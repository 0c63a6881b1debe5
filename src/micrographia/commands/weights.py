"""`micrographia weights`: expanded weights between two layers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from micrographia import console
from micrographia.commands.options import Json, Model, Weights


def weights(
    model: Model,
    src: Annotated[str, typer.Argument(help="the layer that the weights read")],
    dst: Annotated[str, typer.Argument(help="a later layer")],
    unit: Annotated[str, typer.Argument(help="one unit of DST, like 379; default: the strongest of all")] = "",
    weights: Weights = None,
    keep: Annotated[int, typer.Option(min=1, help="how many kernels to show")] = 18,
    images: Annotated[str, typer.Option(help="pictures to measure the agreement on")] = "bundled",
    pictures: Annotated[int, typer.Option(min=0, help="how many of them; 0: do not measure")] = 8,
    out: Annotated[Path | None, typer.Option(help="folder for the figure, the kernels and all numbers")] = None,
    json: Json = False,
) -> None:
    """Show the strongest expanded weights between two layers, and how far to trust them."""
    from micrographia.jobs.choose import open_network
    from micrographia.jobs.weights import strongest, write_weights

    found = strongest(open_network(model, weights), src, dst, unit, keep, images, pictures)
    figure = None if out is None else write_weights(found, out)
    for line in found.notes:
        console.note(line)
    if json:
        return console.document(found.to_json())
    rows = [
        (
            each["target"],
            each["source"],
            f"{each['norm']:.4g}",
            f"{each['share']:.1%}",
            f"{each['positive']:.3g}",
            f"{each['negative']:.3g}",
            each["sign"],
            "-" if each["agreement"] is None else f"{each['agreement']:.2f}",
            "-" if each["pair_agreement"] is None else f"{each['pair_agreement']:.2f}",
        )
        for each in found.links
    ]
    head = ("unit", "reads", "norm", "share", "positive", "negative", "sign", "agreement", "of this pair")
    console.table(head, rows, right=tuple(set(head) - {"unit", "reads", "sign"}))
    return None if figure is None else console.say(f"Open {figure}")
