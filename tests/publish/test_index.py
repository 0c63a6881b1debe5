from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from micrographia.errors import BadStore
from micrographia.publish import index
from micrographia.publish.store import MadeBy, Store, open_store, put, records
from micrographia.unit import Unit


@pytest.fixture
def filled(empty: Store, made_by: Callable[..., MadeBy]) -> Store:
    for channel in range(5):
        unit = Unit("conv2d2", channel)
        put(empty, unit, "vis", made_by(), {"reached": channel / 3}, {"vis_reached": channel / 3}, {"vis.jpg": b"x"})
        put(empty, unit, "weights", made_by(k=channel), {}, {"norm": channel})
    put(empty, "conv2d2", "statistics", made_by(), {}, {"share": 0.5})
    return empty


@pytest.mark.parametrize("damage", ["lost", "empty", "noise", "cut", "other"])
def test_a_lost_or_damaged_index_is_made_anew(filled: Store, damage: str) -> None:
    path = filled.folder / index.FILE
    before = records(filled)
    data = path.read_bytes()
    path.unlink()
    if damage != "lost":
        path.write_bytes({"empty": b"", "noise": b"\x07" * 5000, "cut": data[: len(data) // 2], "other": b"{}"}[damage])
    assert records(open_store(filled.folder)) == before
    assert [entry.kind for entry in before] == ["statistics"] + ["vis", "weights"] * 5


def test_only_the_folder_counts(filled: Store, made_by: Callable[..., MadeBy]) -> None:
    index.add(filled.folder, index.Entry("conv2d2", 7, "vis", 10, "made", ("vis.jpg",), {"vis_reached": 4.0}))
    index.forget(filled.folder, ("conv2d2", 0, "vis"))
    again = open_store(filled.folder)
    found = {(entry.channel, entry.kind) for entry in records(again)}
    assert (7, "vis") not in found
    assert (0, "vis") in found


def test_one_layer_of_the_entries(filled: Store, made_by: Callable[..., MadeBy]) -> None:
    put(filled, Unit("conv2d0", 0), "vis", made_by(), {}, {"vis_reached": 3})
    assert {entry.layer for entry in records(filled, "conv2d2")} == {"conv2d2"}
    assert records(filled, "conv2d0")[0].scalars == {"vis_reached": 3.0}


def test_pages_and_strangers_are_no_records(filled: Store) -> None:
    for name in ("index.json", "notes.txt", ".vis.json.part", "a b.json"):
        (filled.folder / "conv2d2" / "0" / name).write_text("{}")
    assert len(records(open_store(filled.folder))) == 11


def test_an_index_that_cannot_be_used_is_one_sentence(filled: Store) -> None:
    path: Path = filled.folder / index.FILE
    path.unlink()
    with pytest.raises(BadStore, match=r"The index of .* cannot be read or written \(.*\)\. .* made anew"):
        records(filled)
