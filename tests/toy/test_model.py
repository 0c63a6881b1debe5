"""What a toy may be, its data, and its initialisations."""

from __future__ import annotations

import numpy as np
import pytest

from micrographia.errors import BadValue
from micrographia.toy.data import draw
from micrographia.toy.model import Optimiser, best, make_toy, repeated
from micrographia.toy.train import Start, initial, train


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"hidden": 7}, r"7 hidden units for 5 features leave nothing to superpose\. Give at most as many"),
        ({"sparsity": [0.0, 1.0]}, r"A sparsity of 1 is not possible\. .* from 0 \(never\) to below 1"),
        ({"sparsity": -0.2}, r"A sparsity of -0\.2 is not possible"),
        ({"density": 0.0}, r"A density of 0 is not possible"),
        ({"density": 0.5, "importance": [1.0, 0.5]}, r"2 importances were given for 5 features\. Give one for each"),
        ({"density": 0.5, "importance": -1.0}, r"An importance is negative or not a number\. Give numbers from 0 up"),
        ({"density": 0.5, "kind": "rely"}, r"There is no toy of the kind 'rely'\. Choose relu"),
        ({"density": 0.5, "correlated": [(0, 1), (1, 2)]}, r"overlap or name features that there are not"),
        ({"density": [[0.5, 0.4, 1, 1, 1]], "correlated": [(0, 1)]}, r"\[0, 1\] differ in density\. Give all"),
        ({}, r"needs either its density or its sparsity"),
    ],
)
def test_a_toy_that_cannot_be_is_refused(given: dict, sentence: str) -> None:
    with pytest.raises(BadValue, match=sentence):
        make_toy(5, given.pop("hidden", 2), **given)


def test_more_hidden_units_than_features_may_compute() -> None:
    assert make_toy(3, 6, kind="absolute", density=0.5).hidden == 6


def test_restarts_stand_in_a_row_and_the_best_is_kept() -> None:
    toy = make_toy(3, 2, density=[1.0, 0.5])
    many = repeated(toy, 3)
    assert many.density[:, 0].tolist() == [1.0] * 3 + [0.5] * 3
    assert len(set(many.seeds.tolist())) == 6
    trained = train(many, steps=2, batch=3)
    kept = best(trained, np.array([3.0, 1.0, 2.0, 1.0, 2.0, 0.5]), 3)
    assert np.array_equal(kept.weights, trained.weights[[1, 5]])


@pytest.mark.parametrize("density", [1.0, 0.31, 0.007])
def test_data_are_uniform_where_on_and_independent(density: float) -> None:
    x = draw(make_toy(5, 2, density=density), 400_000, 3)[0].astype(np.float64)
    on = x > 0
    spread = np.sqrt(density * (1 - density) / len(x))
    np.testing.assert_allclose(on.mean(0), density, atol=5 * spread + 1e-6)
    values = np.sort(x[on])
    # Kolmogorov's distance to the uniform distribution, at its 0.01 % critical value
    far = np.abs(values - (np.arange(len(values)) + 0.5) / len(values)).max()
    assert far < 2.23 / np.sqrt(len(values))
    np.testing.assert_allclose(np.corrcoef(x.T), np.eye(5), atol=5 / np.sqrt(len(x)))
    other = draw(make_toy(5, 2, density=density), 400_000, 4)[0]
    assert abs(np.corrcoef(x[:, 0], other[:, 0])[0, 1]) < 5 / np.sqrt(len(x))
    assert abs(np.corrcoef(x[1:, 0], x[:-1, 0])[0, 1]) < 5 / np.sqrt(len(x))


def test_sets_come_together_or_exclude_each_other() -> None:
    toy = make_toy(7, 2, density=0.4, correlated=[(0, 1)], anticorrelated=[(2, 4, 5)])
    x = draw(toy, 100_000, 1)[0]
    on = x > 0
    assert (on[:, 0] == on[:, 1]).all()
    assert abs(np.corrcoef(x[on[:, 0], 0], x[on[:, 0], 1])[0, 1]) < 0.03
    assert on[:, [2, 4, 5]].sum(1).max() == 1
    np.testing.assert_allclose(on.mean(0), [0.4, 0.4, 0.4 / 3, 0.4, 0.4 / 3, 0.4 / 3, 0.4], atol=0.01)
    np.testing.assert_allclose([x[on[:, i], i].mean() for i in range(7)], 0.5, atol=0.02)


def test_absolute_values_are_of_both_signs() -> None:
    x = draw(make_toy(3, 5, kind="absolute", density=0.5), 100_000, 1)[0]
    on = x != 0
    np.testing.assert_allclose(on.mean(0), 0.5, atol=0.01)
    assert abs(x[on].mean()) < 0.01
    np.testing.assert_allclose(np.abs(x[on]).mean(), 0.5, atol=0.01)


def test_initialisations_have_the_deviations_they_say() -> None:
    toy = make_toy(211, 23, density=[0.5] * 19)
    deviation = {name: float(initial(toy, name).weights.std()) for name in ("xavier", "notebook", "large")}
    np.testing.assert_allclose(deviation["xavier"], np.sqrt(2 / 234), rtol=0.02)
    np.testing.assert_allclose(deviation["notebook"], np.sqrt(2 / (23 * (211 + 19))), rtol=0.02)
    np.testing.assert_allclose(deviation["large"], 1.5, rtol=0.02)
    kaiming = initial(make_toy(7, 3, kind="absolute", density=0.5), "kaiming")
    assert np.abs(kaiming.weights).max() <= 7**-0.5
    assert np.abs(kaiming.decoder).max() <= 3**-0.5
    with pytest.raises(BadValue, match="There is no initialisation 'zavier'. Choose xavier"):
        initial(toy, "zavier")


def test_training_starts_where_it_is_told() -> None:
    toy = make_toy(3, 2, density=0.5)
    start = Start(np.full((1, 2, 3), 0.25, np.float32), np.full((1, 3), 0.125, np.float32))
    trained = train(toy, steps=1, batch=3, init=start, snapshots=[0])
    assert np.array_equal(trained.snapshots[0].weights, start.weights)
    assert np.array_equal(trained.snapshots[0].bias, start.bias)


def test_schedules() -> None:
    rates = {name: Optimiser(rate=2.0, schedule=name).rates(5) for name in ("constant", "linear", "cosine")}
    np.testing.assert_allclose(rates["constant"], 2)
    np.testing.assert_allclose(rates["linear"], [2, 1.6, 1.2, 0.8, 0.4])
    np.testing.assert_allclose(rates["cosine"], 2 * np.cos(np.pi / 8 * np.arange(5)), atol=1e-12)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"name": "adamax"}, "There is no optimiser 'adamax'. Choose adamw, adam, sgd."),
        ({"schedule": "steps"}, "There is no schedule 'steps'. Choose constant, linear, cosine."),
        ({"rate": 0}, "A learning rate of 0 leads nowhere."),
    ],
)
def test_optimisers_that_there_are_not(wrong: dict, sentence: str) -> None:
    with pytest.raises(BadValue, match=sentence):
        Optimiser(**wrong)


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"batch": 0}, {"snapshots": [9], "steps": 3}, {"engine": "jit"}])
def test_training_that_cannot_be(wrong: dict) -> None:
    with pytest.raises(BadValue):
        train(make_toy(3, 2, density=0.5), **wrong)
