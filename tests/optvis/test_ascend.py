"""The ascent: optima, plateaus, and independence of the pictures from each other."""

from __future__ import annotations

import torch
from torch import Tensor

from micrographia.optvis.ascend import ascend
from micrographia.optvis.quality import Quality


def hill(numbers: Tensor, step: int) -> Tensor:
    return -(numbers - 3).square().sum(1)


def test_it_finds_the_top() -> None:
    climb = ascend(hill, torch.randn(5, 3, dtype=torch.float64), Quality("x", 400, 0.1, 200, plateau=0.0))
    torch.testing.assert_close(climb.numbers, torch.full((5, 3), 3.0, dtype=torch.float64), atol=1e-3, rtol=0)
    assert climb.moved.all()


def test_a_picture_at_a_plateau_stops_early_and_alone() -> None:
    start = torch.tensor([[3.0], [-100.0]])
    quality = Quality("x", 200, 0.1, 20, plateau=0.01, window=10)

    def towards(numbers: Tensor, step: int) -> Tensor:
        return 20 - (numbers - 3).abs().sum(1)

    together = ascend(towards, start, quality)
    assert together.steps.tolist() == [40, 200]
    alone = ascend(towards, start[:1], quality)
    assert torch.equal(alone.numbers[0], together.numbers[0])
    assert len(alone.course) == 40


def test_a_flat_objective_never_moves() -> None:
    start = torch.randn(2, 3)
    climb = ascend(lambda x, step: x.sum(1) * 0, start, Quality("x", 8, 0.1, 4))
    assert not climb.moved.any()
    assert torch.equal(climb.numbers, start)
