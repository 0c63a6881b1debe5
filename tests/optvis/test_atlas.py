"""The atlas: known layouts and means, every cell's icon in its place; sprite maps round trip."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from torch import nn

from micrographia.errors import BadImages, BadValue
from micrographia.model.card import Card
from micrographia.model.graph import LayerGraph
from micrographia.model.trace import trace
from micrographia.optvis.atlas import atlas, binned, principal, samples, spritemap, whitened
from micrographia.optvis.quality import Quality

FEW = Quality("few", steps=12, rate=0.3, settle=4)


@pytest.fixture(scope="module")
def plain() -> LayerGraph:
    conv = nn.Conv2d(3, 3, 1, bias=False)
    conv.weight.data = torch.eye(3)[:, :, None, None]
    return trace(nn.Sequential(conv), Card("plain", (7, 5), mean=(0.0,) * 3, std=(1.0,) * 3))


def test_samples_are_cells_of_the_pictures_away_from_the_edge(plain: LayerGraph) -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (11, 3, 7, 5), dtype=np.uint8)
    stream = [(np.arange(8), pictures[:8]), (np.arange(8, 11), pictures[8:])]
    found = samples(plain, stream, "0")
    assert found.shape == (11, 3)
    for picture, value in zip(pictures, found, strict=True):
        inside = picture[:, 1:-1, 1:-1].reshape(3, -1).T / 255
        assert np.abs(inside - value).sum(1).min() < 1e-6
    with pytest.raises(BadImages, match="no pictures to make an atlas of"):
        samples(plain, [], "0")


def test_the_layout_is_that_of_a_principal_component_analysis() -> None:
    values = np.random.default_rng(1).standard_normal((31, 7)) * np.arange(1, 8)
    ours, theirs = principal(values), PCA(2).fit_transform(values)
    np.testing.assert_allclose(np.abs(ours), np.abs(theirs), atol=1e-9)
    np.testing.assert_allclose(principal(-values), -ours, atol=1e-9)


def test_places_are_counted_from_the_middle_and_far_ones_kept() -> None:
    places = np.array([[0.0, 0.0]] * 97 + [[9.0, 0.0], [-9.0, 0.0], [0.0, 9.0]])
    cells = binned(places, 5)
    assert (cells[:97] == 2).all()
    assert cells[97:99].tolist() == [[2, 4], [2, 0]]
    assert cells[99, 0] == 4


def test_alike_activations_share_a_cell_whose_icon_shows_their_mean(plain: LayerGraph) -> None:
    red, blue = [1.0, 0, 0], [0, 0, 1.0]
    values = np.array([red] * 7 + [blue] * 5)
    made = atlas(plain, "0", values, side=4, icon=16, quality=FEW)
    assert sorted(made.counts.tolist()) == [5, 7]
    for mean, icon, (row, column) in zip(made.means, made.icons, made.places, strict=True):
        own, other = (0, 2) if mean[0] == 1 else (2, 0)
        assert icon[6:10, 6:10, own].mean() > icon[6:10, 6:10, other].mean() + 0.1
        shown = made.picture()[row * 16 : (row + 1) * 16, column * 16 : (column + 1) * 16]
        assert np.array_equal(shown, icon)
    empty = made.picture().reshape(4, 16, 4, 16, 3).transpose(0, 2, 1, 3, 4).min((2, 3, 4)) == 1
    assert empty.sum() == 14
    assert {tuple(cell["place"]) for cell in made.to_json()["cells"]} == {tuple(p) for p in made.places.tolist()}


def test_whitening_leaves_what_sets_a_cell_apart() -> None:
    rng = np.random.default_rng(3)
    values = np.concatenate([5 + 0.1 * rng.standard_normal((60, 1)), rng.random((60, 4)) < 0.2], 1)
    means = np.array([[5.0, 1, 0, 0, 0], [5.0, 0, 0, 1, 0]])
    found = whitened(means, values, 1e-6)
    moments = values.T @ values / 60
    np.testing.assert_allclose(found @ (moments + 1e-6 * np.trace(moments) / 5 * np.eye(5)), means, atol=1e-9)
    assert found.argmax(1).tolist() == [1, 3], "the channel that is always active is not what an icon shows"


def test_cells_with_too_few_are_left_out_and_none_is_an_error(plain: LayerGraph) -> None:
    values = np.array([[1.0, 0, 0]] * 3 + [[0, 0, 1.0]])
    assert atlas(plain, "0", values, side=3, icon=8, quality=FEW).counts.tolist() == [3]
    with pytest.raises(BadValue, match="No cell holds 9 of the 4 activations"):
        atlas(plain, "0", values, side=3, least=9)
    with pytest.raises(BadValue, match="A ridge of 0"):
        atlas(plain, "0", values, side=3, ridge=0.0)
    with pytest.raises(BadValue, match="A field of 0 x 0 cells"):
        atlas(plain, "0", values, side=0)


def test_a_sprite_map_can_be_cut_up_again() -> None:
    pictures = np.random.default_rng(2).random((7, 5, 4, 3))
    sheet, places = spritemap(pictures)
    assert sheet.shape == (15, 12, 3)
    for (top, left), each in zip(places, pictures, strict=True):
        assert np.array_equal(sheet[top : top + 5, left : left + 4], each)
