"""The drawing of an architecture: no box on another one, branches side by side, rows that end where all paths meet."""

from __future__ import annotations

import pytest

from micrographia.publish.architecture import _wrapped, architecture, layout, unrolled
from micrographia.publish.plot import encoded


def chain(*pairs: tuple[str, str, list[str]]) -> list[dict]:
    return [{"name": name, "op": op, "parents": parents, "channels": 3, "kernel": 3} for name, op, parents in pairs]


def inception(blocks: int) -> list[dict]:
    layers, last = [("input", "input", [])], "input"
    for block in range(blocks):
        a, b, c, d = (f"{block}{letter}" for letter in "abcd")
        layers += [
            (a, "conv", [last]), (f"{a}r", "relu", [a]), (b, "conv", [last]), (c, "conv", [b]), (d, "maxpool", [last]),
            (f"cat{block}", "concat", [f"{a}r", c, d]),
        ]  # fmt: skip
        last = f"cat{block}"
    return chain(*layers)


def test_branches_lie_side_by_side_and_nothing_lies_on_anything() -> None:
    boxes, parents = layout(inception(4))
    assert len({(box.column, box.lane) for box in boxes.values()}) == len(boxes)
    assert [boxes[name].lane for name in ("0a", "0b", "0c", "0d", "cat0")] == [-1, 0, 0, 1, 0]
    assert parents["cat0"] == ["0a", "0c", "0d"]  # the ReLU is a part of its line
    for name, above in parents.items():
        assert all(boxes[each].column < boxes[name].column for each in above)


def test_a_shortcut_is_straight_and_what_is_added_lies_above() -> None:
    boxes, parents = layout(chain(
        ("x", "conv", []), ("s", "identity", ["x"]), ("f", "conv", ["x"]), ("g", "conv", ["f"]), ("y", "add", ["s", "g"])
    ))  # fmt: skip
    assert (boxes["f"].lane, boxes["g"].lane, boxes["x"].lane, boxes["y"].lane) == (-1, -1, 0, 0)
    assert parents["y"] == ["x", "g"]


def test_rows_end_where_all_that_follows_goes_through_one_box() -> None:
    boxes, parents = layout(inception(12))
    rows = _wrapped(boxes, parents)
    assert max(rows.values()) >= 2
    for name, above in parents.items():
        for each in above:
            assert rows[name] == rows[each] or (rows[name] == rows[each] + 1 and each.startswith("cat"))
    for row in set(rows.values()):
        columns = [boxes[name].column for name in boxes if rows[name] == row]
        assert max(columns) - min(columns) < 14


@pytest.mark.parametrize("layers", [inception(1), inception(9), chain(("a", "conv", []))])
def test_every_layer_is_named_in_the_drawing(layers: list[dict]) -> None:
    drawn = encoded(architecture(layers, "little"), "svg").decode()
    for layer in layers:
        assert (f">{layer['name']}<" in drawn) == (layer["op"] != "relu")
    assert drawn == encoded(architecture(layers, "little"), "svg").decode()


def test_a_sum_has_a_row_for_each_path() -> None:
    paths = [chain(("p", "conv", [])), chain(("q", "conv", []), ("r", "conv", [])), chain(("s", "conv", []))]
    drawn = encoded(unrolled(paths, chain(("y", "add", []))[0]), "svg").decode()
    assert all(f">{name}<" in drawn for name in "pqrsy")
    assert "y as a sum of 3 paths" in drawn
