"""The later toy experiments: their measures against replicas and planted answers, and each once in a very small size."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from micrographia.errors import BadValue
from micrographia.jobs.later_toy_figures import later_toy_figures
from micrographia.toy import adversarial, autoencoder, computation, convolution, memorization, privileged, real
from micrographia.toy.geometry import dimensionality
from micrographia.toy.motif import chance, motifs

SMALL: dict[str, tuple[Any, Any]] = {
    "adversarial": (adversarial.adversarial, adversarial.Size(11, 3, 3, steps=30, batch=64, samples=17)),
    "privileged": (privileged.privileged, privileged.Size(restarts=2, steps=20, batch=64, samples=128)),
    "computation": (computation.computation, computation.Size(7, 5, (1.0, 0.3, 0.1), steps=20, batch=64, seeds=2, restarts=2)),
    "memorization": (
        memorization.memorization, replace(memorization.QUICK, points=(5, 7, 11), steps=20, tested=23, features=13)
    ),
    "autoencoder": (
        autoencoder.autoencoder,
        autoencoder.Size(7, 3, (0.3, 0.05), (0.1, 0.4), 1.5, toy_steps=300, steps=10, batch=32, trials=5),
    ),
    "convolution": (
        convolution.convolution, convolution.Size(5, 2, 5, (1, 3), (0.3, 0.1), restarts=1, steps=10, batch=2)
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SMALL)
def test_an_experiment_gives_plain_values_checks_and_figures_and_the_same_twice(name: str) -> None:
    run, size = SMALL[name]
    result = run(size, seed=3, threads=1)
    document = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert document["checks"]
    assert {type(each["agrees"]) for each in document["checks"]} == {bool}
    assert json.loads(json.dumps(run(size, seed=3, threads=1).to_json())) == document
    figures = later_toy_figures(name, result)
    assert figures
    assert all(data.startswith(b"\x89PNG") and words for _, data, words in figures)


def test_harm_is_that_of_trying_every_attack_on_every_input() -> None:
    rng = np.random.default_rng(0)
    weights, bias, x = rng.standard_normal((3, 7)), rng.standard_normal(7) / 5, rng.random((41, 7))
    gram = weights.T @ weights
    length = 0.1 * np.linalg.norm(x, axis=1).mean()

    def loss(seen: np.ndarray, meant: np.ndarray) -> float:
        return float(((np.maximum(gram @ seen + bias, 0) - meant) ** 2).sum())

    rises = [
        [
            loss(x_s + sign * length * row / np.linalg.norm(row), x_s) - loss(x_s, x_s)
            for sign in (1, -1)
            for row in gram
        ]
        for x_s in x
    ]
    each, one = adversarial.harm(weights, bias, x)
    assert each == pytest.approx(np.max(rises, 1).mean())
    assert one == pytest.approx(np.mean(rises, 0).max())


def test_an_exact_solution_is_told_from_others() -> None:
    exact = np.kron(np.eye(3), [[1.0], [-1.0]])
    assert computation.solves(exact[[3, 0, 5, 1, 2, 4]])
    assert not computation.solves(np.abs(exact))
    assert not computation.solves(exact + 0.05)
    assert not computation.solves(np.vstack([exact, exact[:1]]))


def test_a_planted_motif_is_found_with_its_inhibitor_and_not_without() -> None:
    encoder = np.array([[2.0, -0.5], [1.0, 0.0], [-1.0, 0.0]])
    decoder = np.array([[0.5, 2.0], [0.0, -4.2], [1.0, 0.0]])
    (found,) = motifs(encoder, decoder)
    assert (found.neuron, found.strong, found.victim, found.inhibitor) == (0, 0, 1, 1)
    assert found.interference == pytest.approx(4.0)
    assert found.remaining == pytest.approx(-0.2)
    # an inhibitor that is on for the other sign of the feature takes nothing away
    (missed,) = motifs(encoder * [[1], [-1], [1]], decoder)
    assert missed.inhibitor is None
    # of the two neurons that the dealt output can go to, one is the inhibitor
    assert chance(encoder, decoder, np.random.default_rng(0)) == pytest.approx(0.5, abs=0.1)


def test_pairs_of_neurons_are_counted_once_each() -> None:
    weights = np.array([[1.0, 1.0, 1.0, 1.0], [1.0, 1.0, 0.2, 0.9], [-1.0, 0.0, 0.0, 0.5]])
    assert privileged.pairs(weights) == {(0, 1)}


def test_the_gradients_of_the_finite_toy_are_autograds() -> None:
    rng = np.random.default_rng(1)
    w, b, x = (rng.standard_normal(shape).astype(np.float32) for shape in ((3, 11), (11,), (17, 11)))
    tw, tb = (torch.tensor(each, dtype=torch.float64, requires_grad=True) for each in (w, b))
    tx = torch.tensor(x, dtype=torch.float64)
    loss = ((tx @ tw.T @ tw + tb).relu() - tx).square().sum(1).mean()
    expected = torch.autograd.grad(loss, (tw, tb))
    value, *found = memorization.gradients(w, b, x)
    assert value == pytest.approx(float(loss.detach()), rel=1e-5)
    for mine, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(mine, theirs.numpy(), rtol=1e-3, atol=1e-4)


def test_finite_data_has_length_one() -> None:
    x = memorization.points(memorization.QUICK, 101, np.random.default_rng(0))
    np.testing.assert_allclose(np.linalg.norm(x, axis=1), 1, rtol=1e-5)


def test_shifted_dimensionality_is_the_sum_over_all_shifts() -> None:
    weights = np.random.default_rng(2).standard_normal((2, 5, 3, 3))
    side = 5
    whole = np.zeros((2, 5, side, side))
    whole[:, :, :3, :3] = weights
    found = convolution.shifted_dimensionality(weights, side)
    for i in range(5):
        own = (whole[:, i] ** 2).sum()
        shifts = [(a, b) for a in range(side) for b in range(side)]
        overlaps = [
            (whole[:, i] * np.roll(whole[:, j], shift, (1, 2))).sum() ** 2 / own for j in range(5) for shift in shifts
        ]
        assert found[i] == pytest.approx(own / sum(overlaps))
    assert found.sum() <= 2 + 1e-9
    point = weights[:, :, :1, :1]
    np.testing.assert_allclose(
        convolution.shifted_dimensionality(point, side), dimensionality(point[None, :, :, 0, 0])[0]
    )


def test_a_kernel_of_one_is_the_toy_without_space_at_every_place() -> None:
    generator = torch.Generator().manual_seed(0)
    weights, bias = torch.randn(1, 2, 5, 1, 1, generator=generator), torch.randn(1, 5, generator=generator)
    x = torch.rand(3, 5, 7, 7, generator=generator)
    w = weights[0, :, :, 0, 0]
    expected = (torch.einsum("bfyx,mf,mg->bgyx", x, w, w) + bias[0, :, None, None]).relu()
    torch.testing.assert_close(convolution.forward(x, weights, bias), expected)


def test_the_way_back_is_the_transpose_of_the_way_in() -> None:
    weights = torch.randn(1, 2, 5, 3, 3, generator=torch.Generator().manual_seed(1))
    x = torch.zeros(1, 5, 6, 6)
    x[0, 2, 1, 4] = 1.0
    back = convolution.forward(x, weights, torch.zeros(1, 5))
    # the feature gives itself back by its squared length, at its own place
    assert float(back[0, 2, 1, 4]) == pytest.approx(float(weights[0, :, 2].square().sum()), rel=1e-5)


def test_recovery_deals_entries_one_to_one() -> None:
    truth = np.eye(3)
    assert autoencoder.recovery(2 * np.eye(3)[:, ::-1], truth) == (1.0, 1.0)
    cosine, found = autoencoder.recovery(np.array([[1.0, 1.0], [0.0, 0.0], [0.0, 0.0]]), truth)
    assert (cosine, found) == (pytest.approx(1 / 3), pytest.approx(1 / 3))


def test_an_autoencoder_finds_planted_directions() -> None:
    rng = np.random.default_rng(4)
    truth = rng.standard_normal((6, 9))
    truth /= np.linalg.norm(truth, axis=0)

    def sparse(step: int) -> np.ndarray:
        fresh = np.random.default_rng(step)
        return (fresh.random((256, 9)) * (fresh.random((256, 9)) < 0.08)) @ truth.T * 2

    (learnt,) = autoencoder.learn(sparse, 12, (0.4,), 4000, seed=0)
    assert autoencoder.recovery(learnt.dictionary, truth)[0] > 0.95
    assert autoencoder.recovery(rng.standard_normal((6, 12)), truth)[0] < 0.9


def test_autoencoders_trained_side_by_side_are_those_trained_alone() -> None:
    data = np.random.default_rng(7).random((2, 31, 3))
    both = autoencoder.learn(lambda step: data, 5, (0.1, 0.3), 20, seed=0)
    for at, penalty in enumerate((0.1, 0.3)):
        (alone,) = autoencoder.learn(lambda step, at=at: data[at], 5, (penalty,), 20, seed=0)
        np.testing.assert_allclose(both[at].dictionary, alone.dictionary, atol=1e-4)
        assert both[at].explained == pytest.approx(alone.explained, abs=1e-4)


def test_real_layers_are_measured_beside_their_shuffled_activations() -> None:
    rng = np.random.default_rng(5)
    latent = rng.random((700, 3)) * (rng.random((700, 3)) < 0.2)
    size = replace(real.QUICK, steps=20, nulls=2)
    found = real.real({"a": latent @ rng.random((3, 11))}, "planted", size, seed=1)
    (layer,) = found.layers
    # three directions, whatever the number of units; dealt out anew there are many
    assert layer.measures.dimensions <= 3 + 1e-6
    assert all(null.dimensions > 4 for null in layer.nulls)
    assert json.loads(json.dumps(found.to_json()))["layers"][0]["read"] == 11
    assert later_toy_figures("real", found)[0][1].startswith(b"\x89PNG")


def test_a_layer_that_never_changes_is_refused_with_a_sentence() -> None:
    with pytest.raises(BadValue, match="Fewer than two units of flat ever change"):
        real.real({"flat": np.ones((10, 3))}, "planted", real.QUICK)


def test_measures_of_an_orthogonal_dictionary_are_those_of_its_dimensions() -> None:
    found = real.measures(np.eye(5), np.ones(5), np.ones(5), 1.0, 1.0)
    assert (found.features, found.dimensionality, found.interference) == (pytest.approx(5), pytest.approx(1), 0)
