"""Checks of an installation: versions, devices, correctness of jaxlib, data sets, caches."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

__all__ = ["Finding", "examine", "squares_error"]

_VARIABLES = ("JAX_PLATFORMS", "JAX_COMPILATION_CACHE_DIR", "MODEJAX_DATA_DIR", "MODEJAX_COMPILE_CACHE")
_PACKAGES = ("modejax", "jax", "jaxlib", "flax", "optax", "numpy")
_SOUND = 1e-5  # relative error of a sum of three squares in float32


class Finding(NamedTuple):
    """The result of one check."""

    topic: str
    what: str
    state: Literal["ok", "missing", "problem"]
    text: str


def examine(data_dir: str | Path | None = None) -> Iterator[Finding]:
    """Check an installation.

    Args:
        data_dir: folder of prepared data sets, as in `modejax.load_dataset`.

    Yields:
        The findings; the state `problem` means that sweeps fail or give wrong numbers, `missing` that something
        optional is missing.

    Example:
        >>> next(examine()).what
        'python'
    """
    from modejax._versions import versions

    yield Finding("versions", "python", "ok", platform.python_version())
    for name, version in versions(*_PACKAGES).items():
        yield Finding("versions", name, "problem" if version == "unknown" else "ok", version)
    for name in _VARIABLES:
        if name in os.environ:
            yield Finding("environment", name, "ok", os.environ[name])
    devices = list(_devices())
    yield from devices
    if all(each.state == "ok" for each in devices):
        yield from _soundness()
    yield from _data_sets(data_dir)
    yield from _caches()


def _devices() -> Iterator[Finding]:
    import jax

    from modejax.backend import no_device

    try:
        found = jax.devices()
    except (AssertionError, RuntimeError) as error:
        yield Finding("devices", "JAX", "problem", no_device(error) or str(error))
        return
    kinds = dict.fromkeys((device.platform, device.device_kind) for device in found)
    for kind in kinds:
        count = sum((device.platform, device.device_kind) == kind for device in found)
        cores = f", {os.cpu_count()} cores" if kind[0] == "cpu" else ""
        yield Finding("devices", kind[0], "ok", f"{count} x {kind[1]}{cores}")


def squares_error(dtype: str, rows: int, size: int) -> float:
    """Return the largest relative error of compiled sums of squares after a matrix product under vmap.

    jax-ml/jax#39103: on CPU, jaxlib 0.10.2 gave silently wrong results for this program, for float32 from 32,769 rows
    on and float64 from 16,385 rows on.

    Args:
        dtype: float32 or float64.
        rows: number of rows of the matrix of inputs; each gives one sum.
        size: number of entries in a row.

    Returns:
        The error; about the rounding error of the dtype if the compiler is correct.

    Example:
        >>> squares_error("float32", 100, 3) < 1e-5
        True
    """
    import jax
    import jax.numpy as jnp

    numbers = np.arange(rows, dtype=dtype)
    x = np.zeros((rows, size), dtype)
    x[:, 0] = numbers
    with jax.enable_x64(dtype == "float64"):
        identity = jnp.eye(size, dtype=dtype)
        squares = jax.jit(lambda x: jax.vmap(lambda row: jnp.sum((identity @ row) ** 2))(x))(jnp.asarray(x))
    exact = numbers.astype(np.float64) ** 2
    return float(np.max(np.abs(np.asarray(squares, np.float64) - exact) / np.maximum(exact, 1)))


def _soundness() -> Iterator[Finding]:
    for dtype, rows in (("float32", 32_769), ("float64", 16_385)):
        error = max(squares_error(dtype, rows, size) for size in (3, 10))
        sound = error < _SOUND
        text = (
            f"sums of squares of {rows:,} rows are right"
            if sound
            else (f"sums of squares of {rows:,} rows are wrong (jax-ml/jax#39103): install another jaxlib")
        )
        yield Finding("jaxlib", dtype, "ok" if sound else "problem", text)


def _data_sets(data_dir: str | Path | None) -> Iterator[Finding]:
    from modejax.data import list_datasets

    for entry in list_datasets(data_dir):
        advice = "" if entry.available else f"; get it with: modejax data prepare {entry.name}"
        yield Finding("data", entry.name, "ok" if entry.available else "missing", f"{entry.where}{advice}")


def _caches() -> Iterator[Finding]:
    from modejax.data.cache import user_folder
    from modejax.sweep.cache import programs_folder

    for what, folder in (("compiled programs", programs_folder()), ("data sets", user_folder())):
        files = [path.stat().st_size for path in folder.rglob("*") if path.is_file()] if folder.is_dir() else []
        yield Finding("caches", what, "ok", f"{folder}: {len(files)} files, {sum(files) / 2**20:.1f} MiB")
