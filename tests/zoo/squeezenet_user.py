"""SqueezeNet 1.1 (Iandola et al. 2016) as a user would bring it: a file of their own with a factory, and their weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

#       squeeze, expand
FIRES = {2: (16, 64), 3: (16, 64), 4: (32, 128), 5: (32, 128), 6: (48, 192), 7: (48, 192), 8: (64, 256), 9: (64, 256)}


class SqueezeNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        # with padding, and without incomplete windows in the poolings, the known accuracy comes out
        self.conv1 = nn.Conv2d(3, 64, 3, 2, padding=1)
        inputs = 64
        for number, (squeeze, expand) in FIRES.items():
            self.add_module(f"fire{number}_squeeze1x1", nn.Conv2d(inputs, squeeze, 1))
            self.add_module(f"fire{number}_expand1x1", nn.Conv2d(squeeze, expand, 1))
            self.add_module(f"fire{number}_expand3x3", nn.Conv2d(squeeze, expand, 3, padding=1))
            inputs = 2 * expand
        self.conv10 = nn.Conv2d(inputs, 1000, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.conv1(x)), 3, 2)
        for number in FIRES:
            layers = (getattr(self, f"fire{number}_{part}") for part in ("squeeze1x1", "expand1x1", "expand3x3"))
            squeeze, one, three = layers
            x = F.relu(squeeze(x))
            x = torch.cat([F.relu(one(x)), F.relu(three(x))], 1)
            if number in (3, 5):
                x = F.max_pool2d(x, 3, 2)
        return F.relu(self.conv10(x)).mean((2, 3))


def squeezenet() -> tuple[nn.Module, dict]:
    return SqueezeNet(), {"scale": 255.0, "mean": (104.0, 117.0, 123.0), "std": (1.0, 1.0, 1.0), "order": "BGR"}
