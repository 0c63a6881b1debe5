"""A family grown from one unit: who joins, the mean of the others that each is compared with, and when it is the same.

All of it needs the correlations of pairs only, not what they were computed from.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from micrographia.study.alignment import Alignment, Group

Members = Int[np.ndarray, " member"]

RELATIVE = 0.8
"""No unit joins with less than this part of the median of all members: what is alike but less so is another feature."""
DIVIDED = 0.85
"""Two parts are two families if they correlate with each other by less than this part of what they do in themselves,"""
UNLIKE = 2.0
"""or if they lack so many times as much to a correlation of 1 with each other as in themselves, and more than"""
EXACT = 0.08
"""this, which sampling on a grid of px can do to copies of one feature."""
CORE = 4
ROUNDS = 8
SYMMETRIC = 0.8


def grown(
    alignment: Alignment, seed: int, near: Int[np.ndarray, " near"], free: Bool[np.ndarray, " unit"], join: float
) -> tuple[Members, Members]:
    """Members and their elements, in steps, from a unit and those near it, until they no longer change.

    Units that are not `free` never join; the others do from a correlation of `join` with the mean of the others.
    """
    pairs = np.minimum(alignment.whole[near, seed], alignment.varying[near, seed])
    # from a few that agree best: a mean of two features that are somewhat alike would attract both
    core = np.argsort(-pairs.max(1), kind="stable")[: CORE - 1]
    members = np.append(near[core], seed)
    elements = np.append(pairs[core].argmax(1), 0)
    seen: set[tuple[int, ...]] = set()
    for _ in range(ROUNDS):
        r = to_template(alignment, members, elements)
        fit = np.where(free, r.max(1), -1)
        joined = np.flatnonzero(fit >= max(join, RELATIVE * float(np.median(fit[members]))))
        if len(joined) < 2:
            return joined, r[joined].argmax(1)
        members, elements = joined, r[joined].argmax(1)
        state = (*members.tolist(), *elements.tolist())
        if state in seen:
            break
        seen.add(state)
    kept = _larger_part(alignment, members, elements)
    return members[kept], elements[kept]


def _larger_part(alignment: Alignment, members: Members, elements: Members) -> Bool[np.ndarray, " member"]:
    """The larger one of two parts that members fall into, of three or more each; all where they do not fall apart."""
    every = np.ones(len(members), bool)
    if len(members) < 6:
        return every
    rows, columns = np.triu_indices(len(members), 1)
    r = _pairs(alignment, members, elements, rows, columns)
    matrix = np.eye(len(members))
    matrix[rows, columns] = matrix[columns, rows] = r
    centred = matrix - matrix.mean(0) - matrix.mean(1, keepdims=True) + matrix.mean()
    part = np.linalg.eigh(centred)[1][:, -1] > 0
    if min(part.sum(), (~part).sum()) < 3:
        return every
    across = part[rows] != part[columns]
    inside = min(r[~across & part[rows]].mean(), r[~across & ~part[rows]].mean())
    between = float(r[across].mean())
    if between >= DIVIDED * inside and 1 - between <= max(UNLIKE * (1 - inside), EXACT):
        return every
    return part if part.sum() > (~part).sum() else ~part


def _pairs(
    alignment: Alignment,
    members: Members,
    elements: Members,
    rows: Int[np.ndarray, " pair"],
    columns: Int[np.ndarray, " pair"],
) -> Float[np.ndarray, " pair"]:
    at = members[rows], members[columns], (elements[rows] - elements[columns]) % alignment.group.steps
    return np.minimum(alignment.whole[at], alignment.varying[at]).astype(float)


def to_template(alignment: Alignment, members: Members, elements: Members) -> Float[np.ndarray, "unit step"]:
    """The correlation of every unit, at every step, with the mean of the aligned members; a member's own part left out.

    It needs no fields, only the correlations of pairs: a mean of fields has the mean of their products.
    """
    both = [_to_mean(each, members, elements) for each in (alignment.whole, alignment.varying)]
    return np.minimum(*both)


def _to_mean(
    pairs: Float[np.ndarray, "unit unit step"], members: Members, elements: Members
) -> Float[np.ndarray, "unit step"]:
    steps = pairs.shape[2]
    shifted = (np.arange(steps)[None] - elements[:, None]) % steps
    each = pairs[:, members[:, None], shifted]  # (unit, member, step)
    total = each.sum(1)
    among = pairs[members[:, None], members[None], (elements[:, None] - elements[None]) % steps]
    energy = float(among.sum())
    found = total / np.sqrt(max(energy, 1e-6))
    own = np.arange(len(members))
    rest = energy - 2 * among.sum(1) + among.diagonal()
    found[members] = (total[members] - each[members, own]) / np.sqrt(np.maximum(rest, 1e-6))[:, None]
    return found


def to_others(
    pairs: Sequence[Float[np.ndarray, "set member member step"]], elements: Int[np.ndarray, "set member"]
) -> Float[np.ndarray, "set member step"]:
    """What `to_template` gives for the members alone, of many sets of units at once, from their own correlations."""
    count, steps = pairs[0].shape[2:]
    shifted = (np.arange(steps) - elements[:, :, None]) % steps  # (set, member, step)
    apart = (elements[:, :, None] - elements[:, None]) % steps
    found = []
    for each in pairs:
        moved = np.take_along_axis(each, np.broadcast_to(shifted[:, None], each.shape), 3)
        own = np.arange(count)
        # a member's own part is left out of the mean that it is compared with
        total = moved.sum(2) - moved[:, own, own]
        among = np.take_along_axis(each, apart[..., None], 3)[..., 0]
        rest = among.sum((1, 2))[:, None] - 2 * among.sum(2) + among[:, own, own]
        found.append(total / np.sqrt(np.maximum(rest, 1e-6))[..., None])
    return np.minimum(*found)


def peaks(r: Float[np.ndarray, "member step"], elements: Members, group: Group) -> Float[np.ndarray, " member"]:
    """Elements between the steps, where a parabola through three of them has its top."""
    if group.steps < 3:
        return elements.astype(float)
    rows = np.arange(len(r))
    before, top, after = (r[rows, (elements + shift) % group.steps].astype(float) for shift in (-1, 0, 1))
    bend = before - 2 * top + after
    shift = np.divide(before - after, 2 * bend, out=np.zeros_like(top), where=bend < -1e-9)
    return (elements + np.clip(shift, -0.5, 0.5)) * group.step


def period_of(alignment: Alignment, members: Members, elements: Members) -> float:
    """After which part of a turn the template looks the same again."""
    group = alignment.group
    if group.name != "rotation":
        return group.period
    steps = group.steps
    shifts = np.arange(steps)[:, None, None] + (elements[:, None] - elements[None])[None]
    turned = alignment.varying[members[:, None], members[None], shifts % steps].sum((1, 2))
    for parts in (4, 2):
        places = [steps * part // parts for part in range(1, parts)]
        if (turned[places] >= SYMMETRIC * turned[0]).all():
            return group.period / parts
    return group.period


def among(alignment: Alignment, members: Members, elements: Members) -> float:
    """The mean correlation of all pairs of different members at these elements."""
    return float(_pairs(alignment, members, elements, *np.triu_indices(len(members), 1)).mean())
