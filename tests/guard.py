"""The proof that nothing is left on a user's model: what it was like when first traced, and what differs since."""

from __future__ import annotations

import weakref
import zlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

_HOOKS = [name for name in vars(nn.Module()) if "_hooks" in name]
# bytes of one tensor that are looked at in full; of larger ones, every 16th number
_FULL = 32 << 20


class Guard:
    """Remembers every model that is traced, for as long as it lives."""

    def __init__(self) -> None:
        self._seen: dict[int, tuple[weakref.ref[nn.Module], dict[str, Any]]] = {}

    def watch(self, model: nn.Module) -> None:
        """From now on this model has to stay as it is; no effect on one that is watched already."""
        known = self._seen.get(id(model))
        if known is None or known[0]() is not model:
            self.renew(model)

    def renew(self, model: nn.Module) -> None:
        """Take the model as it is now: for tests that change it themselves, as its owner may."""
        self._seen[id(model)] = (weakref.ref(model), dict(_facts(model)))

    def differences(self) -> list[str]:
        """What has changed on any watched model, one line each; each change is told once."""
        found = []
        for key, (reference, before) in list(self._seen.items()):
            model = reference()
            if model is None:
                del self._seen[key]
                continue
            now = dict(_facts(model))
            if now != before:
                changed = sorted(k for k in before.keys() | now.keys() if before.get(k) != now.get(k))
                found.extend(f"{type(model).__name__}: {k} was {before.get(k)}, is {now.get(k)}" for k in changed)
                self.renew(model)
        return found


def _facts(model: nn.Module) -> Iterator[tuple[str, Any]]:
    for path, module in model.named_modules(remove_duplicate=False):
        yield f"{path} type", type(module)
        yield f"{path} training", module.training
        yield f"{path} attributes", sorted(vars(module))
        yield f"{path} inplace", getattr(module, "inplace", None)
        yield f"{path} hooks", {name: list(vars(module)[name].items()) for name in _HOOKS if vars(module)[name]}
        own = {**module._parameters, **module._buffers}
        own.update({name: value for name, value in vars(module).items() if isinstance(value, Tensor)})
        for name, tensor in own.items():
            if tensor is not None:
                yield f"{path}.{name}", _state(tensor)


def _state(tensor: Tensor) -> tuple[Any, ...]:
    facts = (
        id(tensor),
        type(tensor),
        tensor.dtype,
        tensor.shape,
        tensor.requires_grad,
        len(tensor._backward_hooks or ()),
    )
    if nn.parameter.is_lazy(tensor) or tensor.is_meta:
        return facts
    plain = tensor.detach().cpu().reshape(-1)
    if plain.numel() * plain.element_size() > _FULL:
        plain = plain[::16]
    grad = None if not tensor.is_leaf or tensor.grad is None else id(tensor.grad)
    return (*facts, grad, tensor.data_ptr(), zlib.crc32(plain.contiguous().view(torch.uint8).numpy().data))
