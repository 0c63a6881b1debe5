"""in_order(tasks, threads): batches that run side by side, one thread each, and are given back in their order.

The operations of a step are too short to be shared out among threads; two batches at once keep two cores busy.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import chain, islice
from threading import Event
from typing import TypeVar

import torch

Result = TypeVar("Result")


class Stopped(Exception):
    """Raised inside a task after `in_order` was closed."""


def in_order(tasks: Iterator[Callable[[Callable[[], None]], Result]], threads: int) -> Iterator[Result]:
    """The results of the tasks, in their order; at most `threads` run at once, and a task is asked for when one can.

    Where there is only one task, or one thread, they run on the caller's, and their operations on as many as torch has.

    Each task is called with a function that it calls now and then, which raises Stopped when nobody waits any more:
    after an error in another task, or when the iterator is closed.

    >>> list(in_order(iter([lambda check: 1, lambda check: 2]), 2))
    [1, 2]
    """
    stop = Event()

    def check() -> None:
        if stop.is_set():
            raise Stopped

    begun = list(islice(tasks, 2))
    if threads == 1 or len(begun) < 2:
        yield from (task(check) for task in chain(begun, tasks))
        return
    waiting: deque[Future[Result]] = deque()
    # each thread of Python's has its own number of torch's
    with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        try:
            for task in chain(begun, tasks):
                waiting.append(pool.submit(task, check))
                if len(waiting) > threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            stop.set()


@contextmanager
def on_threads(count: int) -> Iterator[None]:
    """So many threads for torch's operations on this thread; after it, as many as before.

    >>> with on_threads(1):
    ...     torch.get_num_threads()
    1
    """
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
