"""Caffe's and TensorFlow's files, written here field by field and read back; damaged ones only raise ValueError."""

from __future__ import annotations

import contextlib
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from micrographia.zoo import protobuf
from micrographia.zoo.weights import read


def varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def message(field: int, content: bytes) -> bytes:
    return varint(field << 3 | 2) + varint(len(content)) + content


def blob(array: np.ndarray, old: bool) -> bytes:
    data = message(5, array.astype("<f4").tobytes())
    if old:
        sizes = (1,) * (4 - array.ndim) + array.shape
        return b"".join(number(field, size) for field, size in enumerate(sizes, 1)) + data
    return message(7, message(1, b"".join(map(varint, array.shape)))) + data


def caffemodel(layers: dict[str, list[np.ndarray]], old: bool) -> bytes:
    """A NetParameter: name, then layers with their type and blobs; in the old form with V1LayerParameter."""
    net = message(1, b"a net")
    for name, blobs in layers.items():
        if old:
            layer = message(2, b"below") + message(4, name.encode()) + number(5, 4)
            layer += b"".join(message(6, blob(array, old)) for array in blobs)
        else:
            layer = message(1, name.encode()) + message(2, b"Convolution") + varint(5 << 3 | 5) + struct.pack("<f", 0.3)
            layer += b"".join(message(7, blob(array, old)) for array in blobs)
        net += message(2 if old else 100, layer)
    return net


def graphdef(constants: dict[str, np.ndarray]) -> bytes:
    """A GraphDef of Const nodes; integers as int_val, floats as tensor_content."""
    graph = b""
    for name, array in constants.items():
        kind = 1 if array.dtype.kind == "f" else 3
        shape = b"".join(message(2, number(1, size)) for size in array.shape)
        content = message(4, array.astype("<f4").tobytes()) if kind == 1 else message(7, bytes([3]))
        tensor = number(1, kind) + message(2, shape) + content
        value = message(5, message(1, b"value") + message(2, message(8, tensor)))
        dtype = message(5, message(1, b"dtype") + message(2, number(6, kind)))
        graph += message(1, message(1, name.encode()) + message(2, b"Const") + dtype + value)
    return graph + message(4, number(1, 21))


@pytest.fixture
def layers() -> dict[str, list[np.ndarray]]:
    rng = np.random.default_rng(0)
    kernel, dense = rng.normal(size=(5, 3, 2, 2)).astype("f4"), rng.normal(size=(7, 11)).astype("f4")
    return {"conv1/7x7_s2": [kernel, kernel[:, 0, 0, 0]], "relu": [], "fc8": [dense, dense[:, 0]]}


@pytest.mark.parametrize("old", [False, True])
def test_caffe(old: bool, layers: dict[str, list[np.ndarray]], tmp_path: Path) -> None:
    (tmp_path / "net.caffemodel").write_bytes(caffemodel(layers, old))
    found = read(tmp_path / "net.caffemodel")
    assert found.keys() == {"conv1/7x7_s2.weight", "conv1/7x7_s2.bias", "fc8.weight", "fc8.bias"}
    for name, blobs in layers.items():
        for kind, array in zip(("weight", "bias"), blobs, strict=False):
            np.testing.assert_array_equal(found[f"{name}.{kind}"].numpy().reshape(array.shape), array)
    assert tuple(found["fc8.weight"].shape) == ((1, 1, 7, 11) if old else (7, 11))


@pytest.mark.parametrize("packed", [False, True])
def test_tensorflow(packed: bool, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    weights = {"conv2d0_w": rng.normal(size=(3, 3, 2, 5)).astype("f4"), "conv2d0_b": rng.normal(size=5).astype("f4")}
    content = graphdef({**weights, "concat/dim": np.array([3]), "scale": np.array(2.0, "f4")})
    path = tmp_path / "graph.pb"
    if packed:
        path = tmp_path / "graph.zip"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("labels.txt", "dummy\n")
            archive.writestr("graph.pb", content)
    else:
        path.write_bytes(content)
    found = read(path)
    assert found.keys() == weights.keys()
    for name, array in weights.items():
        np.testing.assert_array_equal(found[name].numpy(), array)


def test_a_shape_that_its_numbers_do_not_fill(layers: dict[str, list[np.ndarray]]) -> None:
    broken = message(100, message(1, b"fc") + message(7, message(7, message(1, b"\x05")) + message(5, b"\0" * 8)))
    with pytest.raises(ValueError, match=r"2 numbers for a tensor of \(5,\)"):
        protobuf.caffe(broken)


@given(data=st.binary(max_size=200))
def test_garbage_raises_nothing_but_valueerror(data: bytes) -> None:
    for reader in (protobuf.caffe, protobuf.tensorflow):
        with contextlib.suppress(ValueError):
            assert isinstance(reader(data), dict)


@given(cut=st.integers(0, 10_000), flip=st.integers(0, 10_000), old=st.booleans())
def test_damaged_files_raise_nothing_but_valueerror(cut: int, flip: int, old: bool) -> None:
    whole = bytearray(caffemodel({"a": [np.ones((2, 3), "f4"), np.ones(2, "f4")]}, old))
    whole[flip % len(whole)] ^= 1 << flip % 8
    for content, reader in ((whole[: cut % len(whole)], protobuf.caffe), (whole, protobuf.tensorflow)):
        with contextlib.suppress(ValueError):
            reader(bytes(content))
