"""A chain of residual blocks as parallel paths: the values whose sum is a layer, and the layers that make each."""

from __future__ import annotations

from micrographia.errors import BadValue
from micrographia.model.graph import LayerGraph


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
