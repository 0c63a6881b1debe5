"""`micrographia rerun`: a lab report computed again and compared."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from micrographia import console
from micrographia.commands.options import Json


def rerun(
    file: Annotated[Path, typer.Argument(help="a page that lab wrote")],
    weights: Annotated[Path | None, typer.Option(help="where its weights are now")] = None,
    images: Annotated[str | None, typer.Option(help="where its pictures are now")] = None,
    store: Annotated[Path | None, typer.Option(help="where its store is now")] = None,
    json: Json = False,
) -> None:
    """Compute a lab report again and compare every number; exit code 1 where one differs."""
    from micrographia.jobs.rerun import rerun as again

    places = [None if each is None else str(each) for each in (weights, store)]
    with console.bars() as stages:
        found = again(file, places[0], images, places[1], stages)
    if json:
        console.document(found.to_json())
    elif found.difference is None:
        console.say(f"The same: all {found.compared:,} numbers and words of {file} were reproduced exactly.")
    else:
        where, then, now = found.difference
        console.say(f"Different: {where} was {then!r} and is now {now!r}.")
    if not found.same:
        raise typer.Exit(1)
