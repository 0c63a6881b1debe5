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
    head = ("detector", "planted", "number", "recall", "precision", "false alarms")
    table = [
        (row.detector, row.network, row.planted, f"{row.recall:.2f}", f"{row.precision:.2f}",
         "" if row.false_alarms is None else f"{row.false_alarms} of {row.nulls}")
        for row in rows
    ]  # fmt: skip
    return console.table(head, table, right=("number", "recall", "precision"))
