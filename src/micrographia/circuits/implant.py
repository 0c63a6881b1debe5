"""implant(graph, ...): a network with some of its units taken out, and with units written by hand in their place.

The test of Cammarata et al., Curve Circuits (Distill 2021), with what it left out: each new unit's scale and offset are
fitted, on other pictures; every figure has an interval over the pictures, paired with the intact network; and there are
controls: the same implant with its directions exchanged, and as many other units of the same branches taken out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy import stats
from torch import Tensor, nn

from micrographia.circuits.handmade import OFFSET, STRIDE, CurveNetwork
from micrographia.circuits.handmade import card as handmade_card
from micrographia.errors import BadValue
from micrographia.model.card import Card, denormalise, normalise
from micrographia.model.graph import Layer, LayerGraph
from micrographia.unit import Unit

RESAMPLES = 2000
MEASURES = ("top1", "top5", "loss")
FITS = ("least squares", "equal spread")

Maps = Float[Tensor, "picture unit height width"]
FitMaps = Float[Tensor, "fit unit height width"]  # on the pictures that the gain is fitted on
Scores = Float[np.ndarray, "picture measure"]


class Graft(nn.Module):
    """The handwritten curves as a function of what a network sees: its cells, its scale, rectified.

    `scale` and `offset` have one number for each direction. Between the handwritten network's own cells the maps are
    interpolated; outside them the outermost counts.

    >>> Graft(graph.card, graph.layer("mixed3b"), [0.0, 90.0])  # doctest: +SKIP
    """

    def __init__(self, card: Card, layer: Layer, directions: Sequence[float | int]) -> None:
        super().__init__()
        if card.channels not in (1, 3) or layer.stride is None or layer.offset is None or not layer.spatial:
            raise BadValue(
                f"Curves cannot be put into {layer.name} of {card.name}, which sees {card.channels} channels. "
                "They need a layer of maps, in a network of pictures in grey or colour."
            )
        self.card, self.own = card, handmade_card(card.size)
        self.network = CurveNetwork(directions)
        for name, axis in (("rows", 0), ("columns", 1)):
            centres = layer.offset[axis] + layer.stride[axis] * np.arange(layer.shape[1 + axis])
            self.register_buffer(name, torch.from_numpy((centres - OFFSET) / STRIDE))
        self.register_buffer("scale", torch.ones(len(directions)))
        self.register_buffer("offset", torch.zeros(len(directions)))

    def forward(self, value: Tensor) -> Tensor:
        shown = denormalise(value, self.card)
        answers = self.network(normalise(shown.expand(-1, 3, -1, -1), self.own).to(self.get_buffer("scale")))
        rows, columns = (_between(at, size) for at, size in zip(self._cells(), answers.shape[2:], strict=True))
        placed = rows.to(answers) @ answers @ columns.to(answers).T
        return fitted(placed, self.get_buffer("scale"), self.get_buffer("offset"))

    def _cells(self) -> tuple[Tensor, Tensor]:
        return self.get_buffer("rows"), self.get_buffer("columns")


def _between(at: Float[Tensor, " cell"], length: int) -> Float[Tensor, "cell own"]:
    """The matrix that interpolates values at 0, 1, ... to these places."""
    inside = at.clamp(0, length - 1)
    return (1 - (inside[:, None] - torch.arange(length).to(inside)).abs()).clamp(min=0)


def fitted(made: Maps, scale: Float[Tensor, " unit"], offset: Float[Tensor, " unit"]) -> Maps:
    """Maps multiplied, shifted and rectified, unit by unit."""
    return (made * scale.to(made)[:, None, None] + offset.to(made)[:, None, None]).relu()


def gain(made: Maps, own: Maps, how: str = FITS[0]) -> tuple[Float[Tensor, " unit"], Float[Tensor, " unit"]]:
    """The scale and offset that bring each handwritten map to the network's own.

    By "least squares", which turns down what agrees little (a scale of 0 is the unit's mean; below 0 it is never), or
    to "equal spread": the same mean and standard deviation, whatever agrees. Raises BadValue for another word.

    >>> gain(torch.tensor([[[[0.0, 1.0]]]]), torch.tensor([[[[1.0, 3.0]]]]))
    (tensor([2.], dtype=torch.float64), tensor([1.], dtype=torch.float64))
    """
    if how not in FITS:
        raise BadValue(f"A gain cannot be fitted by '{how}'. Choose {' or '.join(FITS)}.")
    x, y = (each.transpose(0, 1).flatten(1).double() for each in (made, own))
    spread = x.var(1, correction=0)
    if how == FITS[0]:
        together = ((x - x.mean(1, keepdim=True)) * (y - y.mean(1, keepdim=True))).mean(1)
        slope = (together / spread).clamp(min=0)
    else:
        slope = (y.var(1, correction=0) / spread).sqrt()
    scale = torch.where(spread > 0, slope, 0.0)
    return scale, y.mean(1) - scale * x.mean(1)


@dataclass(frozen=True)
class Paired:
    """A mean difference over the same pictures with its 95 % interval (bootstrap, percentiles).

    Between two single runs that count right answers, `gained` pictures became right and `lost` wrong, and `p` is
    McNemar's exact test of the two being equally many; None for means of several draws and for the loss.
    """

    change: float
    low: float
    high: float
    gained: int | None = None
    lost: int | None = None
    p: float | None = None


@dataclass(frozen=True)
class Condition:
    """A network: the means of its measures, and what they are more than in the intact one; `draws` were averaged."""

    name: str
    draws: int
    means: dict[str, float]
    change: dict[str, Paired]


@dataclass(frozen=True)
class Outcome:
    """All conditions, the intact network first; `against` compares the implant with others, (name, other, measures).

    For each unit `correlation` is Pearson's r of the network's own map and the handwritten one, `kept` 1 - ||own -
    made|| / ||own|| after least squares, of all units together; both on the pictures of the test.
    """

    units: tuple[str, ...]
    directions: tuple[float, ...]
    pictures: int
    fitted_on: int
    conditions: tuple[Condition, ...]
    against: tuple[tuple[str, str, dict[str, Paired]], ...]
    correlation: tuple[float, ...]
    kept: float

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def tail_of(graph: LayerGraph, layer: str, output: str) -> Callable[[Tensor], Tensor]:
    """The rest of the network as a function of a layer's maps; raises BadValue where paths lead around the layer."""
    rest = graph.between(layer, output)
    return lambda maps: rest(maps)[output]


def implant(
    tail: Callable[[Tensor], Tensor],
    values: Float[Tensor, "picture channel height width"],
    labels: Int[np.ndarray, " picture"],
    units: Sequence[Unit],
    directions: Sequence[float | int],
    made: Maps,
    own: tuple[FitMaps, FitMaps],
    pool: Sequence[Sequence[int]],
    means: Float[Tensor, " channel"],
    draws: int = 2,
    batch: int = 50,
    seed: int = 0,
    advance: Callable[[int], Any] = lambda count: None,
) -> Outcome:
    """Run the rest of a network on its layer's `values` intact, with units removed, with the implant, and the controls.

    `made` are the handwritten maps on the same pictures before any gain, `own` (handwritten, the network's) on those
    that the gain is fitted on; `means` of the layer's channels are over those as well; `pool[i]` are the channels that
    may be removed in place of unit i. `advance` counts runs.
    """
    channels = [unit.channel for unit in units]
    rng = np.random.default_rng(seed)

    def run(changed: Sequence[int], new: Callable[[slice], Tensor]) -> Scores:
        parts = []
        for start in range(0, len(values), batch):
            rows = slice(start, start + batch)
            given = values[rows].clone()
            given[:, list(changed)] = new(rows).to(given)
            with torch.no_grad():
                parts.append(scored(tail(given), labels[rows]))
        advance(1)
        return np.concatenate(parts)

    def flat(numbers: Tensor) -> Callable[[slice], Tensor]:
        return lambda rows: numbers.reshape(1, -1, 1, 1)

    def grafted(order: Sequence[int], how: str) -> Callable[[slice], Tensor]:
        scale, offset = gain(own[0][:, list(order)], own[1], how)
        return lambda rows: fitted(made[rows][:, list(order)], scale, offset)

    keep = list(range(len(units)))
    orders = [_exchanged(len(units), rng) for _ in range(draws)]
    others = [_drawn(pool, rng) for _ in range(draws)]
    found: dict[str, list[Scores]] = {
        "intact": [run([], flat(torch.zeros(0)))],
        "removed (zero)": [run(channels, flat(torch.zeros(len(channels))))],
        "removed (mean)": [run(channels, flat(means[channels]))],
    }
    for how in FITS:
        found[f"implanted ({how})"] = [run(channels, grafted(keep, how))]
        found[f"directions exchanged ({how})"] = [run(channels, grafted(order, how)) for order in orders]
    found["others removed (zero)"] = [run(each, flat(torch.zeros(len(each)))) for each in others]
    found["others removed (mean)"] = [run(each, flat(means[each])) for each in others]
    weights = rng.multinomial(len(values), np.full(len(values), 1 / len(values)), RESAMPLES) / len(values)
    intact = found["intact"]
    conditions = tuple(
        Condition(name, len(runs), dict(zip(MEASURES, map(float, np.mean(runs, (0, 1))), strict=True)),
                  paired(runs, intact, weights))
        for name, runs in found.items()
    )  # fmt: skip
    pairs = [
        (f"implanted ({how})", other)
        for how in FITS
        for other in ("removed (zero)", "removed (mean)", f"directions exchanged ({how})")
    ]
    against = tuple((one, other, paired(found[one], found[other], weights)) for one, other in pairs)
    theirs = values[:, channels].double()
    best = fitted(made.double(), *gain(*own))
    return Outcome(
        tuple(map(str, units)), tuple(map(float, directions)), len(values), len(own[0]), conditions, against,
        tuple(correlations(made, theirs)), float(1 - (theirs - best).norm() / theirs.norm()),
    )  # fmt: skip


def scored(scores: Float[Tensor, "picture class"], labels: Int[np.ndarray, " picture"]) -> Scores:
    """For each picture whether its class is the first guess, whether it is among five, and its negative log-likelihood.

    >>> scored(torch.zeros(1, 2), np.array([1])).round(2)
    array([[0.  , 1.  , 0.69]])
    """
    right = torch.from_numpy(labels)[:, None].to(scores.device)
    order = scores.argsort(dim=1, descending=True, stable=True)[:, :5]
    hits = order == right
    loss = -scores.double().log_softmax(1).gather(1, right)[:, 0]
    return torch.stack([hits[:, 0].double(), hits.any(1).double(), loss], 1).cpu().numpy()


def paired(
    one: Sequence[Scores], other: Sequence[Scores], weights: Float[np.ndarray, "resample picture"]
) -> dict[str, Paired]:
    """Each measure of one network less that of another, over the same pictures; several draws are averaged first."""
    change = np.mean(one, 0) - np.mean(other, 0)
    low, high = np.percentile(weights @ change, (2.5, 97.5), axis=0)
    result = {}
    for place, name in enumerate(MEASURES):
        counts: tuple[Any, ...] = (None, None, None)
        if name != "loss" and len(one) == len(other) == 1:
            gained, lost = int((change[:, place] > 0).sum()), int((change[:, place] < 0).sum())
            p = float(stats.binomtest(gained, gained + lost).pvalue) if gained + lost else 1.0
            counts = (gained, lost, p)
        result[name] = Paired(float(change[:, place].mean()), float(low[place]), float(high[place]), *counts)
    return result


def correlations(made: Maps, own: Maps) -> list[float]:
    """Pearson's r over all pictures and places, unit by unit; 0 where one of the maps is constant."""
    x, y = (each.transpose(0, 1).flatten(1).double() for each in (made, own))
    x, y = (each - each.mean(1, keepdim=True) for each in (x, y))
    size = x.norm(dim=1) * y.norm(dim=1)
    return [float(each) for each in torch.where(size > 0, (x * y).sum(1) / size, 0.0)]


def _exchanged(count: int, rng: np.random.Generator) -> list[int]:
    """A random order in which nothing stays where it is."""
    if count < 2:
        raise BadValue("One unit has no direction to exchange with another. Name two or more.")
    while True:
        order = rng.permutation(count)
        moved: Bool[np.ndarray, " unit"] = order != np.arange(count)
        if moved.all():
            return [int(each) for each in order]


def _drawn(pool: Sequence[Sequence[int]], rng: np.random.Generator) -> list[int]:
    """One channel of each pool, none twice."""
    taken: list[int] = []
    for each in pool:
        free = sorted(set(each) - set(taken))
        if not free:
            raise BadValue("A branch has too few other units to be removed as a control. Name fewer units of it.")
        taken.append(int(rng.choice(free)))
    return taken
