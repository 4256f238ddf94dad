"""Folders of Orbax checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from modejax.errors import InputError
from modejax.weights.arrays import Weights
from modejax.weights.trees import named_arrays

__all__ = ["read_orbax"]


def read_orbax(path: Path) -> Weights:
    """Open the folder of an Orbax checkpoint.

    Args:
        path: the folder.

    Returns:
        The arrays by name.

    Raises:
        InputError: it is no such folder.
    """
    import orbax.checkpoint as ocp

    folder = path / "default" if (path / "default").is_dir() else path
    try:
        with ocp.StandardCheckpointer() as reader:
            found = reader.metadata(folder.absolute()).item_metadata
            if found is None:
                raise ValueError("no metadata")
            tree = reader.restore(folder.absolute(), _abstract(found.tree))
    except Exception as error:  # damaged folders raise what the storage below raises
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        inner = sorted(each.name for each in path.iterdir() if each.is_dir() and not each.name.startswith("."))
        files = sorted(each.name for each in path.iterdir() if each.suffix in (".safetensors", ".npz", ".pt", ".bin"))
        hint = f"; did you mean one of {', '.join([*files, *inner][:5])} in it?" if inner or files else ""
        raise InputError(f"{path} is not the folder of an Orbax checkpoint ({first}){hint}") from None
    arrays = named_arrays(tree)
    # The state of an NNX module has one dictionary a variable.
    short = {name: name.removesuffix(".value") for name in arrays}
    if len(set(short.values())) == len(arrays):
        arrays = {short[name]: each for name, each in arrays.items()}
    return Weights.of(arrays, str(path))


def _abstract(tree: Any) -> Any:
    """Return shapes and types to restore into, on the device at hand whatever machine wrote the checkpoint."""
    import jax

    here = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])

    def each(leaf: Any) -> Any:
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=here) if hasattr(leaf, "shape") else leaf

    return jax.tree.map(each, tree)
