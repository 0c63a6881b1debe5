"""Paths: the target's gradient with a sign of its own on every edge, so that what paths carry cannot cancel.

A unit that excites the target by one path and inhibits it by another has hardly any gradient, however much it takes
part: that is how two features share a unit and are taken apart again. So each edge on the way down is given a random
sign, another for every picture. The square of what then arrives is, on average over the signs, the sum over all paths
of the square of what each carries, since products of two different paths average to zero. It costs no more than the
plain gradient, at any depth.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from micrographia.circuits.probe import Probe
from micrographia.circuits.stage import Entry

DRAWS = 2  # of the signs on each picture; they are averaged over all pictures besides


class Paths:
    """Gathers, from the edges into the units of one layer, the signed gradient of the layer before it.

    >>> Paths(found, 2).gradients()  # doctest: +SKIP
    [tensor(...), tensor(...)]
    """

    def __init__(self, probe: Probe, layer: int, draws: int = DRAWS) -> None:
        self.probe, self.layer, self.draws = probe, layer, draws
        self._entries: dict[str, Entry] = {}
        self._sums: dict[tuple[str, int], Tensor] = {}
        self._signs: dict[tuple[int, int], Tensor] = {}

    def add(self, unit: int, draw: int, entry: Entry, back: Float[Tensor, "window source height width"]) -> None:
        """The gradient of one unit's entry with respect to what it reads; all entries of an edge have the same sign."""
        self._entries.setdefault(entry.source, entry)
        signed = back * self._sign(unit, draw).to(back)
        known = self._sums.get((entry.source, draw))
        self._sums[entry.source, draw] = signed if known is None else known + signed

    def _sign(self, unit: int, draw: int) -> Float[Tensor, "window source 1 1"]:
        if (unit, draw) not in self._signs:
            # the target is unit -1
            generator = torch.Generator().manual_seed((self.layer * 10_000_019 + unit + 1) * 101 + draw)
            shape = (len(self.probe), self.probe.reads[self.layer].shape[1], 1, 1)
            self._signs[unit, draw] = torch.randint(0, 2, shape, generator=generator) * 2.0 - 1.0
        return self._signs[unit, draw]

    def gradients(self) -> list[Float[Tensor, "window source height width"]]:
        """With respect to the layer as its readers see it, one for each draw of the signs."""
        found = []
        for draw in range(self.draws):
            total = torch.zeros_like(self.probe.reads[self.layer])
            for source, entry in self._entries.items():
                with torch.inference_mode(False), torch.enable_grad():
                    read = self.probe.reads[self.layer].detach().clone().requires_grad_(True)
                    (own,) = torch.autograd.grad(entry.before(read), read, self._sums[source, draw])
                total = total + own
            found.append(total)
        return found
