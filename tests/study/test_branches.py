from __future__ import annotations

import json
from importlib.resources import files

import numpy as np
import pytest
from scipy.stats import kstest

from micrographia.errors import BadValue
from micrographia.study.branches import Families, branch_of, families, scores

PUBLISHED = json.loads((files("micrographia.study") / "families.json").read_text())["layers"]
SPANS = {
    "mixed3a": {"1x1": (0, 63), "3x3": (64, 191), "5x5": (192, 223), "pool": (224, 255)},
    "mixed3b": {"1x1": (0, 127), "3x3": (128, 319), "5x5": (320, 415), "pool": (416, 479)},
}
CURVES = ("Curve", "Shallow", "Circles", "Double Curves", "Evolute")


def published(layer: str, merge: tuple[str, ...] = ()) -> Families:
    spans = SPANS[layer]
    count = max(last for _, last in spans.values()) + 1
    labels = [""] * count
    for family, units in PUBLISHED[layer].items():
        for unit in units:
            labels[unit] = "curves" if merge and any(word in family for word in merge) else family
    return families(labels, branch_of(spans, count), list(spans))


def cell(found: Families, start: str) -> tuple[float, str]:
    return next((each.p, each.what) for each in found.cells if each.what.startswith(start))


def test_the_article_s_black_and_white_against_colour_units() -> None:
    found = published("mixed3a")
    assert cell(found, "BW vs Color in 5x5") == (pytest.approx(2.487e-9, rel=1e-3), "BW vs Color in 5x5: 9 of 9")
    assert cell(found, "High-Low Frequency in 3x3")[0] == pytest.approx(2.0e-5, rel=0.03)
    assert cell(found, "Texture in pool")[0] == pytest.approx(3.3e-9, rel=0.03)
    assert found.information.effect == pytest.approx(0.628, abs=5e-4)
    assert found.null_mean == pytest.approx(0.163, abs=0.002)
    assert found.information.p == pytest.approx(1e-4)


def test_the_article_s_thirty_curves() -> None:
    found = published("mixed3b")
    assert found.information.effect == pytest.approx(0.725, abs=5e-4)
    assert found.null_mean == pytest.approx(0.169, abs=0.002)
    assert cell(found, "Curves in 5x5") == (pytest.approx(6.9e-8, rel=0.02), "Curves in 5x5: 10 of 10")
    related = published("mixed3b", CURVES)
    assert cell(related, "curves in 5x5") == (pytest.approx(1.7e-23, rel=0.02), "curves in 5x5: 30 of 30")


def test_random_labels_are_found_at_no_more_than_the_stated_rate() -> None:
    rng = np.random.default_rng(0)
    owner = np.repeat(np.arange(4), [23, 41, 11, 13])
    found, p = 0, []
    for _ in range(12):
        labels = [f"family {each}" for each in rng.integers(0, 7, len(owner))]
        result = families(labels, owner, ["a", "b", "c", "d"], trials=199, seed=int(rng.integers(1000)))
        found += any(each.holds() for each in result.cells)
        p.append(result.information.p)
    # any of them at all: at most 5 in 100
    assert found < 4
    assert kstest(p, "uniform").pvalue > 0.01


def test_random_scores_have_uniform_p_and_a_planted_one_is_found() -> None:
    rng = np.random.default_rng(1)
    owner = np.repeat(np.arange(3), [29, 17, 11])
    p = [scores({"a": rng.normal(size=57)}, owner, "xyz", trials=199, seed=s)[1].p for s in range(200)]
    assert kstest(p, "uniform").pvalue > 0.01
    values = rng.normal(size=57)
    values[owner == 2] += 3
    best = min(scores({"a": values, "b": rng.normal(size=57)}, owner, "xyz"), key=lambda each: each.p)
    assert best.what == "a in z"
    assert best.effect > 0.9
    assert best.holds()


def test_the_effect_is_the_difference_of_two_chances() -> None:
    rng = np.random.default_rng(2)
    values = rng.integers(0, 5, 31).astype(float)
    owner = (rng.permutation(31) < 13).astype(int)
    one, other = values[owner == 1], values[owner == 0]
    slow = np.mean([np.sign(a - b) for a in one for b in other])
    assert scores({"a": values}, owner, ["x", "y"], trials=19)[1].effect == pytest.approx(slow)


def test_what_the_architecture_alone_makes_is_no_finding() -> None:
    rng = np.random.default_rng(3)
    owner = np.repeat([0, 1], 31)
    # the second branch has larger scores whatever its weights are
    built = owner * 2.0
    redrawn = built + rng.normal(size=(99, 62))
    alone = scores({"a": built + rng.normal(size=62)}, owner, ["x", "y"])
    held = scores({"a": built + rng.normal(size=62)}, owner, ["x", "y"], {"a": redrawn})
    learned = scores({"a": built + owner * 4 + rng.normal(size=62)}, owner, ["x", "y"], {"a": redrawn})
    assert alone[0].holds()
    assert not held[0].holds()
    assert learned[0].holds()


def test_units_without_a_score_are_left_out() -> None:
    values = np.arange(20.0)
    values[[3, 15]] = np.nan
    found = scores({"a": values}, np.repeat([0, 1], 10), ["x", "y"])
    assert [each.effect for each in found] == [-1, 1]
    assert [each.n for each in found] == [9, 9]


def test_wrong_input_is_a_sentence() -> None:
    with pytest.raises(BadValue, match="one path only"):
        branch_of({"only": (0, 4)}, 5)
    with pytest.raises(BadValue, match="no unit belongs to one"):
        branch_of({"shortcut": (0, 4), "path": (0, 4)}, 5)
    with pytest.raises(BadValue, match="There are 2 labels for 3 units"):
        families(["a", "b"], np.zeros(3, int), ["x"])
