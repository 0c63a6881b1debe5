"""What photographs say of units: the same from the store as from a survey; the path check in the store and on its page."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from micrographia.errors import BadValue
from micrographia.images.source import open_source
from micrographia.jobs.natural import corner, paths, stored, surveyed
from micrographia.jobs.observe import Observation, observe
from micrographia.model.card import Card
from micrographia.model.graph import Layer, LayerGraph
from micrographia.model.trace import trace
from micrographia.publish.store import get, open_store
from micrographia.unit import Unit


@pytest.fixture(scope="module")
def graph() -> LayerGraph:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 9, 5, 2), nn.ReLU(), nn.Conv2d(9, 23, 3), nn.ReLU())
    return trace(net, Card("tiny", (31, 29), 31, mean=(0.5,) * 3, std=(0.25,) * 3))


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("photographs")
    for number in range(13):
        noise = (rng.random((7, 6, 3)) * 255).astype(np.uint8)
        Image.fromarray(noise).resize((37, 41), Image.Resampling.BICUBIC).save(folder / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def seen(graph: LayerGraph, photographs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("seen") / "store"
    observe(graph, Observation(str(photographs), layers="3", units=("3:0-20",), keep=4), folder)
    return folder


def test_the_store_says_what_a_survey_says(graph: LayerGraph, photographs: Path, seen: Path) -> None:
    source = open_source(photographs)
    fresh, kept = surveyed(graph, source, ["3"])["3"], stored(open_store(seen), source, "3")
    assert sorted(kept) == list(range(21))
    for channel, each in kept.items():
        assert each.examples == fresh[channel].examples
        assert each.pictures == 13
        for value in (0.1, each.greatest * 0.9, each.greatest * 1.1):
            one, two = each.standing(value), fresh[channel].standing(value)
            assert one == pytest.approx(two, rel=1e-5)
    assert kept[0].standing(kept[0].greatest * 2)["above"] == 1


def test_the_records_of_a_store_hold_the_numbers(graph: LayerGraph, photographs: Path, seen: Path) -> None:
    store = open_store(seen)
    for channel in range(21):
        vis = get(store, Unit("3", channel), "vis")
        assert vis is not None
        if vis.values["dead"]:
            assert "held_out" not in vis.values
            continue
        assert set(vis.values["held_out"]) == {"noisy", "blurred", "faded", "dark"}
        found = get(store, Unit("3", channel), "path")
        assert found is not None
        assert found.values["n"] == 20
        assert [row["layer"] for row in found.values["layers"]] == ["0"], "not the units themselves"
        assert 1 / 21 - 1e-6 <= found.values["p"] <= found.values["corrected_p"] <= 1
    page = (seen / "3" / "0" / "index.html").read_text()
    assert 'id="path"' in page
    assert "Of it kept when changed" in page


def test_a_photograph_of_the_unit_takes_its_path(graph: LayerGraph, photographs: Path) -> None:
    source = open_source(photographs)
    natural = surveyed(graph, source, ["3"])["3"]
    whole = np.asarray(Image.open(photographs / "0.png").resize((31, 31)))[:29, :, :].transpose(1, 0, 2) / 255
    found = paths(graph, source, natural, {Unit("3", 2): whole.astype(np.float32)})
    assert set(found) == {Unit("3", 2)}
    assert (np.abs(found[Unit("3", 2)].own) <= 1 + 1e-9).all()
    assert paths(graph, source, {0: natural[0]}, {Unit("3", 0): whole.astype(np.float32)}) == {}, "too few for a null"


def test_a_window_lies_around_its_cell_and_inside_the_picture() -> None:
    layer = Layer("x", "conv", (1, 9, 9), stride=(2.0, 2.0), offset=(3.0, 3.0))
    assert corner(layer, (2, 1), (5, 3), (29, 31)) == (5, 4)
    assert corner(layer, (0, 8), (9, 29), (29, 31)) == (0, 2)
    assert corner(Layer("fc", "linear", (4,)), (0, 0), (29, 31), (29, 31)) == (0, 0)


def test_networks_of_other_channels_are_refused(photographs: Path) -> None:
    grey = trace(nn.Sequential(nn.Conv2d(1, 2, 3)), Card("grey", (9, 9), 9, 1, mean=(0.5,), std=(0.25,)))
    with pytest.raises(BadValue, match="grey reads pictures of 1 channels"):
        surveyed(grey, open_source(photographs), ["0"])
