"""`weights` from the command line to the figure, on a bundled network."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from micrographia.cli import run
from micrographia.jobs.choose import open_network
from micrographia.jobs.weights import strongest
from micrographia.model.graph import LayerGraph
from tests.pictures import write_pictures


@pytest.fixture(scope="module")
def graph() -> LayerGraph:
    return open_network("mini-inception")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_pictures(tmp_path_factory.mktemp("pictures")))


def test_the_command_shows_the_strongest_kernels_of_a_unit(
    tmp_path: Path, folder: str, graph: LayerGraph, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["weights", "mini-inception", "conv2d1", "conv2d2", "5", "--images", folder, "--keep", "7", "--json"]
    assert run([*words, "--out", str(tmp_path)]) == 0
    captured = capsys.readouterr()
    plain = json.loads(captured.out)
    assert (plain["src"], plain["dst"], plain["complete"]) == ("conv2d1", "conv2d2", True)
    assert len(plain["strongest"]) == 7
    assert {each["target"] for each in plain["strongest"]} == {"conv2d2:5"}
    norms = [each["norm"] for each in plain["strongest"]]
    assert norms == sorted(norms, reverse=True)
    for each in plain["strongest"]:
        kernel = np.array(each["kernel"])
        assert each["norm"] == pytest.approx(np.linalg.norm(kernel))
        assert each["positive"] - each["negative"] == pytest.approx(kernel.sum())
        assert each["trusted"] == (each["agreement"] >= 0.5)
    assert "of the unit's squared weight" in captured.err
    kernels = np.load(tmp_path / "weights.npy")
    assert list(kernels.shape) == plain["shape"]
    with Image.open(tmp_path / "weights.png") as figure:
        # six tiles of 84 px in a row, with gaps of 10
        assert figure.size[0] == 10 + 6 * 94


def test_over_all_units_the_strongest_pairs_are_shown(graph: LayerGraph) -> None:
    found = strongest(graph, "conv2d0", "conv2d1", keep=5, pictures=0)
    best = np.sort(found.weights.norms, axis=None)[::-1][:5]
    assert [each["norm"] for each in found.links] == pytest.approx(best)
    assert all(each["agreement"] is None and each["trusted"] is None for each in found.links)
    assert "Agreement was not measured." in found.notes


def test_a_layer_that_reads_whole_maps_is_shown_without_agreement(graph: LayerGraph, folder: str) -> None:
    last = [layer.name for layer in graph.visible() if layer.op == "linear"][-1]
    before = graph.main_layers()[-1].name
    found = strongest(graph, before, last, "0", keep=3, images=folder)
    assert found.measured is None
    assert any(each.startswith("Agreement was not measured: ") for each in found.notes)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["conv2d1", "conv2d0"], "conv2d0 does not depend on conv2d1"),
        (["conv2d0", "conv2d1", "9999"], "conv2d1 has no unit 9999"),
        (["conv2d0", "conv2d1", "conv2d0:1"], "conv2d0:1 is no unit of conv2d1"),
        (["conv2d0", "conv2d1", "x"], "does not name units"),
    ],
)
def test_wrong_input_is_a_sentence(words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["weights", "mini-inception", *words]) == 2
    assert sentence in capsys.readouterr().err
