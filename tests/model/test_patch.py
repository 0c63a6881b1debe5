from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from micrographia.errors import BadAddress, BadValue
from micrographia.model.capture import capture
from micrographia.model.card import Card
from micrographia.model.edit import Ablate, Edit, Implant, Replace, Scale, convolution
from micrographia.model.graph import LayerGraph
from micrographia.model.patch import patched, run
from micrographia.model.trace import trace
from micrographia.unit import Unit
from tests.networks import NETWORKS, SIZE, seeded

CARD = Card("small", size=SIZE)


@pytest.fixture(scope="module")
def graph() -> LayerGraph:
    return trace(seeded(NETWORKS["inception"]), CARD)


@pytest.fixture(scope="module")
def plain() -> LayerGraph:
    return trace(seeded(NETWORKS["plain"]), CARD)


def pictures(count: int = 5, seed: int = 1) -> Tensor:
    return torch.randn(count, 3, *SIZE, generator=torch.Generator().manual_seed(seed)).double()


class Replica(fx.Interpreter):
    """Runs the whole graph node by node; `changes` maps a layer to what is done to its value, cell by cell."""

    def layers(
        self, graph: LayerGraph, x: Tensor, changes: dict[str, Callable[[Tensor, dict[str, Tensor]], Tensor]]
    ) -> dict[str, Tensor]:
        self.args_iter = iter([x])
        layer_of = {graph.node_of[name]: name for name in graph.layers}
        values: dict[str, Tensor] = {}
        for node in self.graph.nodes:
            value = self.run_node(node)
            if (layer := layer_of.get(node.name)) is not None:
                value = changes[layer](value.clone(), values) if layer in changes else value
                values[layer] = value
            self.env[node] = value
        return values


def replica(graph: LayerGraph, x: Tensor, **changes: Callable[..., Tensor]) -> dict[str, Tensor]:
    with torch.no_grad():
        return Replica(graph.module).layers(graph, x, changes)


def same(got: dict[str, Tensor], expected: dict[str, Tensor], exact: bool = True) -> None:
    for layer, value in got.items():
        close = torch.equal if exact else torch.allclose
        assert close(value, expected[layer]), layer


LAYERS = ["five", "concat"]


def test_without_edits_it_is_capture(graph: LayerGraph) -> None:
    same(run(graph, pictures(), [], LAYERS, prepared=True), capture(graph, pictures(), LAYERS, prepared=True))
    images = torch.rand(3, 3, *SIZE)
    same(run(graph, images, [], LAYERS), capture(graph, images, LAYERS))


def test_ablating_to_zero(graph: LayerGraph) -> None:
    def change(value: Tensor, _: dict[str, Tensor]) -> Tensor:
        for picture in range(len(value)):
            for unit in (1, 2, 5):
                value[picture, unit] = 0
        return value

    got = run(graph, pictures(), [Ablate(["stem:1-2", Unit("stem", 5)])], ["stem", *LAYERS], prepared=True)
    same(got, replica(graph, pictures(), stem=change))
    assert (got["stem"][:, 5] == 0).all()
    assert not torch.equal(got["concat"], capture(graph, pictures(), "concat", prepared=True)["concat"])


def test_ablating_positions_only(graph: LayerGraph) -> None:
    def change(value: Tensor, _: dict[str, Tensor]) -> Tensor:
        value[:, 3, 4, 7] = 0
        value[:, 3, 11, 0] = 0
        value[:, 6] = 0
        return value

    edits = [Ablate(["stem:3@4,7", "stem:6", Unit("stem", 3, (11, 0))])]
    same(run(graph, pictures(), edits, ["stem", "concat"], prepared=True), replica(graph, pictures(), stem=change))


def test_ablating_to_the_mean(graph: LayerGraph) -> None:
    others = capture(graph, pictures(7, seed=2), ["stem", "five.0"], prepared=True)

    def change(layer: str, units: list[int]) -> Callable[[Tensor, dict[str, Tensor]], Tensor]:
        def changed(value: Tensor, _: dict[str, Tensor]) -> Tensor:
            for unit in units:
                value[:, unit] = sum(others[layer][:, unit].flatten().tolist()) / others[layer][:, unit].numel()
            return value

        return changed

    got = run(graph, pictures(), [Ablate(["stem:0-1", "five.0"], "mean", others)], LAYERS, prepared=True)
    changes = {"stem": change("stem", [0, 1]), "five.0": change("five.0", [0, 1])}
    same(got, replica(graph, pictures(), **changes), exact=False)


def test_resampling_takes_whole_maps_of_one_picture(graph: LayerGraph) -> None:
    others = capture(graph, pictures(7, seed=2), "stem", prepared=True)
    edit = Ablate("stem:2-5", "resample", others, seed=3)
    got = run(graph, pictures(11), [edit], "stem", prepared=True)["stem"]
    was = capture(graph, pictures(11), "stem", prepared=True)["stem"]
    drawn = []
    for picture in range(11):
        matches = [i for i in range(7) if torch.equal(got[picture, 2:6], others["stem"][i, 2:6])]
        assert len(matches) == 1
        drawn += matches
    assert len(set(drawn)) > 2
    assert torch.equal(got[:, :2], was[:, :2])
    assert torch.equal(got[:, 6], was[:, 6])
    again = run(graph, pictures(11), [Ablate("stem:2-5", "resample", others, seed=4)], "stem", prepared=True)["stem"]
    assert not torch.equal(got, again)


def test_shuffling_keeps_the_values_and_moves_the_places(graph: LayerGraph) -> None:
    edit = Ablate("stem:2,4", "shuffle", seed=1)
    got = run(graph, pictures(), [edit], "stem", prepared=True)["stem"]
    was = capture(graph, pictures(), "stem", prepared=True)["stem"]
    for picture in range(5):
        order = np.random.default_rng([1, picture]).permutation(12 * 10)
        for unit in range(7):
            expected = was[picture, unit].flatten()[order].reshape(12, 10) if unit in (2, 4) else was[picture, unit]
            assert torch.equal(got[picture, unit], expected)


@pytest.mark.parametrize("to", ["resample", "shuffle", "mean", "zero"])
def test_the_batch_size_changes_nothing(graph: LayerGraph, to: str) -> None:
    others = {} if to in ("zero", "shuffle") else capture(graph, pictures(3, 2), "stem", prepared=True)
    edits = [Ablate("stem:1-3", to, others), Replace("three", torch.randn(5, 7, 12, 10).double())]
    whole = run(graph, pictures(), edits, LAYERS, prepared=True)
    for batch in (1, 2, 3):
        same(run(graph, pictures(), edits, LAYERS, batch, prepared=True), whole, exact=False)


def test_replacing_in_every_form(graph: LayerGraph) -> None:
    per_unit, maps = torch.tensor([3.0, -2.0]), torch.randn(2, 12, 10).double()
    per_picture = torch.randn(5, 2, 12, 10).double()
    for values in (0.5, per_unit, maps, per_picture):

        def change(value: Tensor, _: dict[str, Tensor], values: float | Tensor = values) -> Tensor:
            for place, unit in enumerate((4, 1)):
                if isinstance(values, float):
                    value[:, unit] = values
                elif values.ndim < 4:
                    value[:, unit] = values[place]
                else:
                    value[:, unit] = values[:, place]
            return value

        got = run(graph, pictures(), [Replace(["stem:4", "stem:1"], values)], ["stem", "concat"], prepared=True)
        same(got, replica(graph, pictures(), stem=change))


def test_replacing_one_position_takes_the_map_there(graph: LayerGraph) -> None:
    maps = torch.randn(2, 12, 10).double()

    def change(value: Tensor, _: dict[str, Tensor]) -> Tensor:
        value[:, 4, 2, 3] = maps[0, 2, 3]
        value[:, 4, 5, 6] = maps[1, 5, 6]
        return value

    got = run(graph, pictures(), [Replace(["stem:4@2,3", "stem:4@5,6"], maps)], ["stem"], prepared=True)
    same(got, replica(graph, pictures(), stem=change))


def test_units_without_maps(plain: LayerGraph) -> None:
    def change(value: Tensor, _: dict[str, Tensor]) -> Tensor:
        value[:, 3] = 7
        value[:, 5] *= 2
        return value

    edits = [Replace("flatten:3", torch.tensor([7.0])), Scale("flatten:5", 2.0)]
    got = run(plain, pictures(), edits, "classifier", prepared=True)
    same(got, replica(plain, pictures(), flatten=change))
    with pytest.raises(BadValue, match="have no places to shuffle"):
        run(plain, pictures(), [Ablate("flatten:3", "shuffle")], "classifier")
    with pytest.raises(BadAddress, match=r"flatten has no cell 0,0\. Its maps are 1 cells"):
        run(plain, pictures(), [Ablate("flatten:3@0,0")], "classifier")


def test_edits_are_made_in_their_order(graph: LayerGraph) -> None:
    one = run(graph, pictures(), [Replace("stem:2", 1.0), Scale("stem:2", 3.0)], "stem", prepared=True)["stem"]
    two = run(graph, pictures(), [Scale("stem:2", 3.0), Replace("stem:2", 1.0)], "stem", prepared=True)["stem"]
    assert (one[:, 2] == 3).all()
    assert (two[:, 2] == 1).all()
    # between layers their order is the network's
    first = [Ablate("stem:2"), Scale("three:1", torch.tensor([2.0]))]
    same(
        run(graph, pictures(), first, "concat", prepared=True),
        run(graph, pictures(), first[::-1], "concat", prepared=True),
    )


def test_editing_a_concat_leaves_its_branches_and_a_branch_shows_in_it(graph: LayerGraph) -> None:
    was = capture(graph, pictures(), LAYERS, prepared=True)
    got = run(graph, pictures(), [Ablate("concat:12-14")], LAYERS, prepared=True)
    assert torch.equal(got["five"], was["five"])
    assert (got["concat"][:, 12:15] == 0).all()
    got = run(graph, pictures(), [Ablate("five.1")], LAYERS, prepared=True)
    assert (got["concat"][:, 12:15] == 0).all()
    assert torch.equal(got["concat"][:, :12], was["concat"][:, :12])


def test_keeping_everything_equals_the_network(graph: LayerGraph) -> None:
    values = capture(graph, pictures(), ["stem", "three", "concat"], prepared=True)
    edits = [Replace(layer, value) for layer, value in values.items()]
    same(run(graph, pictures(), edits, "concat", prepared=True), values)


# --- implants


def test_an_implant_of_the_layers_own_kernels_changes_nothing(graph: LayerGraph) -> None:
    net = seeded(NETWORKS["inception"])
    conv, norm = net.three[1].conv, net.three[1].bn
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    kernels, bias = conv.weight * scale[:, None, None, None], norm.bias - norm.running_mean * scale
    units = [5, 0, 3]
    own = convolution(graph.layer("three"), kernels[units].detach(), bias[units].detach())
    got = run(graph, pictures(), [Implant([f"three:{u}" for u in units], own)], "concat", prepared=True)
    same(got, capture(graph, pictures(), "concat", prepared=True), exact=False)
    assert own.training  # as it was made


@pytest.mark.parametrize(("size", "own"), [((5, 5), (3, 3)), ((1, 3), (3, 3)), ((3, 3), (3, 3)), ((1, 1), (3, 3))])
def test_kernels_of_another_size_lie_around_the_same_middle(
    graph: LayerGraph, size: tuple[int, int], own: tuple[int, int]
) -> None:
    layer = graph.layer("three")
    assert layer.window.kernel == own
    kernels = torch.randn(2, 3, *size, dtype=torch.float64)
    widest = F.pad(kernels, [each for side in ((5 - size[1]) // 2, (5 - size[0]) // 2) for each in (side, side)])
    below = capture(graph, pictures(), "three.0", prepared=True)["three.0"]
    edit = Implant("three:1-2", convolution(layer, kernels, None, False))
    got = run(graph, pictures(), [edit], "three", prepared=True)
    assert torch.allclose(got["three"][:, 1:3], F.conv2d(below, widest, padding=2))


def test_an_implant_reads_any_layer_before_as_edited(graph: LayerGraph) -> None:
    def change(value: Tensor, values: dict[str, Tensor]) -> Tensor:
        value[:, 2] = values["stem"][:, 1] + values["input"].mean((1, 2, 3))[:, None, None]
        return value

    def zero(value: Tensor, _: dict[str, Tensor]) -> Tensor:
        value[:, 1] = 4
        return value

    def function(stem: Tensor, picture: Tensor) -> Tensor:
        return stem[:, 1:2] + picture.mean((1, 2, 3), keepdim=True)

    edits = [Implant("one:2", function, ("stem", "input")), Replace("stem:1", 4.0)]
    got = run(graph, pictures(), edits, ["one", "concat"], prepared=True)
    same(got, replica(graph, pictures(), one=change, stem=zero))


def test_an_implanted_module_stays_as_it_is(graph: LayerGraph) -> None:
    module = nn.Sequential(nn.Conv2d(7, 2, 1), nn.BatchNorm2d(2), nn.Dropout()).double()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    one = run(graph, pictures(), [Implant("one:0-1", module)], "one", prepared=True)["one"]
    assert torch.equal(one, run(graph, pictures(), [Implant("one:0-1", module)], "one", prepared=True)["one"])
    assert module.training
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


def test_gradients_go_through(graph: LayerGraph) -> None:
    x = pictures().requires_grad_()
    factor = torch.ones(7, dtype=torch.float64, requires_grad=True)
    value = patched(graph, [Scale("stem", factor)], "concat")(x, torch.arange(5))["concat"]
    value.sum().backward()
    assert factor.grad.abs().min() > 0
    assert x.grad.abs().max() > 0
    assert all(parameter.grad is None for parameter in graph.module.parameters())


def test_the_graph_stays_as_it_is(graph: LayerGraph) -> None:
    code, before = graph.module.code, capture(graph, pictures(), "concat", prepared=True)
    run(graph, pictures(), [Ablate("stem"), Scale("concat:3", 9.0)], "concat", prepared=True)
    assert graph.module.code == code
    same(capture(graph, pictures(), "concat", prepared=True), before)


def test_an_edit_of_ones_own(graph: LayerGraph) -> None:
    @dataclass(frozen=True)
    class Clamp:
        units: str
        most: float

        def __call__(self, old: Tensor, rows: Tensor, reference: Tensor | None, *inputs: Tensor) -> Tensor:
            return old.clamp(max=self.most)

    got = run(graph, pictures(), [Clamp("stem:1", 0.25)], "stem", prepared=True)["stem"]
    assert got[:, 1].max() == 0.25
    assert got[:, 2].max() > 0.25


# --- errors


@pytest.mark.parametrize(
    ("edit", "error", "message"),
    [
        (lambda: Ablate("stem:7"), BadAddress, "stem has no unit 7. Its 7 units"),
        (lambda: Ablate("stam:1"), BadAddress, "There is no layer 'stam'. Near it: stem"),
        (lambda: Ablate(Unit("stem", 9, (1, 1))), BadAddress, "stem has no unit 9"),
        (lambda: Ablate("stem:1@12,0"), BadAddress, "stem has no cell 12,0. Its maps are 12 x 10 cells"),
        (lambda: Ablate([]), BadAddress, "names no units"),
        (lambda: Ablate("stem:1", "one"), BadValue, "cannot be ablated to 'one'. Choose zero, mean, resample"),
        (lambda: Ablate("stem:1", "mean"), BadValue, "Ablating by mean needs activations"),
        (lambda: Ablate("stem", "mean", {"one": torch.rand(2, 5, 3, 3)}), BadValue, "no activations of all units"),
        (lambda: Ablate("stem", "resample", {"stem": torch.rand(2, 7, 3, 3)}), BadValue, "the shape (5, 7, 3, 3)"),
        (lambda: Replace("stem:1-2", torch.rand(3)), BadValue, "There are 3 numbers for 2 units"),
        (lambda: Replace("stem:1-2", torch.rand(2, 3, 3)), BadValue, "They have to fit into (5, 2, 12, 10): picture"),
        (lambda: Replace("stem:1", torch.rand(2, 1, 12, 10)), BadValue, "values for 2 pictures, but more pictures"),
        (lambda: Scale("stem", torch.rand(5)), BadValue, "There are 5 numbers for 7 units"),
        (lambda: Replace(["stem", "one"], torch.rand(3)), BadValue, "cannot take values for stem and one"),
        (lambda: Implant("one:1", lambda x: x), BadValue, "1 units of one have the shape (5, 7, 12, 10)"),
        (lambda: Implant("one:1", lambda x: x, ("concat",)), BadValue, "An implant in one cannot read concat"),
        (lambda: Implant("one:1", lambda x: x, ("one",)), BadValue, "An implant in one cannot read one"),
        (lambda: Ablate("concat:1"), BadValue, "The edit of concat has no effect on five"),
    ],
)  # fmt: skip
def test_edits_that_cannot_be_made(
    graph: LayerGraph, edit: Callable[[], Edit], error: type[Exception], message: str
) -> None:
    layer = "five" if "no effect" in message else "concat"
    with pytest.raises(error, match=re.escape(message)):
        run(graph, pictures(), [edit()], layer, prepared=True)


def test_convolutions_that_cannot_stand_in(graph: LayerGraph, plain: LayerGraph) -> None:
    with pytest.raises(BadValue, match=r"concat is no convolution but a concat"):
        convolution(graph.layer("concat"), torch.zeros(1, 7, 1, 1))
    with pytest.raises(BadValue, match=r"Kernels of 2 x 2 cannot lie around the middle of three's, which are 3 x 3"):
        convolution(graph.layer("three"), torch.zeros(1, 3, 2, 2))
    with pytest.raises(BadValue, match=r"Kernels of 1 x 1 cannot lie around the middle of features's"):
        convolution(plain.layer("features"), torch.zeros(1, 7, 1, 1))


def test_pictures_that_do_not_fit(graph: LayerGraph) -> None:
    with pytest.raises(BadValue, match="Give batch x 3 x height x width"):
        run(graph, torch.rand(3, *SIZE), [], "concat")
    with pytest.raises(BadValue, match="no pictures"):
        run(graph, torch.rand(0, 3, *SIZE), [], "concat")
