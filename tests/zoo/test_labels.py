"""Class names: how many, in which order, and that they belong to the pictures."""

from __future__ import annotations

import zipfile
from pathlib import Path

from micrographia.zoo import labels


def test_imagenet_is_in_the_order_of_wordnet_ids() -> None:
    wnids = labels.wordnet_ids()
    assert len(set(wnids)) == len(labels.imagenet()) == 1000
    assert list(wnids) == sorted(wnids)
    assert labels.imagenet()[207] == "golden retriever"
    assert labels.imagenet()[999] == "toilet tissue"


def test_names_are_those_of_the_pictures(shared: Path) -> None:
    with zipfile.ZipFile(shared / "data" / "imagenet_1000.zip") as archive:
        folders = sorted({name.partition("/")[0] for name in archive.namelist()})
    ours = zip(labels.wordnet_ids(), labels.imagenet(), strict=True)
    assert folders == [f"{wnid}_{name.replace(' ', '_')}" for wnid, name in ours]


def test_inception5h_is_in_the_order_of_the_challenge() -> None:
    names = labels.inception5h()
    assert len(names) == 1008
    assert names[0] == names[1007] == "unused"
    assert (names[1], names[169], names[449], names[1000]) == ("kit fox", "giant panda", "tench", "dumbbell")
    assert sorted(names[1:1001]) == sorted(labels.imagenet())


def test_slim_has_a_background() -> None:
    assert labels.slim() == ("background", *labels.imagenet())


def test_places365() -> None:
    names = labels.places365()
    assert len(set(names)) == 365
    assert (names[0], names[244], names[364]) == ("airfield", "office", "zen garden")
