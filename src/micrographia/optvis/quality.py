"""Quality presets: how many steps, how large a picture, how long to wait for a plateau."""

from __future__ import annotations

from dataclasses import dataclass, replace

from micrographia.errors import BadValue, suggest

WIDE = 64  # px


@dataclass(frozen=True)
class Quality:
    """Settings of an ascent.

    `share` is the largest part of the card's picture that is optimised, `rate` the step of Adam, which falls to zero
    over the last `settle` steps; an image whose objective has grown by less than `plateau` (a share of its value)
    from one window of `window` steps to the next goes on to these last steps. What a unit sees below `WIDE` px costs
    little and has more to gain: steps grow with one over its side, to `longer` times as many. `moves` is the share of
    the default transforms' ranges, `decay` that of the default spectrum: few steps get further with little movement.
    """

    name: str
    steps: int
    rate: float
    settle: int
    share: float = 1.0
    plateau: float = 0.01
    window: int = 32
    longer: float = 1.0
    moves: float = 1.0
    decay: float = 1.25

    def __post_init__(self) -> None:
        if self.steps < 1 or not 0 <= self.settle <= self.steps or self.rate <= 0 or not 0 < self.share <= 1:
            raise BadValue(
                f"steps={self.steps}, settle={self.settle}, rate={self.rate}, share={self.share} make no ascent. "
                "Take at least 1 step, settle within the steps, a rate above 0 and a share between 0 and 1."
            )

    def seeing(self, px: int) -> Quality:
        """The settings for a unit that sees so many px, of its longer side.

        >>> QUALITIES["thumbnail"].seeing(32).steps
        40
        """
        factor = min(max(WIDE / px, 1.0), max(self.longer, 1.0))
        return replace(self, steps=round(self.steps * factor), settle=round(self.settle * factor), longer=1.0)


QUALITIES = {
    quality.name: quality
    for quality in (
        Quality("thumbnail", steps=20, rate=0.15, settle=10, share=4 / 7, longer=3.0, moves=0.25, decay=1.2),
        Quality("standard", steps=160, rate=0.08, settle=48),
        Quality("fine", steps=512, rate=0.05, settle=128),
    )
}


def quality_of(name: str | Quality) -> Quality:
    """A preset by name, or the settings themselves; raises BadValue for an unknown name.

    >>> quality_of("thumbnail").steps
    20
    """
    if isinstance(name, Quality):
        return name
    if name not in QUALITIES:
        raise BadValue(f"There is no quality '{name}'. Use one of: {suggest(name, QUALITIES)}.")
    return QUALITIES[name]
