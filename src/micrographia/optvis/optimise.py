"""optimise(graph, objective): pictures that make any objective large, on the same engine as `render`.

`render` is for many units, each with a picture of its own, cropped to what the unit sees. Here one objective, which may
read several layers, is climbed by one picture or a batch of them, on the whole canvas.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, fx

from micrographia.errors import BadAddress, BadValue
from micrographia.model.card import Card
from micrographia.model.fold import fold
from micrographia.model.graph import LayerGraph
from micrographia.optvis.appearance import appearance
from micrographia.optvis.ascend import REDIRECTED_STEPS, Climb, Normalised, ascend
from micrographia.optvis.narrow import narrowed, supplier
from micrographia.optvis.network import converted, fastest, seen_by
from micrographia.optvis.objective import Objective, Scene
from micrographia.optvis.parametrise import Fourier, Parametrisation, faint
from micrographia.optvis.precision import BFLOAT16_FROM, as_good, bfloat16_pays, device_of, type_of
from micrographia.optvis.quality import Quality, quality_of
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
    that they block entirely. `precision` "auto" is bfloat16 where the device has it and the objective's gradient at
    faint random pictures points the same way in it as in float32, as in `render`. Raises BadAddress for unknown layers
    or units, and BadValue for settings that cannot work, a canvas that is too small, layers that gradients do not
    reach, and NaN.

    >>> (picture,) = optimise(graph, Channel("mixed4a", 97) - 0.2 * TotalVariation())  # doctest: +SKIP
    """
    if pictures < 1:
        raise BadValue(f"{pictures} pictures were asked for. Take at least 1.")
    if not objective.layers:
        raise BadValue("This objective reads no layer of the network. Add a target, such as a Channel.")
    chosen, where = quality_of(quality), device_of(device)
    asked = type_of(precision)
    dtype = asked or torch.float32
    card, size = graph.card, size or graph.card.size
    make = parametrisation or Fourier(chosen.decay)
    transform = transform or default_warp(size, chosen.moves)
    canvas = size if transform == STILL else transform.canvas(size)
    kept = _kept(graph, objective)
    frozen = _network(graph, objective.layers, kept, dtype, where)
    run, start_run = fastest(frozen)
    plain = torch.float64 if dtype == torch.float64 else torch.float32
    _check_size(run, objective, card, size, dtype, where)
    if asked is None and min(size) >= BFLOAT16_FROM and bfloat16_pays(where):
        half = fastest(converted(frozen, torch.bfloat16, None))
        trial = faint(size, card.channels, pictures).to(where)
        if as_good(*(_slope(net, objective, kept, trial, card) for net in (start_run, half[1]))):
            (run, start_run), dtype = half, torch.bfloat16
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
        return _value(net, objective, kept, shown, middle(colour, size), inner, card, dtype)

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
        reached = _value(run, objective, kept, shown, colour, opacity, card, dtype)
        grey = torch.full_like(shown, 0.5)
        flat = _value(run, objective, kept, grey, grey, opacity, card, dtype)
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


def _kept(graph: LayerGraph, objective: Objective) -> dict[str, tuple[int, ...]]:
    """Of each layer of which only some channels are read, these channels; raises BadAddress."""
    kept = {}
    for name in objective.layers:
        channels, count = objective.channels(name), graph.layer(name).channels
        if channels is not None:
            for channel in channels:
                if not 0 <= channel < count:
                    raise BadAddress(f"{name} has no unit {channel}. Its units are 0 to {count - 1}.")
            kept[name] = tuple(sorted(channels))
    return kept


def _network(
    graph: LayerGraph,
    layers: tuple[str, ...],
    kept: dict[str, tuple[int, ...]],
    dtype: torch.dtype,
    device: torch.device,
) -> fx.GraphModule:
    """The network up to the layers, folded and frozen, which returns them by name."""
    sources = {name: supplier(graph, name, kept[name]) if name in kept else (name, None) for name in layers}
    cut = graph.upto([source for source, _ in sources.values()])
    output = next(node for node in cut.graph.nodes if node.op == "output")
    output.args = ({name: output.args[0][source] for name, (source, _) in sources.items()},)
    part = narrowed(fold(cut), {name: channels for name, (_, channels) in sources.items() if channels is not None})
    return converted(part, dtype, device)


def _slope(
    run: fx.GraphModule, objective: Objective, kept: dict[str, tuple[int, ...]], pictures: Tensor, card: Card
) -> Tensor:
    """The gradient of the objective at pictures."""
    leaf = pictures.clone().requires_grad_(True)
    dtype = next((each.dtype for each in run.parameters()), torch.float32)
    (found,) = torch.autograd.grad(_value(run, objective, kept, leaf, leaf, None, card, dtype).sum(), leaf)
    return found


def _value(
    run: fx.GraphModule,
    objective: Objective,
    kept: dict[str, tuple[int, ...]],
    shown: Float[Tensor, "batch channel rows columns"],
    pictures: Float[Tensor, "batch channel height width"],
    opacity: Float[Tensor, "batch 1 height width"] | None,
    card: Card,
    dtype: torch.dtype,
) -> Float[Tensor, " batch"]:
    seen = seen_by(shown, card, dtype).contiguous(memory_format=torch.channels_last)
    values = {name: each.to(pictures.dtype) for name, each in run(seen).items()}
    if shown.requires_grad:
        for name, each in values.items():
            if not each.requires_grad:
                raise BadValue(
                    f"Gradients do not reach {name} from the picture: an operation on the way has none. "
                    "Choose a layer before it."
                )
    return objective(Scene(pictures, values, opacity, kept))


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
