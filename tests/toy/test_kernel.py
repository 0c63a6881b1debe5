"""The fused kernel against float64 autograd and torch's optimisers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from micrographia.errors import BadValue
from micrographia.toy import kernel, reference
from micrographia.toy.data import draw
from micrographia.toy.model import KINDS, Optimiser, make_toy
from micrographia.toy.train import evaluate, initial, train


def parameters(toy, name="large"):
    start = initial(toy, name)
    return [each for each in (start.weights, start.decoder, start.bias) if each is not None]


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=12, deadline=None, derandomize=True)
@given(
    n=st.integers(1, 23), m=st.integers(1, 11), samples=st.integers(1, 150), density=st.sampled_from([1.0, 0.3, 0.02])
)
def test_gradients_equal_autograd(kind: str, n: int, m: int, samples: int, density: float) -> None:
    m = m if kind == "absolute" else min(m, n)
    toy = make_toy(n, m, kind=kind, density=[density, 1.0], importance=0.9 ** np.arange(n), seed=n * m)
    x, start = draw(toy, samples, 5), parameters(toy)
    losses, slopes = reference.gradients(toy, [torch.tensor(p).double() for p in start], torch.tensor(x).double())
    for precision, bound in ((np.float64, 1e-12), (np.float32, 1e-6)):
        ours, found = kernel.gradients(toy, [p.astype(precision) for p in start], x.astype(precision))
        np.testing.assert_allclose(ours, losses.numpy(), rtol=bound, atol=1e-30)
        for mine, slope in zip(found, slopes, strict=True):
            true = slope.numpy()
            assert np.linalg.norm(mine - true) <= bound * np.linalg.norm(true)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("samples", [1, 37, 150])
def test_gradients_of_products_written_out_equal_autograd(kind: str, samples: int) -> None:
    toy = make_toy(5, 2, kind=kind, density=[0.3, 1.0], importance=0.9 ** np.arange(5), seed=samples)
    x, start = draw(toy, samples, 5), parameters(toy)
    losses, slopes = reference.gradients(toy, [torch.tensor(p).double() for p in start], torch.tensor(x).double())
    ours, found = kernel.gradients(toy, start, x, written=True)
    np.testing.assert_allclose(ours, losses.numpy(), rtol=1e-6)
    for mine, slope in zip(found, slopes, strict=True):
        assert np.linalg.norm(mine - slope.numpy()) <= 1e-6 * np.linalg.norm(slope.numpy())


def test_long_training_of_a_small_toy_is_the_same_with_its_products_written_out(monkeypatch: Any) -> None:
    toy = make_toy(5, 2, density=[1.0, 0.1], importance=0.9 ** np.arange(5))
    how = {"steps": 300, "batch": 450, "optimiser": Optimiser(rate=1e-2), "threads": 1}
    written = train(toy, **how)
    monkeypatch.setattr(kernel, "FEW", 0)
    plain = train(toy, **how)
    assert not np.array_equal(written.weights, plain.weights)  # not the same code
    np.testing.assert_allclose(written.weights, plain.weights, atol=1e-3)
    np.testing.assert_allclose(written.history, plain.history, rtol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "optimiser", [Optimiser(), Optimiser("adam", 1e-2, 0.1, "linear"), Optimiser("sgd", 0.1, 1e-2, "cosine")]
)
def test_training_follows_torch(kind: str, optimiser: Optimiser) -> None:
    toy = make_toy(7, 3, kind=kind, density=[1.0, 0.2], importance=0.9 ** np.arange(7))
    how = {"steps": 30, "batch": 71, "optimiser": optimiser, "snapshots": [0, 13], "records": 7}
    ours, theirs = train(toy, **how), train(toy, engine="torch", **how)
    np.testing.assert_allclose(ours.weights, theirs.weights, atol=1e-5)
    np.testing.assert_allclose(ours.readout, theirs.readout, atol=1e-5)
    np.testing.assert_allclose(ours.bias, theirs.bias, atol=1e-5)
    np.testing.assert_allclose(ours.history, theirs.history, rtol=1e-5)
    for mine, other in zip(ours.snapshots, theirs.snapshots, strict=True):
        assert mine.step == other.step
        np.testing.assert_allclose(mine.weights, other.weights, atol=1e-5)
    assert np.array_equal(ours.snapshots[0].weights, initial(toy).weights)


def test_an_instance_does_not_depend_on_the_others_nor_on_threads() -> None:
    toy = make_toy(5, 2, density=[1.0, 0.3, 0.1, 0.05, 0.01])
    one = train(toy, steps=40, batch=50, threads=1)
    three = train(toy, steps=40, batch=50, threads=3)
    alone = train(make_toy(5, 2, density=[1.0]), steps=40, batch=50)
    assert np.array_equal(one.weights, three.weights)
    assert np.array_equal(one.weights[:1], alone.weights)


def test_evaluation_is_the_mean_loss_on_data_never_trained_on() -> None:
    toy = make_toy(5, 2, density=[1.0, 0.3])
    trained = train(toy, steps=20, batch=50)
    big = evaluate(trained, 200_000)
    x = torch.tensor(draw(toy, 200_000, 999))
    plain = reference.loss(toy, [torch.tensor(trained.weights), torch.tensor(trained.bias)], x).numpy()
    np.testing.assert_allclose(big, plain, rtol=0.02)
    assert np.array_equal(big, evaluate(trained, 200_000))


def test_divergence_is_one_sentence_with_a_way_out() -> None:
    toy = make_toy(5, 2, density=[1.0])
    with pytest.raises(
        BadValue, match=r"Training diverged: .* instance 0 .* rate of 1000\. Give a lower rate, such as 100\."
    ):
        train(toy, steps=60, optimiser=Optimiser("sgd", 1000.0))
