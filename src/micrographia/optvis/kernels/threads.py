"""Compiled loops over pictures, on as many threads as torch uses; no picture's result depends on their number."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor


def spread(kernel: Callable[..., Any], count: int, *arguments: Any) -> None:
    """Call kernel(first, last, *arguments) for parts of range(count) that are dealt to torch's number of threads.

    >>> found = []
    >>> spread(lambda first, last: found.extend(range(first, last)), 5)
    >>> sorted(found)
    [0, 1, 2, 3, 4]
    """
    threads = min(torch.get_num_threads(), count)
    if threads < 2:
        kernel(0, count, *arguments)
        return
    edges = [count * i // threads for i in range(threads + 1)]
    pool = _pool(os.getpid(), threads - 1)
    others = [pool.submit(kernel, edges[i], edges[i + 1], *arguments) for i in range(1, threads)]
    kernel(edges[0], edges[1], *arguments)
    for other in others:
        other.result()


@lru_cache(maxsize=4)
def _pool(process: int, threads: int) -> ThreadPoolExecutor:
    # keyed by the process, because threads do not survive a fork
    return ThreadPoolExecutor(threads)


def compiled(*tensors: Tensor) -> bool:
    """Whether the kernels can take these tensors: on the CPU, in float32 or bfloat16."""
    return all(each.device.type == "cpu" and each.dtype in (torch.float32, torch.bfloat16) for each in tensors)


def flat(x: Tensor) -> np.ndarray:
    """A contiguous tensor's own memory as one row; bfloat16 as the upper halves of float32's bits."""
    x = x.detach().view(-1)
    return x.view(torch.int16).numpy().view(np.uint16) if x.dtype == torch.bfloat16 else x.numpy()


def last(x: Tensor) -> Tensor:
    """ "batch height width channel", contiguous: a view of what lies in memory with the channels last."""
    return x.permute(0, 2, 3, 1).contiguous()


def empty_last(like: Tensor, channels: int, height: int, width: int) -> Tensor:
    """Memory for "batch height width channel"; `permute(0, 3, 1, 2)` of it is a picture with the channels last."""
    return torch.empty((len(like), height, width, channels), dtype=like.dtype)
