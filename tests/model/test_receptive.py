from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from micrographia.errors import BadValue
from micrographia.model.card import Card
from micrographia.model.graph import Layer, LayerGraph
from micrographia.model.ops import Window
from micrographia.model.receptive import Box, Field, field_box, merged, resized, through, through_transposed
from micrographia.model.trace import trace
from tests.networks import NETWORKS, Block, seeded

SIZE = (47, 43)


class Strided(nn.Module):
    """Strides, even kernels, dilation, 'same' padding, poolings of every kind."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 2, (5, 4), (2, 1), (2, 0)), nn.MaxPool2d(3, 2, 1), nn.Conv2d(2, 2, 3, dilation=(1, 2)),
            nn.AvgPool2d(2, ceil_mode=True), nn.Conv2d(2, 2, 4, padding="same"),
            nn.Conv2d(2, 2, 3, dilation=2, padding=1),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


class CeilPool(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 7, 2, 3)
        self.norm = nn.LocalResponseNorm(3)
        self.last = nn.Conv2d(2, 2, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.conv(x)), 3, 2, ceil_mode=True)
        x = nn.functional.avg_pool2d(self.norm(x), kernel_size=3, stride=2, ceil_mode=True)
        return self.last(x)


class Padded(nn.Module):
    """As TensorFlow pads: more after than before; and a crop."""

    def __init__(self) -> None:
        super().__init__()
        self.pad = nn.ZeroPad2d((2, 3, 1, 4))
        self.conv = nn.Conv2d(3, 2, 5, 2)
        self.reflect = nn.ConstantPad2d(1, 0.0)
        self.last = nn.Conv2d(2, 2, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(self.pad(x))
        x = self.last(self.reflect(F.pad(x, (1, 2))))
        return F.pad(x, (-1, -2, -3, 0))


class Branched(nn.Module):
    """Paths of different reach that meet in a concat and in an addition, also off centre."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 2, 3, 2)
        self.left = nn.Conv2d(2, 2, (5, 4), padding="same")
        self.right = nn.Sequential(nn.MaxPool2d(3, 1, 1), nn.Conv2d(2, 2, 1))
        self.down = nn.Conv2d(4, 4, 3, 2, 1, groups=2)
        self.skip = nn.Conv2d(4, 4, 1, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = torch.cat([self.left(x), self.right(x)], 1)
        return self.down(x) + self.skip(x)


class Transposed(nn.Module):
    def __init__(self, kernel: int, stride: int, padding: int, dilation: int = 1) -> None:
        super().__init__()
        self.down = nn.Conv2d(3, 2, 3, 2, 1)
        self.up = nn.ConvTranspose2d(2, 2, kernel, stride, padding, dilation=dilation)
        self.last = nn.Conv2d(2, 2, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.up(self.down(x)))


class Resized(nn.Module):
    def __init__(self, up: nn.Module) -> None:
        super().__init__()
        self.down = nn.Conv2d(3, 2, 3, 2, 1)
        self.up = up
        self.last = nn.Conv2d(2, 2, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.up(self.down(x)))


class FunctionUp(nn.Module):
    """A feature pyramid: a coarse map is brought to the size of a fine one and added."""

    def __init__(self) -> None:
        super().__init__()
        self.fine = nn.Conv2d(3, 2, 3, 2, 1)
        self.coarse = nn.Conv2d(2, 2, 3, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        fine = self.fine(x)
        coarse = self.coarse(fine)
        return F.interpolate(coarse, scale_factor=2, mode="nearest") + F.pad(fine, (0, 0, 0, 0))


EXACT: dict[str, Callable[[], nn.Module]] = {
    "strided": Strided,
    "ceil": CeilPool,
    "padded": Padded,
    "branched": Branched,
    **{name: NETWORKS[name] for name in ("inception", "resnet", "preactivated", "grouped", "shared", "inplace")},
    **{name: NETWORKS[name] for name in ("nested", "standardised", "shuffled", "manyoutputs")},
}
RESIZED: dict[str, Callable[[], nn.Module]] = {
    "transposed 2": lambda: Transposed(2, 2, 0),
    "transposed 4": lambda: Transposed(4, 2, 1),
    "transposed 3, dilated": lambda: Transposed(3, 1, 1, 2),
    "nearest 2": lambda: Resized(nn.Upsample(scale_factor=2)),
    "nearest 5/3": lambda: Resized(nn.Upsample(scale_factor=5 / 3)),
    "nearest-exact": lambda: Resized(nn.Upsample((37, 31), mode="nearest-exact")),
    "bilinear 2": lambda: Resized(nn.Upsample(scale_factor=2, mode="bilinear")),
    "bilinear 3": lambda: Resized(nn.Upsample(scale_factor=3, mode="bilinear")),
    "bilinear to a size": lambda: Resized(nn.Upsample((37, 31), mode="bilinear")),
    "bilinear, corners": lambda: Resized(nn.UpsamplingBilinear2d(scale_factor=2)),
    "smaller": lambda: Resized(nn.Upsample((11, 13), mode="bilinear")),
    "bicubic": lambda: Resized(nn.Upsample(scale_factor=2, mode="bicubic")),
    "adaptive": lambda: Resized(nn.AdaptiveAvgPool2d((7, 5))),
    "adaptive, exact": lambda: Resized(nn.AdaptiveAvgPool2d((8, 11))),
    "adaptive, larger": lambda: Resized(nn.AdaptiveAvgPool2d((29, 31))),
    "pyramid": FunctionUp,
}


def positive(make: Callable[[], nn.Module]) -> nn.Module:
    """With small positive weights nothing is cut off and nothing cancels."""
    net = seeded(make)
    for module in net.modules():
        for tensor in (*module._parameters.values(), *module._buffers.values()):
            if tensor is not None and tensor.is_floating_point():
                tensor.data.abs_().add_(0.1).mul_(0.05)
    return net


def means(graph: LayerGraph, layer: str) -> nn.Module:
    """Up to the layer, with a mean in the place of each maximum, which has a gradient at one cell only."""
    part = graph.upto(layer)
    for node in part.graph.nodes:
        if node.op == "call_module" and isinstance(pool := part.get_submodule(node.target), nn.MaxPool2d):
            part.add_submodule(
                f"mean_{node.name}", nn.AvgPool2d(pool.kernel_size, pool.stride, pool.padding, pool.ceil_mode, False)
            )
            node.target = f"mean_{node.name}"
        elif node.target is F.max_pool2d:
            node.target = F.avg_pool2d
            node.kwargs = {key: node.kwargs[key] for key in ("stride", "padding", "ceil_mode") if key in node.kwargs}
    part.recompile()
    return part


def support(part: nn.Module, layer: str, cell: tuple[int, int]) -> Box | None:
    """The smallest box that holds all px on which the cell depends; None for a cell of padding alone."""
    x = torch.rand(1, 3, *SIZE, dtype=torch.float64, generator=torch.Generator().manual_seed(3)).requires_grad_()
    part(x)[layer][0, ..., cell[0], cell[1]].sum().backward()
    rows, columns = (x.grad[0].abs().sum((0, axis)).nonzero().flatten().tolist() for axis in (2, 1))
    return Box(rows[0], columns[0], rows[-1], columns[-1]) if rows else None


def clipped(layer: Layer, cell: tuple[int, int]) -> Box:
    box = field_box(layer.stride, layer.offset, layer.receptive_field, cell)
    return Box(max(box.top, 0), max(box.left, 0), min(box.bottom, SIZE[0] - 1), min(box.right, SIZE[1] - 1))


def cells(layer: Layer, every: bool = False) -> list[tuple[int, int]]:
    height, width = layer.shape[-2:]
    if every:
        longest = max(height, width)
        return [(index * height // longest, index * width // longest) for index in range(longest)]
    return [(0, 0), (height - 1, width - 1), (height // 2, width // 2), (0, width // 3)]


def located(graph: LayerGraph) -> list[Layer]:
    return [layer for layer in graph.layers.values() if layer.receptive_field is not None and layer.name != "input"]


@pytest.mark.parametrize("name", EXACT)
def test_fields_are_the_support_of_gradients(name: str) -> None:
    graph = trace(positive(EXACT[name]), Card(name, size=SIZE))
    assert located(graph)
    for layer in located(graph):
        part = means(graph, layer.name)
        found = {cell: seen for cell in cells(layer) if (seen := support(part, layer.name, cell)) is not None}
        assert found
        for cell, seen in found.items():
            assert seen == clipped(layer, cell), (layer.name, cell)


@pytest.mark.parametrize("name", RESIZED)
def test_fields_of_resized_values_hold_for_every_cell_and_are_narrow(name: str) -> None:
    graph = trace(positive(RESIZED[name]), Card(name, size=SIZE))
    layers = located(graph)
    assert len(layers) >= 3
    for layer in layers:
        part = means(graph, layer.name)
        touched = dict.fromkeys(("top", "left", "bottom", "right"), False)
        widths = []
        for cell in cells(layer, every=True):
            seen, box = support(part, layer.name, cell), clipped(layer, cell)
            assert seen is not None
            assert box.top <= seen.top, (layer.name, cell)
            assert box.left <= seen.left, (layer.name, cell)
            assert box.bottom >= seen.bottom, (layer.name, cell)
            assert box.right >= seen.right, (layer.name, cell)
            for side in touched:
                edge = getattr(box, side) in (0, SIZE[0] - 1 if side == "bottom" else SIZE[1] - 1)
                touched[side] |= not edge and getattr(box, side) == getattr(seen, side)
            widths.append((seen.bottom - seen.top + 1, seen.right - seen.left + 1))
        assert all(touched.values()), (layer.name, touched)
        for axis in (0, 1):
            slack = layer.receptive_field[axis] - max(width[axis] for width in widths)
            assert slack <= math.ceil(2 * layer.stride[axis]), (layer.name, slack)


@pytest.mark.parametrize(
    ("name", "layer"), [("plain", "classifier"), ("gated", "mul"), ("resnet", "fc"), ("resnet", "mean")]
)
def test_values_that_see_the_whole_picture(name: str, layer: str) -> None:
    graph = trace(positive(NETWORKS[name]), Card(name, size=SIZE))
    assert graph.layers[layer].receptive_field is None
    x = torch.rand(1, 3, *SIZE, dtype=torch.float64, requires_grad=True)
    part = means(graph, layer)(x)[layer]
    part[(0, slice(None), 0, 0) if part.ndim == 4 else 0].sum().backward()
    assert (x.grad != 0).any(1)[0, :-4, :-4].all()


class Norms(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.softmax = nn.Softmax(dim=1)
        self.group = nn.GroupNorm(2, 4)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x = self.stem(x)
        return {
            "channels": self.softmax(x), "places": torch.softmax(x, -1), "group": self.group(x), "flip": x.flip(3),
            "turned": x.transpose(2, 3), "last": x.permute(0, 2, 3, 1), "mean": x.mean(1, keepdim=True),
            "product": x @ x.transpose(2, 3), "shuffled": x.view(1, 2, 2, *SIZE).transpose(1, 2),
        }  # fmt: skip


def test_what_keeps_places_and_what_does_not() -> None:
    graph = trace(seeded(Norms), Card("norms", size=SIZE))
    local = {layer.name for layer in graph.layers.values() if layer.receptive_field == (3, 3)}
    assert local == {"stem", "softmax", "mean", "view", "transpose#3"}
    assert {"softmax#2", "group", "flip", "transpose", "permute", "matmul"} <= set(graph.layers) - local


# --- arithmetic

SIDES = st.integers(1, 24)


@given(st.integers(1, 7), st.integers(1, 4), st.integers(0, 3), st.integers(1, 3), st.integers(0, 30))
def test_one_window(kernel: int, stride: int, padding: int, dilation: int, cell: int) -> None:
    window = Window((kernel, 1), (stride, 1), (padding, 0), (dilation, 1))
    taps = [cell * stride - padding + dilation * tap for tap in range(kernel)]
    assert through(Field(), window, 0).pixels(cell) == (taps[0], taps[-1])
    assert through(Field(2.0, -1.0, 3.0), window, 0).pixels(cell) == (2 * taps[0] - 1, 2 * taps[-1] + 3)
    assert through(Field(), window, 1) == Field()


@given(st.integers(1, 7), st.integers(1, 4), st.integers(0, 3), st.integers(1, 3), st.integers(0, 30))
def test_one_transposed_window(kernel: int, stride: int, padding: int, dilation: int, cell: int) -> None:
    window = Window((1, kernel), (1, stride), (0, padding), (1, dilation))
    # input j writes tap t to cell j * stride - padding + dilation * t
    sources = [j for j in range(-20, 60) for t in range(kernel) if j * stride - padding + dilation * t == cell]
    first, last = through_transposed(Field(), window, 1).pixels(cell)
    assert all(first <= j <= last for j in sources)


@given(SIDES, SIDES, st.sampled_from(["nearest", "nearest-exact", "bilinear", "bicubic", "area"]))
def test_resizing_one_axis(before: int, after: int, mode: str) -> None:
    x = torch.rand(1, 1, before, 1, dtype=torch.float64, requires_grad=True)
    y = F.adaptive_avg_pool2d(x, (after, 1)) if mode == "area" else F.interpolate(x, (after, 1), mode=mode)
    field = resized(Field(), before, after, mode)
    for cell in range(after):
        (gradient,) = torch.autograd.grad(y[0, 0, cell, 0], x, retain_graph=True)
        seen = (gradient.abs() > 1e-9).nonzero()[:, 2].tolist()
        first, last = field.pixels(cell)
        assert max(first, 0) <= seen[0]
        assert min(last, before - 1) >= seen[-1]
        assert last - first + 1 <= field.size


@given(st.integers(1, 12), st.integers(1, 12), st.integers(-20, 20), st.integers(0, 40), st.integers(0, 30))
def test_a_box_holds_all_pixels_of_fractional_fields(over: int, under: int, low: int, width: int, cell: int) -> None:
    field = Field(over / under, low / under, (low + width) / under)
    box = field_box((field.scale, 1.0), (field.centre, 0.0), (field.size, 1), (cell, 0))
    first, last = field.pixels(cell)
    assert box.top <= first
    assert box.bottom >= last
    assert box.bottom - box.top + 1 == field.size
    assert field.size <= width // under + 1


def test_paths_that_meet() -> None:
    assert merged([Field(2.0, -3.0, 1.0), Field(2.0, 0.0, 4.0)]) == Field(2.0, -3.0, 4.0)
    with pytest.raises(BadValue, match=r"Paths of strides \[1.0, 2.0\] cannot meet"):
        merged([Field(2.0), Field(1.0)])


def test_an_unknown_way_of_resizing() -> None:
    with pytest.raises(BadValue, match=r"no resizing mode 'lanczos'\. It is nearest"):
        resized(Field(), 3, 5, "lanczos")


def test_a_stack_of_blocks_by_hand() -> None:
    net = nn.Sequential(Block(3, 5, 7), nn.MaxPool2d(3, 2, ceil_mode=True), Block(5, 5), Block(5, 5, 5)).eval()
    layers = trace(net, Card("stack", size=SIZE)).layers
    assert [layers[str(i)].receptive_field for i in range(4)] == [(7, 7), (9, 9), (13, 13), (21, 21)]
    assert [layers[str(i)].stride for i in range(4)] == [(1, 1), (2, 2), (2, 2), (2, 2)]
    assert layers["3"].offset == (1, 1)
