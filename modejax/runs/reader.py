"""Read the files of a finished folder, checked against its marker; anything malformed raises `InputError`."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modejax.errors import InputError
from modejax.runs._exchange import names_of, recover
from modejax.runs._lock import held
from modejax.runs._marker import MARKER, Marker, Record, load_marker

if TYPE_CHECKING:
    import xarray

__all__ = ["check_config", "kind_of", "read_bytes", "read_json", "read_marker", "read_netcdf"]

_PATIENCE = 2.0
"""Seconds to wait for another process that is putting a result in place."""


def read_marker(folder: str | Path, kind: str | None = None) -> Marker:
    """Read the marker of a folder; if a process was killed while it replaced the folder, the result is restored first.

    Args:
        folder: the folder.
        kind: the kind that it must have, such as `sweep`; None for any kind.

    Returns:
        Its marker.

    Raises:
        InputError: if the folder is missing, was not made by modejax, has a malformed marker, or holds something else.
    """
    folder = Path(folder)
    marker = load_marker(folder)
    if marker is None:
        marker = _recovered(folder)
    if marker is None:
        if not folder.is_dir():
            raise InputError(f"{folder} does not exist or is a file; allowed: a folder that a command of modejax made")
        raise InputError(
            f"{folder} was not made by modejax (it has no {MARKER}); allowed: a folder that one of its commands made"
        )
    if kind is not None and marker.kind != kind:
        raise InputError(f"{folder} holds the output of another command ({marker.kind}); allowed: one of {kind}")
    return marker


def kind_of(folder: str | Path) -> str | None:
    """Return the kind of a folder by its marker, such as `sweep`; None for a file and for a folder without a marker.

    Args:
        folder: a path, which may be missing.

    Returns:
        The kind.

    Raises:
        InputError: if its marker is malformed.

    Example:
        >>> kind_of("net.npz") is None
        True
    """
    marker = load_marker(Path(folder)) or _recovered(Path(folder))
    return None if marker is None else marker.kind


def _recovered(folder: Path) -> Marker | None:
    """Return the marker of a folder, after an exchange of folders that is under way, or was interrupted, has ended."""
    names, until = names_of(folder), time.monotonic() + _PATIENCE
    while (names.old.is_dir() or _is_ready(names.new)) and time.monotonic() < until:
        with contextlib.suppress(InputError, OSError), held(names.lock, folder):
            recover(names)
        if (marker := load_marker(folder)) is not None:
            return marker
        time.sleep(0.02)
    return load_marker(folder)


def _is_ready(folder: Path) -> bool:
    with contextlib.suppress(InputError):
        marker = load_marker(folder)
        return marker is not None and marker.state == "finished"
    return False


def read_bytes(folder: str | Path, name: str, *, marker: Marker | None = None) -> bytes:
    """Read a file of a finished folder and check it against the marker.

    Args:
        folder: the folder.
        name: the path of the file, relative to the folder.
        marker: the marker of the folder, as returned by `read_marker`; by default it is read first. Files that are read
            with the same marker belong to the same result, even if another process replaces the folder meanwhile.

    Returns:
        Its content.

    Raises:
        InputError: if the folder is not finished, or the file is missing, unknown to the marker, truncated or altered.
    """
    folder = Path(folder)
    if marker is not None:
        return _checked(folder, name, marker)
    marker = read_marker(folder)
    while True:
        try:
            return _checked(folder, name, marker)
        except InputError:
            # If another process has just replaced the folder, the file and the marker belong to different results.
            before, marker = marker, read_marker(folder)
            if marker == before:
                raise


def _checked(folder: Path, name: str, marker: Marker) -> bytes:
    if marker.state != "finished":
        raise InputError(f"{folder} is not finished and has no result yet; resume it, or run its command again")
    expected = marker.files.get(name)
    if expected is None:
        listed = ", ".join(sorted(marker.files)) or "no file"
        raise InputError(f"{folder} has no {name} among its data; its marker lists {listed}")
    data = _read(folder / name)
    if Record(hashlib.sha256(data).hexdigest(), len(data)) != expected:
        raise InputError(
            f"{folder / name} is damaged: it has {len(data)} bytes and not the checksum in {MARKER} ({expected.size} "
            "bytes). Restore it from a copy, or make the result anew with --overwrite"
        )
    return data


def _read(path: Path) -> bytes:
    if path.exists() and not path.is_file():
        raise InputError(f"{path} is not a file; restore it from a copy")
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error})") from None


def read_json(folder: str | Path, name: str = "config.json", *, marker: Marker | None = None) -> dict[str, Any]:
    """Read a JSON file of a folder; the folder may also be unfinished work, which has no checksums yet.

    Args:
        folder: a folder that a command of modejax made.
        name: the path of the file, relative to the folder.
        marker: as for `read_bytes`.

    Returns:
        The object in it.

    Raises:
        InputError: as for `read_bytes`; or if it is no JSON text with an object at its top.
    """
    folder = Path(folder)
    running = (marker or read_marker(folder)).state == "running"
    data = _read(folder / name) if running else read_bytes(folder, name, marker=marker)
    return _object(data, f"{folder / name}")


def _object(data: bytes | str, what: str) -> dict[str, Any]:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{what} is no JSON text ({str(error)[:100]}); restore it from a copy") from None
    if not isinstance(found, dict):
        raise InputError(f"{what} holds a {type(found).__name__}; allowed: a JSON object, fields and their values")
    return found


def read_netcdf(folder: str | Path, name: str = "result.nc", *, marker: Marker | None = None) -> xarray.DataTree:
    """Read a NetCDF file of a finished folder into memory; links to other files are refused.

    Args:
        folder: the folder.
        name: the path of the file, relative to the folder.
        marker: as for `read_bytes`.

    Returns:
        Its groups of labelled arrays; for a file without groups, `to_dataset()` returns its data set.

    Raises:
        InputError: as for `read_bytes`; or if it is no NetCDF-4 file, or points to other files or to itself.
    """
    import xarray

    data, path = read_bytes(folder, name, marker=marker), Path(folder) / name
    _check_closed(data, path)
    try:
        with xarray.open_datatree(io.BytesIO(data), engine="h5netcdf") as tree:
            return tree.load()
    except MemoryError:
        raise
    except Exception as error:  # xarray, h5netcdf and h5py raise many types for malformed files
        raise InputError(f"{path} is not a readable result ({type(error).__name__}: {str(error)[:200]})") from None


def _check_closed(data: bytes, path: Path) -> None:
    """Refuse a file with parts in other files, before these are opened."""
    import h5py

    try:
        with h5py.File(io.BytesIO(data), "r") as file:
            _check_group(file, path, [file])
    except InputError:
        raise
    except MemoryError:
        raise
    except Exception as error:  # h5py raises many types for malformed files
        raise InputError(f"{path} is no readable NetCDF-4 file ({type(error).__name__}: {str(error)[:200]})") from None


def _check_group(group: Any, path: Path, seen: list[Any]) -> None:
    import h5py

    for name in group:
        link = group.get(name, getlink=True)
        if not isinstance(link, h5py.HardLink):
            raise InputError(
                f"{path}: {name} is a link ({type(link).__name__}) to something that may lie in another file; allowed: "
                "arrays in the file itself. Do not use it"
            )
        item = group[name]
        if isinstance(item, h5py.Dataset) and (item.external or item.is_virtual):
            raise InputError(f"{path}: the values of {name} lie in another file; allowed: in the file itself")
        if isinstance(item, h5py.Group):
            if any(item == other for other in seen):
                raise InputError(f"{path}: the group {name} has two names; allowed: one")
            seen.append(item)
            _check_group(item, path, seen)
        # Attributes are read here, so that a malformed one is reported before it is used.
        for key in item.attrs:
            item.attrs[key]


def check_config(stored: Any, config: Mapping[str, Any], folder: str | Path, ignore: Collection[str] = ()) -> None:
    """Refuse a result that was not made with the config stored beside it.

    Args:
        stored: the attribute `config` of the result: JSON text.
        config: the content of `config.json`, as `read_json` returns it.
        folder: the folder, for the error message.
        ignore: fields that may differ, since they do not change the result.

    Raises:
        InputError: if the attribute is missing (None) or malformed, or differs from the config.

    Example:
        >>> check_config('{"seeds": 3}', {"seeds": 3}, "run")
    """
    if not isinstance(stored, str):
        raise InputError(f"the result in {folder} does not say with which config it was made; do not use it")
    made = _object(stored, f"the attribute config of the result in {folder}")
    different = sorted(key for key in {*made, *config}.difference(ignore) if _text(made, key) != _text(config, key))
    if different:
        raise InputError(
            f"the result in {folder} was made with another config than its config.json (they differ in "
            f"{', '.join(different[:5])}); restore the folder from a copy, or make the result anew with --overwrite"
        )


def _text(fields: Mapping[str, Any], key: str) -> str | None:
    return json.dumps(fields[key], sort_keys=True, default=str) if key in fields else None
