"""What a node of a traced graph is: a word for its kind and its window over space; for modules, functions, methods."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional as F

Pair = tuple[int, int]


@dataclass(frozen=True)
class Window:
    """How an op reads space: kernel, stride, padding before (top, left) and dilation, in cells of its input."""

    kernel: Pair
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)


# kinds that keep every cell's place and every channel's number
POINTWISE = frozenset({"relu", "activation", "batchnorm", "dropout", "identity"})

MODULES: tuple[tuple[tuple[type, ...], str], ...] = (
    ((nn.Conv2d,), "conv"),
    ((nn.ConvTranspose2d,), "transposed conv"),
    ((nn.Linear,), "linear"),
    ((nn.ReLU, nn.ReLU6), "relu"),
    ((nn.MaxPool2d,), "maxpool"),
    ((nn.AvgPool2d,), "avgpool"),
    ((nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d), "adaptive pool"),
    ((nn.BatchNorm2d, nn.BatchNorm1d, nn.SyncBatchNorm), "batchnorm"),
    ((nn.LocalResponseNorm,), "lrn"),
    ((nn.GroupNorm, nn.LayerNorm, nn.InstanceNorm2d), "norm"),
    ((nn.Dropout, nn.Dropout2d, nn.AlphaDropout), "dropout"),
    ((nn.Identity,), "identity"),
    ((nn.Flatten,), "flatten"),
    ((nn.Softmax, nn.LogSoftmax), "softmax"),
    ((nn.ZeroPad2d, nn.ConstantPad2d, nn.ReflectionPad2d, nn.ReplicationPad2d), "pad"),
    ((nn.Upsample, nn.UpsamplingBilinear2d, nn.UpsamplingNearest2d), "upsample"),
    (
        (
            nn.SiLU, nn.GELU, nn.ELU, nn.SELU, nn.LeakyReLU, nn.PReLU, nn.Sigmoid, nn.Tanh, nn.Hardswish,
            nn.Hardsigmoid, nn.Hardtanh, nn.Softplus, nn.Mish, nn.CELU,
        ),
        "activation",
    ),
)  # fmt: skip

FUNCTIONS: dict[Any, str] = {
    F.relu: "relu", torch.relu: "relu", F.relu6: "relu", torch.relu_: "relu",
    F.conv2d: "conv", torch.conv2d: "conv", F.linear: "linear",
    F.conv_transpose2d: "transposed conv", torch.conv_transpose2d: "transposed conv",
    F.max_pool2d: "maxpool", torch.max_pool2d: "maxpool", F.avg_pool2d: "avgpool",
    F.adaptive_avg_pool2d: "adaptive pool", F.adaptive_max_pool2d: "adaptive pool",
    F.batch_norm: "batchnorm", F.local_response_norm: "lrn", F.layer_norm: "norm", F.group_norm: "norm",
    F.dropout: "dropout", F.dropout2d: "dropout", torch.flatten: "flatten", F.softmax: "softmax",
    torch.softmax: "softmax", F.log_softmax: "softmax", F.pad: "pad", F.interpolate: "upsample",
    torch.cat: "concat", torch.concat: "concat", torch.concatenate: "concat",
    operator.add: "add", torch.add: "add", operator.mul: "multiply", torch.mul: "multiply",
    torch.mean: "mean", torch.sigmoid: "activation", F.silu: "activation", F.gelu: "activation",
    torch.tanh: "activation", F.leaky_relu: "activation", F.hardswish: "activation", F.elu: "activation",
    F.selu: "activation", F.celu: "activation", F.softplus: "activation", F.mish: "activation",
    F.hardtanh: "activation", F.hardsigmoid: "activation", F.prelu: "activation", F.sigmoid: "activation",
    F.tanh: "activation", torch.clamp: "activation",
}  # fmt: skip

METHODS: dict[str, str] = {
    "relu": "relu", "add": "add", "mul": "multiply", "mean": "mean", "flatten": "flatten", "view": "reshape",
    "reshape": "reshape", "contiguous": "identity", "clone": "identity", "sigmoid": "activation",
    "tanh": "activation", "softmax": "softmax", "clamp": "activation",
}  # fmt: skip


def kind(node: fx.Node, modules: dict[str, nn.Module]) -> str:
    """One word for what a node does; 'other' where the tables do not know it."""
    if node.op == "placeholder":
        return "input"
    if node.op == "call_module":
        module = modules[str(node.target)]
        if getattr(module, "is_lrn", False):
            return "lrn"
        for types, word in MODULES:
            if isinstance(module, types):
                return word
        return "other"
    if node.op == "call_function":
        return _joining(FUNCTIONS.get(node.target, "other"), node)
    if node.op == "call_method":
        return _joining(METHODS.get(str(node.target), "other"), node)
    return "other"


def _joining(word: str, node: fx.Node) -> str:
    """An addition or a product joins paths only where both sides are values; with a constant it is an activation."""
    if word in ("add", "multiply") and len(data_inputs(node)) < 2:
        return "activation"
    return word


def data_inputs(node: fx.Node) -> list[fx.Node]:
    """The values computed from the picture that a node reads: no parameters, and nothing made from them alone."""
    return [source for source in node.all_input_nodes if source.op != "get_attr" and source.meta.get("data", True)]


def pair(value: Any) -> Pair:
    """An int or a pair of ints as (height, width)."""
    return (int(value), int(value)) if isinstance(value, int) else (int(value[0]), int(value[1]))


def argument(node: fx.Node, position: int, name: str, default: Any = None) -> Any:
    """An argument of a call as it was given: by position, by name, or not at all."""
    if name in node.kwargs:
        return node.kwargs[name]
    return node.args[position] if len(node.args) > position else default


def window(node: fx.Node, word: str, modules: dict[str, nn.Module], extent: Callable[[fx.Node], Pair]) -> Window | None:
    """The window of a conv, a pooling or a padding; None where the op reads space in another way.

    `extent(node)` gives the (height, width) of a node's value, which 'same' and adaptive windows depend on.
    """
    if node.op == "call_module":
        module = modules[str(node.target)]
        get = lambda name, _position, default: getattr(module, name, default)  # noqa: E731
    else:
        get = lambda name, position, default: argument(node, position, name, default)  # noqa: E731
    if word in ("conv", "transposed conv"):
        kernel = _kernel_size(node, modules)
        stride = pair(get("stride", 3, 1))
        dilation = pair(get("dilation", 7 if word == "transposed conv" else 5, 1))
        padding = get("padding", 4, 0)
        if isinstance(padding, str):
            reach = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
            padding = [r // 2 for r in reach] if padding == "same" else (0, 0)
        return Window(kernel, stride, pair(padding), dilation)
    if word in ("maxpool", "avgpool"):
        kernel, given = pair(get("kernel_size", 1, 1)), get("stride", 2, None)
        dilation = pair(get("dilation", 4, 1)) if word == "maxpool" else (1, 1)
        return Window(kernel, pair(given) if given else kernel, pair(get("padding", 3, 0)), dilation)
    if word == "pad":
        sides = get("padding", 99, None) or argument(node, 1, "pad")
        left, _, top, _ = (sides,) * 4 if isinstance(sides, int) else (*sides, 0, 0)[:4]
        return Window((1, 1), (1, 1), (int(top), int(left)))
    if word == "adaptive pool":
        (height, width), (rows, columns) = extent(node.all_input_nodes[0]), extent(node)
        if height % rows or width % columns:
            return None
        kernel = (height // rows, width // columns)
        return Window(kernel, kernel)
    return None


@dataclass(frozen=True)
class Resizing:
    """How a resizing places its cells; `step` is the old cells per new one where the caller fixed it."""

    mode: str
    corners: bool = False
    antialias: bool = False
    step: tuple[float, float] | None = None


def resizing(node: fx.Node, modules: dict[str, nn.Module]) -> Resizing:
    """The settings of an upsampling; an adaptive pooling is one by area."""
    if node.op == "call_module":
        module = modules[str(node.target)]
        get = lambda name, _position: getattr(module, name, None)  # noqa: E731
    else:
        get = lambda name, position: argument(node, position, name)  # noqa: E731
    if kind(node, modules) == "adaptive pool":
        return Resizing("area")
    factor = get("scale_factor", 2)
    if isinstance(factor, (int, float)):
        factor = (factor, factor)
    fixed = isinstance(factor, (list, tuple)) and not get("recompute_scale_factor", 5)
    return Resizing(
        get("mode", 3) or "nearest",
        bool(get("align_corners", 4)),
        bool(get("antialias", 6)),
        (1 / float(factor[0]), 1 / float(factor[1])) if fixed else None,  # type: ignore[index]
    )


def _kernel_size(node: fx.Node, modules: dict[str, nn.Module]) -> Pair:
    if node.op == "call_module":
        return pair(modules[str(node.target)].kernel_size)
    weight = argument(node, 1, "weight")
    height, width = weight.meta["shape"][-2:]
    return int(height), int(width)


def out_of_place(node: fx.Node, modules: dict[str, nn.Module]) -> bool:
    """Turn an in-place call into the ordinary one of the same value; True where the node was in place."""
    if node.op == "call_module":
        return bool(getattr(modules[str(node.target)], "was_inplace", False))
    if node.op == "call_method" and _in_place_name(node.target):
        ordinary = str(node.target)[:-1]
        if not callable(getattr(torch.Tensor, ordinary, None)):
            return False
        node.target = ordinary
        return True
    if node.op != "call_function":
        return False
    ordinary = _ordinary(node.target)
    if ordinary is not None:
        node.target = ordinary
        return True
    if node.kwargs.get("inplace"):
        node.kwargs = {**node.kwargs, "inplace": False}
        return True
    return False


def _in_place_name(target: Any) -> bool:
    name = target if isinstance(target, str) else getattr(target, "__name__", "")
    return name.endswith("_") and not name.endswith("__")


def _ordinary(function: Any) -> Any:
    """The function that returns what this one leaves in its argument; None where it leaves its argument alone."""
    sums = {
        operator.iadd: operator.add, operator.isub: operator.sub, operator.imul: operator.mul,
        operator.itruediv: operator.truediv, operator.ipow: operator.pow,
    }  # fmt: skip
    if function in sums or not _in_place_name(function):
        return sums.get(function)
    name = function.__name__[:-1]
    return getattr(F, name, None) or getattr(torch, name, None)
