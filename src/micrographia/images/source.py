"""Pictures from a folder, a zip, a tar or one file: listed at once, read one by one, brought to a network's size.

A picture's class is its first folder below the root. Hidden files and what is not named like a picture are passed over.
"""

from __future__ import annotations

import gzip
import hashlib
import itertools
import os
import shutil
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Int, UInt8
from PIL import Image, UnidentifiedImageError

from micrographia.errors import BadImages, BadValue
from micrographia.images.decode import FORMATS, decode
from micrographia.images.fit import fit

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
LARGEST = 1 << 29  # bytes of one file; a small archive can hold a file that fills the memory

Indices = Sequence[int] | Int[np.ndarray, " picture"]
Load = Callable[[int], Image.Image]  # index -> the picture in RGB; what it raises is why it cannot be read
Listing = dict[str, tuple[str | int, int]]  # name -> what the place finds its bytes by, and how many they are
Fetch = Callable[[str | int, int], bytes]
Place = Callable[[Path], AbstractContextManager[Fetch]]


@dataclass(frozen=True)
class ImageSource:
    """The pictures at one place: a picture's index is its position in `names`, its class `classes[labels[index]]`.

    `opening` is called once for each pass and holds whatever the pass needs open, so passes never disturb each other.
    `credits` says for each class whose pictures it holds, where that is known.
    """

    place: str
    names: tuple[str, ...] = field(repr=False)
    labels: tuple[int, ...] = field(repr=False)
    classes: tuple[str, ...] = field(repr=False)
    fingerprint: str
    opening: Callable[[], AbstractContextManager[Load]] = field(repr=False, compare=False)
    credits: tuple[str, ...] = field(default=(), repr=False)

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True, eq=False)
class Picture:
    """One picture as it was read: 8-bit RGB, upright."""

    index: int
    name: str
    label: int
    image: Image.Image


@dataclass(frozen=True)
class Unreadable:
    """A picture that was passed over, and why."""

    index: int
    name: str
    reason: str


def open_source(spec: str | Path) -> ImageSource:
    """List the pictures of a folder, a .zip, a .tar, .tar.gz or .tgz, or of one picture file; nothing is decoded yet.

    In an archive, one top folder around everything is looked through. The fingerprint is the SHA-256 of the names and
    sizes in bytes, so a folder and its archive agree, and a change that keeps a file's size goes unseen. Raises
    BadImages where nothing is there, nothing is a picture, or the place cannot be read.

    >>> source = open_source("cats-and-dogs.zip")  # doctest: +SKIP
    >>> source.names[0], source.classes  # doctest: +SKIP
    ('cats/001.jpg', ('cats', 'dogs'))
    """
    path = Path(os.path.expanduser(spec)).absolute()
    if not os.path.exists(path):
        raise BadImages(f"There is no '{spec}'. Give a folder, a .zip or .tar of pictures, one picture, or bundled.")
    try:
        root, listing, place = _list(path)
    except Exception as error:  # a damaged file makes its decoder raise nearly anything
        raise BadImages(
            f"'{spec}' cannot be read: {_reason(error)}. Give a folder, a whole .zip or .tar, or one picture."
        ) from error
    if not listing:
        raise BadImages(
            f"'{spec}' holds no pictures. Put files named {', '.join(SUFFIXES)} there; folders become classes."
        )
    names = tuple(sorted(listing))
    folders = [name.partition("/")[0] if "/" in name else "" for name in names]
    classes = tuple(sorted(set(folders)))
    number = {folder: label for label, folder in enumerate(classes)}
    lines = "".join(f"{name}\0{listing[name][1]}\n" for name in names)
    return ImageSource(
        place=str(spec),
        names=names,
        labels=tuple(number[folder] for folder in folders),
        classes=classes,
        fingerprint=hashlib.sha256(lines.encode("utf-8", "surrogateescape")).hexdigest(),
        opening=_Files(root, tuple(listing[name] for name in names), place),
    )


def read(
    source: ImageSource, indices: Indices | None = None, unreadable: list[Unreadable] | None = None
) -> Iterator[Picture]:
    """Yield the pictures one by one, in the order of `indices` or all; what cannot be read is added to `unreadable`.

    Every picture is 8-bit RGB and upright (see `decode`); of an animation the first picture is taken. A compressed tar
    is unpacked into a temporary file for the pass. Raises BadValue for an index that is not there, and BadImages where
    the place is gone or, at the end, where not one picture could be read.

    >>> for picture in read(open_source("cats.zip")):  # doctest: +SKIP
    ...     print(picture.name, picture.image.size)
    """
    wanted = range(len(source)) if indices is None else [int(index) for index in indices]
    for index in wanted:
        if not 0 <= index < len(source):
            raise BadValue(f"'{source.place}' has no picture {index}. Its pictures are 0 to {len(source) - 1}.")
    return _read(source, wanted, [] if unreadable is None else unreadable)


def sum_up(unreadable: Sequence[Unreadable], shown: int = 5) -> str:
    """One line that counts and names the pictures that could not be read; empty where there are none.

    >>> sum_up([Unreadable(3, "cats/004.jpg", "image file is truncated")])
    '1 picture could not be read: cats/004.jpg (image file is truncated)'
    """
    if not unreadable:
        return ""
    named = ", ".join(f"{each.name} ({each.reason})" for each in unreadable[:shown])
    more = f" and {len(unreadable) - shown} more" if len(unreadable) > shown else ""
    return f"{len(unreadable)} picture{'s' * (len(unreadable) > 1)} could not be read: {named}{more}"


def batches(
    source: ImageSource,
    short: int,
    size: tuple[int, int],
    batch: int,
    indices: Indices | None = None,
    interpolation: str = "bilinear",
    unreadable: list[Unreadable] | None = None,
) -> Iterator[tuple[Int[np.ndarray, " batch"], UInt8[np.ndarray, "batch 3 height width"]]]:
    """Yield (indices, pictures as `fit` makes them), `batch` at a time, the last shorter; errors of `read` and `fit`.

    >>> for numbers, pictures in batches(source, 256, (224, 224), 32):  # doctest: +SKIP
    ...     print(numbers[0], pictures.shape)
    """
    if batch < 1:
        raise BadValue(f"A batch of {batch} pictures cannot be read. Give 1 or more.")
    pictures = read(source, indices, unreadable)
    fitted = ((picture.index, fit(picture.image, short, size, interpolation)) for picture in pictures)
    groups = iter(lambda: list(itertools.islice(fitted, batch)), [])
    return ((np.array([index for index, _ in group]), np.stack([array for _, array in group])) for group in groups)


def _read(source: ImageSource, wanted: Sequence[int], unreadable: list[Unreadable]) -> Iterator[Picture]:
    failed: list[Unreadable] = []
    try:
        with source.opening() as load:
            for index in wanted:
                try:
                    image = load(index)
                except Exception as error:  # a damaged file makes its decoder raise nearly anything
                    failed.append(Unreadable(index, source.names[index], _reason(error)))
                    unreadable.append(failed[-1])
                    continue
                yield Picture(index, source.names[index], source.labels[index], image)
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise BadImages(
            f"'{source.place}' cannot be opened: {_reason(error)}. Put it back, or unpack it and give the folder."
        ) from error
    if failed and len(failed) == len(wanted):
        raise BadImages(
            f"None of the {len(failed)} pictures of '{source.place}' opens ({failed[0].name}: {failed[0].reason}). "
            f"Give pictures in one of the formats {', '.join(FORMATS)}."
        )


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "not a picture in a known format"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error).strip().rstrip(".") or type(error).__name__


@dataclass(frozen=True)
class _Files:
    path: Path
    entries: tuple[tuple[str | int, int], ...]
    place: Place

    @contextmanager
    def __call__(self) -> Iterator[Load]:
        with self.place(self.path) as fetch:

            def load(index: int) -> Image.Image:
                key, size = self.entries[index]
                if size > LARGEST:
                    raise ValueError(f"{size >> 20} MB, more than the {LARGEST >> 20} MB that one picture may have")
                return decode(fetch(key, size))

            yield load


def _list(path: Path) -> tuple[Path, Listing, Place]:
    name = path.name.lower()
    if path.is_dir():
        return path, _list_folder(path), _open_folder
    if name.endswith(".zip"):
        return path, _unwrap(_list_zip(path)), _open_zip
    if name.endswith((".tar", ".tar.gz", ".tgz")):
        return path, _unwrap(_list_tar(path)), _open_tar
    decode(path.read_bytes())
    return path.parent, {path.name: (path.name, path.stat().st_size)}, _open_folder


def _picture_name(name: str) -> str | None:
    parts = [part for part in name.split("/") if part not in ("", ".", "..")]
    return "/".join(parts) if name.lower().endswith(SUFFIXES) and all(map(_is_shown, parts)) else None


def _is_shown(part: str) -> bool:
    return not part.startswith(".") and part != "__MACOSX"


def _unwrap(listing: Listing) -> Listing:
    tops = {name.partition("/")[0] for name in listing}
    if len(tops) > 1 or not any(name.count("/") > 1 for name in listing):
        return listing
    return {name.partition("/")[2]: entry for name, entry in listing.items()}


def _list_folder(root: Path) -> Listing:
    def stop(error: OSError) -> None:
        raise error

    listing: Listing = {}
    for folder, below, files in os.walk(root, onerror=stop, followlinks=True):
        here, shown = Path(folder), filter(_is_shown, below)
        below[:] = [name for name in shown if not here.resolve().is_relative_to((here / name).resolve())]  # no loops
        for path in map(here.joinpath, files):
            if name := _picture_name(path.relative_to(root).as_posix()):
                listing[name] = (name, path.stat().st_size if path.exists() else 0)
    return listing


@contextmanager
def _open_folder(root: Path) -> Iterator[Fetch]:
    yield lambda key, size: (root / str(key)).read_bytes()


def _list_zip(path: Path) -> Listing:
    with zipfile.ZipFile(path) as archive:
        named = ((_picture_name(member.filename), member) for member in archive.infolist() if not member.is_dir())
        return {name: (member.filename, member.file_size) for name, member in named if name}


@contextmanager
def _open_zip(path: Path) -> Iterator[Fetch]:
    with zipfile.ZipFile(path) as archive:
        yield lambda key, size: archive.read(str(key))


def _is_packed(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"  # gzip


def _list_tar(path: Path) -> Listing:
    with tarfile.open(path, "r:gz" if _is_packed(path) else "r:") as archive:
        members = (member for member in archive if member.isreg() and not member.issparse())
        named = ((_picture_name(member.name), member) for member in members)
        return {name: (member.offset_data, member.size) for name, member in named if name}


@contextmanager
def _open_tar(path: Path) -> Iterator[Fetch]:
    with path.open("rb") as file, tempfile.TemporaryFile() as plain:
        if packed := _is_packed(path):  # gzip cannot jump, and the order of names is not that of the archive
            with gzip.open(file) as stream:
                shutil.copyfileobj(stream, plain, 1 << 20)
        archive = plain if packed else file

        def fetch(key: str | int, size: int) -> bytes:
            archive.seek(int(key))
            return archive.read(size)

        yield fetch
