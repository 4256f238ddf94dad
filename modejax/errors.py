"""The one error a user can cause: an input that is not allowed."""

from collections.abc import Iterable

__all__ = ["InputError", "choices"]


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
