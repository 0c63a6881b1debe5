"""What an experiment was expected to show, what it showed, and whether the two agree."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Check:
    """One expectation held against one measurement; `source` tells whose expectation it is.

    >>> Check("sides of the figure", "5", "5", True, "section 1").to_json()["agrees"]
    True
    """

    what: str
    expected: str
    measured: str
    agrees: bool
    source: str

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "what": self.what, "expected": self.expected, "measured": self.measured, "agrees": self.agrees,
            "source": self.source,
        }  # fmt: skip
