"""Compiled programs kept on disk, so that the same sweep starts at once the next time."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import jax

from modejax.errors import InputError

__all__ = ["SWITCH", "programs_folder", "use_compile_cache"]

SWITCH = "MODEJAX_COMPILE_CACHE"
"""Environment variable; the value `off` keeps compiled programs off the disk."""

_SETTINGS = {
    "jax_persistent_cache_min_entry_size_bytes": -1,
    "jax_persistent_cache_min_compile_time_secs": 0.5,
}


@contextlib.contextmanager
def use_compile_cache(wanted: bool = True) -> Iterator[Path | None]:
    """Let JAX store compiled programs in the user's cache folder and load them from there, inside a `with` block.

    Nothing is changed if the user has set a cache folder of JAX (`jax_compilation_cache_dir` or
    `JAX_COMPILATION_CACHE_DIR`) or switched JAX's cache off, if the environment variable `MODEJAX_COMPILE_CACHE` is
    off, or if the folder cannot be written. The settings of JAX are restored afterwards.

    Args:
        wanted: whether to use the cache; False changes nothing.

    Yields:
        The folder; None if nothing was changed.

    Raises:
        InputError: if the environment variable is neither on nor off.

    Example:
        >>> with use_compile_cache(False) as folder:
        ...     print(folder)
        None
    """
    switch = os.environ.get(SWITCH, "on").lower()
    if switch not in ("on", "off"):
        raise InputError(f"the environment variable {SWITCH} is {switch!r}; allowed: on, off")
    here = {name: getattr(jax.config, name) for name in ("jax_compilation_cache_dir", "jax_enable_compilation_cache")}
    of_user = here["jax_compilation_cache_dir"] is not None or not here["jax_enable_compilation_cache"]
    folder = _folder() if wanted and switch == "on" and not of_user else None
    if folder is None:
        yield None
        return
    from jax.experimental.compilation_cache import compilation_cache

    before = {name: getattr(jax.config, name) for name in _SETTINGS}
    try:
        for name, value in _SETTINGS.items():
            jax.config.update(name, value)
        jax.config.update("jax_compilation_cache_dir", str(folder))
        # JAX checks only once whether there is a cache, at the first compilation of a process.
        compilation_cache.reset_cache()
        yield folder
    finally:
        jax.config.update("jax_compilation_cache_dir", None)
        for name, value in before.items():
            jax.config.update(name, value)
        compilation_cache.reset_cache()


def programs_folder() -> Path:
    """Return the path of the user's folder of compiled programs; the folder need not exist."""
    import platformdirs

    return Path(platformdirs.user_cache_dir("modejax", appauthor=False)) / "xla"


def _folder() -> Path | None:
    """Make the folder if it is missing and return it; None if it cannot be written."""
    folder = programs_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return folder if os.access(folder, os.W_OK) else None
