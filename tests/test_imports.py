"""The import order of ARCHITECTURE.md: imports go down only, publish knows no torch, studies do not know each other."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import networkx as nx
import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "micrographia"
FLOORS = {
    "errors": 0, "unit": 0,
    "console": 1, "model": 1, "images": 1, "publish": 1, "toy": 1,
    "zoo": 2, "null": 2,
    "optvis": 3, "study": 3,
    "circuits": 4,
    "jobs": 5, "scale": 5,
    "commands": 6, "cli": 6, "serve": 6, "__main__": 6,
}  # fmt: skip
# what takes a second or more to import; a command that needs it imports it when it is called
HEAVY = {"torch", "torchvision", "timm", "scipy", "sklearn", "skimage", "networkx", "einops", "PIL", "numpy", "jinja2"}
# the words that both towers use
SHARED = {"errors", "unit"}
# neighbours of which one may import the other
ABOVE = {("unit", "errors"), ("cli", "commands"), ("__main__", "cli")}
# a part of a study that is a file of its own, and the only file that may import it
PRIVATE = {
    "study.examples": ("study.histogram", "study.classes"),
    "study.factor": ("study.gaps",),
    "study.families": ("study.alignment", "study.growth"),
    "study.growth": ("study.alignment",),
}

Imports = dict[str, set[tuple[str, bool]]]


@cache
def modules(root: Path = SOURCE) -> dict[str, ast.Module]:
    """Every file as a dotted name within the package: `model.trace`; a package's own file is `model`."""
    found = {}
    for path in sorted(root.rglob("*.py")):
        name = ".".join(path.relative_to(root).with_suffix("").parts).removesuffix("__init__").rstrip(".")
        found[name] = ast.parse(path.read_text(), str(path))
    return found


def imports(trees: dict[str, ast.Module]) -> Imports:
    """What each file imports, and whether it does so when it is itself imported."""
    return {name: set(_imported(tree, modules())) for name, tree in trees.items()}


def _imported(tree: ast.Module, known: dict[str, ast.Module]) -> list[tuple[str, bool]]:
    inside = {
        id(child)
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        for child in ast.walk(node)
    }
    typing_only = {
        id(child)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for child in ast.walk(node)
    }
    found = []
    for node in ast.walk(tree):
        at_once = id(node) not in inside and id(node) not in typing_only
        if isinstance(node, ast.Import):
            found += [(alias.name, at_once) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: write imports in full"
            base = str(node.module)
            for alias in node.names:
                # from micrographia.zoo import cache imports the file zoo.cache
                full = f"{base}.{alias.name}"
                found.append((full if full.removeprefix("micrographia.") in known else base, at_once))
    return found


def own(name: str) -> str | None:
    """The dotted name within the package, None for what is not ours."""
    if name == "micrographia":
        return ""
    return name.removeprefix("micrographia.") if name.startswith("micrographia.") else None


def floor(name: str) -> int:
    if name == "study.null":
        return FLOORS["null"]
    return FLOORS[name.partition(".")[0]]


def violations(found: Imports) -> list[str]:
    """Every import that breaks the order, in words."""
    wrong = []
    for name, targets in found.items():
        for target, _ in targets:
            inner = own(target)
            if not name or not inner:
                continue
            here, there = name.partition(".")[0], inner.partition(".")[0]
            if floor(inner) > floor(name):
                wrong.append(f"{name} (floor {floor(name)}) imports {inner} (floor {floor(inner)})")
            elif floor(inner) == floor(name) and here != there and (here, there) not in ABOVE:
                wrong.append(f"{name} imports its neighbour {inner}")
            elif here == there == "study" and inner not in ("study", "study.null", *PRIVATE.get(name, ())):
                wrong.append(f"the study {name} imports the study {inner}")
            elif here == "publish" and there not in SHARED | {"publish"}:
                wrong.append(f"{name} of the publishing tower imports {inner}")
    return wrong


def test_imports_go_down_only() -> None:
    assert violations(imports(modules())) == []


def test_every_file_has_a_floor() -> None:
    assert {name.partition(".")[0] for name in modules() if name} <= set(FLOORS)


def test_there_are_no_cycles() -> None:
    found = imports(modules())
    edges = [(name, own(target)) for name, targets in found.items() for target, _ in targets if own(target)]
    assert list(nx.simple_cycles(nx.DiGraph(edges))) == []


def test_publish_never_imports_torch() -> None:
    found = imports(modules())
    for name in found:
        if name.startswith("publish"):
            outside = {target.partition(".")[0] for target, _ in found[name]}
            assert not outside & {"torch", "torchvision", "timm"}, name


def test_the_command_line_imports_nothing_heavy_until_it_is_needed() -> None:
    found = imports(modules())
    for name in found:
        if name in ("", "console") or (floor(name) == 6 and name != "serve"):
            at_once = {target for target, now in found[name] if now}
            assert not {target.partition(".")[0] for target in at_once} & HEAVY, name
            inner = {str(own(target)).partition(".")[0] for target in at_once if own(target)}
            assert inner <= {"errors", "unit", "console", "commands", "cli"}, name


def test_the_floors_are_those_of_the_architecture_page() -> None:
    page = (ROOT / "ARCHITECTURE.md").read_text()
    rows = re.findall(r"^\| (\d) \| ([^|]+) \|", page, re.MULTILINE)
    written = {name: int(number) for number, names in rows for name in re.findall(r"`(\w+)`", names)}
    assert written
    assert written == {name: FLOORS[name] for name in written}
    assert {name.partition(".")[0] for name in modules() if name} <= set(written)


@pytest.mark.parametrize(
    ("name", "line", "expected"),
    [
        ("model.new", "from micrographia.zoo import registry", "model.new (floor 1) imports zoo"),
        ("model.new", "import micrographia.study.examples", "model.new (floor 1) imports study.examples"),
        ("model.new", "def f():\n    from micrographia.jobs import observe", "model.new (floor 1) imports jobs"),
        ("model.new", "from micrographia.images.source import open_source", "imports its neighbour images.source"),
        ("study.new", "from micrographia.study.weights import expanded", "the study study.new imports the study"),
        ("study.new", "from micrographia.study.histogram import Histogram", "the study study.new imports the study"),
        ("publish.new", "from micrographia.console import table", "imports its neighbour console"),
    ],
)
def test_a_wrong_import_is_found(name: str, line: str, expected: str) -> None:
    (found,) = violations(imports({name: ast.parse(line)}))
    assert expected in found


def test_right_imports_pass() -> None:
    lines = {"study.new": "from micrographia.study.null import p", "jobs.new": "from micrographia.publish import draw"}
    assert violations(imports({name: ast.parse(line) for name, line in lines.items()})) == []
