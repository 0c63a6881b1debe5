"""Networks of torchvision, of timm, and of a user's own file."""

from __future__ import annotations

import builtins
import importlib
import re
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from micrographia.errors import BadModel, BadWeights
from micrographia.model.card import Card, normalise
from micrographia.model.trace import fingerprint, trace
from micrographia.zoo import adapters
from micrographia.zoo.registry import load

HERE = Path(__file__).parent


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "cache").mkdir()
    monkeypatch.setenv("MICROGRAPHIA_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr("micrographia.zoo.cache._stream", refuse)
    return tmp_path / "cache"


def refuse(*_: object) -> str:
    raise OSError("no network in tests")


@pytest.fixture(scope="module")
def torchvision() -> Any:
    try:
        return adapters.library("torchvision")
    except BadModel as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def timm(torchvision: Any) -> Any:
    try:
        return adapters.library("timm")
    except BadModel as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("name", ["torchvision", "timm"])
def test_a_library_that_is_not_installed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = builtins.__import__

    def absent(module: str, *args: Any) -> Any:
        if module.partition(".")[0] == name:
            raise ModuleNotFoundError(f"No module named '{name}'", name=name)
        return found(module, *args)

    monkeypatch.setattr(importlib, "import_module", lambda module: absent(module))
    says = f"{name}: needs the package {name}, which is not installed. Install it with: pip install 'micrographia[{name}]'."
    with pytest.raises(BadModel, match=re.escape(says)):
        adapters.library(name)


def test_an_error_of_another_kind_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: str) -> Any:
        raise RuntimeError("something else")

    monkeypatch.setattr(importlib, "import_module", broken)
    with pytest.raises(RuntimeError, match="something else"):
        adapters.library("torchvision")


def test_torchvision_card_is_its_own_preprocessing(torchvision: Any) -> None:
    from PIL import Image

    _, card = load("torchvision:squeezenet1_1", "random")
    described = torchvision.models.SqueezeNet1_1_Weights.DEFAULT
    pixels = torch.randint(0, 256, (256, 256, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    theirs = described.transforms()(Image.fromarray(pixels.numpy()))
    ours = normalise(pixels.permute(2, 0, 1)[None, :, 16:240, 16:240].float() / 255, card)[0]
    torch.testing.assert_close(ours, theirs)
    assert (card.size, card.resize, card.interpolation) == ((224, 224), 256, "bilinear")


def test_torchvision_random_weights(torchvision: Any) -> None:
    before = torch.get_rng_state()
    model, card = load("torchvision:squeezenet1_1", "random", 1)
    assert torch.equal(before, torch.get_rng_state())
    assert fingerprint(model) == fingerprint(load("torchvision:squeezenet1_1", "random", 1)[0]) == card.sha256
    assert fingerprint(model) != fingerprint(load("torchvision:squeezenet1_1", "random", 2)[0])
    assert not model.training
    assert trace(model, card).layer("features.0").channels == 64


def test_torchvision_reads_its_file_from_the_cache(torchvision: Any, home: Path, tmp_path: Path) -> None:
    model, _ = load("torchvision:squeezenet1_1", "random", 5)
    address = torchvision.models.SqueezeNet1_1_Weights.DEFAULT.url
    file = address.rpartition("/")[2]
    for folder in (home, tmp_path / "torch" / "hub" / "checkpoints"):  # where torchvision itself would have put it
        folder.mkdir(parents=True, exist_ok=True)
        torch.save(model.state_dict(), folder / file)
        loaded, card = load("torchvision:squeezenet1_1")
        (folder / file).unlink()
        assert fingerprint(loaded) == fingerprint(model)
        assert card.source == address
        assert card.labels[0] == "tench"
        assert len(card.labels) == 1000
    with pytest.raises(BadWeights, match=rf"torchvision:squeezenet1_1 could not be downloaded.*put it at .*{file}"):
        load("torchvision:squeezenet1_1")


def test_torchvisions_checksums_are_in_its_names(torchvision: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(adapters.cache, "fetch", lambda name, download: seen.append(download) or Path("none"))
    adapters._torchvision_file("a", "https://example.org/models/vgg19-dcbb9e9d.pth")
    assert seen[0].sha256 == "dcbb9e9d"
    assert seen[0].automatic


def test_torchvision_googlenet_fits_its_published_file(torchvision: Any, tmp_path: Path) -> None:
    # the published file has the heads that are used in training only; the model that is used has not
    model = torchvision.models.get_model("googlenet", weights=None, aux_logits=True, init_weights=False)
    torch.save(model.state_dict(), tmp_path / "googlenet.pth")
    loaded, card = load("torchvision:googlenet", tmp_path / "googlenet.pth")
    assert loaded.aux1 is None
    assert loaded.transform_input
    assert (card.source, card.licence) == ("googlenet.pth", "unknown")


def test_other_weights_that_do_not_fit_torchvision(torchvision: Any, tmp_path: Path) -> None:
    save_file({"features.0.weight": torch.ones(7, 3, 3, 3)}, tmp_path / "a.safetensors")
    with pytest.raises(BadWeights, match=r"'features\.0\.weight' is 7 x 3 x 3 x 3, the network's is 64 x 3 x 3 x 3"):
        load("torchvision:squeezenet1_1", tmp_path / "a.safetensors")


def test_an_unknown_name(timm: Any) -> None:
    with pytest.raises(BadModel, match=r"torchvision has no classifier 'vgg17'\. Near it: .*vgg1"):
        load("torchvision:vgg17")
    with pytest.raises(BadModel, match=r"torchvision has no classifier 'fasterrcnn_resnet50_fpn'"):
        load("torchvision:fasterrcnn_resnet50_fpn")
    with pytest.raises(BadModel, match=r"timm has no network 'resnetv2_51'\. Near it: .*resnetv2_50"):
        load("timm:resnetv2_51")


def test_timm_card_is_its_own_preprocessing(timm: Any) -> None:
    model, card = load("timm:resnetv2_50", "random", 2)
    data = timm.data.resolve_model_data_config(model)
    assert (card.mean, card.std, card.interpolation) == (data["mean"], data["std"], data["interpolation"])
    assert card.size == data["input_size"][1:]
    assert card.resize == int(data["input_size"][1] / data["crop_pct"])
    assert fingerprint(model) == fingerprint(load("timm:resnetv2_50", "random", 2)[0])
    assert len(adapters._timm_card(timm, model, "resnetv2_50").labels) == 1000


def test_timm_with_a_file_and_without_a_network(timm: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, _ = load("timm:test_resnet", "random", 3)
    save_file(model.state_dict(), tmp_path / "mine.safetensors")
    loaded, card = load("timm:test_resnet", tmp_path / "mine.safetensors")
    assert fingerprint(loaded) == fingerprint(model)
    assert card.source == "mine.safetensors"

    def offline(*_: object, **__: object) -> None:
        raise OSError("no network in tests")

    monkeypatch.setattr(timm.models._builder, "load_pretrained", offline)
    with pytest.raises(BadWeights, match=r"timm could not make test_resnet with its weights \(no network in tests\)"):
        load("timm:test_resnet")


@pytest.fixture
def user(tmp_path: Path) -> Any:
    def write(text: str) -> str:
        (tmp_path / "mine.py").write_text(textwrap.dedent(text))
        return f"{tmp_path / 'mine.py'}:make"

    return write


NETWORK = """
    import torch
    from torch import nn
    from micrographia.model.card import Card

    def make():
        net = nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU())
"""


def test_a_users_file(user: Any) -> None:
    before, path = torch.get_rng_state(), list(sys.path)
    model, card = load(user(NETWORK + "        return net"), seed=4)
    again, _ = load(user(NETWORK + "        return net"), seed=4)
    assert torch.equal(before, torch.get_rng_state())
    assert sys.path == path
    assert isinstance(model, nn.Sequential)
    assert model.training  # left as the user made it: trace says so, and runs it in evaluation mode
    assert (card.name, card.source, card.mean) == ("make", "mine.py", Card("x").mean)
    assert card.sha256 == fingerprint(model) == fingerprint(again)


def test_a_users_card(user: Any, tmp_path: Path) -> None:
    _, card = load(user(NETWORK + "        return net, Card('mine', size=(11, 13), licence='MIT', source='my thesis')"))
    assert (card.name, card.size, card.licence, card.source) == ("mine", (11, 13), "MIT", "my thesis")
    spec = user(NETWORK + "        return net, {'size': (11, 13), 'labels': ['a', 'b']}")
    model, card = load(spec)
    assert (card.name, card.size, card.labels) == ("make", (11, 13), ("a", "b"))
    save_file(model.state_dict(), tmp_path / "mine.safetensors")
    loaded, card = load(spec, tmp_path / "mine.safetensors", seed=9)
    assert fingerprint(loaded) == fingerprint(model)
    assert card.source == "mine.py with mine.safetensors"


def test_a_users_file_may_import_its_neighbours(user: Any, tmp_path: Path) -> None:
    (tmp_path / "neighbour_of_mine.py").write_text("WIDTH = 7")
    spec = user(
        "from torch import nn\nimport neighbour_of_mine\ndef make(): return nn.Conv2d(3, neighbour_of_mine.WIDTH, 1)"
    )
    assert load(spec)[0].out_channels == 7


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("def other(): pass", "has no function 'make'. It has: other."),
        ("make = 3", "has no function 'make'. It defines no function."),
        ("def make(): return 3", "make() of mine.py returned a int. Let it return a torch.nn.Module, or a pair"),
        (
            "def make(width): pass",
            "with TypeError: make() missing 1 required positional argument: 'width'. Put it right",
        ),
        ("import torch\ndef make():\n    return torch.nn.Conv2d(3, -1, 1)", "failed at line 3 with"),
        ("def make(:", "failed at line 1 with SyntaxError"),
        ("import no_such_module", "failed at line 1 with ModuleNotFoundError: No module named 'no_such_module'."),
        (
            NETWORK + "        return net, {'sizes': (3, 3)}",
            "The Card has no field 'sizes', which mine.py gives. Known: name",
        ),
        (NETWORK + "        return net, {'order': 'GBR'}", "The card's order 'GBR' is not known."),
    ],
)
def test_a_users_file_with_a_mistake(text: str, says: str, user: Any) -> None:
    with pytest.raises(Exception, match=re.escape(says)) as caught:
        load(user(text))
    assert type(caught.value).__name__ in ("BadModel", "BadValue")


def test_a_users_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BadModel, match=r"There is no file .*none\.py\. Write path/to/file\.py:factory\."):
        load(f"{tmp_path / 'none.py'}:make")


def test_squeezenet_as_a_users_file() -> None:
    model, card = load(f"{HERE / 'squeezenet_user.py'}:squeezenet", seed=1)
    assert sum(parameter.numel() for parameter in model.parameters()) == 1_235_496
    graph = trace(model, card)
    assert graph.layer("fire9_expand3x3").channels == 256
