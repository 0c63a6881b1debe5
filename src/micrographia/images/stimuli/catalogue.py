"""catalogue(field): every family of stimuli by name, with parameters that suit a field of so many px."""

from __future__ import annotations

from collections.abc import Callable

from micrographia.errors import BadValue, suggest
from micrographia.images.stimuli.colours import ColourEdges, ColourSpots, TintedTextures, Tints
from micrographia.images.stimuli.frame import Family
from micrographia.images.stimuli.shapes import Corners, Curves, Edges, Gradients, Lines, Spots
from micrographia.images.stimuli.waves import FINEST, Gratings, HighLow, Textures, frequencies

Number = float | int


def _high_low(field: Number) -> HighLow:
    """As published: 2.65 cycles in a field, divided and multiplied by up to 3, where px can still show that."""
    middle = min(2.65 / field, FINEST / 2)
    most = min(9.0, (FINEST / middle) ** 2)
    return HighLow(ratios=tuple(most ** (step / 3) for step in range(4)), middle=middle)


STANDARD: dict[str, Callable[[Number], Family]] = {
    "curves": lambda field: Curves(),
    "corners": lambda field: Corners(),
    "lines": lambda field: Lines(),
    "edges": lambda field: Edges(),
    "gradients": lambda field: Gradients(),
    "gratings": lambda field: Gratings(frequency=frequencies(field)),
    "textures": lambda field: Textures(frequency=frequencies(field)),
    "high-low": _high_low,
    "spots": lambda field: Spots(),
    "colour-edges": lambda field: ColourEdges(),
    "colour-spots": lambda field: ColourSpots(),
    "tints": lambda field: Tints(),
    "tinted-textures": lambda field: TintedTextures(frequency=frequencies(field, 3, 2)),
}
"""Family by name, for a field in px. Natural crops need pictures: see `crops.Crops`."""


def catalogue(field: Number, names: str = "all", coloured: bool = True) -> dict[str, Family]:
    """The families named (with commas, or all), those in colour only where the network can see it.

    Raises BadValue for names that are not known and for colour that cannot be seen.

    >>> list(catalogue(91, "curves,lines"))
    ['curves', 'lines']
    """
    if names == "all":
        made = {name: make(field) for name, make in STANDARD.items()}
        return {name: family for name, family in made.items() if coloured or not family.coloured}
    chosen = {}
    for name in (each.strip() for each in names.split(",")):
        if name not in STANDARD:
            raise BadValue(f"There are no stimuli '{name}'. Near it: {suggest(name, STANDARD)}; all: {_all()}.")
        chosen[name] = STANDARD[name](field)
        if chosen[name].coloured and not coloured:
            grey = ", ".join(name for name in catalogue(field, coloured=False))
            raise BadValue(f"The network sees one channel, which has no hue for '{name}'. Without colour: {grey}.")
    return chosen


def _all() -> str:
    return ", ".join(STANDARD)
