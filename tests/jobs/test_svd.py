"""`svd` from the command line to the figure, on a bundled network, and its numbers on published weights."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from micrographia.cli import run
from micrographia.jobs.choose import open_network
from micrographia.jobs.looks import looks
from micrographia.model.graph import LayerGraph


@pytest.fixture(scope="module")
def graph() -> LayerGraph:
    return open_network("mini-inception")


def test_the_looks_of_a_first_layer_are_those_of_its_kernels(graph: LayerGraph) -> None:
    found = looks(graph, "conv2d0")
    count = graph.layer("conv2d0").channels
    assert len(found.tiles) == count
    assert np.shape(found.tiles[0]) == (7, 7, 3)
    for trait in ("colour", "frequency", "orientation"):
        values = found.traits[trait]
        assert values is not None
        assert values.shape == (count,)
        assert ((values >= 0) & (values <= 1)).all()


def test_the_command_prints_the_document_and_writes_the_figure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["svd", "mini-inception", "conv2d0", "conv2d1", "--out", str(tmp_path), "--json"]
    assert run(words) == 0
    plain = json.loads(capsys.readouterr().out)
    assert set(plain) == {"share", "null_share_95", "left", "clusters"}
    assert sum(plain["share"]) == pytest.approx(1)
    assert [each["vector"] for each in plain["left"]] == [0, 1, 2]
    assert {"colour", "colour_null_95", "frequency", "frequency_null_95"} <= set(plain["left"][0])
    assert (tmp_path / "shapes.png").read_bytes()[:4] == b"\x89PNG"
    with Image.open(tmp_path / "svd.png") as figure:
        assert figure.size[0] == 1520
    written = json.loads((tmp_path / "svd.json").read_text())
    assert written["share"] == plain["share"]
    assert all({"effect", "null", "p", "corrected_p", "n"} <= set(each) for each in written["findings"])


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["conv2d1", "conv2d0"], "conv2d0 does not depend on conv2d1"),
        (["conv2d0", "conv2d0"], "conv2d0 is both source and target"),
        (["conv2d0", "conv2d9"], "There is no layer 'conv2d9'"),
        (["conv2d0", "conv2d1", "--reduce", "l7"], "There is no reduction 'l7'"),
        (["conv2d0", "conv2d1", "--centre", "twice"], "There is no centring 'twice'"),
        (["conv2d0", "conv2d1", "--reduce", "signed sum", "--centre", "degree"], "have no degrees"),
    ],
)
def test_wrong_input_is_a_sentence(words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["svd", "mini-inception", *words]) == 2
    assert sentence in capsys.readouterr().err


@pytest.mark.long
def test_colour_and_frequency_are_the_axes_of_a_published_network(
    shared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["svd", "inceptionv1-bvlc", "conv2d0", "conv2d1", "--json", "--weights"]
    weights = str(shared / "weights" / "googlenet_bvlc.npz")
    assert run([*words, weights]) == 0
    double = json.loads(capsys.readouterr().out)
    assert abs(double["left"][0]["colour"]) == pytest.approx(0.83, abs=0.005)
    assert abs(double["left"][1]["frequency"]) == pytest.approx(0.68, abs=0.005)
    assert double["left"][0]["colour_null_95"] < 0.26
    assert double["share"][0] > double["null_share_95"]
    assert run([*words, weights, "--centre", "raw"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["share"][0] == pytest.approx(0.55, abs=0.01)
    assert "Vector 0 has one sign" in captured.err
