"""Checkpoints of a sweep: the states of all members and what was measured so far, whole or not there.

A checkpoint is written by Orbax into a folder with a temporary name, gets a manifest with a digest of every array, and
then takes its name. The newest two are kept, so that one of them is whole at any moment, and the last one of a launch
that is done.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import math
import shutil
from pathlib import Path
from typing import Any

import jax
import numpy as np

from modejax.errors import InputError

__all__ = ["fingerprint", "newest", "restore", "save"]

_FORMAT = 1


def fingerprint(facts: Any) -> str:
    """Return a digest of all that a checkpoint must agree with: the given facts, this format and the versions.

    Args:
        facts: a JSON-compatible value.

    Returns:
        The SHA-256 digest in hexadecimal.
    """
    versions = {name: importlib.metadata.version(name) for name in ("modejax", "jax", "jaxlib")}
    return hashlib.sha256(json.dumps([_FORMAT, versions, facts], sort_keys=True).encode()).hexdigest()


def _digest(array: np.ndarray) -> str:
    head = f"{array.dtype.str}{array.shape}".encode()
    return hashlib.sha256(head + np.ascontiguousarray(array).tobytes()).hexdigest()


def _checkpointer() -> Any:
    """Return a checkpointer that works in this process alone, whatever other processes the run has."""
    import orbax.checkpoint

    if jax.process_count() == 1:
        return orbax.checkpoint.StandardCheckpointer()
    here = jax.process_index()
    alone = orbax.checkpoint.options.MultiprocessingOptions(
        primary_host=here, active_processes={here}, barrier_sync_key_prefix=f"process-{here}"
    )
    return orbax.checkpoint.StandardCheckpointer(multiprocessing_options=alone)


def _named(tree: Any) -> dict[str, np.ndarray]:
    """Number the leaves; Orbax cannot hold arrays without entries, and they carry nothing."""
    leaves = {f"{index:05d}": np.asarray(leaf) for index, leaf in enumerate(jax.tree.leaves(tree))}
    return {name: leaf for name, leaf in leaves.items() if leaf.size}


def save(folder: Path, epoch: int, tree: Any, mark: str, keep: int = 2) -> Path:
    """Write a checkpoint and remove older ones.

    Args:
        folder: the folder of checkpoints; made where it is missing.
        epoch: epochs done.
        tree: arrays in host memory.
        mark: the fingerprint of the run.
        keep: newest checkpoints to keep, this one included.

    Returns:
        The folder of the checkpoint.

    Raises:
        InputError: if it cannot be written; earlier checkpoints stay.
    """
    final, temporary = folder / f"epoch-{epoch:07d}", folder / ".unfinished"
    shutil.rmtree(temporary, ignore_errors=True)
    named = _named(tree)
    manifest = {"epoch": epoch, "fingerprint": mark, "digests": {name: _digest(leaf) for name, leaf in named.items()}}
    try:
        temporary.mkdir(parents=True)
        with _checkpointer() as checkpointer:
            checkpointer.save((temporary / "arrays").absolute(), named)
        (temporary / "manifest.json").write_text(json.dumps(manifest))
        shutil.rmtree(final, ignore_errors=True)
        temporary.replace(final)
    except (OSError, ValueError, RuntimeError) as error:  # tensorstore says ValueError for a full disk
        shutil.rmtree(temporary, ignore_errors=True)
        reason = "no space left on the device" if "space left" in str(error) else str(error).splitlines()[0][:200]
        raise InputError(
            f"the checkpoint {final} cannot be written ({reason}); earlier ones are whole: make room and resume the run"
        ) from None
    for old in _finished(folder)[:-keep]:
        shutil.rmtree(old, ignore_errors=True)
    return final


def _finished(folder: Path) -> list[Path]:
    return sorted(folder.glob("epoch-*")) if folder.is_dir() else []


def restore(checkpoint: Path, like: Any, mark: str) -> tuple[int, Any]:
    """Read one checkpoint and verify every array.

    Args:
        checkpoint: its folder.
        like: a tree of the structure, shapes and types that were saved: arrays or `jax.ShapeDtypeStruct`s.
        mark: the fingerprint of the run that wants it.

    Returns:
        Epochs done, and the tree.

    Raises:
        InputError: if it belongs to another config or version, or is truncated or altered.
    """
    try:
        manifest = json.loads((checkpoint / "manifest.json").read_text())
        epoch, digests, written = int(manifest["epoch"]), manifest["digests"], manifest["fingerprint"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"the checkpoint {checkpoint} is not readable ({error})") from None
    if written != mark:
        raise InputError(
            f"the checkpoint {checkpoint} belongs to another config, data set, start or version of modejax or JAX; "
            "resume it with those, or start a new run"
        )
    try:
        with _checkpointer() as checkpointer:
            named = checkpointer.restore((checkpoint / "arrays").absolute())
    except Exception as error:  # Orbax and tensorstore raise many types for damaged files.
        raise InputError(f"the checkpoint {checkpoint} is damaged ({type(error).__name__})") from None
    leaves, structure = jax.tree.flatten(like)
    found = []
    for index, leaf in enumerate(leaves):
        name = f"{index:05d}"
        if not math.prod(leaf.shape):
            found.append(np.zeros(leaf.shape, leaf.dtype))
            continue
        array = np.asarray(named[name]) if name in named else None
        if array is None or digests.get(name) != _digest(array) or array.shape != leaf.shape:
            raise InputError(f"the checkpoint {checkpoint} is damaged (array {name} does not match its digest)")
        found.append(array)
    return epoch, jax.tree.unflatten(structure, found)


def newest(folder: Path, like: Any, mark: str) -> tuple[int, Any, list[str]]:
    """Read the newest checkpoint that is whole.

    Args:
        folder: the folder of checkpoints.
        like: a tree of the structure, shapes and types that were saved: arrays or `jax.ShapeDtypeStruct`s.
        mark: the fingerprint of the run that wants it.

    Returns:
        Epochs done (0 where there is no checkpoint), the tree (None then), and a message for every newer checkpoint
        that was refused.

    Raises:
        InputError: if there are checkpoints but none of them can be used.
    """
    refused: list[str] = []
    for checkpoint in reversed(_finished(folder)):
        try:
            epoch, tree = restore(checkpoint, like, mark)
        except InputError as error:
            refused.append(str(error))
        else:
            return epoch, tree, refused
    if refused:
        raise InputError("no checkpoint can be used: " + "; ".join(refused))
    return 0, None, []
