from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from micrographia.publish import diagram


@st.composite
def networks(pick: st.DrawFn) -> list[dict[str, Any]]:
    size = pick(st.integers(1, 17))
    parents = [pick(st.sets(st.integers(0, i - 1), max_size=3)) if i else set() for i in range(size)]
    return [{"name": f"n{i}", "parents": [f"n{p}" for p in sorted(parents[i])]} for i in range(size)]


@given(networks())
def test_no_two_waiting_values_share_a_lane(layers: list[dict[str, Any]]) -> None:
    rows = diagram.rows(layers)
    at = {layer["name"]: i for i, layer in enumerate(layers)}
    last = {name: max([i for i, layer in enumerate(layers) if name in layer["parents"]], default=-1) for name in at}
    for i, (layer, row) in enumerate(zip(layers, rows, strict=True)):
        waiting = [rows[at[name]].lane for name in at if at[name] < i < last[name]]
        assert len(set(waiting)) == len(waiting)
        assert row.past == tuple(sorted(waiting))
        assert row.lane not in row.past
        assert row.into == tuple(rows[at[parent]].lane for parent in layer["parents"])
        assert row.read == (last[layer["name"]] >= 0)


def test_an_inception_block_takes_a_lane_for_each_branch() -> None:
    wires = {"a": [], "1x1": ["a"], "3x3r": ["a"], "3x3": ["3x3r"], "5x5": ["a"], "pool": ["a"]}
    wires["concat"] = ["1x1", "3x3", "5x5", "pool"]
    rows = diagram.rows([{"name": name, "parents": parents} for name, parents in wires.items()])
    assert [row.lane for row in rows] == [0, 1, 2, 2, 3, 0, 0]
    assert rows[-1].into == (1, 2, 3, 0)


def test_parents_that_are_not_listed_are_left_out() -> None:
    assert diagram.rows([{"name": "a", "parents": ["relu"]}])[0].into == ()


def test_svg_draws_every_line() -> None:
    tree = ElementTree.fromstring(diagram.svg(diagram.Row(2, (0, 1), (0,), True), 3))
    path = tree.find("path")
    assert path is not None
    assert path.attrib["d"].count("M") == 4
