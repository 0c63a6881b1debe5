"""survey(graph, batches, layers): what every unit does over a set of pictures, in one streaming pass.

Which pictures excite a unit most and where, how its activations are distributed, and which classes it prefers. Nothing
depends on the size of the batches: ties go to the picture with the lower index and to the first position in reading
order, and the histograms' bins are chosen so that they only ever merge in pairs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from scipy import stats
from torch import Tensor

from micrographia.errors import BadImages, BadValue
from micrographia.model.card import normalise
from micrographia.model.graph import Layer, LayerGraph
from micrographia.model.receptive import field_box
from micrographia.model.twin import floating_type
from micrographia.study.histogram import Histogram


@dataclass(frozen=True, eq=False)
class Survey:
    """What the units of a layer did over `seen` pictures.

    `values` are the `keep` greatest maxima over positions, with their `pictures` and `positions` (row, column); fewer
    pictures than `keep` leave columns out. `mean`, `std`, `least`, `greatest` and `active` (share above 0) are over all
    positions of all pictures. `class_mean` is the mean of the pictures' maxima in each class, `class_half` half the
    width of its 95 % interval (Student's t; infinite for one picture), `class_count` the pictures of the class.
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
    histogram: Histogram
    classes: tuple[str, ...]
    class_count: Int[np.ndarray, " class"]
    class_mean: Float[np.ndarray, "unit class"]
    class_half: Float[np.ndarray, "unit class"]


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
) -> dict[str, Survey]:
    """Run the pictures through the network once, up to the last of the layers; one Survey per layer.

    `labels` gives each picture's class by its index, as numbers into `classes`. Raises BadAddress for unknown layers,
    BadImages where there are no pictures and BadValue for activations that are not finite.

    >>> survey(graph, batches(source, 128, (112, 112), 32), ["conv2d0"])["conv2d0"].pictures[7]  # doctest: +SKIP
    array([ 81, 203, ...])
    """
    names = [graph.layer(name).name for name in layers]
    module = graph.upto(names).to(device)
    dtype, _ = floating_type(module)
    tallies = {name: _Tally(graph.layer(name).channels, keep, len(classes), bins) for name in names}
    for indices, pictures in batches:
        with torch.inference_mode():
            images = torch.from_numpy(pictures).to(device, dtype) / 255
            found = module(normalise(images, graph.card))
        numbers = np.array([labels[index] for index in indices], np.int64) if len(labels) else None
        for name in names:
            maps = found[name].float().cpu()
            if not torch.isfinite(maps).all():
                raise BadValue(f"{name} holds NaN or infinity on these pictures. Its weights may have diverged.")
            tallies[name].add(np.asarray(indices), maps[:, :, None, None] if maps.ndim == 2 else maps, numbers)
        progress(len(indices))
    if not next(iter(tallies.values())).seen:
        raise BadImages("There are no pictures to survey. Give a source with at least one.")
    return {name: tally.finished(name, tuple(classes)) for name, tally in tallies.items()}


class _Tally:
    """What is known of a layer so far. The sums are in float64, so that they do not depend on the batches."""

    def __init__(self, units: int, keep: int, classes: int, bins: int) -> None:
        self.seen = self.cells = 0
        self.keep = keep
        self.values = torch.empty(units, 0)
        self.pictures = torch.empty(units, 0, dtype=torch.int64)
        self.places = torch.empty(units, 0, dtype=torch.int64)
        self.width = 1
        self.sum, self.squares, self.active = (np.zeros(units) for _ in range(3))
        self.histogram = Histogram.empty(units, bins)
        self.least, self.greatest = np.full(units, np.inf), np.full(units, -np.inf)
        self.class_count = np.zeros(classes, np.int64)
        self.class_sum, self.class_squares = np.zeros((units, classes)), np.zeros((units, classes))

    def add(
        self, indices: np.ndarray, maps: Float[Tensor, "batch unit height width"], labels: np.ndarray | None
    ) -> None:
        batch, units, height, width = maps.shape
        self.seen, self.cells, self.width = self.seen + batch, self.cells + batch * height * width, width
        flat = maps.permute(1, 0, 2, 3).reshape(units, batch, height * width)  # unit batch cell
        places = flat.argmax(2)
        peaks = flat.gather(2, places[:, :, None])[:, :, 0]
        self._rank(peaks, torch.from_numpy(indices).expand(units, batch), places)
        rows = flat.reshape(units, -1)
        self.sum += rows.sum(1, dtype=torch.float64).numpy()
        self.squares += rows.square().sum(1, dtype=torch.float64).numpy()
        self.active += (rows > 0).sum(1).numpy()
        self.least = np.minimum(self.least, rows.amin(1).numpy())
        self.greatest = np.maximum(self.greatest, rows.amax(1).numpy())
        self.histogram = self.histogram.with_values(rows.numpy())
        if labels is not None:
            member = np.eye(len(self.class_count))[labels]  # batch class
            tops = peaks.double().numpy()
            self.class_count += member.sum(0).astype(np.int64)
            self.class_sum += tops @ member
            self.class_squares += tops**2 @ member

    def _rank(self, values: Tensor, pictures: Tensor, places: Tensor) -> None:
        values = torch.cat([self.values, values], 1)
        pictures = torch.cat([self.pictures, pictures], 1)
        places = torch.cat([self.places, places], 1)
        by_picture = pictures.argsort(dim=1, stable=True)
        by_value = values.gather(1, by_picture).argsort(dim=1, descending=True, stable=True)
        order = by_picture.gather(1, by_value)[:, : self.keep]
        self.values, self.pictures, self.places = (each.gather(1, order) for each in (values, pictures, places))

    def finished(self, layer: str, classes: tuple[str, ...]) -> Survey:
        mean = self.sum / self.cells
        count = np.maximum(self.class_count, 1)
        class_mean = self.class_sum / count
        # the variance within a class from its sums, with n - 1
        spread = np.maximum(self.class_squares - count * class_mean**2, 0) / np.maximum(count - 1, 1)
        reach = stats.t.ppf(0.975, np.maximum(count - 1, 1)) / np.sqrt(count)
        half = np.where(count > 1, np.sqrt(spread) * reach, np.inf)
        places = self.places.numpy()
        return Survey(
            layer=layer,
            seen=self.seen,
            values=self.values.numpy(),
            pictures=self.pictures.numpy(),
            positions=np.stack([places // self.width, places % self.width], 2),
            mean=mean,
            std=np.sqrt(np.maximum(self.squares / self.cells - mean**2, 0)),
            least=self.least,
            greatest=self.greatest,
            active=self.active / self.cells,
            histogram=self.histogram,
            classes=classes,
            class_count=self.class_count,
            class_mean=class_mean,
            class_half=half,
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
