"""Colours at one brightness, and natural crops under the moves of the groups."""

from __future__ import annotations

import pytest
import torch

from micrographia.errors import BadValue
from micrographia.images.hue import turn_hue
from micrographia.images.stimuli.colours import ColourEdges, ColourSpots, TintedTextures, Tints
from micrographia.images.stimuli.crops import MOVES, Crops
from micrographia.images.stimuli.frame import Frame, render, shape

FRAME = Frame.square(27)


def picture(side: int = 27) -> torch.Tensor:
    return torch.rand((2, 3, side, side), generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_colours_have_one_brightness() -> None:
    for family in (ColourEdges(), ColourSpots(), Tints()):
        brightness = render(family, FRAME, dtype=torch.float64).mean(1)
        torch.testing.assert_close(brightness, torch.full_like(brightness, 0.5), atol=1e-9, rtol=0)


def test_opponents_and_opposite_sides_are_one_picture() -> None:
    family = ColourEdges((0.0,), hues=6, orientations=8)
    edges = render(family, FRAME, dtype=torch.float64).reshape(6, 8, 3, 27, 27)
    torch.testing.assert_close(edges[1, 2], edges[4, 6], atol=1e-9, rtol=0)
    assert (edges[1, 2] - edges[4, 2]).abs().max() > 0.5


def test_a_hue_is_the_turned_hue() -> None:
    tints = render(Tints((1.0,), hues=12), FRAME, dtype=torch.float64)[:, :, 13, 13] - 0.5
    for step in range(12):
        torch.testing.assert_close(tints[step], turn_hue(30 * step) @ tints[0], atol=1e-9, rtol=0)


def test_turning_hues_keeps_grey_and_lengths_and_closes() -> None:
    turn = turn_hue(40)
    torch.testing.assert_close(turn @ torch.ones(3, dtype=torch.float64), torch.ones(3, dtype=torch.float64))
    torch.testing.assert_close(turn @ turn.T, torch.eye(3, dtype=torch.float64))
    torch.testing.assert_close(
        turn @ turn @ turn @ turn @ turn @ turn @ turn @ turn @ turn, torch.eye(3, dtype=torch.float64)
    )


def test_a_tint_of_no_strength_is_no_tint() -> None:
    family = TintedTextures((0.1,), (0.0, 1.0), 4)
    pictures = render(family, FRAME, dtype=torch.float64).reshape(2, 4, 3, 27, 27)
    assert (pictures[0, 0] == pictures[0, 3]).all()
    assert pictures[0].std(1).max() < 1e-9
    torch.testing.assert_close(pictures[1].mean(1), pictures[0].mean(1), atol=1e-9, rtol=0)


def test_a_crop_that_is_not_moved_is_itself() -> None:
    crops = picture()
    for move, amount in (("rotation", 0.0), ("hue", 0.0), ("reflection", 0.0), ("scale", 0.0)):
        shown = render(Crops(crops, move, (amount,)), FRAME, dtype=torch.float64)
        torch.testing.assert_close(shown[:, :, 10:17, 10:17], crops[:, :, 10:17, 10:17], atol=1e-9, rtol=0)


def test_crops_turn_and_mirror_exactly() -> None:
    crops = picture()
    turned = render(Crops(crops, "rotation", (0.0, 90.0, 180.0)), FRAME, dtype=torch.float64).reshape(2, 3, 3, 27, 27)
    torch.testing.assert_close(turned[:, 1], torch.rot90(turned[:, 0], 1, (2, 3)), atol=1e-9, rtol=0)
    torch.testing.assert_close(turned[:, 2], torch.rot90(turned[:, 0], 2, (2, 3)), atol=1e-9, rtol=0)
    mirrored = render(Crops(crops, "reflection"), FRAME, dtype=torch.float64).reshape(2, 2, 3, 27, 27)
    torch.testing.assert_close(mirrored[:, 1], mirrored[:, 0].flip(3), atol=1e-9, rtol=0)


def test_enlarged_crops_show_the_middle() -> None:
    # a ramp to the right grows half as fast when it is twice as large
    ramp = torch.linspace(0.1, 0.9, 54, dtype=torch.float64).expand(1, 3, 54, 54)
    shown = render(Crops(ramp, "scale", (0.0, 1.0)), FRAME, dtype=torch.float64)
    steps = shown[:, 0, 13, 8:19].diff(dim=-1).mean(-1)
    assert steps[0] == pytest.approx(2 * steps[1].item(), rel=1e-2)


@pytest.mark.parametrize("move", MOVES)
def test_every_move_has_its_amounts(move: str) -> None:
    family = Crops(picture(19).float(), move)
    assert render(family, FRAME).shape[0] == shape(family)[0] * shape(family)[1]
    assert family.name == f"crops-{move}"


def test_what_is_no_crop_or_move_is_a_sentence() -> None:
    with pytest.raises(BadValue, match="Crops cannot be moved by 'bending'. Choose rotation"):
        Crops(picture(), "bending")
    with pytest.raises(BadValue, match="cannot be moved"):
        Crops(torch.zeros(0, 3, 5, 5))
