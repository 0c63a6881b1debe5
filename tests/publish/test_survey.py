from __future__ import annotations

from collections.abc import Callable

import pytest

from micrographia.publish.store import MadeBy, Store, put
from micrographia.publish.survey import Tile, beside, branch, scene, seen, shown, survey, tile
from micrographia.unit import Unit


def test_layers_come_in_the_networks_order(baked: Store) -> None:
    look = survey(baked)
    assert list(look.observed) == ["conv2d0", "conv2d2", "mixed3a", "mixed3b"]
    assert list(look.observed["mixed3b"]) == list(range(8))
    assert look.scalars["conv2d0"]["norm"].keys() == set(range(6))


def test_a_tile_is_the_picture_else_the_first_example_else_nothing(
    empty: Store, made_by: Callable[..., MadeBy]
) -> None:
    unit = Unit("conv2d0", 0)
    assert tile(survey(empty), unit) is None
    put(empty, unit, "activation", made_by(), {})
    assert tile(survey(empty), unit) is None
    put(empty, unit, "examples", made_by(), {}, {}, {"examples.jpg": b"x"})
    assert tile(survey(empty), unit) == Tile("examples.jpg", True)
    put(empty, unit, "vis", made_by(), {"dead": True})
    assert tile(survey(empty), unit) == Tile("examples.jpg", True)
    put(empty, unit, "vis", made_by(), {}, {}, {"vis-negative.jpg": b"x", "vis.jpg": b"x"})
    assert tile(survey(empty), unit) == Tile("vis.jpg", False)


def test_shown_links_only_to_what_is_there(baked: Store) -> None:
    look = survey(baked)
    assert shown(look, Unit("mixed3a", 0), Unit("mixed3b", 3)) == {
        "address": "mixed3b:3",
        "channel": 3,
        "href": "../../mixed3b/3/index.html",
        "picture": "../../mixed3b/3/vis.jpg",
        "crop": False,
    }
    far = shown(look, None, Unit("mixed3b", 9))
    assert (far["href"], far["picture"]) == (None, None)
    assert seen(look, Unit("mixed3b", 7))
    assert not seen(look, Unit("mixed3b", 8))
    assert not seen(look, Unit("logits", 0))


def test_neighbours_in_the_layer(empty: Store, made_by: Callable[..., MadeBy]) -> None:
    for channel in (0, 2, 5):
        put(empty, Unit("conv2d0", channel), "vis", made_by(), {})
    look = survey(empty)
    found = [beside(look, Unit("conv2d0", channel)) for channel in (0, 2, 5)]
    numbers = [tuple(each and each.channel for each in pair) for pair in found]
    assert numbers == [(None, 2), (0, 5), (2, None)]


@pytest.mark.parametrize(("channel", "name"), [(0, "1x1"), (1, "1x1"), (2, "3x3"), (8, "5x5"), (9, "pool")])
def test_branch_holds_its_first_and_last(empty: Store, channel: int, name: str) -> None:
    found = branch(empty.layer("mixed3a"), channel)
    assert found is not None
    assert found["name"] == f"mixed3a_{name}"
    assert branch(empty.layer("conv2d0"), channel) is None


def test_a_scene_has_every_record(baked: Store) -> None:
    assert set(scene(survey(baked), Unit("conv2d0", 0)).records) == {"vis", "examples", "activation", "weights"}
    assert scene(survey(baked), "conv2d0").records == {}
