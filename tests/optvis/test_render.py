"""render: known optima, the same picture in any batch, nothing left on the model, one clear sentence for bad input."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest
import torch
from torch import nn

from micrographia.errors import BadAddress, BadValue
from micrographia.model.card import Card, normalise
from micrographia.model.graph import LayerGraph
from micrographia.model.trace import trace
from micrographia.optvis.batches import on_threads
from micrographia.optvis.network import network, place
from micrographia.optvis.parametrise import Fourier
from micrographia.optvis.quality import Quality
from micrographia.optvis.render import Rendered, render, unit_seed
from micrographia.optvis.transform import Warp
from micrographia.unit import Unit

from .conftest import SmallInception

QUICK = Quality("quick", steps=6, rate=0.2, settle=3, share=4 / 7)


def linear(kernel: torch.Tensor) -> LayerGraph:
    conv = nn.Conv2d(3, len(kernel), kernel.shape[-1], bias=False)
    conv.weight.data = kernel
    return trace(nn.Sequential(conv), Card("linear", size=(23, 19), mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)))


def test_on_a_linear_network_the_optimum_is_the_kernel() -> None:
    torch.manual_seed(0)
    smooth = nn.functional.interpolate(torch.randn(4, 3, 4, 4), size=(11, 11), mode="bicubic")
    kernel = smooth - smooth.mean((2, 3), keepdim=True)
    still = Warp(jitter=0.0, scale=0.0, rotate=0.0)
    # faint, so that squashing is nearly linear
    small_steps = Fourier(contrast=0.1)
    graph = linear(kernel)
    for made in render(
        graph,
        graph.units("0"),
        quality=Quality("x", 300, 0.05, 100, plateau=0.0),
        transform=still,
        parametrisation=small_steps,
    ):
        assert made.image.shape == (11, 11, 3)
        # the numbers before squashing, up to scale: its inverse is odd around mid-grey
        centred = (made.image.transpose(2, 0, 1) - 0.5) * 2
        picture = centred / np.sqrt(1 - centred**2)
        correlation = np.corrcoef(picture.ravel(), kernel[made.unit.channel].numpy().ravel())[0, 1]
        assert correlation >= 0.99
        assert made.reached == pytest.approx(
            float((torch.from_numpy(made.image.transpose(2, 0, 1)) * kernel[made.unit.channel]).sum()), rel=1e-4
        )


LONG = pytest.mark.long


@pytest.mark.parametrize(
    ("address", "objective", "precision"),
    [
        ("conv2d2:0-8", "neuron", "float32"),
        *[
            pytest.param(address, objective, precision, marks=LONG)
            for address in ("concat:8-15,30-35,44-47", "conv2d2:0-8")
            for objective in ("neuron", "channel")
            for precision in ("float32", "bfloat16")
        ],
    ],
)
def test_a_picture_does_not_depend_on_batch_order_or_company(
    small: LayerGraph, address: str, objective: str, precision: str
) -> None:
    units = small.units(address)
    options = {"quality": QUICK, "objective": objective, "precision": precision}
    together = list(render(small, units, **options))
    assert [made.unit for made in together] == units
    backwards = {made.unit: made for made in render(small, units[::-1], **options)}
    for made in together:
        assert np.array_equal(made.image, backwards[made.unit].image)
        assert made.reached == backwards[made.unit].reached
    for made in together[::7]:
        (alone,) = render(small, [made.unit], **options)
        assert np.array_equal(made.image, alone.image)
        assert made.numbers == alone.numbers


@pytest.mark.parametrize("address", ["conv2d0:0-36", "conv2d2:0-16"])
def test_a_picture_does_not_depend_on_the_number_of_threads(small: LayerGraph, address: str) -> None:
    units = small.units(address.split(":")[0])[: int(address.split("-")[1])]
    made = []
    for threads in (1, 2, 3):
        with on_threads(threads):
            made.append([*render(small, units, quality=QUICK), *render(small, units[-1:], quality=QUICK)])
    for others in made[1:]:
        for one, other in zip(made[0], others, strict=True):
            assert np.array_equal(one.image, other.image)
            assert one.reached == other.reached


def test_logits_do_not_depend_on_their_company(small: LayerGraph) -> None:
    units = small.units("head:0-4")
    together = list(render(small, units, quality=QUICK))
    (alone,) = render(small, units[3:4], quality=QUICK)
    assert np.array_equal(together[3].image, alone.image)
    assert alone.image.shape == (88, 88, 3)


@pytest.mark.parametrize("address", ["concat:5", "concat:35", "conv2d0:3", "late:2"])
def test_what_is_reached_is_what_the_whole_network_gives(small: LayerGraph, address: str) -> None:
    (made,) = render(small, small.units(address), quality=Quality("quick", steps=6, rate=0.2, settle=3))
    layer = small.layer(made.unit.layer)
    row, column = layer.shape[1] // 2, layer.shape[2] // 2
    where = place(small, made.unit, "neuron")
    box = network(small, where, torch.float32, torch.device("cpu")).box
    canvas = torch.full((1, 3, 88, 88), 0.5)
    canvas[0, :, box.top : box.bottom + 1, box.left : box.right + 1] = torch.from_numpy(made.image.transpose(2, 0, 1))
    value = small.upto(layer.name)(normalise(canvas, small.card))[layer.name][0, made.unit.channel, row, column]
    assert made.reached == pytest.approx(float(value), rel=1e-4)


def test_a_picture_climbs(small: LayerGraph) -> None:
    for made in render(small, small.units("concat:0-7"), quality="thumbnail"):
        assert not made.dead
        assert made.reached > 1.5 * max(made.numbers["flat"], 0)
        assert 0 <= made.image.min() < made.image.max() <= 1


def test_a_dead_unit_is_reported_dead() -> None:
    conv = nn.Conv2d(3, 2, 5)
    with torch.no_grad():
        conv.bias[1] = -1000
    graph = trace(nn.Sequential(conv, nn.ReLU()), Card("dead", size=(13, 11)))
    alive, dead = render(graph, graph.units("1"), quality="thumbnail")
    assert not alive.dead
    assert dead.dead
    assert dead.reached == 0
    assert (dead.image == 0.5).all()


def test_a_unit_that_nothing_reaches_is_dead() -> None:
    conv = nn.Conv2d(3, 2, 5)
    with torch.no_grad():
        conv.weight[1] = 0
    graph = trace(nn.Sequential(conv), Card("cut off", size=(13, 11)))
    assert [made.dead for made in render(graph, graph.units("0"), quality="thumbnail")] == [False, True]


def test_seeds_give_other_pictures_and_the_same_ones_again(small: LayerGraph) -> None:
    unit = small.units("conv2d2:3")
    first, again, other = (next(iter(render(small, unit, quality=QUICK, seed=s))) for s in (1, 1, 2))
    assert np.array_equal(first.image, again.image)
    assert not np.array_equal(first.image, other.image)
    assert unit_seed(0, "a", Unit("a", 1)) != unit_seed(0, "a", Unit("a", 11))


def test_nothing_is_left_on_the_model() -> None:
    model = SmallInception()
    model.train()
    before = copy.deepcopy(model.state_dict())
    graph = trace(model, Card("small-inception", size=(88, 88)))
    code = graph.module.code
    list(render(graph, graph.units("concat:3,35"), quality=QUICK, precision="bfloat16"))
    assert model.training
    assert graph.module.code == code
    for name, parameter in model.named_parameters():
        assert parameter.grad is None, name
        assert parameter.requires_grad, name
    for module in (*model.modules(), *graph.module.modules()):
        assert not module._forward_hooks
        assert not module._backward_hooks
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])
        assert value.dtype == before[name].dtype


def test_a_neurons_picture_is_what_it_sees(small: LayerGraph) -> None:
    sizes = {"conv2d0:1": 7, "conv2d2:1": 19, "concat:1": 27, "concat:12": 43, "concat:35": 50, "late:1": 50}
    for address, size in sizes.items():
        (made,) = render(small, small.units(address), quality=QUICK)
        assert made.image.shape == (size, size, 3)
        assert made.image.dtype == np.float32


def test_a_position_at_the_corner_sees_less(small: LayerGraph) -> None:
    (made,) = render(small, [Unit("concat", 35, (0, 10))], quality=QUICK)
    assert made.image.shape[0] < 59


def test_greyscale_networks_have_greyscale_pictures() -> None:
    card = Card("grey", size=(17, 13), channels=1, mean=(0.5,), std=(0.25,))
    graph = trace(nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3)), card)
    assert {made.image.shape for made in render(graph, graph.units("2"), quality=QUICK)} == {(5, 5, 1)}


def test_records_are_plain_values(small: LayerGraph) -> None:
    made: Rendered
    (made,) = render(small, small.units("conv2d0:1"), quality=QUICK)
    record = json.loads(json.dumps(made.to_json()))
    assert record["unit"] == "conv2d0:1"
    assert record["settings"]["fingerprint"] == small.fingerprint
    assert record["steps"] == 6
    assert record["settings"]["quality"]["steps"] == 6


def test_progress_is_told(small: LayerGraph) -> None:
    told: list[tuple[int, int]] = []
    units = small.units("conv2d0:0-4")
    list(render(small, units, quality=QUICK, batch=2, progress=lambda done, total: told.append((done, total))))
    assert told == [(2, 5), (4, 5), (5, 5)]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"quality": "great"}, "There is no quality 'great'"),
        ({"objective": "layer"}, "There is no objective 'layer'"),
        ({"device": "warp9"}, "There is no device 'warp9' here. Use one of: cpu"),
        ({"precision": "float8"}, "There is no precision 'float8'"),
        ({"batch": 0}, "A batch of 0 holds no picture"),
    ],
)
def test_bad_settings_are_one_clear_sentence(small: LayerGraph, change: dict, sentence: str) -> None:
    with pytest.raises(BadValue, match=sentence):
        list(render(small, small.units("conv2d0:1"), **{"quality": QUICK, **change}))


def test_unknown_units_are_refused_before_anything_runs(small: LayerGraph) -> None:
    with pytest.raises(BadAddress, match="has no unit 16"):
        render(small, [Unit("conv2d0", 16)])
    with pytest.raises(BadAddress, match="There is no layer 'conv2d9'"):
        render(small, [Unit("conv2d9", 0)])
    with pytest.raises(BadValue, match="has no cell 44,0"):
        render(small, [Unit("conv2d0", 0, (44, 0))])


def test_overflow_is_reported() -> None:
    conv = nn.Conv2d(3, 2, 3)
    with torch.no_grad():
        conv.weight.fill_(3e38)
    graph = trace(nn.Sequential(conv), Card("huge", size=(13, 11)))
    with pytest.raises(BadValue, match="0:0 gives NaN or infinity on its own picture"):
        list(render(graph, graph.units("0"), quality=QUICK))


def test_a_layer_that_gradients_do_not_reach_is_refused() -> None:
    class Rounded(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.argmax(1, keepdim=True).float()

    graph = trace(Rounded(), Card("rounded", size=(13, 11)))
    with pytest.raises(BadValue, match="Gradients do not reach"):
        list(render(graph, [Unit(list(graph.layers)[-1], 0)], quality=QUICK))
