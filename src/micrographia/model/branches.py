"""Parallel paths of a block and the channels each supplies: concats, groups, and residual paths that meet in an add."""

from __future__ import annotations

from micrographia.model.graph import Branch, Layer

# ops through which channel c of the input stays channel c of the output, and sees no other channel
CHANNELWISE = frozenset(
    {"relu", "activation", "batchnorm", "dropout", "identity", "maxpool", "avgpool", "adaptive pool", "pad", "upsample"}
)


def find_branches(layer: Layer, layers: dict[str, Layer]) -> tuple[Branch, ...]:
    """The branches of a layer in channel order; none where it has only one path.

    A concat's branches share the channels out; those of an addition all supply every channel; a grouped convolution
    has a branch per group, and so has the layer that feeds only that convolution (AlexNet's two columns).
    """
    if layer.op == "concat":
        return _concatenated(layer, layers)
    if layer.op == "add" and len(layer.parents) > 1:
        paths = _own_paths(layer, layers)
        return tuple(Branch(name, 0, layer.channels - 1, paths[name]) for name in layer.parents)
    columns = _columns(layer, layers)
    if columns > 1:
        width = layer.channels // columns
        return tuple(Branch(f"{layer.name}.group{i}", i * width, (i + 1) * width - 1) for i in range(columns))
    return ()


def _concatenated(layer: Layer, layers: dict[str, Layer]) -> tuple[Branch, ...]:
    paths = _own_paths(layer, layers)
    branches, first = [], 0
    for name in layer.parents:
        last = first + layers[name].channels - 1
        branches.append(Branch(name, first, last, paths[name]))
        first = last + 1
    # joined along another axis, or one path twice: then the channels are not shared out
    return tuple(branches) if first == layer.channels else ()


def _columns(layer: Layer, layers: dict[str, Layer]) -> int:
    if layer.op != "conv":
        return 1
    if layer.groups > 1:
        # with one channel to read in each group it is depthwise: no branches
        return layer.groups if layer.groups < min(layer.channels, layers[layer.parents[0]].channels) else 1
    groups = {reader.groups if reader.op == "conv" else 1 for reader in _readers(layer.name, layers)}
    if len(groups) != 1:
        return 1
    columns = groups.pop()
    return columns if 1 < columns < layer.channels and layer.channels % columns == 0 else 1


def _readers(name: str, layers: dict[str, Layer]) -> list[Layer]:
    """The layers that read a value, looking through ops that keep the channels apart."""
    found = []
    for other in layers.values():
        if name in other.parents:
            # local response normalisation mixes neighbours, but channel c stays in its column
            through = other.op in CHANNELWISE or other.op == "lrn"
            found.extend(_readers(other.name, layers) if through else [other])
    return found


def _own_paths(layer: Layer, layers: dict[str, Layer]) -> dict[str, tuple[str, ...]]:
    """For each parent, the layers that only its path goes through, in order, the parent last."""
    above = {name: _ancestors(name, layers) for name in layer.parents}
    paths = {}
    for name in layer.parents:
        others = set().union(*(above[other] for other in layer.parents if other != name))
        own = above[name] - others
        paths[name] = tuple(key for key in layers if key in own and not layers[key].inner)
    return paths


def _ancestors(name: str, layers: dict[str, Layer]) -> set[str]:
    found, stack = set(), [name]
    while stack:
        each = stack.pop()
        if each not in found:
            found.add(each)
            stack.extend(layers[each].parents)
    return found
