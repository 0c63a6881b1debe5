"""A frozen twin of a user's model: the same weights in memory, but flags, hooks, buffers and gradients of its own.

Everything here runs on twins, which is why nothing of it can be left behind on the model itself.
"""

from __future__ import annotations

import copy
import types
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

_OWN = ("_parameters", "_buffers", "_modules")
_HOOKS = tuple(name for name in vars(nn.Module()) if "_hooks" in name)


def twin(model: nn.Module, in_place: bool = False) -> nn.Module:
    """A copy of the module tree in evaluation mode that shares every parameter's memory with the model.

    Parameters become new ones that need no gradient; buffers are copied, because a forward pass may write to them. A
    module or parameter used in two places stays one. Torch's in-place activations become ordinary ones, unless
    `in_place`. The user's hooks are left out; those by which torch computes a weight (weight norm, spectral norm,
    pruning) are kept. Modules held in plain lists, tuples and dictionaries become submodules with names like
    `blocks.0`, so that the twin's `named_modules` and `state_dict` are complete.

    >>> model = nn.Linear(2, 3)
    >>> twin(model).weight.data_ptr() == model.weight.data_ptr()
    True
    """
    root = _twin(model, {}, in_place)
    _register_strays(root)
    return root


def _twin(module: nn.Module, made: dict[int, Any], in_place: bool) -> Any:
    if id(module) in made:
        return made[id(module)]
    # not copy.copy: modules may forbid or redefine it, as torch's parametrized ones do
    other = made[id(module)] = object.__new__(type(module))
    state = other.__dict__
    state.update(module.__dict__)
    for name, value in module.__dict__.items():
        if name in _HOOKS:
            kept = ((key, hook) for key, hook in value.items() if _computes_weight(hook))
            state[name] = OrderedDict(kept if name == "_forward_pre_hooks" else ())
        elif name in _OWN:
            state[name] = {key: _rebound(each, made, in_place) for key, each in value.items()}
        else:
            state[name] = _rebound(value, made, in_place)
    state["training"] = False
    if not in_place and type(module).__module__.startswith("torch.nn") and state.get("inplace") is True:
        state["inplace"] = False
        state["was_inplace"] = True
    return other


def hooked(module: nn.Module) -> bool:
    """Whether the user has put forward hooks on a module, which its twin does not have."""
    before = module._forward_pre_hooks.values()
    return bool(module._forward_hooks) or not all(_computes_weight(hook) for hook in before)


def _computes_weight(hook: Any) -> bool:
    """Whether a hook is torch's own way of computing a weight: weight norm, spectral norm, pruning."""
    return type(hook).__module__.startswith("torch.nn.utils")


def _rebound(value: Any, made: dict[int, Any], in_place: bool) -> Any:
    """An attribute of the twin's own: modules, weights and methods of the twin, in containers of its own."""
    if id(value) in made:
        return made[id(value)]
    if isinstance(value, nn.Module):
        return _twin(value, made, in_place)
    if isinstance(value, nn.Parameter):
        made[id(value)] = nn.Parameter(value.detach(), requires_grad=False)
    elif isinstance(value, Tensor):
        made[id(value)] = value.detach().clone()
    elif isinstance(value, types.MethodType) and isinstance(value.__self__, nn.Module):
        return types.MethodType(value.__func__, _twin(value.__self__, made, in_place))
    elif isinstance(value, dict):
        other = made[id(value)] = copy.copy(value)
        for key, each in value.items():
            other[key] = _rebound(each, made, in_place)
    elif isinstance(value, list):
        made[id(value)] = each_own = copy.copy(value)
        each_own[:] = [_rebound(each, made, in_place) for each in value]
    elif isinstance(value, tuple) and value:
        parts = [_rebound(each, made, in_place) for each in value]
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    elif isinstance(value, set):
        return copy.copy(value)
    return made.get(id(value), value)


def _register_strays(root: nn.Module) -> None:
    queue = list(root.modules())
    known = {id(module) for module in queue}
    for module in queue:
        for name, value in list(vars(module).items()):
            for path, stray in [] if name in _OWN else list(_held(value, name)):
                if id(stray) not in known:
                    module._modules[path] = stray
                    inside = list(stray.modules())
                    known.update(id(each) for each in inside)
                    queue.extend(inside)


def _held(value: Any, path: str) -> Iterator[tuple[str, nn.Module]]:
    if isinstance(value, nn.Module):
        yield path, value
    elif isinstance(value, (list, tuple)):
        for index, each in enumerate(value):
            yield from _held(each, f"{path}.{index}")
    elif isinstance(value, dict):
        for key, each in value.items():
            yield from _held(each, f"{path}.{key}")


def floating_type(model: nn.Module) -> tuple[torch.dtype, torch.device]:
    """Type and device of the first floating-point weight: what a picture must have to go in."""
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.is_floating_point():
            return tensor.dtype, tensor.device
    return torch.float32, torch.device("cpu")
