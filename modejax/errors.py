"""The error for inputs that are not allowed, the only one that users should see."""

from collections.abc import Iterable

__all__ = ["InputError", "NeedsExtra", "choices"]


class InputError(ValueError):
    """An input that is not allowed.

    The message says what was given, what is allowed and what to do. The command line prints it without a
    traceback and ends with exit code 2.
    """


def choices(names: Iterable[str]) -> str:
    """Return the allowed names as one readable list.

    Args:
        names: the allowed names, in any order.

    Returns:
        The names in alphabetical order, separated by commas.

    Example:
        >>> choices(["mnist", "digits"])
        'digits, mnist'
    """
    return ", ".join(sorted(names))


class NeedsExtra:
    """A context for imports of packages that only an extra of modejax installs.

    If a package is missing, the block raises an `InputError` that says what to install.

    Args:
        extra: the name of the extra.

    Example:
        >>> with NeedsExtra("online"):
        ...     import no_such_package
        Traceback (most recent call last):
        modejax.errors.InputError: the package no_such_package is not installed; install it with: ...
    """

    def __init__(self, extra: str) -> None:
        self.extra = extra

    def __enter__(self) -> None:
        """Begin the block."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        """End the block; a missing package becomes an `InputError`."""
        if isinstance(error, ModuleNotFoundError):
            raise InputError(
                f"the package {error.name} is not installed; install it with: pip install 'modejax[{self.extra}]'"
            ) from error
