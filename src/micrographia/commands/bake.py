"""`micrographia bake`: the pages of a store, written anew."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from micrographia import console
from micrographia.commands.options import Json


def bake(
    store: Annotated[Path, typer.Argument(help="a folder that observe made")],
    out: Annotated[Path | None, typer.Option(help="a copy of the site alone; default: in the store itself")] = None,
    json: Json = False,
) -> None:
    """Write the pages of a store anew."""
    from micrographia.publish.site import bake as bake_site
    from micrographia.publish.store import open_store

    page = bake_site(open_store(store), out)
    return console.document({"page": str(page)}) if json else console.say(f"Open {page}")
