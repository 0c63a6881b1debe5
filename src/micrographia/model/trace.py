"""trace(model, card): the forward pass written down once, as a graph whose values have names.

A submodule's name means the value it returned, also where it is made of other modules; a module that is called again
gets `#2`, and an operation that is no module is named after its function and the module it stands in: `block1.add`.
"""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
import traceback
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, fx, nn

from micrographia.errors import BadWeights, CannotTrace, suggest
from micrographia.model.card import Card
from micrographia.model.describe import describe
from micrographia.model.graph import LayerGraph
from micrographia.model.record import Recording
from micrographia.model.twin import floating_type, hooked, twin


def trace(model: nn.Module, card: Card | None = None, leaves: Iterable[str] = ()) -> LayerGraph:
    """Write down the forward pass of any network of fixed structure, in evaluation mode.

    `leaves` names submodules that are to be kept whole, for instance because their forward pass depends on the data.
    Raises CannotTrace, which names the line, and BadWeights where the weights are missing, NaN or infinite.

    >>> graph = trace(nn.Sequential(nn.Conv2d(3, 5, 3)), Card("tiny", size=(11, 13)))
    >>> graph.layers["0"].shape
    (5, 9, 11)
    """
    card = card or Card(type(model).__name__)
    _check_present(model)
    frozen = twin(model)
    _check_finite(frozen)
    dtype, device = floating_type(frozen)
    generator = torch.Generator().manual_seed(0)
    example = torch.randn((1, card.channels, *card.size), generator=generator).to(device, dtype)
    with torch.no_grad(), warnings.catch_warnings():
        # a network may warn about itself; here it would warn once for every pass
        warnings.simplefilter("ignore")
        recording = _recorded(frozen, leaves)
        graph, modules = recording.graph, dict(frozen.named_modules())
        module = fx.GraphModule(_targets(graph, modules), graph).eval()
        _measure(module, example)
        recording.straighten(modules)
        graph.eliminate_dead_code()
        module.recompile()
        _verify(module, twin(model, in_place=True), example)
    names = recording.names()
    layers = describe(graph, modules, names, card.size)
    return LayerGraph(
        module, card, fingerprint(frozen), MappingProxyType(layers), MappingProxyType(names), tuple(_notes(model))
    )


def fingerprint(model: nn.Module) -> str:
    """sha256 over the names, shapes, types and bytes of all weights: what records are tied to."""
    digest = hashlib.sha256()
    for name, tensor in twin(model).state_dict().items():
        if not isinstance(tensor, Tensor):
            continue
        plain = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {tuple(plain.shape)} {plain.dtype}\n".encode())
        digest.update(plain.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _check_present(model: nn.Module) -> None:
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if tensor.is_meta or nn.parameter.is_lazy(tensor):
            raise BadWeights(f"The weight '{name}' has no values yet. Load a checkpoint, or run the model once, first.")


def _check_finite(model: nn.Module) -> None:
    for name, tensor in model.state_dict().items():
        if not isinstance(tensor, Tensor) or not tensor.is_floating_point() or not tensor.numel():
            continue
        # NaN and infinity are never lost in the extremes, which take one pass and no memory
        if not all(torch.isfinite(extreme) for extreme in tensor.aminmax()):
            raise BadWeights(f"The weight '{name}' holds NaN or infinity. Load a checkpoint without, from before that.")


def _notes(model: nn.Module) -> Iterator[str]:
    if any(module.training for module in model.modules()):
        yield "The model was in training mode: it is run in evaluation mode here, and left as it was."
    if any(hooked(module) for module in model.modules()):
        yield "The model has forward hooks: they are not run here, and are left as they were."


def _recorded(frozen: nn.Module, leaves: Iterable[str]) -> Recording:
    known = dict(frozen.named_modules(remove_duplicate=False))
    kept = set()
    for leaf in [leaves] if isinstance(leaves, str) else leaves:
        if leaf not in known or not leaf:
            raise CannotTrace(
                f"There is no submodule '{leaf}' to keep whole. Near it: {suggest(leaf, filter(None, known))}; all of "
                "them: model.named_modules()."
            )
        kept.add(known[leaf])
    needed = [
        parameter.name
        for parameter in inspect.signature(frozen.forward).parameters.values()
        if parameter.default is parameter.empty
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    ]
    if len(needed) > 1:
        raise CannotTrace(
            f"The network takes {len(needed)} inputs ({', '.join(needed)}). "
            "Wrap it in a module whose forward takes one batch of pictures."
        )
    recording = Recording(kept)
    try:
        recording.trace(frozen)
    except Exception as error:
        block = recording.failed or "the.block"
        way_out = f"mark it as a leaf: trace(model, card, leaves=['{block}'])."
        raise CannotTrace(
            f"The forward pass cannot be written down as a fixed graph: {_culprit(error)} ({_first_line(error)}). "
            + ("Rewrite the line, or " if recording.failed else "Rewrite the line, or move it into a submodule and ")
            + way_out
        ) from error
    return recording


def _culprit(error: Exception) -> str:
    """The last line of the user's own code, or of a library other than torch, on the way to the error."""
    ours = {str(Path(__file__)), str(Path(__file__).with_name("record.py"))}
    torch_home = str(Path(torch.__file__).parent)
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith((torch_home, "<")) and frame.filename not in ours
    ]
    if not frames:
        return "in torch's own code"
    return f"line {frames[-1].lineno} of {Path(frames[-1].filename).name}, '{frames[-1].line}'"


def _first_line(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return text[0].rstrip(".") if text else type(error).__name__


def _targets(graph: fx.Graph, modules: dict[str, nn.Module]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for node in graph.nodes:
        if node.op == "call_module":
            found[str(node.target)] = modules[str(node.target)]
        elif node.op == "get_attr":
            owner, _, name = str(node.target).rpartition(".")
            found[str(node.target)] = getattr(modules[owner], name)
    return found


class _Steps(fx.Interpreter):
    def through(self, example: Tensor) -> None:
        """Run every node in turn. `run` would do, but on an error it imports all of torch's compiler first."""
        self.args_iter = iter([example])
        for node in self.graph.nodes:
            self.env[node] = self.run_node(node)


class _Measured(_Steps):
    """Runs a graph and notes at each node the shape of its value, and whether the value depends on the picture."""

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        if isinstance(result, Tensor):
            n.meta["shape"] = tuple(result.shape)
        depends = n.op == "placeholder" or any(source.meta.get("data") for source in n.all_input_nodes)
        n.meta["data"] = depends and next(_tensors(result), None) is not None
        return result


def _measure(module: fx.GraphModule, example: Tensor) -> None:
    try:
        _Measured(module).through(example.clone())
    except Exception as error:
        half = example.dtype in (torch.float16, torch.bfloat16)
        raise CannotTrace(
            f"The network does not run on a picture of {example.shape[3]} x {example.shape[2]} px with "
            f"{example.shape[1]} channels ({_first_line(error)}). Give its Card the size and channels it was made for"
            + (", or trace model.float()." if half else ".")
        ) from error


class _Watched(_Steps):
    """Runs a graph and stops at a node that writes to what it reads."""

    def run_node(self, n: fx.Node) -> Any:
        read = [
            tensor for source in n.all_input_nodes for tensor in _tensors(self.env[source]) if not tensor.is_inference()
        ]
        before = [tensor._version for tensor in read]
        result = super().run_node(n)
        if before != [tensor._version for tensor in read]:
            raise CannotTrace(
                f"'{n.target}' changes the value it reads in place, in a way that cannot be written down. "
                "Let it work on a copy: x = x.clone()."
            )
        return result


def _verify(module: fx.GraphModule, reference: nn.Module, example: Tensor) -> None:
    """The graph must return the model's own result bit for bit, or the trace would be a different network."""
    _Watched(module).through(example.clone())
    ours, theirs, again = (list(_tensors(each(example.clone()))) for each in (module, reference, reference))
    if not theirs:
        raise CannotTrace("The network returns no tensor. Wrap it in a module whose forward returns its scores.")
    if not _equal(theirs, again):
        raise CannotTrace(
            "The network returns something else each time it is run on the same picture: its forward pass is random "
            "or keeps a state. Let it be fixed in evaluation mode, for example F.dropout(x, training=self.training)."
        )
    if not _equal(ours, theirs):
        raise CannotTrace(
            "The traced graph does not return what the model returns: its forward pass changes a part of a value in "
            "place, or does what leaves no trace. Mark the block that does so as a leaf: trace(model, card, "
            "leaves=['the.block'])."
        )


def _equal(ours: list[Tensor], theirs: list[Tensor]) -> bool:
    return len(ours) == len(theirs) and all(map(_same, ours, theirs))


def _same(a: Tensor, b: Tensor) -> bool:
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    if a.device.type == "cpu" or not a.is_floating_point():
        return bool(((a == b) | ((a != a) & (b != b))).all())
    # an accelerator may choose another algorithm for the same convolution from one call to the next
    return torch.allclose(a.float(), b.float(), rtol=1e-2, atol=1e-2 * float(a.abs().max()), equal_nan=True)


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from _tensors(each)
    elif dataclasses.is_dataclass(value):
        yield from _tensors(vars(value))
