"""`micrographia banding`: are kernels banded, and in which direction?"""

from __future__ import annotations

from micrographia import console
from micrographia.commands.options import Json, Model, Seed, Weights


def banding(model: Model, weights: Weights = None, seed: Seed = 0, json: Json = False) -> None:
    """Show for each convolution how much more its kernels change along rows than along columns, with its null."""
    from micrographia.jobs.banding import banding as measure
    from micrographia.jobs.choose import open_network

    found = measure(open_network(model, weights), seed)
    if json:
        return console.document([each.to_json() for each in found])
    head = ("finding", "effect", "held against", "p", "corrected p", "units")
    rows = [
        (each.what, f"{each.effect:+.3f}", each.null, f"{each.p:.2g}", f"{each.corrected:.2g}", each.n)
        for each in found
    ]
    console.table(head, rows, right=("effect", "p", "corrected p", "units"))
    bands = [each.what.removeprefix("banding of ") for each in found if each.holds() and each.effect > 0]
    return console.say(f"Horizontal bands: {', '.join(bands)}." if bands else "No horizontal bands beyond chance.")
