"""A small classifier in a file, with a bottleneck, a dead unit and one that reads nothing, for the command line."""

from __future__ import annotations

from pathlib import Path

MODEL = """
import torch
from torch import nn
from micrographia.model.card import Card

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 5, 2), nn.ReLU())
        self.squeeze = nn.Sequential(nn.Conv2d(8, 4, 1), nn.ReLU())
        self.block = nn.Sequential(nn.Conv2d(4, 9, 3, padding=1), nn.ReLU())
        self.last = nn.Sequential(nn.Conv2d(9, 10, 1), nn.ReLU())
        self.head = nn.Linear(10, 3)

    def forward(self, x):
        return self.head(self.last(self.block(self.squeeze(self.stem(x)))).mean((2, 3)))

def make(seed=0):
    torch.manual_seed(seed)
    net = Net().eval()
    with torch.no_grad():
        net.block[0].weight.mul_(3)
        net.block[0].bias[1] = -1000
        net.block[0].weight[2] = 0
    return net, Card("tiny", (31, 29), 31, mean=(0.5,) * 3, std=(0.25,) * 3, labels=("disc", "ring", "stripe"))

def other():
    return make(1)
"""


def write_model(folder: Path) -> str:
    """The path of the file, to which a factory's name is added: `PATH:make` or `PATH:other`."""
    path = folder / "tiny.py"
    path.write_text(MODEL)
    return str(path)
