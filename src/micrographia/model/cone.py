"""cone(module, size, cell): only the part of every value that one cell of the result can see.

A cell of a convolution needs a window of the value before it, that window a larger one of the value before that, and so
on up to the picture. The cone computes exactly these windows, so the cell's value is the one the whole network gives
on the same picture, for a fraction of the work: at a cell deep in the network most of the border is never computed.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from micrographia.model.ops import POINTWISE, Window, kind, window
from micrographia.model.receptive import Box

Extent = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Cone:
    """The network of one cell: `module` takes the pixels of `box` and returns "batch channel" at that cell."""

    module: fx.GraphModule
    box: Box


def cone(module: fx.GraphModule, size: Extent, channels: int, cell: Extent | None = None) -> Cone:
    """Cut a graph that returns one tensor down to what the cell (row, column) of its result needs.

    `size` is (height, width) of the picture in px. A result without space, like logits, needs the whole picture.
    The method: receptive fields traced backwards (Araujo, Norris and Sim 2019), as windows clipped at the border,
    where the padding that is left is put back.

    >>> cone(single_output, (224, 224), 3, (14, 14)).box  # doctest: +SKIP
    Box(top=67, left=67, bottom=157, right=157)
    """
    modules = dict(module.named_modules(remove_duplicate=False))
    shapes = _shapes(module, size, channels)
    result = next(node for node in module.graph.nodes if node.op == "output").args[0]
    need: dict[fx.Node, Box] = {}
    if cell is not None and len(shapes[result]) == 4:
        need[result] = Box(cell[0], cell[1], cell[0], cell[1])
    plans: dict[fx.Node, Window | None] = {}
    for node in reversed(module.graph.nodes):
        if node.op == "output" or node not in shapes or node.op in ("placeholder", "get_attr"):
            continue
        wanted = need.get(node, _whole(shapes[node]))
        plan = _plan(node, modules, shapes)
        plans[node] = plan
        for source in node.all_input_nodes:
            if len(shapes[source]) != 4 or source.op == "get_attr":
                continue
            box = _whole(shapes[source]) if plan is None else _through(wanted, plan, shapes[source], shapes[node])
            need[source] = _union(need[source], box) if source in need else box
    return _rebuilt(module, modules, shapes, need, plans)


def _whole(shape: tuple[int, ...]) -> Box:
    return Box(0, 0, shape[2] - 1, shape[3] - 1) if len(shape) == 4 else Box(0, 0, 0, 0)


def _union(a: Box, b: Box) -> Box:
    return Box(min(a.top, b.top), min(a.left, b.left), max(a.bottom, b.bottom), max(a.right, b.right))


class _Shapes(fx.Interpreter):
    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module)
        self.found: dict[fx.Node, tuple[int, ...]] = {}

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        if isinstance(result, Tensor):
            self.found[n] = tuple(result.shape)
        return result


def _shapes(module: fx.GraphModule, size: Extent, channels: int) -> dict[fx.Node, tuple[int, ...]]:
    weight = next((p for p in module.parameters()), torch.zeros(()))
    shapes = _Shapes(module)
    with torch.no_grad():
        shapes.run(torch.zeros((1, channels, *size), dtype=weight.dtype, device=weight.device))
    return shapes.found


def _plan(node: fx.Node, modules: dict[str, nn.Module], shapes: dict[fx.Node, tuple[int, ...]]) -> Window | None:
    """How a node's cells read those of its sources; None where it has to be computed whole."""
    word = kind(node, modules)
    sources = [source for source in node.all_input_nodes if source.op != "get_attr"]
    if any(len(shapes.get(each, ())) != 4 for each in (node, *sources)):
        return None
    if word in POINTWISE | {"lrn", "add", "multiply", "concat"} or getattr(
        modules.get(str(node.target)), "pointwise", False
    ):
        same = all(shapes[each][2:] in (shapes[node][2:], (1, 1)) for each in sources)
        joined_channels = word != "concat" or _axis(node) == 1
        return Window((1, 1)) if same and joined_channels else None
    own = modules.get(str(node.target)) if node.op == "call_module" else None
    if isinstance(own, nn.Conv2d) and own.padding_mode == "zeros":
        return window(node, "conv", modules, lambda n: shapes[n][2:])  # type: ignore[arg-type,return-value]
    if isinstance(own, nn.MaxPool2d) and not own.return_indices:
        return window(node, "maxpool", modules, lambda n: shapes[n][2:])  # type: ignore[arg-type,return-value]
    return None


def _axis(node: fx.Node) -> int:
    axis = node.kwargs.get("dim", node.args[1] if len(node.args) > 1 else 0)
    return int(axis) if isinstance(axis, int) else 0


def _reach(wanted: Box, plan: Window) -> Box:
    """The window that these cells read, in cells of the source; it may stand over the border."""
    (kh, kw), (sh, sw), (ph, pw), (dh, dw) = plan.kernel, plan.stride, plan.padding, plan.dilation
    return Box(
        wanted.top * sh - ph, wanted.left * sw - pw,
        wanted.bottom * sh - ph + dh * (kh - 1), wanted.right * sw - pw + dw * (kw - 1),
    )  # fmt: skip


def _through(wanted: Box, plan: Window, source: tuple[int, ...], own: tuple[int, ...]) -> Box:
    if source[2:] == (1, 1) and own[2:] != (1, 1):
        return _whole(source)
    reach = _reach(wanted, plan)
    return Box(max(reach.top, 0), max(reach.left, 0), min(reach.bottom, source[2] - 1), min(reach.right, source[3] - 1))


def _rebuilt(
    module: fx.GraphModule,
    modules: dict[str, nn.Module],
    shapes: dict[fx.Node, tuple[int, ...]],
    need: dict[fx.Node, Box],
    plans: dict[fx.Node, Window | None],
) -> Cone:
    root: dict[str, Any] = {}
    new = fx.Graph()
    placed: dict[fx.Node, fx.Node] = {}
    held: dict[fx.Node, Box] = {}
    views: dict[tuple[fx.Node, Box], fx.Node] = {}

    def view(node: fx.Node, box: Box) -> fx.Node:
        if len(shapes[node]) != 4 or held[node] == box:
            return placed[node]
        if (node, box) not in views:
            have = held[node]
            spans = (box.top - have.top, box.bottom - have.top + 1, box.left - have.left, box.right - have.left + 1)
            views[node, box] = new.call_function(_crop, (placed[node], *spans))
        return views[node, box]

    picture = Box(0, 0, 0, 0)
    for node in module.graph.nodes:
        if node.op == "output":
            result = node.args[0]
            new.output(new.call_function(_flat, (view(result, need.get(result, _whole(shapes[result]))),)))
            break
        if node.op == "placeholder":
            placed[node], held[node] = new.placeholder(node.name), need[node]
            picture = need[node]
            continue
        plan = plans.get(node)
        wanted = need.get(node, _whole(shapes[node]))
        held[node] = wanted if plan is not None else _whole(shapes[node])
        if node.op in ("call_module", "get_attr"):
            value: Any = module
            for part in str(node.target).split("."):
                value = getattr(value, part)
            root[str(node.target)] = value
        if plan is None or plan == Window((1, 1)):
            boxes = {
                each: _whole(shapes[each]) if plan is None else _through(wanted, plan, shapes[each], shapes[node])
                for each in node.all_input_nodes
                if each.op != "get_attr"
            }
            given = {each: view(each, boxes[each]) if each in boxes else placed[each] for each in node.all_input_nodes}
            placed[node] = new.node_copy(node, given.__getitem__)
            continue
        source = node.all_input_nodes[0]
        reach = _reach(wanted, plan)
        seen = _through(wanted, plan, shapes[source], shapes[node])
        name = f"{node.name}_window"
        value, pads = _unpadded(
            modules[str(node.target)],
            (seen.left - reach.left, reach.right - seen.right, seen.top - reach.top, reach.bottom - seen.bottom),
        )
        root[name] = value
        read = view(source, seen)
        if any(pads):
            filler = float("-inf") if isinstance(value, nn.MaxPool2d) else 0.0
            read = new.call_function(F.pad, (read, pads, "constant", filler))
        placed[node] = new.call_module(name, (read,))
    return Cone(fx.GraphModule(root, new), picture)


def _unpadded(own: nn.Module, pads: tuple[int, int, int, int]) -> tuple[Any, tuple[int, int, int, int]]:
    """The same conv or pooling with only the padding (left, right, top, bottom) that is left, and what it cannot do."""
    other: Any = copy.copy(own)
    left, right, top, bottom = pads
    kernel = other.kernel_size if isinstance(other.kernel_size, tuple) else (other.kernel_size,) * 2
    symmetric = left == right and top == bottom and (isinstance(own, nn.Conv2d) or 2 * max(pads) <= min(kernel))
    other.padding = (top, left) if symmetric else (0, 0)
    if isinstance(own, nn.MaxPool2d):
        other.ceil_mode = False
    return other, (0, 0, 0, 0) if symmetric else pads


def _crop(x: Tensor, top: int, bottom: int, left: int, right: int) -> Tensor:
    return x[:, :, top:bottom, left:right]


def _flat(x: Tensor) -> Tensor:
    return x.flatten(1) if x.ndim != 4 or x.shape[2:] == (1, 1) else x
