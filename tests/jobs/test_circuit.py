"""`micrographia circuit` from the command line to the figure, with and without a store, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import micrographia.jobs.portraits as looks
from micrographia.cli import run
from micrographia.jobs.choose import open_network
from tests.jobs.tiny import write_model
from tests.pictures import write_pictures


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("pictures"), each=6)


@pytest.fixture(scope="module")
def store(model: str, pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("store") / "store"
    words = ["observe", f"{model}:make", "--images", str(pictures), "--layers", "stem,block", "--out", str(out)]
    assert run(words) == 0
    return out


def command(model: str, unit: str, pictures: Path, out: Path, *more: str) -> list[str]:
    return ["circuit", f"{model}:make", unit, "--images", str(pictures), "--out", str(out), *more]


@pytest.mark.parametrize(("kind", "magic"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")])
def test_the_figure_and_its_numbers(
    model: str, pictures: Path, store: Path, tmp_path: Path, kind: str, magic: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    more = ("--format", kind, "--json", "--store", str(store))
    assert run(command(model, "block:0", pictures, tmp_path, *more)) == 0
    told = json.loads(capsys.readouterr().out)
    assert (tmp_path / f"block-0.{kind}").read_bytes().startswith(magic)
    assert json.loads((tmp_path / "block-0.json").read_text()) == told
    assert told["way"] == "expanded"
    assert told["count"] == 8
    assert len(told["inputs"]) == 6
    assert [each["unit"].startswith("stem:") for each in told["inputs"]] == [True] * 6
    assert np.shape(told["inputs"][0]["kernel"]) == (3, 3)
    assert told["check"]["residual"] < 1e-4
    assert told["check"]["pictures"] == 12
    assert told["optimised"]["dead"] is False
    assert told["fingerprint"] == open_network(f"{model}:make").fingerprint


def test_the_table_says_what_the_document_does(
    model: str, pictures: Path, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = command(model, "last:4", pictures, tmp_path, "--k", "2", "--store", str(store))
    assert run(words) == 0
    lines = capsys.readouterr().out.splitlines()
    told = json.loads((tmp_path / "last-4.json").read_text())
    assert [line.split()[0] for line in lines[1:3]] == [each["unit"] for each in told["inputs"]]
    assert f"The 2 strongest of 9 inputs hold {told['covered']:.0%}".replace("%", " %") in lines[3]
    assert lines[-1] == f"Open {tmp_path / 'last-4.png'}"
    assert told["notes"] == lines[3:-1]
    assert told["check"]["share"] < 1


def test_pictures_come_from_the_store_and_nothing_is_made(
    model: str, pictures: Path, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("a picture was made anew")

    monkeypatch.setattr(looks, "render", forbidden)
    monkeypatch.setattr(looks, "survey", forbidden)
    assert run(command(model, "block:0", pictures, tmp_path, "--store", str(store))) == 0
    graph = open_network(f"{model}:make")
    opened = looks.opened(store, graph)
    found = looks.portraits(graph, graph.units("block:0"), opened)
    with Image.open(store / "block/0/vis.jpg") as image:
        assert np.array_equal(next(iter(found.values())).picture, np.asarray(image.convert("RGB")))


def test_without_a_store_the_pictures_are_made(model: str, pictures: Path, tmp_path: Path) -> None:
    assert run(command(model, "block:0", pictures, tmp_path, "--k", "1")) == 0
    with Image.open(tmp_path / "block-0.png") as figure:
        assert figure.size[0] == 13 * 160


def test_a_first_layer_unit_shows_the_kernel_itself(
    model: str, pictures: Path, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(command(model, "stem:3", pictures, tmp_path, "--json", "--store", str(store))) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["pixels"] is True
    assert {each["unit"] for each in told["inputs"]} == {"input:0", "input:1", "input:2"}
    assert told["check"]["share"] == pytest.approx(1)
    assert told["check"]["p"] is None
    assert told["notes"][0] == "It reads the picture: 3 channels."


WRONG = {
    "reads nothing": (["block:2"], "block:2 reads nothing: all its weights are 0"),
    "a channel of the picture": (["input:1"], "input:1 is a channel of the picture and reads nothing"),
    "dead": (["block:1"], "block:1 is dead: no optimised picture wakes it, and it stays at or below 0 on 12 pictures"),
    "k above the inputs": (["block:0", "--k", "9"], "block:0 has 8 inputs, so the strongest 9 cannot be shown"),
    "several units": (["block:0-2"], "'block:0-2' names 3 units. Name one, like block:0"),
    "no such way": (["block:0", "--inputs", "through"], "Inputs cannot be taken 'through'"),
    "no bottleneck": (["last:0", "--inputs", "expanded"], "last:0 has no 1x1 bottleneck before it"),
    "no such format": (["block:0", "--format", "gif"], "A card cannot be written as 'gif'. Choose png, svg, pdf"),
    "no store": (["block:0", "--store", "nowhere"], "nowhere holds no store"),
}


@pytest.mark.parametrize("case", WRONG)
def test_bad_input_is_one_sentence_and_leaves_nothing(
    case: str,
    model: str,
    pictures: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    words, sentence = WRONG[case]
    assert run(["circuit", f"{model}:make", *words, "--images", str(pictures)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert sentence in said.err
    assert "Traceback" not in said.err
    assert list(tmp_path.iterdir()) == []


def test_a_store_of_other_weights_is_refused(
    model: str, pictures: Path, store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["circuit", f"{model}:other", "block:0", "--images", str(pictures), "--store", str(store)]) == 2
    assert "was made with weights" in capsys.readouterr().err


@pytest.mark.long
def test_a_published_network_s_unit(shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["circuit", "inceptionv1-bvlc", "conv2d2:7", "--weights", str(shared / "weights/googlenet_bvlc.npz")]
    assert run([*words, "--pictures", "8", "--json", "--out", str(tmp_path)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["count"] == 64
    assert told["check"]["residual"] < 1e-4
