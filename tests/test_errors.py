from __future__ import annotations

import inspect
import subprocess
import sys

import micrographia.errors as errors
from micrographia.errors import MicrographiaError, suggest


def test_one_family_with_a_docstring_each() -> None:
    kinds = [each for _, each in inspect.getmembers(errors, inspect.isclass) if each.__module__ == errors.__name__]
    assert len(kinds) > 5
    assert all(issubclass(kind, MicrographiaError) and kind.__doc__ for kind in kinds)


def test_the_nearest_names_come_first() -> None:
    assert suggest("mixed3", ["conv2d0", "mixed3a", "mixed3b"]) == "mixed3b, mixed3a"
    assert suggest("CONV1", ["mixed3a", "conv1"]) == "conv1"


def test_without_a_near_name_the_first_ones_are_said() -> None:
    assert suggest("zzz", ["a", "b", "c", "d"]) == "a, b, c"
    assert suggest("zzz", iter(["a", "b"])) == "a, b"
    assert suggest("zzz", []) == ""


def test_the_words_need_no_torch() -> None:
    code = "import sys, micrographia.errors, micrographia.unit; print(sorted({'torch', 'numpy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
