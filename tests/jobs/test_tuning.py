"""`tuning` and `labels` from the command line: numbers, figures, a person's labels, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torch import nn

from micrographia.cli import run
from micrographia.errors import BadValue
from micrographia.jobs.branches import read_labels
from micrographia.jobs.labels import labels
from micrographia.jobs.tuning import sheet, tuning, write_tuning
from micrographia.model.card import Card
from micrographia.model.graph import LayerGraph
from micrographia.model.trace import trace
from tests.networks import Inception, Preactivated, seeded

SIZE = (31, 37)


def small() -> LayerGraph:
    return trace(seeded(Inception), Card("small", size=SIZE, resize=40))


def test_the_command_tells_what_a_gabor_is_tuned_to(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["tuning", "mini-inception", "conv2d0:0", "--stimuli", "gratings,edges,spots", "--pictures", "2"]
    assert run([*words, "--out", str(tmp_path), "--json"]) == 0
    plain = json.loads(capsys.readouterr().out)
    (unit,) = plain["units"]
    assert unit["unit"] == "conv2d0:0"
    assert unit["families"]["gratings"]["preferred"] == pytest.approx(88, abs=3)
    assert unit["families"]["gratings"]["finding"]["corrected_p"] <= 0.05
    assert unit["families"]["gratings"]["echo"] is None
    assert unit["families"]["gratings"]["peak_sd"] > 5
    assert len(unit["families"]["edges"]["harmonics"]) == 3
    assert unit["families"]["spots"]["finding"]["p"] is None
    assert plain["families"]["gratings"][1]["name"] == "frequency"
    assert json.loads((tmp_path / "tuning.json").read_text()) == plain
    for name in ("gratings", "edges", "spots"):
        assert np.asarray(Image.open(tmp_path / f"{name}.png")).std() > 5
    assert run(words) == 0
    shown = capsys.readouterr().out
    assert "conv2d0:0" in shown
    assert "88" in shown


def test_a_layer_is_measured_in_one_pass_and_its_best_units_are_drawn(tmp_path: Path) -> None:
    seen: dict[str, int] = {}

    def stages(name: str, total: int):  # type: ignore[no-untyped-def]
        seen[name] = total
        return lambda count: None

    found = tuning(small(), "concat", "curves,lines", pictures=3, stages=stages)
    assert seen == {"stimuli": 432 + 216, "pictures": 3}
    assert len(found.units) == 17
    best = found.strongest("curves")
    assert all(found.families["curves"].corrected[unit] <= 0.05 for unit in best)
    drawn = sheet(found, "lines", [0, 1])
    assert drawn.maps.shape == (2, 2, 18)
    # a map's highest answer is the curve's or more, as the curve is its mean or maximum
    assert (drawn.maps.max((1, 2)) >= drawn.curves.max(1) - 1e-9).all()
    files = write_tuning(found, tmp_path, "svg")
    assert all(path.read_bytes().startswith(b"<?xml") for path in files)
    assert len(found.to_json()["units"]) + len(found.to_json()["dead"]) == 17


def test_sizes_are_fields_or_px() -> None:
    graph = small()
    assert tuning(graph, "stem:0", "gradients", "9px", pictures=0).field == 9
    whole = tuning(graph, "stem:0", "gradients", pictures=0)
    assert whole.field == max(graph.layer("stem").receptive_field or ())
    assert "none were looked at" in whole.notes[-1]
    with pytest.raises(BadValue, match="'wide' is no size for stimuli of stem"):
        tuning(graph, "stem:0", "gradients", "wide")


def test_over_the_map_answers_are_at_least_the_middle_cell_s() -> None:
    graph = small()
    middle, anywhere = (tuning(graph, "stem", "edges", pictures=0, over_map=each) for each in (False, True))
    value = [each.answers.excited["edges"] + each.answers.grey[:, None, None] for each in (middle, anywhere)]
    # a larger picture, so the last digits may differ
    assert (value[1] >= value[0] - 1e-6).all()
    assert (value[1] > value[0] + 1e-3).any()


def test_a_grey_network_has_labels_without_colour_and_dead_units_none() -> None:
    model = seeded(lambda: nn.Sequential(nn.Conv2d(1, 13, 5), nn.ReLU()))
    model[0].bias.data[3] = -100
    graph = trace(model, Card("grey", size=SIZE, resize=40, channels=1, mean=(0.5,), std=(0.25,)))
    found = labels(graph, "1", copies=2)
    assert found.dead == (3,)
    assert "1:3" in found.notes[-1]
    assert found.labels[3].label == "none"
    assert "colour" not in found.labels[0].scores
    assert sum(found.counts().values()) == 12
    with pytest.raises(BadValue, match="one channel, which has no hue for 'colour-edges'"):
        tuning(graph, "1", "colour-edges")


@pytest.mark.long
def test_networks_that_have_learned_nothing_have_no_labels() -> None:
    rates = []
    for seed in range(3):
        model = seeded(lambda: nn.Sequential(nn.Conv2d(3, 23, 7), nn.ReLU(), nn.Conv2d(23, 29, 3), nn.ReLU()), seed)
        graph = trace(model, Card("random", size=(29, 29), resize=32))
        found = labels(graph, "3", copies=6, seed=10 * seed)
        rates.append(np.mean([each.measured != "none" for each in found.labels]))
    # units of one network share the layer before, so that one network in some may have several
    assert np.mean(rates) <= 0.05


def test_the_labels_command_takes_a_person_s_word(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("0,horizontal Gabor\nconv2d0:5,gradient\n")
    words = ["labels", "mini-inception", "conv2d0", "--copies", "1"]
    assert run([*words, "--given", str(path), "--json"]) == 0
    plain = json.loads(capsys.readouterr().out)
    assert len(plain["labels"]) == 48
    assert plain["labels"][0]["label"] == "horizontal Gabor"
    assert plain["labels"][0]["measured"] != "horizontal Gabor"
    assert [each["by"] for each in plain["labels"]].count("person") == 2
    assert plain["counts"]["gradient"] == 1
    assert run([*words, "--given", str(path), "--out", str(tmp_path / "out")]) == 0
    assert "horizontal Gabor" in capsys.readouterr().out
    called = json.loads((tmp_path / "out" / "labels.json").read_text())
    assert called["horizontal Gabor"] == [0]
    assert sorted(unit for units in called.values() for unit in units) == list(range(48))
    assert read_labels(str(tmp_path / "out" / "labels.json"), "conv2d0", 48)[5] == "gradient"
    assert np.asarray(Image.open(tmp_path / "out" / "labels.png")).std() > 5


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["tuning", "mini-inception", "mixed4a"], "A cell of mixed4a sees 171 x 171 px, more than a picture of 112"),
        (["tuning", "mini-inception", "head.fc"], "no maps"),
        (["tuning", "mini-inception", "mixed3a:900"], "mixed3a has no unit 900"),
        (["tuning", "mini-inception", "conv2d0", "--stimuli", "curve"], "no stimuli 'curve'. Near it: curves"),
        (["tuning", "mini-inception", "conv2d0", "--images", "nowhere"], "nowhere"),
        (["labels", "mini-inception", "mixed4a"], "A cell of mixed4a sees 171 x 171 px"),
        (["labels", "mini-inception", "conv2d0", "--given", "nowhere.json"], "nowhere.json"),
    ],
)
def test_wrong_input_is_a_sentence(words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(words) == 2
    assert sentence in capsys.readouterr().err


def test_a_network_before_its_relu_is_measured_too() -> None:
    graph = trace(seeded(Preactivated), Card("signed", size=SIZE, resize=40))
    found = tuning(graph, "conv2", "gratings", pictures=0)
    assert found.families["gratings"].peak.min() > 0
