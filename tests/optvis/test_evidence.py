"""The numbers beside a picture: shares kept under held-out changes, and the agreement of seeds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import nn

from micrographia.errors import BadValue
from micrographia.model.card import Card
from micrographia.model.graph import LayerGraph
from micrographia.model.trace import trace
from micrographia.optvis.evidence import HELD_OUT, Judges, agreement, blurred, held_out
from micrographia.optvis.quality import Quality
from micrographia.optvis.render import Rendered, render
from micrographia.optvis.transform import STILL

QUICK = Quality("quick", steps=16, rate=0.2, settle=6)


@pytest.fixture(scope="module")
def tiny() -> LayerGraph:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 8, 5, 2), nn.ReLU(), nn.Conv2d(8, 6, 3), nn.ReLU())
    return trace(net, Card("tiny", size=(31, 29)))


def made(graph: LayerGraph, address: str, **options: object) -> Rendered:
    (one,) = render(graph, graph.units(address), **{"quality": QUICK, **options})  # type: ignore[arg-type]
    return one


def linear(kernel: torch.Tensor) -> LayerGraph:
    conv = nn.Conv2d(3, 1, kernel.shape[-1], bias=False)
    conv.weight.data = kernel
    return trace(nn.Sequential(conv), Card("linear", size=(9, 9), mean=(0.5,) * 3, std=(1.0,) * 3))


def test_a_linear_unit_keeps_the_share_of_the_contrast() -> None:
    torch.manual_seed(0)
    graph = linear(torch.randn(1, 3, 9, 9))
    kept = held_out(graph, made(graph, "0:0"))
    assert set(kept) == set(HELD_OUT)
    assert kept["faded"] == pytest.approx(0.7, abs=1e-4)


def test_fine_patterns_are_lost_in_a_blur_and_coarse_ones_are_not() -> None:
    place = torch.arange(9.0) - 4
    window = (torch.pi * place / 10).cos()
    shares = {}
    for name, frequency in (("coarse", 1 / 9), ("fine", 4 / 9)):
        # odd about the middle, and faint at the edges, where a blur repeats them
        wave = ((2 * torch.pi * place * frequency).sin() * window).repeat(1, 3, 9, 1)
        graph = linear(wave)
        shares[name] = held_out(graph, made(graph, "0:0", transform=STILL))["blurred"]
    assert shares["fine"] < 0.2
    assert shares["coarse"] > 0.6


def test_the_blur_is_a_gaussian() -> None:
    x = np.random.default_rng(0).random((13, 11))
    found = blurred(torch.from_numpy(x)[None, None], torch.Generator())[0, 0].numpy()
    np.testing.assert_allclose(found, ndimage.gaussian_filter(x, 1.0, mode="nearest", truncate=3), atol=1e-12)


@pytest.mark.parametrize("address", ["2:1", "3:1", "1:0"])
@pytest.mark.parametrize("objective", ["neuron", "channel"])
def test_an_unchanged_picture_keeps_all(
    tiny: LayerGraph, address: str, objective: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(HELD_OUT, "unchanged", lambda pictures, generator: pictures)
    kept = held_out(tiny, made(tiny, address, objective=objective))
    assert kept["unchanged"] == pytest.approx(1, abs=1e-4)
    assert kept["faded"] < 1


def test_a_picture_made_on_a_smaller_canvas_is_judged_where_it_was_made(tiny: LayerGraph) -> None:
    small = made(tiny, "2:1", quality=replace(QUICK, share=0.3))
    assert small.image.shape[0] < 13
    assert held_out(tiny, small)["faded"] == pytest.approx(held_out(tiny, small, seed=1)["faded"])


def test_equal_pictures_agree_and_those_of_other_units_less(tiny: LayerGraph) -> None:
    first, second = (list(render(tiny, tiny.units("2"), quality=QUICK, seed=seed)) for seed in (0, 1))
    assert agreement(tiny, [first[0], first[0]]) == {"alike": pytest.approx(1), "reached": pytest.approx(1)}
    judges: Judges = {}
    seeds = [agreement(tiny, pair, judges=judges) for pair in zip(first, second, strict=True)]
    neighbours = zip(first, [*first[1:], first[0]], strict=True)
    others = [agreement(tiny, [one, replace(two, unit=one.unit)], judges=judges) for one, two in neighbours]
    assert len(judges) == 1, "units of one layer share their network"
    assert np.mean([each["alike"] for each in seeds]) > np.mean([each["alike"] for each in others]) + 0.2
    assert all(0 < each["reached"] <= 1 for each in seeds)


def test_a_picture_that_does_not_beat_plain_grey_has_nothing_to_keep(tiny: LayerGraph) -> None:
    picture = made(tiny, "2:1")
    greyer = replace(picture, reached=0.5, numbers={**picture.numbers, "flat": 0.7})
    assert held_out(tiny, greyer) == {}
    with pytest.raises(BadValue, match="is dead"):
        held_out(tiny, replace(picture, dead=True))


def test_what_cannot_be_compared_is_refused(tiny: LayerGraph) -> None:
    one, other = made(tiny, "2:1"), made(tiny, "2:2")
    with pytest.raises(BadValue, match="1 live pictures of 1 units"):
        agreement(tiny, [one])
    with pytest.raises(BadValue, match="2 live pictures of 2 units"):
        agreement(tiny, [one, other])
    with pytest.raises(BadValue, match="2:1 is dead"):
        held_out(tiny, replace(one, dead=True))
    lonely = linear(torch.randn(1, 3, 9, 9))
    with pytest.raises(BadValue, match="Too few other channels"):
        agreement(lonely, [made(lonely, "0:0"), made(lonely, "0:0", seed=1)])
