"""Toy experiments as jobs: run what is missing, keep results and figures, and bind them into one page."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, fields, replace
from importlib import import_module
from inspect import signature
from pathlib import Path
from types import ModuleType
from typing import Any

from micrographia import __version__
from micrographia.errors import BadValue, suggest
from micrographia.publish import atomic
from micrographia.publish.plain import plain

OPTIONS = (
    "features", "hidden", "density", "importance", "instances", "restarts", "steps", "batch",
    "model", "weights", "images", "layers", "pictures",
)  # fmt: skip
"""What can be given for one experiment; `density` is typed as its opposite, sparsity."""


@dataclass(frozen=True)
class Experiment:
    """One experiment: its module holds FULL and QUICK sizes and a function that gives a result with to_json()."""

    title: str
    about: str
    module: str
    function: str


EXPERIMENTS = {
    "intro": Experiment("Five features in two dimensions", "introduction", "toy.intro", "intro"),
    "demonstrate": Experiment("Demonstrating superposition", "section 2", "toy.demonstrate", "demonstrate"),
    "phase": Experiment("Superposition as a phase change", "section 3", "toy.phase", "phase"),
    "geometry": Experiment("The geometry of superposition", "section 4", "toy.structure", "structure"),
    "dynamics": Experiment("Learning dynamics", "section 5", "toy.dynamics", "dynamics"),
    "adversarial": Experiment("Adversarial vulnerability", "section 6", "toy.adversarial", "adversarial"),
    "privileged": Experiment("A privileged basis", "section 7", "toy.privileged", "privileged"),
    "computation": Experiment("Computation in superposition", "section 8", "toy.computation", "computation"),
    "memorization": Experiment(
        "Memorization and double descent", "Henighan et al. 2023", "toy.memorization", "memorization"
    ),
    "autoencoder": Experiment(
        "Do autoencoders find the features?", "beyond the paper", "toy.autoencoder", "autoencoder"
    ),
    "convolution": Experiment("Shared kernels, sparse in space", "beyond the paper", "toy.convolution", "convolution"),
    "real": Experiment("A trained network's layers", "beyond the paper", "jobs.superposition", "real"),
}
"""Every experiment by the name that the command line knows, in the order of the report."""


@dataclass(frozen=True)
class Done:
    """An experiment's document (arguments, result, figures' names and captions) and where its files lie, if kept."""

    name: str
    document: Mapping[str, Any]
    folder: Path | None
    fresh: bool

    @property
    def checks(self) -> Sequence[Mapping[str, Any]]:
        """What was expected, what was measured, and whether they agree."""
        return self.document["result"]["checks"]


def names(wish: str) -> list[str]:
    """The experiments that a word means: one, or all of them. Raises BadValue.

    >>> names("intro")
    ['intro']
    """
    if wish == "all":
        return list(EXPERIMENTS)
    if wish not in EXPERIMENTS:
        near = suggest(wish, [*EXPERIMENTS, "all"])
        raise BadValue(f"There is no experiment '{wish}'. Nearest: {near}. All: {', '.join(EXPERIMENTS)}, all.")
    return [wish]


def run(
    wish: str,
    quick: bool = False,
    seed: int = 0,
    out: Path | None = None,
    options: Mapping[str, Any] | None = None,
    tell: Callable[[str], None] = lambda line: None,
    device: str = "cpu",
) -> list[Done]:
    """Run the experiments that `wish` names; with `out`, keep each when it is finished, and write the page at the end.

    What `out` holds already, with the same arguments, is not run again. `options` change the size of one experiment.
    `device` is where toys are trained: with the fused kernel on "cpu", elsewhere in plain torch.
    Raises BadValue for options that an experiment does not have, for toys that cannot be, and for devices that are not
    there; BadStore.

    >>> run("intro", quick=True)[0].checks[0]["agrees"]  # doctest: +SKIP
    True
    """
    chosen, options = names(wish), dict(options or {})
    if options and len(chosen) > 1:
        raise BadValue(f"--{min(options)} changes one experiment, not all of them. Name one: {', '.join(EXPERIMENTS)}.")
    for name in chosen:
        _sized(name, quick, options)
    done = []
    for name in chosen:
        with _on(device):
            done.append(_one(name, quick, seed, out, options, tell, device))
    if out is not None:
        atomic.write(out, {"index.html": page(out).encode()})
    return done


def page(out: Path) -> str:
    """The report page over all the experiments that a folder holds."""
    from micrographia.publish.toy_page import toy_page

    kept = [found for name in EXPERIMENTS if (found := _kept(out, name)) is not None]
    files = {figure["file"]: (out / figure["file"]).read_bytes() for document in kept for figure in document["figures"]}
    return toy_page(kept, files)


def _one(
    name: str,
    quick: bool,
    seed: int,
    out: Path | None,
    options: dict[str, Any],
    tell: Callable[[str], None],
    device: str = "cpu",
) -> Done:
    given = {key: str(value) if isinstance(value, Path) else value for key, value in options.items()}
    if device != "cpu":
        given["device"] = device
    arguments = plain({"quick": quick, "seed": seed, "options": given, "version": __version__})
    if out is not None and (old := _kept(out, name)) is not None and old["arguments"] == arguments:
        tell(f"{name}: already there")
        return Done(name, old, out, False)
    experiment = EXPERIMENTS[name]
    size, words = _sized(name, quick, options)
    wall, processor = time.perf_counter(), time.process_time()
    result = getattr(_module(name), experiment.function)(size, seed=seed, **words)
    spent = {"seconds": time.perf_counter() - wall, "processor_seconds": time.process_time() - processor}
    drawn = []
    if out is not None:
        # takes longer to import than a small experiment takes to run
        from micrographia.jobs.toy_figures import toy_figures

        drawn = toy_figures(name, result)
    document = {
        "experiment": name,
        "title": experiment.title,
        "about": experiment.about,
        "arguments": arguments,
        **plain(spent),
        "result": plain(result.to_json(), f"The result of {name}"),
        "figures": [{"file": f"{name}-{each.file}", "caption": each.caption} for each in drawn],
    }
    tell(f"{name}: {spent['seconds']:.1f} s")
    if out is not None:
        files = {f"{name}-{each.file}": each.data for each in drawn}
        text = (json.dumps(document, ensure_ascii=False) + "\n").encode()
        atomic.write(out, files | {f"{name}.json": text}, replaces=f"{name}.json")
    return Done(name, document, out, True)


def _on(device: str) -> AbstractContextManager[None]:
    if device == "cpu":
        return nullcontext()
    # both take long to import
    from micrographia.toy.device import on_device
    from micrographia.toy.train import on

    on_device(device)
    return on(device)


def _kept(out: Path, name: str) -> dict[str, Any] | None:
    """The document of a finished experiment, None where there is none, or not all of it."""
    try:
        found: dict[str, Any] = json.loads((out / f"{name}.json").read_text())
    except (OSError, ValueError):
        return None
    return found if all((out / each["file"]).is_file() for each in found["figures"]) else None


def _module(name: str) -> ModuleType:
    return import_module(f"micrographia.{EXPERIMENTS[name].module}")


def _sized(name: str, quick: bool, options: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The experiment's size with the options in it, and the options that its function takes by itself."""
    module = _module(name)
    size = module.QUICK if quick else module.FULL
    inside = {each.name for each in fields(size) if isinstance(getattr(size, each.name), int)} & set(OPTIONS)
    words = set(signature(getattr(module, EXPERIMENTS[name].function)).parameters) & set(OPTIONS)
    for key, value in options.items():
        if key not in inside | words:
            # sparsity is what people give, density what the experiments count in
            known = sorted("sparsity" if each == "density" else each for each in inside | words)
            said = "sparsity" if key == "density" else key
            takes = "It takes " + ", ".join(f"--{each}" for each in known) + "." if known else "It takes none."
            raise BadValue(f"The experiment {name} has no --{said}. {takes}")
        if key in inside and value < 1:
            raise BadValue(f"--{key} {value} leaves nothing to run. Give 1 or more.")
    size = replace(size, **{key: value for key, value in options.items() if key in inside})
    return size, {key: value for key, value in options.items() if key in words}
