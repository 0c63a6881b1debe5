"""render(graph, units): for each unit the picture that excites it most, many units at a time.

The pictures of one layer climb together through a network that holds nothing but what their units see. Each draws its
random numbers from its own seed, made of the seed that was given and the unit's address, so it is the same picture in
any batch, in any order and on any number of threads.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from micrographia.errors import BadValue
from micrographia.model.graph import LayerGraph
from micrographia.optvis.appearance import appearance
from micrographia.optvis.ascend import REDIRECTED_STEPS, ascend
from micrographia.optvis.batches import in_order, on_threads
from micrographia.optvis.disturb import LucidOrder
from micrographia.optvis.group import Group, Job, check_reached, group_of, window_of
from micrographia.optvis.judge import judged
from micrographia.optvis.network import Network, Place, place, seen_by
from micrographia.optvis.parametrise import Parametrisation, default_fourier
from micrographia.optvis.precision import device_of, type_of
from micrographia.optvis.quality import Quality, quality_of
from micrographia.optvis.transform import Transform, default_warp, described, middle
from micrographia.unit import Unit


@dataclass(frozen=True, eq=False)
class Rendered:
    """The picture that excites a unit most, and the numbers that say how much to believe it.

    `reached` is the unit's activation on the finished picture as it is, without transforms: at the cell for a neuron,
    the greatest in the picture for a channel. A unit that never woke up is `dead`, and its picture plain grey.
    `numbers` holds `flat`, the activation on plain grey, `saturated`, the share of values within 2 % of black or white,
    and `grain`, the share of energy above half the highest frequency.
    """

    unit: Unit
    image: np.ndarray
    reached: float
    dead: bool
    steps: int
    settings: dict[str, Any] = field(repr=False)
    numbers: dict[str, float]

    def to_json(self) -> dict[str, Any]:
        """Everything but the picture, as plain values."""
        return {
            "unit": str(self.unit),
            "reached": self.reached,
            "dead": self.dead,
            "steps": self.steps,
            "settings": self.settings,
            "numbers": self.numbers,
        }


def render(
    graph: LayerGraph,
    units: Sequence[Unit],
    *,
    quality: str | Quality = "standard",
    objective: str = "neuron",
    parametrisation: Parametrisation | None = None,
    transform: Transform | None = None,
    seed: int = 0,
    device: str | torch.device = "cpu",
    precision: str = "auto",
    batch: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[Rendered]:
    """Pictures of the units, in the order given, one at a time as batches are finished.

    A neuron's picture is cropped to the window that it sees (or the card's size, where that is smaller). Where they are
    None, `parametrisation` is `default_fourier` and `transform` is `default_warp` of that window. `batch` is how many
    pictures climb side by side; None chooses by their size, and only pictures made with the same choice are equal to
    the last bit. `progress(done, total)` is called after each batch.
    Raises BadAddress for unknown units, and BadValue for settings that cannot work or a network that yields NaN.

    >>> pictures = list(render(graph, graph.units("mixed3b:0-31"), quality="thumbnail"))  # doctest: +SKIP
    """
    chosen = quality_of(quality)
    where = device_of(device)
    dtype = type_of(precision)
    if objective not in ("neuron", "channel"):
        raise BadValue(f"There is no objective '{objective}'. Use neuron (one cell) or channel (the mean of a map).")
    if isinstance(transform, LucidOrder) and transform.whole:
        raise BadValue(
            "LucidOrder(whole=True) changes the size of what a unit sees. Leave out whole, or use optimise, which "
            "shows the network whole pictures."
        )
    if batch is not None and batch < 1:
        raise BadValue(f"A batch of {batch} holds no picture. Take at least 1.")
    places = [place(graph, unit, objective, chosen.share) for unit in units]
    job = Job(graph, chosen, objective, parametrisation, transform, seed, where, dtype)
    return _render(job, list(units), places, batch, progress)


def _render(
    job: Job,
    units: list[Unit],
    places: list[Place],
    batch: int | None,
    progress: Callable[[int, int], None] | None,
) -> Iterator[Rendered]:
    groups: dict[Any, list[int]] = {}
    for index, each in enumerate(places):
        groups.setdefault((each.layer, each.cell, each.size), []).append(index)
    finished: dict[int, Rendered] = {}
    given = 0
    threads = torch.get_num_threads() if job.device.type == "cpu" else 1
    for members, made in in_order(_batches(job, list(groups.values()), units, places, batch), threads):
        finished.update(zip(members, made, strict=True))
        while given in finished:
            yield finished.pop(given)
            given += 1
        if progress is not None:
            progress(given + len(finished), len(units))


def _batches(
    job: Job, groups: list[list[int]], units: list[Unit], places: list[Place], batch: int | None
) -> Iterator[Callable[[Callable[[], None]], tuple[list[int], list[Rendered]]]]:
    """One task for each batch: the numbers of its units, and their pictures."""
    for indices in groups:
        group = group_of(job, places[indices[0]], batch)
        for start in range(0, len(indices), group.lanes):
            members = indices[start : start + group.lanes]
            here, there = [units[i] for i in members], [places[i] for i in members]
            yield partial(_batch, job, group, members, here, there)


def _batch(
    job: Job, group: Group, members: list[int], units: list[Unit], places: list[Place], check: Callable[[], None]
) -> tuple[list[int], list[Rendered]]:
    with on_threads(torch.get_num_threads() if group.shared else 1):
        return members, _climbed(job, group, units, places, check)


def _climbed(
    job: Job, group: Group, units: list[Unit], places: list[Place], check: Callable[[], None]
) -> list[Rendered]:
    climber, judge, lanes = group.climber, group.judge, group.lanes
    window = window_of(climber)
    card, quality = job.graph.card, job.quality.seeing(max(window))
    transform = job.transform or default_warp(window, quality.moves)
    make = job.parametrisation or default_fourier(window, quality.decay)
    canvas = transform.canvas(window)
    filled = units + units[:1] * (lanes - len(units))
    channels = torch.tensor([p.channel for p in places] + [places[0].channel] * (lanes - len(units)))
    channels = channels.to(job.device)
    starts, maps = [], []
    for unit in filled:
        generator = torch.Generator().manual_seed(unit_seed(job.seed, job.graph.layer(unit.layer).name, unit))
        starts.append(make.start(canvas, card.channels, generator))
        maps.append(transform.draw(quality.steps, generator))
    plain = climber.dtype if climber.dtype == torch.float64 else torch.float32
    drawn = torch.stack(maps, 1).to(job.device, plain)

    def value(numbers: Tensor, step: int) -> Tensor:
        check()
        seen = transform(make(numbers, canvas), drawn[step], window)
        values = climber(seen_by(seen, card, climber.dtype), start=step < REDIRECTED_STEPS)
        check_reached(values, climber.layer)
        return _chosen(values.to(plain), channels)

    climb = ascend(value, torch.stack(starts).to(job.device, plain), quality)
    _check_finite(climb.course, units, job)
    with torch.no_grad():
        pictures = make(climb.numbers, canvas)
        pictures = middle(pictures, window)
        reached = judged(judge, pictures, channels, card)
        flat = group.on_grey[channels]
    dead = ~climb.moved | ((reached <= 0) if judge.rectified else (reached <= flat))
    settings = _settings(job, climber, make, transform, canvas)
    results = []
    for lane, unit in enumerate(units):
        picture = pictures[lane]
        is_dead = bool(dead[lane])
        picture = torch.full_like(picture, 0.5) if is_dead else picture
        height = max(float(reached[lane]), 0.0) if judge.rectified else float(reached[lane])
        numbers = {"flat": float(flat[lane]), **appearance(picture)}
        image = picture.permute(1, 2, 0).float().cpu().contiguous().numpy()
        results.append(Rendered(unit, image, height, is_dead, int(climb.steps[lane]), settings, numbers))
    return results


def unit_seed(seed: int, layer: str, unit: Unit) -> int:
    """A seed of the unit's own, from the seed that was given and the unit's address."""
    text = f"{seed} {layer} {unit.channel} {unit.position}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def _chosen(values: Tensor, channels: Tensor) -> Tensor:
    """Each picture's own channel; the mean of its map where there is no cell."""
    lanes = torch.arange(len(channels), device=channels.device)
    own = values[lanes, channels]
    return own if own.ndim == 1 else torch.stack([each.mean() for each in own])


def _check_finite(course: Float[Tensor, "step batch"], units: list[Unit], job: Job) -> None:
    for lane, unit in enumerate(units):
        if not torch.isfinite(course[:, lane]).all():
            raise BadValue(
                f"{unit} gives NaN or infinity on its own picture, by its weights or by this precision. "
                "Try precision='float32', or a checkpoint whose training did not diverge."
            )


def _settings(
    job: Job, climber: Network, make: Parametrisation, transform: Transform, canvas: tuple[int, int]
) -> dict[str, Any]:
    return {
        "network": job.graph.card.name,
        "fingerprint": job.graph.fingerprint,
        "objective": job.objective,
        "quality": asdict(job.quality.seeing(max(window_of(climber)))),
        "parametrisation": repr(make),
        "transform": described(transform),
        "canvas": list(canvas),
        "redirected_steps": REDIRECTED_STEPS,
        "seed": job.seed,
        "precision": str(climber.dtype).removeprefix("torch."),
        "device": job.device.type,
        "torch": str(torch.__version__),
    }
