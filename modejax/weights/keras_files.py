"""Files of Keras: `.keras`, `.weights.h5` and the older `.h5`. No layer is built and nothing is unpickled."""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from modejax.errors import InputError
from modejax.weights.arrays import Fact, Weights, no_numbers

__all__ = ["read_h5", "read_keras"]

_NORM = ("gamma", "beta", "moving_mean", "moving_variance")
_PARTS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("dense", "einsum_dense", "conv1d", "conv2d", "conv3d", "depthwise_conv1d"), ("kernel", "bias")),
    **dict.fromkeys(
        ("depthwise_conv2d", "conv1d_transpose", "conv2d_transpose", "conv3d_transpose"), ("kernel", "bias")
    ),
    **dict.fromkeys(("separable_conv1d", "separable_conv2d"), ("depthwise_kernel", "pointwise_kernel", "bias")),
    **dict.fromkeys(("lstm_cell", "gru_cell", "simple_rnn_cell"), ("kernel", "recurrent_kernel", "bias")),
    "batch_normalization": _NORM,
    "layer_normalization": _NORM[:2],
    "group_normalization": _NORM[:2],
    "embedding": ("embeddings",),
}


def read_keras(path: Path) -> Weights:
    """Open a `.keras` archive; its configuration tells classes and order of the layers.

    Raises:
        InputError: it is damaged, encrypted, or no such archive.
    """
    if not zipfile.is_zipfile(path):
        raise InputError(f"{path} is no archive of Keras; give the file that model.save wrote")
    with zipfile.ZipFile(path) as archive:
        if any(info.flag_bits & 1 for info in archive.infolist()):
            raise InputError(f"{path} is encrypted; save it without a password")
        if "model.weights.h5" not in archive.namelist():
            raise InputError(f"{path} holds no model.weights.h5; save the model again with Keras 3")
        data = archive.read("model.weights.h5")
        config = json.loads(archive.read("config.json")) if "config.json" in archive.namelist() else {}
    return _read(io.BytesIO(data), path, _classes(config))


def read_h5(path: Path) -> Weights:
    """Open a `.weights.h5` or `.h5` file of Keras, or another HDF5 file of named arrays.

    Raises:
        InputError: it is damaged or holds no array.
    """
    return _read(path, path, {})


def _classes(config: Any) -> dict[str, str]:
    """Return the classes of layers by name, in the order of a configuration."""
    found: dict[str, str] = {}

    def walk(part: Any, depth: int) -> None:
        if depth > 60:
            return
        if isinstance(part, Mapping):
            inner = part.get("config")
            if isinstance(part.get("class_name"), str) and isinstance(inner, Mapping) and "name" in inner:
                found.setdefault(str(inner["name"]), _snake(part["class_name"]))
            for each in part.values():
                walk(each, depth + 1)
        elif isinstance(part, list):
            for each in part:
                walk(each, depth + 1)

    walk(config, 0)
    return found


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[a-zA-Z])(?=[A-Z][a-z])", "_", name).lower().replace("conv_", "conv")


def _datasets(group: Any, path: str, depth: int) -> Iterator[tuple[str, Any, str]]:
    """Walk through a file without following links out of it; give path, dataset and the name of its layer."""
    import h5py

    if depth > 40:
        return
    label = group.attrs.get("name", "")
    for name in group:
        link = group.get(name, getlink=True)
        if not isinstance(link, h5py.HardLink):
            continue
        each = group[name]
        inner = f"{path}/{name}" if path else name
        if isinstance(each, h5py.Group):
            yield from _datasets(each, inner, depth + 1)
        else:
            yield inner, each, label.decode() if isinstance(label, bytes) else str(label)


def _read(file: Any, path: Path, classes: Mapping[str, str]) -> Weights:
    import h5py

    entries: list[tuple[str, str, tuple[int, ...], str, str]] = []
    skipped: dict[str, str] = {}
    external = []
    with h5py.File(file, "r") as opened:
        for inner, each, label in _datasets(opened, "", 0):
            if each.external:
                external.append(inner)
                continue
            if each.shape is None:
                skipped[inner] = "an empty dataset"
                continue
            why = no_numbers(np.empty(0, each.dtype)) if each.dtype.kind != "O" else "text or objects"
            if why:
                skipped[inner] = why
            else:
                entries.append((inner, label, tuple(each.shape), str(each.dtype), ""))
    if external:
        raise InputError(f"{path}: {external[0]} lies in another file; save all values into one")
    named = _named(entries, classes)
    rank = {name: i for i, name in enumerate(classes)}
    places = sorted(named, key=lambda name: rank.get(name.rpartition(".")[0], len(rank))) if classes else list(named)
    shapes = {name: named[name][1] for name in places}

    def load(name: str) -> np.ndarray:
        if isinstance(file, io.BytesIO):
            file.seek(0)
        with h5py.File(file, "r") as opened:
            return np.asarray(opened[named[name][0]])

    facts = {name: fact for name in places if (fact := _fact(name, named[name][1], named[name][3])) is not None}
    found = Weights(
        shapes, load, str(path), dtypes={name: named[name][2] for name in places}, skipped=skipped, facts=facts
    )
    found.ordered = bool(classes)
    return found


def _named(
    entries: list[tuple[str, str, tuple[int, ...], str, str]], classes: Mapping[str, str]
) -> dict[str, tuple[str, tuple[int, ...], str, str]]:
    """Give arrays the names of their layers and parts: for each the path in the file, shape, type and class."""
    modules: dict[str, list[tuple[str, str, tuple[int, ...], str]]] = {}
    out: dict[str, tuple[str, tuple[int, ...], str, str]] = {}
    for inner, label, shape, kind, _ in entries:
        parts = inner.split("/")
        if len(parts) > 1 and parts[-2] == "vars" and parts[-1].isdecimal():
            modules.setdefault("/".join(parts[:-2]), []).append((inner, label, shape, kind))
            continue
        parts = [part.split(":")[0] for part in parts]
        if parts[0] == "model_weights":
            parts = parts[1:]
        if len(parts) > 2 and parts[0] == parts[1]:
            parts = parts[1:]
        name = ".".join(parts)
        out[name if name not in out else inner.replace("/", ".")] = (inner, shape, kind, re.sub(r"_\d+$", "", parts[0]))
    labels = {module: next(iter(some))[1] for module, some in modules.items()}
    unique = len({label for label in labels.values() if label}) == len(labels)
    for module, some in modules.items():
        path = module.split("/")
        inside = len(path) > 1 and path[-2] == "layers"
        label = labels[module]
        kind = classes.get(label) or re.sub(r"_\d+$", "", path[-1] if inside else label)
        plain = ".".join(part for part in path if part != "layers")
        name = label if classes and unique and label and path[0] == "layers" and len(path) == 2 else plain
        if kind not in _PARTS and path[-1] in ("query_dense", "key_dense", "value_dense", "output_dense"):
            kind = "einsum_dense"
        some = sorted(some, key=lambda each: int(each[0].rsplit("/", 1)[1]))
        for (inner, _, shape, dtype), part in zip(some, _parts(kind, [each[2] for each in some]), strict=True):
            out[f"{name}.{part}"] = (inner, shape, dtype, kind)
    return out


def _parts(kind: str, shapes: list[tuple[int, ...]]) -> list[str]:
    """Return the names of a layer's arrays by its class, or by their shapes where its class is unknown."""
    names = list(_PARTS.get(kind, ()))
    if names and names[0] == "gamma":
        if len(shapes) < len(names) and kind == "batch_normalization":  # without scale or centre
            names = (["gamma_or_beta"] if len(shapes) == 3 else []) + list(_NORM[2:])
        return [*names, *(f"var_{i}" for i in range(len(names), len(shapes)))][: len(shapes)]
    if names:
        return [*names, *(f"var_{i}" for i in range(len(names), len(shapes)))][: len(shapes)]
    if len(shapes) in (2, 4) and all(len(shape) == 1 for shape in shapes):
        return list(_NORM[: len(shapes)])
    if shapes and len(shapes[0]) > 1 and all(len(shape) == 1 for shape in shapes[1:]):
        return ["kernel", "bias", *(f"var_{i}" for i in range(2, len(shapes)))][: len(shapes)]
    return [f"var_{i}" for i in range(len(shapes))]


def _fact(name: str, shape: tuple[int, ...], kind: str) -> Fact | None:
    """Return what a class of Keras says of an array."""
    last = name.rpartition(".")[2]
    why = f"the class {kind} of Keras"
    if last == "embeddings":
        return Fact("table", "", why="a table of embeddings")
    if last == "depthwise_kernel" or (kind.startswith("depthwise") and last == "kernel"):
        return Fact("depthwise", "keras_depthwise", shape[-2], why=why)
    if last == "pointwise_kernel":
        return Fact("conv", "flax", why=why)
    if last in ("recurrent_kernel",) or kind.endswith("_cell"):
        return Fact("other", "", why=f"gates of {kind}, several maps in one array") if len(shape) > 1 else None
    if last != "kernel" or len(shape) < 2:
        return None
    if kind.endswith("_transpose"):
        return Fact("transposed", "keras_transposed", why=why)
    if re.fullmatch(r"conv\dd", kind):
        return Fact("conv", "flax", why=why)
    return Fact("linear", "flax", why=why) if kind == "dense" and len(shape) == 2 else None
