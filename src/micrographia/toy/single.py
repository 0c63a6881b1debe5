"""Small steps of torch on one processor."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

SMALL = 2**17
"""Numbers in a step's largest array below which sharing it among processors costs more than it saves."""


@contextmanager
def single(numbers: int) -> Iterator[None]:
    """One thread for torch while the steps are of fewer than `SMALL` numbers; after it, as many as before.

    >>> with single(100):
    ...     torch.get_num_threads()
    1
    """
    before = torch.get_num_threads()
    try:
        if numbers < SMALL:
            torch.set_num_threads(1)
        yield
    finally:
        torch.set_num_threads(before)
