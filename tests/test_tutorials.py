"""What a tutorial tells to type works, in its order and in one folder, and says what the tutorial says it does."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from micrographia.cli import run

TUTORIALS = sorted((Path(__file__).parents[1] / "docs" / "tutorials").glob("*.md"))
LAB = next(path for path in TUTORIALS if path.stem == "lab-three")
# not the digits of an address
NUMBER = re.compile("(?<![\\w:.])[-\u2212]?\\d+(?:[.,]\\d+)?(?:e[-\u2212]?\\d+)?")


def steps(path: Path) -> list[tuple[str, list[str]]]:
    """Each command with the lines of output that are shown before the next command."""
    found: list[tuple[str, list[str]]] = []
    for kind, block in re.findall(r"```(\w*)\n(.*?)```", path.read_text(), re.S):
        for line in block.splitlines():
            if line.startswith("$ micrographia "):
                found.append((line.removeprefix("$ micrographia "), []))
            elif kind == "text" and found:
                found[-1][1].append(line)
    return found


def value(text: str) -> float:
    return float(text.replace("\u2212", "-").replace(",", ""))


def agrees(shown: str, printed: str) -> bool:
    """Equal words, and numbers that are equal up to what another processor's rounding may change."""
    if NUMBER.sub("#", shown).split() != NUMBER.sub("#", printed).split()[: len(shown.split())]:
        return False
    pairs = zip(NUMBER.findall(shown), NUMBER.findall(printed), strict=False)
    return all(abs(value(a) - value(b)) <= 0.02 + 0.05 * abs(value(a)) for a, b in pairs)


@pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)
def test_the_commands_exist_with_their_options(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert steps(path)
    for line, _ in steps(path):
        words = shlex.split(line)
        assert run([words[0], "--help"]) == 0
        known = capsys.readouterr().out
        assert all(word in known for word in words if word.startswith("--"))


@pytest.mark.long
def test_lab_three_runs_from_question_to_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for line, shown in steps(LAB):
        assert run(shlex.split(line)) == 0, line
        printed = capsys.readouterr().out.splitlines()
        for each in shown:
            assert any(agrees(each, other) for other in printed), (each, printed)
    assert (tmp_path / "circuits/mini-inception/conv2d2-59.png").exists()
