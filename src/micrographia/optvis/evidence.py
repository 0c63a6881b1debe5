"""How much to believe a picture: whether it still excites its unit when changed, and whether other seeds agree."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping, Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from micrographia.errors import BadValue
from micrographia.model.graph import LayerGraph
from micrographia.optvis.judge import answers, judged
from micrographia.optvis.network import Network, Place, network, place
from micrographia.optvis.render import Rendered

NOISE, BLUR, FADED, DARK = 0.05, 1.0, 0.7, 0.8


def noisy(
    pictures: Float[Tensor, "batch channel height width"], generator: torch.Generator
) -> Float[Tensor, "batch channel height width"]:
    """Gaussian noise of deviation 0.05 on each value."""
    noise = torch.randn(pictures.shape, generator=generator).to(pictures)
    return (pictures + NOISE * noise).clamp(0, 1)


def blurred(
    pictures: Float[Tensor, "batch channel height width"], generator: torch.Generator
) -> Float[Tensor, "batch channel height width"]:
    """A Gaussian blur of deviation 1 px, the edges repeated."""
    taps = torch.exp(-((torch.arange(-3, 4) / BLUR) ** 2) / 2).to(pictures)
    taps = (taps / taps.sum()).expand(pictures.shape[1], 1, 1, 7)
    padded = F.pad(pictures, (3, 3, 3, 3), mode="replicate")
    across = F.conv2d(padded, taps, groups=pictures.shape[1])
    return F.conv2d(across, taps.transpose(2, 3), groups=pictures.shape[1])


def faded(
    pictures: Float[Tensor, "batch channel height width"], generator: torch.Generator
) -> Float[Tensor, "batch channel height width"]:
    """Seven tenths of the contrast."""
    return 0.5 + (pictures - 0.5) * FADED


def dark(
    pictures: Float[Tensor, "batch channel height width"], generator: torch.Generator
) -> Float[Tensor, "batch channel height width"]:
    """Four fifths of the light."""
    return pictures * DARK


# none of these is among the transforms that pictures are optimised under
HELD_OUT: dict[str, Callable[[Tensor, torch.Generator], Tensor]] = {
    "noisy": noisy,
    "blurred": blurred,
    "faded": faded,
    "dark": dark,
}
RANDOM = frozenset({"noisy"})  # the changes of which one draw says too little

Judges = MutableMapping[Place, Network]
"""Networks that answer to pictures, kept between calls about units of one layer, which share them."""


def held_out(
    graph: LayerGraph,
    made: Rendered,
    *,
    draws: int = 8,
    seed: int = 0,
    device: str = "cpu",
    judges: Judges | None = None,
) -> dict[str, float]:
    """What share of its activation a picture keeps under each change that it was not optimised for.

    1 is all of what it has above plain grey, 0 none; the mean over `draws` where the change is random. A picture that
    only exploits the exact px loses much of it. Empty where plain grey excites the unit as much as its picture does, so
    that there is nothing to keep. Raises BadValue for a dead unit, which has no picture.

    >>> held_out(graph, made)  # doctest: +SKIP
    {'noisy': 0.97, 'blurred': 0.81, 'faded': 0.66, 'dark': 0.9}
    """
    judge, channel = _judge(graph, made, device, judges)
    picture = _tensor(made, device)
    flat = made.numbers["flat"]
    if made.dead:
        raise BadValue(f"{made.unit} is dead and has no picture. Leave it out.")
    if made.reached <= max(flat, 0.0 if judge.rectified else flat):
        return {}
    generator = torch.Generator().manual_seed(seed)
    kept = {}
    with torch.no_grad():
        for name, change in HELD_OUT.items():
            changed = change(picture.expand(draws if name in RANDOM else 1, -1, -1, -1), generator)
            values = judged(judge, changed, torch.full((len(changed),), channel, device=picture.device), graph.card)
            values = values.clamp(min=0) if judge.rectified else values
            base = max(flat, 0.0) if judge.rectified else flat
            kept[name] = float((values.mean() - base) / (made.reached - base))
    return kept


def agreement(
    graph: LayerGraph, made: Sequence[Rendered], *, device: str = "cpu", judges: Judges | None = None
) -> dict[str, float]:
    """Whether pictures of one unit from several seeds show one thing.

    `alike` is the mean correlation, over pairs of pictures, of what all other channels of the layer say to them: 1
    where they look the same to the network, whatever their px. `reached` is the least activation over the greatest.
    Raises BadValue for fewer than two live pictures, or pictures of several units.

    >>> agreement(graph, [next(render(graph, [unit], seed=s)) for s in range(3)])  # doctest: +SKIP
    {'alike': 0.93, 'reached': 0.98}
    """
    live = [each for each in made if not each.dead]
    if len(live) < 2 or len({each.unit for each in live}) > 1:
        raise BadValue(
            f"{len(live)} live pictures of {len({each.unit for each in live})} units show no agreement. "
            "Give two or more of one unit, made with several seeds."
        )
    judge, channel = _judge(graph, live[0], device, judges)
    with torch.no_grad():
        said = answers(judge, torch.cat([_tensor(each, device) for each in live]), graph.card)
    said = said.flatten(2).mean(2) if said.ndim > 2 else said
    others = torch.cat([said[:, :channel], said[:, channel + 1 :]], 1).double().cpu().numpy()
    if others.shape[1] < 2 or (others.std(axis=1) == 0).any():
        raise BadValue(
            f"Too few other channels of {judge.layer} answer to the pictures of {live[0].unit} to compare by. "
            "Choose a unit of a wider layer."
        )
    table = np.corrcoef(others)
    pairs = [table[i, j] for i, j in combinations(range(len(live)), 2)]
    reached = [each.reached for each in live]
    return {"alike": float(np.mean(pairs)), "reached": min(reached) / max(reached)}


def _judge(graph: LayerGraph, made: Rendered, device: str, judges: Judges | None) -> tuple[Network, int]:
    """The network that answers to a picture of this unit and size, and the unit's channel there."""
    where = place(graph, made.unit, made.settings["objective"])
    if where.cell is None and len(graph.layer(where.layer).shape) == 3:
        height, width = made.image.shape[:2]
        where = Place(where.layer, where.channel, None, (height, width))
    channel, where = where.channel, replace(where, channel=0)
    kept = {} if judges is None else judges
    if where not in kept:
        kept[where] = network(graph, where, torch.float32, torch.device(device))
    return kept[where], channel


def _tensor(made: Rendered, device: str) -> Float[Tensor, "1 channel height width"]:
    return torch.from_numpy(made.image).permute(2, 0, 1)[None].to(device)
