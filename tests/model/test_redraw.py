from __future__ import annotations

import torch

from micrographia.model.card import Card
from micrographia.model.redraw import convolutions_between, redrawn
from micrographia.model.trace import trace
from tests.networks import SIZE, Inception, seeded


def test_only_the_named_modules_have_their_weights_in_another_order() -> None:
    model = seeded(Inception)
    graph = trace(model, Card("test", size=SIZE))
    block = next(layer for layer in graph.layers.values() if layer.op == "concat")
    source = graph.layer(block.branches[0].layers[0]).parents[0]
    names = convolutions_between(graph, source, block.name)
    assert len(names) == 6
    assert not any(name.startswith("stem") for name in names)
    before = {name: value.clone() for name, value in graph.module.state_dict().items()}
    other = redrawn(graph, names, seed=3)
    for name, value in graph.module.state_dict().items():
        assert torch.equal(value, before[name])
        new = other.module.state_dict()[name]
        if name.rpartition(".")[0] in names and name.endswith("weight"):
            assert torch.equal(new.flatten().sort().values, value.flatten().sort().values)
            assert not torch.equal(new, value)
        else:
            assert torch.equal(new, value)
    assert other.fingerprint != graph.fingerprint
    again = redrawn(graph, names, seed=3)
    assert all(torch.equal(a, b) for a, b in zip(other.module.parameters(), again.module.parameters(), strict=True))
