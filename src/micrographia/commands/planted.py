"""`micrographia planted`: the detectors of this package on networks whose answer is known."""

from __future__ import annotations

from typing import Annotated

import typer

from micrographia import console
from micrographia.commands.options import Json, Seed


def planted(
    nulls: Annotated[int, typer.Option(help="null networks for the false alarms; 0 leaves them out")] = 20,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Measure every detector on planted networks: recall, precision, and false alarms on random ones."""
    from micrographia.jobs.planted import benchmark

    with console.bars(quiet=json) as stages:
        rows = benchmark(nulls, seed, stages)
    if json:
        return console.document([row.to_json() for row in rows])
    head = ("detector", "planted", "signal", "number", "recall", "precision", "false alarms")
    table = [
        (row.detector, row.network, "" if row.signal is None else f"{row.signal:g}", row.planted, f"{row.recall:.2f}",
         "" if row.precision is None else f"{row.precision:.2f}",
         f"{row.false_alarms} of {row.nulls}" if row.nulls else "")
        for row in rows
    ]  # fmt: skip
    return console.table(head, table, right=("signal", "number", "recall", "precision"))
