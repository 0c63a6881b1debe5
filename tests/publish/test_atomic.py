from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from micrographia.errors import BadStore
from micrographia.publish import atomic

FILES = {"a.bin": b"first", "b.bin": b"second", "r.json": b"{}"}


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.exists() else {}


def fail_at(monkeypatch: pytest.MonkeyPatch, call: int, error: BaseException) -> None:
    calls = iter(range(1000))
    replace = os.replace

    def failing(source: Path, target: Path) -> None:
        if next(calls) == call:
            raise error
        replace(source, target)

    monkeypatch.setattr(os, "replace", failing)


def test_write_and_nothing_else(tmp_path: Path) -> None:
    atomic.write(tmp_path / "new", FILES, replaces="r.json")
    assert content(tmp_path / "new") == FILES


@pytest.mark.parametrize("call", [0, 1, 2])
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), KeyboardInterrupt()])
@pytest.mark.parametrize("before", [False, True])
def test_a_failed_rename_leaves_nothing_of_the_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: int, error: BaseException, before: bool
) -> None:
    folder = tmp_path / "unit"
    if before:
        atomic.write(folder, dict.fromkeys(FILES, b"old"), replaces="r.json")
    fail_at(monkeypatch, call, error)
    with pytest.raises((BadStore, KeyboardInterrupt)):
        atomic.write(folder, FILES, replaces="r.json")
    assert content(folder) == {}
    assert folder.exists() == before


@pytest.mark.parametrize("name", list(FILES))
def test_a_disk_that_fills_up_while_staging_leaves_the_old_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    old = dict.fromkeys(FILES, b"old")
    atomic.write(tmp_path, old, replaces="r.json")
    write_bytes = Path.write_bytes

    def full(self: Path, data: bytes) -> int:
        if name in self.name:
            write_bytes(self, data[:1])  # some of it fits
            raise OSError(errno.ENOSPC, "No space left on device")
        return write_bytes(self, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(BadStore, match=r"The disk of .* is full, and nothing half-written is left there\. Free some"):
        atomic.write(tmp_path, FILES, replaces="r.json")
    assert content(tmp_path) == old


def test_update_writes_only_what_differs(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "page.html"
    assert atomic.update(path, b"one")
    before = path.stat().st_mtime_ns
    assert not atomic.update(path, b"one")
    assert path.stat().st_mtime_ns == before
    assert atomic.update(path, b"two")
    assert content(path.parent) == {"page.html": b"two"}


def test_a_file_in_the_way_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(BadStore, match=r"file.* cannot be used \(.*\)\. Choose another folder"):
        atomic.update(tmp_path / "file" / "page.html", b"")
