"""Expanded weights: how a unit of one layer writes to a unit of any later one, as kernels of an affine map."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, fx

from micrographia.errors import BadValue
from micrographia.model.graph import LayerGraph
from micrographia.model.linear import RULES, Affine, Rule, affine
from micrographia.model.twin import floating_type
from micrographia.unit import UnitRange

WORK_BYTES = 256 << 20
RESULT_BYTES = 4 << 30


@dataclass(frozen=True, eq=False)
class ExpandedWeights:
    """The affine map from `src` to some units of `dst`, one kernel for each pair of units.

    A cell i of `dst` reads tap t of a kernel at the cell stride * i + offset + t of `src`, along each axis. `stride` is
    None where `dst` reads the whole map or lies on a finer grid: then taps count the cells of `src` from its corner and
    the kernels are those of the centre of `dst`. `rules` names the stand-ins that were needed; batch norm is affine and
    is part of the kernels. With `complete` False some path to `dst` goes around `src`, and `bias` lacks it.
    """

    kernels: Float[np.ndarray, "out in height width"]
    bias: Float[np.ndarray, " out"]
    src: str
    dst: str
    units: tuple[int, ...]
    stride: tuple[int, int] | None
    offset: tuple[int, int]
    rules: tuple[str, ...]
    complete: bool

    @property
    def norms(self) -> Float[np.ndarray, "out in"]:
        """The L2 norm of every kernel: how strongly two units are connected."""
        return np.sqrt(np.einsum("oihw,oihw->oi", self.kernels, self.kernels, dtype=np.float64))


def expanded(
    graph: LayerGraph,
    src: str,
    dst: str,
    units: Sequence[int] | None = None,
    rules: tuple[Rule, ...] = RULES,
    work_bytes: int = WORK_BYTES,
) -> ExpandedWeights:
    """The expanded weights from all units of `src` to the given (or all) units of `dst`.

    They are the gradient of a cell of `dst` far from any border, with every op made affine by `rules`: for two
    neighbouring convolutions the kernel itself, times batch norm's scale where one follows. Kernels are cropped to
    their common support. `work_bytes` bounds the memory for what lies between. Raises BadAddress for unknown layers and
    units, and BadValue where `dst` does not depend on `src` or a path cannot be made affine. Method: Voss et al.,
    Visualizing Weights (Distill 2021).

    >>> expanded(graph, "mixed3a", "mixed3b").kernels.shape  # doctest: +SKIP
    (480, 256, 5, 5)
    """
    path = affine(graph, src, dst, rules)
    wanted = _units(graph, dst, units)
    frame = _frame(graph, path)
    dtype, device = floating_type(graph.module)
    channels = graph.layer(src).channels
    rows, columns = frame.window
    size = len(wanted) * channels * (rows.stop - rows.start) * (columns.stop - columns.start) * dtype.itemsize
    if size > RESULT_BYTES:
        raise BadValue(
            f"The weights from {src} to {len(wanted)} units of {dst} would take {size / 2**30:.0f} GiB. "
            f"Name fewer units, for example {dst}:0-{max(1, len(wanted) * RESULT_BYTES // size) - 1}."
        )
    with torch.inference_mode(False), torch.enable_grad():
        zero = torch.zeros((1, *frame.canvas), dtype=dtype, device=device)
        counted = _Counted(path.module)
        bias = frame.cell(counted.run(zero))[0, wanted]
        chunk = max(1, work_bytes // (2 * counted.bytes))
        kernels = torch.cat([_gradient(path, frame, zero, wanted[i : i + chunk]) for i in range(0, len(wanted), chunk)])
    taps, offset = _cropped(
        kernels.reshape(*kernels.shape[:2], *kernels.shape[2:] or (1, 1)).cpu().numpy(), frame.offset
    )
    return ExpandedWeights(
        taps, bias.detach().cpu().numpy(), path.src, path.dst, tuple(wanted), frame.stride, offset, path.rules,
        path.complete,
    )  # fmt: skip


def composed(first: ExpandedWeights, second: ExpandedWeights) -> ExpandedWeights:
    """The weights from A to C out of those from A to B (all units of B) and from B to C.

    Equal to `expanded` from A to C where all paths go through B. Raises BadValue where they do not follow each other.

    >>> composed(expanded(g, "a", "b"), expanded(g, "b", "c")).dst  # doctest: +SKIP
    'c'
    """
    if first.dst != second.src or first.units != tuple(range(second.kernels.shape[1])):
        raise BadValue(
            f"Weights to {len(first.units)} units of {first.dst} do not lead on to weights from {second.src} with "
            f"{second.kernels.shape[1]} units. Expand to all units of the layer that the second ones start from."
        )
    if first.stride is None or second.stride is None:
        raise BadValue(f"{first.dst} or {second.dst} reads the whole map. Expand from {first.src} directly.")
    # a transposed convolution puts a copy of the first kernel at every tap of the second
    kernels = torch.conv_transpose2d(
        torch.from_numpy(second.kernels), torch.from_numpy(first.kernels), None, first.stride
    )
    taps, offset = _cropped(
        kernels.numpy(), (first.offset[0] + first.stride[0] * second.offset[0],
                          first.offset[1] + first.stride[1] * second.offset[1]),
    )  # fmt: skip
    return ExpandedWeights(
        taps, second.bias + np.einsum("oihw,i->o", second.kernels, first.bias), first.src, second.dst, second.units,
        (first.stride[0] * second.stride[0], first.stride[1] * second.stride[1]), offset,
        tuple(dict.fromkeys(first.rules + second.rules)), first.complete and second.complete,
    )  # fmt: skip


@dataclass(frozen=True)
class _Frame:
    """Where to look: a canvas (channels and space of `src`), the cell of `dst`, and the part of the canvas it reads."""

    canvas: tuple[int, ...]
    place: tuple[int, ...]
    window: tuple[slice, slice]
    stride: tuple[int, int] | None
    offset: tuple[int, int]

    def cell(self, value: Tensor) -> Tensor:
        return value[:, :, self.place[0], self.place[1]] if self.place else value


def _frame(graph: LayerGraph, path: Affine) -> _Frame:
    """A canvas just large enough that the cell of `dst` sees no padding, or the whole map where it sees all of it."""
    src, dst = graph.layer(path.src), graph.layer(path.dst)
    fields = path.reach
    if fields is None or not all(
        float(number).is_integer() for field in fields for number in (field.scale, field.low, field.high)
    ):
        place = tuple((extent - 1) // 2 for extent in dst.shape[1:])
        height, width = src.shape[1:] if src.spatial else (1, 1)
        return _Frame(src.shape, place, (slice(0, height), slice(0, width)), None, (0, 0))
    stride = [int(field.scale) for field in fields]
    low = [int(field.low) for field in fields]
    place = tuple(max(0, math.ceil(-first / step)) for first, step in zip(low, stride, strict=True))
    windows = [
        slice(s * p + int(f.low), s * p + int(f.high) + 1) for s, p, f in zip(stride, place, fields, strict=True)
    ]
    canvas = (src.channels, windows[0].stop, windows[1].stop)
    return _Frame(canvas, place, (windows[0], windows[1]), (stride[0], stride[1]), (low[0], low[1]))


def _gradient(path: Affine, frame: _Frame, zero: Tensor, units: list[int]) -> Tensor:
    """The gradient of each unit's cell: row b of a batch of canvases is for unit b."""
    canvas = zero.repeat(len(units), *(1,) * (zero.ndim - 1)).requires_grad_(True)
    cells = frame.cell(path.module(canvas))
    picked = cells[torch.arange(len(units)), units].sum()
    (gradient,) = torch.autograd.grad(picked, canvas)
    return gradient[:, :, *frame.window] if gradient.ndim == 4 else gradient


def _cropped(
    kernels: Float[np.ndarray, "out in height width"], offset: tuple[int, int]
) -> tuple[Float[np.ndarray, "out in rows columns"], tuple[int, int]]:
    """Without the outer rows and columns that are zero in every kernel."""
    used = np.any(kernels != 0, axis=(0, 1))
    if not used.any():
        row, column = used.shape[0] // 2, used.shape[1] // 2
        used[row, column] = True
    rows, columns = np.flatnonzero(used.any(1)), np.flatnonzero(used.any(0))
    top, left = int(rows[0]), int(columns[0])
    kept = kernels[:, :, top : rows[-1] + 1, left : columns[-1] + 1]
    return np.ascontiguousarray(kept), (offset[0] + top, offset[1] + left)


def _units(graph: LayerGraph, dst: str, units: Sequence[int] | None) -> list[int]:
    layer = graph.layer(dst)
    if units is None:
        return list(range(layer.channels))
    chosen = [int(unit) for unit in units]
    if not chosen or min(chosen) < 0:
        raise BadValue(f"{chosen} are not units of {dst}. Name at least one of 0 to {layer.channels - 1}.")
    UnitRange(layer.name, ((min(chosen), max(chosen)),)).units(layer.channels)
    return chosen


class _Counted(fx.Interpreter):
    """Runs one canvas and counts the bytes of all values, from which the size of a batch follows."""

    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module)
        self.bytes = 0

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        if isinstance(result, Tensor) and n.op != "get_attr":
            self.bytes += result.numel() * result.element_size()
        return result
