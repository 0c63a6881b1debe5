"""optimise: known optima, joint and negative targets, honest numbers, and one clear sentence for bad input."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import nn

from micrographia.errors import BadAddress, BadValue
from micrographia.model.card import Card, normalise
from micrographia.model.graph import LayerGraph
from micrographia.model.trace import trace
from micrographia.optvis.objective import Channel, Direction, Diversity, Interpolated, Neuron, WholeLayer
from micrographia.optvis.optimise import optimise
from micrographia.optvis.parametrise import Fourier
from micrographia.optvis.penalty import L2, TotalVariation
from micrographia.optvis.quality import Quality
from micrographia.optvis.transform import STILL

QUICK = Quality("quick", steps=12, rate=0.2, settle=4)


@pytest.fixture(scope="module")
def tiny() -> LayerGraph:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 8, 5, 2), nn.ReLU(inplace=True), nn.Conv2d(8, 6, 3), nn.ReLU(inplace=True))
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4))
    return trace(nn.Sequential(net, head), Card("tiny", size=(31, 29)))


def test_on_a_linear_network_the_optimum_is_the_kernel() -> None:
    torch.manual_seed(0)
    smooth = nn.functional.interpolate(torch.randn(1, 3, 4, 4), size=(11, 11), mode="bicubic")
    kernel = smooth - smooth.mean((2, 3), keepdim=True)
    conv = nn.Conv2d(3, 1, 11, bias=False)
    conv.weight.data = kernel
    card = Card("linear", size=(11, 11), mean=(0.0,) * 3, std=(1.0,) * 3)
    (made,) = optimise(
        trace(nn.Sequential(conv), card),
        Channel("0", 0),
        quality=Quality("x", 300, 0.05, 100, plateau=0.0),
        parametrisation=Fourier(contrast=0.1),
        transform=STILL,
    )
    centred = (made.image.transpose(2, 0, 1) - 0.5) * 2
    before_squashing = centred / np.sqrt(1 - centred**2)
    assert np.corrcoef(before_squashing.ravel(), kernel.numpy().ravel())[0, 1] >= 0.99


def test_what_is_reached_is_what_the_whole_network_gives(tiny: LayerGraph) -> None:
    objective = Channel("0.3", 2) + 0.5 * Neuron("0.1", 3) - 0.2 * TotalVariation()
    (made,) = optimise(tiny, objective, quality=QUICK)
    picture = torch.from_numpy(made.image.transpose(2, 0, 1))[None]
    values = tiny.upto(["0.3", "0.1"])(normalise(picture, tiny.card))
    middle = values["0.1"][0, 3, values["0.1"].shape[2] // 2, values["0.1"].shape[3] // 2]
    rough = (picture.diff(dim=2).abs().sum() + picture.diff(dim=3).abs().sum()) / picture.numel()
    assert made.reached == pytest.approx(float(values["0.3"][0, 2].mean() + 0.5 * middle - 0.2 * rough), rel=1e-4)
    assert made.image.shape == (31, 29, 3)


@pytest.mark.parametrize(
    "objective",
    [
        Neuron("0.2", 1),
        Channel("0.2", 1),
        Direction("0.2", (1, 0, 0, -1, 0, 0), 1.0),
        Channel("1.2", 3),
    ],
    ids=lambda each: type(each).__name__,
)
def test_every_target_climbs_and_its_negative_falls(tiny: LayerGraph, objective: Neuron) -> None:
    (up,) = optimise(tiny, objective, quality=QUICK)
    (down,) = optimise(tiny, -objective, quality=QUICK)
    assert up.reached > up.numbers["flat"]
    assert down.reached > down.numbers["flat"]
    assert up.reached > -down.reached
    assert len(up.course) == up.steps == 12
    assert up.course[-1] > up.course[0]


def test_a_whole_layer_is_excited_or_calmed(tiny: LayerGraph) -> None:
    (up,) = optimise(tiny, WholeLayer("0.1"), quality=QUICK)
    (down,) = optimise(tiny, -WholeLayer("0.1"), quality=QUICK)
    assert up.reached > 3 * up.numbers["flat"]
    assert -down.reached < up.reached / 3


def test_a_penalty_makes_what_it_penalises_less(tiny: LayerGraph) -> None:
    (free,) = optimise(tiny, Channel("0.2", 0), quality=QUICK)
    (held,) = optimise(tiny, Channel("0.2", 0) - 10 * L2(), quality=QUICK)
    assert held.image.std() < 0.5 * free.image.std()


def test_pictures_of_a_batch_differ_and_each_is_what_it_is_alone(tiny: LayerGraph) -> None:
    many = optimise(tiny, Channel("0.2", 0), quality=QUICK, pictures=3, precision="float64")
    (alone,) = optimise(tiny, Channel("0.2", 0), quality=QUICK, precision="float64")
    np.testing.assert_allclose(many[0].image, alone.image, atol=1e-9)
    assert not np.allclose(many[0].image, many[1].image, atol=1e-2)
    (other,) = optimise(tiny, Channel("0.2", 0), quality=QUICK, seed=1)
    assert not np.allclose(other.image, alone.image, atol=1e-2)


def test_diversity_and_interpolation_read_the_whole_batch(tiny: LayerGraph) -> None:
    plain = optimise(tiny, Channel("0.2", 0), quality=QUICK, pictures=2)
    apart = optimise(tiny, Channel("0.2", 0) + 5 * Diversity("0.1"), quality=QUICK, pictures=2)
    assert np.abs(apart[0].image - apart[1].image).mean() > np.abs(plain[0].image - plain[1].image).mean()
    ends = optimise(
        tiny, Interpolated(Channel("0.2", 0), Channel("0.2", 1)), quality=QUICK, pictures=2, precision="float64"
    )
    (first,) = optimise(tiny, Channel("0.2", 0), quality=QUICK, precision="float64")
    np.testing.assert_allclose(ends[0].image, first.image, atol=1e-9)


def test_redirected_relus_wake_a_unit_that_starts_shut() -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(3, 1, 5)
    with torch.no_grad():
        conv.bias.fill_(-1.0)
    graph = trace(nn.Sequential(conv, nn.ReLU()), Card("shut", size=(13, 11)))
    (woken,) = optimise(graph, Channel("1", 0), quality=QUICK)
    (shut,) = optimise(graph, Channel("1", 0), quality=QUICK, redirected=0)
    assert woken.reached > 0
    assert not woken.dead
    assert shut.reached == 0
    assert shut.dead


def test_auto_takes_bfloat16_where_it_is_as_good(tiny: LayerGraph, monkeypatch: pytest.MonkeyPatch) -> None:
    def taken(objective: Channel, size: tuple[int, int]) -> str:
        (made,) = optimise(tiny, objective, quality=QUICK, size=size, precision="auto")
        return str(made.settings["precision"])

    monkeypatch.setattr("micrographia.optvis.optimise.bfloat16_pays", lambda device: True)
    assert taken(Channel("0.2", 0), (47, 41)) == "bfloat16"
    assert taken(Channel("0.2", 0), (29, 41)) == "float32"
    monkeypatch.setattr("micrographia.optvis.optimise.bfloat16_pays", lambda device: False)
    assert taken(Channel("0.2", 0), (47, 41)) == "float32"
    monkeypatch.setattr("micrographia.optvis.optimise.bfloat16_pays", lambda device: True)
    monkeypatch.setattr("micrographia.optvis.optimise.as_good", lambda full, half: False)
    assert taken(Channel("0.2", 0), (47, 41)) == "float32"


def test_its_record_is_plain_values(tiny: LayerGraph) -> None:
    (made,) = optimise(tiny, -Channel("0.2", 0), quality=QUICK, size=(23, 19), seed=7)
    record = json.loads(json.dumps(made.to_json()))
    assert record["settings"]["seed"] == 7
    assert record["settings"]["fingerprint"] == tiny.fingerprint
    assert record["settings"]["objective"] == "Weighted(terms=((-1.0, Channel(layer='0.2', channel=0)),))"
    assert len(record["course"]) == 12
    assert made.image.shape == (23, 19, 3)


def test_bad_input_is_one_clear_sentence(tiny: LayerGraph) -> None:
    target = Channel("0.2", 0)
    with pytest.raises(BadAddress, match=r"no layer '0\.9'"):
        optimise(tiny, Channel("0.9", 0), quality=QUICK)
    with pytest.raises(BadAddress, match="has no unit 6"):
        optimise(tiny, Channel("0.2", 6), quality=QUICK)
    with pytest.raises(BadValue, match="reads no layer"):
        optimise(tiny, -TotalVariation(), quality=QUICK)
    with pytest.raises(BadValue, match=r"cannot get from a picture of 5 x 5 px to 0\.2 .*own size is 31 x 29"):
        optimise(tiny, target, quality=QUICK, size=(5, 5))
    with pytest.raises(BadValue, match="0 x 5 px is none"):
        optimise(tiny, target, quality=QUICK, size=(0, 5))
    with pytest.raises(BadValue, match="0 pictures"):
        optimise(tiny, target, pictures=0)
    huge = nn.Conv2d(3, 2, 3)
    nn.init.constant_(huge.weight, 3e38)
    graph = trace(nn.Sequential(huge), Card("huge", size=(13, 11)))
    with pytest.raises(BadValue, match="gives NaN or infinity"):
        optimise(graph, Channel("0", 0), quality=QUICK)


def test_a_layer_that_gradients_do_not_reach_is_refused() -> None:
    class Rounded(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.argmax(1, keepdim=True).float()

    graph = trace(Rounded(), Card("rounded", size=(13, 11)))
    with pytest.raises(BadValue, match="Gradients do not reach"):
        optimise(graph, Channel(list(graph.layers)[-1], 0), quality=QUICK)
