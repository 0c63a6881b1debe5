"""A wheel built from the checkout holds all that it needs at run time, and works away from the checkout."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    # isolation would fetch the build backend: the test environment has it
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    return next(out.glob("*.whl"))


@pytest.mark.long
def test_the_wheel_holds_weights_templates_and_static_files(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    package = ROOT / "src" / "micrographia"
    data = [p for p in package.rglob("*") if p.is_file() and p.suffix != ".py" and p.parent.name != "__pycache__"]
    assert {p.suffix for p in data} >= {".safetensors", ".html", ".css", ".js", ".txt"}
    assert {str(p.relative_to(ROOT / "src")) for p in data} <= names


@pytest.mark.long
def test_the_installed_wheel_runs_away_from_the_checkout(wheel: Path, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "env")], check=True)
    python = tmp_path / "env" / "bin" / "python"
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*install, str(wheel)], check=True)
    site = next((tmp_path / "env" / "lib").glob("python*")) / "site-packages"
    # the dependencies of the test environment, but not its editable micrographia, whose own .pth is not read from here
    (site / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    command = str(tmp_path / "env" / "bin" / "micrographia")

    def said(*arguments: str) -> str:
        return subprocess.run([command, *arguments], check=True, capture_output=True, text=True, cwd=tmp_path).stdout

    assert "--images" in said("observe", "--help")
    assert "mixed3a" in said("layers", "mini-inception")
    where = [str(python), "-c", "import micrographia; print(micrographia.__file__)"]
    home = subprocess.run(where, check=True, capture_output=True, text=True, cwd=tmp_path).stdout
    assert str(tmp_path) in home
