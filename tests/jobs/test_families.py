"""`families` end to end: planted networks, networks of nothing, circuits, scores, and what bad input is told."""

from __future__ import annotations

import json
from math import comb
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from micrographia.cli import run
from micrographia.errors import BadValue
from micrographia.jobs.equivariance import circuits, write_circuits
from micrographia.jobs.evidence import own_weights
from micrographia.jobs.families import LayerFamilies, layer_families, scored, write_families
from micrographia.jobs.family_answers import branch_findings, family_answers, write_answers
from micrographia.model.card import Card
from micrographia.model.trace import trace
from micrographia.study.equivariance import KINDS
from tests.networks import SIZE, Inception, ResNet, seeded
from tests.planted_families import Planted, first_layer, recovered, second_layer


@pytest.fixture(scope="module")
def two() -> tuple[Planted, LayerFamilies]:
    planted = second_layer(noise=0.5, others=11)
    return planted, layer_families(planted.graph, planted.layer, trials=39)


def test_rotated_families_that_read_rotated_families(two: tuple[Planted, LayerFamilies]) -> None:
    planted, found = two
    recall, precision, off = recovered([each.family for each in found.families], planted)
    assert min(recall, precision) >= 0.95
    assert off.mean() <= 5
    for each in found.families:
        assert each.found_in in (("weights", "responses"), ("responses", "weights"))
        assert min(each.evidence.values()) > 0.5
        assert each.family.corrected == pytest.approx(0.05)


@pytest.mark.parametrize("group", ["rotation", "reflection", "hue", "scale"])
def test_families_in_a_layer_that_reads_pixels(group: str) -> None:
    planted = first_layer(group, sizes=(7, 5), noise=0.4, others=11, seed=2)
    found = layer_families(planted.graph, planted.layer, group, ("weights",), trials=19)
    recall, precision, off = recovered([each.family for each in found.families], planted)
    assert min(recall, precision) >= 0.95
    assert off.mean() <= (0.2 if group == "scale" else 5)


def test_a_network_of_nothing_has_no_families() -> None:
    alarms = 0
    for seed in range(3):
        graph = trace(seeded(lambda: nn.Sequential(nn.Conv2d(3, 13, 5), nn.ReLU()), seed), Card("test", size=SIZE))
        layer = graph.main_layers()[-1].name
        alarms += bool(layer_families(graph, layer, kinds=("weights",), trials=19, seed=seed).families)
    assert alarms <= 1


def test_what_is_printed_is_what_the_documentation_promises(two: tuple[Planted, LayerFamilies]) -> None:
    planted, found = two
    body = json.loads(json.dumps(found.to_json()))
    assert (body["layer"], body["group"]) == (planted.layer, "rotation")
    first = body["families"][0]
    assert set(first) >= {"label", "members", "coverage_gap", "correlation", "p", "p_corrected", "evidence"}
    assert set(first["members"][0]) == {"unit", "element", "score"}
    assert set(first["evidence"]) == {"weights", "responses"}
    assert first["members"][0]["unit"].startswith(f"{planted.layer}:")


def test_circuits_between_the_families_of_two_layers(two: tuple[Planted, LayerFamilies], tmp_path: Path) -> None:
    planted, found = two
    lower = planted.graph.main_layers()[0].name
    below = layer_families(planted.graph, lower, kinds=("weights",), trials=19)
    between = circuits(planted.graph, below, found, trials=99)
    assert len(between) == len(found.families) * (1 + len(below.families))
    kinds = [each.circuit.kind for each in between if each.mixtures is None]
    assert kinds.count(KINDS[2]) >= len(kinds) / 2
    mixed = [each.mixtures for each in between if each.mixtures is not None]
    assert len(mixed) == len(found.families)
    assert all(-1 <= r <= 1 for each in mixed for r in each.opposition)
    assert all(each.octaves is not None and each.octaves.corrected >= each.octaves.p for each in mixed)
    paths = write_circuits(between, tmp_path)
    assert all(path.read_bytes()[:4] == b"\x89PNG" for path in paths)
    written = json.loads((tmp_path / "circuits.json").read_text())
    assert {"from", "to", "kind", "shares", "numbers", "rows", "columns"} <= set(written[0])


def test_what_families_answer_to_follows_their_elements(two: tuple[Planted, LayerFamilies], tmp_path: Path) -> None:
    planted = first_layer("rotation", sizes=(8,), noise=0.2, others=9, seed=2)
    found = layer_families(planted.graph, planted.layer, kinds=("weights",), trials=19)
    told = family_answers(planted.graph, found, copies=2)
    (best, *_) = told.of(found.families[0].label)
    assert best.off < 8
    assert best.finding.corrected <= 0.05
    assert sum(told.labels[found.families[0].label].values()) == len(found.families[0].family.members)
    (figure, *_) = write_answers(told, tmp_path)
    assert figure.read_bytes()[:4] == b"\x89PNG"
    assert json.loads((tmp_path / "answers.json").read_text()) == told.to_json()
    mirrored = layer_families(planted.graph, planted.layer, "reflection", ("weights",), trials=19)
    with pytest.raises(BadValue, match="Stimuli have no values that follow reflection"):
        family_answers(planted.graph, mirrored)


def test_the_branch_that_holds_a_family() -> None:
    graph = trace(seeded(Inception), Card("test", size=SIZE))
    layer = graph.main_layers()[-1]
    first, second = layer.branches[:2]
    own, mixed = range(first.first, first.last + 1), [first.first, second.first]
    ((name, finding), (_, other)) = branch_findings(graph, layer.name, {"a": own, "b": mixed})
    wide = first.last + 1 - first.first
    assert name == "a"
    assert finding.what == f"{wide} of {wide} in {first.name}"
    assert finding.p == pytest.approx(1 / comb(layer.channels, wide))
    assert finding.corrected <= 0.05 < other.corrected
    assert branch_findings(graph, "stem", {"a": [0, 1]}) == ()


def test_scores_and_figures(two: tuple[Planted, LayerFamilies], tmp_path: Path) -> None:
    planted, found = two
    labels = tmp_path / "labels.json"
    names = [f"kind {each}" for each in planted.family]
    labels.write_text(json.dumps({name: [i for i, n in enumerate(names) if n == name] for name in sorted(set(names))}))
    against = scored(found, str(labels))
    assert against.score is not None
    assert against.score.rand > 0.9
    assert "kind" in against.families[0].label
    assert against.to_json()["score"]["adjusted_rand"] == against.score.rand
    paths = write_families(planted.graph, against, tmp_path / "out")
    assert [path.name for path in paths] == [f"family-{i}.png" for i in range(1, len(found.families) + 1)]
    assert json.loads((tmp_path / "out" / "families.json").read_text())["layer"] == planted.layer


def test_a_layer_s_own_weights_start_where_all_paths_meet() -> None:
    graph = trace(seeded(Inception), Card("test", size=SIZE))
    block = graph.main_layers()[-1].name
    source, modules = own_weights(graph, block)
    assert graph.layer(source).name == "stem"
    assert len(modules) == 6
    graph = trace(seeded(ResNet), Card("test", size=SIZE))
    source, modules = own_weights(graph, "layer1.0")
    assert (graph.layer(source).name, len(modules)) == ("stem", 2)


def test_dead_units_are_listed_and_not_matched() -> None:
    planted = first_layer("rotation", sizes=(7,), noise=0.3, others=7)
    model = nn.Sequential(nn.Conv2d(3, 14, 11, padding=5, bias=False), nn.ReLU()).eval()
    with torch.no_grad():
        model[0].weight.copy_(planted.graph.module.get_parameter("0.weight"))
        model[0].weight[3] = 0
    graph = trace(model, Card("test", size=(64, 64)))
    found = layer_families(graph, graph.main_layers()[-1].name, kinds=("weights",), trials=19)
    assert found.dead == {"weights": (3,)}
    assert all(3 not in each.family.members for each in found.families)


def test_bad_input_is_told_in_one_sentence() -> None:
    grey = trace(seeded(lambda: nn.Sequential(nn.Conv2d(1, 7, 3), nn.ReLU())), Card("grey", size=SIZE, channels=1, mean=(0.5,), std=(1.0,)))  # fmt: skip
    layer = grey.main_layers()[-1].name
    with pytest.raises(BadValue, match="grey sees pictures of 1 channel, which have no hue"):
        layer_families(grey, layer, "hue")
    with pytest.raises(BadValue, match="There is no group 'turns'"):
        layer_families(grey, layer, "turns")
    with pytest.raises(BadValue, match="There is no evidence 'guesses'"):
        layer_families(grey, layer, kinds=("guesses",))
    few = trace(seeded(lambda: nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU())), Card("few", size=SIZE))
    with pytest.raises(BadValue, match="has 5 units, too few to tell families of 3 or more from chance"):
        layer_families(few, few.main_layers()[-1].name)
    graph = trace(seeded(Inception), Card("test", size=(9, 9)))
    with pytest.raises(BadValue, match="more than a picture of 9 x 9 px shows"):
        layer_families(graph, graph.main_layers()[-1].name)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("mixed4a",), "more than a picture of 112 x 112 px shows"),
        (("conv2d0", "--group", "turns"), "There is no group 'turns'"),
        (("conv2d9",), "conv2d9"),
        (("conv2d0", "--evidence", "guesses"), "There is no evidence 'guesses'"),
        (("conv2d0", "--score", "{empty}"), "empty.json holds no labels. Write JSON"),
        (("conv2d0", "--inputs", "conv2d2"), "conv2d0 does not depend on conv2d2"),
        (("conv2d2", "--inputs", "conv2d0", "--group", "scale"), "Circuits cannot be followed under scale"),
        (("conv2d0", "--group", "reflection", "--answers"), "Stimuli have no values that follow reflection"),
        (("conv2d0", "--store", "{folder}"), "holds no store"),
    ],
)
def test_the_command_line_refuses_with_code_2_before_it_searches(
    arguments: tuple[str, ...], text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty.json").write_text("{}\n")
    given = [each.format(empty=tmp_path / "empty.json", folder=tmp_path) for each in arguments]
    assert run(["families", "mini-inception", *given]) == 2
    told = capsys.readouterr().err
    assert text in told
    assert "surrogate" not in told


@pytest.mark.long
def test_the_first_layer_of_a_trained_network_has_edges_all_around(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["families", "mini-inception", "conv2d0", "--evidence", "weights", "--trials", "19", "--json"]) == 0
    body = json.loads(capsys.readouterr().out)
    largest = max(body["families"], key=lambda each: len(each["members"]))
    assert len(largest["members"]) >= 5
    assert largest["coverage_gap"] < 150
    assert largest["correlation"] > 0.6
    assert np.ptp([each["element"] for each in largest["members"]]) > 180
