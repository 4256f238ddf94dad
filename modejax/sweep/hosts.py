"""Operations that involve all processes of a run: placing arrays, collecting arrays, and agreeing on flags.

With one process they cost nothing. Members do not depend on each other, so these are the only communication of a run;
the compiled step has none.
"""

from __future__ import annotations

from typing import Any, TypeVar

import jax
import numpy as np
from jax.sharding import NamedSharding

from modejax.errors import InputError

__all__ = ["any_process", "collect", "connect", "from_lead", "is_lead", "place"]

Tree = TypeVar("Tree")


def connect(coordinator: str, processes: int | None, process: int | None) -> None:
    """Connect the processes of a run; to be called before any other function of JAX.

    Args:
        coordinator: address and port of the first process, or `auto` if the launcher provides them (SLURM, Open MPI,
            TPU pods).
        processes: the number of processes; None to get it from the launcher.
        process: the index of this process, from 0; None to get it from the launcher.

    Raises:
        InputError: if the processes cannot connect to each other.
    """
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    try:
        jax.distributed.initialize(
            None if coordinator == "auto" else coordinator,
            processes,
            process,
            initialization_timeout=120,
            heartbeat_timeout_seconds=30,
        )
    except (RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"the processes of this run do not find each other at {coordinator} ({reason}); "
            "give all of them the same --coordinator HOST:PORT and --processes, and each its own --process"
        ) from None


def is_lead() -> bool:
    """Return whether this is the process that writes and prints."""
    return jax.process_index() == 0


def place(tree: Tree, sharding: NamedSharding) -> Tree:
    """Put arrays on the devices; every process must have the complete arrays.

    Args:
        tree: tree of arrays in host memory.
        sharding: their sharding over the devices of all processes.

    Returns:
        The same tree of arrays on the devices; each process keeps only the parts on its own devices.
    """
    if jax.process_count() == 1:
        return jax.device_put(tree, sharding)

    def put(leaf: Any) -> jax.Array:
        array = np.asarray(leaf)
        return jax.make_array_from_callback(array.shape, sharding, lambda index: array[index])

    return jax.tree.map(put, tree)


def collect(tree: Tree) -> Tree:
    """Bring arrays from all devices to every process, as NumPy arrays.

    Args:
        tree: arrays on the devices.

    Returns:
        The same tree on the host.
    """
    if jax.process_count() == 1:
        return jax.tree.map(np.asarray, tree)
    from jax.experimental import multihost_utils

    def whole(leaf: jax.Array) -> np.ndarray:
        if not leaf.size:  # Gloo cannot exchange empty arrays
            return np.zeros(leaf.shape, leaf.dtype)
        return np.asarray(multihost_utils.process_allgather(leaf, tiled=True))

    # One leaf at a time, since every device holds the complete leaf for a moment.
    return jax.tree.map(whole, tree)


def any_process(flag: bool) -> bool:
    """Return whether the flag is set in any process."""
    if jax.process_count() == 1:
        return flag
    from jax.experimental import multihost_utils

    return bool(multihost_utils.process_allgather(np.array(flag)).any())


def from_lead(tree: Tree) -> Tree:
    """Return the arrays of the lead process in every process; the others pass arrays of the same shapes."""
    if jax.process_count() == 1:
        return tree
    from jax.experimental import multihost_utils

    def shared(leaf: np.ndarray) -> np.ndarray:
        return np.asarray(multihost_utils.broadcast_one_to_all(leaf)) if leaf.size else leaf

    return jax.tree.map(shared, tree)
