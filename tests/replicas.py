"""Slow, obvious re-implementations that the fast ones are held against."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor


def generate_pattern(layer_output: Callable[[Tensor], Tensor], filter_index: int, noise: Tensor) -> np.ndarray:
    """The loop of "Deep Learning with Python" (2017), section 5.4.2, line by line, on a picture of 0..255."""
    input_img_data = noise.clone()
    step = 1.0
    for _ in range(40):
        image = input_img_data.clone().requires_grad_(True)
        loss = torch.mean(layer_output(image)[:, filter_index, :, :])
        (grads,) = torch.autograd.grad(loss, image)
        grads = grads / (torch.sqrt(torch.mean(torch.square(grads))) + 1e-5)
        input_img_data = input_img_data + grads * step
    x = input_img_data[0].numpy().transpose(1, 2, 0)
    x = x - x.mean()
    x = x / (x.std() + 1e-5)
    x = x * 0.1
    x = x + 0.5
    return np.clip(x, 0, 1)
