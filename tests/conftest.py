"""Fixtures for all tests: where the shared pictures and weights are, and the proof that models are never changed."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import micrographia.model.trace
from tests.guard import Guard


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real weights and pictures beside the checkout; tests that need it are skipped without."""
    folder = Path(__file__).resolve().parents[2] / "shared"
    if not (folder / "weights").is_dir():
        pytest.skip(f"the real weights and pictures are not at {folder}")
    return folder


@pytest.fixture(scope="session", autouse=True)
def guard() -> Iterator[Guard]:
    """Watches every model that is traced in any test or fixture. `guard.renew(model)` after changing one on purpose."""
    watch = Guard()
    twin = micrographia.model.trace.twin
    twins: weakref.WeakSet[Any] = weakref.WeakSet()

    def watched(model: Any, *args: Any, **kwargs: Any) -> Any:
        if model not in twins:
            watch.watch(model)
        other = twin(model, *args, **kwargs)
        twins.add(other)
        return other

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(micrographia.model.trace, "twin", watched)
        yield watch


@pytest.fixture(autouse=True)
def nothing_left(guard: Guard) -> Iterator[None]:
    """After every test: no hook, flag, gradient, attribute or changed weight on any model that was traced."""
    yield
    left = guard.differences()
    assert not left, "\n".join(left)
