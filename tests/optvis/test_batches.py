"""in_order: results in the order of the tasks, few at once, and no task left running."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest
import torch

from micrographia.optvis.batches import Stopped, in_order, on_threads


def test_results_come_in_the_order_of_the_tasks() -> None:
    def tasks() -> Iterator[Callable[[Callable[[], None]], tuple[int, int]]]:
        for number in range(9):
            asked.append(number)

            def task(check: Callable[[], None], number: int = number) -> tuple[int, int]:
                time.sleep(0.01 * (number % 3 == 0))
                return number, torch.get_num_threads()

            yield task

    asked: list[int] = []
    before = torch.get_num_threads()
    results = in_order(tasks(), 2)
    assert next(results) == (0, 1)
    assert len(asked) <= 4, "tasks are asked for when they can run"
    assert [number for number, _ in results] == list(range(1, 9))
    assert torch.get_num_threads() == before


def test_a_lone_task_has_all_threads() -> None:
    with on_threads(3):
        assert list(in_order(iter([lambda check: torch.get_num_threads()]), 3)) == [3]
    assert list(in_order(iter([]), 2)) == []


def test_an_error_stops_the_others() -> None:
    seen = threading.Event()

    def fails(check: Callable[[], None]) -> int:
        raise ValueError("of a task")

    def waits(check: Callable[[], None]) -> int:
        try:
            for _ in range(1000):
                check()
                time.sleep(0.01)
        except Stopped:
            seen.set()
            raise
        return 0

    with pytest.raises(ValueError, match="of a task"):
        list(in_order(iter([fails, waits, waits]), 2))
    assert seen.is_set()


def test_closing_it_stops_what_runs() -> None:
    stopped: list[int] = []

    def waits(check: Callable[[], None]) -> int:
        try:
            while True:
                check()
                time.sleep(0.01)
        except Stopped:
            stopped.append(1)
            raise

    results = in_order(iter([lambda check: 1, waits, waits]), 2)
    assert next(results) == 1
    results.close()  # type: ignore[attr-defined]
    assert stopped
