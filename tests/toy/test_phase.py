"""The phase diagram's theory against Monte Carlo and algebra, and a small experiment against the theory."""

from __future__ import annotations

import numpy as np
import pytest

from micrographia.toy.model import Trained, make_toy
from micrographia.toy.phase import LEFT_OUT, OWN, SUPERPOSED, Size, borders, diagram, solutions, theory
from micrographia.toy.train import evaluate

# each solution as weights and biases: the columns are features, the last is the extra one
HALF = 0.5
BUILT = {
    (1, "extra left out"): ([[1, 0]], [0, HALF]),
    (1, "other left out"): ([[0, 1]], [HALF, 0]),
    (1, "pair with the extra"): ([[1, -1]], [0, 0]),
    (2, "extra left out"): ([[1, 0, 0], [0, 1, 0]], [0, 0, HALF]),
    (2, "other left out"): ([[1, 0, 0], [0, 0, 1]], [0, HALF, 0]),
    (2, "pair with the extra"): ([[1, 0, 0], [0, 1, -1]], [0, 0, 0]),
    (2, "pair of the others"): ([[1, -1, 0], [0, 0, 1]], [0, 0, 0]),
}


@pytest.mark.parametrize(("hidden", "name"), BUILT)
def test_closed_forms_equal_monte_carlo(hidden: int, name: str) -> None:
    p, r = 0.6, 1.7
    weights, bias = (np.array([each], np.float32) for each in BUILT[hidden, name])
    n = hidden + 1
    toy = make_toy(n, hidden, density=p, importance=[*[1.0] * hidden, r])
    model = Trained(toy, weights, None, bias * np.float32(p), np.zeros((1, 1)), np.array([1]))
    measured = float(evaluate(model, 2**26)[0]) * n
    assert measured == pytest.approx(solutions(hidden, p, r)[name][1], rel=1e-3)


@pytest.mark.parametrize("hidden", [1, 2])
def test_borders_are_where_the_best_solution_changes(hidden: int) -> None:
    for r in (0.1, 0.2, 0.5, 2.0, 5.0, 10.0):
        for p in borders(hidden, r).values():
            if np.isfinite(p) and (hidden == 1 or r <= 1):
                sides = theory(hidden, np.array([p * 0.999, p * 1.001]), np.array([r]))[0][:, 0]
                low = min(r, 1 / r)
                # of the two borders of one dimension only the nearer one is seen
                if p == pytest.approx(2 * low / (1 + 2.5 * low)):
                    assert sides[0] == SUPERPOSED
                    assert sides[1] == (LEFT_OUT if r < 1 else OWN)
    assert borders(1, 0.1)["pair or extra left out"] == pytest.approx(0.16)
    assert borders(1, 1.0)["pair or other left out"] == pytest.approx(4 / 7)


def test_theory_of_two_dimensions() -> None:
    states, _ = theory(2, np.array([0.9, 0.1]), np.array([0.3, 3.0]))
    assert states.tolist() == [[LEFT_OUT, OWN], [SUPERPOSED, OWN]]


@pytest.mark.parametrize(("features", "hidden"), [(2, 1), (3, 2)])
def test_the_experiment_agrees_with_the_theory(features: int, hidden: int) -> None:
    found = diagram(features, hidden, Size(cells=7, restarts=6, steps=500, batch=256))
    assert found.agreement >= 0.95
    assert set(np.unique(found.found)) == {LEFT_OUT, SUPERPOSED, OWN}
    # a trained model may beat the theory's fixed lengths and biases, but not lose to them
    assert np.median((found.loss / found.theory_loss)[~found.band]) == pytest.approx(1.0, abs=0.1)
