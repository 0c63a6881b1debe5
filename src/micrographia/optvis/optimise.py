"""optimise(graph, objective): pictures that make any objective large, on the same engine as `render`.

`render` is for many units, each with a picture of its own, cropped to what the unit sees. Here one objective, which may
read several layers, is climbed by one picture or a batch of them, on the whole canvas.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, fx

from micrographia.errors import BadValue
from micrographia.model.card import Card, normalise
from micrographia.model.fold import fold
from micrographia.model.graph import LayerGraph
from micrographia.optvis.appearance import appearance
from micrographia.optvis.ascend import REDIRECTED_STEPS, Climb, Normalised, ascend
from micrographia.optvis.objective import Objective, Scene
from micrographia.optvis.parametrise import Fourier, Parametrisation
from micrographia.optvis.precision import device_of, type_of
from micrographia.optvis.quality import Quality, quality_of
from micrographia.optvis.relu import redirect
from micrographia.optvis.transform import STILL, Transform, default_warp, described, middle

Extent = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture that makes an objective large.

    `reached` is the objective on the finished picture, without transforms; `course` its value at each step, on the
    transformed one. `numbers` holds `flat`, the objective on plain grey, and how the picture looks (see `appearance`).
    A picture that no gradient ever moved is `dead`, and plain grey. `opacity` is there for pictures with transparency.
    """

    image: np.ndarray
    reached: float
    dead: bool
    steps: int
    course: np.ndarray = field(repr=False)
    numbers: dict[str, float]
    settings: dict[str, Any] = field(repr=False)
    opacity: np.ndarray | None = field(default=None, repr=False)

    def to_json(self) -> dict[str, Any]:
        """Everything but the picture, as plain values."""
        return {
            "reached": self.reached,
            "dead": self.dead,
            "steps": self.steps,
            "course": self.course.tolist(),
            "numbers": self.numbers,
            "settings": self.settings,
        }


def optimise(
    graph: LayerGraph,
    objective: Objective,
    *,
    quality: str | Quality = "standard",
    pictures: int = 1,
    size: Extent | None = None,
    parametrisation: Parametrisation | None = None,
    transform: Transform | None = None,
    ascent: Normalised | None = None,
    redirected: int = REDIRECTED_STEPS,
    seed: int = 0,
    device: str | torch.device = "cpu",
    precision: str = "float32",
) -> list[Picture]:
    """As many pictures as asked for, climbing together, each from its own random start.

    `size` None is the card's; `transform` None takes jitter in proportion to it, scale and rotation, STILL none.
    `ascent` None is Adam by the quality. `redirected` is for how many steps ReLUs let the gradient of pictures through
    that they block entirely. Raises BadAddress for unknown layers or units, and BadValue for settings that cannot
    work, a canvas that is too small, layers that gradients do not reach, and NaN.

    >>> (picture,) = optimise(graph, Channel("mixed4a", 97) - 0.2 * TotalVariation())  # doctest: +SKIP
    """
    if pictures < 1:
        raise BadValue(f"{pictures} pictures were asked for. Take at least 1.")
    if not objective.layers:
        raise BadValue("This objective reads no layer of the network. Add a target, such as a Channel.")
    chosen, where = quality_of(quality), device_of(device)
    dtype = type_of("float32" if precision == "auto" else precision) or torch.float32
    card, size = graph.card, size or graph.card.size
    make, transform = parametrisation or Fourier(), transform or default_warp(size)
    canvas = size if transform == STILL else transform.canvas(size)
    run = _network(graph, objective.layers, dtype, where)
    start_run = redirect(run) if redirected else run
    plain = torch.float64 if dtype == torch.float64 else torch.float32
    _check_size(run, objective, card, size, dtype, where)
    steps = ascent.steps if ascent else chosen.steps
    starts, maps, grounds = [], [], []
    for number in range(pictures):
        generator = torch.Generator().manual_seed(picture_seed(seed, number))
        starts.append(make.start(canvas, card.channels, generator))
        maps.append(transform.draw(steps, generator))
        grounds.append(torch.rand((steps, card.channels), generator=generator))
    drawn = torch.stack(maps, 1).to(where, plain)
    behind = torch.stack(grounds, 1).to(where, plain)[..., None, None]

    def value(numbers: Tensor, step: int) -> Tensor:
        made = make(numbers, canvas)
        colour, opacity = _split(made, card)
        shown = colour if opacity is None else colour * opacity + behind[step] * (1 - opacity)
        shown = shown if transform == STILL else transform(shown, drawn[step], size)
        inner = None if opacity is None else middle(opacity, size)
        net = start_run if step < redirected else run
        return _value(net, objective, shown, middle(colour, size), inner, card, dtype)

    climb = _climb(value, torch.stack(starts).to(where, plain), chosen, ascent)
    if not torch.isfinite(climb.course).all():
        raise BadValue(
            f"{objective} gives NaN or infinity on its own picture, by the network's weights or by this precision. "
            "Try precision='float32', a smaller weight, or a checkpoint whose training did not diverge."
        )
    with torch.no_grad():
        colour, opacity = _split(middle(make(climb.numbers, canvas), size), card)
        asleep = ~climb.moved.view(-1, 1, 1, 1)
        colour = colour.masked_fill(asleep, 0.5)
        opacity = None if opacity is None else opacity.masked_fill(asleep, 0.0)
        shown = colour if opacity is None else colour * opacity + 0.5 * (1 - opacity)
        reached = _value(run, objective, shown, colour, opacity, card, dtype)
        grey = torch.full_like(shown, 0.5)
        flat = _value(run, objective, grey, grey, opacity, card, dtype)
    settings = {
        "network": card.name,
        "fingerprint": graph.fingerprint,
        "objective": repr(objective),
        "quality": asdict(ascent or chosen),
        "parametrisation": repr(make),
        "transform": described(transform),
        "canvas": list(canvas),
        "redirected_steps": redirected,
        "seed": seed,
        "precision": str(dtype).removeprefix("torch."),
        "device": where.type,
        "torch": str(torch.__version__),
    }
    return [
        Picture(
            colour[i].permute(1, 2, 0).to(plain).cpu().contiguous().numpy(),
            float(reached[i]),
            not bool(climb.moved[i]),
            int(climb.steps[i]),
            climb.course[:, i].cpu().numpy(),
            {"flat": float(flat[i]), **appearance(colour[i])},
            settings | {"picture": i},
            None if opacity is None else opacity[i, 0].cpu().numpy(),
        )
        for i in range(pictures)
    ]


def _network(graph: LayerGraph, layers: tuple[str, ...], dtype: torch.dtype, device: torch.device) -> fx.GraphModule:
    """The network up to the layers, folded, in a copy of its own that returns them by name."""
    own: Any = copy.deepcopy(fold(graph.upto(layers))).requires_grad_(False)
    converted: fx.GraphModule = own.to(device=device, dtype=dtype, memory_format=torch.channels_last)
    return converted


def _value(
    run: fx.GraphModule,
    objective: Objective,
    shown: Float[Tensor, "batch channel height width"],
    pictures: Float[Tensor, "batch channel height width"],
    opacity: Float[Tensor, "batch 1 height width"] | None,
    card: Card,
    dtype: torch.dtype,
) -> Float[Tensor, " batch"]:
    seen = normalise(shown, card).to(dtype).contiguous(memory_format=torch.channels_last)
    values = {name: each.to(pictures.dtype) for name, each in run(seen).items()}
    if shown.requires_grad:
        for name, each in values.items():
            if not each.requires_grad:
                raise BadValue(
                    f"Gradients do not reach {name} from the picture: an operation on the way has none. "
                    "Choose a layer before it."
                )
    return objective(Scene(pictures, values, opacity))


def _climb(value: Callable[[Tensor, int], Tensor], start: Tensor, quality: Quality, ascent: Normalised | None) -> Climb:
    return ascend(value, start, quality) if ascent is None else ascent(value, start)


def _split(made: Tensor, card: Card) -> tuple[Tensor, Tensor | None]:
    """Colour, and opacity where the parametrisation makes one channel more than the network has."""
    if made.shape[1] == card.channels:
        return made, None
    return made[:, : card.channels], made[:, card.channels :]


def _check_size(
    run: fx.GraphModule,
    objective: Objective,
    card: Card,
    size: Extent,
    dtype: torch.dtype,
    device: torch.device,
) -> None:
    if min(size) < 1:
        raise BadValue(f"A picture of {size[0]} x {size[1]} px is none. Take at least 1 px each way.")
    try:
        with torch.no_grad():
            run(torch.zeros((1, card.channels, *size), dtype=dtype, device=device))
    except RuntimeError as error:
        raise BadValue(
            f"The network cannot get from a picture of {size[0]} x {size[1]} px to {', '.join(objective.layers)} "
            f"({str(error).splitlines()[0]}). Its own size is {card.size[0]} x {card.size[1]} px."
        ) from error


def picture_seed(seed: int, number: int) -> int:
    """A seed for each picture of a batch, from the seed that was given and the picture's number."""
    text = f"{seed} picture {number}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
