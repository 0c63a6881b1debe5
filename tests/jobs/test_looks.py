"""Small pictures of units: the optimised ones of a store where it has them, and a sentence where it has none."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from micrographia.errors import BadStore
from micrographia.jobs.choose import open_network
from micrographia.jobs.looks import pictures
from micrographia.jobs.provenance import made_by
from micrographia.publish.store import Manifest, create, put
from micrographia.unit import Unit


def test_a_stores_pictures_take_the_place_of_kernels(tmp_path: Path) -> None:
    graph = open_network("mini-inception")
    layers = ({"name": "conv2d0", "channels": 48}, {"name": "conv2d1", "channels": 48})
    store = create(tmp_path / "store", Manifest("mini-inception", graph.fingerprint, {}, layers, "1"))
    red = io.BytesIO()
    Image.new("RGB", (24, 24), (255, 0, 0)).save(red, "png")
    put(store, Unit("conv2d0", 3), "vis", made_by(graph, "vis", {}, 0), {}, files={"vis.png": red.getvalue()})
    kernels = [np.zeros((7, 7, 3), np.uint8) for _ in range(48)]
    drawn = pictures(store, graph, "conv2d0", kernels)
    assert np.asarray(drawn[3])[12, 12].tolist() == [255, 0, 0]
    assert all(drawn[i] is kernels[i] for i in range(48) if i != 3)
    with pytest.raises(BadStore, match="holds no optimised pictures of conv2d1. Run micrographia observe"):
        pictures(store, graph, "conv2d1", kernels)
    with pytest.raises(BadStore, match="was made with weights"):
        pictures(store, open_network("mini-vgg"), "conv2d0", kernels)
