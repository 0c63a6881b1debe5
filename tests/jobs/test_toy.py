"""Toy experiments as a command: results that resume, the page, and bad input."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from micrographia import cli
from micrographia.jobs import toy
from tests.jobs.tiny import write_model

SMALL = ("--quick", "--steps", "30", "--batch", "32", "--restarts", "2")


def command(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = cli.run(["toy", *words])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_an_experiment_is_written_and_not_run_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("intro", *SMALL, "--out", str(tmp_path / "new"), "--json")
    code, out, err = command(capsys, *words)
    assert code == 0
    document = json.loads(out)
    assert document["experiment"] == "intro"
    assert {"what", "expected", "measured", "agrees", "source"} == set(document["result"]["checks"][0])
    assert "intro: " in err
    page = (tmp_path / "new" / "index.html").read_text()
    assert "Five features in two dimensions" in page
    assert "data:image/webp;base64," in page
    assert ' src="http' not in page
    assert "url(" not in page
    first = (tmp_path / "new" / "intro.json").stat().st_mtime_ns
    assert "already there" in command(capsys, *words)[2]
    assert (tmp_path / "new" / "intro.json").stat().st_mtime_ns == first
    # other arguments, or a figure that is gone: again
    assert "already there" not in command(capsys, *words, "--seed", "3")[2]
    (tmp_path / "new" / "intro-vectors.png").unlink()
    assert "already there" not in command(capsys, *words, "--seed", "3")[2]


def test_a_killed_run_keeps_what_was_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = {name: toy.EXPERIMENTS[name] for name in ("intro", "dynamics")}
    monkeypatch.setattr(toy, "EXPERIMENTS", known)
    one = toy._one
    seen: list[str] = []

    def killed(name: str, *rest: object) -> toy.Done:
        if name == "dynamics":
            raise KeyboardInterrupt
        seen.append(name)
        return toy.Done(
            name, one("intro", True, 0, tmp_path, {"steps": 20, "restarts": 2}, print).document, tmp_path, True
        )

    monkeypatch.setattr(toy, "_one", killed)
    with pytest.raises(KeyboardInterrupt):
        toy.run("all", True, 0, tmp_path)
    assert seen == ["intro"]
    assert json.loads((tmp_path / "intro.json").read_text())["experiment"] == "intro"
    assert not (tmp_path / "dynamics.json").exists()
    assert "Five features" in toy.page(tmp_path)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("intrp",), "There is no experiment 'intrp'. Nearest: intro"),
        (("intro", "--hidden", "7"), "7 hidden units for 5 features leave nothing to superpose. Give at most"),
        (("intro", "--sparsity", "0.5,1"), "A sparsity of 1 is not possible. It is the chance that a feature is zero"),
        (("intro", "--sparsity", "lots"), "--sparsity 'lots' is not a list of numbers. Give numbers with commas"),
        (("intro", "--importance", "1,2"), "2 importances were given for 5 features. Give one for each feature."),
        (
            ("phase", "--hidden", "2"),
            "The experiment phase has no --hidden. It takes --batch, --restarts, --steps.",
        ),
        (("intro", "--steps", "0"), "--steps 0 leaves nothing to run. Give 1 or more."),
        (("intro", "--model", "mini-vgg"), "The experiment intro has no --model. It takes --batch, --features"),
        (("real", "--model", "mini-inceptoin"), "mini-inception"),
        (("real", "--images", "nowhere"), "nowhere"),
        (("real", "--layers", "mixed9z"), "mixed9z"),
        (("real", "--pictures", "0"), "0 pictures hold no activations. Give 1 or more."),
        (("all", "--steps", "5"), "--steps changes one experiment, not all of them. Name one: intro"),
    ],
)
def test_bad_input_is_one_sentence(words: tuple[str, ...], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = command(capsys, *words, "--quick")
    assert code == 2
    assert out == ""
    assert sentence in err.replace("\n", " ")


def test_every_experiment_has_both_sizes_and_a_function() -> None:
    for name in toy.EXPERIMENTS:
        full, _ = toy._sized(name, False, {})
        quick, _ = toy._sized(name, True, {})
        assert type(full) is type(quick)
        assert full != quick


def test_real_measures_the_layers_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    rng = np.random.default_rng(0)
    for number in range(7):
        Image.fromarray(rng.integers(0, 256, (37, 41, 3), dtype=np.uint8)).save(pictures / f"{number}.png")
    model = f"{write_model(tmp_path)}:make"
    words = ("real", "--quick", "--steps", "20", "--model", model, "--images", str(pictures))
    out = tmp_path / "kept"
    code, said, _ = command(capsys, *words, "--layers", "last,stem.1", "--pictures", "5", "--out", str(out), "--json")
    assert code == 0
    document = json.loads(said)
    result = document["result"]
    assert [(each["name"], each["units"]) for each in result["layers"]] == [("stem", 8), ("last", 10)]
    # five pictures, sixteen places of each
    assert [each["samples"] for each in result["layers"]] == [80, 80]
    assert {"features_per_dimension", "dimensionality", "interference"} <= set(result["layers"][0]["measures"])
    assert [each["file"] for each in document["figures"]] == ["real-layers.png"]
    assert document["figures"][0]["caption"].startswith("tiny: ")
    assert "A trained network" in (out / "index.html").read_text()
    code, said, _ = command(capsys, *words, "--layers", "stem.1", "--pictures", "5")
    assert code == 0
    assert "stem: effective features per dimension" in said
