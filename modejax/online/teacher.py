"""A given teacher: arrays of a file are checked and made into the draw from which learning starts."""

import hashlib
import os
import zipfile
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from modejax.errors import InputError
from modejax.online.problem import Draw, Modes, Sizes, check_sizes
from modejax.online.sweep import start_of

__all__ = ["draw_from", "read_teacher", "sizes_of"]

_NEEDED = ("xi", "sigma", "teacher")
_MAKE = (
    "Make the file with np.savez('teacher.npz', xi=..., sigma=..., teacher=...): xi of shape (K, p), sigma of shape "
    "(p,), teacher of shape (p, d), and if you like student of shape (p, d)"
)


def read_teacher(path: str | os.PathLike[str]) -> tuple[Draw, str]:
    """Read a teacher from an .npz file.

    Args:
        path: a file with the arrays `xi`, `sigma`, `teacher` and, if the student's start is given, too, `student`; see
            `draw_from`.

    Returns:
        The draw, float64, and the SHA-256 of the file as 64 hexadecimal digits.

    Raises:
        InputError: the file cannot be read, or its arrays are no teacher; see `draw_from`.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     np.savez(f"{folder}/a.npz", xi=np.ones((4, 2)), sigma=np.ones(2), teacher=np.eye(2, 30))
        ...     start, digest = read_teacher(f"{folder}/a.npz")
        >>> sizes_of(start), len(digest)
        (Sizes(d=30, units=4, modes=2), 64)
    """
    try:
        with open(path, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        archive = np.load(path, allow_pickle=False)
        if isinstance(archive, np.ndarray):
            raise ValueError("it holds one array without a name")
        with archive:
            arrays = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise InputError(f"the teacher {path} cannot be read as an .npz file of numbers ({reason}). {_MAKE}") from None
    return draw_from(arrays, f"the teacher {path}"), digest


def draw_from(arrays: Mapping[str, Any], what: str = "the teacher") -> Draw:
    """Check the arrays of a teacher and return the draw that theory and simulation start from.

    Args:
        arrays: real numbers by name: `xi`, shape (K, p), and `sigma`, shape (p,), which teacher and student share at
            the start; `teacher`, the teacher's input patterns U*, shape (p, d); and, optional, `student`, those of the
            student's start U, shape (p, d). Without `student` the start is that of the teacher with seed 0 of these
            sizes: entries Normal(0, (ln d)^(-1/3)).
        what: description of the arrays, for messages.

    Returns:
        The draw, float64.

    Raises:
        InputError: arrays are missing or unknown, shapes do not fit, numbers are not real and finite, or the teacher
            has zero norm.

    Example:
        >>> start = draw_from({"xi": np.ones((4, 2)), "sigma": np.ones(2), "teacher": np.eye(2, 30)})
        >>> start.teacher.shape, start.student.shape
        ((2, 30), (2, 30))
    """
    missing = [name for name in _NEEDED if name not in arrays]
    extra = sorted(set(arrays) - {*_NEEDED, "student"})
    if missing or extra:
        wrong = [f"lacks {', '.join(missing)}"] if missing else []
        wrong += [f"holds {', '.join(extra)}, which is not known"] if extra else []
        raise InputError(f"{what} {' and '.join(wrong)}; allowed: xi, sigma, teacher and, optional, student. {_MAKE}")
    host = {name: _numbers(values, name, what) for name, values in arrays.items()}
    _check_shapes(host, what)
    p, d = host["teacher"].shape
    sizes = Sizes(d, host["xi"].shape[0], p)
    check_sizes(sizes)
    if not ((host["xi"] * host["sigma"]) @ host["teacher"]).any():
        raise InputError(
            f"{what} has zero norm (xi diag(sigma) teacher = 0), so there is nothing to learn; give numbers other than "
            "zero"
        )
    with jax.enable_x64(True):
        modes = Modes(jnp.asarray(host["xi"]), jnp.asarray(host["sigma"]))
        student = jnp.asarray(host["student"]) if "student" in host else start_of(sizes, 0, 0).student
        return Draw(modes, student, jnp.asarray(host["teacher"]))


def sizes_of(start: Draw) -> Sizes:
    """Return d, K and p of a draw without padding.

    Args:
        start: the draw.

    Returns:
        The sizes.

    Example:
        >>> sizes_of(draw_from({"xi": np.ones((4, 1)), "sigma": np.ones(1), "teacher": np.ones((1, 9))}))
        Sizes(d=9, units=4, modes=1)
    """
    return Sizes(start.teacher.shape[1], start.modes.xi.shape[0], start.teacher.shape[0])


def _numbers(values: Any, name: str, what: str) -> np.ndarray:
    found = np.asarray(values)
    if found.dtype.kind not in "fiu":
        raise InputError(f"{what}: {name} has the type {found.dtype}; allowed: real numbers. Convert it to float64")
    host = found.astype(np.float64)
    bad = int((~np.isfinite(host)).sum())
    if bad:
        raise InputError(f"{what}: {name} holds {bad} numbers that are not finite; allowed: finite ones. Replace them")
    return host


def _check_shapes(host: Mapping[str, np.ndarray], what: str) -> None:
    got = ", ".join(f"{name} {each.shape}" for name, each in host.items())
    ranks = {"xi": 2, "sigma": 1, "teacher": 2, "student": 2}
    fits = all(each.ndim == ranks[name] and each.size for name, each in host.items())
    if fits:
        (_, p), d = host["xi"].shape, host["teacher"].shape[1]
        shapes = {"sigma": (p,), "teacher": (p, d), "student": (p, d)}
        fits = all(host[name].shape == shape for name, shape in shapes.items() if name in host)
    if not fits:
        raise InputError(
            f"{what} has arrays of shapes {got}; allowed: xi (K, p), sigma (p,), teacher (p, d), student (p, d), with "
            "one p and one d, all at least 1. Transpose or cut what does not fit"
        )
