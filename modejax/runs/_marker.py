"""The marker file of an output folder: the command that made it, its state, and the checksum of each file of data."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from modejax.errors import InputError, choices

__all__ = [
    "KINDS",
    "MARKER",
    "PART",
    "Marker",
    "Record",
    "is_blank",
    "load_marker",
    "parse_marker",
    "record_of",
    "save_marker",
    "version",
]

KINDS = ("sweep", "decompose", "svr", "interpolate", "online", "study")
"""The kinds of folders, named after the command that made them."""

MARKER = ".modejax.json"
"""Name of the marker file."""

PART = ".modejax.json.part"
"""Name of a marker that is being written. A folder that holds nothing else counts as empty."""

_FORMAT = 1
_STATES = ("running", "finished")
_BYTES = 1 << 20


class Record(NamedTuple):
    """Checksum and size of a file."""

    sha256: str  # in hexadecimal
    size: int  # bytes


class Marker(NamedTuple):
    """The content of a marker file."""

    kind: str  # one of KINDS
    state: str  # "running" or "finished"
    version: str  # version of modejax that wrote it
    files: Mapping[str, Record]  # by path below the folder, with slashes; empty while running
    entries: tuple[str, ...]  # names in the folder when it was finished, so that later ones can be told apart


def version() -> str:
    """Return the installed version of modejax."""
    return importlib.metadata.version("modejax")


def is_blank(folder: Path) -> bool:
    """Return whether a folder is missing, empty, or holds only a marker that was not written completely."""
    try:
        return all(name == PART for name in os.listdir(folder))
    except FileNotFoundError:
        return True


def record_of(path: Path) -> Record:
    """Return checksum and size of a file, and flush it to disk.

    Args:
        path: the file.

    Returns:
        The record.

    Raises:
        OSError: if it cannot be read.
    """
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while block := file.read(_BYTES):
            digest.update(block)
            size += len(block)
        with contextlib.suppress(OSError):  # not every system can flush a file opened for reading
            os.fsync(file.fileno())
    return Record(digest.hexdigest(), size)


def save_marker(folder: Path, marker: Marker) -> None:
    """Write the marker of a folder atomically; the caller must hold the lock of its name.

    Args:
        folder: an existing folder.
        marker: the content.

    Raises:
        OSError: if it cannot be written; an earlier marker stays.
    """
    files = {name: record._asdict() for name, record in sorted(marker.files.items())}
    content = {"modejax": _FORMAT, **marker._asdict(), "files": files, "entries": list(marker.entries)}
    with (folder / PART).open("w", encoding="utf-8") as file:
        file.write(json.dumps(content, indent=2) + "\n")
        file.flush()
        os.fsync(file.fileno())
    (folder / PART).replace(folder / MARKER)


def load_marker(folder: Path) -> Marker | None:
    """Read the marker of a folder; None if it has none.

    Args:
        folder: the folder; it may be missing.

    Returns:
        The content of the marker.

    Raises:
        InputError: if there is a marker that cannot be read or is malformed.
    """
    try:
        data = (folder / MARKER).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:  # a path with a null character is a ValueError
        raise InputError(f"the marker of {str(folder)!r} cannot be read ({error})") from None
    return parse_marker(data, folder / MARKER)


def parse_marker(data: bytes, where: Path) -> Marker:
    """Read a marker from its bytes.

    Args:
        data: the bytes of the file.
        where: the path of the file, for messages.

    Returns:
        The content of the marker.

    Raises:
        InputError: if it is malformed.

    Example:
        >>> text = '{"modejax": 1, "kind": "svr", "state": "running", "version": "0.1", "files": {}, "entries": []}'
        >>> parse_marker(text.encode(), Path(".modejax.json")).kind
        'svr'
    """
    try:
        content = json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError):
        raise _malformed(where, "no JSON text") from None
    if not isinstance(content, dict) or set(content) != {"modejax", *Marker._fields}:
        raise _malformed(where, f"allowed are the fields {', '.join(('modejax', *Marker._fields))}, all of them")
    if content["modejax"] != _FORMAT or isinstance(content["modejax"], bool):
        raise _malformed(where, f"it has the format {content['modejax']!r}; this version reads {_FORMAT}")
    for field, allowed in (("kind", KINDS), ("state", _STATES)):
        if content[field] not in allowed:
            raise _malformed(where, f"it has the {field} {content[field]!r}; allowed: {choices(allowed)}")
    if not isinstance(content["version"], str):
        raise _malformed(where, "its version is no text")
    entries = content["entries"]
    if not isinstance(entries, list) or not all(isinstance(name, str) for name in entries):
        raise _malformed(where, "its entries are no list of names")
    if not isinstance(content["files"], dict):
        raise _malformed(where, "its files are no table")
    files = {name: _record(where, name, each) for name, each in content["files"].items()}
    return Marker(content["kind"], content["state"], content["version"], files, tuple(entries))


def _record(where: Path, name: str, record: Any) -> Record:
    parts = PurePosixPath(name)
    if not name or parts.is_absolute() or ".." in parts.parts or "\0" in name:
        raise _malformed(where, f"it lists the file {name!r}, which does not lie in the folder")
    if not isinstance(record, dict) or set(record) != set(Record._fields):
        raise _malformed(where, f"its record of {name} lacks sha256 or size")
    digest, size = record["sha256"], record["size"]
    if not isinstance(digest, str) or len(digest) != 64 or not set(digest) <= set("0123456789abcdef"):
        raise _malformed(where, f"its checksum of {name} is no SHA-256 in hexadecimal")
    if isinstance(size, bool) or not isinstance(size, int) or size < 0:
        raise _malformed(where, f"its size of {name} is {size!r}; allowed: an integer of at least 0")
    return Record(digest, size)


def _malformed(where: Path, what: str) -> InputError:
    return InputError(
        f"the marker {where} is malformed: {what}. Nothing in its folder is used or changed; restore the folder from a "
        "copy, or remove it by hand"
    )
