"""Recording a forward pass with torch.fx: its nodes, its values' names, and in-place operations made ordinary."""

from __future__ import annotations

import operator
import re
from typing import Any

from torch import fx, nn

from micrographia.model.ops import out_of_place


class _Value(fx.Proxy):
    """A value in a recorded forward pass. torch.fx takes x += y for x = x + y, though others may read x later."""

    def __iadd__(self, other: Any) -> fx.Proxy:
        return self.tracer.create_proxy("call_function", operator.iadd, (self, other), {})

    def __isub__(self, other: Any) -> fx.Proxy:
        return self.tracer.create_proxy("call_function", operator.isub, (self, other), {})

    def __imul__(self, other: Any) -> fx.Proxy:
        return self.tracer.create_proxy("call_function", operator.imul, (self, other), {})

    def __itruediv__(self, other: Any) -> fx.Proxy:
        return self.tracer.create_proxy("call_function", operator.itruediv, (self, other), {})


class Recording(fx.Tracer):
    """What a forward pass did: the graph, which value each submodule returned and when, and where it broke off.

    Submodules of torch.nn and those in `leaves` are kept whole.
    """

    def __init__(self, leaves: set[nn.Module]) -> None:
        super().__init__()
        self.leaves = leaves
        self.failed = ""
        self._path: list[str] = []
        self._calls: dict[str, int] = {}
        # per node, the module it stands in; the count of nodes serves as the time
        self._inside: dict[str, str] = {}
        self._returned: list[tuple[str, fx.Node, int, int]] = []
        self._replaced: dict[fx.Node, tuple[int, fx.Node]] = {}

    def proxy(self, node: fx.Node) -> fx.Proxy:
        """The stand-in for a value, which records what is done with it."""
        return _Value(node, self)

    def create_args_for_root(self, root_fn: Any, is_module: bool, concrete_args: Any = None) -> tuple[Any, list[Any]]:
        """Give the forward pass its pictures only: all other arguments keep their defaults."""
        forward = vars(self.root).get("forward")
        picture = self.create_proxy("placeholder", "picture", (), {})
        return (root_fn, [self.root, picture]) if forward is None else (forward, [picture])

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Whether a module is one node of the graph."""
        own = type(m).__module__.startswith("torch.nn") and not isinstance(m, nn.Sequential)
        return own or m in self.leaves or bool(getattr(m, "is_lrn", False))

    def call_module(self, m: nn.Module, forward: Any, args: Any, kwargs: Any) -> Any:
        """Note what the module returned beside recording the call."""
        path = self.path_of_module(m)
        count = self._calls[path] = self._calls.get(path, 0) + 1
        address = re.sub(r"[:@\s]", "_", path) + (f"#{count}" if count > 1 else "")
        start = len(self._inside)
        self._path.append(path)
        try:
            result = super().call_module(m, forward, args, kwargs)
        except Exception:
            self.failed = self.failed or path
            raise
        finally:
            self._path.pop()
        if isinstance(result, fx.Proxy):
            self._returned.append((address, result.node, start, len(self._inside)))
        return result

    def create_node(self, *args: Any, **kwargs: Any) -> fx.Node:
        """Note the module that a node stands in."""
        node = super().create_node(*args, **kwargs)
        self._inside[node.name] = self._path[-1] if self._path else ""
        return node

    def straighten(self, modules: dict[str, nn.Module]) -> None:
        """Make in-place operations ordinary ones: whoever reads the changed value afterwards reads their result.

        Needs the shapes in the nodes' `meta`, because += changes a tensor in place but not a number.
        """
        order = {node: index for index, node in enumerate(self.graph.nodes)}
        for node in list(self.graph.nodes):
            if not node.all_input_nodes or node.op == "output":
                continue
            target = node.args[0] if node.args else node.kwargs.get("input")
            if not out_of_place(node, modules) or not isinstance(target, fx.Node) or "shape" not in target.meta:
                continue
            self._replaced[target] = (order[node], node)

            def reads_later(user: fx.Node, position: int = order[node]) -> bool:
                return order[user] > position

            target.replace_all_uses_with(node, delete_user_cb=reads_later)

    def names(self) -> dict[str, str]:
        """Every address of every value, {address: node}; a value's first address is its canonical one.

        Canonical is the outermost module that computed the value. Modules that only hand it on come after.
        """
        order = {name: index for index, name in enumerate(self._inside)}
        values = {
            node.name: node
            for node in self.graph.nodes
            if "shape" in node.meta and node.meta["data"] and node.op != "output"
        }
        computed: dict[str, list[str]] = {name: [] for name in values}
        handed_on: dict[str, list[str]] = {name: [] for name in values}
        for address, result, start, end in self._returned:
            node = self._at(result, end)
            if node.name in values:
                # recorded when a module returns, so the outermost comes last
                (computed if order[node.name] >= start else handed_on)[node.name].insert(0, address)
        taken = {address for given in (*computed.values(), *handed_on.values()) for address in given}
        names: dict[str, str] = {}
        for name, node in values.items():
            if not computed[name]:
                computed[name] = [_free(self._described(node), taken)]
            for address in (*computed[name], *handed_on[name]):
                names.setdefault(address, name)
        return names

    def _at(self, node: fx.Node, time: int) -> fx.Node:
        """What a value had become by then through in-place operations."""
        while node in self._replaced and self._replaced[node][0] < time:
            node = self._replaced[node][1]
        return node

    def _described(self, node: fx.Node) -> str:
        """A name for the value of an operation that is no module: its function, in the module it stands in."""
        if node.op == "placeholder":
            return "input"
        function = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "value")
        function = {"cat": "concat", "concatenate": "concat"}.get(function.strip("_"), function.strip("_"))
        return re.sub(r"[:@\s]", "_", f"{self._inside[node.name]}.{function}".lstrip("."))


def _free(base: str, taken: set[str]) -> str:
    number, address = 1, base
    while address in taken:
        number += 1
        address = f"{base}#{number}"
    taken.add(address)
    return address
