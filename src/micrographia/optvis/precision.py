"""Which device and floating-point type to climb in: bfloat16 where the hardware has it and it is as good."""

from __future__ import annotations

import torch
from torch import Tensor

from micrographia.errors import BadValue

TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float64": torch.float64}
BFLOAT16_FROM = 32  # px; for smaller pictures converting costs more than it saves
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


def as_good(full: Tensor, half: Tensor) -> bool:
    """Whether a gradient that was found in a smaller type points the same way as float32's.

    >>> as_good(torch.tensor([1.0, 0.0]), torch.tensor([2.0, 0.1]))
    True
    """
    pair = full.flatten().double(), half.flatten().double()
    return bool(torch.nn.functional.cosine_similarity(*pair, dim=0) > AS_GOOD)


def bfloat16_pays(device: torch.device) -> bool:
    """Whether a device multiplies bfloat16 in hardware, which makes its convolutions faster than in float32.

    The hardware is asked rather than timed: a timing depends on the moment, and the same call would then give other
    bytes when the machine is busy.

    >>> bfloat16_pays(torch.device("meta"))
    False
    """
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu" and torch.backends.mkldnn.is_available():
        has = torch.cpu.get_capabilities()
        return bool(has.get("avx512_bf16") or has.get("amx_bf16"))
    return False
