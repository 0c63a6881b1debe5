"""Where downloaded weights are kept, and how they get there: checked, and whole or not at all."""

from __future__ import annotations

import hashlib
import http.client
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from micrographia.console import bars
from micrographia.errors import BadWeights

SUFFIXES = (".safetensors", ".npz", ".pth", ".pt", ".caffemodel", ".pb", ".zip")
CHUNK = 1 << 18


@dataclass(frozen=True)
class Download:
    """A published file: its name in the cache, its address, and its SHA-256 or the first digits of it.

    Without a checksum it is never fetched unasked. `first` is what the user must do with it before it can be read.
    """

    file: str
    address: str
    sha256: str = ""
    first: str = ""

    @property
    def automatic(self) -> bool:
        """Whether it can be fetched without the user: its checksum is known, and it can be read as it is."""
        return bool(self.sha256) and not self.first


def folder() -> Path:
    """The cache: the environment's MICROGRAPHIA_HOME, or else the platform's folder for caches.

    >>> folder()  # doctest: +SKIP
    PosixPath('/home/ada/.cache/micrographia')
    """
    home = os.environ.get("MICROGRAPHIA_HOME")
    if home:
        return Path(home).expanduser()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "micrographia"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "micrographia"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "micrographia"


def find(name: str, download: Download, elsewhere: Iterable[Path] = ()) -> Path | None:
    """The file of a network's weights in the cache or in another folder: as published, or called after the network."""
    names = [download.file, *(name + suffix for suffix in SUFFIXES)]
    places = [folder() / each for each in names] + [place / download.file for place in elsewhere]
    return next((place for place in places if place.is_file()), None)


def fetch(name: str, download: Download) -> Path:
    """Download a network's weights into the cache, with a progress bar on stderr; returns where they are.

    The file gets its name only after its checksum was found right. Raises BadWeights, in one sentence that names the
    file, its address and where to put it.
    """
    target = folder() / download.file
    if not download.automatic:
        why = download.first or "its checksum was never published, so it is not downloaded unasked"
        raise BadWeights(_by_hand(name, download, target, f"are not at hand: {why}"))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
        try:
            digest = _stream(download, partial)
            if not digest.startswith(download.sha256):
                raise BadWeights(
                    f"The file from {download.address} has the checksum {digest}, not {download.sha256}, and was "
                    f"thrown away. Put the right {download.file} at {target}, or give it with --weights."
                )
            os.replace(partial, target)
        finally:
            partial.unlink(missing_ok=True)
    except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
        why = f"could not be downloaded ({str(reason).rstrip('.') or type(error).__name__})"
        raise BadWeights(_by_hand(name, download, target, why)) from error
    return target


def checksum(path: Path) -> str:
    """SHA-256 of a file's bytes, as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _by_hand(name: str, download: Download, target: Path, why: str) -> str:
    place = target if not download.first else target.with_name(f"{name}.npz")
    return (
        f"The weights of {name} {why}. Get {download.file} from {download.address} and put it at {place}, or give it "
        "with --weights."
    )


def _stream(download: Download, partial: Path) -> str:
    digest, received = hashlib.sha256(), 0
    request = urllib.request.Request(download.address, headers={"User-Agent": "micrographia"})
    with urllib.request.urlopen(request, timeout=30) as response, partial.open("wb") as file, bars() as stages:
        expected = int(response.headers.get("Content-Length") or 0)
        advance = stages(f"{download.file}, kB", max(1, expected // 1000))
        while chunk := response.read(CHUNK):
            file.write(chunk)
            digest.update(chunk)
            advance((received + len(chunk)) // 1000 - received // 1000)
            received += len(chunk)
    if received < expected:
        raise OSError(f"the connection broke off after {received} of {expected} bytes")
    return digest.hexdigest()
