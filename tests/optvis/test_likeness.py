"""Caricature, inversion, icons and grids on networks whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from micrographia.errors import BadValue
from micrographia.model.card import Card
from micrographia.model.graph import LayerGraph
from micrographia.model.trace import trace
from micrographia.optvis.likeness import Alike, Distance, caricature, grid, icons, invert
from micrographia.optvis.objective import Scene
from micrographia.optvis.optimise import optimise
from micrographia.optvis.quality import Quality
from micrographia.optvis.transform import STILL

QUICK = Quality("quick", steps=40, rate=0.2, settle=15, plateau=-1.0)
FEW = Quality("few", steps=12, rate=0.3, settle=4)


@pytest.fixture(scope="module")
def plain() -> LayerGraph:
    """The layer 0 holds the px themselves, around mid-grey, and layer 1 their means over 2 x 2 px."""
    conv = nn.Conv2d(3, 3, 1, bias=False)
    conv.weight.data = torch.eye(3)[:, :, None, None]
    return trace(nn.Sequential(conv, nn.AvgPool2d(2)), Card("plain", (16, 12), mean=(0.5,) * 3, std=(0.25,) * 3))


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    rng = np.random.default_rng(0)
    coarse = torch.from_numpy(rng.random((1, 3, 4, 3))) * 0.6 + 0.2
    return nn.functional.interpolate(coarse, (16, 12), mode="bicubic")[0].permute(1, 2, 0).clamp(0, 1).numpy()


def test_inverting_what_keeps_everything_gives_the_picture(plain: LayerGraph, picture: np.ndarray) -> None:
    made = invert(plain, picture, "0", rough=0.0, quality=QUICK)
    assert np.corrcoef(made.image.ravel(), picture.ravel())[0, 1] > 0.98
    assert -0.1 < made.reached <= 0
    assert made.image.shape == picture.shape


def test_a_caricature_has_the_pictures_kind_and_more_contrast(plain: LayerGraph, picture: np.ndarray) -> None:
    made = caricature(plain, picture, "0", quality=QUICK, transform=STILL)
    assert np.corrcoef((made.image - 0.5).ravel(), (picture - 0.5).ravel())[0, 1] > 0.8
    assert (made.image - 0.5).std() > 1.2 * (picture - 0.5).std()


def test_alike_and_distance_are_what_their_names_say() -> None:
    rng = np.random.default_rng(1)
    value, target = rng.standard_normal((2, 5, 3, 4)), rng.standard_normal((5, 3, 4))
    scene = Scene(torch.zeros(2, 3, 4, 4), {"a": torch.from_numpy(value)})
    found = Alike("a", torch.from_numpy(target), power=2.0)(scene)
    gap = Distance("a", torch.from_numpy(target))(scene)
    for i in range(2):
        total = 0.0
        for row in range(3):
            for column in range(4):
                x, t = value[i, :, row, column], target[:, row, column]
                total += x @ t * max(0.1, x @ t / np.linalg.norm(x) / np.linalg.norm(t)) ** 2
        assert float(found[i]) == pytest.approx(total / 12)
        assert float(gap[i]) == pytest.approx(((value[i] - target) ** 2).sum() / (target**2).sum())


def test_an_icon_shows_its_direction_and_does_not_depend_on_its_company(plain: LayerGraph) -> None:
    vectors = np.array([[1.0, -1, -1], [0, 0, 0], [-1, -1, 1]])
    made = icons(plain, "0", vectors, side=16, quality=FEW)
    assert made.shape == (3, 16, 16, 3)
    red, blue = made[0, 7:9, 7:9].mean((0, 1)), made[2, 7:9, 7:9].mean((0, 1))
    assert red[0] > red[1] + 0.1
    assert blue[2] > blue[1] + 0.1
    assert (made[1] == 0.5).all()
    assert np.array_equal(icons(plain, "0", vectors[:1], side=16, quality=FEW)[0], made[0])


def test_a_grid_shows_in_each_cell_what_is_there(plain: LayerGraph) -> None:
    picture = np.full((16, 12, 3), 0.25, np.float32)
    picture[:, :6, 0] = 0.95  # red on the left
    picture[:, 6:, 2] = 0.95  # blue on the right
    made = grid(plain, picture, "1", most=2, side=16, quality=FEW)
    assert made.icons.shape == (2, 2, 16, 16, 3)
    assert made.picture().shape == (32, 32, 3)
    np.testing.assert_allclose(made.strength, 1, atol=1e-6)
    left, right = made.icons[:, 0, 6:10, 6:10].mean((0, 1, 2)), made.icons[:, 1, 6:10, 6:10].mean((0, 1, 2))
    assert left[0] > left[2] + 0.1
    assert right[2] > right[0] + 0.1


def test_bad_input_is_one_sentence(plain: LayerGraph, picture: np.ndarray) -> None:
    with pytest.raises(BadValue, match="The directions have 2 numbers, and 0 has 3 channels"):
        icons(plain, "0", np.ones((1, 2)))
    with pytest.raises(BadValue, match="has no cells to lay out in at most 0 rows"):
        grid(plain, picture, "0", most=0)
    with pytest.raises(BadValue, match=r"On this canvas 0 is \(3, 8, 6\), and its target \(3, 16, 12\)"):
        invert(plain, picture, "0", size=(8, 6), quality=FEW)


def test_a_dead_picture_is_grey() -> None:
    conv = nn.Conv2d(3, 1, 3)
    with torch.no_grad():
        conv.weight.zero_()
    graph = trace(nn.Sequential(conv), Card("cut off", (13, 11)))
    (made,) = optimise(graph, Alike("0", torch.ones(1, 11, 9)), quality=FEW)
    assert made.dead
    assert (made.image == 0.5).all()
