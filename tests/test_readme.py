"""The README's code runs as it stands there, and the commands it shows exist with their options."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from micrographia.cli import run

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PAGES = ["README.md", "docs/extending.md"]


@pytest.mark.parametrize("page", PAGES)
def test_the_python_blocks_run_one_after_the_other(page: str, capsys: pytest.CaptureFixture[str]) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.S)
    assert len(blocks) >= 2
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, page, "exec"), names)
        promised = re.findall(r"print\(.*\)\s+# (.+)", block)
        printed = capsys.readouterr().out.splitlines()
        assert all(line in printed for line in promised), (promised, printed)


COMMANDS = re.findall(r"^\$ micrographia (.*?)(?:\s+#.*)?$", README, re.M)


@pytest.mark.parametrize("line", COMMANDS)
def test_the_commands_shown_exist_with_their_options(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = shlex.split(line)
    assert run([words[0], "--help"]) == 0
    known = capsys.readouterr().out
    assert all(word in known for word in words if word.startswith("--"))
