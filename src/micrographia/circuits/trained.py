"""trained(seed): a small CNN that has learned a task through the only units that it was allowed to use for it.

The target may read two units, each of them two others; all other weights into these are held at a little noise while
the network learns, and everything else is free to learn another task. So the circuit is known, and its weights are not
written but found by gradient descent.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from micrographia.circuits.planted import TARGET, Planted, Stack, card_of, edges_of, gabor, stimuli
from micrographia.model.card import normalise
from micrographia.model.trace import trace

STEPS = 150
BATCH = 16
FAINT = 0.002  # spread of the weights that the circuit may not use
ALLOWED = {
    **{(1, unit, colour): np.ones((1, 1)) for unit in range(4) for colour in range(3)},
    (2, 0, 0): np.ones((1, 1)), (2, 0, 1): np.ones((1, 1)), (2, 1, 2): np.ones((1, 1)), (2, 1, 3): np.ones((1, 1)),
    (3, 0, 0): np.ones((1, 1)), (3, 0, 1): np.ones((1, 1)),
}  # fmt: skip


def trained(seed: int = 0) -> Planted:
    """Train the network, in some seconds: its target learns where horizontal and red things meet.

    >>> len(trained().edges)  # doctest: +SKIP
    18
    """
    torch_seed = torch.Generator().manual_seed(seed)
    model = Stack()
    blocks = [block.get_submodule("conv") for block in model.children()]
    masks, rests = [], []
    with torch.no_grad():
        for layer, conv in enumerate(blocks, start=1):
            weight = conv.get_parameter("weight")
            weight.copy_(torch.randn(weight.shape, generator=torch_seed) * (2 / weight[0].numel()) ** 0.5)
            conv.get_parameter("bias").zero_()
            mask = torch.ones(weight.shape)
            planted = {unit for at, unit, _ in ALLOWED if at == layer}
            for unit in planted:
                for source in range(weight.shape[1]):
                    mask[unit, source] = float((layer, unit, source) in ALLOWED)
                if layer > 1:
                    weight[unit].abs_()  # so that no part of the circuit is silent from the start
            masks.append(mask)
            rests.append((1 - mask) * FAINT * torch.randn(weight.shape, generator=torch_seed))
    optimiser = torch.optim.Adam(model.parameters(), lr=0.01)
    pictures = normalise(stimuli(8 * BATCH, seed), card_of("trained"))
    goals = _goals(pictures)
    for step in range(STEPS):
        _hold(blocks, masks, rests)
        rows = torch.randperm(len(pictures), generator=torch_seed)[:BATCH] if step else torch.arange(BATCH)
        loss = F.mse_loss(model(pictures[rows])[:, :2], goals[rows])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    _hold(blocks, masks, rests)
    model.requires_grad_(False)
    return Planted("trained", trace(model.eval(), card_of("planted-trained")), edges_of(ALLOWED), TARGET)


def _hold(blocks: list[nn.Module], masks: list[torch.Tensor], rests: list[torch.Tensor]) -> None:
    """Put the weights that the circuit may not use back to a little noise."""
    with torch.no_grad():
        for conv, mask, rest in zip(blocks, masks, rests, strict=True):
            conv.get_parameter("weight").mul_(mask).add_(rest)


def _goals(pictures: torch.Tensor) -> torch.Tensor:
    """Two maps: where horizontal lines and red meet, for the target; upright lines, for all other units."""
    line = lambda angle: torch.from_numpy(gabor(angle)).float().expand(1, 3, -1, -1) / 3  # noqa: E731
    horizontal = F.relu(F.conv2d(pictures, line(0.0), padding=2))
    upright = F.relu(F.conv2d(pictures, line(90.0), padding=2))
    red = F.relu(pictures[:, :1] - pictures[:, 1:].mean(1, keepdim=True))
    red = F.avg_pool2d(red, 3, 1, 1)
    both = F.relu(horizontal + red - 0.3)
    return torch.cat([both, upright], 1)
