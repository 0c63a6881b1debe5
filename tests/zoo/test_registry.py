"""Networks by name: which there are, where their weights come from, and what their cards say."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from micrographia.errors import BadModel, BadWeights
from micrographia.model.trace import fingerprint
from micrographia.zoo import bundled, registry
from micrographia.zoo.published import PUBLISHED
from micrographia.zoo.registry import load, models
from micrographia.zoo.weights import save_bundled

NAMES = [
    "mini-alexnet", "mini-inception", "mini-vgg", "mini-resnetv2", "inceptionv1", "inceptionv1-bvlc",
    "inceptionv1-places365", "alexnet", "vgg19", "resnetv2-50",
]  # fmt: skip


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    folder.mkdir()
    monkeypatch.setenv("MICROGRAPHIA_HOME", str(folder))
    monkeypatch.setattr("micrographia.zoo.cache._stream", refuse)
    return folder


def refuse(*_: object) -> str:
    raise OSError("no network in tests")


def test_models_lists_all_names() -> None:
    entries = {entry.name: entry for entry in models()}
    assert list(entries) == NAMES
    assert entries["vgg19"].parameters == 143_667_240
    assert entries["alexnet"].size == (227, 227)
    assert "downloaded on first use from https://" in entries["inceptionv1"].weights
    assert "to be fetched by hand from http://" in entries["inceptionv1-places365"].weights
    assert all(entry.licence and entry.description for entry in entries.values())
    json.dumps([asdict(entry) for entry in entries.values()])


def test_models_says_what_is_in_the_cache(home: Path) -> None:
    (home / "bvlc_alexnet.caffemodel").touch()
    entry = next(entry for entry in models() if entry.name == "alexnet")
    assert entry.at_hand
    assert entry.weights == f"in the cache: {home / 'bvlc_alexnet.caffemodel'}"


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("vgg19", "alexnet")])
def test_random_weights(name: str) -> None:
    before = torch.get_rng_state()
    (model, card), (again, _), (other, _) = load(name, "random", 3), load(name, "random", 3), load(name, "random", 4)
    assert torch.equal(before, torch.get_rng_state())
    assert not any(module.training for module in model.modules())
    assert card.source == "random weights, seed 3"
    assert card.labels == ()
    assert card.sha256 == fingerprint(model) == fingerprint(again) != fingerprint(other)


def test_random_weights_keep_the_scale_of_what_passes() -> None:
    model, _card = load("inceptionv1", "random")
    with torch.no_grad():
        values = model(torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0)) * 60)
    assert values.shape == (2, 1008)
    assert 1 < values.std() < 1000


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("inceptionv2", "There is no network 'inceptionv2'. Near it: inceptionv1"),
        ("mini-incepton", "There is no network 'mini-incepton'. Near it: mini-inception"),
        ("InceptionV3", "Near it: inceptionv1"),
        ("resnet", "also torchvision:NAME, timm:NAME and path/to/file.py:factory."),
        ("", "There is no network ''."),
        ("mine.py", "'mine.py' names a file, but no function in it. Write mine.py:factory."),
    ],
)
def test_an_unknown_name(spec: str, says: str) -> None:
    with pytest.raises(BadModel, match=re.escape(says)):
        load(spec)


def test_weights_that_are_nowhere(home: Path) -> None:
    with pytest.raises(BadWeights) as caught:
        load("inceptionv1")
    assert str(caught.value) == (
        "The weights of inceptionv1 could not be downloaded (no network in tests). Get inception5h.zip from "
        "https://storage.googleapis.com/download.tensorflow.org/models/inception5h.zip and put it at "
        f"{home / 'inception5h.zip'}, or give it with --weights."
    )
    with pytest.raises(BadWeights, match="resnetv2-50 are not at hand: it is a TensorFlow checkpoint"):
        load("resnetv2-50")
    with pytest.raises(BadWeights, match="never published"):
        load("inceptionv1-places365")


def caffe_file(path: Path, model: nn.Module) -> None:
    """AlexNet's weights under Caffe's names."""
    np.savez(path, **{name.replace(".conv.", ".").replace(".fc.", "."): t for name, t in model.state_dict().items()})


@pytest.fixture
def small_alexnet(monkeypatch: pytest.MonkeyPatch) -> nn.Module:
    """AlexNet's first layers only, so that its file is small."""

    class Small(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv1 = PUBLISHED["mini-conv"].build()

    from dataclasses import replace

    from micrographia.zoo.parts import ConvUnit

    monkeypatch.setitem(PUBLISHED, "mini-conv", replace(PUBLISHED["alexnet"], build=lambda: ConvUnit(3, 5, 3)))
    monkeypatch.setitem(PUBLISHED, "alexnet", replace(PUBLISHED["alexnet"], build=Small))
    return load("alexnet", "random", 7)[0]


def test_the_order_in_which_weights_are_looked_for(home: Path, tmp_path: Path, small_alexnet: nn.Module) -> None:
    caffe_file(tmp_path / "given.npz", small_alexnet)
    caffe_file(home / "alexnet.npz", load("alexnet", "random", 8)[0])
    assert fingerprint(load("alexnet", tmp_path / "given.npz")[0]) == fingerprint(small_alexnet)
    assert fingerprint(load("alexnet")[0]) == fingerprint(load("alexnet", "random", 8)[0])


def test_the_card_tells_published_weights_from_others(
    home: Path, tmp_path: Path, small_alexnet: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    caffe_file(tmp_path / "given.npz", small_alexnet)
    _, card = load("alexnet", tmp_path / "given.npz")
    assert (card.source, card.licence, card.sha256) == ("given.npz", "unknown", fingerprint(small_alexnet))
    entry = PUBLISHED["alexnet"]
    monkeypatch.setitem(PUBLISHED, "alexnet", replace(entry, sha256=card.sha256))
    _, card = load("alexnet", tmp_path / "given.npz")
    assert card.source == entry.download.address
    assert card.licence == "unrestricted (BVLC)"


def test_a_downloaded_file_has_the_published_card(home: Path, small_alexnet: nn.Module) -> None:
    caffe_file(home / "x.npz", small_alexnet)
    (home / "x.npz").rename(home / PUBLISHED["alexnet"].download.file)
    assert load("alexnet")[1].source == PUBLISHED["alexnet"].download.address


def test_cards_have_a_label_for_every_class() -> None:
    for name, entry in PUBLISHED.items():
        with torch.device("meta"):
            model = entry.build()
        last = list(model.parameters())[-1]
        card = entry.card()
        assert len(card.labels) == len(last), name
        assert card.name == name
        assert card.source == entry.download.address


def test_a_user_trained_network_has_as_many_classes_as_their_pictures(tmp_path: Path) -> None:
    with torch.random.fork_rng(devices=[]):
        model = bundled.MiniVGG(3)
    from micrographia.model.card import Card

    card = Card("mini-vgg", size=(112, 112), labels=("a", "b", "c"), source="my pictures", licence="mine")
    written = save_bundled(tmp_path / "mine.safetensors", model, card)
    loaded, found = load("mini-vgg", tmp_path / "mine.safetensors")
    assert found == written
    assert loaded.head.fc.out_features == 3


def test_an_installation_without_its_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "SHIPPED", tmp_path)
    with pytest.raises(
        BadWeights, match="This installation lacks the weights of mini-vgg, .*Install micrographia again"
    ):
        load("mini-vgg")
    assert not models()[0].at_hand


def test_weights_of_another_architecture(tmp_path: Path) -> None:
    with torch.random.fork_rng(devices=[]):
        np.savez(tmp_path / "vgg.npz", **bundled.MiniVGG().state_dict())
    with pytest.raises(BadWeights, match=r"tensor 'head\.fc\.weight' is 10 x 192, the network's is 10 x 320\. Give"):
        load("mini-inception", tmp_path / "vgg.npz")
    with pytest.raises(BadWeights, match="There is no file of weights"):
        load("mini-inception", tmp_path / "none.npz")
