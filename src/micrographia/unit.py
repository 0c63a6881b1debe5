"""The address language: `mixed3b:379` is a unit, `mixed3b:379@4,4` one position of it, `mixed3b:0-31` many units.

An address is a layer's name, a colon and a channel, counted from 0. It is the same in the API, on the command line,
in the store's folders and in the site's links.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from micrographia.errors import BadAddress, suggest

_LAYER = re.compile(r"[^:@\s]+")
_NUMBER = "[0-9]{1,9}"
_UNIT = re.compile(rf"(?P<layer>{_LAYER.pattern}):(?P<channel>{_NUMBER})(?:@(?P<row>{_NUMBER}),(?P<column>{_NUMBER}))?")
_SPAN = re.compile(rf"({_NUMBER})(?:-({_NUMBER}))?")


@dataclass(frozen=True)
class Unit:
    """One channel of a layer, or one (row, column) position of it; raises BadAddress for a negative number.

    Units sort by layer, channel and position, a whole channel before its positions.

    >>> Unit.parse("mixed3b:379@4,4")
    Unit(layer='mixed3b', channel=379, position=(4, 4))
    """

    layer: str
    channel: int
    position: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if _UNIT.fullmatch(str(self)) is None:
            raise BadAddress(
                f"'{self}' cannot be the address of a unit. A layer's name has no ':', '@' or space in it, and "
                "channels, rows and columns are counted from 0."
            )

    def __lt__(self, other: Any) -> bool:
        if not isinstance(other, Unit):
            return NotImplemented
        mine, theirs = ((each.layer, each.channel, each.position or ()) for each in (self, other))
        return mine < theirs

    def __str__(self) -> str:
        place = "" if self.position is None else "@{},{}".format(*self.position)
        return f"{self.layer}:{self.channel}{place}"

    @staticmethod
    def parse(text: str) -> Unit:
        """Read an address; raises BadAddress where it is malformed. `Unit.parse(str(unit)) == unit`."""
        match = _UNIT.fullmatch(text)
        if match is None:
            raise BadAddress(
                f"'{text}' is not the address of a unit. Write layer:channel or layer:channel@row,column, "
                "for example mixed3b:379 or mixed3b:379@4,4."
            )
        position = None if match["row"] is None else (int(match["row"]), int(match["column"]))
        return Unit(match["layer"], int(match["channel"]), position)


@dataclass(frozen=True)
class UnitRange:
    """Channels of one layer: spans of (first, last), both counted in; no spans means all of them.

    >>> str(UnitRange.parse("mixed3b:0-31,40"))
    'mixed3b:0-31,40'
    >>> str(UnitRange.parse("mixed3b_5x5:*"))
    'mixed3b_5x5:*'
    """

    layer: str
    spans: tuple[tuple[int, int], ...] = ()

    def __str__(self) -> str:
        spans = ",".join(str(a) if a == b else f"{a}-{b}" for a, b in self.spans)
        return f"{self.layer}:{spans or '*'}"

    @staticmethod
    def parse(text: str) -> UnitRange:
        """Read `layer`, `layer:*`, `layer:7`, `layer:0-31` or `layer:0-31,40`; raises BadAddress."""
        layer, colon, channels = text.partition(":")
        if _LAYER.fullmatch(layer) is None or (colon and not channels):
            raise BadAddress(_range_help(text))
        if channels in ("", "*"):
            return UnitRange(layer)
        spans = []
        for part in channels.split(","):
            match = _SPAN.fullmatch(part)
            if match is None:
                raise BadAddress(_range_help(text))
            first = int(match[1])
            last = first if match[2] is None else int(match[2])
            if last < first:
                raise BadAddress(f"'{text}' runs backwards. Write the smaller channel first: {last}-{first}.")
            spans.append((first, last))
        return UnitRange(layer, tuple(spans))

    def units(self, channels: int) -> list[Unit]:
        """The units meant in a layer of so many channels, ascending, each once; raises BadAddress out of range."""
        spans = self.spans or ((0, channels - 1),)
        for first, last in spans:
            if last >= channels:
                wrong = first if first >= channels else last
                raise BadAddress(
                    f"{self.layer} has no unit {wrong}. Its {channels} units are {self.layer}:0 to "
                    f"{self.layer}:{channels - 1}."
                )
        chosen = {channel for first, last in spans for channel in range(first, last + 1)}
        return [Unit(self.layer, channel) for channel in sorted(chosen)]


def _range_help(text: str) -> str:
    return f"'{text}' does not name units. Write layer:channel, layer:first-last or layer:*, for example mixed3b:0-31."


def unknown_layer(name: str, known: list[str]) -> BadAddress:
    """The error for a layer that the network does not have, with the nearest names."""
    return BadAddress(f"There is no layer '{name}'. Near it: {suggest(name, known)}; all of them: micrographia layers.")
