"""The backend for which programs are traced: the one that JAX runs on, or another for which they are only compiled."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from types import TracebackType

import jax

__all__ = ["backend", "made_for", "no_device"]

_CHOSEN: ContextVar[str | None] = ContextVar("backend", default=None)


def backend() -> str:
    """Return the backend by which code chooses layouts and methods.

    Returns:
        cpu, gpu or tpu; outside of `made_for` the backend of JAX.

    Example:
        >>> with made_for("tpu"):
        ...     backend()
        'tpu'
    """
    return _CHOSEN.get() or jax.default_backend()


@contextlib.contextmanager
def made_for(name: str) -> Iterator[None]:
    """Trace programs for a backend that this machine need not have, inside a `with` block.

    Args:
        name: cpu, gpu or tpu.

    Example:
        >>> with made_for("gpu"):
        ...     backend()
        'gpu'
    """
    token = _CHOSEN.set(name)
    try:
        yield
    finally:
        _CHOSEN.reset(token)


def no_device(error: BaseException) -> str:
    """Return a sentence that says that JAX could not start its devices, since JAX may fail with a bare assertion.

    Args:
        error: an error that was raised.

    Returns:
        The sentence; empty if the error is another one.

    Example:
        >>> no_device(RuntimeError("something else"))
        ''
    """
    if not isinstance(error, AssertionError | RuntimeError) or not _from_devices(error.__traceback__):
        return ""
    asked = jax.config.jax_platforms  # pyright: ignore[reportAttributeAccessIssue]
    reason = f" ({str(error).splitlines()[0]})" if str(error) else ""
    if not asked:
        return f"JAX cannot start its devices{reason}; install a jaxlib for this machine"
    return (
        f"JAX_PLATFORMS is {asked!r}, and JAX finds no such device here{reason}; unset JAX_PLATFORMS to use the "
        "devices there are, or install JAX with support for that one (the extra cuda or tpu of modejax)"
    )


def _from_devices(traceback: TracebackType | None) -> bool:
    """Return whether an error was raised where JAX starts its devices."""
    while traceback is not None:
        code = traceback.tb_frame
        if code.f_globals.get("__name__") == "jax._src.xla_bridge" and code.f_code.co_name == "backends":
            return True
        traceback = traceback.tb_next
    return False
