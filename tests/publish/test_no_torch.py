"""The publishing tower never imports torch, nor the tower that does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import micrographia.publish

MODULES = sorted(path.stem for path in Path(micrographia.publish.__file__).parent.glob("[a-z]*.py"))
CHECK = """
import sys
{imports}
wrong = {{"torch", *("micrographia." + n for n in ("model", "zoo", "images", "study", "optvis"))}} & set(sys.modules)
print(sorted(wrong))
"""


def checked(imports: str) -> str:
    code = CHECK.format(imports=imports)
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_publish_imports_no_torch() -> None:
    assert {"store", "site", "draw", "panels"} <= set(MODULES)
    assert checked("\n".join(f"import micrographia.publish.{name}" for name in MODULES)) == "[]"


def test_the_check_can_fail() -> None:
    assert checked("sys.modules['torch'] = sys.modules['micrographia.zoo'] = sys") == "['micrographia.zoo', 'torch']"
