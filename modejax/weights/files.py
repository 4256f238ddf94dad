"""Weight files as mappings from names to arrays, read on demand; no file is changed and no code in it is run."""

from __future__ import annotations

import json
import os
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from modejax.errors import InputError
from modejax.weights.arrays import Weights, no_numbers

__all__ = ["SUFFIXES", "read_weights"]

_TORCH = (".pt", ".pth", ".bin", ".ckpt", ".tar", ".jit", ".pkl")
SUFFIXES = (".safetensors", ".npz", ".onnx", ".keras", ".h5", ".hdf5", *_TORCH)
"""Suffixes of weight files; an index of sharded safetensors ends in .index.json."""


def read_weights(path: str | os.PathLike[str]) -> Weights:
    """Open a weight file.

    Args:
        path: `FILE.safetensors`, or the `.safetensors.index.json` of several; `FILE.npz`; a state dict, checkpoint,
            pickled model or TorchScript archive of PyTorch (`.pt`, `.pth`, `.pth.tar`, `.ckpt`, `.bin`, `.jit`; torch
            is not needed); `FILE.onnx`; `FILE.keras`, `.weights.h5` or `.h5` of Keras; the folder of an Orbax
            checkpoint, or a folder with sharded safetensors.

    Returns:
        The arrays by name. Parts of a name are separated by dots, and prefixes around the whole network (`params`,
        `state_dict`, `model`) are removed. PyTorch, ONNX and NumPy files keep the order in which they were written, the
        others sort the names.

    Raises:
        InputError: the file is missing, damaged, encrypted, or has another format. Pickles are parsed without running
            the code that they name.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     np.savez(Path(folder) / "net.npz", **{"fc.weight": np.zeros((2, 3))})
        ...     read_weights(Path(folder) / "net.npz").shapes
        {'fc.weight': (2, 3)}
    """
    path = Path(path)
    try:
        if path.is_dir():
            return _folder(path)
        if path.name.endswith(".index.json"):
            return _opened(path, _sharded)
        if path.suffix not in SUFFIXES:
            raise InputError(
                f"{path} has a format that is not known; allowed: {', '.join(SUFFIXES)}, a .safetensors.index.json, or "
                "a folder of an Orbax checkpoint"
            )
        if not path.is_file():
            raise InputError(
                f"there is no file {path}; give a weight file ({', '.join(SUFFIXES)}) or a checkpoint folder"
            )
        return _opened(path, _reader(path))
    except (OSError, ValueError) as error:  # names with null bytes or of absurd length, too
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} cannot be read ({error}); give a weight file") from None


def _opened(path: Path, reader: Callable[[Path], Weights]) -> Weights:
    """Read a file; any exception for a damaged file becomes one `InputError`."""
    try:
        return reader(path)
    except InputError:
        raise
    except Exception as error:  # a parser raises anything on damaged bytes
        raise InputError(
            f"{path} cannot be read ({type(error).__name__}: {str(error)[:200]}); it is damaged or no weight file"
        ) from None


def _reader(path: Path) -> Callable[[Path], Weights]:
    from modejax.weights.keras_files import read_h5, read_keras
    from modejax.weights.onnx_files import read_onnx
    from modejax.weights.torch_files import read_torch

    if path.suffix in (".h5", ".hdf5"):
        return read_h5
    if path.suffix in _TORCH:
        with path.open("rb") as file:
            if file.read(8).startswith(b"\x89HDF"):
                return read_h5
        return read_torch
    return {".safetensors": _safetensors, ".npz": _npz, ".onnx": read_onnx, ".keras": read_keras}[path.suffix]


def _folder(path: Path) -> Weights:
    index = sorted(path.glob("*.safetensors.index.json"))
    if len(index) == 1 and not (path / "_METADATA").exists():
        return _opened(index[0], _sharded)
    from modejax.weights.orbax_files import read_orbax

    return read_orbax(path)


_SAFE = {
    **{"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "F8_E4M3": "float8_e4m3fn"},
    **{"F8_E5M2": "float8_e5m2", "F8_E8M0": "float8_e8m0fnu", "BOOL": "bool", "C64": "complex64"},
    **{f"I{bits}": f"int{bits}" for bits in (8, 16, 32, 64)},
    **{f"U{bits}": f"uint{bits}" for bits in (8, 16, 32, 64)},
}


def _safetensors(path: Path) -> Weights:
    import ml_dtypes  # noqa: F401  (its types are known to NumPy by name then)

    whole = path.stat().st_size
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        if size > min(whole - 8, 100_000_000) or size < 2:
            raise InputError(f"{path} cannot be read as safetensors (its header does not fit); it is damaged")
        try:
            header = json.loads(file.read(size))
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path} cannot be read as safetensors ({error})") from None
    if not isinstance(header, dict):
        raise InputError(f"{path} cannot be read as safetensors (its header is no table)")
    header.pop("__metadata__", None)
    shapes, types, places, skipped = {}, {}, {}, {}
    for name, each in header.items():
        shape, (begin, end) = tuple(each["shape"]), each["data_offsets"]
        kind = _SAFE.get(each["dtype"])
        if kind is None:
            skipped[name] = f"entries of type {each['dtype']}"
            continue
        dtype = np.dtype(kind)
        count = _count(shape, path, name)
        if not 0 <= begin <= end <= whole - 8 - size or end - begin != count * dtype.itemsize:
            raise InputError(f"{path} cannot be read as safetensors (the place of {name} does not fit); it is damaged")
        if why := no_numbers(np.empty(0, dtype)):
            skipped[name] = why
            continue
        shapes[name], types[name], places[name] = shape, kind, (8 + size + begin, count)

    def load(name: str) -> np.ndarray:
        place, count = places[name]
        with path.open("rb") as file:
            file.seek(place)
            array = np.fromfile(file, np.dtype(types[name]).newbyteorder("<"), count)
        return array.reshape(shapes[name])

    return Weights(shapes, load, str(path), dtypes=types, skipped=skipped)


def _count(shape: tuple[Any, ...], path: Path, name: str) -> int:
    count = 1
    for n in shape:
        if type(n) is not int or n < 0:
            raise InputError(f"{path}: {name} has the shape {shape}; it is damaged")
        count *= n
    return count


def _sharded(path: Path) -> Weights:
    index = json.loads(path.read_text())
    table = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(table, dict) or not table:
        raise InputError(f"{path} has no weight_map; give the index of sharded safetensors")
    parts: dict[str, Weights] = {}
    shapes, types, skipped = {}, {}, {}
    for name, shard in table.items():
        if not isinstance(shard, str) or Path(shard).name != shard:
            raise InputError(f"{path} names the file {shard!r}; allowed: files beside the index")
        if shard not in parts:
            if not (path.parent / shard).is_file():
                raise InputError(f"{path} names {shard}, which is not there; put all parts beside the index")
            parts[shard] = _opened(path.parent / shard, _safetensors)
        part = parts[shard]
        inner = {old: plain for plain, old in part.stored.items()}
        if name in part.skipped:
            skipped[name] = part.skipped[name]
        elif name in inner:
            shapes[name], types[name] = part.shapes[inner[name]], part.dtypes[inner[name]]
        else:
            raise InputError(f"{path}: {shard} does not hold {name}; the index belongs to other files")

    def load(name: str) -> np.ndarray:
        part = parts[table[name]]
        return part._load(name)

    return Weights(shapes, load, str(path), dtypes=types, skipped=skipped)


def _npz(path: Path) -> Weights:
    def header(member: Any) -> tuple[tuple[int, ...], np.dtype]:
        version = np.lib.format.read_magic(member)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(member)
        return shape, dtype

    shapes: dict[str, tuple[int, ...]] = {}
    types, skipped = {}, {}
    try:
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                if info.flag_bits & 1:
                    raise InputError(f"{path} is encrypted; save it without a password")
                name = info.filename.removesuffix(".npy")
                if not info.filename.endswith(".npy"):
                    skipped[name] = "no array"
                    continue
                with archive.open(info) as member:
                    shape, dtype = header(member)
                if dtype.hasobject:
                    raise InputError(f"{path}: the array {name} is a pickle, which is not read; save arrays of numbers")
                if why := no_numbers(np.empty(0, dtype)):
                    skipped[name] = why
                    continue
                if _count(tuple(shape), path, name) * dtype.itemsize > info.file_size:
                    raise InputError(f"{path}: {name} has the shape {shape}, more than the file holds; it is damaged")
                shapes[name], types[name] = shape, dtype.name
    except (OSError, ValueError, EOFError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} cannot be read as an .npz archive of numbers ({error})") from None

    def load(name: str) -> np.ndarray:
        try:
            with np.load(path, allow_pickle=False) as archive:
                return archive[name]
        except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise InputError(f"{path}: the array {name} is damaged ({error})") from None

    return Weights(shapes, load, str(path), dtypes=types, skipped=skipped)


def metadata_of(path: Path) -> Mapping[str, str] | None:
    """Return the metadata texts of a safetensors file; None if it has none.

    Raises:
        InputError: the file cannot be read.
    """
    with path.open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    found = header.get("__metadata__")
    if not isinstance(found, dict) or not found:
        return None
    return {str(key): value if isinstance(value, str) else json.dumps(value) for key, value in found.items()}
