"""`micrographia lab` and `rerun`: the page holds what it needs, its numbers come back, and what is refused."""

from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from micrographia.cli import run
from micrographia.jobs.choose import open_network
from micrographia.publish.lab import lab_document
from micrographia.unit import Unit
from tests.jobs.tiny import write_model
from tests.pictures import write_pictures

MEASURE = ("--pictures", "18", "--tested", "9", "--controls", "2", "--k", "3")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the model and its pictures, as a student would have it."""
    folder = tmp_path_factory.mktemp("lab")
    write_model(folder)
    write_pictures(folder / "pictures", ("disc", "ring", "stripe"), each=6)
    return folder


@pytest.fixture(scope="module")
def page(place: Path) -> Path:
    words = ["lab", f"{place / 'tiny.py'}:make", "block:0", "--images", str(place / "pictures")]
    assert run([*words, *MEASURE, "--out", str(place / "lab.html")]) == 0
    return place / "lab.html"


@pytest.fixture(scope="module")
def numbers(page: Path) -> dict:
    return lab_document(page.read_text(), "lab.html")["numbers"]


class Elements(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict]] = []

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.found.append((tag, dict(attrs)))


def test_the_page_loads_nothing_and_covers_every_part(page: Path) -> None:
    text = page.read_text()
    elements = Elements()
    elements.feed(text)
    sources = [each[name] for _, each in elements.found for name in ("src", "href") if name in each]
    assert sources
    assert all(source.startswith("data:image/") for source in sources)
    assert "http" not in re.sub(r'http-equiv|"source": "[^"]*"', "", text)
    boxes = {each["data-box"] for _, each in elements.found if "data-box" in each}
    assert boxes == {"names", "network", "unit", "hypothesis", "circuit", "properties", "verdict"}
    editable = [each for _, each in elements.found if each.get("contenteditable")]
    assert all(each["role"] == "textbox" and each["aria-labelledby"] for each in editable)
    pictures = [each for tag, each in elements.found if tag == "img"]
    assert all(each["alt"] for each in pictures)
    assert len([each for each in pictures if each["alt"].startswith("Kernel 3")]) == 3


def test_the_boxes_are_empty_and_the_tool_says_nothing_about_meaning(page: Path) -> None:
    assert re.findall(r'data-box="[a-z]+">([^<]*)</div>', page.read_text()) == [""] * 7


def test_the_numbers_are_all_there(numbers: dict) -> None:
    assert numbers["unit"]["address"] == "block:0"
    assert len(numbers["guesses"]) == 3
    assert sum(each["share"] for each in numbers["guesses"][0]["guesses"]) == pytest.approx(1, abs=1e-5)
    ranking = numbers["ranking"]
    assert [row["n"] for row in ranking["classes"]] == [6, 6, 6]
    means = [row["mean"] for row in ranking["classes"]]
    assert means == sorted(means, reverse=True)
    assert all(row["low"] < row["mean"] < row["high"] and row["chance_half"] > 0 for row in ranking["classes"])
    assert 0 < ranking["p"] <= 1
    assert np.mean(means) == pytest.approx(ranking["chance"], rel=1e-4), "classes are of one size"
    assert len(numbers["card"]["norms"]) == 8
    assert [each["what"] for each in numbers["ablation"]["effects"]][-2:] == ["all 3", "block:0"]
    assert numbers["ablation"]["class_names"][0] in ("disc", "ring", "stripe")


def test_the_top_examples_and_class_means_are_a_direct_run_s(place: Path, numbers: dict) -> None:
    import torch

    from micrographia.images.source import batches, open_source
    from micrographia.model.capture import capture

    graph = open_network(f"{place / 'tiny.py'}:make")
    source = open_source(place / "pictures")
    ((_, pixels),) = batches(source, 31, (31, 29), 99)
    peaks = capture(graph, torch.from_numpy(pixels).float() / 255, "block")["block"][:, 0].flatten(1).amax(1).numpy()
    best = [source.names[i] for i in np.argsort(-peaks, kind="stable")[:9]]
    assert [each["picture"] for each in numbers["examples"]] == best
    for row in numbers["ranking"]["classes"]:
        own = peaks[np.array(source.labels) == source.classes.index(row["class"])]
        assert row["mean"] == pytest.approx(own.mean(), rel=1e-4)


def test_the_ablation_is_of_the_card_s_inputs(numbers: dict) -> None:
    names = [each["unit"] for each in numbers["card"]["inputs"]]
    effects = numbers["ablation"]["effects"]
    assert [each["what"] for each in effects[:3]] == names
    assert all(Unit.parse(name).layer == "stem" for name in names)
    assert all(each["unit"]["low"] <= each["unit"]["mean"] <= each["unit"]["high"] for each in effects[:-1])


def test_rerun_reproduces_every_number_also_after_the_student_wrote(
    page: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written = page.read_text().replace('data-box="verdict">', 'data-box="verdict">Refuted.\nBecause 2 &lt; 3.')
    saved = tmp_path / "handed-in.html"
    saved.write_text(written)
    assert run(["rerun", str(saved)]) == 0
    said = capsys.readouterr().out
    assert said.startswith("The same: all ")
    assert run(["rerun", str(saved), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["same"] is True
    assert told["compared"] > 300


def test_rerun_names_the_first_number_that_differs(
    page: Path, numbers: dict, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    share = numbers["card"]["check"]["share"]
    forged = tmp_path / "forged.html"
    forged.write_text(page.read_text().replace(f'"share": {share}', '"share": 0.999999'))
    assert run(["rerun", str(forged)]) == 1
    assert capsys.readouterr().out == f"Different: card.check.share was 0.999999 and is now {share}.\n"


def test_a_lab_moves_with_its_pictures(
    place: Path, page: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    moved = shutil.copytree(place / "pictures", tmp_path / "elsewhere")
    text = page.read_text().replace(json.dumps(str(place / "pictures")), json.dumps("gone"))
    (tmp_path / "lab.html").write_text(text)
    assert run(["rerun", str(tmp_path / "lab.html")]) == 2
    assert "There is no 'gone'" in capsys.readouterr().err
    assert run(["rerun", str(tmp_path / "lab.html"), "--images", str(moved)]) == 0


def spoiled(page: Path, old: str, new: str) -> str:
    text = page.read_text()
    assert old in text
    return text.replace(old, new)


def test_files_that_are_no_lab_or_of_something_else_are_refused(
    place: Path, page: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cases = {
        "<html>hello</html>": "is no lab report: it holds no numbers",
        spoiled(page, '"numbers": {', '"numbers": {{'): "are damaged",
        spoiled(page, '"numbers": {', '"lost": {'): "are damaged",
        spoiled(page, '"tested": 9, "to"', '"to"'): "The parameters in",
        spoiled(page, '"schema": 1', '"schema": 7'): "was written with lab schema 7",
        spoiled(page, "tiny.py:make", "tiny.py:other"): "is about tiny with weights",
    }
    for number, (text, sentence) in enumerate(cases.items()):
        file = tmp_path / f"{number}.html"
        file.write_text(text)
        assert run(["rerun", str(file)]) == 2
        said = capsys.readouterr().err
        assert sentence in said, said
        assert "Traceback" not in said
    assert run(["rerun", str(tmp_path / "none.html")]) == 2
    assert "none.html" in capsys.readouterr().err
    (tmp_path / "picture.html").write_bytes(b"\x89PNG\xff\xfe")
    assert run(["rerun", str(tmp_path / "picture.html")]) == 2
    assert "it is no text" in capsys.readouterr().err
    fewer = shutil.copytree(place / "pictures", tmp_path / "fewer")
    next((fewer / "disc").iterdir()).unlink()
    assert run(["rerun", str(page), "--images", str(fewer)]) == 2
    assert "was made from 18 other pictures than the 17" in capsys.readouterr().err


WRONG = {
    "no classes": (["block:0", "--images", "flat"], "'flat' has no classes: its 4 pictures lie in one folder"),
    "one of each": (["block:0", "--images", "single"], "No class of 'single' has two of the 3 pictures drawn"),
    "dead": (["block:1"], "block:1 is dead on these 18 pictures"),
    "reads nothing": (["block:2"], "block:2 reads nothing"),
    "k above the inputs": (["block:0", "--k", "30"], "block:0 has 8 inputs"),
    "no such ablation": (["block:0", "--ablate", "noise"], "Units cannot be ablated to 'noise'"),
    "unknown unit": (["block:99"], "no unit 99"),
}


@pytest.mark.parametrize("case", WRONG)
def test_bad_input_is_one_sentence_and_leaves_no_page(
    case: str, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words, sentence = WRONG[case]
    monkeypatch.chdir(place)
    if not (place / "flat").exists():
        shutil.copytree(place / "pictures/disc", place / "flat")
        for file in sorted((place / "flat").iterdir())[4:]:
            file.unlink()
        for name in ("disc", "ring", "stripe"):
            (place / "single" / name).mkdir(parents=True)
            shutil.copy(place / "pictures" / name / "0.png", place / "single" / name)
    images = () if "--images" in words else ("--images", "pictures")
    out = tmp_path / "lab.html"
    assert run(["lab", "tiny.py:make", *words, *images, "--out", str(out)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert sentence in said.err
    assert not out.exists()


def test_the_document_on_stdout_is_the_page_s(
    place: Path, page: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["lab", f"{place / 'tiny.py'}:make", "block:0", "--images", str(place / "pictures"), *MEASURE, "--json"]
    assert run([*words, "--out", str(tmp_path / "again.html")]) == 0
    assert json.loads(capsys.readouterr().out) == lab_document(page.read_text(), "lab.html")
    assert (tmp_path / "again.html").read_bytes() == page.read_bytes()
