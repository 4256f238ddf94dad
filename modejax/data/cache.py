"""Decoded arrays kept on disk, so that a set of images is decoded only once.

Decoding 70,000 images takes seconds, reading them uncompressed a fraction of one. The cache is only a copy: it is used
if it was made from exactly the present files and is undamaged (the zip format of `.npz` has a checksum of each array),
and made again otherwise.
"""

import contextlib
import hashlib
import json
import os
import tempfile
import warnings
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import platformdirs

__all__ = ["cached_arrays", "user_folder"]

# To be increased when the meaning of the cached arrays changes.
FORMAT = 1
FILE_NAME = "modejax_decoded.npz"
TEMPORARY = ".modejax-"
FINGERPRINT = "fingerprint"

Arrays = dict[str, np.ndarray]


def cached_arrays(folder: Path, decode: Callable[[], Arrays]) -> Arrays:
    """Return decoded arrays from the cache, or decode and fill the cache.

    The cache is in the folder itself if that is writable, else in the user's cache folder. If neither is writable, the
    arrays are decoded at every start, with a warning.

    Args:
        folder: the folder of the prepared set from which the arrays are decoded.
        decode: function that decodes the arrays.

    Returns:
        The arrays by name.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     first = cached_arrays(Path(folder), lambda: {"x": np.arange(3)})
        ...     again = cached_arrays(Path(folder), lambda: {"x": np.zeros(3)})
        >>> again["x"]
        array([0, 1, 2])
    """
    fingerprint = _fingerprint(folder)
    places = [folder / FILE_NAME, _user_file(folder)]
    for place in places:
        arrays = _read(place, fingerprint)
        if arrays is not None:
            return arrays
    arrays = decode()
    if not _meant_to_be_written(folder):
        places = places[1:]
    if not any(_write(place, arrays, fingerprint) for place in places):
        warnings.warn(
            f"the decoded arrays could not be kept in {' or '.join(str(place.parent) for place in places)}; "
            "the images are decoded again at every start",
            RuntimeWarning,
            stacklevel=2,
        )
    return arrays


def _fingerprint(folder: Path) -> str:
    """Return a fingerprint of the state of a folder: name, size and time of each of its files."""
    files = sorted(
        (file.name, file.stat().st_size, file.stat().st_mtime_ns)
        for file in folder.iterdir()
        if file.name != FILE_NAME and not file.name.startswith(TEMPORARY) and file.is_file()
    )
    return json.dumps({"format": FORMAT, "set": [folder.parent.name, folder.name], "files": files})


def user_folder() -> Path:
    """Return the user's folder for decoded data sets whose own folders are not writable."""
    return Path(platformdirs.user_cache_dir("modejax")) / "datasets"


def _user_file(folder: Path) -> Path:
    """Return the path of the cache of this folder in the user's folder."""
    where = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:12]
    return user_folder() / f"{folder.parent.name}-{folder.name}-{where}.npz"


def _meant_to_be_written(folder: Path) -> bool:
    """Return whether the folder has write permission for anybody; the superuser could write even without it."""
    return bool(folder.stat().st_mode & 0o222)


# Errors of NumPy for truncated or altered archives; NotImplementedError is for an unknown compression.
_DAMAGED = (
    OSError,
    ValueError,
    KeyError,
    EOFError,
    AttributeError,
    TypeError,
    NotImplementedError,
    zipfile.BadZipFile,
    zlib.error,
    MemoryError,
    RuntimeError,
)


def _read(place: Path, fingerprint: str) -> Arrays | None:
    """Return the cached arrays, or None if they are missing, out of date or damaged."""
    try:
        # Given a path, np.load would not close the file of a damaged archive.
        with place.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            if archive[FINGERPRINT].item() != fingerprint:
                return None
            return {name: archive[name] for name in archive.files if name != FINGERPRINT}
    except _DAMAGED:
        return None


def _write(place: Path, arrays: Arrays, fingerprint: str) -> bool:
    """Write the cache atomically; return whether that was possible."""
    temporary = None
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=TEMPORARY, suffix=".tmp", dir=place.parent)
        with os.fdopen(handle, "wb") as file:
            np.savez(file, **arrays, **{FINGERPRINT: np.array(fingerprint)})  # pyright: ignore[reportArgumentType]
        os.chmod(temporary, 0o644)  # the temporary file is private, the set beside it is shared
        os.replace(temporary, place)
    except OSError:
        return False
    else:
        temporary = None
        return True
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
