"""score(probe, method): how much each edge matters to the target, by one of several methods, on some pictures.

Every method but "weight" looks at the products of kernel weights, source values and the target's gradient. Summed over
a kernel's taps and places they are the kernel's attribution, activation times gradient, which is exact where the
network is linear (as Syed et al. 2023 for edges); they differ in what is summed before the sign is dropped.
"attribution" sums only along one path from an edge to the target (see `paths`), "net" over all of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from micrographia.circuits.masked import TARGET
from micrographia.circuits.paths import Paths
from micrographia.circuits.probe import Ablated, Probe
from micrographia.circuits.stage import Entry, Reader
from micrographia.errors import BadValue, suggest
from micrographia.model.graph import LayerGraph
from micrographia.study.weights import expanded

METHODS = ("attribution", "net", "weight", "snip", "force", "actgrad", "magnitude")
"""attribution: an edge's activation (less its ablated value) times gradient, along each path to the target by itself:
the root of the mean over pictures of the sum over paths of squares. net: the same with paths summed first, so that
those of opposite signs cancel (Syed et al. 2023). weight: share of a unit's squared expanded weights, times the share
of the unit it leads to. snip: sum of |weight times its gradient| (Lee et al. 2019); force: the same again and again
while the circuit shrinks (de Jorge et al. 2021); actgrad: |activation times gradient| of each kernel's own output
(Hamblin et al. 2022). magnitude: the weights' norm alone, a control."""


@dataclass(frozen=True, eq=False)
class StageScores:
    """Scores of the edges from every unit of a layer into some units of the next; `targets` are their numbers.

    `signed` is each edge's mean net attribution (zeros for the method "attribution", which does not look at it);
    `kernels` the scores of single kernels where they were asked for.
    """

    targets: tuple[int, ...]
    edges: Float[np.ndarray, "target source"]
    signed: Float[np.ndarray, "target source"]
    kernels: tuple[Float[np.ndarray, "_kernel source"], ...] = ()


@dataclass(frozen=True, eq=False)
class Scores:
    """The scores of all edges that were looked at, from the base up; every unit of a pool has all its edges scored."""

    method: str
    stages: tuple[StageScores, ...]
    nodes: tuple[Float[np.ndarray, " _"], ...]


def score(
    graph: LayerGraph,
    probe: Probe,
    ablation: Ablated,
    method: str = "attribution",
    pool: int = 32,
    kernels: bool = False,
    units: Mapping[int, Sequence[int]] | None = None,
) -> Scores:
    """Score the edges into the target, then those into the `pool` sources that matter most, and so on to the base.

    `units` says instead which units of each stage (counted from 1) are looked at.

    Raises BadValue for another method.

    >>> score(graph, found, ablated(found)).stages[-1].edges.shape  # doctest: +SKIP
    (1, 256)
    """
    if method not in METHODS:
        raise BadValue(
            f"There is no method '{method}'. Near it: {suggest(method, METHODS)}; all: {', '.join(METHODS)}."
        )
    by_path = method == "attribution"
    gradients = [] if by_path else _gradients(probe)
    nodes = [np.zeros(0)] * len(probe.reads)
    down: list[Tensor] = []  # with respect to the layer that `here` is of; there is none above the target
    by_weight = method in ("weight", "magnitude")
    found: list[StageScores] = []
    here: tuple[int, ...] = (TARGET,)
    worth = np.ones(1)
    for number in range(len(probe.chain.stages), 0, -1):
        here = here if units is None else tuple(units[number])
        paths = Paths(probe, number - 1) if by_path else None
        each = [_edges(probe, ablation, number, unit, down, method, kernels, paths) for unit in here]
        edges = np.stack([edge for edge, _, _ in each])
        if by_weight:
            edges = _by_weight(graph, probe, number, here, method == "weight") * (
                worth[:, None] if method == "weight" else 1
            )
        found.append(
            StageScores(here, edges, np.stack([s for _, s, _ in each]), tuple(k for _, _, k in each if kernels))
        )
        total = edges.max(0) if method == "magnitude" else edges.sum(0)
        down = paths.gradients() if paths else [gradients[number - 1]]
        nodes[number - 1] = (
            _importance(probe, ablation, number - 1, down) if method in ("attribution", "net") else total
        )
        order = np.argsort(-total, kind="stable")[:pool]
        chosen = np.sort(order[total[order] > 0])
        here, worth = tuple(chosen.tolist()), total[chosen]
    return Scores(method, tuple(found[::-1]), tuple(nodes))


def _gradients(probe: Probe) -> list[Tensor]:
    """The gradient of the target with respect to each layer as its readers see it, on the natural values."""
    stages = probe.chain.stages
    with torch.inference_mode(False), torch.enable_grad():
        reads = [probe.reads[0].detach().requires_grad_(True)]
        for number in range(1, len(stages)):
            value = stages[number - 1].full(reads[-1])
            every = range(probe.chain.channels[number])
            reads.append(stages[number].read_some(value, every, probe.ratios[number]))
        maps = [w * reader([entry.whole(reads[-1]) for entry in reader.entries]) for reader, w in probe.readers]
        total = probe.at_cells(torch.stack(maps).sum(0)).sum()
        return [each.detach() for each in torch.autograd.grad(total, reads)]


def _importance(probe: Probe, ablation: Ablated, layer: int, down: list[Tensor]) -> Float[np.ndarray, " unit"]:
    """Of each unit: root mean square over windows of its activation, less the ablated one, times gradient."""
    change = probe.reads[layer] - ablation.reads[layer]
    return _root_mean_square(torch.cat([(each * change).sum((2, 3)) for each in down]))


def _root_mean_square(products: Tensor) -> Float[np.ndarray, ...]:
    root: Float[np.ndarray, ...] = products.double().square().mean(0).sqrt().cpu().numpy()
    return root


def _edges(
    probe: Probe,
    ablation: Ablated,
    number: int,
    unit: int,
    down: list[Tensor],
    method: str,
    kernels: bool,
    paths: Paths | None,
) -> tuple[Float[np.ndarray, " source"], Float[np.ndarray, " source"], Float[np.ndarray, "_kernel source"]]:
    """Score, mean net attribution, and scores of single kernels, of all edges into one unit."""
    layer, width = number - 1, probe.chain.channels[number - 1]
    draws = 1 if paths is None else paths.draws
    signed = torch.zeros((draws * len(probe), width), dtype=probe.reads[0].dtype)
    single = []
    for reader, outer in _entry_gradients(probe, number, unit, down, draws):
        for entry, gradients in zip(reader.entries, outer, strict=True):
            natural = probe.before(layer, entry)
            change = natural - ablation.before(layer, entry)
            parts = []
            for draw, gradient in enumerate(gradients):
                back = _back(entry, gradient, (change.shape[2], change.shape[3]))
                parts.append((back * change).sum((2, 3)))
                if paths is not None:
                    paths.add(unit, draw, entry, back)
            signed = signed + torch.cat(parts)
            if method in ("snip", "force", "actgrad"):
                by_kernel, by_tap = kernel_products(entry, gradients[0], natural)
                sizes = by_kernel.abs() if method == "actgrad" else by_tap
                single.append(sizes.double().mean(0).cpu().numpy())
            elif kernels:
                products = [kernel_products(entry, gradient, change)[0] for gradient in gradients]
                single.append(_root_mean_square(torch.cat(products)))
    mean = signed.double().mean(0).cpu().numpy() if paths is None else np.zeros(width)
    every = np.concatenate(single) if single else np.zeros((0, width))
    if method in ("snip", "force", "actgrad"):
        return every.sum(0), mean, every
    return _root_mean_square(signed), mean, every


def _entry_gradients(
    probe: Probe, number: int, unit: int, down: list[Tensor], draws: int
) -> Iterator[tuple[Reader, list[list[Tensor]]]]:
    """The target's gradient with respect to what each entry of a unit gives, on the natural values, for each draw."""
    layer, stages = number - 1, probe.chain.stages
    pairs = probe.readers if unit == TARGET else ((stages[layer].reader(unit), 1.0),)
    for reader, weight in pairs:
        with torch.inference_mode(False), torch.enable_grad():
            outs = [probe.whole(layer, entry).detach().clone().requires_grad_(True) for entry in reader.entries]
            value = reader(outs)
            if unit == TARGET:
                # nothing lies above the target, so that all draws are the same
                results = [weight * probe.at_cells(value).sum()]
            else:
                read = stages[number].read_some(value, [unit], probe.ratios[number])
                results = [(read * each[:, unit : unit + 1]).sum() for each in down]
            found = [torch.autograd.grad(result, outs, retain_graph=True) for result in results]
            found = found * (draws // len(found))
            yield reader, [[each.detach() for each in entry] for entry in zip(*found, strict=True)]


def _back(entry: Entry, gradient: Tensor, size: tuple[int, int]) -> Float[Tensor, "window source _height _width"]:
    """The gradient with respect to what an entry reads."""
    back = F.conv_transpose2d(gradient, entry.weight, None, entry.stride, entry.padding, 0, 1, entry.dilation)
    # rows that no kernel reached at the end of the map get no gradient
    missing = [whole - part for whole, part in zip(size, back.shape[2:], strict=True)]
    return F.pad(back, (0, missing[1], 0, missing[0]))


def kernel_products(
    entry: Entry, gradient: Tensor, value: Tensor
) -> tuple[Float[Tensor, "window kernel source"], Float[Tensor, "window kernel source"]]:
    """Weight times its gradient on each picture, summed over a kernel's taps, and the sum of their absolute values."""
    padded = F.pad(value, (entry.padding[1], entry.padding[1], entry.padding[0], entry.padding[0]))
    rows, columns = gradient.shape[2:]
    flat = gradient.flatten(2)
    plain = value.new_zeros((len(gradient), *entry.weight.shape[:2]))
    sizes = plain.clone()
    for row in range(entry.weight.shape[2]):
        for column in range(entry.weight.shape[3]):
            top, left = row * entry.dilation[0], column * entry.dilation[1]
            seen = padded[
                :, :, top : top + entry.stride[0] * (rows - 1) + 1 : entry.stride[0],
                left : left + entry.stride[1] * (columns - 1) + 1 : entry.stride[1],
            ]  # fmt: skip
            products = torch.bmm(flat, seen.flatten(2).transpose(1, 2)) * entry.weight[:, :, row, column]
            plain, sizes = plain + products, sizes + products.abs()
    return plain, sizes


def _by_weight(
    graph: LayerGraph, probe: Probe, number: int, units: tuple[int, ...], shares: bool
) -> Float[np.ndarray, "target source"]:
    """Norms of the expanded weights, or each one's share of its target's sum of squares."""
    norms = expanded_norms(graph, probe, number, units)
    squares = np.square(norms)
    return squares / np.maximum(squares.sum(1, keepdims=True), 1e-300) if shares else norms


def expanded_norms(
    graph: LayerGraph, probe: Probe, number: int, units: tuple[int, ...]
) -> Float[np.ndarray, "target source"]:
    """The L2 norm of the expanded weights from every unit of a layer into some units of the next, or the target."""
    if not units:
        return np.zeros((0, probe.chain.channels[number - 1]))
    kernels = expanded_kernels(graph, probe, number, units)
    root: Float[np.ndarray, "target source"] = np.sqrt(np.square(kernels.astype(np.float64)).sum((2, 3)))
    return root


def expanded_kernels(
    graph: LayerGraph, probe: Probe, number: int, units: tuple[int, ...]
) -> Float[np.ndarray, "target source height width"]:
    """The expanded weights themselves; of a direction, the sum of its units' by their parts."""
    layers = probe.chain.layers
    if units == (TARGET,):
        members = [channel for channel, weight in probe.target.members if weight]
        weights = np.array([weight for _, weight in probe.target.members if weight])
        found = expanded(graph, layers[-2], layers[-1], members).kernels
        return np.einsum("o,oihw->ihw", weights, found)[None]
    return expanded(graph, layers[number - 1], layers[number], list(units)).kernels
