"""kept(...), removed(...): the target's value with only a circuit's edges, or with all but them.

An edge carries what a unit reads of another one. With `kept`, a unit of the circuit reads along its own edges what the
circuit gives there, and the ablated value of everything else; units that no edge leads to count as ablated. With
`removed`, the network runs as it is, except that the circuit's edges carry ablated values.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from micrographia.circuits.probe import Ablated, Probe, Values
from micrographia.circuits.stage import Reader

TARGET = -1  # the target's number among the units of its layer


@dataclass(frozen=True, order=True)
class Link:
    """An edge by numbers: into unit `target` of layer `stage` (counted from the base, which is 0; the target itself is
    -1) from unit `source` of the layer before; `kernel` is one kernel (out channel of an entry), or -1 for all of them.
    """

    stage: int
    target: int
    source: int
    kernel: int = -1


@dataclass(eq=False)
class Trace:
    """Of each unit that a circuit computed: leaves that stand for what its entries gave, and its value."""

    leaves: dict[tuple[int, int], list[Tensor]] | None = None
    values: dict[tuple[int, int], Tensor] = field(default_factory=dict)

    def of(self, stage: int, unit: int) -> list[Tensor] | None:
        """Where a unit's leaves go; None where nobody asks for them."""
        return None if self.leaves is None else self.leaves.setdefault((stage, unit), [])


Wires = Mapping[int, Mapping[int, Mapping[int, frozenset[int]]]]


def wires(links: Iterable[Link]) -> Wires:
    """The links by stage, target and source, with the set of kernels."""
    found: dict[int, dict[int, dict[int, set[int]]]] = {}
    for link in links:
        found.setdefault(link.stage, {}).setdefault(link.target, {}).setdefault(link.source, set()).add(link.kernel)
    return {
        stage: {unit: {source: frozenset(each) for source, each in sorted(sources.items())}
                for unit, sources in sorted(units.items())}
        for stage, units in found.items()
    }  # fmt: skip


def kept(probe: Probe, links: Iterable[Link], ablation: Ablated) -> Values:
    """The target's value in each window where only these edges carry what they carry.

    With every edge of the network it is the network's own value.

    >>> (kept(found, every_edge, zero) - found.values).abs().max()  # doctest: +SKIP
    tensor(2.4e-07)
    """
    with torch.no_grad():
        return traced(probe, links, ablation)


def traced(probe: Probe, links: Iterable[Link], ablation: Ablated, trace: Trace | None = None) -> Values:
    """What `kept` gives, with gradients; a `trace` is filled with what every unit read and computed on the way."""
    by_stage = wires(links)
    depth = len(probe.chain.stages)
    trace = Trace() if trace is None else trace
    known: dict[int, Tensor] = {}
    for number, stage in enumerate(probe.chain.stages, start=1):
        new: dict[int, Tensor] = {}
        for unit, sources in by_stage.get(number, {}).items():
            if number == 1:
                own = {source: probe.reads[0][:, source : source + 1] for source in sources}
            else:
                own = {source: known[source] for source in sources if source in known}
            if not own:
                continue
            if number == depth:
                maps = [
                    w * _kept(reader, number - 1, own, sources, ablation, trace.of(number, unit))
                    for reader, w in probe.readers
                ]
                return probe.at_cells(torch.stack(maps).sum(0))
            value = _kept(stage.reader(unit), number - 1, own, sources, ablation, trace.of(number, unit))
            new[unit] = probe.chain.stages[number].read_some(value, [unit], probe.ratios[number])
            trace.values[number, unit] = new[unit]
        known = new
    return nothing(probe, ablation)


def nothing(probe: Probe, ablation: Ablated) -> Values:
    """The target's value where everything before it is ablated."""
    layer = len(probe.chain.stages) - 1
    with torch.no_grad():
        maps = [w * reader([ablation.whole(layer, entry) for entry in reader.entries]) for reader, w in probe.readers]
        return probe.at_cells(torch.stack(maps).sum(0))


def _kept(
    reader: Reader,
    layer: int,
    own: Mapping[int, Tensor],
    sources: Mapping[int, frozenset[int]],
    ablation: Ablated,
    trace: list[Tensor] | None,
) -> Tensor:
    """A unit whose kept sources have their own values while the others are ablated."""
    outs, channels = [], list(own)
    value = torch.cat(list(own.values()), 1)
    for number, entry in enumerate(reader.entries):
        change = entry.before(value, channels) - ablation.before(layer, entry)[:, channels]
        mask = _mask(reader, number, channels, sources)
        out = ablation.whole(layer, entry) + entry.mix(change, channels, mask)
        if trace is not None:
            # a zero of its own stands for what the entry gives, so that the gradient there can be asked for
            trace.append(torch.zeros_like(out, requires_grad=True))
            out = out + trace[-1]
        outs.append(out)
    return reader(outs)


def _mask(reader: Reader, number: int, channels: list[int], sources: Mapping[int, frozenset[int]]) -> Tensor | None:
    """Which kernels of an entry are kept, "out channel"; None where all of them are."""
    if all(-1 in sources[channel] for channel in channels):
        return None
    first = sum(len(each.weight) for each in reader.entries[:number])
    weight = reader.entries[number].weight
    mask = weight.new_zeros((len(weight), len(channels)))
    for column, channel in enumerate(channels):
        if -1 in sources[channel]:
            mask[:, column] = 1
        else:
            rows = [kernel - first for kernel in sources[channel] if first <= kernel < first + len(weight)]
            mask[rows, column] = 1
    return mask


def removed(probe: Probe, links: Iterable[Link], ablation: Ablated) -> Values:
    """The target's value in each window where all edges but these carry what they carry.

    >>> removed(found, [], zero).equal(found.values)  # doctest: +SKIP
    True
    """
    by_stage = wires(links)
    stages = probe.chain.stages
    with torch.no_grad():
        read, natural = probe.reads[0], True
        for number, stage in enumerate(stages, start=1):
            here, layer = by_stage.get(number, {}), number - 1
            if number == len(stages):
                cut = here.get(TARGET, {})
                maps = [w * _removed(probe, reader, layer, read, natural, cut, ablation) for reader, w in probe.readers]
                return probe.at_cells(torch.stack(maps).sum(0))
            after = stages[number]
            if natural:
                value = probe.reads[number].clone() if here else probe.reads[number]
            else:
                every = range(probe.chain.channels[number])
                value = after.read_some(stage.full(read), every, probe.ratios[number])
            for unit, cut in here.items():
                new = _removed(probe, stage.reader(unit), layer, read, natural, cut, ablation)
                value[:, unit : unit + 1] = after.read_some(new, [unit], probe.ratios[number])
            read, natural = value, natural and not here
    return probe.values


def _removed(
    probe: Probe,
    reader: Reader,
    layer: int,
    read: Tensor,
    natural: bool,
    cut: Mapping[int, frozenset[int]],
    ablation: Ablated,
) -> Tensor:
    """A unit some of whose sources are ablated, as the layer before it reads now."""
    outs, channels = [], list(cut)
    for number, entry in enumerate(reader.entries):
        whole = probe.whole(layer, entry) if natural else entry.whole(read)
        if cut:
            change = ablation.before(layer, entry)[:, channels] - entry.before(read[:, channels], channels)
            whole = whole + entry.mix(change, channels, _mask(reader, number, channels, cut))
        outs.append(whole)
    return reader(outs)
