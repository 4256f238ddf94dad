"""Trees of arrays as a flat dictionary with dotted names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from modejax.errors import InputError
from modejax.weights.arrays import Fact, Weights

__all__ = ["named_arrays", "tree_weights"]

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
        InputError: something in the tree is neither an array nor a container, two arrays have one name, or the tree
            is nested without an end.

    Example:
        >>> import numpy as np
        >>> list(named_arrays({"params": {"Dense_0": {"kernel": np.zeros((2, 3)), "bias": np.zeros(3)}}}))
        ['Dense_0.kernel', 'Dense_0.bias']
    """
    found: dict[str, Any] = {}
    try:
        for name, leaf in _leaves(tree, (), set()):
            if name in found:
                raise InputError(
                    f"two arrays have the name {name!r}; give the parameters and statistics of one network"
                )
            found[name] = leaf
    except RecursionError:
        raise InputError("the tree is nested without an end; give dictionaries, lists or modules of arrays") from None
    return found


def tree_weights(tree: Any, source: str = "the network") -> Weights:
    """Return the arrays of a network, with the information that the types of its modules give.

    Args:
        tree: see `named_arrays`.
        source: for messages.

    Returns:
        The arrays; those of a Flax NNX module with facts: a `LinearGeneral` is no convolution, a stack made by
        `nnx.vmap` no larger kernel, an embedding no map.

    Example:
        >>> from flax import nnx
        >>> found = tree_weights(nnx.LinearGeneral(8, (2, 3), rngs=nnx.Rngs(0)))
        >>> found.facts["kernel"].kind
        'heads'
    """
    from flax import nnx

    arrays = named_arrays(tree)
    facts: dict[str, Fact] = {}
    if isinstance(tree, nnx.Module):
        for path, module in nnx.iter_modules(tree):
            name = ".".join(map(str, path))
            for part, fact in _facts(module).items():
                facts[f"{name}.{part}" if name else part] = fact
    return Weights.of(arrays, source, {key: fact for key, fact in facts.items() if key in arrays})


def _facts(module: Any) -> dict[str, Fact]:
    """Return what the type of a module says of its arrays."""
    from flax import nnx

    kind, why = type(module).__name__, f"nnx.{type(module).__name__}"
    kernel = getattr(module, "kernel", None)
    if isinstance(module, nnx.Embed):
        return {"embedding": Fact("table", "", why="a table of embeddings (nnx.Embed)")}
    if not isinstance(kernel, nnx.Variable):
        return {}
    axes = kernel[...].ndim
    if isinstance(module, nnx.LinearGeneral):
        count = len(module.axis) if isinstance(module.axis, tuple) else 1
        if module.batch_axis:
            return {"kernel": Fact("other", "", why=f"{kind} with axes of a batch, several maps in one array")}
        inner = "heads" if count == 1 else "heads_out"
        if axes == 2:
            return {"kernel": Fact("linear", "flax", why=why)}
        return {"kernel": Fact(inner, "heads", inputs=count, why=why)}
    if isinstance(module, nnx.Einsum):
        return {"kernel": Fact("other", "", why="the kernel of nnx.Einsum, whose axes only its equation tells")}
    if isinstance(module, nnx.Linear):
        return {"kernel": Fact("linear" if axes == 2 else "stacked linear", "flax", why=why)}
    if isinstance(module, nnx.Conv):
        window = module.kernel_size if isinstance(module.kernel_size, tuple) else (module.kernel_size,)
        groups = module.feature_group_count
        if module.mask is not None:
            return {"kernel": Fact("other", "", why="a masked convolution, whose mask is not in its kernel")}
        shape = kernel[...].shape
        name = "depthwise" if groups > 1 and shape[-2] == 1 else "conv"
        return {"kernel": Fact(name if axes == len(window) + 2 else f"stacked {name}", "flax", groups, why=why)}
    if isinstance(module, nnx.ConvTranspose):
        turned = "keras_transposed" if module.transpose_kernel else "flax"
        return {"kernel": Fact("transposed", turned, why=why)}
    return {}


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
