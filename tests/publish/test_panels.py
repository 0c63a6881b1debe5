from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from micrographia.errors import BadValue
from micrographia.publish import draw, panels
from micrographia.publish.pages import render
from micrographia.publish.store import MadeBy, Manifest, Store, create, get, put
from micrographia.publish.survey import scene, survey
from micrographia.unit import Unit
from tests.publish.conftest import CARD, network

UNIT = Unit("mixed3a", 4)


def html_of(store: Store, name: str, unit: Unit = UNIT) -> str:
    found = {panel.name: html for panel, html in panels.drawn(scene(survey(store), unit))}
    return str(found[name])


def values_of(store: Store, kind: str, unit: Unit = UNIT) -> dict[str, Any]:
    record = get(store, unit, kind)
    assert record is not None
    return record.values


@pytest.fixture
def registry() -> Iterator[dict[str, panels.Panel]]:
    before = dict(panels.PANELS)
    yield panels.PANELS
    panels.PANELS.clear()
    panels.PANELS.update(before)


def test_a_panel_of_ones_own(empty: Store, made_by: Callable[..., MadeBy], registry: dict[str, panels.Panel]) -> None:
    panels.register(panels.Panel("note", "My note", ("note",), lambda view: view.records["note"].values["html"], 3))
    panels.register(panels.Panel("sum", "Sum", ("total",), lambda view: "<p>of all</p>", level="layer"))
    put(empty, UNIT, "note", made_by(), {"html": "<em>seen</em>"})
    put(empty, "mixed3a", "total", made_by(), {})
    look = survey(empty)
    unit, layer = render(look, UNIT), render(look, "mixed3a")
    assert '<section class="panel w3" id="note"' in unit.html
    assert "<em>seen</em>" in unit.html
    assert "of all" not in unit.html
    assert "<p>of all</p>" in layer.html
    assert layer.twin["records"]["total"]["values"] == {}


def test_names_are_taken_once(registry: dict[str, panels.Panel]) -> None:
    for name, level in (("vis", "unit"), ("new", "page")):
        panel = panels.Panel(name, "", (), lambda view: "", 12, level)
        with pytest.raises(BadValue, match=rf"The panel '{panel.name}' .* cannot be added\. .*taken: vis, examples"):
            panels.register(panel)


def test_missing_panels_are_named_once_per_kind(empty: Store, made_by: Callable[..., MadeBy]) -> None:
    put(empty, UNIT, "vis", made_by(), {"dead": True, "reached": 0.0})
    view = scene(survey(empty), UNIT)
    assert [panel.name for panel, _ in panels.drawn(view)] == ["vis"]
    assert panels.missing(view) == ["Strongest in the pictures", "Strongest inputs", "Activation"]


def test_a_dead_unit_has_no_picture_even_if_one_is_there(empty: Store, made_by: Callable[..., MadeBy]) -> None:
    put(empty, UNIT, "vis", made_by(), {"dead": True, "reached": 0.0}, {}, {"vis.jpg": b"x"})
    html = html_of(empty, "vis")
    assert "stayed dead" in html
    assert "<img" not in html


def test_vis_tells_every_number_and_further_pictures(empty: Store, made_by: Callable[..., MadeBy]) -> None:
    values = {"reached": 3.25, "dead": False, "held_out": {"noisy": 0.5}, "similarity": {"conv2d0": 0.25}}
    put(empty, UNIT, "vis", made_by(), values, {}, {"vis.jpg": b"x", "vis-negative.jpg": b"x"})
    put(empty, UNIT, "activation", made_by(), values_for_activation())
    facts = re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", html_of(empty, "vis"))
    assert facts == [
        ("Activation reached", "3.25"),
        ("Maximum in the pictures", "2"),
        ("Above", "all activations in the pictures"),
        ("Of it kept when changed", "noisy 50 %"),
        ("Similarity", "conv2d0 0.25"),
        ("Seed", "0"),
    ]
    assert 'src="vis-negative.jpg"' in html_of(empty, "vis")
    assert "<figcaption>negative</figcaption>" in html_of(empty, "vis")


@pytest.mark.parametrize(("p", "said"), [(0.01, "excites the layers on the way more"), (0.4, "No sign that")])
def test_the_path_check_says_what_it_found(empty: Store, made_by: Callable[..., MadeBy], p: float, said: str) -> None:
    rows = [{"layer": "conv2d0", "own": 0.5, "others": 0.25, "natural": None if p == 0.4 else 0.75}]
    put(empty, UNIT, "vis", made_by(), {"dead": False, "reached": 1.0}, {}, {"vis.jpg": b"x"})
    put(empty, UNIT, "path", made_by(), {"layers": rows, "p": 0.005, "corrected_p": p, "n": 40, "null": "others"})
    html = html_of(empty, "path")
    assert said in html
    assert f"corrected p = {p}" in html
    assert re.findall(r"<td>(.*?)</td>", html) == ["0.5", "-" if p == 0.4 else "0.75", "0.25"]


def values_for_activation() -> dict[str, Any]:
    return {
        "histogram": {"edges": [0.0, 1.0, 2.0], "counts": [7, 3]},
        "fraction_active": 0.3,
        "mean": 0.4,
        "std": 0.1,
        "max": 2.0,
        "pictures": 10,
    }


def test_activation_without_classes(empty: Store, made_by: Callable[..., MadeBy]) -> None:
    put(empty, UNIT, "activation", made_by(), values_for_activation())
    assert [panel.name for panel, _ in panels.drawn(scene(survey(empty), UNIT))] == ["activation"]
    assert "<dd>30 %</dd>" in html_of(empty, "activation")


def test_classes_on_one_axis(baked: Store) -> None:
    rows = values_of(baked, "activation")["classes"]
    html = html_of(baked, "classes")
    places = re.findall(r"--zero:([\d.e-]+);--low:([\d.e-]+);--high:([\d.e-]+);--mean:([\d.e-]+)", html)
    assert len(places) == len(rows)
    top = max(row["high"] for row in rows)
    bottom = min(0.0, *(row["low"] for row in rows))
    for row, place in zip(rows, places, strict=True):
        zero, low, high, mean = (float(each) / 100 * (top - bottom) + bottom for each in place)
        assert [zero, low, high, mean] == pytest.approx([0, row["low"], row["high"], row["mean"]], abs=0.002 * top)


def test_examples_name_each_photographer_once(empty: Store, made_by: Callable[..., MadeBy]) -> None:
    crops = [
        {"picture": f"{name}/{i}", "class": name, "value": 3.0 - i, **({"credit": whose} if whose else {})}
        for i, (name, whose) in enumerate([("china", "A <b>"), ("lily", "B"), ("china", "A <b>"), ("own", "")])
    ]
    strip = draw.encode(np.zeros((5, 20, 3)))
    put(empty, UNIT, "examples", made_by(), {"tile": 5, "examples": crops}, {}, {"examples.jpg": strip})
    assert "Photographs: china: A &lt;b&gt;; lily: B." in html_of(empty, "examples")
    for crop in crops:
        crop.pop("credit", None)
    put(empty, UNIT, "examples", made_by(), {"tile": 5, "examples": crops}, {}, {"examples.jpg": strip})
    assert "Photographs" not in html_of(empty, "examples")


def test_examples_cut_the_strip_at_each_crop(baked: Store) -> None:
    html = html_of(baked, "examples")
    assert re.findall(r"object-position:([\d.]+)% 0", html) == ["0", "50", "100"]
    for example in values_of(baked, "examples")["examples"]:
        assert example["picture"] in html


def test_kernels_are_drawn_on_one_scale_per_list(baked: Store) -> None:
    for which in ("inputs", "users"):
        listed = values_of(baked, "weights")[which]
        kernels = [np.array(each["kernel"]) for each in listed]
        limit = max(np.abs(kernel).max() for kernel in kernels)
        html = html_of(baked, which)
        assert re.findall(r'kernel signed" src="([^"]+)"', html) == [
            draw.data_uri(draw.kernel_png(kernel, limit)) for kernel in kernels
        ]
        assert html.count('class="scale"') == 1
        for each in listed:
            assert each["unit"] in html.replace("<wbr>", "")


def test_a_unit_that_reads_pixels_shows_its_own_kernel(baked: Store) -> None:
    html = html_of(baked, "inputs", Unit("conv2d0", 0))
    assert 'src="weights.png"' in html
    assert 'class="scale"' not in html
    assert "weights.png" not in html_of(baked, "users", Unit("conv2d0", 0))


@pytest.mark.parametrize("kernel", [[[0.0]], [[1.5]], [[1, -2], [0, 1]]])
def test_kernels_of_any_size_and_none_at_all(
    empty: Store, made_by: Callable[..., MadeBy], kernel: list[list[float]]
) -> None:
    one = {"unit": "input:0", "norm": 1, "share": 1, "positive": 0, "negative": 0, "sign": "mixed", "kernel": kernel}
    put(empty, UNIT, "weights", made_by(), {"inputs": [one], "users": []})
    view = scene(survey(empty), UNIT)
    assert [panel.name for panel, _ in panels.drawn(view)] == ["inputs"]
    html = html_of(empty, "inputs")
    assert 'class="far"' in html
    assert "No picture of" not in html  # the input is no unit that could have one


@pytest.mark.parametrize(
    ("card", "names"), [({}, "red green blue"), ({"order": "BGR"}, "blue green red"), ({"channels": 1}, "input:0")]
)
def test_the_channels_of_the_input_are_called_by_their_colours(tmp_path: Path, card: dict, names: str) -> None:
    store = create(tmp_path, Manifest("little", "f" * 64, {**CARD, **card}, network(), "1.2.3"))
    base = {"norm": 1, "share": 0.3, "positive": 1, "negative": 0, "sign": "excitatory", "kernel": [[1.0]]}
    listed = [{**base, "unit": f"input:{i}"} for i in range(len(names.split()))]
    made = MadeBy("neighbours", {}, 0, "f" * 64, "1.2.3")
    put(store, UNIT, "weights", made, {"inputs": listed, "users": []})
    assert re.findall(r"<b>(.+?)</b>", html_of(store, "inputs")) == names.split()


def test_the_layer_between_is_told_once_where_all_share_it_and_not_for_the_ends(
    empty: Store, made_by: Callable[..., MadeBy]
) -> None:
    def inputs(*layers: str | None) -> str:
        base = {"norm": 1, "share": 0.5, "positive": 1, "negative": 0, "sign": "excitatory", "kernel": [[1.0]]}
        listed = [{**base, "unit": f"conv2d2:{i}", **({"via": via} if via else {})} for i, via in enumerate(layers)]
        put(empty, UNIT, "weights", made_by(), {"inputs": listed, "users": []})
        return html_of(empty, "inputs")

    assert inputs("mixed3a_3x3", "mixed3a_3x3").count("mixed3a_3x3") == 1
    assert ", through" not in inputs("mixed3a", "conv2d2", None)
    different = inputs("mixed3a_3x3", "mixed3a", "mixed3a_5x5")
    assert ", through" not in different
    assert (different.count("mixed3a_3x3"), different.count("mixed3a_5x5")) == (1, 1)
