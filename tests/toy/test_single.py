"""Torch's threads: one for small steps, and afterwards as many as before, whatever happened."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from micrographia.toy.single import SMALL, single


@pytest.fixture(autouse=True)
def three() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(("numbers", "threads"), [(SMALL - 1, 1), (SMALL, 3)])
def test_only_small_steps_run_on_one_thread(numbers: int, threads: int) -> None:
    with single(numbers):
        assert torch.get_num_threads() == threads
    assert torch.get_num_threads() == 3


def test_an_error_leaves_the_threads_as_they_were() -> None:
    with pytest.raises(KeyError), single(1):
        raise KeyError
    assert torch.get_num_threads() == 3
