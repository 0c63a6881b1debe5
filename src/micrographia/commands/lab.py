"""`micrographia lab`: all parts of Lab Three about one unit, as one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from micrographia import console
from micrographia.commands.options import Json, Model, Seed, Weights


def lab(
    model: Model,
    unit: Annotated[str, typer.Argument(help="one unit, like mixed3b:379")],
    images: Annotated[str, typer.Option(help="folder, .zip or .tar with a folder for each class; or 'bundled'")],
    out: Annotated[Path | None, typer.Option(help="the page; default: lab-LAYER-CHANNEL.html")] = None,
    k: Annotated[
        int | None, typer.Option("--k", help="how many inputs; default: 6, or all where there are fewer")
    ] = None,
    inputs: Annotated[
        str, typer.Option(help="direct, expanded, or auto: through a 1x1 bottleneck where there is one")
    ] = "auto",
    pictures: Annotated[int, typer.Option(min=2, help="how many pictures to rank the classes by")] = 400,
    tested: Annotated[int, typer.Option(min=2, help="how many of them to ablate on")] = 48,
    ablate: Annotated[str, typer.Option(help="what an ablated unit becomes: mean, zero, resample or shuffle")] = "mean",
    controls: Annotated[int, typer.Option(min=0, help="random inputs that the ablations are held against")] = 19,
    store: Annotated[Path | None, typer.Option(help="a folder that observe made: take its pictures")] = None,
    quality: Annotated[str, typer.Option(help="of pictures that are made: thumbnail, standard or fine")] = "thumbnail",
    weights: Weights = None,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Write the lab report of a unit: everything measured, with empty boxes for your own words."""
    import torch

    from micrographia.jobs.choose import open_network
    from micrographia.jobs.lab import LabWanted
    from micrographia.jobs.lab import lab as measure
    from micrographia.publish import atomic, urls
    from micrographia.publish.lab import lab_page
    from micrographia.unit import Unit

    graph = open_network(model, weights)
    for line in graph.notes:
        console.note(line)
    paths = [None if each is None else str(each) for each in (weights, store)]
    wanted = LabWanted(
        model, unit, images, paths[0], k, inputs, pictures, tested, ablate, controls, paths[1], quality, seed,
        torch.get_num_threads(),
    )  # fmt: skip
    if out is not None:
        atomic.usable(out.parent)
    with console.bars() as stages:
        found = measure(graph, wanted, stages)
    address = Unit.parse(found.numbers["unit"]["address"])
    page = out or Path(f"lab-{'-'.join(urls.folder(address).parts)}.html")
    atomic.write(page.parent, {page.name: lab_page(found.to_json(), found.pictures).encode()})
    if json:
        return console.document(found.to_json())
    rows = [
        (
            each["what"],
            f"{each['unit']['mean']:+.3g}",
            f"{each['unit']['low']:+.3g} to {each['unit']['high']:+.3g}",
            "-" if each["p"] is None else f"{each['p']:.2g}",
            "-" if each["corrected"] is None else f"{each['corrected']:.2g}",
        )
        for each in found.numbers["ablation"]["effects"]
        if each["unit"] is not None
    ]
    head = ("without", "change of the unit", "95 % interval", "p", "corrected p")
    console.table(head, rows, right=head[1:])
    for line in found.numbers["sentences"]:
        console.say(line)
    return console.say(f"Open {page}")
