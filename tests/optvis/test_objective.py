"""Objectives and penalties against loops and closed forms, and their algebra."""

from __future__ import annotations

import math

import pytest
import torch

from micrographia.errors import BadAddress, BadValue
from micrographia.model.graph import LayerGraph
from micrographia.optvis.objective import (
    Channel,
    Direction,
    Diversity,
    Interpolated,
    Neuron,
    Objective,
    Scene,
    WholeLayer,
    logit,
)
from micrographia.optvis.penalty import L1, L2, Boundary, Opacity, TotalVariation

VECTOR = (1.0, -2.0, 0.5)


@pytest.fixture
def scene() -> Scene:
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    return Scene(draw(2, 3, 13, 11), {"a": draw(2, 3, 5, 7), "b": draw(2, 3, 4, 6), "logits": draw(2, 3)})


def test_a_neuron_is_one_cell(scene: Scene) -> None:
    a, b = scene.values["a"], scene.values["b"]
    assert torch.equal(Neuron("a", 1, (4, 6))(scene), a[:, 1, 4, 6])
    assert torch.equal(Neuron("a", 1)(scene), a[:, 1, 2, 3])
    assert torch.equal(Neuron("b", 1)(scene), b[:, 1, 2, 3]), "the lower right of the middle four"
    assert torch.equal(Neuron("logits", 2)(scene), scene.values["logits"][:, 2])


def test_a_channel_is_the_mean_of_its_map(scene: Scene) -> None:
    expected = [sum(scene.values["a"][i, 2].flatten().tolist()) / 35 for i in range(2)]
    assert Channel("a", 2)(scene).tolist() == pytest.approx(expected)
    assert torch.equal(Channel("logits", 2)(scene), scene.values["logits"][:, 2])


@pytest.mark.parametrize("power", [0.0, 1.0, 2.5])
def test_a_direction_against_a_loop(scene: Scene, power: float) -> None:
    value, cells = scene.values["a"], {}
    for i in range(2):
        for row in range(5):
            for column in range(7):
                x = value[i, :, row, column].tolist()
                dot = sum(p * q for p, q in zip(x, VECTOR, strict=True))
                cosine = dot / math.hypot(*x) / math.hypot(*VECTOR)
                cells[i, row, column] = dot * max(0.1, cosine) ** power
    means = [sum(v for k, v in cells.items() if k[0] == i) / 35 for i in range(2)]
    assert Direction("a", VECTOR, power)(scene).tolist() == pytest.approx(means)
    assert Direction("a", VECTOR, power, (4, 0))(scene).tolist() == pytest.approx([cells[i, 4, 0] for i in range(2)])
    assert Direction("a", VECTOR, power, "middle")(scene).tolist() == pytest.approx([cells[i, 2, 3] for i in range(2)])


def test_an_axis_is_a_channel_and_logits_have_directions_too(scene: Scene) -> None:
    torch.testing.assert_close(Direction("a", (0, 1, 0))(scene), Channel("a", 1)(scene))
    torch.testing.assert_close(Direction("logits", (0, 0, 1))(scene), Channel("logits", 2)(scene))


def test_a_direction_of_a_silent_layer_has_a_finite_slope() -> None:
    value = torch.zeros(1, 3, 2, 2, dtype=torch.float64, requires_grad=True)
    Direction("a", VECTOR, 2.0)(Scene(torch.zeros(1, 3, 2, 2), {"a": value})).sum().backward()
    assert value.grad is not None
    assert value.grad.isfinite().all()
    assert value.grad.any()


def test_a_whole_layer_is_its_mean_square(scene: Scene) -> None:
    expected = [sum(x * x for x in scene.values["b"][i].flatten().tolist()) / 72 for i in range(2)]
    assert WholeLayer("b")(scene).tolist() == pytest.approx(expected)


def test_diversity_is_least_for_equal_pictures_and_couples_the_rest() -> None:
    generator = torch.Generator().manual_seed(0)
    value = torch.rand((3, 5, 7, 2), generator=generator, dtype=torch.float64)
    value[2] = 2 * value[0]
    found = Diversity("a")(Scene(value, {"a": value}))
    grams = [(v.flatten(1) @ v.flatten(1).T).flatten() for v in value]
    alike = [[float(g @ h / g.norm() / h.norm()) for h in grams] for g in grams]
    expected = [-sum(alike[i][j] for j in range(3) if j != i) / 2 for i in range(3)]
    assert found.tolist() == pytest.approx(expected)
    same = value[[0, 2]]
    assert Diversity("a")(Scene(same, {"a": same})).tolist() == pytest.approx([-1, -1])


def test_the_algebra_adds_scales_and_negates(scene: Scene) -> None:
    a, b, c = Channel("a", 0), Neuron("b", 1), WholeLayer("a")
    expected = a(scene) + 0.5 * b(scene) - c(scene) / 4
    for written in (
        a + 0.5 * b - c / 4,
        a + b / 2 + -(0.25 * c),
        sum([a, 0.5 * b, -0.25 * c]),
        -(c * 0.25 - a - 0.5 * b),
    ):
        assert isinstance(written, Objective)
        torch.testing.assert_close(written(scene), expected)
        assert set(written.layers) == {"a", "b"}
    assert a + 0.5 * b - c / 4 == a + b / 2 - 0.25 * c
    assert "Channel(layer='a', channel=0)" in repr(a + b)
    for wrong in (lambda: a + 1, lambda: a - 1, lambda: a * b):
        with pytest.raises(TypeError):
            wrong()


def test_an_interpolation_goes_from_one_to_the_other() -> None:
    value = torch.rand(5, 2, 3, 3, dtype=torch.float64)
    both = Interpolated(Channel("a", 0), Channel("a", 1))(Scene(value, {"a": value}))
    means = value.mean((2, 3))
    expected = [(1 - i / 4) * means[i, 0] + i / 4 * means[i, 1] for i in range(5)]
    torch.testing.assert_close(both, torch.stack(expected))


def test_penalties_against_loops(scene: Scene) -> None:
    x = scene.pictures[0]
    flat = x.flatten().tolist()
    assert L1(0.25)(scene)[0].item() == pytest.approx(sum(abs(v - 0.25) for v in flat) / len(flat))
    assert L2(0.25)(scene)[0].item() == pytest.approx((sum((v - 0.25) ** 2 for v in flat) / len(flat)) ** 0.5)
    total = sum(
        abs(x[k, i + di, j + dj] - x[k, i, j])
        for k in range(3)
        for di, dj in ((0, 1), (1, 0))
        for i in range(13 - di)
        for j in range(11 - dj)
    )
    assert TotalVariation()(scene)[0].item() == pytest.approx(float(total) / len(flat))
    frame = [x[k, i, j] for k in range(3) for i in range(13) for j in range(11) if min(i, 12 - i, j, 10 - j) < 2]
    expected = (sum((float(v) - 0.5) ** 2 for v in frame) / len(frame)) ** 0.5
    assert Boundary(2)(scene)[0].item() == pytest.approx(expected)


@pytest.mark.parametrize("penalty", [L1(), L2(), TotalVariation(), Boundary(2)])
def test_grey_pictures_cost_nothing_and_have_a_finite_slope(penalty: Objective) -> None:
    grey = torch.full((2, 3, 13, 11), 0.5, dtype=torch.float64, requires_grad=True)
    value = penalty(Scene(grey, {}))
    value.sum().backward()
    assert value.abs().max() < 1e-5
    assert grey.grad is not None
    assert grey.grad.isfinite().all()


def test_a_class_is_found_by_number_and_by_label(small: LayerGraph) -> None:
    assert logit(small, 3) == Channel("head", 3)
    with pytest.raises(BadValue, match=r"has no class 5\. Its classes are 0 to 4"):
        logit(small, 5)
    with pytest.raises(BadValue, match=r"knows no class 'tabby'\. Its card has no labels"):
        logit(small, "tabby")


def test_what_is_not_there_is_said(scene: Scene) -> None:
    wrong: list[tuple[Objective, type[Exception], str]] = [
        (Neuron("a", 3), BadAddress, "a has no unit 3. Its units are 0 to 2"),
        (Neuron("a", 0, (5, 0)), BadValue, "a has no cell 5,0"),
        (Direction("a", (1.0, 2.0)), BadValue, "has 2 numbers, and a has 3 channels"),
        (Boundary(6), BadValue, "does not fit a picture of 13 x 11 px. Take 1 to 5"),
        (Opacity(), BadValue, "no opacity"),
    ]
    for objective, kind, sentence in wrong:
        with pytest.raises(kind, match=sentence):
            objective(scene)
    with pytest.raises(BadValue, match="all zeros"):
        Direction("a", (0.0, 0.0))
    one = Scene(scene.pictures[:1], {"a": scene.values["a"][:1]})
    for lonely in (Diversity("a"), Interpolated(Channel("a", 0), Channel("a", 1))):
        with pytest.raises(BadValue, match="at least 2 pictures"):
            lonely(one)
