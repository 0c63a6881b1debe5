"""What stands at each node of a traced graph: kinds, shapes, receptive fields, parents and branches."""

from __future__ import annotations

from dataclasses import replace

from torch import fx, nn

from micrographia.model.branches import find_branches
from micrographia.model.graph import Layer
from micrographia.model.ops import POINTWISE, Window, argument, data_inputs, kind, resizing, window
from micrographia.model.receptive import Field, merged, resized, same_grid, through, through_transposed

Fields = tuple[Field, Field] | None

# functions that take values to other places than their own, though the grid stays the same
_MOVING = frozenset(
    {"flip", "fliplr", "flipud", "roll", "rot90", "matmul", "bmm", "einsum", "cumsum", "cumprod", "sort", "fft2", "T",
     "mT", "movedim", "softmax", "log_softmax", "attention", "scaled_dot_product_attention"}
)  # fmt: skip


def describe(
    graph: fx.Graph, modules: dict[str, nn.Module], names: dict[str, str], size: tuple[int, int]
) -> dict[str, Layer]:
    """A Layer for every named value, in the order of computation. Node shapes must be in their `meta`."""
    nodes = {node.name: node for node in graph.nodes}
    addresses: dict[str, list[str]] = {}
    for address, node in names.items():
        addresses.setdefault(node, []).append(address)
    kinds = {name: kind(node, modules) for name, node in nodes.items()}
    shaped = {name: node for name, node in nodes.items() if "shape" in node.meta}
    windows = {name: window(node, kinds[name], modules, _extent) for name, node in shaped.items()}
    fields = _fields(graph, kinds, windows, modules)
    inner, heads = _blocks(addresses, nodes, kinds)
    layers = {}
    for name, given in addresses.items():
        head = heads.get(name, name)
        field = fields[name]
        layers[given[0]] = Layer(
            name=given[0],
            op=kinds[head],
            shape=tuple(nodes[name].meta["shape"][1:]),
            window=windows.get(head),
            groups=_groups(nodes[head], kinds[head], modules),
            stride=None if field is None else (field[0].scale, field[1].scale),
            receptive_field=None if field is None else (field[0].size, field[1].size),
            offset=None if field is None else (field[0].centre, field[1].centre),
            parents=tuple(_parents(nodes[head], addresses)),
            inner=name in inner,
            aliases=tuple(given[1:]),
        )
    return {name: replace(layer, branches=find_branches(layer, layers)) for name, layer in layers.items()}


def _extent(node: fx.Node) -> tuple[int, int]:
    """Height and width of a value; of what a tuple was made from."""
    if "shape" not in node.meta:
        sources = data_inputs(node)
        return _extent(sources[0]) if sources else (1, 1)
    shape = node.meta["shape"]
    return (shape[-2], shape[-1]) if len(shape) >= 3 else (1, 1)


def _groups(node: fx.Node, word: str, modules: dict[str, nn.Module]) -> int:
    if word not in ("conv", "transposed conv"):
        return 1
    if node.op == "call_module":
        return int(getattr(modules[str(node.target)], "groups", 1))
    return int(argument(node, 6, "groups", 1))


def _parents(node: fx.Node, addresses: dict[str, list[str]]) -> list[str]:
    """Canonical names of the values a node reads, in the order of its arguments, through values without a name."""
    found: list[str] = []
    for source in data_inputs(node):
        if source.name in addresses:
            found.append(addresses[source.name][0])
        else:
            found.extend(_parents(source, addresses))
    return list(dict.fromkeys(found))


def _blocks(
    addresses: dict[str, list[str]], nodes: dict[str, fx.Node], kinds: dict[str, str]
) -> tuple[set[str], dict[str, str]]:
    """Blocks like conv, batch norm, ReLU: which values are inside one, and the op that heads each.

    A module that returns a value is such a block where that value comes from one op inside it through pointwise
    ops and norms only, each of which nobody else reads.
    """
    inner: set[str] = set()
    heads: dict[str, str] = {}
    absorbed = POINTWISE | {"lrn", "norm"}
    for name, given in addresses.items():
        # a block's path has its parts' paths below it, so the outermost alias decides what is inside
        chain, node = [], nodes[name]
        prefixes = [f"{address.partition('#')[0]}." for address in given]
        while kinds[node.name] in absorbed and len(node.all_input_nodes) == 1:
            source = node.all_input_nodes[0]
            inside = source.name in addresses and any(
                alias.startswith(prefix) for alias in addresses[source.name] for prefix in prefixes
            )
            if not inside or len(source.users) != 1:
                break
            chain.append(source.name)
            node = source
        if chain and kinds[node.name] not in absorbed:
            heads[name] = node.name
            inner.update(chain)
    return inner, heads


def _fields(
    graph: fx.Graph,
    kinds: dict[str, str],
    windows: dict[str, Window | None],
    modules: dict[str, nn.Module] | None = None,
) -> dict[str, Fields]:
    """Both axes' fields of every value; None where it sees the whole picture, or may do so."""
    fields: dict[str, Fields] = {}
    for node in graph.nodes:
        if node.op == "placeholder":
            fields[node.name] = (Field(), Field())
        elif node.op not in ("get_attr", "output") and node.meta.get("data", "shape" in node.meta):
            sources = [source for source in data_inputs(node) if source.name in fields]
            fields[node.name] = _field(node, sources, kinds[node.name], windows.get(node.name), fields, modules or {})
    return fields


def _field(
    node: fx.Node,
    sources: list[fx.Node],
    word: str,
    step: Window | None,
    fields: dict[str, Fields],
    modules: dict[str, nn.Module],
) -> Fields:
    read = [field for source in sources if (field := fields[source.name]) is not None]
    # a value of rank 3 may be one channel of a map, as long as the grid stays the same
    if not read or len(read) < len(sources) or len(node.meta.get("shape", (0,) * 4)) < 3:
        return None
    rows, columns = [pair[0] for pair in read], [pair[1] for pair in read]
    if not (same_grid(rows) and same_grid(columns)):
        return None
    before = (merged(rows), merged(columns))
    if step is not None and word != "adaptive pool":
        pass_on = through_transposed if word == "transposed conv" else through
        return pass_on(before[0], step, 0), pass_on(before[1], step, 1)
    old, new = _extent(sources[0]), _extent(node)
    if word in ("upsample", "adaptive pool") and new != (1, 1):
        how = resizing(node, modules)
        return tuple(  # type: ignore[return-value]
            resized(field, was, now, how.mode, how.corners, how.antialias, how.step and how.step[axis])
            for axis, (field, was, now) in enumerate(zip(before, old, new, strict=True))
        )
    if word in POINTWISE | {"lrn", "concat"} or (word == "softmax" and _axis(node, modules) == 1):
        return before
    # an op the tables do not know: if it keeps the grid it is taken to keep the places too
    return before if old == new and _keeps_places(node, word, modules) else None


def _axis(node: fx.Node, modules: dict[str, nn.Module]) -> int | None:
    if node.op == "call_module":
        return getattr(modules.get(str(node.target)), "dim", None)
    return argument(node, 1, "dim")


def _keeps_places(node: fx.Node, word: str, modules: dict[str, nn.Module]) -> bool:
    if node.op == "call_module":
        # a block kept whole may hold convolutions
        return word == "other" and type(modules.get(str(node.target))).__module__.startswith("torch.nn")
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
    if name in ("permute", "transpose", "swapaxes"):
        rank = len(node.meta["shape"])
        moved = [each for each in _numbers(node.args[1:]) if each is not None]
        kept = {rank - 2, rank - 1, -2, -1}
        return moved[-2:] in ([rank - 2, rank - 1], [-2, -1]) if name == "permute" else not kept & set(moved)
    return name not in _MOVING and word not in ("norm", "linear")


def _numbers(values: tuple) -> list[int]:
    return [n for value in values for n in (value if isinstance(value, (tuple, list)) else (value,)) if type(n) is int]
