"""The network drawn beside its list of layers: a lane for every value that a later layer still reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Row:
    """One layer in the drawing: its lane, the lanes that run into it, those that pass by, whether anything reads it."""

    lane: int
    into: tuple[int, ...]
    past: tuple[int, ...]
    read: bool


def rows(layers: Sequence[Mapping[str, Any]]) -> list[Row]:
    """Lanes for layers in order, each with its `parents`; a parent's lane stays taken until its last reader.

    >>> [row.lane for row in rows([{"name": "a", "parents": []}, {"name": "b", "parents": ["a"]},
    ...     {"name": "c", "parents": ["a"]}, {"name": "d", "parents": ["b", "c"]}])]
    [0, 1, 0, 0]
    """
    parents: dict[str, list[str]] = {}
    for layer in layers:
        known = [name for name in layer.get("parents") or () if name in parents]
        parents[layer["name"]] = list(dict.fromkeys(known))
    readers = {name: sum(name in each for each in parents.values()) for name in parents}
    lane: dict[str, int] = {}
    waiting: dict[str, int] = {}  # layers with readers still to come, and how many
    drawn = []
    for name, own in parents.items():
        freed = []
        for parent in own:
            waiting[parent] -= 1
            if waiting[parent] == 0:
                del waiting[parent]
                freed.append(lane[parent])
        past = {lane[each] for each in waiting}
        lane[name] = min(freed) if freed else next(i for i in range(len(past) + 1) if i not in past)
        drawn.append(Row(lane[name], tuple(lane[parent] for parent in own), tuple(sorted(past)), readers[name] > 0))
        if readers[name]:
            waiting[name] = readers[name]
    return drawn


def svg(row: Row, lanes: int) -> str:
    """The lines of one row, to be stretched to the row's height; the layer itself is at half height.

    >>> svg(Row(0, (), (), True), 1)
    '<svg class="rail" viewBox="0 0 1 100" preserveAspectRatio="none" aria-hidden="true"><path d="M.5 50V100"/></svg>'
    """
    here = _centre(row.lane)
    lines = [f"M{_centre(lane)} 0V100" for lane in row.past]
    lines += [f"M{_centre(lane)} 0C{_centre(lane)} 30 {here} 15 {here} 50" for lane in row.into]
    lines += [f"M{here} 50V100"] if row.read else []
    return (
        f'<svg class="rail" viewBox="0 0 {lanes} 100" preserveAspectRatio="none" aria-hidden="true">'
        f'<path d="{"".join(lines)}"/></svg>'
    )


def _centre(lane: int) -> str:
    return f"{lane or ''}.5"
