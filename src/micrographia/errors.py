"""The errors a user can cause. The first sentence says what happened, the second what would work."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class MicrographiaError(Exception):
    """Something the user can put right; the command line prints its text and exits with 2."""


class BadAddress(MicrographiaError):
    """A unit's address that cannot be read, or that names no layer or channel of this network."""


class BadModel(MicrographiaError):
    """A network that is not known, or that cannot be loaded."""


class CannotTrace(MicrographiaError):
    """A network whose forward pass cannot be written down as a fixed graph."""


class BadWeights(MicrographiaError):
    """A weights file that is damaged, unsafe, or of another architecture."""


class BadImages(MicrographiaError):
    """An image source that is missing, empty or unreadable."""


class BadStore(MicrographiaError):
    """A folder that cannot take, or does not hold, this network's store."""


class BadValue(MicrographiaError):
    """An argument outside the range that works."""


def suggest(name: str, known: Iterable[str], count: int = 3) -> str:
    """The known names nearest to `name`, ready for the second sentence of an error.

    >>> suggest("mixed3", ["conv2d0", "mixed3a", "mixed3b"])
    'mixed3b, mixed3a'
    """
    known = list(known)
    folded = {each.lower(): each for each in known}
    near = [folded[each] for each in difflib.get_close_matches(name.lower(), folded, count, 0.5)]
    return ", ".join(near or known[:count])
