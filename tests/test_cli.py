"""The real command line, end to end on a bundled network and small pictures, and what it says to wrong input."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from micrographia.cli import run
from tests.pictures import write_pictures

UNITS = ("--units", "conv2d0:0-2", "--units", "mixed3a:130")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("pictures"))


@pytest.fixture(scope="module")
def observed(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("observed") / "store"
    assert run(["observe", "mini-inception", "--images", str(pictures), *UNITS, "--out", str(out)]) == 0
    return out


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_layers_as_json_is_the_list_that_the_documentation_promises(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["layers", "mini-inception", "--json"]) == 0
    layers = {layer["name"]: layer for layer in json.loads(capsys.readouterr().out)}
    keys = {"name", "op", "channels", "kernel", "stride", "receptive_field", "parents", "branches"}
    assert keys <= set(layers["conv2d0"])
    assert (layers["conv2d0"]["kernel"], layers["conv2d0"]["stride"], layers["conv2d0"]["receptive_field"]) == (7, 2, 7)
    branches = {b["name"]: (b["first"], b["last"]) for b in layers["mixed3a"]["branches"]}
    assert branches["mixed3a_5x5"] == (128, 151)


def test_layers_for_people_names_every_branch(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["layers", "mini-alexnet"]) == 0
    out = capsys.readouterr().out
    assert "conv1.group0 0-31" in out
    assert "conv2.group1 64-127" in out


def test_layers_draws_the_architecture_and_a_sum_as_paths(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["layers", "mini-resnetv2", "--out", str(tmp_path / "whole.svg")]) == 0
    assert ">block3.unit2.conv3<" in (tmp_path / "whole.svg").read_text()
    assert run(["layers", "mini-resnetv2", "--unroll", "block2", "--out", str(tmp_path / "paths.svg")]) == 0
    assert "block2 as a sum of 4 paths" in (tmp_path / "paths.svg").read_text()
    capsys.readouterr()
    for arguments, words in (
        (["--out", str(tmp_path / "whole.gif")], "End its name in png, svg, pdf"),
        (["--unroll", "block2"], "Name it: --out"),
        (["--unroll", "conv1", "--out", str(tmp_path / "a.svg")], "not a sum of paths"),
    ):
        assert run(["layers", "mini-resnetv2", *arguments]) == 2
        assert words in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["paths.svg", "whole.svg"]


def test_models_lists_the_lecture_s_and_the_bundled_networks(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models", "--json"]) == 0
    known = {entry["name"]: entry for entry in json.loads(capsys.readouterr().out)}
    assert {"inceptionv1", "inceptionv1-bvlc", "alexnet", "vgg19", "resnetv2-50"} <= set(known)
    assert all(known[f"mini-{name}"]["at_hand"] for name in ("alexnet", "inception", "vgg", "resnetv2"))


def test_observe_makes_a_page_and_a_twin_for_every_unit(observed: Path) -> None:
    for address in ("conv2d0/0", "conv2d0/2", "mixed3a/130"):
        assert (observed / address / "index.html").exists()
        twin = json.loads((observed / address / "index.json").read_text())
        assert address.replace("/", ":") in json.dumps(twin)
        assert (observed / address / "vis.jpg").stat().st_size > 300
        assert (observed / address / "examples.jpg").exists()
    assert not (observed / "conv2d0/3/index.html").exists()


def test_the_inputs_of_a_unit_are_links_to_units_of_the_bottleneck(observed: Path) -> None:
    weights = json.loads((observed / "mixed3a/130/weights.json").read_text())["values"]
    assert weights["count"] == 16
    assert all(link["unit"].startswith("mixed3a_5x5_bottleneck:") for link in weights["inputs"])
    assert all(np.shape(link["kernel"]) == (5, 5) for link in weights["inputs"])


def test_the_same_command_again_changes_nothing(observed: Path, pictures: Path) -> None:
    before = {p: p.stat().st_mtime_ns for p in observed.rglob("*.jpg")}
    content = contents(observed)
    assert run(["observe", "mini-inception", "--images", str(pictures), *UNITS, "--out", str(observed)]) == 0
    assert {p: p.stat().st_mtime_ns for p in observed.rglob("*.jpg")} == before
    assert contents(observed) == content


def test_a_run_that_was_stopped_goes_on_and_ends_in_the_same_bytes(
    observed: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import micrographia.jobs.pictures as job

    real, calls = job.put, []

    def interrupted(*args: object, **kwargs: object) -> object:
        calls.append(args)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*args, **kwargs)  # type: ignore[arg-type]

    command = ["observe", "mini-inception", "--images", str(pictures), *UNITS, "--out", str(tmp_path / "store")]
    monkeypatch.setattr(job, "put", interrupted)
    assert run(command) == 130
    monkeypatch.setattr(job, "put", real)
    assert run(command) == 0
    assert contents(tmp_path / "store") == contents(observed)


def test_an_unreadable_picture_is_named_and_not_fatal(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_pictures(tmp_path / "pictures", each=2)
    (folder / "disc" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing more")
    out = str(tmp_path / "store")
    assert run(["observe", "mini-vgg", "--images", str(folder), "--units", "conv1_1:0", "--out", out]) == 0
    assert "1 picture could not be read: disc/broken.png" in capsys.readouterr().err


def test_bake_writes_a_copy_of_the_site_alone(
    observed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["bake", str(observed), "--out", str(tmp_path / "site"), "--json"]) == 0
    page = Path(json.loads(capsys.readouterr().out)["page"])
    assert page == tmp_path / "site" / "index.html"
    assert (tmp_path / "site" / "mixed3a" / "130" / "vis.jpg").exists()
    assert not (tmp_path / "site" / "index.sqlite").exists()


WRONG = {
    "unknown model": (["layers", "mini-inceptio"], ["no network 'mini-inceptio'", "mini-inception"]),
    "unknown layer": (["observe", "mini-vgg", "--layers", "conv9_1"], ["no layer 'conv9_1'", "conv"]),
    "unit out of range": (["observe", "mini-vgg", "--units", "conv1_1:99"], ["no unit 99", "conv1_1:0 to conv1_1:15"]),
    "malformed address": (["observe", "mini-vgg", "--units", "conv1_1:4-x"], ["does not name units"]),
    "backwards layers": (["observe", "mini-vgg", "--layers", "conv3_1..conv1_1"], ["backwards"]),
    "layer without maps": (["observe", "mini-vgg", "--layers", "head"], ["no maps"]),
    "missing images": (["observe", "mini-vgg", "--images", "nowhere.zip"], ["nowhere.zip"]),
    "unknown quality": (["observe", "mini-vgg", "--quality", "superb"], ["superb", "thumbnail"]),
    "unknown device": (["observe", "mini-vgg", "--device", "abacus"], ["abacus", "cpu"]),
    "weights of nothing": (["layers", "mini-vgg", "--weights", "none.npz"], ["none.npz"]),
    "unknown option": (["layers", "mini-vgg", "--colour"], ["--colour"]),
    "unknown command": (["look"], ["look"]),
    "no store": (["bake", "no-such-store"], ["no-such-store"]),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input_is_one_sentence_and_exit_2(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments, words = WRONG[case]
    assert run(arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "Traceback" not in said.err
    assert said.err.startswith("micrographia: ")
    assert all(word in said.err for word in words), said.err
    assert list(tmp_path.iterdir()) == [], "something was left behind"


def test_weights_of_another_architecture_name_the_first_tensor_and_both_shapes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    from micrographia.zoo.registry import SHIPPED

    assert run(["layers", "mini-vgg", "--weights", str(SHIPPED / "mini-alexnet.safetensors")]) == 2
    said = capsys.readouterr().err
    assert "mini-alexnet.safetensors" in said
    assert said.startswith("micrographia: ")


def test_the_folder_of_another_network_s_store_is_refused(observed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = contents(observed)
    assert run(["observe", "mini-vgg", "--units", "conv1_1:0", "--out", str(observed)]) == 2
    said = capsys.readouterr().err
    assert "mini-inception" in said
    assert "mini-vgg" in said
    assert contents(observed) == before


def test_a_model_in_training_mode_is_said_to_run_in_evaluation_mode(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.py").write_text(
        "from torch import nn\n"
        "def make():\n"
        "    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()).train()\n"
    )
    assert run(["layers", f"{tmp_path / 'mine.py'}:make"]) == 0
    assert "training mode" in capsys.readouterr().err


def test_the_installed_command_answers_without_importing_torch() -> None:
    code = "import sys; from micrographia.cli import run; run(['observe', '--help']); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"
    assert "--images" in done.stdout


def test_finishing_needs_something_to_finish(pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = str(pictures)
    assert run(["train", "mini-vgg", "--finish", "--images", place, "--validation", place]) == 2
    assert "nothing to finish. Give the weights of the cycle before: --start FILE." in capsys.readouterr().err
