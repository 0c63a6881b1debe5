"""A network with some of its weights dealt out anew: the null of what an architecture does without having learned."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float
from torch import nn

from micrographia.errors import BadValue
from micrographia.model.graph import LayerGraph
from micrographia.model.linear import affine

Weight = Float[np.ndarray, "..."]


def convolutions_between(graph: LayerGraph, src: str, dst: str) -> list[str]:
    """The names of the modules with kernels on the paths from `src` to `dst`; raises as `affine` does.

    >>> convolutions_between(graph, "maxpool1", "mixed3a")[0]  # doctest: +SKIP
    'mixed3a_1x1'
    """
    path = affine(graph, src, dst).module
    kinds = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)
    return [name for name, module in path.named_modules() if isinstance(module, kinds)]


def redrawn(graph: LayerGraph, modules: Sequence[str], seed: int = 0, how: str = "entries") -> LayerGraph:
    """A copy of the network in which each of these modules has weights that tell nothing.

    By default they are its own weights, all in another order: they keep their distribution and lose everything else.
    With "kernels" each unit by itself has its kernels dealt out anew over the channels it reads: they stay what they
    are in space. With "noise" each unit's kernels become noise as smooth as they are (`channel_noise`). The given
    network stays as it is; the copy's fingerprint says that it is another. Raises BadValue for another way.

    >>> redrawn(graph, ["conv2d0"], seed=1).fingerprint == graph.fingerprint  # doctest: +SKIP
    False
    """
    return next(redraws(graph, modules, [seed], how))


def redraws(
    graph: LayerGraph, modules: Sequence[str], seeds: Iterable[int], how: str = "entries"
) -> Iterator[LayerGraph]:
    """Yield what `redrawn` gives for each seed, as one copy whose weights change: use each before asking for the next.

    What was cut out of the first copy shares its weights and changes along. Raises BadValue.

    >>> len({id(each.module) for each in redraws(graph, ["conv2d0"], range(5))})  # doctest: +SKIP
    1
    """
    if how not in _WAYS:
        raise BadValue(f"Weights cannot be dealt out by '{how}'. Choose {', '.join(_WAYS)}.")
    other = copy.deepcopy(graph.module)
    for seed in seeds:
        rng = np.random.default_rng(seed)
        for name in modules:
            own = graph.module.get_parameter(f"{name}.weight").detach().cpu().numpy()
            with torch.no_grad():
                dealt = np.ascontiguousarray(_WAYS[how](own, rng))
                other.get_parameter(f"{name}.weight").copy_(torch.from_numpy(dealt))
        yield replace(graph, module=other, fingerprint=f"{graph.fingerprint}-redrawn-{how}-{seed}")


def _entries(weight: Weight, rng: np.random.Generator) -> Weight:
    return rng.permutation(weight.reshape(-1)).reshape(weight.shape)


def _kernels(weight: Weight, rng: np.random.Generator) -> Weight:
    order = rng.permuted(np.tile(np.arange(weight.shape[1]), (len(weight), 1)), axis=1)
    return weight[np.arange(len(weight))[:, None], order]


def channel_noise(
    kernels: Float[np.ndarray, "unit channel height width"], rng: np.random.Generator
) -> Float[np.ndarray, "unit channel height width"]:
    """Noise without any direction that is otherwise like each kernel: as smooth, of the same colours, as wide.

    White noise is given each kernel's own spectrum, averaged over all directions, the products of its channels, and the
    envelope (root mean square over all kernels) that they share.

    >>> channel_noise(np.ones((2, 3, 5, 5)), np.random.default_rng(0)).shape
    (2, 3, 5, 5)
    """
    wide = kernels.astype(np.float64)
    height, width = wide.shape[2:]
    size = (2 * height, 2 * width)
    radius = np.hypot(np.fft.fftfreq(size[0])[:, None] * size[0] / height, np.fft.fftfreq(size[1]) * size[1] / width)
    band = np.rint(radius * max(height, width)).astype(int)
    power = np.square(np.abs(np.fft.fft2(wide, size))).sum(1).reshape(len(wide), -1)
    share = np.bincount(band.ravel())
    shape = np.stack([np.bincount(band.ravel(), each) for each in power]) / np.maximum(share, 1)
    white = np.fft.fft2(rng.standard_normal((*wide.shape[:2], *size)))
    smooth = np.fft.ifft2(white * np.sqrt(shape)[:, band][:, None]).real[..., :height, :width]
    smooth /= np.sqrt(np.square(smooth).mean((1, 2, 3), keepdims=True)) + 1e-30
    products = np.einsum("uchw,udhw->ucd", wide, wide)
    values, axes = np.linalg.eigh(products)
    colours = (axes * np.sqrt(np.maximum(values, 0))[:, None]) @ axes.transpose(0, 2, 1)
    envelope = np.sqrt(np.square(wide).mean((0, 1)))
    return np.einsum("ucd,udhw->uchw", colours, smooth) * envelope / (envelope.max() or 1.0)


_WAYS: dict[str, Callable[[Weight, np.random.Generator], Weight]] = {
    "entries": _entries,
    "kernels": _kernels,
    "noise": channel_noise,
}
