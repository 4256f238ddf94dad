"""Trees of arrays as a flat dictionary with dotted names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from modejax.errors import InputError

__all__ = ["named_arrays"]

_COLLECTIONS = ("params", "batch_stats")
"""Collections of Linen variables; they are left out of the names, so that a norm's arrays stand side by side."""


def named_arrays(tree: Any) -> dict[str, Any]:
    """Return the arrays of a network by name, in the order in which the network defines them.

    Args:
        tree: a Flax NNX module (in the order of its attributes) or state, Linen variables or parameters, or any nesting
            of dictionaries, lists and tuples of arrays. Random states are left out. Modules of `modejax.nnx` give their
            dense kernel and bias.

    Returns:
        Arrays by name, parts separated by dots, as `"layers.0.kernel"`.

    Raises:
        InputError: something in the tree is neither an array nor a container, or two arrays have one name.

    Example:
        >>> import numpy as np
        >>> list(named_arrays({"params": {"Dense_0": {"kernel": np.zeros((2, 3)), "bias": np.zeros(3)}}}))
        ['Dense_0.kernel', 'Dense_0.bias']
    """
    found: dict[str, Any] = {}
    for name, leaf in _leaves(tree, (), set()):
        if name in found:
            raise InputError(f"two arrays have the name {name!r}; give the parameters and statistics of one network")
        found[name] = leaf
    return found


def _leaves(tree: Any, path: tuple[str, ...], seen: set[int]) -> Iterator[tuple[str, Any]]:
    from flax import nnx

    if isinstance(tree, nnx.RngState | nnx.Rngs):
        return
    if isinstance(tree, nnx.Variable):
        tree = tree[...]
    if isinstance(tree, nnx.Module):
        if id(tree) in seen:  # shared modules count where they first stand
            return
        seen.add(id(tree))
        kernel = getattr(type(tree), "kernel", None)
        if callable(kernel):  # a mode or spectral layer stands for a kernel in Flax's layout
            yield from _leaves({"kernel": kernel(tree), "bias": getattr(tree, "bias", None)}, path, seen)
            return
        entries = [(key, value) for key, value in vars(tree).items() if _is_graph(value)]
    elif isinstance(tree, Mapping) or (hasattr(tree, "items") and not hasattr(tree, "shape")):
        entries = list(tree.items())
    elif hasattr(tree, "_asdict"):
        entries = list(tree._asdict().items())
    elif isinstance(tree, list | tuple):
        entries = list(enumerate(tree))
    elif tree is None:
        return
    elif hasattr(tree, "shape") and hasattr(tree, "dtype"):
        yield ".".join(path), tree
        return
    else:
        raise InputError(
            f"{'.'.join(path) or 'the network'} is a {type(tree).__name__}; allowed: arrays, dictionaries, lists, "
            "tuples and Flax modules"
        )
    for key, value in entries:
        name = str(key)
        inner = path if not path and name in _COLLECTIONS else (*path, name)
        yield from _leaves(value, inner, seen)


def _is_graph(value: Any) -> bool:
    """Return whether an attribute of a module can hold arrays of the network."""
    from flax import nnx

    if isinstance(value, list | tuple | dict):
        return any(_is_graph(each) for each in (value.values() if isinstance(value, dict) else value))
    return isinstance(value, nnx.Variable | nnx.Module | nnx.State)
