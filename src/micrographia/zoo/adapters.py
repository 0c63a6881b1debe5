"""Networks of other libraries, torchvision:NAME and timm:NAME, and a user's own, FILE.py:factory.

Preprocessing and labels are the library's own, from the description of its default weights. torchvision's files are
downloaded and read by `cache` and `weights`, not by torchvision, whose reader would unpickle them.
"""

from __future__ import annotations

import importlib
import importlib.util
import math
import re
import sys
import traceback
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn

from micrographia.errors import BadModel, BadWeights, suggest
from micrographia.model.card import Card
from micrographia.zoo import cache
from micrographia.zoo.cache import Download
from micrographia.zoo.weights import fit, read

_SCHEMAS: list[torch.library.Library] = []


def library(name: str) -> ModuleType:
    """torchvision or timm, imported; raises BadModel with the extra to install where it is not there.

    The torchvision of a CUDA build beside a CPU build of torch cannot load its compiled part, and then fails at import
    because two of its operations are not declared. Declared without code they do no harm: no classifier calls them.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise BadModel(
            f"{name}: needs the package {error.name}, which is not installed. "
            f"Install it with: pip install 'micrographia[{name}]'."
        ) from error
    except RuntimeError as error:
        if _SCHEMAS or "torchvision::" not in str(error):
            raise
    for half_loaded in [each for each in sys.modules if each.partition(".")[0] in ("torchvision", "timm")]:
        del sys.modules[half_loaded]
    declared = torch.library.Library("torchvision", "FRAGMENT")
    declared.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    declared.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _SCHEMAS.append(declared)  # the declarations live as long as this object
    return importlib.import_module(name)


def from_torchvision(name: str, weights: Path | None, random: bool, seed: int) -> tuple[nn.Module, Card]:
    """A classifier of torchvision with its default weights, other weights, or random ones.

    Raises BadModel for an unknown name, BadWeights where the weights are not at hand or do not fit.

    >>> from_torchvision("squeezenet1_1", None, False, 0)  # doctest: +SKIP
    """
    models = library("torchvision").models
    known = models.list_models(module=models)
    if name not in known:
        raise BadModel(f"torchvision has no classifier '{name}'. Near it: {suggest(name, known)}.")
    described = models.get_model_weights(name).DEFAULT
    # as the builders of these two do where they are given weights: heads for training are there, and not used
    special = name in ("googlenet", "inception_v3")
    options: dict[str, Any] = {"transform_input": True, "init_weights": random} if special else {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = models.get_model(name, weights=None, **options)
    preset = described.transforms()
    card = Card(
        name=f"torchvision:{name}",
        size=(preset.crop_size[0], preset.crop_size[0]),
        resize=preset.resize_size[0],
        mean=tuple(preset.mean),
        std=tuple(preset.std),
        interpolation=preset.interpolation.value,
        labels=tuple(described.meta["categories"]),
        licence="BSD-3-Clause (torchvision)",
        source=described.url,
    )
    if not random:
        file = weights or _torchvision_file(name, described.url)
        fit(model, read(file), file.name)
    if weights is not None:
        card = replace(card, licence="unknown", source=weights.name)
    if special:
        model.aux_logits = False
        for head in ("aux1", "aux2", "AuxLogits"):
            if hasattr(model, head):
                setattr(model, head, None)
    return model, card


def _torchvision_file(name: str, address: str) -> Path:
    file = address.rpartition("/")[2]
    digits = re.search(r"-([0-9a-f]{8,})\.", file)  # torchvision writes the checksum's first digits into the name
    download = Download(file, address, digits[1] if digits else "")
    found = cache.find(f"torchvision-{name}", download, [Path(torch.hub.get_dir()) / "checkpoints"])
    return found or cache.fetch(f"torchvision:{name}", download)


def from_timm(name: str, weights: Path | None, random: bool, seed: int) -> tuple[nn.Module, Card]:
    """A network of timm with its default weights, other weights, or random ones.

    timm fetches and reads its own weights, with its restricted reader. Raises BadModel and BadWeights as
    `from_torchvision` does.

    >>> from_timm("resnetv2_50", None, True, 0)  # doctest: +SKIP
    """
    library("torchvision")
    timm = library("timm")
    known = timm.list_models()
    if name.partition(".")[0] not in known:
        raise BadModel(f"timm has no network '{name}'. Near it: {suggest(name, known)}.")
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = timm.create_model(name, pretrained=weights is None and not random)
    except Exception as error:  # what hubs and their networks raise has no common kind
        raise BadWeights(
            f"timm could not make {name} with its weights ({_first_line(error)}). Give a file with --weights, or fetch "
            "them where there is a network."
        ) from error
    card = _timm_card(timm, model, name)
    if weights is not None:
        fit(model, read(weights), weights.name)
        card = replace(card, licence="unknown", source=weights.name)
    return model, card


def _timm_card(timm: ModuleType, model: nn.Module, name: str) -> Card:
    described: dict[str, Any] = model.pretrained_cfg  # type: ignore[assignment]
    height, width = described["input_size"][1:]
    labels = described.get("label_names") or ()
    subset = timm.data.infer_imagenet_subset(model) if not labels else None
    if subset:
        names = timm.data.ImageNetInfo(subset)
        labels = [names.index_to_description(index) for index in range(names.num_classes())]
    hub = described.get("hf_hub_id")
    return Card(
        name=f"timm:{name}",
        size=(height, width),
        resize=math.floor(min(height, width) / described.get("crop_pct", 0.875)),
        channels=described["input_size"][0],
        mean=tuple(described["mean"]),
        std=tuple(described["std"]),
        interpolation=described.get("interpolation", "bilinear"),
        labels=tuple(labels),
        licence=described.get("license") or "unknown",
        source=f"https://huggingface.co/{hub}" if hub else described.get("url") or "",
    )


def from_file(path: Path, factory: str, weights: Path | None, seed: int) -> tuple[nn.Module, Card]:
    """A user's own network: `factory()` of a Python file, which returns a module, (module, Card) or (module, dict).

    The dict has the Card's fields. The file is run, so it must be trusted; its folder is searched for what it imports.
    Raises BadModel where that fails, BadWeights where the weights do not fit.

    >>> from_file(Path("mine.py"), "squeezenet", Path("squeezenet.npz"), 0)  # doctest: +SKIP
    """
    if not path.is_file():
        raise BadModel(f"There is no file {path}. Write path/to/file.py:factory.")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = _call(path, factory)
    model, described = made if isinstance(made, tuple) and len(made) == 2 else (made, {})
    if not isinstance(model, nn.Module) or not isinstance(described, (Card, Mapping)):
        raise BadModel(
            f"{factory}() of {path.name} returned a {type(made).__name__}. "
            "Let it return a torch.nn.Module, or a pair (module, Card) or (module, dict of the Card's fields)."
        )
    card = described if isinstance(described, Card) else _card(path, factory, described)
    if weights is not None:
        fit(model, read(weights), weights.name)
        card = replace(card, source=card.source or f"{path.name} with {weights.name}")
    return model, replace(card, source=card.source or path.name)


def _call(path: Path, factory: str) -> Any:
    spec = importlib.util.spec_from_file_location(f"micrographia_user_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise BadModel(f"{path} is not a Python file. Write path/to/file.py:factory.")
    module = importlib.util.module_from_spec(spec)
    place = str(path.resolve().parent)
    sys.path.insert(0, place)
    sys.modules[spec.name] = module  # dataclasses look their module up there
    try:
        spec.loader.exec_module(module)
        function = getattr(module, factory, None)
        if not callable(function):
            made = [key for key, value in vars(module).items() if callable(value) and value.__module__ == spec.name]
            near = f"It has: {suggest(factory, made, 5)}." if made else "It defines no function."
            raise BadModel(f"{path} has no function '{factory}'. {near}")
        return function()
    except BadModel:
        raise
    except Exception as error:  # a user's code can raise anything
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == spec.origin]
        at = f" at line {lines[-1]}" if lines else f" at line {error.lineno}" if isinstance(error, SyntaxError) else ""
        raise BadModel(
            f"{path} failed{at} with {type(error).__name__}: {_first_line(error)}. "
            f"Put it right: {factory}() must run without arguments."
        ) from error
    finally:
        sys.path.remove(place)
        sys.modules.pop(spec.name, None)


def _card(path: Path, factory: str, described: Mapping[str, Any]) -> Card:
    known = [field.name for field in fields(Card)]
    for key in described:
        if key not in known:
            raise BadModel(f"The Card has no field '{key}', which {path.name} gives. Known: {', '.join(known)}.")
    return Card.from_json({"name": factory, **described})


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0].rstrip(".") or type(error).__name__
