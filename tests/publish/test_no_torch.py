"""The publishing tower never imports torch, nor the tower that does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import micrographia.publish

MODULES = sorted(path.stem for path in Path(micrographia.publish.__file__).parent.glob("*.py"))
CHECK = """
import sys
{imports}
wrong = {{"torch", *("micrographia." + n for n in ("model", "zoo", "images", "study", "optvis"))}} & set(sys.modules)
print(sorted(wrong))
"""


def imported(*names: str) -> str:
    code = CHECK.format(imports="\n".join(f"import {name}" for name in names))
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_publish_imports_no_torch() -> None:
    assert {"store", "site", "draw", "panels"} <= set(MODULES)
    assert imported(*(f"micrographia.publish.{name}" for name in MODULES if name != "__init__")) == "[]"


@pytest.mark.long
def test_the_check_can_fail() -> None:
    assert imported("micrographia.publish.site", "micrographia.model.card") == "['micrographia.model', 'torch']"
