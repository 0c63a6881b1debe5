"""The weight banding of every convolution of a network."""

from __future__ import annotations

from micrographia.errors import BadValue
from micrographia.model.direct import direct
from micrographia.model.graph import LayerGraph
from micrographia.study.banding import bandings
from micrographia.study.null import Finding


def banding(graph: LayerGraph, seed: int = 0) -> tuple[Finding, ...]:
    """The banding of each convolution with square kernels of 2 x 2 taps or more, in the network's order.

    Raises BadValue for a network without such convolutions.

    >>> banding(graph)[-1].what  # doctest: +SKIP
    'banding of mixed4a_5x5'
    """
    kernels = {}
    for layer in graph.visible():
        if layer.op == "conv":
            height, width = direct(graph, layer.name)[0].kernels.shape[2:]
            if height == width > 1:
                kernels[layer.name] = direct(graph, layer.name)[0].kernels
    if not kernels:
        raise BadValue("This network has no convolutions with square kernels of 2 x 2 taps or more, so no bands.")
    return bandings(kernels, seed=seed)
