"""The path check: a picture that is an example takes its path, one that is not does not; ranks by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from micrographia.errors import BadValue
from micrographia.model.capture import capture
from micrographia.model.graph import LayerGraph
from micrographia.optvis.path import path, path_layers, trace_of
from micrographia.unit import Unit

UNIT = Unit("b", 3)
Values = dict[str, np.ndarray]


def ranked(values: Values) -> Values:
    """Centred ranks of length 1, by sorting twice."""
    found = {}
    for name, each in values.items():
        ranks = each.argsort(1).argsort(1) - (each.shape[1] - 1) / 2
        found[name] = ranks / np.linalg.norm(ranks, axis=1, keepdims=True)
    return found


def traces(rng: np.random.Generator, centre: Values, count: int) -> Values:
    return ranked({name: mean + 0.3 * rng.standard_normal((count, len(mean))) for name, mean in centre.items()})


def means(all_traces: list[Values]) -> Values:
    return {name: np.stack([each[name].mean(0) for each in all_traces]) for name in all_traces[0]}


def test_a_picture_of_the_units_own_kind_takes_its_path_and_another_does_not() -> None:
    rng = np.random.default_rng(0)
    kinds = [{"a": rng.standard_normal(13), "b": rng.standard_normal(17)} for _ in range(40)]
    examples = [traces(rng, kind, 5) for kind in kinds]
    right = path(UNIT, traces(rng, kinds[0], 1), examples[0], means(examples[1:]))
    assert right.finding.p == pytest.approx(1 / 40)
    assert right.finding.effect > 0.5
    assert (right.own > 0.6).all()
    assert (abs(right.others) < 0.2).all()
    assert (right.natural > 0.6).all()
    wrong = path(UNIT, traces(rng, kinds[7], 1), examples[0], means(examples[1:]))
    assert wrong.finding.p > 0.2


def test_without_a_kind_p_is_uniform() -> None:
    rng = np.random.default_rng(1)
    found = []
    for _ in range(60):
        noise = [ranked({"a": rng.standard_normal((2, 11))}) for _ in range(20)]
        made = ranked({"a": rng.standard_normal((1, 11))})
        found.append(path(Unit("a", 1), made, noise[0], means(noise[1:])).finding.p)
    # the mean of 60 draws from 1/20 .. 20/20 lies within three of its deviations of its mean
    assert abs(np.mean(found) - 0.525) < 3 * 0.2883 / 60**0.5


def test_likeness_is_the_mean_rank_correlation(small: LayerGraph) -> None:
    pictures = torch.rand(4, 3, 59, 61, generator=torch.Generator().manual_seed(0))
    found = trace_of(small, ["conv2d0", "concat"], pictures)
    one, rest = ({name: each[rows] for name, each in found.items()} for rows in (slice(1), slice(1, 4)))
    others = {name: each[[1] * 19] for name, each in found.items()}
    result = path(UNIT, one, rest, others)
    for row, name in enumerate(found):
        channels = capture(small, pictures, name)[name].mean((2, 3)).numpy()
        own = np.mean([spearmanr(channels[0], channels[i]).statistic for i in (1, 2, 3)])
        among = np.mean([spearmanr(channels[i], channels[j]).statistic for i, j in ((1, 2), (1, 3), (2, 3))])
        assert result.own[row] == pytest.approx(own, abs=1e-6)
        assert result.natural[row] == pytest.approx(among, abs=1e-6)
        assert result.others[row] == pytest.approx(spearmanr(channels[0], channels[1]).statistic, abs=1e-6)
    assert result.to_json()["layers"][1]["layer"] == "concat"
    single = path(UNIT, one, {name: each[1:2] for name, each in found.items()}, others)
    assert np.isnan(single.natural).all()
    assert single.to_json()["layers"][0]["natural"] is None


def test_the_layers_of_a_path_are_those_that_lead_to_the_unit(small: LayerGraph) -> None:
    assert path_layers(small, "conv2d0") == ()
    layers = path_layers(small, "late")
    assert layers[0] == "conv2d0"
    assert not {"late", "head"} & set(layers)


def test_too_small_a_null_is_refused() -> None:
    one = {"b": np.zeros((1, 17))}
    for made, own, others in ((one, one, 18), ({}, {}, 0), (one, {"b": np.zeros((0, 17))}, 19)):
        with pytest.raises(BadValue, match="cannot be checked on"):
            path(UNIT, made, own, {name: np.zeros((others, 17)) for name in made})
