"""`micrographia vis` on a small network: its files, what they say of themselves, going on, and bad input."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import micrographia.jobs.visualize as job
from micrographia.cli import run

MODEL = """
import torch
from torch import nn
from micrographia.model.card import Card

def make(channels=3):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(channels, 6, 5, 2), nn.ReLU(), nn.Conv2d(6, 5, 3), nn.ReLU())
    with torch.no_grad():
        net[2].bias[1] = -1000  # dead
    return net, Card("tiny", (31, 29), 31, channels, mean=(0.5,) * channels, std=(0.25,) * channels)

def grey():
    return make(1)

def four():
    return make(4)
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("model") / "tiny.py"
    path.write_text(MODEL)
    return str(path)


@pytest.fixture(scope="module")
def made(model: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("made") / "vis"
    assert run(command(model, out)) == 0
    return out


def command(model: str, out: Path, *more: str, units: tuple[str, ...] = ("3", "1:2-3", "0:4@2,3")) -> list[str]:
    return ["vis", f"{model}:make", *units, "--quality", "thumbnail", "--out", str(out), *more]


def stamp(path: Path) -> dict[str, Any]:
    with Image.open(path) as image:
        return json.loads(image.text["micrographia"])  # type: ignore[attr-defined]


def test_every_live_unit_has_a_picture_and_a_dead_one_has_none(made: Path) -> None:
    files = {str(path.relative_to(made)) for path in made.rglob("*.*")}
    pictures = {f"3/{channel}.png" for channel in (0, 2, 3, 4)} | {"1/2.png", "1/3.png", "0/4@2,3.png"}
    assert files == pictures | {"sheet.png", "vis.json"}
    with Image.open(made / "3/0.png") as picture:
        assert picture.size == (9, 9)


def test_a_picture_says_how_it_was_made_and_can_be_made_again_from_that(made: Path, model: str) -> None:
    from micrographia.jobs.choose import open_network
    from micrographia.optvis.quality import Quality
    from micrographia.optvis.render import render
    from micrographia.unit import Unit

    facts = stamp(made / "0/4@2,3.png")
    graph = open_network(f"{model}:make")
    assert facts["made_by"]["fingerprint"] == graph.fingerprint
    assert set(facts["versions"]) == {"micrographia", "torch", "numpy", "python"}
    arguments = facts["made_by"]["arguments"]
    quality = Quality(**arguments.pop("quality"))
    (again,) = render(graph, [Unit.parse(facts["unit"])], quality=quality, **arguments)
    with Image.open(made / "0/4@2,3.png") as picture:
        assert np.array_equal(np.asarray(picture), np.rint(again.image * 255))
    assert again.reached == facts["reached"]
    assert again.settings == facts["settings"]


def test_the_sheet_shows_every_unit_in_the_order_given(made: Path) -> None:
    assert stamp(made / "sheet.png")["units"] == [f"3:{i}" for i in range(5)] + ["1:2", "1:3", "0:4@2,3"]
    with Image.open(made / "sheet.png") as sheet:
        pixels = np.asarray(sheet)
    side = (pixels.shape[1] - 6) // 3 - 6
    live, dead = (pixels[6 : 6 + side, left : left + side] for left in (6, 12 + side))
    assert live.std(axis=(0, 1)).max() > 5
    assert dead.std(axis=(0, 1)).max() == 0, "plain paper"


def test_the_table_and_the_json_say_the_same(made: Path, model: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(command(model, made, "--json")) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["units"] == json.loads((made / "vis.json").read_text())
    assert [each["unit"] for each in told["units"] if each["dead"]] == ["3:1"]
    assert [each["unit"] for each in told["units"] if each["file"] is None] == ["3:1"]
    assert run(command(model, made)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["unit", "reached", "on", "grey", "keeps", "fine", "burnt", "dead", "steps", "file"]
    rows = {line.split()[0]: line.split() for line in lines[1:-1]}
    assert rows["3:1"][3] == "dead"
    kept = told["units"][0]["held_out"]
    assert rows["3:0"][3] == f"{min(kept.values()):.0%}"
    assert rows["3:0"][1] == f"{told['units'][0]['reached']:.4g}"
    assert lines[-1] == f"Open {made / 'sheet.png'}"


def test_a_run_that_was_stopped_goes_on_and_ends_in_the_same_bytes(
    made: Path, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, written = job._write, []

    def interrupted(path: Path, *rest: Any) -> Any:
        if len(written) == 3:
            raise KeyboardInterrupt
        written.append(path)
        return real(path, *rest)

    out = tmp_path / "vis"
    monkeypatch.setattr(job, "_write", interrupted)
    assert run(command(model, out)) == 130
    times = {path: path.stat().st_mtime_ns for path in written}
    monkeypatch.setattr(job, "_write", real)
    assert run(command(model, out)) == 0
    assert {path: path.stat().st_mtime_ns for path in written} == times
    for path in made.rglob("*.png"):
        assert (out / path.relative_to(made)).read_bytes() == path.read_bytes()


def test_other_arguments_make_the_picture_anew(made: Path, model: str, tmp_path: Path) -> None:
    for seed, objective in (("0", "neuron"), ("1", "neuron"), ("1", "channel")):
        assert run(command(model, tmp_path, "--seed", seed, "--objective", objective, units=("3:2",))) == 0
        facts = stamp(tmp_path / "3/2.png")
        assert (facts["made_by"]["seed"], facts["settings"]["objective"]) == (int(seed), objective)


@pytest.mark.parametrize(("factory", "size"), [("grey", (5, 5)), ("four", (20, 5))])
def test_other_channel_counts_are_drawn_in_grey(
    model: str, tmp_path: Path, factory: str, size: tuple[int, int]
) -> None:
    assert run(["vis", f"{model}:{factory}", "0:0", "--quality", "thumbnail", "--out", str(tmp_path)]) == 0
    with Image.open(tmp_path / "0/0.png") as picture:
        assert picture.size == size
        pixels = np.asarray(picture)
    assert (pixels == pixels[:, :, :1]).all()


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("photographs")
    for number in range(11):
        noise = rng.random((8, 8, 3)) * 255
        Image.fromarray(noise.astype(np.uint8)).resize((37, 41), Image.Resampling.BICUBIC).save(
            folder / f"{number}.png"
        )
    return folder


def test_the_numbers_beside_a_picture_stand_in_the_json_the_stamp_and_the_table(
    made: Path, model: str, photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = ("--images", str(photographs), "--seeds", "2")
    assert run(command(model, tmp_path, *more, "--json", units=("1:0-5",))) == 0
    told = json.loads(capsys.readouterr().out)["units"]
    for each in told:
        assert set(each["held_out"]) == {"noisy", "blurred", "faded", "dark"}
        assert each["pictures"]["pictures"] == 11
        assert each["pictures"]["ratio"] == pytest.approx(each["reached"] / each["pictures"]["greatest"])
        assert (each["pictures"]["above"] == 1) == (each["reached"] > each["pictures"]["greatest"])
        assert each["seeds"]["tried"] == each["seeds"]["live"] == 2
        assert -1 <= each["seeds"]["alike"] <= 1
        assert "path" not in each, "six units are too few for a null"
        assert {k: v for k, v in each.items() if k != "file"} == stamp(tmp_path / each["file"])
    assert run(command(model, tmp_path, *more, units=("1:0-5",))) == 0
    head, first = capsys.readouterr().out.splitlines()[:2]
    assert head.split()[4:9] == ["best", "picture", "above", "keeps", "fine"]
    assert f"{told[0]['pictures']['greatest']:.4g}" in first.split()


def test_numbers_are_added_to_pictures_that_were_made_before(model: str, photographs: Path, tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    for more in ((), ("--images", str(photographs))):
        assert run(command(model, one, *more, units=("1:0-2",))) == 0
    assert run(command(model, two, "--images", str(photographs), units=("1:0-2",))) == 0
    for path in two.rglob("*.png"):
        assert stamp(one / path.relative_to(two)) == stamp(path)
        assert (one / path.relative_to(two)).read_bytes() == path.read_bytes()


@pytest.mark.parametrize("way", ["grid", "invert", "caricature"])
def test_what_a_layer_makes_of_one_picture(
    way: str, model: str, photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["vis", f"{model}:make", "--picture", str(photographs / "3.png"), f"--{way}", "1", "--out", str(tmp_path)]
    assert run([*given, "--quality", "thumbnail", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["way"], told["layer"], told["picture"]) == (way, "1", "3.png")
    assert stamp(tmp_path / f"{way}-1.png")["made_by"]["call"] == way
    with Image.open(tmp_path / f"{way}-1.png") as picture:
        assert picture.size == ((29 + 8 + 448, 448) if way == "grid" else (29 + 8 + 29, 31))


def test_an_atlas_of_a_layer(model: str, photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["atlas", f"{model}:make", "1", "--images", str(photographs), "--side", "2", "--out", str(tmp_path)]
    assert run([*given, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["pictures"] == 11
    assert 1 <= len(told["cells"]) <= 4
    assert stamp(tmp_path / "atlas-1.png")["layer"] == "1"
    for wrong, words in ((["--side", "0"], "A field of 0 x 0"), (["--quality", "superb"], "no quality 'superb'")):
        assert run([*given, *wrong]) == 2
        assert words in capsys.readouterr().err


WRONG = {
    "no units": ([], ["No unit was named"]),
    "a way without a picture": (["--grid", "3"], ["1 ways and 0 units to look at no picture", "--picture FILE"]),
    "a picture and units": (["3:0", "--picture", "a.png", "--grid", "3"], ["1 ways and 1 units to look at a.png"]),
    "no such picture": (["--picture", "a.png", "--grid", "3"], ["There is no 'a.png'"]),
    "unknown layer": (["conv9:0"], ["no layer 'conv9'"]),
    "unit out of range": (["3:5"], ["no unit 5", "3:0 to 3:4"]),
    "no such cell": (["3:0@20,0"], ["no cell 20,0", "Rows run from 0"]),
    "malformed": (["3:0@x"], ["'3:0@x' is not the address of a unit"]),
    "quality": (["3:0", "--quality", "superb"], ["no quality 'superb'"]),
    "objective": (["3:0", "--objective", "layer"], ["no objective 'layer'", "neuron", "channel"]),
    "precision": (["3:0", "--precision", "half"], ["no precision 'half'"]),
    "seeds": (["3:0", "--seeds", "0"], ["0 seeds make no picture"]),
    "store alone": (["3:0", "--store", "here"], ["here is of no use without its pictures", "--images"]),
    "pictures": (["3:0", "--images", "nowhere.zip"], ["There is no 'nowhere.zip'"]),
    "device": (["3:0", "--device", "abacus"], ["no device 'abacus'"]),
    "layer without a folder's name": (["a b:0"], ["'a b:0' does not name units"]),
}


@pytest.mark.parametrize("case", WRONG)
def test_bad_input_is_one_sentence_and_leaves_nothing(
    case: str, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments, words = WRONG[case]
    assert run(["vis", f"{model}:make", *arguments]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "Traceback" not in said.err
    assert all(word in said.err for word in words), said.err
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_picture_of_ours_is_replaced(model: str, tmp_path: Path) -> None:
    (tmp_path / "3").mkdir()
    (tmp_path / "3/0.png").write_bytes(b"nothing")
    assert run(command(model, tmp_path, units=("3:0",))) == 0
    assert stamp(tmp_path / "3/0.png")["unit"] == "3:0"
