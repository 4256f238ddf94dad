"""ONNX files: weights, and what their graph says of them. The file is parsed here; nothing in it is run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from modejax.errors import InputError
from modejax.weights.arrays import Weights, no_numbers
from modejax.weights.onnx_graph import read_graph
from modejax.weights.protobuf import fields, floats, integers

__all__ = ["Node", "read_onnx"]

_TYPES = {
    **{1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64", 9: "bool", 10: "float16"},
    **{11: "float64", 12: "uint32", 13: "uint64", 14: "complex64", 15: "complex128", 16: "bfloat16"},
    **{17: "float8_e4m3fn", 18: "float8_e4m3fnuz", 19: "float8_e5m2", 20: "float8_e5m2fnuz"},
}


class Node(NamedTuple):
    """One operation of a graph."""

    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]  # integers, lists of integers, floats, texts and constant arrays
    name: str


class _Tensor(NamedTuple):
    shape: tuple[int, ...]
    dtype: str
    fields: Mapping[int, list[Any]]
    note: str


def read_onnx(path: Path) -> Weights:
    """Open an ONNX file.

    Args:
        path: the file; values kept in files beside it are read from there.

    Returns:
        The arrays by name, with the kinds, axes and biases that the graph gives them, and who reads from whom.

    Raises:
        InputError: it is damaged, or values lie outside its folder.
    """
    import ml_dtypes  # noqa: F401  (its types are known to NumPy by name then)

    data = path.read_bytes()
    try:
        model = fields(data)
        graphs = model.get(7)
        if not graphs or isinstance(graphs[0], int):
            raise InputError("it has no graph")
        graph = fields(graphs[0])
        tensors: dict[str, _Tensor] = {}
        nodes: list[Node] = []
        _collect(graph, tensors, nodes, 0)
        shapes, types, skipped = {}, {}, {}
        for name, each in tensors.items():
            why = each.note or no_numbers(np.empty(0, each.dtype))
            if why:
                skipped[name] = why
            else:
                _check(name, each)
                shapes[name], types[name] = each.shape, each.dtype
    except (InputError, KeyError, AttributeError, TypeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as ONNX: {error}") from None

    def load(name: str) -> np.ndarray:
        return _values(name, tensors[name], path)

    found = read_graph(nodes, shapes, load, integers_of={n: t for n, t in types.items() if t == "int64"})
    shapes |= found.shapes
    types |= dict.fromkeys(found.shapes, "float32")

    def either(name: str) -> np.ndarray:
        return found.load[name]() if name in found.load else load(name)

    return Weights(shapes, either, str(path), dtypes=types, skipped=skipped, facts=found.facts, topology=found.topology)


def _text(value: Any) -> str:
    return bytes(value).decode("utf-8", "replace")


def _collect(graph: Mapping[int, list[Any]], tensors: dict[str, _Tensor], nodes: list[Node], depth: int) -> None:
    if depth > 8:
        raise InputError("its graphs are nested too deep")
    for each in graph.get(5, []):
        name, tensor = _tensor(fields(each))
        tensors.setdefault(name or f"unnamed_{len(tensors)}", tensor)
    for each in graph.get(1, []):
        parts = fields(each)
        op, outputs = _text(parts.get(4, [b""])[0]), tuple(_text(out) for out in parts.get(2, []))
        attributes: dict[str, Any] = {}
        for entry in parts.get(5, []):
            one = fields(entry)
            key = _text(one.get(1, [b""])[0])
            if 5 in one:  # a tensor
                tensor = _tensor(fields(one[5][0]))[1]
                if op == "Constant" and outputs:
                    tensors.setdefault(outputs[0], tensor)
            elif 6 in one:  # a graph inside: a branch or a loop
                inner: list[Node] = []
                _collect(fields(one[6][0]), tensors, inner, depth + 1)
                nodes += inner
            elif 8 in one:
                attributes[key] = integers(one[8])
            elif 7 in one:
                attributes[key] = floats(one[7])
            elif 4 in one:
                attributes[key] = _text(one[4][0])
            elif 2 in one:
                attributes[key] = floats(one[2])[0]
            else:
                attributes[key] = integers(one.get(3, [0]))[0]
        inputs = tuple(_text(each) for each in parts.get(1, []))
        nodes.append(Node(op, inputs, outputs, attributes, _text(parts.get(3, [b""])[0])))


def _tensor(parts: Mapping[int, list[Any]]) -> tuple[str, _Tensor]:
    shape = tuple(integers(parts.get(1, [])))
    kind = _TYPES.get(parts.get(2, [0])[0], "")
    note = "" if kind else f"entries of ONNX's type {parts.get(2, [0])[0]}"
    return _text(parts.get(8, [b""])[0]), _Tensor(shape, kind or "float32", parts, note)


def _check(name: str, tensor: _Tensor) -> None:
    if any(n < 0 for n in tensor.shape):
        raise InputError(f"{name} has the shape {tensor.shape}")
    if 9 in tensor.fields:
        need = math.prod(tensor.shape) * np.dtype(tensor.dtype).itemsize
        have = len(tensor.fields[9][0])
        if need != have:
            raise InputError(f"{name} has the shape {tensor.shape} and {have} bytes")
    elif math.prod(tensor.shape) > 1 << 40:
        raise InputError(f"{name} has the shape {tensor.shape}")


def _values(name: str, tensor: _Tensor, path: Path) -> np.ndarray:
    parts, kind = tensor.fields, np.dtype(tensor.dtype)
    count = math.prod(tensor.shape)
    if 9 in parts:
        flat = np.frombuffer(parts[9][0], kind.newbyteorder("<") if kind.kind in "fiu" else kind)
    elif 13 in parts:
        flat = _external(name, parts[13], path, kind, count)
    elif 4 in parts:
        flat = np.array(floats(parts[4]), np.float32)
    elif 10 in parts:
        flat = np.array(floats(parts[10], 8), np.float64)
    else:
        numbers = integers(parts.get(5, []) or parts.get(7, []) or parts.get(11, []))
        if tensor.dtype in ("float16", "bfloat16"):  # their bits stand as integers
            flat = np.array(numbers, np.uint16).view(kind)
        else:
            flat = np.array(numbers, np.int64).astype(kind)
    if flat.size != count:
        raise InputError(f"{path}: {name} has the shape {tensor.shape} and {flat.size} numbers; it is damaged")
    return flat.reshape(tensor.shape)


def _external(name: str, entries: list[Any], path: Path, kind: np.dtype, count: int) -> np.ndarray:
    table = {}
    for each in entries:
        parts = fields(each)
        table[_text(parts.get(1, [b""])[0])] = _text(parts.get(2, [b""])[0])
    where = table.get("location", "")
    if not where or Path(where).name != where:
        raise InputError(f"{path}: the values of {name} lie in {where!r}; allowed: a file beside it")
    file = path.parent / where
    if not file.is_file():
        raise InputError(f"{path}: the values of {name} lie in {where}, which is not there; put it beside the model")
    with file.open("rb") as opened:
        opened.seek(int(table.get("offset", "0") or 0))
        return np.fromfile(opened, kind, count)
