"""The four networks that are shipped: small, read as they were written, and as good as their cards say."""

from __future__ import annotations

from pathlib import Path

import pytest

from micrographia.images.source import open_source
from micrographia.model.trace import fingerprint
from micrographia.zoo.accuracy import accuracy
from micrographia.zoo.registry import BUNDLED, SHIPPED, load
from micrographia.zoo.weights import read_card

# what new weights must not fall below
LEAST = {"mini-alexnet": 0.86, "mini-inception": 0.90, "mini-vgg": 0.90, "mini-resnetv2": 0.90}


def file(name: str) -> Path:
    path = SHIPPED / f"{name}.safetensors"
    if not path.is_file():
        pytest.skip(f"{path.name} is not trained yet")
    return path


def test_sizes() -> None:
    sizes = {path.name: path.stat().st_size for path in SHIPPED.glob("*.safetensors")}
    assert all(size <= 3_000_000 for size in sizes.values()), sizes
    assert sum(sizes.values()) <= 10_000_000


@pytest.mark.parametrize("name", BUNDLED)
def test_the_card_is_complete_and_true(name: str) -> None:
    path = file(name)
    model, card = load(name)
    assert card == read_card(path)
    assert card.name == name
    assert card.sha256 == fingerprint(model)
    assert card.licence == "Apache-2.0"
    assert len(card.labels) == model.head.fc.out_features
    assert {"accuracy", "epochs", "seed", "date"} <= card.training.keys()
    assert LEAST[name] <= card.training["accuracy"] <= 1


@pytest.mark.parametrize("name", BUNDLED)
def test_some_pictures(name: str, shared: Path) -> None:
    file(name)
    source = open_source(shared / "data" / "imagenette128_val.zip")
    model, card = load(name)
    # every 53rd picture: 75 of all classes; three standard deviations of what so few can give
    share = accuracy(model, card, source, indices=range(0, len(source), 53), top=(1,))[1]
    assert share > card.training["accuracy"] - 0.1


@pytest.mark.long
@pytest.mark.parametrize("name", BUNDLED)
def test_all_pictures(name: str, shared: Path) -> None:
    file(name)
    source = open_source(shared / "data" / "imagenette128_val.zip")
    model, card = load(name)
    assert len(source) == 3925
    assert abs(accuracy(model, card, source, top=(1,))[1] - card.training["accuracy"]) <= 0.003
