"""A chain of residual blocks as parallel paths: the values whose sum is a layer, and the layers that make each."""

from __future__ import annotations

from micrographia.errors import BadValue
from micrographia.model.graph import LayerGraph
from micrographia.model.linear import affine


def summands(graph: LayerGraph, layer: str) -> tuple[str, ...]:
    """The values whose sum is the layer: the start of its chain of residual additions, then what each block adds.

    Additions are followed upwards through identities until something else comes, such as a projection or a ReLU. Raises
    BadAddress, and BadValue for a layer that is no sum.

    Source: residual networks behave like ensembles of shallow ones (Veit, Wilber and Belongie 2016, section 3).

    >>> summands(graph, "block2")  # doctest: +SKIP
    ('block2.unit1.shortcut', 'block2.unit1.conv3', 'block2.unit2.conv3', 'block2.unit3.conv3')
    """
    top = graph.layer(layer)
    if top.op != "add" or len(top.parents) < 2:
        sums = [each.name for each in graph.visible() if each.op == "add"]
        near = f"Its sums are {', '.join(sums)}." if sums else "This network has no residual additions."
        raise BadValue(f"{top.name} is not a sum of paths. {near}")
    found: list[str] = []
    stack = [top.name]
    while stack:
        each = graph.layer(stack.pop())
        if each.op == "add" and len(each.parents) > 1:
            stack.extend(reversed(each.parents))
        elif each.op == "identity":
            stack.append(each.parents[0])
        else:
            found.append(each.name)
    order = list(graph.layers)
    return tuple(sorted(found, key=order.index))


def paths(graph: LayerGraph, layer: str) -> tuple[tuple[str, ...], ...]:
    """For each of the summands, the layers that only its path goes through, the summand last.

    Raises as `summands` does.

    >>> paths(graph, "block2.unit1")  # doctest: +SKIP
    (('block2.unit1.shortcut',), ('block2.unit1.conv1', 'block2.unit1.conv2', 'block2.unit1.conv3'))
    """
    own = {branch.name: branch.layers for each in graph.visible() if each.op == "add" for branch in each.branches}
    return tuple(own.get(name) or (name,) for name in summands(graph, layer))


def start(graph: LayerGraph, layer: str) -> str:
    """The last layer that all paths into a sum come from, and that nothing goes around.

    Raises as `summands` does, and BadValue where the paths share nothing or cannot be made affine.

    >>> start(graph, "block2")  # doctest: +SKIP
    'block2.unit1.preact'
    """
    parts = summands(graph, layer)
    common = set.intersection(*(_sources(graph, name) for name in parts))
    for name in reversed(list(graph.layers)):
        if name in common and not graph.layers[name].inner and affine(graph, name, layer).complete:
            return name
    raise BadValue(f"The paths into {layer} start from nothing in common. Choose a sum of paths from one layer.")


def _sources(graph: LayerGraph, name: str) -> set[str]:
    """A layer and all that it comes from."""
    found, stack = set(), [name]
    while stack:
        each = stack.pop()
        if each not in found:
            found.add(each)
            stack.extend(graph.layers[each].parents)
    return found
