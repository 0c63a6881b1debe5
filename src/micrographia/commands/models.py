"""`micrographia models`: which networks there are."""

from __future__ import annotations

from micrographia import console
from micrographia.commands.options import Json


def models(json: Json = False) -> None:
    """List the networks that are known by name."""
    from dataclasses import asdict

    from micrographia.zoo.registry import models as known

    entries = known()
    if json:
        return console.document([asdict(entry) for entry in entries])
    rows = [(e.name, e.description, "ready" if e.at_hand else "to fetch", e.licence) for e in entries]
    console.table(("name", "what", "weights", "licence"), rows)
    console.say("\nOr torchvision:NAME, timm:NAME, or FILE.py:factory for a network of your own.")
    return None
