"""Files that are written whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from micrographia.errors import BadStore

_FULL = (errno.ENOSPC, errno.EDQUOT)


def write(folder: Path, files: Mapping[str, bytes], replaces: str | None = None) -> None:
    """Put files into a folder, in the given order, each by a temporary name and an atomic rename.

    All are written under their temporary names before the first takes its place. `replaces` names the file that makes
    the set valid (the last one, a record's JSON): its old version is taken away before any of the set changes, so that
    a killed run never leaves it beside files it does not describe. Where anything fails, nothing of the set is left.
    Raises BadStore for a full disk and for a folder that cannot be written.
    """
    staged: list[tuple[Path, Path]] = []
    new_folder = not folder.exists()
    try:
        with reported(folder):
            folder.mkdir(parents=True, exist_ok=True)
            for name, data in files.items():
                temporary = folder / f".{name}.part"
                staged.append((temporary, folder / name))
                temporary.write_bytes(data)
            if replaces is not None:
                (folder / replaces).unlink(missing_ok=True)
            for temporary, final in staged:
                os.replace(temporary, final)
    except BaseException:
        moving = replaces is not None and not (folder / replaces).exists()
        for temporary, final in staged:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            if moving:
                with contextlib.suppress(OSError):
                    final.unlink(missing_ok=True)
        if new_folder:
            with contextlib.suppress(OSError):
                folder.rmdir()
        raise


def usable(folder: Path) -> None:
    """Raise BadStore for a folder that cannot be written or made: to be asked before the work that it is for."""
    nearest = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    with reported(folder):
        if not nearest.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(nearest))
        if not os.access(nearest, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(nearest))


def update(path: Path, data: bytes) -> bool:
    """Write one file unless it already holds these bytes; says whether it was written. Raises BadStore."""
    with reported(path.parent):
        try:
            if path.stat().st_size == len(data) and path.read_bytes() == data:
                return False
        except FileNotFoundError:
            pass
    write(path.parent, {path.name: data})
    return True


@contextlib.contextmanager
def reported(folder: Path) -> Iterator[None]:
    """Turn the system's errors about a folder into BadStore, in one sentence each."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise BadStore(
                f"The disk of {folder} is full, and nothing half-written is left there. "
                "Free some space and run the same command again: it goes on where it stopped."
            ) from error
        raise BadStore(
            f"{error.filename or folder} cannot be used ({error.strerror or error}). "
            "Choose another folder, or make this one readable and writable."
        ) from error
