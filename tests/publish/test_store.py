from __future__ import annotations

import errno
import json
import os
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from micrographia.errors import BadAddress, BadStore, BadValue
from micrographia.publish.store import MadeBy, Store, compact, create, done, get, open_store, put, records, scalars
from micrographia.unit import Unit

Made = Callable[..., MadeBy]
UNIT = Unit("mixed3a", 3)


def everything(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_is_put_is_got(empty: Store, made_by: Made) -> None:
    values = {"reached": 1 / 3, "kernel": np.eye(3), "dead": False, "sizes": (1, 2)}
    written = put(empty, UNIT, "vis", made_by(), values, {"vis_reached": 1 / 3}, {"vis.jpg": b"jpg", "vis-2.jpg": b"2"})
    read = get(open_store(empty.folder), UNIT, "vis")
    assert read == written
    assert read is not None
    assert read.values["reached"] == 0.333333
    assert read.files == ("vis-2.jpg", "vis.jpg")
    assert read.made_by == made_by()
    assert (empty.folder / "mixed3a/3/vis-2.jpg").read_bytes() == b"2"


def test_a_layer_has_records_too(empty: Store, made_by: Made) -> None:
    put(empty, "mixed3a", "statistics", made_by(), {"p": 0.5}, {"share": 0.25})
    assert (empty.folder / "mixed3a/statistics.json").exists()
    record = get(empty, "mixed3a", "statistics")
    assert record is not None
    assert (record.unit, record.values) == ("mixed3a", {"p": 0.5})
    assert done(empty, "statistics", made_by()) == {"mixed3a"}
    assert scalars(empty, "mixed3a", "share") == {}


def test_nothing_there_is_none(empty: Store) -> None:
    assert get(empty, UNIT, "vis") is None


def test_done_is_the_same_call_arguments_seed_and_weights(empty: Store, made_by: Made) -> None:
    for channel in range(4):
        put(empty, Unit("conv2d0", channel), "vis", made_by(lr=0.05), {})
    put(empty, Unit("conv2d0", 4), "examples", made_by(lr=0.05), {})
    assert done(empty, "vis", made_by(lr=0.05)) == {Unit("conv2d0", channel) for channel in range(4)}
    assert done(empty, "vis", replace(made_by(lr=0.05), version="later")) != set()
    for other in (
        made_by(lr=0.1),
        made_by("examples", lr=0.05),
        replace(made_by(lr=0.05), seed=1),
        replace(made_by(lr=0.05), fingerprint="other"),
    ):
        assert done(empty, "vis", other) == set()
    put(empty, Unit("conv2d0", 2), "vis", made_by(lr=0.1), {})  # remade otherwise
    assert Unit("conv2d0", 2) not in done(empty, "vis", made_by(lr=0.05))


def test_done_does_not_count_what_was_deleted(empty: Store, made_by: Made) -> None:
    put(empty, UNIT, "vis", made_by(), {}, files={"vis.jpg": b"x"})
    put(empty, Unit("mixed3a", 4), "vis", made_by(), {}, files={"vis.jpg": b"x"})
    (empty.folder / "mixed3a/3/vis.json").unlink()
    assert done(open_store(empty.folder), "vis", made_by()) == {Unit("mixed3a", 4)}


def test_scalars_by_layer_and_name(empty: Store, made_by: Made) -> None:
    for channel in (5, 0, 3):
        put(empty, Unit("conv2d0", channel), "weights", made_by(), {}, {"norm": channel / 7, "rank": channel})
    put(empty, UNIT, "weights", made_by(), {}, {"norm": 9})
    assert scalars(empty, "conv2d0", "norm") == {0: 0.0, 3: 0.428571, 5: 0.714286}
    assert list(scalars(empty, "conv2d0", "rank")) == [0, 3, 5]
    put(empty, Unit("conv2d0", 3), "weights", made_by(), {}, {"norm": 2.5})
    assert scalars(empty, "conv2d0", "norm")[3] == 2.5
    assert 3 not in scalars(empty, "conv2d0", "rank")


def test_a_store_of_the_same_network_is_taken_up_again(empty: Store, made_by: Made) -> None:
    put(empty, UNIT, "vis", made_by(), {})
    few = replace(empty.manifest, layers=empty.manifest.layers[:2], version="1.3")
    again = create(empty.folder, few)
    assert done(again, "vis", made_by()) == {UNIT}
    assert [layer["name"] for layer in again.manifest.layers] == [layer["name"] for layer in empty.manifest.layers]
    assert open_store(empty.folder).manifest == again.manifest
    assert again.manifest.version == "1.3"


@pytest.mark.parametrize("other", [{"network": "vgg19"}, {"fingerprint": "d00d" * 16}])
def test_another_network_is_refused_by_name(empty: Store, other: dict[str, str]) -> None:
    manifest = replace(empty.manifest, **other)
    before = everything(empty.folder)
    with pytest.raises(BadStore) as caught:
        create(empty.folder, manifest)
    assert "holds the store of little (weights 5ca1ab1e5ca1)" in str(caught.value)
    assert f"not of {manifest.network} (weights {manifest.fingerprint[:12]}). Name another folder" in str(caught.value)
    assert everything(empty.folder) == before


def test_a_folder_of_other_things_is_refused(empty: Store, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "letter.txt").write_text("dear")
    for folder in (tmp_path / "home", tmp_path / "home" / "letter.txt"):
        with pytest.raises(BadStore, match=r"is not empty and holds no store\. Name a new or an empty folder"):
            create(folder, empty.manifest)
    with pytest.raises(BadStore, match=r"holds no store\. Make one with"):
        open_store(tmp_path / "home")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema": 1}'])
def test_a_damaged_manifest(empty: Store, text: str) -> None:
    (empty.folder / "manifest.json").write_text(text)
    with pytest.raises(BadStore, match=r"manifest\.json is damaged\. "):
        open_store(empty.folder)


def test_another_schema(empty: Store) -> None:
    body = json.loads((empty.folder / "manifest.json").read_text())
    (empty.folder / "manifest.json").write_text(json.dumps(body | {"schema": 99}))
    with pytest.raises(BadStore, match="store schema 99, and this version reads schema 1"):
        open_store(empty.folder)


def test_data_of_other_weights_is_refused_on_the_way_in_and_out(empty: Store, made_by: Made) -> None:
    with pytest.raises(BadStore, match=r"was made with weights d00d, but .* with weights 5ca1ab1e5ca1"):
        put(empty, UNIT, "vis", replace(made_by(), fingerprint="d00d"), {})
    put(empty, UNIT, "vis", made_by(), {}, {"vis_reached": 1})
    path = empty.folder / "mixed3a/3/vis.json"
    path.write_text(path.read_text().replace("5ca1ab1e" * 8, "d00d"))
    again = open_store(empty.folder)
    assert records(again) == []
    assert scalars(again, "mixed3a", "vis_reached") == {}
    with pytest.raises(BadStore, match="made with weights d00d, not 5ca1ab1e5ca1"):
        get(again, UNIT, "vis")


def test_units_that_the_network_does_not_have(empty: Store, made_by: Made) -> None:
    for unit, said in (
        (Unit("conv2d0", 6), r"conv2d0 has no unit 6\. Its 6 units are conv2d0:0 to conv2d0:5"),
        (Unit("mixed9", 0), "There is no layer 'mixed9'"),
        ("mixed9", "There is no layer 'mixed9'"),
        (Unit("conv2d0", 0, (1, 1)), "is one position"),
    ):
        with pytest.raises(BadAddress, match=said):
            put(empty, unit, "vis", made_by(), {})


@pytest.mark.parametrize("kind", ["index", "Vis", "../vis", "", "vis-2"])
def test_kinds_are_plain_words(empty: Store, made_by: Made, kind: str) -> None:
    with pytest.raises(BadValue, match="A kind is a word of small letters like 'vis'"):
        put(empty, UNIT, kind, made_by(), {})


@pytest.mark.parametrize("name", ["other.jpg", "vis", "vis.json", "vis-2.json", "../vis.jpg", "visual.jpg"])
def test_files_are_called_after_their_kind(empty: Store, made_by: Made, name: str) -> None:
    with pytest.raises(BadValue, match=r"its files are called like 'vis\.jpg' or 'vis-2\.jpg'"):
        put(empty, UNIT, "vis", made_by(), {}, files={name: b""})


def test_numbers_must_be_finite(empty: Store, made_by: Made) -> None:
    with pytest.raises(BadValue, match="The record 'vis' of mixed3a:3 holds the number nan"):
        put(empty, UNIT, "vis", made_by(), {"reached": float("nan")})
    assert not (empty.folder / "mixed3a").exists()


def test_a_full_disk_is_one_sentence_and_the_run_goes_on_later(
    empty: Store, made_by: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(empty, Unit("mixed3a", 0), "vis", made_by(), {}, files={"vis.jpg": b"x"})
    before = everything(empty.folder)
    with monkeypatch.context() as patch:

        def full(source: Path, target: Path) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))

        patch.setattr(os, "replace", full)
        with pytest.raises(BadStore, match=r"is full, and nothing half-written is left there\. Free some space"):
            put(empty, UNIT, "vis", made_by(), {}, files={"vis.jpg": b"x"})
    assert everything(empty.folder) == before
    again = open_store(empty.folder)
    assert done(again, "vis", made_by()) == {Unit("mixed3a", 0)}
    put(again, UNIT, "vis", made_by(), {}, files={"vis.jpg": b"x"})
    assert done(again, "vis", made_by()) == {Unit("mixed3a", 0), UNIT}


def test_a_killed_job_loses_only_the_item_in_hand(empty: Store, made_by: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    put(empty, Unit("mixed3a", 0), "vis", made_by(), {}, files={"vis.jpg": b"x"})

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("micrographia.publish.index.add", killed)
        with pytest.raises(KeyboardInterrupt):
            put(empty, UNIT, "vis", made_by(), {}, {"vis_reached": 2}, {"vis.jpg": b"x"})
    again = open_store(empty.folder)  # the record was whole, only the index had not heard of it
    assert done(again, "vis", made_by()) == {Unit("mixed3a", 0), UNIT}
    assert scalars(again, "mixed3a", "vis_reached") == {3: 2.0}


def test_a_damaged_record_counts_as_missing_until_it_is_remade(empty: Store, made_by: Made) -> None:
    put(empty, UNIT, "vis", made_by(), {})
    (empty.folder / "mixed3a/3/vis.json").write_text("{")
    again = open_store(empty.folder)
    assert done(again, "vis", made_by()) == set()
    with pytest.raises(BadStore, match=r"vis\.json is damaged\. Delete it"):
        get(again, UNIT, "vis")
    put(again, UNIT, "vis", made_by(), {"reached": 1})
    record = get(again, UNIT, "vis")
    assert record is not None
    assert record.values == {"reached": 1}


def test_a_record_without_its_file_counts_as_missing(empty: Store, made_by: Made) -> None:
    put(empty, UNIT, "vis", made_by(), {}, files={"vis.jpg": b"x"})
    (empty.folder / "mixed3a/3/vis.jpg").unlink()
    (empty.folder / "index.sqlite").unlink()
    assert done(open_store(empty.folder), "vis", made_by()) == set()


def test_equal_records_give_equal_bytes_in_any_order(empty: Store, made_by: Made, tmp_path: Path) -> None:
    other = create(tmp_path / "other", empty.manifest)
    units = [Unit(layer, channel) for layer in ("conv2d0", "mixed3a") for channel in range(6)]
    for store, order in ((empty, units), (other, [*units[::-1], *units[3:5]])):
        for unit in order:
            put(store, unit, "weights", made_by(), {"a": unit.channel / 3, "b": 1}, {"norm": unit.channel / 7})
            put(store, unit, "vis", made_by(), {}, {}, {"vis.jpg": bytes([unit.channel])})
        compact(store)
    assert everything(empty.folder) == everything(other.folder)


def test_a_store_crosses_threads_and_processes(empty: Store, made_by: Made) -> None:
    copy = pickle.loads(pickle.dumps(empty))
    assert copy == empty
    units = [Unit(layer, channel) for layer in ("conv2d0", "conv2d2", "mixed3a") for channel in range(6)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda unit: put(copy, unit, "vis", made_by(), {}, {"vis_reached": 1}, {"vis.jpg": b"x"}), units))
    assert done(empty, "vis", made_by()) == set(units)
