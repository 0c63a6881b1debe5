"""The cache of weights: where it is, what is found in it, and downloads that are checked, whole, or not there at all.

Downloads are of file: addresses, which the same code opens.
"""

from __future__ import annotations

import hashlib
import io
import re
import sys
import urllib.request
from collections.abc import Callable
from email.message import Message
from pathlib import Path
from typing import Any

import pytest

from micrographia.errors import BadWeights
from micrographia.zoo import cache
from micrographia.zoo.cache import Download

CONTENT = bytes(range(256)) * 4099  # several chunks, and not a whole number of them


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MICROGRAPHIA_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def published(tmp_path: Path) -> Download:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "net.npz").write_bytes(CONTENT)
    return Download("net.npz", (tmp_path / "there" / "net.npz").as_uri(), hashlib.sha256(CONTENT).hexdigest())


@pytest.mark.parametrize(
    ("platform", "environment", "expected"),
    [
        ("linux", {"HOME": "/home/ada"}, "/home/ada/.cache/micrographia"),
        ("linux", {"HOME": "/home/ada", "XDG_CACHE_HOME": "/big"}, "/big/micrographia"),
        ("darwin", {"HOME": "/Users/ada"}, "/Users/ada/Library/Caches/micrographia"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local/micrographia"),
        ("win32", {"MICROGRAPHIA_HOME": "/mine"}, "/mine"),
        ("linux", {"HOME": "/home/ada", "MICROGRAPHIA_HOME": "~/nets"}, "/home/ada/nets"),
    ],
)
def test_the_folder(platform: str, environment: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MICROGRAPHIA_HOME", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "platform", platform)
    assert cache.folder().as_posix() == expected


def test_find_takes_the_published_name_first(home: Path, tmp_path: Path, published: Download) -> None:
    assert cache.find("mine", published) is None
    home.mkdir()
    for name in ("mine.pth", "mine.safetensors", "net.npz"):
        (home / name).touch()
    assert cache.find("mine", published) == home / "net.npz"
    (home / "net.npz").unlink()
    assert cache.find("mine", published) == home / "mine.safetensors"
    assert cache.find("other", published) is None
    assert cache.find("other", published, [tmp_path / "there"]) == tmp_path / "there" / "net.npz"


def test_fetch(home: Path, published: Download, capfd: pytest.CaptureFixture[str]) -> None:
    assert cache.fetch("mine", published) == home / "net.npz"
    assert [(each.name, each.read_bytes()) for each in home.iterdir()] == [("net.npz", CONTENT)]
    shown = capfd.readouterr()
    assert shown.out == ""
    assert "net.npz" in shown.err


def test_the_first_digits_of_a_checksum_will_do(home: Path, published: Download) -> None:
    cache.fetch("mine", Download(published.file, published.address, published.sha256[:8]))
    assert (home / "net.npz").is_file()


def test_a_wrong_checksum_is_thrown_away(home: Path, published: Download) -> None:
    wrong = Download("net.npz", published.address, "0" * 64)
    says = f"has the checksum {published.sha256}, not {'0' * 64}, and was thrown away. Put the right net.npz at {home}"
    with pytest.raises(BadWeights, match=re.escape(says)):
        cache.fetch("mine", wrong)
    assert list(home.iterdir()) == []


def test_no_network_is_one_sentence(home: Path, tmp_path: Path) -> None:
    gone = Download("net.npz", (tmp_path / "gone.npz").as_uri(), "0" * 64)
    with pytest.raises(BadWeights) as caught:
        cache.fetch("mine", gone)
    text = str(caught.value)
    assert re.match(r"The weights of mine could not be downloaded \(.*\)\. Get net\.npz from file:.*gone\.npz", text)
    assert text.endswith(f"and put it at {home / 'net.npz'}, or give it with --weights.")
    assert list(home.iterdir()) == []


@pytest.mark.parametrize(
    ("download", "says"),
    [
        (
            Download("net.npz", "http://example.org/net.npz"),
            "The weights of mine are not at hand: its checksum was never published, so it is not downloaded unasked. Get "
            "net.npz from http://example.org/net.npz and put it at {home}/net.npz, or give it with --weights.",
        ),
        (
            Download("net.tar", "http://example.org/net.tar", first="it must first be converted"),
            "The weights of mine are not at hand: it must first be converted. Get net.tar from "
            "http://example.org/net.tar and put it at {home}/mine.npz, or give it with --weights.",
        ),
    ],
)
def test_what_is_not_fetched_unasked(download: Download, says: str, home: Path) -> None:
    with pytest.raises(BadWeights, match=re.escape(says.format(home=home)) + "$"):
        cache.fetch("mine", download)


class Response(io.BytesIO):
    """What urlopen returns, with fewer bytes than it promised."""

    def __init__(self, content: bytes, promised: int) -> None:
        super().__init__(content)
        self.headers = Message()
        self.headers["Content-Length"] = str(promised)


def answering(response: Callable[[], Any]) -> Callable[..., Any]:
    return lambda *_, **__: response()


def test_a_connection_that_breaks_off(home: Path, published: Download, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(urllib.request, "urlopen", answering(lambda: Response(CONTENT[:1000], len(CONTENT))))
    with pytest.raises(BadWeights, match=rf"broke off after 1000 of {len(CONTENT)} bytes\)\. Get net\.npz"):
        cache.fetch("mine", published)
    assert list(home.iterdir()) == []


def test_a_full_disk_and_a_stop_leave_nothing(home: Path, published: Download, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> str:
        next(home.parent.joinpath("cache").iterdir(), None)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache, "_stream", full)
    with pytest.raises(BadWeights, match=r"could not be downloaded \(No space left on device\)"):
        cache.fetch("mine", published)
    assert list(home.iterdir()) == []

    def stop(_: Download, partial: Path) -> str:
        partial.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(cache, "_stream", stop)
    with pytest.raises(KeyboardInterrupt):
        cache.fetch("mine", published)
    assert list(home.iterdir()) == []


def test_a_cache_that_cannot_be_made(tmp_path: Path, published: Download, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("MICROGRAPHIA_HOME", str(tmp_path / "file"))
    with pytest.raises(BadWeights, match="The weights of mine could not be downloaded"):
        cache.fetch("mine", published)
