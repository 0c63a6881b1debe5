"""The curve network that is written by hand: its published numbers, its tuning, and what it does in another's place."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import stats
from torch import Tensor, nn

from micrographia.circuits.handmade import (
    CURVES,
    LINES,
    CurveNetwork,
    card,
    complex_gabors,
    curve_graph,
    curves,
    early_curves,
    gabors,
    lines,
)
from micrographia.circuits.implant import Graft, correlations, fitted, gain, implant, paired, scored, tail_of
from micrographia.cli import run
from micrographia.errors import BadAddress, BadValue
from micrographia.images.stimuli.frame import Frame, render
from micrographia.images.stimuli.shapes import Curves
from micrographia.jobs.handmade import class_numbers, named_units, pools
from micrographia.model import patch
from micrographia.model.card import normalise
from micrographia.model.edit import Ablate, Edit, Implant
from micrographia.model.graph import Layer, LayerGraph
from micrographia.model.probe import probe
from micrographia.model.trace import trace
from micrographia.study.tuning import measured, tune
from micrographia.unit import Unit
from tests.jobs.tiny import write_model
from tests.pictures import write_pictures

DIRECTIONS = (0.0, 80.0, 170.0, 260.0)


class Reader(nn.Module):
    """A classifier whose only layer of maps is the curve network: class i is where curve i answers most."""

    def __init__(self) -> None:
        super().__init__()
        self.network = CurveNetwork(DIRECTIONS)
        self.head = nn.Linear(len(DIRECTIONS), len(DIRECTIONS))
        with torch.no_grad():
            self.head.weight.copy_(torch.eye(len(DIRECTIONS)))
            self.head.bias.zero_()

    def forward(self, value: Tensor) -> Tensor:
        result: Tensor = self.head(self.network(value).mean((2, 3)) / 5)
        return result


@pytest.fixture(scope="module")
def reader() -> LayerGraph:
    return trace(Reader().eval(), card((91, 91)))


@pytest.fixture(scope="module")
def arcs() -> tuple[Tensor, np.ndarray]:
    """Curves in each of the directions, bright and dark, of several curvatures; the label is the direction."""
    family = Curves(36, (1.0, 1.5, 2.0, 2.5))
    chosen = [i for i in range(2 * 4 * 36) if 10.0 * (i % 36) in DIRECTIONS]
    labels = np.array([DIRECTIONS.index(10.0 * (i % 36)) for i in chosen])
    return render(family, Frame.square(91), chosen), labels


def test_gabors_have_no_mean_and_each_orientation_is_its_own() -> None:
    bank = gabors()
    assert np.abs(bank.sum((1, 2))).max() < 1e-12
    assert np.abs(bank).sum((1, 2)) == pytest.approx(2)
    # the phases 0 and 180 are negatives of each other
    assert bank[2::4] == pytest.approx(-bank[::4])
    even = bank[::4].reshape(len(LINES), -1)
    assert ((even @ even.T).argmax(1) == np.arange(len(LINES))).all()


def test_complex_gabors_sum_the_phases_of_one_orientation() -> None:
    found = complex_gabors()[:, :, 0, 0]
    assert (found.sum(1) == 4).all()
    assert (found.argmax(1) // 4 == np.arange(len(LINES))).all()


def test_a_quarter_turn_of_a_unit_is_the_turned_unit() -> None:
    """Turned directions of what is read, turned places: the kernels have to be the same numbers."""
    quarter = len(LINES) // 2, len(CURVES) // 4
    bank = lines()
    turned = np.rot90(np.roll(bank[0], quarter[0], 0), 1, (1, 2))
    assert bank[quarter[0]] == pytest.approx(turned)
    bank = early_curves()
    assert bank[quarter[1]] == pytest.approx(np.rot90(np.roll(bank[0], quarter[0], 0), 1, (1, 2)))
    one, other = curves([20.0, 110.0])
    moved = np.concatenate([np.roll(one[:24], quarter[1], 0), np.roll(one[24:], quarter[0], 0)])
    assert other == pytest.approx(np.rot90(moved, 1, (1, 2)))


def test_kernels_agree_with_the_published_examples() -> None:
    """A line along the rising diagonal, and how curves of all differences of orientation add up in the last layer."""
    published = np.array([[-0.08, 0.28, 0.97], [0.41, 1, 0.41], [0.97, 0.28, -0.08]])
    bank = lines()
    own = (bank[13, 13] + bank[14, 14]) / 2  # 130 and 140 degrees across
    assert own == pytest.approx(published, abs=0.14)
    sums = curves([0.0])[0, :13].sum((1, 2))
    wanted = [5.8, 4.9, 3.1, 1.4, 0.3, 0, -0.1, -0.2, -0.6, -1.8, -4.2, -6.9, -7.9]
    assert np.corrcoef(sums, wanted)[0, 1] > 0.97


def test_curves_prefer_the_direction_they_were_written_for() -> None:
    directions = (7.0, 100.0, 233.0)
    graph = curve_graph(directions)
    family = Curves(24, (1.0, 2.0))
    found = tune(family, measured(probe(graph, "curves"), {"curves": family}, 91).excited["curves"], 19)
    assert found.preferred == pytest.approx(np.array(directions), abs=5)
    assert found.echo.max() < 0.15
    assert 20 < found.width.min() < found.width.max() < 50
    layer = graph.layer("curves")
    assert (layer.stride, layer.offset, layer.receptive_field) == ((8.0, 8.0), (6.0, 6.0), (75, 75))


@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_an_even_surface_is_no_curve(level: float) -> None:
    inside = CurveNetwork()(torch.full((1, 3, 155, 155), level - 0.5))[:, :, 8:-8, 8:-8]
    assert inside.numel()
    assert not inside.any()


def test_directions_that_are_none_are_refused() -> None:
    for directions in ([], [float("nan")]):
        with pytest.raises(BadValue, match="Give degrees, one or more"):
            CurveNetwork(directions)


def test_gains_equal_a_straight_line_fitted_by_numpy() -> None:
    rng = np.random.default_rng(0)
    made = torch.from_numpy(rng.normal(0, 2, (5, 3, 7, 11)))
    own = torch.from_numpy(rng.normal(1, 1, (5, 3, 7, 11))) + made * torch.tensor([0.5, -0.5, 2.0])[:, None, None]
    scale, offset = gain(made, own)
    for unit in (0, 2):
        slope, level = np.polyfit(made[:, unit].numpy().ravel(), own[:, unit].numpy().ravel(), 1)
        assert (scale[unit], offset[unit]) == (pytest.approx(slope), pytest.approx(level))
    assert (scale[1], offset[1]) == (0, pytest.approx(float(own[:, 1].mean())))
    scale, offset = gain(made, own, "equal spread")
    new = made * scale[:, None, None] + offset[:, None, None]
    assert new.mean((0, 2, 3)).numpy() == pytest.approx(own.mean((0, 2, 3)).numpy())
    assert new.std((0, 2, 3)).numpy() == pytest.approx(own.std((0, 2, 3)).numpy())
    assert torch.equal(fitted(made, scale, offset), new.relu())
    assert gain(torch.ones(1, 1, 2, 2), torch.full((1, 1, 2, 2), 3.0))[0].tolist() == [0]
    assert correlations(made, own)[2] == pytest.approx(np.corrcoef(made[:, 2].ravel(), own[:, 2].ravel())[0, 1])
    with pytest.raises(BadValue, match="cannot be fitted by 'eye'"):
        gain(made, own, "eye")


def test_a_graft_gives_the_curves_at_the_cells_of_the_other_layer() -> None:
    pictures = torch.rand(2, 3, 91, 107, generator=torch.Generator().manual_seed(1))
    own = card((91, 107))
    shown = normalise(pictures, own)
    network = CurveNetwork(DIRECTIONS)
    with torch.no_grad():
        wanted = network(shown)
        same = Layer("x", "conv", (9, 11, 13), stride=(8.0, 8.0), offset=(6.0, 6.0))
        assert torch.allclose(Graft(own, same, DIRECTIONS)(shown), wanted, atol=1e-4)
        between = Layer("x", "conv", (9, 10, 6), stride=(8.0, 16.0), offset=(10.0, 6.0))
        halves = (wanted[:, :, :10, :12:2] + wanted[:, :, 1:, :12:2]) / 2
        assert torch.allclose(Graft(own, between, DIRECTIONS)(shown), halves, atol=1e-4)
    with pytest.raises(BadValue, match="need a layer of maps"):
        Graft(own, Layer("x", "linear", (9,)), DIRECTIONS)


def test_a_network_made_of_handwritten_curves_takes_the_implant_for_its_own(
    reader: LayerGraph, arcs: tuple[Tensor, np.ndarray]
) -> None:
    """The planted answer: removed, nothing is left; implanted, everything is; exchanged, it is wrong."""
    pictures, labels = arcs
    layer, units = "network.curves", [Unit("network.curves", i) for i in range(4)]
    shown = normalise(pictures, reader.card)
    with torch.no_grad():
        values = reader.upto(layer)(shown)[layer]
        made = Graft(reader.card, reader.layer(layer), DIRECTIONS)(shown)
        tail = tail_of(reader, layer, "head")
        spare = torch.cat([values, torch.zeros_like(values)], 1)  # channels that nothing reads, as controls
        outcome = implant(
            lambda maps: tail(maps[:, :4]), spare, labels, units, DIRECTIONS, made, (made[::2], values[::2]),
            [[4, 5, 6, 7]] * 4, spare.mean((0, 2, 3)), batch=7,
        )  # fmt: skip
    found = {each.name: each for each in outcome.conditions}
    assert found["intact"].means["top1"] == 1
    for name in ("removed (zero)", "removed (mean)"):
        assert found[name].means["loss"] == pytest.approx(np.log(4), abs=0.02)
        assert found[name].means["top1"] == pytest.approx(0.25)
    for name in ("implanted (least squares)", "implanted (equal spread)", "others removed (zero)"):
        assert found[name].means["loss"] == pytest.approx(found["intact"].means["loss"], abs=1e-4)
        assert found[name].change["top1"].change == 0
    assert found["directions exchanged (equal spread)"].means["top1"] < 0.1
    assert min(outcome.correlation) > 0.999
    assert outcome.kept > 0.999
    against = {(one, other): change for one, other, change in outcome.against}
    gained = against["implanted (least squares)", "removed (zero)"]["top1"]
    assert (gained.gained, gained.lost) == (24, 0)
    assert gained.p == pytest.approx(2 * 0.5**24)


def test_what_is_computed_on_kept_maps_is_what_the_edited_network_gives(
    reader: LayerGraph, arcs: tuple[Tensor, np.ndarray]
) -> None:
    pictures, labels = arcs[0][::5], arcs[1][::5]
    layer, units = "network.curves", [Unit("network.curves", 1), Unit("network.curves", 3)]
    turned = Graft(reader.card, reader.layer(layer), (30.0, 200.0)).eval()
    shown = normalise(pictures, reader.card)
    with torch.no_grad():
        values = reader.upto(layer)(shown)[layer]
        made = turned(shown)
    outcome = implant(
        tail_of(reader, layer, "head"), values, labels, units, (30.0, 200.0), made, (made, values[:, [1, 3]]),
        [[0, 2]] * 2, values.mean((0, 2, 3)), batch=3,
    )  # fmt: skip
    scale, offset = gain(made, values[:, [1, 3]])
    turned.get_buffer("scale").copy_(scale)
    turned.get_buffer("offset").copy_(offset)
    edits: dict[str, Edit] = {
        "implanted (least squares)": Implant(units, turned, ("input",)),
        "removed (zero)": Ablate(units),
        "removed (mean)": Ablate(units, "mean", {layer: values}),
        "others removed (zero)": Ablate([Unit(layer, 0), Unit(layer, 2)]),
    }
    found = {each.name: each.means for each in outcome.conditions}
    for name, edit in edits.items():
        slow = scored(patch.run(reader, pictures, [edit], "head")["head"], labels).mean(0)
        assert list(found[name].values()) == pytest.approx(slow, abs=1e-5), name


def test_paired_differences_are_mcnemar_and_bootstrap_over_the_same_pictures() -> None:
    one, other = np.zeros((40, 3)), np.zeros((40, 3))
    one[:9, 0] = 1
    other[7:11, 0] = 1
    one[:, 2] = other[:, 2] = np.arange(40)
    weights = np.random.default_rng(0).multinomial(40, np.full(40, 1 / 40), 4000) / 40
    found = paired([one], [other], weights)
    top = found["top1"]
    assert (top.change, top.gained, top.lost) == (pytest.approx(5 / 40), 7, 2)
    assert top.p == pytest.approx(stats.binomtest(2, 9).pvalue)
    half = 1.96 * (one - other)[:, 0].std() / np.sqrt(40)
    assert (top.low, top.high) == (pytest.approx(5 / 40 - half, abs=0.02), pytest.approx(5 / 40 + half, abs=0.02))
    assert (found["loss"].low, found["loss"].high, found["loss"].p) == (0, 0, None)
    assert found["top5"].p == 1
    assert paired([one, one], [other], weights)["top1"].p is None


def test_others_are_drawn_from_the_unit_s_own_branch() -> None:
    from micrographia.jobs.choose import open_network

    graph = open_network("mini-inception")
    units, directions = named_units(graph, "mixed3b:190@10, 75, 191@-20.5")
    assert directions == (10.0, None, -20.5)
    found = pools(graph, units)
    assert found[0] == [each for each in range(184, 232) if each not in (190, 191)]
    assert found[1] == [each for each in range(72, 184) if each != 75]
    for text in ("mixed3b", "mixed3b:", "mixed3b:1@east,2", "mixed3b:1@nan,2"):
        with pytest.raises(BadAddress, match="does not name units and their directions"):
            named_units(graph, text)
    for text in ("mixed3b:4@20", "mixed3b:4@20,4@30"):
        with pytest.raises(BadValue, match="Name two or more different ones"):
            named_units(graph, text)


def test_class_folders_are_read_by_their_wordnet_id(tmp_path: Path) -> None:
    from micrographia.images.source import open_source

    source = open_source(write_pictures(tmp_path, ("n01443537_goldfish", "n03888257_parachute"), 2))
    assert class_numbers(source, 1000).tolist() == [1, 1, 701, 701]
    assert class_numbers(source, 2).tolist() == [0, 0, 1, 1]


def test_the_command_draws_the_network(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["handmade", "--out", str(tmp_path), "--json"]) == 0
    plain = json.loads(capsys.readouterr().out)
    assert [unit["unit"] for unit in plain["units"]] == [f"curves:{i}" for i in range(24)]
    assert json.loads((tmp_path / "tuning.json").read_text()) == plain
    for name in ("kernels.png", "tuning.png"):
        assert np.asarray(Image.open(tmp_path / name)).std() > 5


def test_the_command_implants_and_is_the_same_twice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = write_model(tmp_path) + ":make"
    pictures = write_pictures(tmp_path / "pictures", ("disc", "ring", "stripe"), 4)
    words = ["handmade", model, "--units", "block:0@0,3@90,5@215", "--images", str(pictures), "--pictures", "7",
             "--fit", "5"]  # fmt: skip
    assert run([*words, "--json", "--out", str(tmp_path / "out")]) == 0
    plain = json.loads(capsys.readouterr().out)
    assert (plain["pictures"], plain["fitted_on"], plain["directions"]) == (7, 5, [0.0, 90.0, 215.0])
    assert [each["name"] for each in plain["conditions"]][:3] == ["intact", "removed (zero)", "removed (mean)"]
    assert plain["tuning"][1]["made"]["preferred"] == pytest.approx(90, abs=30)  # of stimuli a dozen px wide
    for name in ("beside.png", "implant.png"):
        assert np.asarray(Image.open(tmp_path / "out" / name)).std() > 5
    assert run([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == plain
    assert run(words) == 0
    assert "implanted (least squares)" in capsys.readouterr().out
    for change, sentence in (
        (["--pictures", "9"], "Ask for fewer (--pictures, --fit)"),
        (["--units", "block:1,2"], "No curve excites block:1"),
        (["--units", "block:0@0,99@1"], "block has"),
        (["--images", str(pictures / "disc")], "has 1 classes, the network 3"),
        (["--units", ""], "Give --units and --images"),
    ):
        assert run([*words, *change]) == 2
        assert sentence in " ".join(capsys.readouterr().err.split())
    assert run(["handmade", "--units", "block:0,1"]) == 2
    assert "Name it first" in " ".join(capsys.readouterr().err.split())
