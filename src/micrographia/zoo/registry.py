"""Networks by name: `load` for one of them, ready to run, and `models` for the list."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from micrographia.errors import BadModel, BadWeights, suggest
from micrographia.model.card import Card
from micrographia.model.trace import fingerprint
from micrographia.zoo import adapters, bundled, cache
from micrographia.zoo.published import PUBLISHED, Published
from micrographia.zoo.weights import fit, read, read_card

SHIPPED = Path(__file__).parent / "weights"

BUNDLED: dict[str, tuple[Callable[..., nn.Module], str]] = {
    "mini-alexnet": (bundled.MiniAlexNet, "AlexNet's plan at 112 px, two groups in its first two layers"),
    "mini-inception": (bundled.MiniInception, "InceptionV1's stem and first three blocks at 112 px"),
    "mini-vgg": (bundled.MiniVGG, "VGG's plan at 112 px, four scales"),
    "mini-resnetv2": (bundled.MiniResNetV2, "ResNetV2's plan at 112 px, three stages"),
}


@dataclass(frozen=True)
class Entry:
    """A network known by name; `weights` says where its weights are or come from, `size` is (height, width) in px."""

    name: str
    description: str
    licence: str
    at_hand: bool
    weights: str
    size: tuple[int, int]
    parameters: int


def load(spec: str, weights: Path | str | None = None, seed: int = 0) -> tuple[nn.Module, Card]:
    """A network by name with the card of its weights, in evaluation mode; one of your own file as the file made it.

    `spec` is a name of `models()`, `torchvision:NAME`, `timm:NAME`, or `path/to/file.py:factory`. The weights are those
    of the file `weights`; without one those that are shipped, or in the cache, or downloaded. With weights="random"
    they are drawn from `seed`, as nulls and tests want them, and no file is read. The card says where the weights are
    from and carries their checksum. Raises BadModel and BadWeights.

    >>> model, card = load("mini-inception", weights="random", seed=3)
    >>> card.source
    'random weights, seed 3'
    """
    random = str(weights) == "random"
    file = None if weights is None or random else Path(weights).expanduser()
    kind, _, name = spec.partition(":")
    if kind == "torchvision":
        model, card = adapters.from_torchvision(name, file, random, seed)
    elif kind == "timm":
        model, card = adapters.from_timm(name, file, random, seed)
    elif ".py:" in spec:
        path, _, factory = spec.rpartition(":")
        model, card = adapters.from_file(Path(path).expanduser(), factory, file, seed)
    elif spec in BUNDLED:
        model, card = _bundled(spec, file, random, seed)
    elif spec in PUBLISHED:
        model, card = _published(spec, file, random, seed)
    elif spec.endswith(".py"):
        raise BadModel(f"'{spec}' names a file, but no function in it. Write {spec}:factory.")
    else:
        raise BadModel(
            f"There is no network '{spec}'. Near it: {suggest(spec, [*BUNDLED, *PUBLISHED])}; also torchvision:NAME, "
            "timm:NAME and path/to/file.py:factory."
        )
    if random:
        card = replace(card, labels=(), licence="none needed", source=f"random weights, seed {seed}", training={})
    if ".py:" not in spec:
        model.eval()
    return model, replace(card, sha256=fingerprint(model))


def models() -> list[Entry]:
    """The networks that `load` knows by name.

    >>> [entry.name for entry in models()][:2]
    ['mini-alexnet', 'mini-inception']
    """
    return [_bundled_entry(name) for name in BUNDLED] + [_published_entry(name) for name in PUBLISHED]


def _bundled(name: str, file: Path | None, random: bool, seed: int) -> tuple[nn.Module, Card]:
    shipped = SHIPPED / f"{name}.safetensors"
    build, _ = BUNDLED[name]
    plain = Card(name, size=(112, 112), resize=128)
    if random:
        return _drawn(build, seed), replace(read_card(shipped) or plain, name=name)
    path = file or shipped
    if file is None and not shipped.is_file():
        raise BadWeights(
            f"This installation lacks the weights of {name}, {shipped}. Install micrographia again, or give a file "
            "with --weights."
        )
    tensors = read(path)
    last = tensors.get("head.fc.weight")
    with torch.device("meta"):
        # a network that a user trained on other pictures has as many classes as they have
        model = build(10 if last is None else len(last))
    fit(model, tensors, path.name)
    return model, read_card(path) or replace(plain, source=path.name)


def _published(name: str, file: Path | None, random: bool, seed: int) -> tuple[nn.Module, Card]:
    entry = PUBLISHED[name]
    if random:
        return _drawn(entry.build, seed), entry.card()
    path = file or cache.find(name, entry.download) or cache.fetch(name, entry.download)
    with torch.device("meta"):
        model = entry.build()
    fit(model, read(path), path.name, entry.aliases, entry.auxiliary)
    return model, _provenance(entry, path, model)


def _provenance(entry: Published, path: Path, model: nn.Module) -> Card:
    """The published card where the weights are the published ones, by their own checksum or that of the file."""
    card = entry.card()
    if path == cache.folder() / entry.download.file or fingerprint(model) == entry.sha256:
        return card
    if entry.download.sha256 and cache.checksum(path) == entry.download.sha256:
        return card
    return replace(card, licence="unknown", source=path.name)


def _drawn(build: Callable[[], nn.Module], seed: int) -> nn.Module:
    """A network with normal weights of variance 2 / inputs (He et al. 2015, section 2.2) and zero biases."""
    with torch.device("meta"):
        model = build()
    model.to_empty(device="cpu")
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                module.weight.normal_(0, math.sqrt(2 / module.weight[0].numel()), generator=generator)
                if module.bias is not None:
                    module.bias.zero_()
            elif isinstance(module, nn.BatchNorm2d):
                module.reset_parameters()
    return model


def _bundled_entry(name: str) -> Entry:
    shipped = SHIPPED / f"{name}.safetensors"
    build, description = BUNDLED[name]
    card = read_card(shipped) or Card(name, size=(112, 112), licence="Apache-2.0")
    ready = shipped.is_file()
    return Entry(
        name, description, card.licence, ready, "shipped" if ready else "missing from this installation", card.size,
        _parameters(build),
    )  # fmt: skip


def _published_entry(name: str) -> Entry:
    entry = PUBLISHED[name]
    card, found = entry.card(), cache.find(name, entry.download)
    if found:
        where = f"in the cache: {found}"
    elif entry.download.automatic:
        where = f"downloaded on first use from {entry.download.address}"
    else:
        where = f"to be fetched by hand from {entry.download.address}"
    return Entry(name, entry.description, card.licence, found is not None, where, card.size, _parameters(entry.build))


def _parameters(build: Callable[[], nn.Module]) -> int:
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in build().parameters())
