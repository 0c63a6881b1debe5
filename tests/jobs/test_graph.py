"""The command `graph`: what it prints and writes, what it checks, and bad input in one clear sentence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from micrographia.circuits.controls import Plan
from micrographia.circuits.planted import stimuli
from micrographia.circuits.schema import read_circuit
from micrographia.cli import run
from micrographia.jobs.choose import open_network
from micrographia.jobs.graph import find, node_pictures, write
from micrographia.publish.plain import plain


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    for number, each in enumerate(stimuli(16)):
        pixels = (each * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
        Image.fromarray(pixels).save(folder / f"{number:02}.png")
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("model") / "small.py"
    file.write_text(
        "from micrographia.circuits.planted import Stack, card_of\n"
        "import torch\n\n\n"
        "def make():\n"
        "    torch.manual_seed(0)\n"
        "    model = Stack((3, 6, 5, 4))\n"
        "    with torch.no_grad():\n"
        "        conv = model.get_submodule('conv3.conv')\n"
        "        conv.weight[3] = 0\n"
        "    return model.eval(), card_of('small')\n"
    )
    return f"{file}:make"


@pytest.fixture(scope="module")
def written(model: str, pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out")
    graph = open_network(model)
    families = out / "families.in.json"
    families.write_text('{"conv2": {"first": [0, 1]}, "conv1": {"lines": [2, 4], "spots": [0]}}')
    found = find(graph, "conv3:0", str(pictures), Plan(depth=2, size=5), pictures=3, families=[families])
    write(graph, found, out)
    tiles = node_pictures(graph, found)
    assert {node.id for node in found.circuit.nodes} <= set(tiles)
    assert all(f"{each.what.removeprefix('beats ')}" in " ".join(found.words) for each in found.verification.findings)
    return out


def test_every_form_is_written(written: Path) -> None:
    names = {file.name for file in written.iterdir()}
    assert {"circuit.json", "circuit.graphml", "circuit.dot", "circuit.svg", "circuit.png", "families.svg"} <= names
    shares = json.loads((written / "families.json").read_text())
    for parts in shares["made_of"].values():
        assert sum(each["share"] for each in parts) == pytest.approx(1, abs=1e-5)
    circuit = read_circuit(written / "circuit.json")
    assert circuit.target == "conv3:0"
    assert circuit.made_by["fingerprint"] == circuit.fingerprint
    assert isinstance(circuit.scores["supported"], bool)


def test_a_file_is_checked_against_the_network(
    written: Path, model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = written / "circuit.json"
    assert run(["graph", model, "--check", str(file)]) == 0
    assert "is right: " in capsys.readouterr().out
    assert run(["graph", model, "--check", str(file), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["valid"]
    document = json.loads(file.read_text())
    other = tmp_path / "other.json"
    other.write_text(json.dumps(document | {"fingerprint": "0" * 64}))
    assert run(["graph", model, "--check", str(other)]) == 2
    assert "The circuit is of small with weights 000000000000, not of small with" in capsys.readouterr().err
    document["edges"][0]["kernel"][0][0] += 0.5
    other.write_text(json.dumps(document))
    assert run(["graph", model, "--check", str(other)]) == 2
    assert "has another kernel in the file than in the network. Make the circuit anew" in capsys.readouterr().err
    other.write_text(json.dumps({name: value for name, value in document.items() if name != "edges"}))
    assert run(["graph", model, "--check", str(other)]) == 2
    assert "The document has no 'edges'. Write it with micrographia graph" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["conv1:2"], "conv1 reads the picture itself: no unit stands before it, so it has no circuit."),
        (["conv3:3"], "conv3:3 is dead: its value is the same everywhere on these"),
        (["conv3:99"], "conv3 has no unit 99. Its 4 units are conv3:0 to conv3:3."),
        (["conv3"], "'conv3' names 4 units. A circuit is for one unit or one direction."),
        ([], "No unit was named. Give one, such as mixed4a:97, or --check FILE."),
        (["conv3:0", "--method", "magic"], "There is no method 'magic'."),
        (["conv3:0", "--method", "magnitude"], "The method magnitude is a control."),
        (["conv3:0", "--level", "layer"], "There is no level 'layer'. Choose edge, node, kernel."),
        (["conv3:0", "--ablation", "noise"], "Units cannot be ablated to 'noise'."),
        (["conv3:0", "--size", "0"], "A circuit of size 0 has nothing in it."),
        (["conv3:0", "--depth", "0"], "A circuit of depth 0 has no edges."),
        (["conv3:0", "--networks", "3"], "3 controls cannot give a p-value of 0.05."),
        (["conv3:0", "--pictures", "1"], "A circuit cannot be found on 1 pictures. Give 2 or more."),
        (["conv3:0", "--store", "nowhere"], "nowhere holds no store."),
        (["conv3:0", "--out", f"{__file__}/out"], "test_graph.py cannot be used (Not a directory). Choose another"),
        (["conv3:0", "--check", "nowhere.json"], "nowhere.json: No such file or directory."),
    ],
)
def test_bad_input_is_one_sentence(
    model: str, pictures: Path, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["graph", model, *arguments, "--images", str(pictures)]) == 2
    printed = capsys.readouterr()
    assert said in printed.err
    assert printed.out == ""


@pytest.mark.long
def test_the_command_prints_the_circuit_and_its_verdict(
    model: str, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call = ["graph", model, "conv3:1", "--depth", "2", "--size", "4", "--images", str(pictures), "--pictures", "2"]
    assert run(call) == 0
    text = capsys.readouterr().out
    assert "upported: it " in text
    assert "Faithfulness" in text
    assert run([*call, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == "micrographia/circuit/1"
    assert plain(document["scores"]["controls"])


def test_families_of_other_layers_are_refused(model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "families.json"
    file.write_text('{"conv3": {"own": [1]}}')
    assert run(["graph", model, "conv3:0", "--depth", "2", "--families", str(file)]) == 2
    assert "None of the families is in a layer of the circuit (conv1, conv2)." in capsys.readouterr().err


def test_planted_refuses_a_negative_number(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["planted", "--nulls", "-1"]) == 2
    assert "There cannot be -1 null networks." in capsys.readouterr().err
