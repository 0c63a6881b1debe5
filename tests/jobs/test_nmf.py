"""nmf and banding, from the command line to the files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from micrographia import load, trace
from micrographia.cli import run
from micrographia.jobs.nmf import nmf
from micrographia.model.direct import direct


def test_the_command_writes_the_figure_and_all_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["nmf", "mini-inception", "maxpool0", "conv2d1:1,5,9,11", "--trials", "9", "--out", str(tmp_path)]
    assert run([*command, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said == json.loads((tmp_path / "nmf.json").read_text())
    assert said["units"] == ["conv2d1:1", "conv2d1:5", "conv2d1:9", "conv2d1:11"]
    assert np.shape(said["maps"]) == (4, 2, 1, 1)
    assert (np.array(said["mixtures"]) >= 0).all()
    assert (tmp_path / "nmf.png").read_bytes()[:4] == b"\x89PNG"
    assert run([*command, "--k", "3"]) == 0
    assert "Factor 2:" in capsys.readouterr().out


def test_each_unit_by_itself_has_three_factors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["nmf", "mini-inception", "conv2d1", "conv2d2:3,7", "--each", "--trials", "3", "--out", str(tmp_path)]
    assert run([*command, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said == json.loads((tmp_path / "nmf.json").read_text())
    assert [each["unit"] for each in said["units"]] == ["conv2d2:3", "conv2d2:7"]
    assert np.shape(said["units"][0]["maps"]) == (1, 3, 3, 3)
    assert said["units"][1]["finding"]["corrected_p"] >= 0.25
    assert (tmp_path / "nmf.png").read_bytes()[:4] == b"\x89PNG"
    assert run(command) == 0
    assert "turned and mirrored" in capsys.readouterr().out


def test_as_many_factors_as_inputs_give_the_weights_back() -> None:
    graph = trace(*load("mini-inception", "random", 3))
    found = nmf(graph, "maxpool0", "conv2d1:0-2", 6, trials=0)
    kernels = direct(graph, "conv2d1")[0].kernels[:3]
    product = np.einsum("kc,ukhw->uchw", found.factors.mixtures, found.factors.maps)
    assert np.square(product - kernels).sum() < 0.05 * np.square(kernels).sum()
    assert not found.findings


@pytest.mark.parametrize(("arguments", "words"), [
    (["nmf", "mini-inception", "conv2d1", "conv2d2:1", "mixed"], "Got unexpected extra argument"),
    (["nmf", "mini-inception", "conv2d1", "conv2d2:900"], "conv2d2"),
    (["nmf", "mini-inception", "conv2d1", "conv2d2:1,2", "--k", "99"], "99 factors of 48 inputs"),
    (["nmf", "mini-inception", "mixed3a", "conv2d2:1,2"], "mixed3a"),
    (["nmf", "mini-inception", "maxpool0", "conv2d1:1", "--each"], "has one tap, so no map"),
])  # fmt: skip
def test_bad_input_gets_a_sentence(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == 2
    assert words in capsys.readouterr().err


def test_banding_tells_of_every_square_kernel(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["banding", "mini-inception", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    names = [each["what"].removeprefix("banding of ") for each in said]
    assert names[0] == "conv2d0"
    assert "mixed4a_5x5" in names
    assert "conv2d1" not in names
    assert said[-1]["effect"] > 0.1  # it ends in global average pooling
    assert run(["banding", "mini-inception"]) == 0
    assert "mixed4a_3x3" in capsys.readouterr().out.splitlines()[-1]
