"""trained(seed): a small CNN that has learned a task through the only units that it was allowed to use for it.

The target may read two units, each of them two others; all other weights into these are held at zero while the network
learns, so that nothing can be learned through them, and get a little noise afterwards. Everything else is free to learn
another task. So the circuit is known, and its weights are not written but found by gradient descent.

The task is the size of two signed quantities, which a rectified unit has only one half of: it needs all four units.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from micrographia.circuits.planted import NOISE, TARGET, Planted, Stack, card_of, edges_of, gabor, stimuli
from micrographia.errors import BadValue
from micrographia.model.card import normalise
from micrographia.model.trace import trace

STEPS = 800
BATCH = 8
PICTURES = 128
RATE = 0.03
LEARNED = 0.6  # of the goal's variance that a network must explain; otherwise it begins again
TRIES = 20
ALLOWED = {
    **{(1, unit, colour): np.ones((1, 1)) for unit in range(4) for colour in range(3)},
    (2, 0, 0): np.ones((1, 1)), (2, 0, 1): np.ones((1, 1)), (2, 1, 2): np.ones((1, 1)), (2, 1, 3): np.ones((1, 1)),
    (3, 0, 0): np.ones((1, 1)), (3, 0, 1): np.ones((1, 1)),
}  # fmt: skip


def trained(seed: int = 0, noise: float = NOISE) -> Planted:
    """Train the network, in some seconds: its target learns where lines across and colours meet.

    `noise` is the spread of the weights that the circuit may not use, over the largest weight of the weakest kernel
    that it uses in the same layer. A network that has not learned its task begins again from other weights; whether
    anything is found in it plays no part in that. Raises BadValue where none learns.

    >>> len(trained().edges)  # doctest: +SKIP
    18
    """
    pictures = normalise(stimuli(PICTURES, seed), card_of("trained"))
    goals = _goals(pictures)
    for attempt in range(TRIES):
        generator = torch.Generator().manual_seed(1000 * seed + attempt)
        model, masks = _start(generator)
        _learn(model, masks, pictures, goals, generator)
        with torch.no_grad():
            left = (model(pictures)[:, 0] - goals[:, 0]).square().mean() / goals[:, 0].var()
        if float(left) <= 1 - LEARNED:
            break
    else:
        raise BadValue(f"None of {TRIES} networks learned the task at seed {seed}. Choose another seed.")
    _add_noise(model, masks, noise, generator)
    model.requires_grad_(False)
    return Planted("trained", trace(model.eval(), card_of("planted-trained")), edges_of(ALLOWED), TARGET)


def _convolutions(model: nn.Module) -> list[nn.Module]:
    return [block.get_submodule("conv") for block in model.children()]


def _start(generator: torch.Generator) -> tuple[nn.Module, list[Tensor]]:
    """A network before it learns, and which of its weights it may use."""
    model, masks = Stack(), []
    with torch.no_grad():
        for layer, conv in enumerate(_convolutions(model), start=1):
            weight = conv.get_parameter("weight")
            weight.copy_(torch.randn(weight.shape, generator=generator) * (2 / weight[0].numel()) ** 0.5)
            conv.get_parameter("bias").zero_()
            mask = torch.ones(weight.shape)
            for unit in {unit for at, unit, _ in ALLOWED if at == layer}:
                own = [source for source in range(weight.shape[1]) if (layer, unit, source) in ALLOWED]
                mask[unit] = 0
                mask[unit, own] = 1
                if layer > 1:
                    weight[unit].abs_()  # so that no part of the circuit is silent from the start
                    weight[unit] *= (weight.shape[1] / len(own)) ** 0.5
            masks.append(mask)
    return model, masks


def _learn(model: nn.Module, masks: list[Tensor], pictures: Tensor, goals: Tensor, generator: torch.Generator) -> None:
    optimiser = torch.optim.Adam(model.parameters(), lr=RATE)
    pace = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, STEPS)
    for _ in range(STEPS):
        _hold(model, masks)
        rows = torch.randperm(len(pictures), generator=generator)[:BATCH]
        loss = F.mse_loss(model(pictures[rows])[:, :2], goals[rows])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        pace.step()
    _hold(model, masks)


def _hold(model: nn.Module, masks: list[Tensor]) -> None:
    """Put the weights that the circuit may not use back to zero."""
    with torch.no_grad():
        for conv, mask in zip(_convolutions(model), masks, strict=True):
            conv.get_parameter("weight").mul_(mask)


def _add_noise(model: nn.Module, masks: list[Tensor], noise: float, generator: torch.Generator) -> None:
    with torch.no_grad():
        for layer, (conv, mask) in enumerate(zip(_convolutions(model), masks, strict=True), start=1):
            weight = conv.get_parameter("weight")
            least = min(float(weight[unit, source].abs().max()) for at, unit, source in ALLOWED if at == layer)
            weight.add_((1 - mask) * noise * least * torch.randn(weight.shape, generator=generator))


def _goals(pictures: Tensor) -> Tensor:
    """Two maps: where lines across and red or its opposite meet, for the target; upright lines, for another unit."""
    line = lambda angle: torch.from_numpy(gabor(angle)).float().expand(1, 3, -1, -1) / 3  # noqa: E731
    across = F.conv2d(pictures, line(0.0), padding=2).abs()
    upright = F.relu(F.conv2d(pictures, line(90.0), padding=2))
    red = F.avg_pool2d(pictures[:, :1] - pictures[:, 1:].mean(1, keepdim=True), 3, 1, 1).abs()
    return torch.cat([F.relu(across + red - 0.5), upright], 1)
