"""ablation(graph, images, unit, inputs): what happens to a unit, its users and the classes without each of its inputs.

What is measured of a unit is its largest activation in a picture. Every number is the mean change over the pictures,
ablated minus intact, with its 95 % interval over the pictures (bootstrap, percentiles); all ablations share the same
pictures and the same resamples. The null of an input is what the unit loses without another input, drawn at random.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from torch import Tensor

from micrographia.errors import BadValue
from micrographia.model.capture import capture
from micrographia.model.edit import Ablate
from micrographia.model.graph import LayerGraph
from micrographia.model.patch import run
from micrographia.study.null import benjamini_hochberg, permutation_p
from micrographia.unit import Unit

RESAMPLES = 1000
CLASSES = 5  # of the network, those that the unit itself changes most


@dataclass(frozen=True)
class Change:
    """The mean change over pictures, and its 95 % interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Effect:
    """What taking some units out does: to the unit, to its users, to some classes, and to the first guesses.

    `unit` is None where it is the unit itself that was taken out. `p` is the share of controls (as many other inputs
    drawn at random, and this ablation itself) whose effect on the unit is as large in either direction; `corrected` is
    for all single inputs (Benjamini and Hochberg). `changed` is the share of pictures whose first guess is another one.
    """

    what: str
    unit: Change | None
    users: tuple[Change, ...]
    classes: tuple[Change, ...]
    changed: float | None
    p: float | None = None
    corrected: float | None = None


@dataclass(frozen=True)
class Ablation:
    """The effects, one input after the other, then all of them, then the unit itself.

    `intact` is the mean over pictures of the unit's largest activation, `intact_users` that of its users. `classes` are
    the outputs whose `Effect.classes` are given. `controls` and `joint_controls` are the effects on the unit of single
    inputs, and of as many inputs as there are on the card, drawn at random from the others.
    """

    to: str
    pictures: int
    intact: float
    users: tuple[str, ...]
    intact_users: tuple[float, ...]
    classes: tuple[int, ...]
    effects: tuple[Effect, ...]
    controls: tuple[float, ...]
    joint_controls: tuple[float, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def ablation(
    graph: LayerGraph,
    images: Float[Tensor, "picture channel height width"],
    unit: Unit,
    inputs: Sequence[Unit],
    others: Sequence[Unit] = (),
    users: Sequence[Unit] = (),
    output: str | None = None,
    to: str = "mean",
    controls: int = 19,
    seed: int = 0,
    advance: Callable[[int], Any] = lambda count: None,
) -> Ablation:
    """Take out each of the inputs, all together, and the unit, "to" the mean, zero, a resample or a shuffle.

    `others` are the unit's remaining inputs, from which the controls are drawn (none where there are too few);
    `output` names a layer of class scores. `advance` counts runs. Raises BadValue for another word and without inputs.

    >>> ablation(graph, pictures, Unit("mixed3b", 3), [Unit("mixed3a", 237)]).effects[0].unit.mean  # doctest: +SKIP
    -4.2
    """
    if not inputs:
        raise BadValue(f"{unit} has no inputs to take out. Name at least one.")
    bench = _Bench(graph, images, unit, tuple(users), output, to, seed, advance)
    bench.know({each.layer for each in (*inputs, *others, unit)})
    intact = bench.measured([])
    runs = [(str(each), [each]) for each in inputs]
    if len(inputs) > 1:
        runs.append((f"all {len(inputs)}", list(inputs)))
    runs.append((str(unit), [unit]))
    # every quantity a column: the unit, its users, the outputs
    changes = [bench.measured(units) - intact for _, units in runs]
    pool = [each for each in dict.fromkeys(others) if each not in set(inputs)]
    rng = np.random.default_rng(seed)
    single = [bench.alone([pool[i]]) for i in rng.permutation(len(pool))[:controls]]
    several = len(inputs) if 1 < len(inputs) < len(pool) else 0
    joint = [
        bench.alone([pool[i] for i in rng.permutation(len(pool))[:several]]) for _ in range(controls * bool(several))
    ]
    null, null_joint = (np.array([float((each - intact[:, 0]).mean()) for each in found]) for found in (single, joint))
    scores = intact[:, 1 + len(users) :]
    chosen = np.argsort(-np.abs(changes[-1][:, 1 + len(users) :].mean(0)), kind="stable")[:CLASSES].tolist()
    weights = rng.multinomial(len(images), np.full(len(images), 1 / len(images)), RESAMPLES) / len(images)
    effects = []
    for (what, units), change in zip(runs, changes, strict=True):
        means = change.mean(0)
        low, high = np.percentile(weights @ change, (2.5, 97.5), axis=0)
        column = [Change(*map(float, each)) for each in zip(means, low, high, strict=True)]
        guesses = scores.argmax(1) != (scores + change[:, 1 + len(users) :]).argmax(1) if scores.size else None
        held = None if units == [unit] else null if len(units) == 1 else null_joint
        effects.append(
            Effect(
                what,
                None if units == [unit] else column[0],
                tuple(column[1 : 1 + len(users)]),
                tuple(column[1 + len(users) + each] for each in chosen),
                None if guesses is None else float(guesses.mean()),
                permutation_p(abs(float(means[0])), np.abs(held)) if held is not None and len(held) else None,
            )
        )
    return Ablation(
        to, len(images), float(intact[:, 0].mean()), tuple(map(str, users)),
        tuple(map(float, intact[:, 1 : 1 + len(users)].mean(0))), tuple(chosen), _corrected(effects, len(inputs)),
        tuple(null.tolist()), tuple(null_joint.tolist()),
    )  # fmt: skip


def _corrected(effects: list[Effect], single: int) -> tuple[Effect, ...]:
    p = [each.p for each in effects[:single]]
    if any(each is None for each in p):
        return tuple(effects)
    adjusted = benjamini_hochberg(np.array(p, dtype=np.float64))
    head = [Effect(**{**vars(e), "corrected": float(q)}) for e, q in zip(effects, adjusted, strict=False)]
    return (*head, *effects[single:])


class _Bench:
    """Runs of the same pictures with some units taken out."""

    def __init__(
        self, graph: LayerGraph, images: Tensor, unit: Unit, users: tuple[Unit, ...], output: str | None, to: str,
        seed: int, advance: Callable[[int], Any],
    ) -> None:  # fmt: skip
        self.graph, self.images, self.unit, self.users, self.output = graph, images, unit, users, output
        self.to, self.seed, self.advance = to, seed, advance
        self.values: dict[str, Tensor] = {}

    def know(self, layers: set[str]) -> None:
        """Keep what units are ablated to: the activations of their layers, for the mean just that."""
        if self.to not in ("mean", "resample"):
            return
        for name in sorted(layers):
            maps = capture(self.graph, self.images, name)[name]
            if self.to == "mean":
                maps = maps.transpose(0, 1).flatten(1).double().mean(1)[None]
            self.values[name] = maps

    def measured(self, units: Sequence[Unit]) -> Float[np.ndarray, "picture quantity"]:
        layers = [self.unit.layer, *(user.layer for user in self.users), *filter(None, [self.output])]
        found = self._run(units, list(dict.fromkeys(layers)))
        columns = [_peak(found[each.layer], each.channel) for each in (self.unit, *self.users)]
        if self.output is not None:
            columns += list(found[self.output].double().T.cpu().numpy())
        return np.stack(columns, 1)

    def alone(self, units: Sequence[Unit]) -> Float[np.ndarray, " picture"]:
        return _peak(self._run(units, [self.unit.layer])[self.unit.layer], self.unit.channel)

    def _run(self, units: Sequence[Unit], layers: list[str]) -> dict[str, Tensor]:
        self.advance(1)
        edits = [
            Ablate([u for u in units if u.layer == name], self.to, {k: v for k, v in self.values.items() if k == name},
                   self.seed)
            for name in dict.fromkeys(unit.layer for unit in units)
        ]  # fmt: skip
        return run(self.graph, self.images, edits, layers)


def _peak(value: Tensor, channel: int) -> Float[np.ndarray, " picture"]:
    return value[:, channel].flatten(1).amax(1).double().cpu().numpy() if value.ndim > 2 else (
        value[:, channel].double().cpu().numpy()
    )  # fmt: skip
