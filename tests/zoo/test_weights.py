"""Reading files of weights and fitting them to a network: what works, and one clear sentence for what does not."""

from __future__ import annotations

import io
import pickle
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from micrographia.errors import BadWeights
from micrographia.model.card import Card
from micrographia.model.trace import fingerprint
from micrographia.zoo import inception, resnetv2
from micrographia.zoo.weights import fit, read, read_card, save_bundled


@pytest.fixture
def tensors() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "conv.weight": torch.randn(5, 3, 3, 2, generator=generator),
        "conv.bias": torch.randn(5, generator=generator),
        "norm.num_batches_tracked": torch.tensor(7),
    }


def write_npz(path: Path, tensors: dict[str, Tensor]) -> None:
    np.savez(path, **{name: tensor.numpy() for name, tensor in tensors.items()})


def write_wrapped(path: Path, tensors: dict[str, Tensor]) -> None:
    torch.save({"epoch": 3, "state_dict": {f"module.{name}": tensor for name, tensor in tensors.items()}}, path)


def write_legacy(path: Path, tensors: dict[str, Tensor]) -> None:
    torch.save(tensors, path, _use_new_zipfile_serialization=False)


WRITERS: dict[str, Callable[[Path, dict[str, Tensor]], object]] = {
    "a.safetensors": lambda path, tensors: save_file(tensors, path),
    "a.npz": write_npz,
    "a.pth": lambda path, tensors: torch.save(tensors, path),
    "wrapped.pth": write_wrapped,
    "legacy.pth": write_legacy,
    "no_suffix": lambda path, tensors: torch.save(tensors, path),
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_gives_the_same_tensors(name: str, tmp_path: Path, tensors: dict[str, Tensor]) -> None:
    WRITERS[name](tmp_path / name, tensors)
    found = read(tmp_path / name)
    assert found.keys() == tensors.keys()
    assert all(torch.equal(found[key], tensors[key]) for key in tensors)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_floats_become_float32(dtype: torch.dtype, tmp_path: Path) -> None:
    values = torch.tensor([0.5, -2.0, 1024.0], dtype=dtype)
    save_file({"w": values}, tmp_path / "a.safetensors")
    assert torch.equal(read(tmp_path / "a.safetensors")["w"], torch.tensor([0.5, -2.0, 1024.0]))


def test_bytes_of_another_order_are_read(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", w=np.array([[1.5, 2.5]], ">f4"), text=np.array("a note"))
    assert torch.equal(read(tmp_path / "a.npz")["w"], torch.tensor([[1.5, 2.5]]))


class Attack:
    """Unpickled, it makes a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str, str]]:
        return open, (str(self.target), "w")


@pytest.mark.parametrize("name", ["zip.pth", "legacy.pth", "plain.pkl", "objects.npz"])
def test_code_in_a_pickle_is_not_run(name: str, tmp_path: Path) -> None:
    path, made = tmp_path / name, tmp_path / "made"
    content = {"state_dict": {"w": torch.ones(2)}, "extra": Attack(made)}
    if name == "plain.pkl":
        path.write_bytes(pickle.dumps(content))
    elif name == "objects.npz":
        np.savez(path, w=np.ones(2), extra=np.array([Attack(made)], dtype=object))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=name == "zip.pth")
    with pytest.raises(BadWeights, match="pickle that holds more than tensors.*not opened. Save model.state_dict"):
        read(path)
    assert not made.exists()


def test_a_pickled_module_is_not_opened(tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 3), tmp_path / "a.pt")
    with pytest.raises(BadWeights, match=r"\(torch.nn.modules.linear.Linear\)"):
        read(tmp_path / "a.pt")


@pytest.mark.parametrize("name", ["a.safetensors", "a.npz", "a.pth", "legacy.pth"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_file_cut_short_is_said_to_be(name: str, share: float, tmp_path: Path, tensors: dict[str, Tensor]) -> None:
    WRITERS[name](tmp_path / name, {**tensors, "more": torch.ones(997)})
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(BadWeights, match=rf"{re.escape(name)} is damaged or cut short \(.+\). Download or copy"):
        read(tmp_path / name)


def test_a_flipped_bit_in_an_archive_is_noticed(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", w=np.zeros(1000, "f4"))
    content = bytearray((tmp_path / "a.npz").read_bytes())
    content[2000] ^= 1
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(BadWeights, match="damaged"):
        read(tmp_path / "a.npz")


def archive(**members: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, text in members.items():
            file.writestr(name, text)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.npz", b"", "is empty"),
        ("a.pth", b"<!DOCTYPE html><html><title>Sign in</title></html>", "is a web page"),
        ("a.bin", b"\n<html lang='en'>", "is a web page"),
        ("a.pth", b"just some text, and more of it", r"is not a file of weights; it begins with b'just som'"),
        ("a.bin", bytes(range(1, 255)), "is not a file of weights"),
        ("a.safetensors", b"garbage that is longer than a header", "is damaged or cut short"),
        ("a.zip", archive(readme="nothing here"), "is an archive without weights; it holds readme"),
        ("a.caffemodel", b"\xff" * 64, "is damaged or cut short"),
        ("a.pb", b"\x08\x01", "holds no tensors"),
    ],
)
def test_what_is_no_file_of_weights(name: str, content: bytes, says: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadWeights, match=f"{re.escape(name)} {says}"):
        read(tmp_path / name)


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "none.npz", tmp_path):
        with pytest.raises(BadWeights, match=r"There is no file of weights .* Known are \.safetensors, \.npz"):
            read(path)


def test_a_state_dict_of_something_else(tmp_path: Path) -> None:
    torch.save([torch.ones(2)], tmp_path / "list.pth")
    with pytest.raises(BadWeights, match="holds a list, not a state dict"):
        read(tmp_path / "list.pth")
    torch.save({"epoch": 3}, tmp_path / "empty.pth")
    with pytest.raises(BadWeights, match="holds no tensors"):
        read(tmp_path / "empty.pth")


def network(width: int = 5) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(width)
        return nn.Sequential(nn.Conv2d(3, width, 3), nn.BatchNorm2d(width), nn.Flatten(), nn.Linear(width, 2))


def test_fit_puts_all_tensors_in() -> None:
    target, source = network(), network()
    for parameter in source.parameters():
        parameter.data.normal_(generator=torch.Generator().manual_seed(1))
    state = {name: tensor.clone() for name, tensor in source.state_dict().items()}
    del state["1.num_batches_tracked"]  # counters are no weights: files may leave them out
    fit(target, state, "a.npz")
    assert fingerprint(target) == fingerprint(source)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            {"0.weight": torch.ones(7, 3, 3, 3), "0.bias": torch.ones(7)},
            "its tensor '0.weight' is 7 x 3 x 3 x 3, the network's is 5 x 3 x 3 x 3. Give weights of this network",
        ),
        ({"3.bias": None}, "it has no tensor '3.bias' 2, which the network needs. Give"),
        (
            {"3.bias": None, "3.weight": None},
            "it has no tensor '3.weight' 2 x 5 and 1 more, which the network needs. G",
        ),
        ({"4.weight": torch.ones(2, 2)}, "it has '4.weight' 2 x 2, which the network does not know. Give"),
        (
            {"3.bias": None, "last.bias": torch.ones(2)},
            "it has no tensor '3.bias' 2, which the network needs; it has 'last.bias' 2, which the network does not know.",
        ),
        ({"0.bias": torch.tensor(1.0)}, "its tensor '0.bias' is a single number, the network's is 5."),
    ],
)
def test_weights_that_do_not_fit(change: dict[str, Tensor | None], says: str) -> None:
    model = network()
    before = fingerprint(model)
    given = {name: tensor for name, tensor in {**network(5).state_dict(), **change}.items() if tensor is not None}
    with pytest.raises(BadWeights, match=re.escape(f"a.npz holds weights of another architecture: {says}")):
        fit(model, given, "a.npz")
    assert fingerprint(model) == before


def caffe_name(ours: str) -> str:
    """bvlc_googlenet's name of one of our layers."""
    fixed = {
        "conv2d0": "conv1/7x7_s2", "conv2d1": "conv2/3x3_reduce", "conv2d2": "conv2/3x3",
        "softmax2_pre_activation": "loss3/classifier",
    }  # fmt: skip
    if ours in fixed:
        return fixed[ours]
    name = ours.replace("mixed", "inception_").replace("_", "/", 2).replace("/", "_", 1)
    return name.replace("_bottleneck", "_reduce").replace("pool_reduce", "pool_proj")


def test_caffes_names() -> None:
    assert caffe_name("mixed3a_5x5_bottleneck") == "inception_3a/5x5_reduce"
    assert caffe_name("mixed4e_pool_reduce") == "inception_4e/pool_proj"
    assert caffe_name("mixed5b_1x1") == "inception_5b/1x1"


@pytest.mark.parametrize("layout", ["caffe", "caffe npz", "tensorflow", "port"])
def test_published_layouts_of_inception_give_the_same_network(layout: str) -> None:
    with torch.device("meta"):
        model, copy = inception.inception5h(), inception.inception5h()
    model.to_empty(device="cpu")
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        parameter.data.normal_(generator=generator)
    given: dict[str, Tensor] = {}
    for name, tensor in model.state_dict().items():
        layer, kind = name.replace(".conv.", ".").rsplit(".", 1)
        if layout.startswith("caffe"):
            theirs = caffe_name(layer).replace("/", "/" if layout == "caffe" else "_")
            given[f"{theirs}.{kind}"] = tensor
            given[f"{theirs.replace('loss3', 'loss1')}.{kind}" if "loss3" in theirs else "loss2/fc.bias"] = tensor
        elif layout == "tensorflow":
            axes = {4: (2, 3, 1, 0), 2: (1, 0), 1: (0,)}[tensor.ndim]
            given[f"{layer.removesuffix('_pre_activation')}_{kind[0]}"] = tensor.permute(axes)
            given["head0_bottleneck_w"] = given["nn1_b"] = torch.ones(3)
        else:
            theirs = f"{layer}_matmul" if layer.startswith("softmax2") else f"{layer}_pre_relu_conv"
            given[f"{theirs}.{kind}"] = tensor
    fit(copy, given, "a.npz", inception.ALIASES, inception.AUXILIARY)
    assert fingerprint(copy) == fingerprint(model)


def slim_name(ours: str) -> str:
    """TensorFlow-Slim's name of one of our tensors of ResNetV2."""
    layer, kind = ours.rsplit(".", 1)
    kinds = {"weight": "weights", "bias": "biases"}
    if layer.endswith(".bn"):
        kinds = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
    layer = re.sub(r"(block\d)_(unit_\d)_", r"\1/\2/bottleneck_v2/", layer).removesuffix(".conv")
    layer = re.sub(r"(/conv\d)\.bn", r"\1/BatchNorm", layer).removesuffix(".bn")
    return f"resnet_v2_50/{layer}/{kinds[kind]}"


def test_slims_layout_of_resnet_gives_the_same_network() -> None:
    assert slim_name("block2_unit_1_conv1.bn.running_mean") == (
        "resnet_v2_50/block2/unit_1/bottleneck_v2/conv1/BatchNorm/moving_mean"
    )
    with torch.device("meta"):
        model, copy = resnetv2.ResNetV2(7), resnetv2.ResNetV2(7)
    model.to_empty(device="cpu")
    generator, given = torch.Generator().manual_seed(0), {}
    for name, tensor in model.state_dict().items():
        if name.endswith("num_batches_tracked"):
            tensor.zero_()
            continue
        tensor.normal_(generator=generator)
        theirs = tensor[:, :, None, None] if name == "logits.weight" else tensor  # Slim's classifier is a 1x1 conv
        given[slim_name(name)] = theirs.permute(2, 3, 1, 0) if theirs.ndim == 4 else theirs
    given["global_step"] = torch.tensor(5.0)
    fit(copy, given, "a.npz", resnetv2.ALIASES, resnetv2.AUXILIARY)
    assert fingerprint(copy) == fingerprint(model)


def test_unknown_names_of_a_published_network_are_named() -> None:
    with torch.device("meta"):
        model = inception.googlenet()
    with pytest.raises(BadWeights, match=r"no tensor 'conv2d0.conv.weight' 64 x 3 x 7 x 7 and 115 more.*'features.0.w"):
        fit(model, {"features.0.weight": torch.ones(64, 3, 3, 3)}, "vgg.pth", inception.ALIASES, inception.AUXILIARY)


def test_bundled_files_hold_float16_and_the_card(tmp_path: Path) -> None:
    model, path = network(), tmp_path / "weights" / "mini.safetensors"
    card = Card("mini", size=(7, 5), labels=("left", "right"), training={"accuracy": 0.9, "epochs": 3})
    before = fingerprint(model)
    written = save_bundled(path, model, card)
    assert fingerprint(model) == before
    copy = network(5)
    fit(copy, read(path), path.name)
    assert written == read_card(path)
    assert written.sha256 == fingerprint(copy)
    assert written.labels == ("left", "right")
    assert written.training == {"accuracy": 0.9, "epochs": 3}
    expected = model[0].weight.half().float()
    assert torch.equal(copy[0].weight, expected)
    assert path.stat().st_size < 2 * sum(t.numel() for t in model.state_dict().values()) + 3000
    first = path.read_bytes()
    save_bundled(path, model, card)
    assert path.read_bytes() == first
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "mini.safetensors"
    save_bundled(path, network(), Card("mini"))
    before = path.read_bytes()

    def fail(tensors: object, file: Path, metadata: object) -> None:
        file.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("micrographia.zoo.weights.save_file", fail)
    with pytest.raises(OSError, match="No space"):
        save_bundled(path, network(7), Card("mini"))
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_a_card_is_read_only_from_files_that_have_one(tmp_path: Path) -> None:
    save_file({"w": torch.ones(2)}, tmp_path / "plain.safetensors")
    save_file({"w": torch.ones(2)}, tmp_path / "other.safetensors", {"card": "not json"})
    (tmp_path / "text").write_text("hello")
    for name in ("plain.safetensors", "other.safetensors", "text", "none"):
        assert read_card(tmp_path / name) is None
