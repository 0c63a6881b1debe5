"""Files of weights: what is in them, whether it fits, and how the bundled networks are written.

A file is told by its content, not by its name, and no file is ever unpickled: a pickle can run any code, so only what
torch's restricted reader takes is read.
"""

from __future__ import annotations

import copy
import json
import os
import pickle
import re
import warnings
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from micrographia.errors import BadWeights
from micrographia.model.card import Card
from micrographia.model.trace import fingerprint
from micrographia.zoo import protobuf

Aliases = tuple[tuple[str, str], ...]

KNOWN = "Known are .safetensors, .npz, a PyTorch state dict, Caffe's .caffemodel and TensorFlow's frozen .pb"
DAMAGE = (OSError, EOFError, ValueError, KeyError, IndexError, RuntimeError, zlib.error, zipfile.BadZipFile)
WRAPPERS = ("state_dict", "model_state_dict", "model")

# how a tensor's name ends -> what it is in torch, and whether its axes are in TensorFlow's order
ENDINGS = {
    "/moving_variance": ("running_var", True), "/moving_mean": ("running_mean", True), "/weights": ("weight", True),
    "/biases": ("bias", True), "/gamma": ("weight", True), "/beta": ("bias", True), "_w": ("weight", True),
    "_b": ("bias", True), ".weight": ("weight", False), ".bias": ("bias", False),
}  # fmt: skip


def read(path: Path) -> dict[str, Tensor]:
    """All tensors of a file by name, floating-point ones as float32.

    Reads .safetensors, .npz, a state dict saved by torch (also wrapped in {"state_dict": ...}, also with every name
    after "module."), Caffe's .caffemodel and TensorFlow's frozen .pb, alone or in a zip. Raises BadWeights where the
    file is missing, cut short, not a file of weights, or a pickle that holds more than tensors.

    >>> read(Path("squeezenet.npz"))["conv1.weight"].shape  # doctest: +SKIP
    torch.Size([64, 3, 3, 3])
    """
    if not path.is_file():
        raise BadWeights(f"There is no file of weights {path}. Give the path of one. {KNOWN}.")
    with path.open("rb") as file:
        head = file.read(256)
    reader = _reader(path, head)
    try:
        found = reader(path)
    except pickle.UnpicklingError as error:
        raise BadWeights(
            f"{path} is a pickle that holds more than tensors{_culprit(error)}; opening it could run code, so it was "
            "not opened. Save model.state_dict() alone, as safetensors or with torch.save."
        ) from error
    except (SafetensorError, *DAMAGE) as error:
        raise BadWeights(
            f"{path} is damaged or cut short ({_sentence(error)}). Download or copy the file again, whole."
        ) from error
    if not found:
        raise BadWeights(f"{path} holds no tensors. {KNOWN}.")
    return {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in found.items()}


def _reader(path: Path, head: bytes) -> Callable[[Path], dict[str, Tensor]]:
    if not head:
        raise BadWeights(f"{path} is empty. Download or copy the file again.")
    if head.lstrip().lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        raise BadWeights(f"{path} is a web page, not a file of weights. Download the file that the page links to.")
    if head.startswith(b"PK"):
        return _read_zip
    if head[8:9] == b"{" or path.suffix == ".safetensors":
        return _read_safetensors
    if head.startswith(b"\x80"):
        return _read_torch
    if path.suffix == ".caffemodel":
        return lambda path: _tensors(protobuf.caffe(path.read_bytes()))
    if path.suffix == ".pb":
        return lambda path: _tensors(protobuf.tensorflow(path.read_bytes()))
    raise BadWeights(f"{path} is not a file of weights; it begins with {head[:8]!r}. {KNOWN}.")


def _read_zip(path: Path) -> dict[str, Tensor]:
    with zipfile.ZipFile(path) as archive:
        members = archive.namelist()
        frozen = [name for name in members if name.endswith(".pb")]
        if frozen:
            return _tensors(protobuf.tensorflow(archive.read(frozen[0])))
    if any(name.endswith("data.pkl") for name in members):
        return _read_torch(path)
    if not any(name.endswith(".npy") for name in members):
        raise BadWeights(f"{path} is an archive without weights; it holds {', '.join(members[:3])}. {KNOWN}.")
    with np.load(path, allow_pickle=False) as arrays:
        for name in members:
            if arrays.zip.read(name)[:256].count(b"'|O'"):
                raise pickle.UnpicklingError(f"Python objects under '{name.removesuffix('.npy')}'")
        return _tensors({name: arrays[name] for name in arrays.files})


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    with safe_open(path, "pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)


def _read_torch(path: Path) -> dict[str, Tensor]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about pickles of other versions: they are refused with a reason of ours
        found = torch.load(path, map_location="cpu", weights_only=True)
    for key in WRAPPERS:
        if isinstance(found, Mapping) and isinstance(found.get(key), Mapping):
            found = found[key]
            break
    if not isinstance(found, Mapping):
        raise BadWeights(f"{path} holds a {type(found).__name__}, not a state dict. Save model.state_dict().")
    found = {str(name): value for name, value in found.items() if isinstance(value, Tensor)}
    if all(name.startswith("module.") for name in found):
        found = {name.removeprefix("module."): value for name, value in found.items()}
    return found


def _tensors(arrays: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
    numbers = {name: array for name, array in arrays.items() if array.dtype.kind in "fiub"}
    # the copy makes the bytes writable, contiguous and of this machine's order, as torch wants them
    return {name: torch.from_numpy(array.astype(array.dtype.newbyteorder("="))) for name, array in numbers.items()}


def _culprit(error: Exception) -> str:
    named = re.search(r"GLOBAL ([\w.]+)|(Python objects under '[^']*')", str(error))
    return f" ({named[1] or named[2]})" if named else ""


def _sentence(error: BaseException) -> str:
    text = str(error).strip().split("\n")[0].split(". ")[0].rstrip(".")
    return text or type(error).__name__


def fit(
    module: nn.Module, tensors: Mapping[str, Tensor], origin: str, aliases: Aliases = (), auxiliary: str = ""
) -> None:
    """Put tensors into a module of the same architecture, in place; all of them, or none.

    `aliases` are pairs (pattern of a published layer name, our layer name) for files with other names; layers that
    match `auxiliary` are left out. `origin` is the file's name, for the errors. Raises BadWeights, which names the
    first tensor that does not fit, and both shapes.
    """
    wanted = module.state_dict()
    given = dict(tensors)
    if aliases and not given.keys() & wanted.keys():
        given = _renamed(given, wanted, aliases, auxiliary)
    for name, tensor in wanted.items():
        if name in given and given[name].shape != tensor.shape:
            raise BadWeights(
                f"{origin} holds weights of another architecture: its tensor '{name}' is {_shape(given[name])}, the "
                f"network's is {_shape(tensor)}. Give weights of this network, or name the network they belong to."
            )
    missing = [name for name in wanted if name not in given and not name.endswith("num_batches_tracked")]
    unexpected = [name for name in given if name not in wanted]
    if missing or unexpected:
        raise BadWeights(_difference(origin, wanted, given, missing, unexpected))
    counters = {name: torch.zeros((), dtype=torch.long) for name in wanted if name not in given}
    module.load_state_dict({**given, **counters}, assign=any(tensor.is_meta for tensor in wanted.values()))


def _difference(
    origin: str, wanted: Mapping[str, Tensor], given: Mapping[str, Tensor], missing: list[str], unexpected: list[str]
) -> str:
    text = f"{origin} holds weights of another architecture: "
    if missing:
        text += f"it has no tensor '{missing[0]}' {_shape(wanted[missing[0]])}{_more(missing)}, which the network needs"
        text += "; it has" if unexpected else ""
    if unexpected:
        text += " " if missing else "it has "
        text += f"'{unexpected[0]}' {_shape(given[unexpected[0]])}{_more(unexpected)}, which the network does not know"
    return f"{text}. Give weights of this network, or name the network they belong to."


def _more(names: list[str]) -> str:
    return f" and {len(names) - 1} more" if len(names) > 1 else ""


def _shape(tensor: Tensor) -> str:
    return " x ".join(map(str, tensor.shape)) or "a single number"


def _renamed(
    given: Mapping[str, Tensor], wanted: Mapping[str, Tensor], aliases: Aliases, auxiliary: str
) -> dict[str, Tensor]:
    renamed = {}
    for name, tensor in given.items():
        ending = next((ending for ending in ENDINGS if name.endswith(ending)), "")
        layer = name.removesuffix(ending)
        if auxiliary and re.fullmatch(auxiliary, layer):
            continue
        kind, transposed = ENDINGS.get(ending, ("", False))
        ours = next((match.expand(to) for of, to in aliases if (match := re.fullmatch(of, layer))), None)
        if not kind or ours is None:
            renamed[name] = tensor
            continue
        if transposed and tensor.ndim > 1:  # height width in out -> out in height width
            tensor = tensor.permute(3, 2, 0, 1) if tensor.ndim == 4 else tensor.t()
        ours = f"{ours}.{kind}"
        if ours in wanted and _solid(tensor) == _solid(wanted[ours]):
            tensor = tensor.reshape(wanted[ours].shape)
        renamed[ours] = tensor.contiguous()
    return renamed


def _solid(tensor: Tensor) -> list[int]:
    """The shape without axes of length 1: formats disagree about them."""
    return [size for size in tensor.shape if size != 1]


def save_bundled(path: Path, module: nn.Module, card: Card) -> Card:
    """Write a network's weights as float16 with its card, at once or not at all; returns the card as it was written.

    The card's checksum is that of the weights as they will be read: rounded to float16, then float32. Same weights and
    card, same bytes.
    """
    halves = {
        name: tensor.detach().cpu().half().contiguous()
        for name, tensor in sorted(module.state_dict().items())
        if tensor.is_floating_point()
    }
    rounded = copy.deepcopy(module).cpu().float()
    fit(rounded, {name: tensor.float() for name, tensor in halves.items()}, str(path))
    card = replace(card, sha256=fingerprint(rounded))
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(halves, partial, {"card": json.dumps(card.to_json(), sort_keys=True)})
        partial.chmod(0o644)  # safetensors lets nobody else read it, which would not do in an installed package
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    return card


def read_card(path: Path) -> Card | None:
    """The card that `save_bundled` put into a file; None where there is none, or where it cannot be read."""
    try:
        with safe_open(path, "pt") as file:
            text = (file.metadata() or {}).get("card")
        return None if text is None else Card.from_json(json.loads(text))
    except (SafetensorError, OSError, ValueError, TypeError):
        return None
