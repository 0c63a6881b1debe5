"""The drawing of a circuit: nodes in the order of few crossings, all of them drawn, the same bytes twice."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest

from micrographia.errors import BadValue
from micrographia.publish.circuit import draw_circuit, order
from micrographia.publish.plot import encoded
from micrographia.publish.ribbons import Family, Ribbon, draw_families


def document(count: int = 5) -> dict[str, Any]:
    effect = {"value": 0.5, "low": 0.1, "high": 0.9}
    nodes = [{"id": f"{layer}:{i}", "layer": layer} for layer in ("a", "b") for i in range(count)]
    edges = [
        {"source": f"a:{i}", "target": f"b:{count - 1 - i}", "attribution": 1.0, "effect": effect} for i in range(count)
    ]
    edges += [{"source": f"b:{i}", "target": "c:0", "attribution": -1.0, "effect": None} for i in range(count)]
    return {
        "layers": ["a", "b", "c"], "nodes": [*nodes, {"id": "c:0", "layer": "c"}], "edges": edges, "target": "c:0",
        "scores": {},
    }  # fmt: skip


def test_edges_do_not_cross_where_they_need_not() -> None:
    columns = order(document())
    place = {name: i for column in columns for i, name in enumerate(column)}
    between = [(place[e["source"]], place[e["target"]]) for e in document()["edges"] if e["source"].startswith("a")]
    assert not any((a - c) * (b - d) < 0 for (a, b), (c, d) in combinations(between, 2))


def test_a_circuit_is_drawn_with_all_its_nodes() -> None:
    figure = draw_circuit(document(), {"a:0": np.zeros((8, 8, 3), np.uint8)}, ["a sentence"])
    text = encoded(figure, "svg").decode()
    assert all(f">{layer}<" in text for layer in "abc")
    assert "a sentence" in text
    assert encoded(draw_circuit(document()), "svg") == encoded(draw_circuit(document()), "svg")


def test_the_curve_and_the_verdict_stand_beside_it() -> None:
    points = [{"size": s, "faithfulness": 0.1 * s, "magnitude": 0.0, "random": -3.0} for s in (1, 2, 4)]
    scores = {"curve": points, "supported": False}
    text = encoded(draw_circuit(document() | {"scores": scores}), "svg").decode()
    assert "unsupported" in text
    assert "random circuits" in text


def test_ribbons_are_drawn_and_shares_checked() -> None:
    boxes = [Family("a", "lines", 3), Family("b", "curves", 2, [np.zeros((8, 8, 3))])]
    ribbon = Ribbon(("a", "lines"), ("b", "curves"), 0.6)
    made = {"a": [("lines", 0.6), ("remainder", 0.4)]}
    text = encoded(draw_families(["a", "b"], boxes, [ribbon], made), "svg").decode()
    assert "60%" in text
    assert "other units" in text
    with pytest.raises(BadValue, match="The shares of a sum to 0.6000"):
        draw_families(["a", "b"], boxes, [ribbon], {"a": [("lines", 0.6)]})
    with pytest.raises(BadValue, match="of which one is no family"):
        draw_families(["a", "b"], boxes, [Ribbon(("a", "x"), ("b", "curves"), 1.0)])
