"""Which floating-point type to climb in: bfloat16 where a short trial shows that it is faster and as good."""

from __future__ import annotations

import functools
import time

import torch
from torch.nn import functional as F

from micrographia.errors import BadValue

TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float64": torch.float64}
FASTER = 0.85  # the share of float32's time that bfloat16 has to stay below
AS_GOOD = 0.9  # the least correlation of its gradient with float32's


def device_of(name: str | torch.device) -> torch.device:
    """A device that is there; raises BadValue for any other.

    >>> device_of("cpu")
    device(type='cpu')
    """
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        there = ["cpu"]
        there += [f"cuda:{i}" for i in range(torch.cuda.device_count())]
        there += ["mps"] if torch.backends.mps.is_available() else []
        raise BadValue(f"There is no device '{name}' here. Use one of: {', '.join(there)}.") from error
    return device


def type_of(name: str) -> torch.dtype | None:
    """The type of a name; None for 'auto'. Raises BadValue."""
    if name != "auto" and name not in TYPES:
        raise BadValue(f"There is no precision '{name}'. Use one of: auto, {', '.join(TYPES)}.")
    return TYPES.get(name)


@functools.cache
def bfloat16_pays(device: torch.device) -> bool:
    """Whether a convolution and its gradient are faster in bfloat16 here: tried once per process, a fraction of a second."""
    if device.type == "cpu" and not _has_bfloat16_units():
        return False
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(8, 64, 28, 28, generator=generator).to(device)
    weights = torch.randn(96, 64, 3, 3, generator=generator).to(device) / 24
    times: dict[torch.dtype, float] = {}
    for _ in range(5):
        # alternating, so that a busy moment hits both
        for dtype in (torch.float32, torch.bfloat16):
            x = images.to(dtype).contiguous(memory_format=torch.channels_last).requires_grad_(True)
            w = weights.to(dtype).contiguous(memory_format=torch.channels_last)
            began = time.perf_counter()
            for _ in range(3):
                torch.autograd.grad(F.conv2d(x, w, padding=1).sum(), x)[0].sum().item()
            times[dtype] = min(times.get(dtype, float("inf")), time.perf_counter() - began)
    return times[torch.bfloat16] < FASTER * times[torch.float32]


def _has_bfloat16_units() -> bool:
    return torch.backends.mkldnn.is_available() and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
