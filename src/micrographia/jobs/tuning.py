"""tuning(graph, address): what the units of a layer answer to synthetic stimuli, and its figures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from micrographia.console import Stages, silent
from micrographia.errors import BadValue
from micrographia.images.bundled import open_images
from micrographia.images.source import ImageSource, batches
from micrographia.images.stimuli.catalogue import catalogue
from micrographia.images.stimuli.frame import Axis, count
from micrographia.model.cell import checked_field
from micrographia.model.graph import LayerGraph
from micrographia.model.probe import Probe, probe
from micrographia.publish import atomic
from micrographia.publish.plot import encoded
from micrographia.publish.tuning import Sheet, tuning_figure
from micrographia.study.examples import survey
from micrographia.study.tuning import Measured, Tuning, measured, pooled, tune
from micrographia.unit import Unit

MOST = 12  # units in a figure

PerUnit = Float[np.ndarray, " unit"]


@dataclass(frozen=True, eq=False)
class LayerTuning:
    """The tuning of a layer's units to each family, of which `units` were asked for.

    `mean` and `std` are those of each unit's values over all places of some pictures, None where none were looked at;
    `field` is the width of the stimuli in px.
    """

    layer: str
    units: tuple[int, ...]
    field: float
    answers: Measured
    families: Mapping[str, Tuning]
    mean: PerUnit | None
    std: PerUnit | None
    notes: tuple[str, ...]

    def share(self, family: str) -> PerUnit:
        """How strong the best answer to a family is, of the best answer to anything."""
        top = self.answers.top
        return np.divide(self.families[family].peak, top, out=np.zeros(len(top)), where=top > 0)

    def strongest(self, family: str, most: int = MOST) -> list[int]:
        """The units that were asked for whose tuning holds, by strength times their best answer in standard deviations
        (or, without pictures, its share of the best to anything); all of them where they are few.
        """
        found = self.families[family]
        if len(self.units) <= most:
            return [unit for unit in self.units if found.peak[unit] > 0]
        best = self.share(family)
        if self.mean is not None and self.std is not None:
            above = np.maximum(found.peak + self.answers.grey - self.mean, 0)
            best = np.divide(above, self.std, out=np.zeros(len(best)), where=self.std > 0)
        rank = best * np.nan_to_num(found.strength)
        holding = [unit for unit in self.units if found.corrected[unit] <= 0.05]
        return sorted(holding, key=lambda unit: (-rank[unit], unit))[:most]

    def to_json(self) -> dict[str, Any]:
        """Plain values, as `tuning --json` prints them."""
        dead = set(self.answers.dead)
        return {
            "layer": self.layer,
            "field": self.field,
            "stimuli": sum(count(family) for family in self.answers.families.values()),
            "families": {name: [axis.to_json() for axis in found.axes] for name, found in self.families.items()},
            "dead": [f"{self.layer}:{unit}" for unit in self.units if unit in dead],
            "units": [self._unit(unit) for unit in self.units if unit not in dead],
            "notes": list(self.notes),
        }

    def _unit(self, unit: int) -> dict[str, Any]:
        found = {}
        for name, each in self.families.items():
            found[name] = each.of(unit) | {
                "share": float(self.share(name)[unit]),
                "peak_sd": self.deviations(name, unit),
            }
        return {
            "unit": f"{self.layer}:{unit}",
            "on_grey": float(self.answers.grey[unit]),
            "mean": None if self.mean is None else float(self.mean[unit]),
            "std": None if self.std is None else float(self.std[unit]),
            "families": found,
        }

    def deviations(self, family: str, unit: int) -> float | None:
        """The unit's value on the family's best stimulus, in standard deviations above its mean on pictures."""
        if self.mean is None or self.std is None or not self.std[unit] > 0:
            return None
        value = self.families[family].peak[unit] + self.answers.grey[unit]
        return float((value - self.mean[unit]) / self.std[unit])


def tuning(
    graph: LayerGraph,
    address: str,
    stimuli: str = "all",
    size: str = "1",
    images: str = "bundled",
    pictures: int = 64,
    over_map: bool = False,
    trials: int = 999,
    seed: int = 0,
    stages: Stages = silent,
) -> LayerTuning:
    """Show the families of stimuli to a layer, one pass for all its units, and sum up their tuning.

    `size` is the stimuli's width: a number of receptive fields, or px written as 60px. `pictures` of the `images`
    give each unit's mean and standard deviation. A unit's answer is that of the layer's middle cell, or with
    `over_map` the largest within half a receptive field. Raises BadAddress, BadValue and BadImages.

    >>> tuning(graph, "mixed3b:379", "curves").families["curves"].preferred[379]  # doctest: +SKIP
    243.0
    """
    units = graph.units(address)
    layer = graph.layer(units[0].layer)
    to = probe_of(graph, layer.name, over_map)
    field = stimulus_size(size, to)
    families = catalogue(field, stimuli, graph.card.channels == 3)
    source = open_images(images) if pictures else None
    advance = stages("stimuli", sum(count(family) for family in families.values()))
    answers = measured(to, families, field, progress=advance)
    tuned = {name: tune(family, answers.excited[name], trials, seed) for name, family in families.items()}
    mean = std = None
    if source is not None:
        mean, std = _over_pictures(graph, layer.name, source, pictures, stages)
    asked = tuple(unit.channel for unit in units)
    dead = [unit for unit in asked if unit in set(answers.dead)]
    return LayerTuning(layer.name, asked, field, answers, tuned, mean, std, _notes(layer.name, field, dead, std))


def probe_of(graph: LayerGraph, layer: str, over_map: bool = False) -> Probe:
    """The probe of a layer's middle cell, or of the cells within half a receptive field of it."""
    if not over_map:
        return probe(graph, layer)
    field, stride, _ = checked_field(graph, graph.layer(layer))
    return probe(graph, layer, max(1, round(max(field) / 2 / max(stride))))


def stimulus_size(text: str, to: Probe) -> float:
    """The width of stimuli in px, from a number of receptive fields or of px, like 0.7 or 60px; raises BadValue.

    >>> stimulus_size("60px", to)  # doctest: +SKIP
    60.0
    """
    try:
        width = float(text.removesuffix("px")) * (1 if text.endswith("px") else to.field)
    except ValueError:
        width = float("nan")
    if not 3 <= width <= 4 * max(to.size):
        raise BadValue(
            f"'{text}' is no size for stimuli of {to.layer}, whose cells see {to.field} px. Write a number of "
            f"receptive fields, like 0.7, or px, like {to.field}px: 3 to {4 * max(to.size)} px."
        )
    return width


def _over_pictures(
    graph: LayerGraph, layer: str, source: ImageSource, pictures: int, stages: Stages
) -> tuple[PerUnit, PerUnit]:
    chosen = np.unique(np.linspace(0, len(source) - 1, pictures).astype(int))
    advance = stages("pictures", len(chosen))
    stream = batches(source, graph.card.resize, graph.card.size, 16, chosen, graph.card.interpolation)
    found = survey(graph, stream, [layer], keep=1, bins=2, progress=advance)[layer]
    return found.mean, found.std


def _notes(layer: str, field: float, dead: Sequence[int], std: PerUnit | None) -> tuple[str, ...]:
    notes = [f"Stimuli are {field:g} px wide; answers are those above plain grey."]
    if dead:
        few = ", ".join(map(str, dead[:8])) + (f" and {len(dead) - 8} more" if len(dead) > 8 else "")
        notes.append(f"Nothing excites {layer}:{few}: dead, as far as these stimuli go.")
    if std is None:
        notes.append("Answers are not compared with pictures: none were looked at.")
    return tuple(notes)


def write_tuning(result: LayerTuning, out: Path, kind: str = "png") -> list[Path]:
    """Write `tuning.json` and, for each family that anyone is tuned to, a figure; returns the figures' paths.

    Raises BadStore for a folder that cannot be written to, and BadValue for a kind that is not png, svg or pdf.
    """
    files: dict[str, bytes] = {}
    for name in result.families:
        units = result.strongest(name)
        if units:
            files[f"{name}.{kind}"] = encoded(tuning_figure(sheet(result, name, units)), kind)
    figures = [out / name for name in files]
    atomic.write(out, files | {"tuning.json": (json.dumps(result.to_json(), indent=1) + "\n").encode()})
    return figures


def sheet(result: LayerTuning, family: str, units: Sequence[int]) -> Sheet:
    """What a figure shows of some units' tuning to a family, in standard deviations where they are known."""
    found = result.families[family]
    axes, last = found.axes, found.axes[-1]
    rows = Axis("", (0.0,)) if len(axes) == 1 else axes[-2]
    # every axis but the last two is pooled; of one axis the map is a single row
    maps = np.stack([_map(result.answers.excited[family][unit], axes) for unit in units])
    curves, scale = found.curve[list(units)], "above grey"
    if result.std is not None and (result.std[list(units)] > 0).all():
        each = result.std[list(units)]
        curves, maps, scale = curves / each[:, None], maps / each[:, None, None], "sd above grey"
    names = tuple(str(Unit(result.layer, unit)) for unit in units)
    return Sheet(
        f"{family} in {result.layer}", names, _name(last), last.values, last.period, curves,
        found.preferred[list(units)], _name(rows), rows.values, maps, scale,
    )  # fmt: skip


def _map(excited: Float[np.ndarray, "*setting value"], axes: tuple[Axis, ...]) -> Float[np.ndarray, "row value"]:
    if len(axes) == 1:
        return excited[None]
    # one more pooled axis per value of the last: the map is the curve over the rows at each of these
    inner = [pooled(excited[..., value][None], axes[:-1])[0] for value in range(excited.shape[-1])]
    return np.stack(inner, 1)


def _name(axis: Axis) -> str:
    return f"{axis.name}, {axis.unit}" if axis.unit else axis.name
