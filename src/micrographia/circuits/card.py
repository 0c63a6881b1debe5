"""card(graph, unit): one unit's circuit as values: its strongest inputs with their signs, its users, and the check."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8

from micrographia.circuits.contributions import contributions
from micrographia.circuits.explained import Explained, explained
from micrographia.circuits.reading import Reading, reading
from micrographia.errors import BadValue
from micrographia.model.graph import LayerGraph
from micrographia.study.neighbours import Link, sign_of, strongest_users
from micrographia.unit import Unit

K = 6


@dataclass(frozen=True, eq=False)
class Input:
    """One input of a unit. `share` is the square of the kernel's L2 `norm` as a part of those of all inputs.

    `positive` and `negative` are the kernel's mass of either sign, `sign` is "excitatory" or "inhibitory" by the larger
    of the two. `cancelling` says that neither is twice the other: the input excites at some places of the kernel as
    much as it inhibits at others, and its sign alone tells little.
    """

    unit: Unit
    kernel: Float[np.ndarray, "height width"]
    norm: float
    share: float
    positive: float
    negative: float
    sign: str
    cancelling: bool

    def to_json(self) -> dict[str, Any]:
        """Plain values; the kernel as rows of numbers."""
        plain = {name: getattr(self, name) for name in ("norm", "share", "positive", "negative", "sign", "cancelling")}
        return {"unit": str(self.unit), **plain, "kernel": self.kernel.tolist()}


@dataclass(frozen=True, eq=False)
class Card:
    """The circuit of one unit. `inputs` are the k strongest of `count`, which hold `covered` of the squared norm.

    `way` is "direct", or "expanded" where the inputs are read through a 1x1 bottleneck; `through` names what stands
    between. `norms` are those of all inputs in the order of `reading.sources`, `order` sorts them, strongest first.
    `check` is None until it was made; then `problem` may say why it could not be.
    """

    unit: Unit
    way: str
    via: tuple[str, ...]
    through: tuple[str, ...]
    inputs: tuple[Input, ...]
    count: int
    total: float
    covered: float
    norms: Float[np.ndarray, " input"]
    users: tuple[Link, ...]
    users_count: int
    reading: Reading
    pixels: bool
    check: Explained | None = None
    problem: str = ""

    @property
    def order(self) -> Any:
        """All inputs by their norm, strongest first, the earlier first where two are equal."""
        return np.argsort(-self.norms, kind="stable")

    def to_json(self) -> dict[str, Any]:
        """Plain values, as `circuit --json` prints them."""
        return {
            "unit": str(self.unit), "way": self.way, "via": list(self.via), "through": list(self.through),
            "pixels": self.pixels, "count": self.count, "total": self.total, "covered": self.covered,
            "rest": 1 - self.covered, "inputs": [each.to_json() for each in self.inputs],
            "users_count": self.users_count, "users": [user(each) for each in self.users],
            "check": None if self.check is None else self.check.to_json(), "problem": self.problem,
        }  # fmt: skip


def card(graph: LayerGraph, unit: Unit, k: int | None = None, way: str = "auto", users: int = 6) -> Card:
    """The k inputs with the largest L2 norm (6, or all where there are fewer) and the strongest users of a unit.

    Ranking: Olah et al., An Overview of Early Vision (Distill 2020); share covered beside it. Raises BadAddress, and
    BadValue for a unit without inputs, for k below 1 and for k above the number of inputs.

    >>> [str(each.unit) for each in card(graph, Unit("mixed3b", 379)).inputs][:2]  # doctest: +SKIP
    ['mixed3a:147', 'mixed3a:71']
    """
    read = reading(graph, unit, way)
    sources = read.sources
    if k is not None and not 1 <= k <= len(sources):
        raise BadValue(f"{read.unit} has {len(sources)} inputs, so the strongest {k} cannot be shown. "
                       f"Give k from 1 to {len(sources)}.")  # fmt: skip
    squares = np.concatenate([np.einsum("ihw,ihw->i", r.kernels, r.kernels, dtype=np.float64) for r in read.rows])
    kernels = [kernel for row in read.rows for kernel in row.kernels]
    best = np.argsort(-squares, kind="stable")[: min(K, len(sources)) if k is None else k]
    total = float(squares.sum())
    used = strongest_users(graph, read.unit.layer, max(users, 1))[read.unit.channel]
    return Card(
        unit=read.unit,
        way=read.way,
        via=tuple(dict.fromkeys(row.via for row in read.rows)),
        through=tuple(dict.fromkeys(name for row in read.rows for name in row.through)),
        inputs=tuple(_input(sources[j], kernels[j], float(squares[j]), total) for j in best),
        count=len(sources),
        total=total**0.5,
        covered=float(squares[best].sum()) / total,
        norms=np.sqrt(squares),
        users=used.links[:users],
        users_count=used.count,
        reading=read,
        pixels=all(graph.layer(source.layer).op == "input" for source in sources),
    )


def checked(
    graph: LayerGraph, found: Card, pictures: Iterable[UInt8[np.ndarray, "batch channel height width"]], seed: int = 0
) -> Card:
    """The card with its check: how much of the pre-activation the k inputs explain over these pictures.

    Where what the unit reads cannot be summed up, or the unit does the same on all pictures, `problem` says so.

    >>> checked(graph, card(graph, Unit("mixed3b", 379)), [batch]).check.share  # doctest: +SKIP
    0.42
    """
    if found.reading.problem:
        return replace(found, problem=found.reading.problem)
    maps = (contributions(graph, found.reading, torch.from_numpy(batch).double() / 255) for batch in pictures)
    try:
        check = explained(maps, found.order, len(found.inputs), seed)
    except BadValue as error:
        return replace(found, problem=str(error))
    return replace(found, check=check)


def user(link: Link) -> dict[str, Any]:
    """A user of a unit as plain values."""
    plain = link.to_json()
    return {"unit": plain["target"]} | {name: plain[name] for name in ("via", "norm", "share", "positive", "negative",
            "sign", "kernel")}  # fmt: skip


def _input(unit: Unit, kernel: Float[np.ndarray, "height width"], square: float, total: float) -> Input:
    positive = float(np.maximum(kernel, 0).sum(dtype=np.float64))
    negative = float(-np.minimum(kernel, 0).sum(dtype=np.float64))
    sign = "excitatory" if positive >= negative else "inhibitory"
    return Input(unit, kernel.copy(), square**0.5, square / total, positive, negative, sign,
                 sign_of(positive, negative) == "mixed")  # fmt: skip
