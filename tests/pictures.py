"""Small pictures made on the spot, for tests that need a source of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image


def write_pictures(folder: Path, classes: tuple[str, ...] = ("disc", "stripe"), each: int = 5, side: int = 67) -> Path:
    """A folder of pictures that differ by class: discs on a ramp, stripes of some angle; noise from a fixed seed."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:side, : side + 13] / side
    for kind, name in enumerate(classes):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(each):
            angle, x, y = rng.uniform(0, np.pi), *rng.uniform(0.3, 0.7, 2)
            stripes = np.sin(20 * (rows * np.sin(angle) + columns * np.cos(angle)))
            disc = 2.0 * ((rows - y) ** 2 + (columns - x) ** 2 < 0.04) - 1
            pattern = (disc if kind % 2 == 0 else stripes)[:, :, None] * rng.uniform(-1, 1, 3)
            noise = rng.normal(0, 0.05, (*rows.shape, 3))
            pixels = np.clip(0.5 + 0.4 * pattern + noise, 0, 1) * 255
            Image.fromarray(pixels.astype(np.uint8)).save(folder / name / f"{number}.png")
    return folder
