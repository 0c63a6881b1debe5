"""survey(graph, batches, layers): what every unit does over a set of pictures, in one streaming pass.

Which pictures excite a unit most and where, how its activations are distributed, and which classes it prefers. From the
same activations comes the same survey, whatever the batches: ties go to the picture with the lower index and to the
first position in reading order, and the histograms' bins are chosen so that they only ever merge in pairs. (In single
precision a convolution's own last digits may change with the size of its batch.)
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from micrographia.errors import BadImages, BadValue
from micrographia.model.card import normalise
from micrographia.model.graph import Layer, LayerGraph
from micrographia.model.receptive import field_box
from micrographia.model.twin import floating_type
from micrographia.study.classes import ClassRanking, ClassTally, shuffled
from micrographia.study.histogram import Histogram

_SHUFFLED_BYTES = 128 << 20  # what the sums of all shuffles may take; with many classes there are fewer shuffles


@dataclass(frozen=True, eq=False)
class Survey:
    """What the units of a layer did over `seen` pictures.

    `values` are the `keep` greatest maxima over positions, with their `pictures` and `positions` (row, column); fewer
    pictures than `keep` leave columns out. `mean`, `std`, `least`, `greatest` and `active` (share above 0) are over all
    positions of all pictures; `active_pictures` is the share of pictures with any position above 0. `ranking` holds the
    means of the pictures' maxima per class beside their null, for the names in `classes`.
    """

    layer: str
    seen: int
    values: Float[np.ndarray, "unit keep"]
    pictures: Int[np.ndarray, "unit keep"]
    positions: Int[np.ndarray, "unit keep 2"]
    mean: Float[np.ndarray, " unit"]
    std: Float[np.ndarray, " unit"]
    least: Float[np.ndarray, " unit"]
    greatest: Float[np.ndarray, " unit"]
    active: Float[np.ndarray, " unit"]
    active_pictures: Float[np.ndarray, " unit"]
    histogram: Histogram
    classes: tuple[str, ...]
    ranking: ClassRanking

    @property
    def class_count(self) -> Int[np.ndarray, " class"]:
        """Pictures per class."""
        return self.ranking.count

    @property
    def class_mean(self) -> Float[np.ndarray, "unit class"]:
        """Mean of the pictures' maxima per class."""
        return self.ranking.mean

    @property
    def class_half(self) -> Float[np.ndarray, "unit class"]:
        """Half the width of the mean's 95 % interval."""
        return self.ranking.half


def survey(
    graph: LayerGraph,
    batches: Iterable[tuple[Int[np.ndarray, " batch"], UInt8[np.ndarray, "batch channel height width"]]],
    layers: Sequence[str],
    keep: int = 9,
    labels: Sequence[int] = (),
    classes: Sequence[str] = (),
    bins: int = 64,
    device: str = "cpu",
    progress: Callable[[int], Any] = lambda count: None,
    shuffles: int = 99,
    seed: int = 0,
) -> dict[str, Survey]:
    """Run the pictures through the network once, up to the last of the layers; one Survey per layer.

    `labels` gives each picture's class by its index, as numbers into `classes`, -1 for none; `shuffles` of them make
    the null of the ranking (fewer with very many classes: `ranking.shuffles`). Raises BadAddress for unknown layers,
    BadImages where there are no pictures, and BadValue for labels without a class and activations that are not finite.

    >>> survey(graph, batches(source, 128, (112, 112), 32), ["conv2d0"])["conv2d0"].pictures[7]  # doctest: +SKIP
    array([ 81, 203, ...])
    """
    if keep < 1 or bins < 2:
        raise BadValue(f"A survey cannot keep {keep} pictures in {bins} bins. Keep 1 or more, in 2 bins or more.")
    chosen = {name: graph.layer(name) for name in layers}
    for name, layer in chosen.items():
        if len(layer.shape) not in (1, 3):
            raise BadValue(f"{name} has values of the shape {layer.shape}. Choose a layer of units or of their maps.")
    module, dtype = _on(device, graph, list(chosen))
    count = len(classes) if len(labels) else 0
    room = _SHUFFLED_BYTES // max(8 * count * sum(layer.channels for layer in chosen.values()), 1)
    draws = shuffled(labels if count else (), count, max(min(shuffles, room), min(shuffles, 19)), seed)
    tallies = {
        name: _Tally(layer.channels, keep, bins, ClassTally(layer.channels, count, draws))
        for name, layer in chosen.items()
    }
    for indices, pictures in batches:
        with torch.no_grad():
            images = torch.from_numpy(pictures).to(device, dtype) / 255
            found = module(normalise(images, graph.card))
        for name, tally in tallies.items():
            maps = found[name].cpu()
            maps = maps.float() if maps.dtype in (torch.float16, torch.bfloat16) else maps
            if not all(torch.isfinite(extreme) for extreme in maps.aminmax()):
                raise BadValue(f"{name} holds NaN or infinity on these pictures. Its weights may have diverged.")
            tally.add(np.asarray(indices), maps[:, :, None, None] if maps.ndim == 2 else maps)
        progress(len(indices))
    if not next(iter(tallies.values())).seen:
        raise BadImages("There are no pictures to survey. Give a source with at least one.")
    return {name: tally.finished(name, tuple(classes) if count else ()) for name, tally in tallies.items()}


def _on(device: str, graph: LayerGraph, layers: list[str]) -> tuple[torch.nn.Module, torch.dtype]:
    """The network up to the layers, on the device; the graph's own weights stay where they are."""
    module = graph.upto(layers)
    dtype, home = floating_type(module)
    return (module if home == torch.device(device) else copy.deepcopy(module).to(device)), dtype


class _Tally:
    """What is known of a layer so far. Sums are in float64 and about each batch's own mean, which loses no digits."""

    def __init__(self, units: int, keep: int, bins: int, classes: ClassTally) -> None:
        self.seen = self.cells = 0
        self.keep, self.classes = keep, classes
        self.values: Tensor = torch.empty(units, 0)
        self.pictures = torch.empty(units, 0, dtype=torch.int64)
        self.places = torch.empty(units, 0, dtype=torch.int64)
        self.width = 1
        self.mean, self.scatter, self.active, self.active_pictures = (np.zeros(units) for _ in range(4))
        self.histogram = Histogram.empty(units, bins)
        self.least = np.full(units, np.inf)

    def add(self, indices: Int[np.ndarray, " batch"], maps: Float[Tensor, "batch unit height width"]) -> None:
        batch, units, _, self.width = maps.shape
        rows = maps.permute(1, 0, 2, 3).reshape(units, -1)
        peaks, places = rows.view(units, batch, -1).max(2)  # of equal ones the first
        self._rank(peaks, torch.from_numpy(indices).expand(units, batch), places)
        self._moments(rows)
        self.seen += batch
        self.active += (rows > 0).sum(1).numpy()
        self.active_pictures += (peaks > 0).sum(1).numpy()
        self.least = np.minimum(self.least, rows.amin(1).numpy())
        self.histogram = self.histogram.with_values(rows.numpy())
        self.classes.add(indices, peaks.numpy())

    def _moments(self, rows: Float[Tensor, "unit value"]) -> None:
        # Chan, Golub and LeVeque 1979, equation 2.1: two sets' means and sums of squares give those of both
        count = rows.shape[1]
        mean = rows.sum(1, dtype=torch.float64).numpy() / count
        scatter = rows.var(1, correction=0).double().numpy() * count
        total = self.cells + count
        gap = mean - self.mean
        self.mean = self.mean + gap * (count / total)
        self.scatter = self.scatter + scatter + gap**2 * (self.cells * count / total)
        self.cells = total

    def _rank(self, values: Tensor, pictures: Tensor, places: Tensor) -> None:
        values = torch.cat([self.values.to(values.dtype), values], 1)
        pictures = torch.cat([self.pictures, pictures], 1)
        places = torch.cat([self.places, places], 1)
        by_picture = pictures.argsort(dim=1, stable=True)
        by_value = values.gather(1, by_picture).argsort(dim=1, descending=True, stable=True)
        order = by_picture.gather(1, by_value)[:, : self.keep]
        self.values, self.pictures, self.places = (each.gather(1, order) for each in (values, pictures, places))

    def finished(self, layer: str, classes: tuple[str, ...]) -> Survey:
        places = self.places.numpy()
        return Survey(
            layer=layer,
            seen=self.seen,
            values=self.values.numpy(),
            pictures=self.pictures.numpy(),
            positions=np.stack([places // self.width, places % self.width], 2),
            mean=self.mean,
            std=np.sqrt(self.scatter / self.cells),
            least=self.least,
            greatest=self.values[:, 0].double().numpy(),
            active=self.active / self.cells,
            active_pictures=self.active_pictures / self.seen,
            histogram=self.histogram,
            classes=classes,
            ranking=self.classes.ranking(),
        )


Box = tuple[int, int, int, int]


def crop_box(layer: Layer, position: tuple[int, int], size: tuple[int, int]) -> Box:
    """What a cell sees of a picture of `size` (height, width) px: left, top, and the first column and row beyond.

    A receptive field that reaches over the edge is moved inside, one larger than the picture becomes all of it.

    >>> crop_box(Layer("x", "conv", (1, 5, 5), stride=(2, 2), offset=(0, 0), receptive_field=(7, 7)), (0, 2), (11, 13))
    (1, 0, 8, 7)
    """
    height, width = size
    if layer.receptive_field is None or layer.stride is None or layer.offset is None:
        return (0, 0, width, height)
    box = field_box(layer.stride, layer.offset, layer.receptive_field, position)
    rows, columns = min(layer.receptive_field[0], height), min(layer.receptive_field[1], width)
    top, left = min(max(box.top, 0), height - rows), min(max(box.left, 0), width - columns)
    return (left, top, left + columns, top + rows)
