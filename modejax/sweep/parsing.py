"""Values that users give, converted to a canonical form or refused."""

from __future__ import annotations

import math
import operator
import os
import re
from collections.abc import Iterable
from typing import Any

from modejax.errors import InputError, choices

__all__ = [
    "SEEDS",
    "a_flag",
    "a_path",
    "an_integer",
    "are_given",
    "integers",
    "listed",
    "numbers",
    "one_of",
    "parse_bytes",
    "parse_options",
    "parse_value",
    "percentages",
]

SEEDS = 2**64
"""Seeds are integers from 0 to below this number."""

_UNITS = {"": 2**30, "mb": 10**6, "gb": 10**9, "tb": 10**12, "mib": 2**20, "gib": 2**30, "tib": 2**40}


def parse_options(pairs: tuple[str, ...], what: str = "layer") -> dict[str, bool | int | float | str]:
    """Read options written as name=value.

    Args:
        pairs: the options, for example `("gauge=scaled",)`; true and false, integers and numbers are converted.
        what: the owner of the options, for the error message.

    Returns:
        The options by name.

    Raises:
        InputError: if an option is not of the form name=value or is given twice.

    Example:
        >>> parse_options(("gauge=scaled", "sparsity=0.5", "bias=true"))
        {'gauge': 'scaled', 'sparsity': 0.5, 'bias': True}
    """
    options: dict[str, bool | int | float | str] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not (name and equals and text):
            article = "an" if what[0] in "aeiou" else "a"
            raise InputError(f"{article} {what} option is written name=value, for example gauge=scaled; got {pair!r}")
        if name in options:
            raise InputError(f"the {what} option {name!r} is given twice")
        options[name] = parse_value(text)
    return options


def parse_value(text: str) -> bool | int | float | str:
    """Read true, false, an integer or a number; anything else stays text.

    Example:
        >>> parse_value("3"), parse_value("1e-3"), parse_value("true"), parse_value("svd")
        (3, 0.001, True, 'svd')
    """
    if text in ("true", "false"):
        return text == "true"
    for read in (int, float):
        try:
            return read(text)
        except ValueError:
            continue
    return text


def parse_bytes(amount: float | str) -> int:
    """Read an amount of memory.

    Args:
        amount: a number of GiB, or a number with one of the units MB, GB, TB (powers of 1000), MiB, GiB, TiB (of 1024).

    Returns:
        Bytes, 0 or more.

    Raises:
        InputError: if `amount` cannot be read.

    Example:
        >>> parse_bytes("2GB"), parse_bytes(0.5)
        (2000000000, 536870912)
    """
    found = re.fullmatch(r"\s*([0-9]*\.?[0-9]+(?:e[+-]?[0-9]+)?)\s*([a-z]*)\s*", str(amount).lower())
    if found is None or found[2] not in _UNITS:
        raise InputError(
            f"memory_limit must be 0 or more GiB, or an amount with a unit of MB, GB, TB, MiB, GiB or TiB such as 2GB; "
            f"got {amount!r}"
        )
    return int(float(found[1]) * _UNITS[found[2]])


def one_of(name: str, value: Any, allowed: Iterable[str]) -> None:
    """Refuse a name that is not one of the allowed ones."""
    if value not in tuple(allowed):
        raise InputError(f"unknown {name} {value!r}; allowed: {choices(allowed)}")


def a_flag(name: str, value: Any) -> bool:
    """Return True or False; NumPy's booleans are accepted."""
    if not isinstance(value, bool) and type(value).__name__ not in ("bool", "bool_"):
        raise InputError(f"{name} must be true or false, got {value!r}")
    return bool(value)


def a_path(name: str, value: Any) -> str:
    """Return a name or a path as text."""
    try:
        text = os.fspath(value)
    except TypeError:
        text = b""
    if not isinstance(text, str):
        raise InputError(f"{name} must be a name or a path, got {value!r}")
    return text


def are_given(values: Any) -> bool:
    """Return whether a list, an array or a text has any entries; any other value counts as given."""
    return bool(len(values)) if hasattr(values, "__len__") else values is not None


def an_integer(name: str, value: Any, least: int = 1, below: int = 2**31) -> int:
    """Return an integer from `least` to below `below`; NumPy's integers are accepted."""
    try:
        number = operator.index(value)
    except TypeError:
        number = least - 1
    if isinstance(value, bool) or not least <= number < below:
        most = f" and below {below}" if below < 2**31 or number >= below else ""
        raise InputError(f"{name} must be an integer of at least {least}{most}, got {value!r}")
    return number


def listed(name: str, values: Any, what: str) -> tuple[Any, ...]:
    """Return the entries of a list; a text is refused, although it can be iterated over."""
    if isinstance(values, str | bytes):
        raise InputError(f"{name} must be a list of {what}, got the text {values!r}; write ({values},)")
    try:
        found = tuple(values)
    except TypeError:
        raise InputError(f"{name} must be a list of {what}, got {values!r}; write ({values!r},)") from None
    return found


def _different(name: str, values: tuple[Any, ...]) -> tuple[Any, ...]:
    if len(set(values)) < len(values):
        raise InputError(f"{name} names a value twice: {list(values)}")
    return values


def integers(name: str, values: Any, least: int = 1) -> tuple[int, ...]:
    """Return one or more integers of at least `least`; refuse duplicates."""
    found = listed(name, values, f"integers of at least {least}")
    if not found:
        raise InputError(f"{name} is empty; give at least one integer of at least {least}")
    return _different(name, tuple(an_integer(name, value, least) for value in found))


def percentages(name: str, values: Any) -> tuple[float, ...]:
    """Return percentages from 0 to below 100; refuse duplicates."""
    found = numbers(name, values, positive=False, some=False)
    for value in found:
        if not 0 <= value < 100:
            raise InputError(f"{name} must be percentages from 0 to below 100, got {value!r}")
    return found


def numbers(name: str, values: Any, *, positive: bool, some: bool = True, signed: bool = False) -> tuple[float, ...]:
    """Return finite numbers, positive, non-negative or of either sign; refuse duplicates."""
    allowed = "of either sign" if signed else "greater than 0" if positive else "0 or more"
    entries = listed(name, values, f"numbers {allowed}")
    try:
        found = tuple(float(value) for value in entries)
    except (TypeError, ValueError):
        raise InputError(f"{name} must be numbers {allowed}, got {values!r}") from None
    if some and not found:
        raise InputError(f"{name} is empty; give at least one number {allowed}")
    for value in found:
        if not math.isfinite(value) or (not signed and (value < 0 or (positive and value == 0))):
            raise InputError(f"{name} must be finite numbers {allowed}, got {value!r}")
    return _different(name, found)
