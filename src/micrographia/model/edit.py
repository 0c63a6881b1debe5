"""Edits: what can be done to units while the network runs. Each is a value; `patch.run` carries them out.

Another edit is another frozen dataclass with `units` and `__call__`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from micrographia.errors import BadValue
from micrographia.model.graph import Layer
from micrographia.unit import Unit

# one address or several: mixed3b:379, mixed3b:379@4,4, mixed3b:0-31, mixed3b
Where = str | Unit | Sequence[str | Unit]
Maps = Float[Tensor, "batch unit *space"]
Rows = Int[Tensor, " batch"]


@runtime_checkable
class Edit(Protocol):
    """A change of some units: what they were goes in, what they become comes out.

    `old` holds the named units of one layer in their order; `rows` the place of each picture among all that are run, so
    that nothing depends on the batches; `reference` the edit's own activations of these units; `inputs` what an implant
    reads. The result may have length 1 along an axis, as in numpy's broadcasting.
    """

    @property
    def units(self) -> Where: ...

    def __call__(self, old: Maps, rows: Rows, reference: Tensor | None, *inputs: Tensor) -> Tensor: ...


@dataclass(frozen=True, eq=False)
class Ablate:
    """Take the information out of units: their values no longer depend on the picture, or on the place in it.

    To "zero"; to the "mean" of each unit over all pictures and places of `values`; "resample": to its map on a picture
    drawn from `values`, the same one for all the units; "shuffle": to its own map with the places in random order.
    `values` are activations as `capture` gives them. Raises BadValue for another word and where `values` are missing.

    >>> Ablate("mixed3b:379", "mean", capture(graph, others, "mixed3b"))  # doctest: +SKIP
    """

    units: Where
    to: str = "zero"
    values: Mapping[str, Tensor] = field(default_factory=dict, repr=False)
    seed: int = 0

    def __post_init__(self) -> None:
        if self.to not in ("zero", "mean", "resample", "shuffle"):
            raise BadValue(f"Units cannot be ablated to '{self.to}'. Choose zero, mean, resample or shuffle.")
        if self.to in ("mean", "resample") and not self.values:
            raise BadValue(f"Ablating by {self.to} needs activations. Give values=capture(graph, pictures, layers).")

    def __call__(self, old: Maps, rows: Rows, reference: Tensor | None, *inputs: Tensor) -> Tensor:
        """The ablated values."""
        draws = [np.random.default_rng([self.seed, row]) for row in rows.tolist()]
        if self.to == "shuffle":
            if old.ndim < 3:
                raise BadValue("Units without a map have no places to shuffle. Ablate them to zero or to the mean.")
            orders = np.stack([draw.permutation(old[0, 0].numel()) for draw in draws])
            order = torch.from_numpy(orders).to(old.device)[:, None].expand(-1, old.shape[1], -1)
            return old.flatten(2).gather(2, order).reshape(old.shape)
        if reference is None:
            return torch.zeros_like(old)
        if self.to == "mean":
            return _per_unit(reference.transpose(0, 1).flatten(1).double().mean(1), old)
        return reference[[int(draw.integers(len(reference))) for draw in draws]].to(old)


@dataclass(frozen=True, eq=False)
class Replace:
    """Give units these values: one number, a number per unit, a map per unit, or a map per picture and unit.

    The units count in the order in which they are named; a unit with a position takes what its map has there.

    >>> Replace("mixed3b:379@4,4", 0.5)
    Replace(units='mixed3b:379@4,4')
    """

    units: Where
    values: float | Tensor = field(repr=False)

    def __call__(self, old: Maps, rows: Rows, reference: Tensor | None, *inputs: Tensor) -> Tensor:
        """The given values."""
        if not isinstance(self.values, Tensor) or self.values.ndim < 2:
            return _per_unit(self.values, old)
        given = self.values.to(old)
        if given.ndim < old.ndim:
            return given[None]
        if int(rows.max()) >= len(given):
            raise BadValue(
                f"There are values for {len(given)} pictures, but more pictures. Give values for each of them."
            )
        return given[rows]


@dataclass(frozen=True, eq=False)
class Scale:
    """Multiply units by one factor, or each by its own.

    >>> Scale("mixed3b:379", 2.0)
    Scale(units='mixed3b:379', factor=2.0)
    """

    units: Where
    factor: float | Tensor

    def __call__(self, old: Maps, rows: Rows, reference: Tensor | None, *inputs: Tensor) -> Tensor:
        """The scaled values."""
        return old * _per_unit(self.factor, old)


@dataclass(frozen=True, eq=False)
class Implant:
    """Compute units in another way: by a function of the layer's own inputs, or of any values before it.

    `function` takes the values of `inputs` (the layer's parents where none are named) and returns the named units. A
    module is run through a twin, in evaluation mode, and stays as it is; `convolution` makes one from kernels.

    >>> Implant("mixed3b:379", hand_made_curve, inputs=("input",))  # doctest: +SKIP
    """

    units: Where
    function: Callable[..., Tensor]
    inputs: tuple[str, ...] = ()

    def __call__(self, old: Maps, rows: Rows, reference: Tensor | None, *inputs: Tensor) -> Tensor:
        """The implanted values."""
        return self.function(*inputs)


def convolution(
    layer: Layer,
    kernels: Float[Tensor, "unit in height width"],
    bias: Float[Tensor, " unit"] | None = None,
    rectified: bool = True,
) -> nn.Module:
    """A convolution that can stand in for some of a layer's own: these kernels, the layer's stride and dilation.

    Kernels of another size than the layer's lie around the same middle. `rectified` puts a ReLU after it. Raises
    BadValue for a layer that is no convolution, or where the middles cannot agree.

    >>> convolution(graph.layer("mixed3b_1x1"), torch.zeros(2, 256, 3, 3))  # doctest: +SKIP
    """
    size = (int(kernels.shape[2]), int(kernels.shape[3]))
    if layer.op != "conv" or layer.window is None:
        raise BadValue(f"{layer.name} is no convolution but a {layer.op}. Give the implant a function of its inputs.")
    own = layer.window
    excess = [d * (new - old) for d, new, old in zip(own.dilation, size, own.kernel, strict=True)]
    padding = (own.padding[0] + excess[0] // 2, own.padding[1] + excess[1] // 2)
    if any(each % 2 for each in excess) or min(padding) < 0:
        raise BadValue(
            f"Kernels of {size[0]} x {size[1]} cannot lie around the middle of {layer.name}'s, which are "
            f"{own.kernel[0]} x {own.kernel[1]} with padding {own.padding}. Pad them with zeros to another size."
        )
    conv = nn.Conv2d(
        kernels.shape[1], len(kernels), size, own.stride, padding, own.dilation, bias=bias is not None, device="meta"
    )
    conv.weight = nn.Parameter(kernels, requires_grad=False)
    if bias is not None:
        conv.bias = nn.Parameter(bias, requires_grad=False)
    return nn.Sequential(conv, nn.ReLU()) if rectified else conv


def _per_unit(numbers: float | Tensor, old: Tensor) -> Tensor:
    """One number, or one for each unit, in the shape of the units' maps."""
    given = torch.as_tensor(numbers).to(old).reshape(-1)
    if len(given) not in (1, old.shape[1]):
        raise BadValue(f"There are {len(given)} numbers for {old.shape[1]} units. Give one, or one for each unit.")
    return given.reshape(1, -1, *[1] * (old.ndim - 2))
