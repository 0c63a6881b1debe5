"""rerun(file): a lab computed again from the parameters it carries, and compared number by number."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch

from micrographia import __version__
from micrographia.console import Stages, silent
from micrographia.errors import BadImages, BadModel, BadValue
from micrographia.images.bundled import open_images
from micrographia.jobs.choose import open_network
from micrographia.jobs.lab import SCHEMA, LabWanted, lab
from micrographia.publish.lab import lab_document


@dataclass(frozen=True)
class Rerun:
    """What came of it: how many numbers were compared, and the first that differs as (place, then, now), if any."""

    file: str
    compared: int
    difference: tuple[str, Any, Any] | None
    version: str

    @property
    def same(self) -> bool:
        """Whether every number was reproduced."""
        return self.difference is None

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        then = None if self.difference is None else dict(zip(("where", "then", "now"), self.difference, strict=True))
        return {"file": self.file, "same": self.same, "compared": self.compared, "difference": then,
                "version": self.version}  # fmt: skip


def rerun(
    file: Path,
    weights: str | None = None,
    images: str | None = None,
    store: str | None = None,
    stages: Stages = silent,
) -> Rerun:
    """Run a lab's file again; where weights, pictures or store lie elsewhere now, name the place.

    Raises BadValue for a file that is no lab or damaged, BadModel and BadImages where the network or the pictures are
    not those of the file, and whatever the lab raises.

    >>> rerun(Path("lab.html")).same  # doctest: +SKIP
    True
    """
    document = lab_document(_text(file), str(file))
    if document["schema"] != SCHEMA:
        raise BadValue(
            f"{file} was written with lab schema {document['schema']}, and this version reads {SCHEMA}. "
            f"Use micrographia {document['version']}, which wrote it."
        )
    wanted = _wanted(document["parameters"], file)
    wanted = replace(
        wanted, weights=weights or wanted.weights, images=images or wanted.images, store=store or wanted.store
    )
    then = document["numbers"]
    graph = open_network(wanted.model, None if wanted.weights is None else Path(wanted.weights))
    if graph.fingerprint != then["network"]["fingerprint"]:
        raise BadModel(
            f"{file} is about {then['network']['name']} with weights {then['network']['fingerprint'][:12]}, but "
            f"{wanted.model} has weights {graph.fingerprint[:12]}. Name the file of those weights with --weights."
        )
    source = open_images(wanted.images)
    if source.fingerprint != then["images"]["fingerprint"]:
        raise BadImages(
            f"{file} was made from {then['images']['count']} other pictures than the {len(source)} of "
            f"'{wanted.images}'. Name the place of those pictures with --images."
        )
    threads = torch.get_num_threads()
    try:
        # sums over threads may round differently
        torch.set_num_threads(wanted.threads)
        now = lab(graph, wanted, stages).numbers
    finally:
        torch.set_num_threads(threads)
    found = list(_differences("", then, now))
    different = next((each for each in found if each is not None), None)
    return Rerun(str(file), len(found), different, __version__)


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise BadValue(f"{file} is no lab report: it is no text. Name the HTML file that lab wrote.") from error


def _wanted(parameters: Any, file: Path) -> LabWanted:
    names = {field.name for field in fields(LabWanted)}
    if not isinstance(parameters, dict) or set(parameters) != names:
        raise BadValue(f"The parameters in {file} are damaged. Take the file as the program wrote it.")
    return LabWanted(**parameters)


def _differences(where: str, then: Any, now: Any) -> Iterator[tuple[str, Any, Any] | None]:
    """One item for each number or word on either side: None where they are equal."""
    if isinstance(then, dict) and isinstance(now, dict):
        for key in {**then, **now}:
            yield from _differences(f"{where}.{key}" if where else key, then.get(key), now.get(key))
    elif isinstance(then, list) and isinstance(now, list) and len(then) == len(now):
        for place, (old, new) in enumerate(zip(then, now, strict=True)):
            yield from _differences(f"{where}[{place}]", old, new)
    else:
        yield None if type(then) is type(now) and then == now else (where, then, now)
