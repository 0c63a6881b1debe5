"""The weights inside Caffe's `.caffemodel` and TensorFlow's frozen `.pb`, read without Caffe, TensorFlow or protobuf.

Both are protocol buffers: a message is a run of (field number, value), and a value that is itself a message is a run of
bytes. Only the few fields that lead to the weights are followed; their numbers are those of caffe.proto and of
TensorFlow's graph.proto, node_def.proto, attr_value.proto and tensor.proto.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

Arrays = dict[str, np.ndarray]
FLOAT = 1  # TensorFlow's DT_FLOAT


def caffe(data: bytes) -> Arrays:
    """{layer.weight, layer.bias: array} of a `.caffemodel`, in Caffe's own order of axes, "out in height width".

    Files from before 2015 give every shape four axes, filled up with ones at the front. Raises ValueError where the
    bytes are no such message.
    """
    arrays: Arrays = {}
    for number, layer in _fields(memoryview(data)):
        if number not in (2, 100) or isinstance(layer, int):
            continue
        name_field, blob_field = (4, 6) if number == 2 else (1, 7)  # V1LayerParameter, LayerParameter
        parts = list(_fields(layer))
        name = "".join(_text(value) for field, value in parts if field == name_field)
        blobs = [_blob(_message(value)) for field, value in parts if field == blob_field]
        arrays.update({f"{name}.{kind}": blob for kind, blob in zip(("weight", "bias"), blobs, strict=False)})
    return arrays


def tensorflow(data: bytes) -> Arrays:
    """{node: array} of the floating-point constants of a frozen graph, in TensorFlow's own order of axes.

    Raises ValueError where the bytes are no such message.
    """
    arrays: Arrays = {}
    for number, node in _fields(memoryview(data)):
        if number != 1 or isinstance(node, int):
            continue
        name, tensor = "", None
        for field, value in _fields(node):
            if field == 1:
                name = _text(value)
            elif field == 5:  # attr, an entry of a map: key 1, value 2
                entry = dict(_fields(_message(value)))
                if _text(entry.get(1, memoryview(b""))) == "value":
                    tensor = dict(_fields(_message(entry.get(2, memoryview(b""))))).get(8)
        if tensor is not None and (array := _constant(_message(tensor))) is not None:
            arrays[name] = array
    return arrays


def _blob(message: memoryview) -> np.ndarray:
    shape: list[int] = []
    old = {1: 1, 2: 1, 3: 1, 4: 1}  # num, channels, height, width
    chunks: list[np.ndarray] = []
    for field, value in _fields(message):
        if field == 7:
            shape = [size for number, value in _fields(_message(value)) if number == 1 for size in _numbers(value)]
        elif field == 5:
            chunks.append(np.frombuffer(_message(value), "<f4"))
        elif field == 8:
            chunks.append(np.frombuffer(_message(value), "<f8"))
        elif field in old and isinstance(value, int):
            old[field] = value
    return _shaped(np.concatenate(chunks) if chunks else np.empty(0, "<f4"), shape or list(old.values()))


def _constant(message: memoryview) -> np.ndarray | None:
    kind, shape, content = 0, [], np.empty(0, "<f4")
    for field, value in _fields(message):
        if field == 1 and isinstance(value, int):
            kind = value
        elif field == 2:
            for number, dimension in _fields(_message(value)):
                if number == 2:
                    shape.append(int(dict(_fields(_message(dimension))).get(1, 0)))
        elif field in (4, 5):
            content = np.frombuffer(_message(value), "<f4") if kind == FLOAT else content
    return _shaped(content, shape) if kind == FLOAT and shape else None


def _shaped(values: np.ndarray, shape: list[int]) -> np.ndarray:
    if values.size != math.prod(shape):
        raise ValueError(f"{values.size} numbers for a tensor of {tuple(shape)}")
    return values.reshape(shape)


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        wire = key & 7
        if wire == 0:
            value, at = _varint(message, at)
            yield key >> 3, value
            continue
        if wire == 2:
            length, at = _varint(message, at)
        elif wire in (1, 5):
            length = 8 if wire == 1 else 4
        else:
            raise ValueError(f"a field of unknown kind {wire}")
        if at + length > len(message):
            raise ValueError("the message ends in the middle of a field")
        yield key >> 3, message[at : at + length]
        at += length


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(message) and shift < 64:
        byte = message[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
    raise ValueError("the message ends in the middle of a number")


def _numbers(value: int | memoryview) -> list[int]:
    if isinstance(value, int):
        return [value]
    numbers, at = [], 0
    while at < len(value):
        number, at = _varint(value, at)
        numbers.append(number)
    return numbers


def _message(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise ValueError("a number where a message should be")
    return value


def _text(value: int | memoryview) -> str:
    return bytes(_message(value)).decode("utf-8")
