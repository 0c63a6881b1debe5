from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor, nn

from micrographia.errors import BadAddress, BadImages, BadValue
from micrographia.model.capture import capture
from micrographia.model.card import Card
from micrographia.model.graph import Layer, LayerGraph
from micrographia.model.trace import trace
from micrographia.study.classes import ClassTally, shuffled
from micrographia.study.examples import Survey, crop_box, survey
from tests.networks import NETWORKS, SIZE, Preactivated, seeded

CARD = Card("small", size=SIZE)
LAYERS = ["conv1", "add", "relu"]


def pictures(count: int = 23, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 3, *SIZE), dtype=np.uint8)


def batches(images: np.ndarray, size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for start in range(0, len(images), size):
        yield np.arange(start, min(start + size, len(images))), images[start : start + size]


@pytest.fixture(scope="module")
def graph() -> LayerGraph:
    return trace(seeded(Preactivated), CARD)


def activations(graph: LayerGraph, images: np.ndarray, layer: str) -> np.ndarray:
    maps = capture(graph, torch.from_numpy(images).double() / 255, layer)[layer].numpy()
    return maps[:, :, None, None] if maps.ndim == 2 else maps


def replica(maps: np.ndarray, keep: int) -> dict[str, np.ndarray]:
    """The slow way: every unit by itself, all pictures at hand."""
    found: dict[str, list] = {name: [] for name in ("values", "pictures", "positions", "mean", "std", "active", "some")}
    for unit in range(maps.shape[1]):
        ranked = []
        for picture in range(len(maps)):
            own = maps[picture, unit]
            cells = [(-own[i, j], i, j) for i in range(own.shape[0]) for j in range(own.shape[1])]
            value, i, j = min(cells)
            ranked.append((value, picture, (i, j)))
        ranked = sorted(ranked)[:keep]
        found["values"].append([-value for value, _, _ in ranked])
        found["pictures"].append([picture for _, picture, _ in ranked])
        found["positions"].append([position for _, _, position in ranked])
        found["mean"].append(maps[:, unit].mean())
        found["std"].append(maps[:, unit].std())
        found["active"].append((maps[:, unit] > 0).mean())
        found["some"].append((maps[:, unit] > 0).any((1, 2)).mean())
    return {name: np.array(values) for name, values in found.items()}


@pytest.mark.parametrize("keep", [1, 4, 30])
@pytest.mark.parametrize("layer", ["conv1", "add", "preact", "conv2"])
def test_against_the_slow_way(graph: LayerGraph, layer: str, keep: int) -> None:
    images = pictures()
    got = survey(graph, batches(images, 5), [layer], keep=keep)[layer]
    maps = activations(graph, images, layer)
    expected = replica(maps, keep)
    for name in ("values", "pictures", "positions"):
        assert np.array_equal(getattr(got, name), expected[name]), name
    assert (got.layer, got.seen) == (layer, 23)
    np.testing.assert_allclose(got.mean, expected["mean"], rtol=1e-9)
    np.testing.assert_allclose(got.std, expected["std"], rtol=1e-9)
    assert np.array_equal(got.active, expected["active"])
    assert np.array_equal(got.active_pictures, expected["some"])
    assert np.array_equal(got.least, maps.min((0, 2, 3)))
    assert np.array_equal(got.greatest, maps.max((0, 2, 3)))
    assert (got.histogram.counts.sum(1) == maps[:, 0].size).all()


def test_units_without_maps() -> None:
    graph = trace(seeded(NETWORKS["plain"]), CARD)
    got = survey(graph, batches(pictures(), 7), ["classifier"])["classifier"]
    expected = replica(activations(graph, pictures(), "classifier"), 9)
    assert np.array_equal(got.pictures, expected["pictures"])
    assert (got.positions == 0).all()
    np.testing.assert_allclose(got.std, expected["std"])


def equal(one: Survey, two: Survey) -> None:
    for name in ("values", "pictures", "positions", "least", "greatest", "active", "active_pictures"):
        assert np.array_equal(getattr(one, name), getattr(two, name)), name
    for name in ("exponent", "first", "counts"):
        assert np.array_equal(getattr(one.histogram, name), getattr(two.histogram, name)), name
    np.testing.assert_allclose(one.mean, two.mean, rtol=1e-9)
    np.testing.assert_allclose(one.std, two.std, rtol=1e-6)
    for name in ("count", "p"):
        assert np.array_equal(getattr(one.ranking, name), getattr(two.ranking, name)), name
    for name in ("mean", "half", "chance", "chance_half"):
        np.testing.assert_allclose(getattr(one.ranking, name), getattr(two.ranking, name), rtol=1e-9)


def test_batches_and_order_change_nothing(graph: LayerGraph) -> None:
    images = pictures()
    images[11] = images[4]  # a tie in every unit
    labels, classes = [i % 3 for i in range(23)], ("a", "b", "c")
    whole = survey(graph, batches(images, 23), LAYERS, labels=labels, classes=classes)
    for size in (1, 2, 7):
        got = survey(graph, batches(images, size), LAYERS, labels=labels, classes=classes)
        for layer in LAYERS:
            equal(got[layer], whole[layer])
    order = np.random.default_rng(1).permutation(23)
    mixed = ((order[start : start + 5], images[order[start : start + 5]]) for start in range(0, 23, 5))
    got = survey(graph, mixed, LAYERS, labels=labels, classes=classes)
    for layer in LAYERS:
        equal(got[layer], whole[layer])


class Counts(nn.Module):
    """Its one map holds the picture's first channel; whole numbers, so that ties are exact."""

    def __init__(self, scale: float = 255.0, offset: float = 0.0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 1)
        self.conv.weight.data = torch.tensor([[scale, 0, 0], [0, 0, 0]])[:, :, None, None]
        self.conv.bias.data = torch.tensor([offset, offset])

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x).round()


def counting(scale: float = 255.0, offset: float = 0.0) -> LayerGraph:
    return trace(Counts(scale, offset).eval(), Card("counts", size=(3, 5), mean=(0.0,) * 3, std=(1.0,) * 3))


@pytest.fixture(scope="module")
def whole_numbers() -> LayerGraph:
    return counting()


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.integers(1, 4))
def test_ties_go_to_the_lower_picture_and_the_first_position(
    whole_numbers: LayerGraph, seed: int, size: int, keep: int
) -> None:
    images = np.random.default_rng(seed).integers(0, 3, (11, 3, 3, 5), dtype=np.uint8)
    got = survey(whole_numbers, batches(images, size), ["round"], keep=keep)["round"]
    maps = images[:, :1].astype(float)
    expected = replica(np.concatenate([maps, np.zeros_like(maps)], 1), keep)
    assert np.array_equal(got.pictures, expected["pictures"])
    assert np.array_equal(got.positions, expected["positions"])
    assert got.pictures[1].tolist() == list(range(keep))
    assert (got.positions[1] == 0).all()


def test_a_small_spread_about_a_large_mean() -> None:
    images = pictures(29)[:, :, :3, :5] % 4
    got = survey(counting(offset=1e6), batches(images, 3), ["conv"])["conv"]
    values = np.rint(images[:, 0].astype(float))
    np.testing.assert_allclose(got.mean, [1e6 + values.mean(), 1e6], rtol=1e-12)
    np.testing.assert_allclose(got.std, [values.std(), 0], rtol=0.01)
    assert got.std[1] == 0


# --- classes


def test_a_planted_detector_ranks_its_class_first() -> None:
    rng = np.random.default_rng(5)
    images = rng.integers(0, 60, (120, 3, 3, 5), dtype=np.uint8)
    labels = rng.integers(0, 6, 120)
    images[labels == 4, 0, 1, 2] += 100
    got = survey(counting(), batches(images, 7), ["round"], labels=labels.tolist(), classes=tuple("abcdef"))["round"]
    ranking = got.ranking
    assert ranking.mean[0].argmax() == 4
    assert ranking.mean[0, 4] - ranking.half[0, 4] > ranking.chance[0] + ranking.chance_half[0, 4]
    assert ranking.p[0] == 1 / 100
    # the silent unit prefers nothing
    assert ranking.p[1] == 1
    assert (ranking.mean[1] == 0).all()
    assert got.class_mean is ranking.mean
    assert got.class_half is ranking.half
    assert got.class_count is ranking.count


def test_without_an_effect_p_is_spread_evenly() -> None:
    rng = np.random.default_rng(7)
    tally = ClassTally(400, 5, shuffled(rng.integers(0, 5, 60).tolist(), 5, 19, seed=1))
    tally.add(np.arange(60), rng.exponential(size=(400, 60)))
    p = tally.ranking().p
    assert set(np.round(p * 20)) <= set(range(1, 21))
    # every unit has its own data but the same shufflings, which leaves the expectation as it is
    assert 0.02 < (p <= 0.05).mean() < 0.09
    assert 0.4 < (p <= 0.5).mean() < 0.6


def test_means_and_intervals_by_hand() -> None:
    values = np.array([[3.0, 5.0, 4.0, 10.0, 0.0, 8.0, 7.0]])
    labels = [0, 0, 0, 1, 2, 2, -1]
    tally = ClassTally(1, 4, shuffled(labels, 4, 0, seed=0))
    for start in range(0, 7, 2):
        tally.add(np.arange(start, min(start + 2, 7)), values[:, start : start + 2])
    ranking = tally.ranking()
    assert ranking.count.tolist() == [3, 1, 2, 0]
    np.testing.assert_allclose(ranking.mean[0], [4, 10, 4, np.nan])
    # three pictures: 4.30 standard errors, not 1.96
    np.testing.assert_allclose(ranking.half[0, 0], stats.sem([3, 5, 4]) * 4.302652729911275)
    np.testing.assert_allclose(ranking.half[0, 1:], [np.inf, stats.sem([0, 8]) * stats.t.ppf(0.975, 1), np.nan])
    assert ranking.chance[0] == 5
    spread = np.var([3, 5, 4, 10, 0, 8], ddof=1)
    np.testing.assert_allclose(ranking.chance_half[0, 0], 1.959963984540054 * np.sqrt(spread / 3 * (1 - 3 / 6)))
    assert (ranking.shuffles, ranking.p.tolist()) == (0, [1.0])


def test_the_range_of_chance_is_that_of_random_groups() -> None:
    rng = np.random.default_rng(0)
    values = rng.exponential(size=(1, 50))
    labels = shuffled([0] * 20 + [1] * 30, 2, 2000, seed=3)
    tally = ClassTally(1, 2, labels)
    tally.add(np.arange(50), values)
    means = np.array([values[0, row == 0].mean() for row in labels[1:]])
    ranking = tally.ranking()
    inside = np.abs(means - ranking.chance[0]) <= ranking.chance_half[0, 0]
    assert 0.93 < inside.mean() < 0.97


def test_p_counts_every_shuffling_that_stands_out_as_much() -> None:
    values = np.array([[1.0, 1.0, 0.0, 0.0]])
    labels = shuffled([0, 0, 1, 1], 2, 500, seed=2)
    tally = ClassTally(1, 2, labels)
    tally.add(np.arange(4), values)
    # of six ways to halve four pictures two part them like this
    same = sum(row[0] == row[1] for row in labels[1:])
    assert tally.ranking().p[0] == (1 + same) / 501
    assert 0.28 < tally.ranking().p[0] < 0.39


def test_pictures_without_a_class_do_not_count(graph: LayerGraph) -> None:
    labels = [-1] * 23
    got = survey(graph, batches(pictures(), 5), ["add"], labels=labels, classes=("a", "b"))["add"]
    assert got.class_count.tolist() == [0, 0]
    assert np.isnan(got.class_mean).all()
    assert (got.ranking.p == 1).all()
    labels[3] = 1
    got = survey(graph, batches(pictures(), 5), ["add"], labels=labels, classes=("a", "b"))["add"]
    assert got.class_count.tolist() == [0, 1]
    assert np.isinf(got.class_half[:, 1]).all()


def test_no_classes(graph: LayerGraph) -> None:
    got = survey(graph, batches(pictures(), 5), ["add"])["add"]
    assert got.classes == ()
    assert got.class_mean.shape == (7, 0)
    assert (got.ranking.p == 1).all()


def test_very_many_classes_get_fewer_shufflings(graph: LayerGraph, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("micrographia.study.examples._SHUFFLED_BYTES", 8 * 7 * 2 * 30)
    options = {"labels": [0, 1] * 12, "classes": ("a", "b")}
    assert survey(graph, batches(pictures(), 5), ["add"], **options)["add"].ranking.shuffles == 30
    monkeypatch.setattr("micrographia.study.examples._SHUFFLED_BYTES", 1)
    assert survey(graph, batches(pictures(), 5), ["add"], **options)["add"].ranking.shuffles == 19
    assert survey(graph, batches(pictures(), 5), ["add"], shuffles=3, **options)["add"].ranking.shuffles == 3


# --- the stream


def test_names_progress_and_one_pass(graph: LayerGraph) -> None:
    net = seeded(NETWORKS["nested"])
    counts: list[int] = []
    alias = survey(trace(net, CARD), batches(pictures(), 10), ["skip", "outer.0"], progress=counts.append)
    assert list(alias) == ["skip", "outer.0"]
    equal(alias["skip"], alias["outer.0"])
    assert counts == [10, 10, 3]


def test_the_graph_stays_on_its_device(graph: LayerGraph) -> None:
    before = {name: parameter.data_ptr() for name, parameter in graph.module.named_parameters()}
    survey(graph, batches(pictures(2), 2), ["add"], device="cpu")
    assert {name: parameter.data_ptr() for name, parameter in graph.module.named_parameters()} == before


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"layers": ["ad"]}, BadAddress, "There is no layer 'ad'. Near it: add"),
        ({"keep": 0}, BadValue, "cannot keep 0 pictures"),
        ({"labels": [0, 5] * 12, "classes": ("a", "b")}, BadValue, "has the label 5, but there are 2 classes"),
        ({"labels": [0, 1], "classes": ("a", "b")}, BadValue, "has no label. Give a label for each picture"),
    ],
)
def test_what_cannot_be_surveyed(graph: LayerGraph, options: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        survey(graph, batches(pictures(), 5), **{"layers": ["add"], **options})


def test_no_pictures(graph: LayerGraph) -> None:
    with pytest.raises(BadImages, match="no pictures to survey"):
        survey(graph, iter(()), ["add"])


def test_activations_that_are_not_finite() -> None:
    with pytest.raises(BadValue, match="holds NaN or infinity on these pictures"):
        survey(counting(scale=3e38, offset=3e38), batches(pictures(3)[:, :, :3, :5], 3), ["round"])


def test_values_that_are_no_maps() -> None:
    graph = trace(seeded(NETWORKS["shuffled"]), CARD)
    with pytest.raises(BadValue, match=r"view has values of the shape \(2, 3, 12, 10\)"):
        survey(graph, batches(pictures(), 5), ["view"])


# --- crops


def layer(**facts: object) -> Layer:
    return Layer("x", "conv", (5, 11, 11), **facts)  # type: ignore[arg-type]


@given(st.integers(0, 30), st.integers(0, 30), st.integers(1, 60), st.integers(1, 40), st.integers(1, 40))
def test_crops_lie_inside_and_have_the_fields_size(row: int, column: int, field: int, height: int, width: int) -> None:
    own = layer(stride=(2.0, 1.0), offset=(1.0, -3.5), receptive_field=(field, 7))
    left, top, right, bottom = crop_box(own, (row, column), (height, width))
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height
    assert (bottom - top, right - left) == (min(field, height), min(7, width))


def test_crops_by_hand() -> None:
    own = layer(stride=(2.0, 2.0), offset=(0.0, 0.0), receptive_field=(7, 7))
    assert crop_box(own, (5, 4), (23, 19)) == (5, 7, 12, 14)
    assert crop_box(own, (0, 10), (23, 19)) == (12, 0, 19, 7)
    assert crop_box(layer(), (5, 4), (23, 19)) == (0, 0, 19, 23)


def test_a_crop_holds_all_that_the_unit_saw(graph: LayerGraph) -> None:
    images = pictures(9)
    got = survey(graph, batches(images, 4), ["stem"], keep=1)["stem"]
    own = graph.layer("stem")
    for unit in range(7):
        picture, position = images[got.pictures[unit, 0]].copy(), tuple(got.positions[unit, 0].tolist())
        left, top, right, bottom = crop_box(own, position, SIZE)
        outside = np.ones(SIZE, bool)
        outside[top:bottom, left:right] = False
        picture[:, outside] = 0
        assert activations(graph, picture[None], "stem")[0, unit][position] == pytest.approx(got.values[unit, 0])
