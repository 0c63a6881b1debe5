"""Real networks on 1,000 real pictures, one of each class of ImageNet: the accuracy that is known for them."""

from __future__ import annotations

from pathlib import Path

import pytest

from micrographia.images.source import ImageSource, open_source
from micrographia.zoo.accuracy import accuracy
from micrographia.zoo.registry import load

HERE = Path(__file__).parent
NETWORKS = {
    "inceptionv1-bvlc": ("inceptionv1-bvlc", "googlenet_bvlc.npz"),
    "squeezenet": (f"{HERE / 'squeezenet_user.py'}:squeezenet", "squeezenet1_1.npz"),
}


@pytest.fixture(scope="module")
def pictures(shared: Path) -> ImageSource:
    return open_source(shared / "data" / "imagenet_1000.zip")


# what was measured before by others on the same pictures: share of right first guesses, and of right among five
KNOWN = {"inceptionv1-bvlc": (0.750, 0.931), "squeezenet": (0.614, 0.835)}
NEAR = 0.002


@pytest.mark.parametrize("name", NETWORKS)
def test_some_pictures(name: str, shared: Path, pictures: ImageSource) -> None:
    spec, file = NETWORKS[name]
    model, card = load(spec, shared / "weights" / file)
    # every 23rd picture; three standard deviations of what 44 can give
    found = accuracy(model.eval(), card, pictures, indices=range(0, len(pictures), 23))
    for share, known in zip(found.values(), KNOWN[name], strict=True):
        assert abs(share - known) < 3 * (known * (1 - known) / 44) ** 0.5


@pytest.mark.long
@pytest.mark.parametrize("name", NETWORKS)
def test_all_pictures(name: str, shared: Path, pictures: ImageSource) -> None:
    spec, file = NETWORKS[name]
    model, card = load(spec, shared / "weights" / file)
    found = accuracy(model.eval(), card, pictures)
    for share, known in zip(found.values(), KNOWN[name], strict=True):
        assert abs(share - known) <= NEAR
