"""following(...): do the elements of a family's units follow the values that the units prefer in some stimuli?

Elements come from kernels or from pieces of photographs, preferred values from stimuli that were not used for that: a
family of curve detectors at so many angles should prefer curves at these angles, up to one turn that is common to all.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from micrographia.errors import BadValue
from micrographia.study.null import Finding, permutation_p

Values = Float[np.ndarray, " unit"] | Sequence[float | int]
Others = Float[np.ndarray, " other"] | Sequence[float | int]
LEAST = 3


def following(
    elements: Values,
    preferred: Values,
    others: Others,
    period: float | int = 360,
    trials: int = 999,
    seed: int = 0,
) -> tuple[float, Finding]:
    """How far preferred values are off the elements, in degrees on average, up to a common turn; and the finding.

    Its effect is the length of the mean of all differences as points on a circle of this `period`: 1 where they are
    equal. The null are as many units drawn at random, of which `others` has the preferred values; so few elements have
    few orders, and each unit's own preference is what is in question. Raises BadValue for fewer than 3 units.

    >>> following([0, 90, 180], [10, 100, 190], np.arange(0.0, 360, 7))[0]
    0.0
    """
    if not LEAST <= len(elements) == len(preferred) <= len(others):
        raise BadValue(
            f"{len(elements)} elements and {len(preferred)} preferred values of {len(others)} units say nothing. "
            f"Give {LEAST} units or more, and at least as many others."
        )
    turns = np.exp(2j * np.pi * (np.asarray(preferred, float) - np.asarray(elements, float)) / period)
    effect = float(np.abs(turns.mean()))
    apart = np.abs(np.angle(turns * turns.mean().conj())) * period / (2 * np.pi)
    rng = np.random.default_rng(seed)
    back = np.exp(-2j * np.pi * np.asarray(elements, float) / period)
    all_turns = np.exp(2j * np.pi * np.asarray(others, float) / period)
    drawn = rng.permuted(np.tile(np.arange(len(all_turns)), (trials, 1)), axis=1)[:, : len(back)]
    p = permutation_p(effect, np.abs((all_turns[drawn] * back).mean(1)))
    return float(apart.mean()), Finding("preferred values follow elements", effect, "units at random", p, n=len(turns))
