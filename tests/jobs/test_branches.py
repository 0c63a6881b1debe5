"""`branches` from labels and from weights, on networks of the tests and a bundled one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from micrographia.cli import run
from micrographia.errors import BadValue
from micrographia.jobs.branches import _by_family, _by_score, _measure, read_labels, specialisation, write_branches
from micrographia.jobs.choose import open_network
from micrographia.model.card import Card
from micrographia.model.graph import LayerGraph
from micrographia.model.trace import trace
from micrographia.study.traits import colour_index, grating_frequencies, spectral_traits
from micrographia.study.weights import expanded
from tests.networks import seeded


class Two(nn.Module):
    """Two branches of different build on one stem."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 11, 5, stride=2, padding=2)
        self.wide = nn.Conv2d(11, 17, 1)
        self.narrow = nn.Conv2d(11, 2, 1)
        self.large = nn.Conv2d(2, 13, 5, padding=2)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.stem(x))
        return torch.cat([self.wide(x), self.large(torch.relu(self.narrow(x)))], 1)


def graph_of(model: nn.Module) -> LayerGraph:
    return trace(model, Card("test", size=(31, 37)))


def test_the_scores_are_those_of_the_whole_expanded_kernels() -> None:
    graph = graph_of(seeded(Two))
    found = _measure(graph, "stem", "concat")(graph)
    kernels = expanded(graph, "input", "concat").kernels / np.array(graph.card.std)[:, None, None]
    field = graph.layer("concat").receptive_field
    assert field is not None
    rows, columns = grating_frequencies(1 / (2 * max(field)))
    y, x = np.mgrid[: kernels.shape[2], : kernels.shape[3]]
    waves = np.exp(-2j * np.pi * (rows[:, None, None] * y + columns[:, None, None] * x))
    whole = spectral_traits(np.einsum("uchw,fhw->ucf", kernels, waves), rows, columns)
    for trait in ("colour", "frequency", "orientation"):
        assert found[trait] == pytest.approx(whole[trait], rel=1e-4)
    # colour is an energy of the whole spectrum, which the gratings sample
    assert np.corrcoef(found["colour"], colour_index(kernels))[0, 1] > 0.9


def test_random_weights_show_nothing_beyond_the_stated_rate() -> None:
    p, held = [], 0
    for seed in range(8):
        found = specialisation(graph_of(seeded(Two, seed)), "concat", trials=39, seed=100 * seed)
        p += [each.p for each in found.scores]
        held += any(each.holds() for each in found.scores)
    assert len(p) == 8 * 2 * 3
    # the two branches mirror each other: 24 separate tests, of which 2.4 are expected, and 7 or more 1 time in 100
    assert np.mean(np.array(p) <= 0.1) < 7 / 24
    assert held < 3


def test_a_branch_made_for_colour_is_found() -> None:
    model = seeded(Two)
    with torch.no_grad():
        model.stem.weight[:6] = model.stem.weight[:6].mean(1, keepdim=True)  # six grey units
        model.stem.weight[6:] -= model.stem.weight[6:].mean(1, keepdim=True)  # five of pure colour
        model.wide.weight[:, 6:] = 0
        model.narrow.weight[:, :6] = 0
    found = specialisation(graph_of(model), "concat", trials=199)
    best = {each.what: each for each in found.scores}
    assert best["colour in large"].effect == 1
    assert best["colour in large"].holds()
    assert best["colour in wide"].effect == -1


def test_the_drawing_has_a_row_for_each_branch_and_with_labels_for_each_family(tmp_path: Path) -> None:
    graph = graph_of(seeded(Two))
    plain = specialisation(graph, "concat", trials=0)
    rows = _by_score(plain)
    assert [heading.partition(":")[0] for heading, _ in rows] == list(plain.branches)
    assert sorted(unit for _, units in rows for unit in units) == list(range(30))
    kind = rows[0][0].rpartition("; ")[2].partition(" ")[0]
    for _, units in rows:
        known = plain.values[kind][units]
        assert (np.diff(known[np.isfinite(known)]) <= 0).all()
    labels = {"dots": list(range(17, 30)), "rest": list(range(17))}
    (tmp_path / "labels.json").write_text(json.dumps(labels))
    told = specialisation(graph, "concat", str(tmp_path / "labels.json"))
    heading, units = _by_family(told)[0]
    assert heading.startswith(("dots in large: 13 of 13", "rest in wide: 17 of 17"))
    assert units in labels.values()
    for found in (plain, told):
        path = write_branches(graph, found, tmp_path / "out")
        assert path.read_bytes()[:4] == b"\x89PNG"
        assert json.loads((tmp_path / "out" / "branches.json").read_text()) == json.loads(json.dumps(found.to_json()))


def test_without_redrawn_weights_the_null_says_so() -> None:
    found = specialisation(graph_of(seeded(Two)), "concat", trials=0)
    assert {each.null for each in found.scores} == {"units exchanged"}
    assert "may come from how the branches are built" in found.notes[0]


@pytest.mark.parametrize("name", ["labels.json", "nested.json", "labels.csv"])
def test_labels_are_read_from_every_form(name: str, tmp_path: Path) -> None:
    families = {"curves": [0, 3], "lines": [1, 2, 4]}
    path = tmp_path / name
    if name.endswith("json"):
        path.write_text(json.dumps(families if name == "labels.json" else {"layers": {"cat": families, "stem": {}}}))
    else:
        path.write_text("unit,family\ncat:0,curves\n3,curves\n\n1,lines\n2,lines\ncat:4,lines\n")
    assert read_labels(str(path), "cat", 5) == ["curves", "lines", "lines", "curves", "lines"]


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("a.json", '{"a": [0, 1], "b": [1, 2]}', "1 have two labels"),
        ("a.json", '{"a": [0, 1]}', "2 have none"),
        ("a.json", '{"a": [0, 1, 2, 9]}', "9, which are not among its 3"),
        ("a.json", '{"mixed3a": {"a": [0]}}', "labels are not about cat"),
        ("a.json", "{", "holds no labels that can be read"),
        ("a.json", "[1]", "holds no labels that can be read"),
        ("a.csv", "0,a\nother:1,b", "'other:1' is no unit of cat"),
        ("a.csv", "0,a\nx,b", "holds no labels that can be read"),
        ("a.csv", "0\n1\n2", "holds no labels that can be read"),
    ],
)
def test_labels_that_do_not_fit_are_a_sentence(name: str, text: str, sentence: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(BadValue, match=sentence):
        read_labels(str(tmp_path / name), "cat", 3)


def test_the_published_labels_belong_to_the_network_s_size() -> None:
    assert read_labels("published", "mixed3b", 480)[379] == "Curves"
    with pytest.raises(BadValue, match="are not among its 176 units"):
        read_labels("published", "mixed3a", 176)


def test_the_command_finds_families_of_a_label_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    graph = open_network("mini-inception")
    spans = {b.name: range(b.first, b.last + 1) for b in graph.layer("mixed3a").branches}
    path = tmp_path / "labels.json"
    path.write_text(json.dumps({f"family of {name}": list(units) for name, units in spans.items()}))
    assert run(["branches", "mini-inception", "mixed3a", "--labels", str(path), "--json"]) == 0
    plain = json.loads(capsys.readouterr().out)
    assert np.diag(plain["families"]["table"]).tolist() == [len(units) for units in spans.values()]
    assert plain["families"]["mutual_information"]["p"] == pytest.approx(1e-4)
    assert run(["branches", "mini-inception", "mixed3a", "--labels", str(path)]) == 0
    assert "Mutual information" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["mini-inception", "conv2d0"], "conv2d0 has one path only. Layers with branches: mixed3a"),
        (["mini-vgg", "conv1_1"], "has no branches to compare"),
        (["mini-inception", "mixed3a", "--labels", "nowhere.json"], "nowhere.json"),
    ],
)
def test_wrong_input_is_a_sentence(words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["branches", *words]) == 2
    assert sentence in capsys.readouterr().err


class Residual(nn.Module):
    """A by-pass and a block of two convolutions that meet in a sum; the block writes some channels only."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 13, 5, stride=2, padding=2)
        self.first = nn.Conv2d(13, 11, 3, padding=1)
        self.second = nn.Conv2d(11, 13, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.stem(x))
        return x + self.second(torch.relu(self.first(x)))


def residual(grey: bool) -> LayerGraph:
    """Channels 0 to 5 come from the block, the others hardly; with `grey` only those that it writes are grey."""
    model = seeded(Residual)
    with torch.no_grad():
        model.second.weight[:6] *= 40
        model.second.weight[6:] /= 40
        model.stem.bias.fill_(2)
        if grey:
            model.stem.weight[:6] = model.stem.weight[:6].mean(1, keepdim=True)
            model.stem.weight[6:] -= model.stem.weight[6:].mean(1, keepdim=True)
            model.first.weight[:, 6:] = 0
    return graph_of(model)


def test_the_paths_of_a_sum_are_told_by_their_shares() -> None:
    graph = residual(False)
    found = specialisation(graph, "add", trials=0, pictures=8)
    assert found.paths is not None
    assert list(found.branches) == list(found.paths.names)
    block = found.members()["second"]
    assert block == list(range(6))
    assert found.paths.shares.sum(0) == pytest.approx(1)
    assert found.paths.halves > 0.8
    assert {each.null for each in found.scores} == {"units exchanged"}
    assert "Mean share" in found.notes[0]


def test_a_path_made_for_black_and_white_is_found_and_chance_is_not() -> None:
    found = specialisation(residual(True), "add", trials=99, pictures=8)
    best = {each.what: each for each in found.scores}["colour along second"]
    assert best.effect < -0.6
    assert best.holds()
    plain = specialisation(residual(False), "add", trials=39, pictures=8)
    assert not any(each.holds() for each in plain.scores)


def test_labels_of_a_sum_are_counted_by_the_path_with_the_largest_share(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    graph, path = residual(False), tmp_path / "labels.json"
    path.write_text(json.dumps({"a": list(range(6)), "b": list(range(6, 13))}))
    found = specialisation(graph, "add", str(path), pictures=8)
    assert found.families is not None
    second = found.families.branches.index("second")
    assert found.families.table[:, second].tolist() == [6, 0]
    assert found.families.information.holds()
    write_branches(graph, found, tmp_path / "out")
    assert set(json.loads((tmp_path / "out" / "branches.json").read_text())["paths"]["largest"]) == set(found.branches)
    assert run(["branches", "mini-resnetv2", "block1.unit1", "--trials", "0", "--pictures", "3"]) == 2
    assert "3 pictures tell too little" in capsys.readouterr().err
