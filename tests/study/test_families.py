from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from micrographia.errors import BadValue
from micrographia.study.alignment import GROUPS, Alignment, align, of_pixels, spectrum
from micrographia.study.families import Family, Scale, correlation, curves, find, judged, measure, strongest
from micrographia.study.growth import to_others, to_template
from tests.planted_families import drawn

ROTATION = GROUPS["rotation"]


def fields(rng: np.random.Generator, sizes: tuple[int, ...], others: int, noise: float) -> tuple[np.ndarray, list]:
    """Copies of random templates moved by random steps, and random fields; the steps of each template."""
    found, steps = [], []
    for count in sizes:
        template = rng.normal(size=(11, 36))
        moved = rng.permutation(36)[:count]
        found += [np.roll(template, step, 1) for step in moved]
        steps.append(moved)
    found += list(rng.normal(size=(others, 11, 36)))
    return np.stack(found) + noise * rng.normal(size=(len(found), 11, 36)), steps


def noise_of(field: np.ndarray, rng: np.random.Generator) -> Alignment:
    return align(spectrum(rng.permutation(field.ravel()).reshape(field.shape), ROTATION))


def test_families_are_found_with_their_steps_and_nothing_else() -> None:
    rng = np.random.default_rng(0)
    field, steps = fields(rng, (7, 5), 13, 0.7)
    found = find(align(spectrum(field, ROTATION)), measure([noise_of(field, rng) for _ in range(3)]))
    assert [each.members for each in found] == [tuple(range(7)), tuple(range(7, 12))]
    for each, own in zip(found, steps, strict=True):
        off = (np.array(each.elements) - 10 * (own - own[0])) % 360
        assert np.minimum(off, 360 - off) == pytest.approx(0, abs=3)
        assert each.elements[0] == 0
        assert 0.5 < each.correlation < 0.9


def test_a_member_is_compared_with_the_mean_of_the_others() -> None:
    rng = np.random.default_rng(1)
    field = rng.normal(size=(6, 5, 36))
    found = align(spectrum(field, ROTATION))
    members, steps = np.array([0, 2, 5]), np.array([3, 30, 11])
    r = to_template(found, members, steps)
    for unit in range(6):
        others = [k for k in range(3) if members[k] != unit]
        for whole, values in ((True, field), (False, field - field.mean(2, keepdims=True))):
            size = np.sqrt(np.square(values).sum((1, 2)))
            mean = sum(np.roll(values[members[k]], -steps[k], 1) / size[members[k]] for k in others)
            cosine = [(values[unit] * np.roll(mean, g, 1)).sum() / size[unit] / np.linalg.norm(mean) for g in range(36)]
            assert np.all(r[unit] <= np.array(cosine) + 1e-4)
            if not whole:
                moving = cosine
            else:
                complete = cosine
        assert r[unit] == pytest.approx(np.minimum(complete, moving), abs=1e-4)


def test_many_sets_at_once_are_each_as_alone() -> None:
    rng = np.random.default_rng(1)
    found = align(spectrum(rng.normal(size=(9, 5, 36)) + rng.normal(size=(9, 5, 1)), ROTATION))
    sets, steps = np.array([[0, 2, 5], [8, 1, 3]]), np.array([[3, 30, 11], [0, 7, 7]])
    together = to_others([each[sets[:, :, None], sets[:, None]] for each in (found.whole, found.varying)], steps)
    for own, at, r in zip(sets, steps, together, strict=True):
        assert r == pytest.approx(to_template(found, own, at)[own], abs=1e-6)


def test_two_features_that_are_alike_are_two_families() -> None:
    rng = np.random.default_rng(2)
    first = rng.normal(size=(11, 36))
    second = 0.75 * first + 0.66 * rng.normal(size=(11, 36))
    moved = [np.roll(each, step, 1) for each in (first, second) for step in (0, 4, 9, 16, 25, 31)]
    field = np.stack(moved) + 0.3 * rng.normal(size=(12, 11, 36))
    found = find(align(spectrum(field, ROTATION)), Scale(0.5, 0.3, 0.05))
    assert sorted(each.members for each in found) == [tuple(range(6)), tuple(range(6, 12))]


def test_two_features_that_are_very_alike_are_two_families_where_there_is_little_noise() -> None:
    rng = np.random.default_rng(2)
    first = rng.normal(size=(11, 36))
    second = 0.87 * first + np.sqrt(1 - 0.87**2) * rng.normal(size=(11, 36))
    for noise, parts in ((0.1, 2), (0.45, 1)):
        moved = [np.roll(each, step, 1) for each in (first, second) for step in (0, 4, 9, 16, 25, 31)]
        field = np.stack(moved) + noise * rng.normal(size=(12, 11, 36))
        assert len(find(align(spectrum(field, ROTATION)), Scale(0.5, 0.3, 0.05))) == parts


def test_copies_at_one_element_are_no_family() -> None:
    rng = np.random.default_rng(3)
    field = np.repeat(rng.normal(size=(1, 11, 36)), 8, 0) + 0.3 * rng.normal(size=(8, 11, 36))
    assert find(align(spectrum(field, ROTATION)), Scale(0.5, 0.3, 0.05)) == ()


def test_units_that_the_group_hardly_moves_are_not_matched() -> None:
    rng = np.random.default_rng(4)
    field, _ = fields(rng, (6,), 5, 0.2)
    field[:3] += 9 * rng.normal(size=(3, 11, 1))
    found = find(align(spectrum(field, ROTATION)), Scale(0.5, 0.3, 0.05))
    assert [each.members for each in found] == [(3, 4, 5)]


def test_a_feature_that_looks_the_same_upside_down_has_half_the_period() -> None:
    lines = np.stack([drawn("line", angle, 11) for angle in (10, 40, 70, 100, 130, 160)])
    (found,) = find(align(of_pixels(lines, ROTATION)), Scale(0.5, 0.3, 0.05))
    assert found.period == 180
    assert np.sort(found.elements) == pytest.approx([0, 30, 60, 90, 120, 150], abs=2)
    assert found.gap == pytest.approx(30, abs=3)
    edges = np.stack([drawn("edge", angle, 11) for angle in (10, 40, 70, 100, 130, 160)])
    (found,) = find(align(of_pixels(edges, ROTATION)), Scale(0.5, 0.3, 0.05))
    assert found.period == 360
    assert found.gap == pytest.approx(210, abs=5)


def test_nothing_is_found_in_nothing_beyond_the_stated_rate() -> None:
    """Few degrees of freedom, so that fair agreement is common; all weights dealt out anew for each null."""
    runs, alarms, rng = 40, 0, np.random.default_rng(5)
    for _ in range(runs):
        kernels = rng.normal(size=(29, 1, 3, 3))
        own = align(of_pixels(kernels, ROTATION))
        dealt = [align(of_pixels(rng.permutation(kernels.ravel()).reshape(kernels.shape), ROTATION)) for _ in range(22)]
        scale = measure(dealt[:3])
        best = {"dealt": np.array([strongest(each, scale) for each in dealt[3:]])}
        alarms += any(each.holds() for each in judged(find(own, scale), own, best, trials=19))
    assert alarms <= binom.ppf(0.999, runs, 0.05)


def test_the_p_value_is_that_of_the_best_family_in_surrogates() -> None:
    rng = np.random.default_rng(6)
    field, _ = fields(rng, (6,), 9, 0.5)
    own = align(spectrum(field, ROTATION))
    found = find(own, Scale(0.5, 0.3, 0.05))
    few, many = np.zeros(99), np.append(np.zeros(79), np.full(20, 1e9))
    (sure,) = judged(found, own, {"a": few, "b": few})
    assert (sure.corrected, sure.p) == (0.01, pytest.approx(0.005))
    (unsure,) = judged(found, own, {"a": few, "b": many})
    assert unsure.corrected == pytest.approx(0.21)
    (twice,) = judged(found, own, {"a": few, "b": many}, searches=2)
    assert twice.corrected == pytest.approx(0.42)
    assert set(dict(sure.nulls)) == {"random units", "random elements", "a", "b"}


def test_other_evidence_and_curves_use_the_elements_that_were_found() -> None:
    rng = np.random.default_rng(7)
    field, steps = fields(rng, (6,), 5, 0.0)
    own = align(spectrum(field, ROTATION))
    (found,) = find(own, Scale(0.5, 0.3, 0.05))
    assert correlation(own, found.members, found.elements) == pytest.approx(1, abs=1e-3)
    # a turn common to all makes no difference, another order does
    assert correlation(own, found.members, [e + 70 for e in found.elements]) == pytest.approx(1, abs=1e-3)
    assert correlation(own, found.members, found.elements[::-1]) < 0.5
    tops = curves(own, found).argmax(1) * 10
    assert (tops - tops[0]) % 360 == pytest.approx((10 * (steps[0] - steps[0][0])) % 360)


def test_too_few_units_for_a_measure() -> None:
    with pytest.raises(BadValue, match="Fewer than 2 units change under this group"):
        measure([align(spectrum(np.ones((5, 3, 36)), ROTATION))])


def test_a_family_knows_whether_it_holds() -> None:
    family = Family((0, 1, 2), (0.0, 9.0, 20.0), (0.9, 0.9, 0.9), 0.9, 360.0, 340.0, 9.0, corrected=0.04)
    assert family.holds()
    assert not family.holds(0.01)
