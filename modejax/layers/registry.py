"""Families by name: import of the class, check of the options, and construction."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Mapping, Sequence
from typing import Any

from modejax.errors import InputError, choices
from modejax.layers.base import Family
from modejax.names import LAYERS

__all__ = ["family_options", "family_type", "make_family"]


def make_family(name: str, options: Mapping[str, Any] | None = None, *, window: Sequence[int] | None = None) -> Family:
    """Make a family of `modejax.names.LAYERS` from its name and options.

    Args:
        name: name of the family.
        options: its options by name; None for none.
        window: the size of the kernel along each spatial dimension, for the convolution of that name; None for a map of
            vectors.

    Returns:
        The family.

    Raises:
        InputError: if the name or an option is unknown, a value is not allowed, or there is no convolution of the name.

    Example:
        >>> make_family("mode", {"gauge": "scaled"}), make_family("mode", window=(3, 3)).window
        (Mode(gauge='scaled'), (3, 3))
    """
    kind = family_type(name, convolution=window is not None)
    options = dict(options or {})
    allowed = family_options(kind)
    for given in options:
        if given not in allowed:
            raise InputError(f"unknown option {given!r} of the layer {name}; allowed: {choices(allowed) or 'none'}")
    return kind(**options) if window is None else kind(window, **options)  # pyright: ignore[reportCallIssue]


def family_type(name: str, *, convolution: bool = False) -> type[Family]:
    """Import the class of a family by its name.

    Args:
        name: name of the family.
        convolution: whether to return the class of the convolution.

    Returns:
        The class.

    Raises:
        InputError: if the name is unknown, or the family has no convolution.

    Example:
        >>> family_type("svd").takes_modes
        'optional'
    """
    if name not in LAYERS:
        raise InputError(f"unknown layer {name!r}; allowed: {choices(LAYERS)}")
    target = LAYERS[name].convolution if convolution else LAYERS[name].family
    if target is None:
        having = choices(each for each, found in LAYERS.items() if found.convolution is not None)
        raise InputError(f"the layer {name} has no convolution; allowed: {having}")
    module, _, attribute = target.partition(":")
    return getattr(importlib.import_module(module), attribute)


_OF_NETWORKS = ("window", "to_outputs")


def family_options(kind: type[Family]) -> tuple[str, ...]:
    """Return the names of the options of a family's class, without those that networks set.

    Example:
        >>> family_options(family_type("svd"))
        ('orthogonality', 'sparsity')
    """
    return tuple(field.name for field in dataclasses.fields(kind) if field.init and field.name not in _OF_NETWORKS)
