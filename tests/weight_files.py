"""Small files of other programs, written here byte by byte."""

import io
import pickle
import struct
import sys
import types
import zipfile
from collections import OrderedDict

import numpy as np

_ONNX_TYPES = {"float32": 1, "uint8": 2, "int8": 3, "int32": 6, "int64": 7, "float16": 10, "float64": 11}


def varint(value):
    value &= (1 << 64) - 1
    out = bytearray()
    while True:
        value, byte = value >> 7, value & 0x7F
        out.append(byte | (0x80 if value else 0))
        if not value:
            return bytes(out)


def field(number, value):
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    if isinstance(value, float):
        return varint(number << 3 | 5) + struct.pack("<f", value)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def tensor(name, array):
    array = np.asarray(array)
    dims = b"".join(field(1, n) for n in array.shape)
    return dims + field(2, _ONNX_TYPES[array.dtype.name]) + field(8, name) + field(9, array.tobytes())


def node(op, inputs, outputs, **attributes):
    parts = [field(1, each) for each in inputs] + [field(2, each) for each in outputs] + [field(4, op)]
    for key, value in attributes.items():
        body = field(1, key)
        if isinstance(value, list):
            body += b"".join(field(8, each) for each in value) + field(20, 7)
        elif isinstance(value, float):
            body += field(2, value) + field(20, 1)
        else:
            body += field(3, value) + field(20, 2)
        parts.append(field(5, body))
    return b"".join(parts)


def onnx_bytes(nodes, arrays):
    graph = b"".join(field(1, each) for each in nodes)
    graph += b"".join(field(5, tensor(name, each)) for name, each in arrays.items())
    return field(1, 8) + field(7, graph)


class _Storage:
    def __init__(self, key, array):
        self.key, self.array = key, array


class Tensor:
    """Stands for a tensor of PyTorch while it is pickled."""

    def __init__(self, array, metadata=None, how="_rebuild_tensor_v2"):
        self.array, self.metadata, self.how = np.ascontiguousarray(array), metadata, how
        self.strides = tuple(each // self.array.itemsize for each in self.array.strides)

    def __reduce_ex__(self, protocol):
        rebuild = getattr(sys.modules["torch._utils"], self.how)
        args = [_Storage(str(id(self)), self.array), 0, self.array.shape, self.strides, False, OrderedDict()]
        return rebuild, (*args, self.metadata) if self.metadata else tuple(args)


_KINDS = {"float32": "FloatStorage", "float64": "DoubleStorage", "int64": "LongStorage", "int8": "CharStorage",
          "float16": "HalfStorage", "bfloat16": "BFloat16Storage", "bool": "BoolStorage"}  # fmt: skip


def torch_bytes(content, root="archive", monkeypatch=None):
    """Return an archive as torch.save writes it."""
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    for name in set(_KINDS.values()):
        setattr(torch, name, type(name, (), {"__module__": "torch"}))
    for name in ("_rebuild_tensor_v2", "_rebuild_sparse_tensor", "_rebuild_meta_tensor_no_storage", "_rebuild_qtensor"):
        function = types.FunctionType((lambda *_: None).__code__, {}, name)
        function.__module__, function.__qualname__ = "torch._utils", name
        setattr(utils, name, function)
    torch._utils = utils  # pyright: ignore
    kept = {name: sys.modules.get(name) for name in ("torch", "torch._utils")}
    storages = {}

    class Pickler(pickle.Pickler):
        def persistent_id(self, obj):
            if not isinstance(obj, _Storage):
                return None
            storages[obj.key] = obj.array
            return "storage", getattr(torch, _KINDS[obj.array.dtype.name]), obj.key, "cpu", obj.array.size

    sys.modules |= {"torch": torch, "torch._utils": utils}
    try:
        stream = io.BytesIO()
        Pickler(stream, protocol=2).dump(content)
    finally:
        for name, module in kept.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(f"{root}/data.pkl", stream.getvalue())
        archive.writestr(f"{root}/byteorder", "little")
        for key, array in storages.items():
            archive.writestr(f"{root}/data/{key}", array.tobytes())
    return out.getvalue()
