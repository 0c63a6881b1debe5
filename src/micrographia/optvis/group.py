"""Groups of units that climb in one network: which network, in which precision, how many pictures side by side."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from micrographia.errors import BadValue
from micrographia.model.graph import LayerGraph
from micrographia.optvis.batches import on_threads
from micrographia.optvis.judge import answers
from micrographia.optvis.network import Network, Place, network, seen_by, with_type
from micrographia.optvis.parametrise import Parametrisation, faint
from micrographia.optvis.precision import BFLOAT16_FROM, as_good, bfloat16_pays
from micrographia.optvis.quality import Quality
from micrographia.optvis.transform import Transform

# pictures side by side, for windows below so many px: a batch is always filled up to this number, because kernels that
# are chosen by the size of the batch round differently
LANES = {"cpu": ((40, 32), (72, 16), (1 << 30, 8)), "accelerator": ((128, 64), (1 << 30, 32))}
SHARED_FROM = 40  # px; Fourier transforms of smaller pictures round differently on several threads


@dataclass(frozen=True, eq=False)
class Job:
    """The arguments that all pictures of one call share."""

    graph: LayerGraph
    quality: Quality
    objective: str
    parametrisation: Parametrisation | None
    transform: Transform | None
    seed: int
    device: torch.device
    dtype: torch.dtype | None


@dataclass(frozen=True, eq=False)
class Group:
    """What the units of one path and cell share: networks to climb in and to judge by, the layer's values on grey.

    `lanes` pictures climb together; `shared` says that the operations of a step may be shared out among threads.
    """

    climber: Network
    judge: Network
    on_grey: Float[Tensor, " unit"]
    lanes: int
    shared: bool


def group_of(job: Job, where: Place, batch: int | None) -> Group:
    """The group of units at a place; `batch` is how many climb together, None chooses. Raises BadValue.

    >>> group_of(job, place(graph, unit, "neuron"), None).lanes  # doctest: +SKIP
    8
    """
    climber, judge = _networks(job, where)
    lanes = _lanes(climber, job, batch)
    return Group(climber, judge, _on_grey(job, climber, judge), lanes, _is_shared(climber, job, lanes))


def _networks(job: Job, where: Place) -> tuple[Network, Network]:
    """The network to climb in and the one to judge by, which sees the card's whole picture in full precision."""
    full = torch.float64 if job.dtype == torch.float64 else torch.float32
    judge = climber = network(job.graph, where, full, job.device)
    card = job.graph.card
    if where.cell is not None and where.size != card.size:
        layer = job.graph.layer(where.layer)
        middle = layer.shape[1] // 2, layer.shape[2] // 2
        judge = network(job.graph, Place(where.layer, where.channel, middle, card.size), full, job.device)
    if job.dtype not in (None, full):
        climber = with_type(climber, job.dtype)
    elif job.dtype is None and window_of(climber)[0] >= BFLOAT16_FROM and bfloat16_pays(job.device):
        half = with_type(climber, torch.bfloat16)
        climber = half if _agree(climber, half, job) else climber
    return climber, judge


def window_of(net: Network) -> tuple[int, int]:
    """Height and width in px of what a network sees."""
    return net.box.bottom - net.box.top + 1, net.box.right - net.box.left + 1


def _trial(net: Network, job: Job, count: int) -> Tensor:
    """Faint random pictures, as a climb meets them in its first steps, always the same."""
    made = faint(window_of(net), job.graph.card.channels, count)
    return made.to(job.device, torch.float64 if net.dtype == torch.float64 else torch.float32)


def _gradient(net: Network, job: Job, images: Tensor) -> Tensor:
    leaf = images.clone().requires_grad_(True)
    values = net(seen_by(leaf, job.graph.card, net.dtype), start=True)
    check_reached(values, net.layer)
    return torch.autograd.grad(values.float().square().sum(), leaf)[0]


def _agree(full: Network, half: Network, job: Job) -> bool:
    """Whether the gradients at faint random pictures point the same way in both types."""
    images = _trial(full, job, 4)
    return as_good(_gradient(full, job, images), _gradient(half, job, images))


def _lanes(net: Network, job: Job, batch: int | None) -> int:
    """How many pictures climb together: as many as pay, or one where a picture's gradient depends on its place."""
    if batch is not None:
        return batch
    table = LANES["cpu" if job.device.type == "cpu" else "accelerator"]
    lanes = next(count for below, count in table if max(window_of(net)) < below)
    if job.device.type == "cpu":
        images = _trial(net, job, lanes)
        if not torch.equal(_gradient(net, job, images.roll(1, 0)), _gradient(net, job, images).roll(1, 0)):
            return 1
    return lanes


def _is_shared(net: Network, job: Job, lanes: int) -> bool:
    """Whether the gradient is the same, bit for bit, on one thread and on as many as there are."""
    if job.device.type != "cpu" or torch.get_num_threads() == 1:
        return True
    if max(window_of(net)) < SHARED_FROM:
        return False
    images = _trial(net, job, lanes)
    with on_threads(1):
        alone = _gradient(net, job, images)
    return torch.equal(alone, _gradient(net, job, images))


def _on_grey(job: Job, climber: Network, judge: Network) -> Float[Tensor, " unit"]:
    """The layer's values on plain grey: at the cell, or the greatest of each map."""
    plain = climber.dtype if climber.dtype == torch.float64 else torch.float32
    grey = torch.full((1, job.graph.card.channels, *window_of(climber)), 0.5, dtype=plain, device=job.device)
    with torch.no_grad():
        values = answers(judge, grey, job.graph.card)[0]
    return values if values.ndim == 1 else values.flatten(1).amax(1)


def check_reached(values: Tensor, layer: str) -> None:
    """Raise BadValue where an operation on the way to a layer stops gradients."""
    if not values.requires_grad:
        raise BadValue(
            f"Gradients do not reach {layer} from the picture: an operation on the way has none. "
            "Choose a layer before it."
        )
