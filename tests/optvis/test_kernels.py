"""The compiled kernels against torch's own operations in double precision, and each picture alone in any company."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from micrographia.optvis.ascend import ascend
from micrographia.optvis.kernels.colours import coloured
from micrographia.optvis.kernels.norm import local_response
from micrographia.optvis.kernels.pooled import pooled
from micrographia.optvis.kernels.scaled import scaled
from micrographia.optvis.kernels.warped import warped
from micrographia.optvis.parametrise import COLOUR_AXES, Fourier, frequencies, limited, recolour, squash
from micrographia.optvis.quality import Quality
from micrographia.optvis.relu import redirected_relu
from micrographia.optvis.transform import Warp, warp

AXES = tuple(each for row in COLOUR_AXES for each in row)


def both(function: Callable[[Tensor], Tensor], x: Tensor, outer: Tensor) -> tuple[Tensor, Tensor]:
    leaf = x.clone().requires_grad_(True)
    value = function(leaf)
    (gradient,) = torch.autograd.grad(value, leaf, outer.to(value))
    return value.detach(), gradient


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("height", [0.1, 5.0], ids=["below the limit", "above it"])
def test_colours_equal_the_slow_form(height: float) -> None:
    planes, outer = height * random(3, 3, 17, 19), random(3, 3, 17, 19, seed=1)
    value, gradient = both(lambda x: coloured(x, AXES, 1.2), planes, outer)
    slow, expected = both(lambda x: squash(limited(recolour(x), 1.2)), planes.double(), outer)
    torch.testing.assert_close(value.double(), slow, rtol=0, atol=1e-6)
    torch.testing.assert_close(gradient.double(), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("size", [(13, 11), (40, 37)], ids=["inside", "beyond the edge"])
def test_the_warp_equals_the_slow_form(size: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(0)
    images, outer = torch.rand(3, 3, 29, 31, generator=generator), random(3, 3, *size, seed=1)
    maps = Warp(jitter=3.0, scale=0.2, rotate=30.0).draw(3, generator)
    value, gradient = both(lambda x: warped(x, maps, size), images, outer)
    slow, expected = both(lambda x: warp(x, maps, size), images.double(), outer)
    torch.testing.assert_close(value.double(), slow, rtol=0, atol=1e-5)
    torch.testing.assert_close(gradient.double(), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize(("size", "beta"), [(5, 0.75), (9, 0.5), (4, 0.5), (1, 0.75)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_the_norm_equals_torchs(size: int, beta: float, dtype: torch.dtype) -> None:
    x, outer = (3 * random(2, 23, 5, 7)).to(dtype), random(2, 23, 5, 7, seed=1).to(dtype)
    value, gradient = both(lambda x: local_response(x, size, 0.7, beta, 1.5), x, outer)
    slow, expected = both(nn.LocalResponseNorm(size, 0.7, beta, 1.5), x.double(), outer)
    rounding = 1e-5 if dtype == torch.float32 else 8e-3
    torch.testing.assert_close(value.double(), slow, rtol=rounding, atol=rounding)
    torch.testing.assert_close(gradient.double(), expected, rtol=rounding, atol=rounding)


@pytest.mark.parametrize(
    ("kernel", "step", "sides"),
    [(3, 2, (0, 1, 0, 1)), (3, 1, (1, 1, 1, 1)), (3, 1, (0, 1, 1, 0)), (2, 2, (0, 0, 0, 0)), (3, 3, (1, 0, 0, 1))],
)
@pytest.mark.parametrize("floor", [None, "plain", "redirected"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_pooling_equals_torchs(
    kernel: int, step: int, sides: tuple[int, int, int, int], floor: str | None, dtype: torch.dtype
) -> None:
    x = random(3, 37, 11, 13).to(dtype)
    if floor == "redirected":
        x[1] = -x[1].abs() - 1  # a picture that the ReLU blocks entirely
    extent = (11 + sum(sides[2:]) - kernel) // step + 1, (13 + sum(sides[:2]) - kernel) // step + 1

    def slow(x: Tensor) -> Tensor:
        found = F.max_pool2d(F.pad(x, sides, value=float("-inf")), kernel, step)
        return found if floor is None else F.relu(found) if floor == "plain" else redirected_relu(found)

    outer = random(3, 37, *extent, seed=1).to(dtype)
    value, gradient = both(lambda x: pooled(x, kernel, step, sides, extent, floor), x, outer)
    expected = both(slow, x.double(), outer)
    assert torch.equal(value.double(), expected[0])
    rounding = 1e-6 if dtype == torch.float32 else 8e-3
    torch.testing.assert_close(gradient.double(), expected[1], rtol=rounding, atol=rounding)
    assert floor != "redirected" or gradient[1].any()


def test_pooling_lets_nan_through() -> None:
    x = random(1, 5, 7, 7)
    x[0, 2, 3, 3] = -torch.tensor(float("nan"))
    for dtype in (torch.float32, torch.bfloat16):
        found = pooled(x.to(dtype), 3, 2, (0, 0, 0, 0), (3, 3), "plain")
        assert torch.equal(found.isnan().float(), F.max_pool2d(x, 3, 2).isnan().float())
        assert found.isnan().any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_the_scale_of_each_channel_goes_forward_and_back(dtype: torch.dtype) -> None:
    x, outer = random(2, 3, 7, 11), random(2, 3, 7, 11, seed=1).to(dtype)
    a, b = torch.tensor([2.0, 3.0, 5.0]).view(3, 1, 1), torch.tensor([0.5, -1.0, 7.0]).view(3, 1, 1)
    value, gradient = both(lambda x: scaled(x, True, (2.0, 3.0, 5.0), (0.5, -1.0, 7.0), dtype), x, outer)
    expected, slope = both(lambda x: (x.flip(1) * a + b).to(dtype), x, outer)
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(gradient, slope)


def test_the_spectrums_gradient_is_right() -> None:
    for size in ((6, 7), (5, 8)):
        numbers = random(2, 1, 2, size[0], size[1] // 2 + 1).double().requires_grad_(True)
        assert torch.autograd.gradcheck(lambda x, size=size: Fourier(gain=3.0).plain(x, size), (numbers,))
        scale = frequencies(size, torch.float64).clamp(min=1 / max(size)) ** -1.25 * (3.0 * (size[0] * size[1]) ** 0.5)
        slow = torch.fft.irfft2(torch.complex(numbers[:, :, 0] * scale, numbers[:, :, 1] * scale), s=size)
        torch.testing.assert_close(Fourier(gain=3.0).plain(numbers, size), slow)


def test_a_step_of_adam_equals_the_slow_form() -> None:
    quality = Quality("x", steps=20, rate=0.1, settle=5)
    start = random(3, 2, 7)

    def value(x: Tensor, step: int) -> Tensor:
        return -((x - 0.3) ** 2).flatten(1).sum(1) * (step + 1)

    fast, slow = (ascend(value, start.to(dtype), quality) for dtype in (torch.float32, torch.float64))
    torch.testing.assert_close(fast.numbers.double(), slow.numbers, rtol=0, atol=1e-5)
    still = ascend(lambda x, _: x.flatten(1).sum(1) * torch.tensor([0.0, 1, 0]), start, quality)
    assert still.moved.tolist() == [False, True, False]


def test_a_picture_is_the_same_in_any_company_and_on_any_number_of_threads() -> None:
    def made(planes: Tensor, maps: Tensor) -> tuple[Tensor, Tensor]:
        return both(
            lambda x: local_response(warped(coloured(x, AXES, 1.2), maps, (11, 13)), 3, 0.5, 0.75, 1.0),
            planes,
            random(1, 3, 11, 13, seed=1).expand(len(planes), -1, -1, -1),
        )

    planes = 2 * random(5, 3, 19, 17)
    maps = torch.cat([Warp().draw(1, torch.Generator().manual_seed(i)) for i in range(5)])
    together = made(planes, maps)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        apart = made(planes, maps)
    finally:
        torch.set_num_threads(threads)
    for whole, spread in zip(together, apart, strict=True):
        assert torch.equal(whole, spread)
    for i in range(5):
        for whole, alone in zip(together, made(planes[i : i + 1], maps[i : i + 1]), strict=True):
            assert torch.equal(whole[i], alone[0])


def test_values_beyond_the_types_range_are_not_hidden() -> None:
    x = torch.full((1, 4, 1, 1), 3e38)
    assert not torch.isfinite(F.relu(local_response(x * x, 3, 1.0, 0.5, 1.0))).all()
