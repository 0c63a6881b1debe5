"""micrographia: put any trained CNN under the microscope.

The public names are resolved on first use, so that importing the package imports no torch.

>>> import micrographia
>>> graph = micrographia.trace(*micrographia.load("mini-inception"))
>>> graph.layer("mixed3b").channels
272
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOME = {
    "Unit": "micrographia.unit",
    "UnitRange": "micrographia.unit",
    "MicrographiaError": "micrographia.errors",
    "Card": "micrographia.model.card",
    "LayerGraph": "micrographia.model.graph",
    "trace": "micrographia.model.trace",
    "capture": "micrographia.model.capture",
    "load": "micrographia.zoo.registry",
    "observe": "micrographia.jobs.observe",
}

__all__ = ["__version__", *sorted(_HOME)]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"micrographia has no '{name}'; it has {', '.join(__all__)}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return __all__
