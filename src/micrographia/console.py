"""What the command line shows: tables for people, JSON for programs on stdout, progress on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

# a stage of work: give its name and how many items it has, get the function that counts them off
Stages = Callable[[str, int], Callable[[int], None]]


def silent(name: str, total: int) -> Callable[[int], None]:
    """The Stages that show nothing: what functions use when nobody watches."""
    return lambda count: None


@contextmanager
def bars(quiet: bool = False) -> Iterator[Stages]:
    """Progress bars on stderr with counts and the time left; where it is no terminal, a line per finished stage."""
    console = Console(stderr=True)
    if quiet:
        yield silent
        return
    if not console.is_terminal:
        yield lambda name, total: _line(console, name, total)
        return
    columns = (
        TextColumn("{task.description:<28}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:

        def stage(name: str, total: int) -> Callable[[int], None]:
            task = progress.add_task(name, total=total)
            return lambda count: progress.advance(task, count)

        yield stage


def _line(console: Console, name: str, total: int) -> Callable[[int], None]:
    seen = 0

    def advance(count: int) -> None:
        nonlocal seen
        seen += count
        if seen - count < total <= seen:
            console.print(f"{name}: {total}", highlight=False)

    return advance


def note(text: str) -> None:
    """A sentence for the person at the terminal, on stderr."""
    Console(stderr=True).print(text, highlight=False, soft_wrap=True, markup=False)


def say(text: str) -> None:
    """A line of the result, on stdout."""
    Console().print(text, highlight=False, soft_wrap=True, markup=False)


def document(value: Any) -> None:
    """One JSON document on stdout."""
    sys.stdout.write(json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def size(value: Any) -> str:
    """A size as people read it: 7 for a square one, 3x5 else, a dash where there is none.

    >>> size([3, 5]), size(7), size(None)
    ('3x5', '7', '-')
    """
    if value is None:
        return "-"
    return "x".join(map(str, value)) if isinstance(value, list) else str(value)


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]], right: Sequence[str] = ()) -> None:
    """A plain table on stdout; the columns named in `right` are set to the right."""
    sheet = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        sheet.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        sheet.add_row(*("" if cell is None else str(cell) for cell in row))
    # a pipe has no width of its own: there, rows are not folded
    (Console() if sys.stdout.isatty() else Console(width=300)).print(sheet)
