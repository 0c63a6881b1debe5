"""A made-up network with its store: branches, unread layers, dead units, a half-finished layer, awkward names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from micrographia.publish import draw
from micrographia.publish.site import bake
from micrographia.publish.store import MadeBy, Manifest, Store, create, put
from micrographia.unit import Unit

FINGERPRINT = "5ca1ab1e" * 8
CARD = {
    "name": "little",
    "size": [112, 112],
    "resize": 128,
    "scale": 1.0,
    "mean": [0.485, 0.456, 0.406],
    "std": [0.229, 0.224, 0.225],
    "order": "RGB",
    "labels": ["tench", "church", "garbage truck"],
    "licence": "Apache-2.0",
    "source": "",
    "training": {"data": "ten classes", "epochs": 40, "seed": 0, "accuracy": 0.914},
}
CLASSES = ("tench", "English springer", "cassette player", "chain saw", "church", "French horn")


def layer(name: str, op: str, channels: int, kernel: int | None, field: int, parents: list[str]) -> dict[str, Any]:
    return {
        "name": name,
        "op": op,
        "channels": channels,
        "kernel": kernel and [kernel, kernel],
        "stride": [1, 1],
        "receptive_field": [field, field],
        "parents": parents,
        "branches": [],
    }


def network(scale: int = 1) -> tuple[dict[str, Any], ...]:
    """An Inception-like network; `scale` times as many channels as the smallest one."""
    stem = [
        {**layer("conv2d0", "conv", 6 * scale, 7, 7, []), "stride": [2, 2]},
        layer("pool#1", "max pool", 6 * scale, 3, 11, ["conv2d0"]),
        layer("conv2d2", "conv", 8 * scale, 3, 19, ["pool#1"]),
    ]
    for name, parent, fields in (("mixed3a", "conv2d2", (19, 35, 51, 27)), ("mixed3b", "mixed3a", (51, 67, 83, 59))):
        sizes = dict(zip(("1x1", "3x3", "5x5", "pool"), (2 * scale, 4 * scale, 3 * scale, scale), strict=True))
        ops = (1, 3, 5, 1)
        first, branches = 0, []
        for (branch, size), kernel, field in zip(sizes.items(), ops, fields, strict=True):
            source = parent
            if kernel > 1:
                source = f"{name}_{branch}_bottleneck"
                stem.append(layer(source, "conv", 2 * scale, 1, fields[0], [parent]))
            stem.append(layer(f"{name}_{branch}", "conv", size, kernel, field, [source]))
            branches.append({"name": f"{name}_{branch}", "first": first, "last": first + size - 1})
            first += size
        whole = layer(name, "concat", first, None, fields[2], [each["name"] for each in branches])
        stem.append({**whole, "branches": branches})
    return (*stem, layer("logits", "linear", 3, None, 112, ["mixed3b"]))


OBSERVED = ("conv2d0", "conv2d2", "mixed3a", "mixed3b")


def picture(rng: np.random.Generator, size: int) -> np.ndarray:
    """Coloured noise that looks a little like a feature: a few plane waves under a window."""
    y, x = np.mgrid[0:size, 0:size] / size - 0.5
    waves = np.zeros((size, size, 3))
    for _ in range(4):
        angle, frequency, phase = rng.uniform(0, np.pi), rng.uniform(2, 9), rng.uniform(0, 6.3)
        wave = np.sin(2 * np.pi * frequency * (x * np.cos(angle) + y * np.sin(angle)) + phase)
        waves += wave[..., None] * rng.normal(0, 0.25, 3)
    return np.clip(0.5 + waves * np.exp(-6 * (x**2 + y**2))[..., None], 0, 1)


def made(call: str = "observe", **arguments: Any) -> MadeBy:
    return MadeBy(call, {"steps": 128, **arguments}, 0, FINGERPRINT, "1.2.3")


def neighbour(rng: np.random.Generator, unit: str, size: int, norm: float, via: str | None) -> dict[str, Any]:
    y, x = np.mgrid[0:size, 0:size] - (size - 1) / 2
    angle = rng.uniform(0, np.pi)
    kernel = np.cos(angle) * x + np.sin(angle) * y + rng.normal(0, 0.6, (size, size))
    kernel *= norm / np.linalg.norm(kernel)
    positive, negative = kernel[kernel > 0].sum(), -kernel[kernel < 0].sum()
    mixed = min(positive, negative) > 0.4 * (positive + negative)
    sign = "mixed" if mixed else "excitatory" if positive > negative else "inhibitory"
    facts = {"norm": norm, "share": norm**2 / 9, "positive": positive, "negative": negative, "sign": sign}
    return {"unit": unit, **facts, "kernel": kernel, **({"via": via} if via else {})}


def neighbours(rng: np.random.Generator, layer: dict[str, Any], count: int, via: str | None) -> list[dict[str, Any]]:
    chosen = rng.permutation(layer["channels"])[:count]
    norms = np.sort(rng.gamma(2, 0.3, len(chosen)))[::-1]
    pairs = zip(chosen, norms, strict=True)
    return [neighbour(rng, f"{layer['name']}:{c}", int(rng.choice((1, 3, 5))), float(n), via) for c, n in pairs]


def fill(store: Store, unit: Unit, px: int = 24, listed: int = 4, crops: int = 3) -> None:
    """All four kinds of record for one unit; channel 1 of each layer is dead, and the last has no optimised picture."""
    names = [each["name"] for each in store.manifest.layers]
    rng = np.random.default_rng([names.index(unit.layer), unit.channel])
    last = store.layer(unit.layer)["channels"] - 1
    dead, reached = unit.channel == 1, float(rng.gamma(3, 2))
    if unit.channel != last:
        files = {} if dead else {"vis.jpg": draw.encode(picture(rng, px))}
        values = {"size": px, "objective": "neuron", "reached": reached, "dead": dead, "steps": 128}
        put(store, unit, "vis", made(), values, {"vis_reached": reached}, files)
    values_up = np.sort(rng.gamma(3, 1.5, crops))[::-1]
    shown = [
        {
            "picture": f"n0{rng.integers(1e6, 9e6)}/{rng.integers(1000)}.JPEG",
            "class": str(rng.choice(CLASSES)),
            "value": float(value),
            "position": [int(rng.integers(14)), int(rng.integers(14))],
            "box": [8, 8, 8 + px, 8 + px],
        }
        for value in values_up
    ]
    strip = draw.encode(draw.strip([picture(rng, px) for _ in shown]))
    put(store, unit, "examples", made(), {"tile": px, "examples": shown}, {}, {"examples.jpg": strip})
    sample = rng.gamma(1.2, 1, 4000) * (rng.random(4000) < 0.4)
    counts, edges = np.histogram(sample, 40)
    classes = [
        {"class": name, "mean": mean, "n": 391, "low": mean - 0.06, "high": mean + 0.06}
        for name, mean in zip(CLASSES, np.sort(rng.gamma(2, 0.2, len(CLASSES)))[::-1], strict=True)
    ]
    activation = {"fraction_active": (sample > 0).mean(), "mean": sample.mean(), "max": sample.max()}
    more = {"histogram": {"edges": edges, "counts": counts}, "std": sample.std(), "pictures": 4000, "classes": classes}
    put(store, unit, "activation", made(), {**activation, **more}, activation)
    at = OBSERVED.index(unit.layer)
    before = store.layer(OBSERVED[at - 1]) if at else None
    after = store.layer(OBSERVED[at + 1]) if at + 1 < len(OBSERVED) else store.layer("logits")
    inputs = neighbours(rng, before, listed, None) if before else []
    users = neighbours(rng, after, listed, f"{after['name']}_5x5" if after["branches"] else None)
    limit = max((np.abs(each["kernel"]).max() for each in inputs + users), default=0.0)
    weights = {"inputs": inputs, "users": users, "limit": limit, "covered": 0.71, "count": 256 if before else 0}
    own = {} if before else {"weights.png": draw.colour_kernel_png(rng.normal(size=(3, 7, 7)))}
    put(store, unit, "weights", made(), weights, {"norm": rng.gamma(3, 1)}, own)


@pytest.fixture(scope="session")
def make_store() -> Callable[..., Store]:
    """make_store(folder, scale=1, skip=0): a filled store; the last `skip` units of mixed3b are left out."""

    def make(folder: Path, scale: int = 1, skip: int = 0, **sizes: int) -> Store:
        store = create(folder, Manifest("little", FINGERPRINT, CARD, network(scale), "1.2.3"))
        for name in OBSERVED:
            channels = store.layer(name)["channels"]
            for channel in range(channels - (skip if name == "mixed3b" else 0)):
                fill(store, Unit(name, channel), **sizes)
        return store

    return make


@pytest.fixture(scope="session")
def baked(make_store: Callable[..., Store], tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A filled store with its site in it; for tests that only read."""
    store = make_store(tmp_path_factory.mktemp("baked") / "store", skip=2)
    bake(store)
    return store


@pytest.fixture
def empty(tmp_path: Path) -> Store:
    """A store of the made-up network without a record."""
    return create(tmp_path / "store", Manifest("little", FINGERPRINT, CARD, network(), "1.2.3"))


@pytest.fixture
def made_by() -> Callable[..., MadeBy]:
    return made
