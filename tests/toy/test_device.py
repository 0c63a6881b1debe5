"""Training in plain torch on a device: the same gradients as the kernel, the same data in law, the same solutions."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from micrographia.errors import BadValue
from micrographia.jobs.toy import run
from micrographia.toy import device, kernel
from micrographia.toy.data import draw
from micrographia.toy.model import KINDS, Optimiser, make_toy, repeated
from micrographia.toy.train import evaluate, initial, on, train


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_the_kernels(kind: str) -> None:
    toy = make_toy(7, 3, kind=kind, density=[0.3, 1.0], importance=0.9 ** np.arange(7))
    begin = initial(toy, "large")
    start = [each.astype(np.float64) for each in (begin.weights, begin.decoder, begin.bias) if each is not None]
    x = draw(toy, 41, 5).astype(np.float64)
    losses, slopes = kernel.gradients(toy, start, x)
    ours, found = device.gradients(toy, [torch.tensor(each) for each in start], torch.tensor(x))
    np.testing.assert_allclose(ours, losses, rtol=1e-12)
    for mine, theirs in zip(found, slopes, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("kind", ["relu", "absolute"])
def test_data_have_the_kernels_means_and_products(kind: str) -> None:
    sets = {"correlated": [(0, 1)], "anticorrelated": [(2, 4, 5)]}
    toy = make_toy(7, 8 if kind == "absolute" else 2, kind=kind, density=[0.4, 0.05], **sets)
    mine = device.drawn(toy, 200_000, torch.Generator().manual_seed(3)).numpy().astype(np.float64)
    theirs = draw(toy, 200_000, 1).astype(np.float64)
    for a, b in zip(mine, theirs, strict=True):
        np.testing.assert_allclose(a.mean(0), b.mean(0), atol=5e-3)
        np.testing.assert_allclose(a.T @ a / len(a), b.T @ b / len(b), atol=5e-3)
        on_a, on_b = ((each != 0).astype(float) for each in (a, b))
        np.testing.assert_allclose(on_a.T @ on_a / len(a), on_b.T @ on_b / len(b), atol=8e-3)


def test_training_ends_where_the_kernels_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "TOGETHER", 13 * 256 * 2)  # thirteen instances at a time, then the rest
    toy = repeated(make_toy(2, 1, density=[1.0, 0.2, 0.05]), 8)
    how = {"steps": 400, "batch": 256, "optimiser": Optimiser("adam", 2e-2, 0, "cosine"), "snapshots": [100]}
    with on("cpu"):
        ours = train(toy, **how)
    theirs = train(toy, **how)
    assert not np.array_equal(ours.weights, theirs.weights)
    # each gets caught on its own way now and then: the best of the eight are compared
    for mine, other in zip(evaluate(ours).reshape(3, 8), evaluate(theirs).reshape(3, 8), strict=True):
        assert mine.min() == pytest.approx(other.min(), rel=0.02)
    assert ours.snapshots[0].weights.shape == (24, 1, 2)


def test_a_device_that_is_not_there_is_one_sentence() -> None:
    with pytest.raises(BadValue, match=r"torch cannot compute on 'abacus' here: .*\. Give --device cpu\."):
        run("intro", quick=True, device="abacus")
