"""Files of PyTorch without PyTorch: state dicts, checkpoints, pickled models and TorchScript archives.

A pickle is a small program. Here no name in it is ever imported: names that rebuild tensors are mapped to functions of
this module, ordered dictionaries to `dict`, and all others to an inert object that only stores its arguments.
"""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from modejax.errors import InputError
from modejax.weights.arrays import Weights, no_numbers

__all__ = ["read_torch"]

_MAGIC = 0x1950A86A20F9469CFC6C
_STORAGES = {
    **{"DoubleStorage": "float64", "FloatStorage": "float32", "HalfStorage": "float16", "BFloat16Storage": "bfloat16"},
    **{"LongStorage": "int64", "IntStorage": "int32", "ShortStorage": "int16", "CharStorage": "int8"},
    **{"ByteStorage": "uint8", "BoolStorage": "bool", "ComplexFloatStorage": "complex64"},
    **{"ComplexDoubleStorage": "complex128", "UntypedStorage": "uint8"},
}
_DTYPES = {
    **{
        each: each for each in ("float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8")
    },
    **{each: each for each in ("uint16", "uint32", "uint64", "bool", "complex64", "complex128")},
    **{each: each for each in ("float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz")},
    **{"double": "float64", "float": "float32", "half": "float16", "long": "int64", "int": "int32"},
}


class _Storage(NamedTuple):
    key: str
    dtype: str
    size: int  # entries


class _Tensor(NamedTuple):
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: str
    note: str  # why it cannot be read; empty where it can


class _Shell:
    """Placeholder for an object of a class that is not imported."""

    def __new__(cls, *args: Any, **kwargs: Any) -> _Shell:
        shell = super().__new__(cls)  # pickles may skip __init__
        shell.content, shell.given = {}, args
        return shell

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.content: dict[Any, Any]
        self.given: tuple[Any, ...]

    def __call__(self, *args: Any, **kwargs: Any) -> _Shell:
        return _Shell(*args)

    def __setstate__(self, state: Any) -> None:
        if isinstance(state, tuple) and len(state) == 2 and isinstance(state[0], dict | None):
            state = {**(state[0] or {}), **(state[1] if isinstance(state[1], dict) else {})}
        self.content.update(state if isinstance(state, dict) else {"state": state})

    def __setitem__(self, key: Any, value: Any) -> None:
        self.content[key] = value

    def append(self, value: Any) -> None:
        self.content[len(self.content)] = value

    def extend(self, values: Any) -> None:
        for value in values:
            self.append(value)

    def add(self, value: Any) -> None:
        self.append(value)

    def __hash__(self) -> int:
        return id(self)


class _Dict(dict[Any, Any]):
    """Placeholder for an ordered dictionary, whose attributes are not kept."""

    def __setstate__(self, state: Any) -> None:
        pass


class _Name:
    """A global name of a pickle as a value: a type of storage or of numbers."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return _Shell(*args)


def _tensor(storage: Any, offset: int, shape: Any, strides: Any, *rest: Any) -> Any:
    metadata = next((each for each in rest[2:] if isinstance(each, dict)), {})
    kind = next((_DTYPES.get(each.name, each.name) for each in rest[2:] if isinstance(each, _Name)), storage.dtype)
    note = "a conjugate or negated view" if metadata.get("conj") or metadata.get("neg") else ""
    return _Tensor(storage, int(offset), tuple(map(int, shape)), tuple(map(int, strides)), kind, note)


def _unreadable(why: str) -> Callable[..., _Tensor]:
    return lambda *_: _Tensor(_Storage("", "float32", 0), 0, (), (), "float32", why)


def _from_type(function: Callable[..., Any], _type: Any, args: tuple[Any, ...], *_: Any) -> Any:
    return function(*args)


def _first(value: Any = None, *_: Any) -> Any:
    return value


_KNOWN: dict[str, Callable[..., Any]] = {
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _tensor,
    "torch._utils._rebuild_parameter": _first,
    "torch._utils._rebuild_parameter_with_state": _first,
    "torch._utils._rebuild_qtensor": _unreadable("quantised codes"),
    "torch._utils._rebuild_sparse_tensor": _unreadable("a sparse tensor"),
    "torch._utils._rebuild_sparse_csr_tensor": _unreadable("a sparse tensor"),
    "torch._utils._rebuild_meta_tensor_no_storage": _unreadable("a meta tensor, which has no values"),
    "torch._utils._rebuild_nested_tensor": _unreadable("a nested tensor"),
    "torch._utils._rebuild_device_tensor_from_numpy": _unreadable("a tensor of another device"),
    "torch._utils._rebuild_wrapper_subclass": _unreadable("a tensor of a class of its own"),
    "torch._tensor._rebuild_from_type_v2": _from_type,
    "torch._tensor._rebuild_from_type": _from_type,
    "torch.nn.parameter.Parameter": _first,
    "torch.jit._pickle.build_intlist": list,
    "torch.jit._pickle.build_doublelist": list,
    "torch.jit._pickle.build_boollist": list,
    "torch.jit._pickle.build_tensorlist": list,
    "torch.jit._pickle.restore_type_tag": _first,
}


class _Unpickler(pickle.Unpickler):
    """Parser of pickles; nothing that a pickle names is imported."""

    def __init__(self, file: Any) -> None:
        super().__init__(file, encoding="latin-1")
        self.storages: dict[str, _Storage] = {}

    def find_class(self, module: str, name: str) -> Any:
        full = f"{module}.{name}"
        if full == "collections.OrderedDict":
            return _Dict
        if full in _KNOWN:
            return _KNOWN[full]
        if module in ("torch", "torch.storage") and (name in _STORAGES or name in _DTYPES):
            return _Name(name)
        if full == "builtins.set" or full == "__builtin__.set":
            return list
        return _Shell

    def persistent_load(self, pid: Any) -> Any:
        if not isinstance(pid, tuple) or len(pid) < 5 or pid[0] != "storage" or not isinstance(pid[1], _Name):
            return _Shell()
        found = _Storage(str(pid[2]), _STORAGES.get(pid[1].name, "uint8"), int(pid[4]))
        self.storages[found.key] = found
        return found


def read_torch(path: Path) -> Weights:
    """Open a file of PyTorch.

    Args:
        path: a state dict, a checkpoint, a pickled model or a TorchScript archive.

    Returns:
        The tensors by name.

    Raises:
        InputError: it is none of these, damaged or encrypted.
    """
    import ml_dtypes  # noqa: F401  (its types are known to NumPy by name then)

    if zipfile.is_zipfile(path):
        content, load = _zipped(path)
    else:
        content, load = _legacy(path)
    shapes, types, skipped, tensors = {}, {}, {}, {}
    for name, each in _walk(content, "", set(), 0):
        if name in shapes or name in skipped:
            continue
        why = each.note or _misfit(each) or no_numbers(np.empty(0, each.dtype))
        if why:
            skipped[name] = why
        else:
            tensors[name], shapes[name], types[name] = each, each.shape, each.dtype
    if not shapes and not skipped:
        raise InputError(f"{path} holds no tensor; save model.state_dict(), or save as .safetensors")

    def values(name: str) -> np.ndarray:
        each = tensors[name]
        return _strided(load(each.storage), each, path, name)

    return Weights(shapes, values, str(path), dtypes=types, skipped=skipped)


def _misfit(each: _Tensor) -> str:
    if len(each.shape) != len(each.strides) or each.offset < 0 or any(n < 0 for n in (*each.shape, *each.strides)):
        return "a shape that does not fit its strides"
    return "" if each.dtype in set(_DTYPES.values()) else f"entries of type {each.dtype}"


def _strided(flat: bytes, each: _Tensor, path: Path, name: str) -> np.ndarray:
    kind = np.dtype(each.dtype)
    array = np.frombuffer(flat, kind, len(flat) // kind.itemsize)
    if 0 in each.shape:
        return np.zeros(each.shape, kind)
    last = each.offset + sum((n - 1) * step for n, step in zip(each.shape, each.strides, strict=True))
    if last >= len(array):
        raise InputError(f"{path}: {name} has the shape {each.shape}, more than its storage holds; it is damaged")
    view = np.lib.stride_tricks.as_strided(array[each.offset :], each.shape, [kind.itemsize * n for n in each.strides])
    return view.copy()


def _zipped(path: Path) -> tuple[Any, Callable[[_Storage], bytes]]:
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        if any(info.flag_bits & 1 for info in archive.infolist()):
            raise InputError(f"{path} is encrypted; save it without a password")
        found = [name for name in names if name.rpartition("/")[2] == "data.pkl"]
        if not found:
            raise InputError(f"{path} is an archive without data.pkl, so no file of PyTorch; save model.state_dict()")
        root = min(found, key=len).removesuffix("data.pkl")
        if f"{root}byteorder" in names and archive.read(f"{root}byteorder").strip() == b"big":
            raise InputError(f"{path} was written in big-endian order; save it as .safetensors")
        content = _unpickled(path, archive.read(f"{root}data.pkl"))

    def load(storage: _Storage) -> bytes:
        with zipfile.ZipFile(path) as archive:
            try:
                return archive.read(f"{root}data/{storage.key}")
            except KeyError:
                raise InputError(f"{path} lacks the values of storage {storage.key}; it is damaged") from None

    return content, load


def _unpickled(path: Path, data: bytes | io.BufferedReader) -> Any:
    try:
        return _Unpickler(io.BytesIO(data) if isinstance(data, bytes) else data).load()
    except Exception as error:  # damaged pickles raise anything
        raise InputError(
            f"{path} cannot be read as a file of PyTorch ({type(error).__name__}: {str(error)[:120]}); save "
            "model.state_dict(), or save as .safetensors"
        ) from None


def _legacy(path: Path) -> tuple[Any, Callable[[_Storage], bytes]]:
    """Read the format before archives: pickles one behind the other, then the storages."""
    with path.open("rb") as file:
        if file.read(1) != b"\x80":
            raise InputError(f"{path} is no file of PyTorch; save model.state_dict(), or save as .safetensors")
        file.seek(0)
        if _unpickled(path, file) != _MAGIC:
            raise InputError(f"{path} is a pickle, which is not run; save model.state_dict(), or save as .safetensors")
        _unpickled(path, file)
        _unpickled(path, file)
        unpickler = _Unpickler(file)
        content = unpickler.load()
        keys = _unpickled(path, file)
        places = {}
        for key in keys:
            size = int.from_bytes(file.read(8), "little")
            known = unpickler.storages.get(str(key))
            width = 1 if known is None else np.dtype(known.dtype).itemsize
            places[str(key)] = (file.tell(), size * width)
            file.seek(size * width, 1)

    def load(storage: _Storage) -> bytes:
        place, size = places[storage.key]
        with path.open("rb") as file:
            file.seek(place)
            return file.read(size)

    return content, load


def _walk(tree: Any, name: str, seen: set[int], depth: int) -> Iterator[tuple[str, _Tensor]]:
    if isinstance(tree, _Tensor):
        yield name or "tensor", tree
        return
    if isinstance(tree, _Shell):
        if id(tree) in seen:
            return
        seen.add(id(tree))
        parts = {key: tree.content.get(key) for key in ("_parameters", "_buffers", "_modules")}
        entries: Any = tree.content.items()
        if any(isinstance(each, dict) for each in parts.values()):  # a module of PyTorch
            entries = [item for each in parts.values() if isinstance(each, dict) for item in each.items()]
        elif not tree.content and tree.given:
            entries = enumerate(tree.given)
    elif isinstance(tree, dict):
        entries = tree.items()
    elif isinstance(tree, list | tuple) and not isinstance(tree, _Storage):
        entries = enumerate(tree)
    else:
        return
    if depth > 200:
        return
    for key, value in entries:
        yield from _walk(value, f"{name}.{key}" if name else str(key), seen, depth + 1)
