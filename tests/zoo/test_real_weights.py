"""Real networks on 1,000 real pictures, one of each class of ImageNet: the accuracy that is known for them."""

from __future__ import annotations

from pathlib import Path

import pytest

from micrographia.images.source import ImageSource, open_source

HERE = Path(__file__).parent
NETWORKS = {
    "inceptionv1-bvlc": ("inceptionv1-bvlc", "googlenet_bvlc.npz"),
    "squeezenet": (f"{HERE / 'squeezenet_user.py'}:squeezenet", "squeezenet1_1.npz"),
}


@pytest.fixture(scope="module")
def pictures(shared: Path) -> ImageSource:
    return open_source(shared / "data" / "imagenet_1000.zip")
