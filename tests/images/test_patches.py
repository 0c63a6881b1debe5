from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from micrographia.errors import BadImages
from micrographia.images.bundled import open_images
from micrographia.images.patches import CONTRAST, directions, flattened, patches


def test_patches_have_one_contrast_and_are_the_same_for_a_seed() -> None:
    found = patches(open_images(), 5, 33, seed=3)
    assert found.shape == (5, 3, 33, 33)
    assert torch.equal(found, patches(open_images(), 5, 33, seed=3))
    assert not torch.equal(found, patches(open_images(), 5, 33, seed=4))
    detail = found - 0.5
    size = detail.square().sum(1).mean((1, 2)).sqrt()
    torch.testing.assert_close(size, torch.full((5,), CONTRAST))
    # wider than the pictures themselves
    assert patches(open_images(), 1, 201).shape == (1, 3, 201, 201)


def test_a_patch_is_painted_along_one_direction_of_colour_or_in_grey() -> None:
    for coloured in (True, False):
        detail = (patches(open_images(), 5, 21, coloured=coloured) - 0.5).flatten(2)
        for own in detail:
            assert torch.linalg.svdvals(own.double())[1] < 1e-5
        assert bool(torch.allclose(detail[:, 0], detail[:, 1], atol=1e-6)) != coloured


def test_directions_are_spread_evenly() -> None:
    found = directions(97, seed=1)
    assert np.linalg.norm(found, axis=1) == pytest.approx(1)
    assert found.mean(0) == pytest.approx(0, abs=0.02)
    assert found.T @ found / 97 == pytest.approx(np.eye(3) / 3, abs=0.02)


def test_flattening_multiplies_amplitudes_by_the_root_of_their_frequency() -> None:
    # of waves that go on in their mirror image, four times the frequency comes out twice as strong
    x = torch.arange(64, dtype=torch.float64) + 0.5
    slow, fast = (torch.cos(torch.pi * x * each / 64).expand(64, 64) for each in (4, 16))
    flat = flattened((slow + fast) * torch.ones(1, 1, 1, dtype=torch.float64))[0]
    ratio = (flat * fast).sum() / (flat * slow).sum()
    assert ratio == pytest.approx(2, rel=0.05)
    assert flat.mean() == pytest.approx(0, abs=1e-9)
    assert flat.square().mean() == pytest.approx(1)
    assert not flattened(torch.ones(1, 9, 9)).any()


def test_no_pictures() -> None:
    nothing = replace(open_images(), names=(), labels=())
    with pytest.raises(BadImages, match="has no pictures"):
        patches(nothing, 3, 21)
