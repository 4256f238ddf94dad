"""Checkpoints of a sweep: the states of all members and all measurements so far, written atomically.

A checkpoint is written by Orbax into a folder with a temporary name, gets a manifest with a digest of every array, and
is then renamed. The newest two are kept, so that one of them is complete at any moment; of a launch that is done, the
last one is kept.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from pathlib import Path
from typing import Any

import jax
import numpy as np

from modejax._versions import versions
from modejax.errors import InputError

__all__ = ["fingerprint", "newest", "restore", "save"]

_FORMAT = 2


def fingerprint(facts: Any) -> str:
    """Return a digest of everything that the numbers of a resumed run depend on: `facts`, this format and the versions.

    Only resuming checks it; arrays can be read from a checkpoint whatever its fingerprint.

    Args:
        facts: a JSON-compatible value.

    Returns:
        The SHA-256 digest in hexadecimal.
    """
    return hashlib.sha256(
        json.dumps([_FORMAT, versions("modejax", "jax", "jaxlib"), facts], sort_keys=True).encode()
    ).hexdigest()


def _digest(array: np.ndarray) -> str:
    head = f"{array.dtype.str}{array.shape}".encode()
    return hashlib.sha256(head + np.ascontiguousarray(array).tobytes()).hexdigest()


def _seal(epoch: int, mark: str, digests: dict[str, str]) -> str:
    """Return the digest of a manifest; it shows whether a field was altered."""
    return hashlib.sha256(json.dumps([epoch, mark, digests], sort_keys=True).encode()).hexdigest()


def _checkpointer() -> Any:
    """Return a checkpointer that runs in this process only, also if the run has other processes."""
    import orbax.checkpoint

    if jax.process_count() == 1:
        return orbax.checkpoint.StandardCheckpointer()
    here = jax.process_index()
    alone = orbax.checkpoint.options.MultiprocessingOptions(
        primary_host=here, active_processes={here}, barrier_sync_key_prefix=f"process-{here}"
    )
    return orbax.checkpoint.StandardCheckpointer(multiprocessing_options=alone)


def _named(tree: Any) -> dict[str, np.ndarray]:
    """Return the leaves by number, without empty arrays, which Orbax cannot store."""
    leaves = {f"{index:05d}": np.asarray(leaf) for index, leaf in enumerate(jax.tree.leaves(tree))}
    return {name: leaf for name, leaf in leaves.items() if leaf.size}


def save(folder: Path, epoch: int, tree: Any, mark: str, keep: int = 2) -> Path:
    """Write a checkpoint and remove older ones.

    Args:
        folder: the folder of checkpoints; made where it is missing.
        epoch: epochs done.
        tree: arrays in host memory.
        mark: the fingerprint of the run, see `fingerprint`.
        keep: number of newest checkpoints to keep, this one included.

    Returns:
        The folder of the checkpoint.

    Raises:
        InputError: if the checkpoint cannot be written; earlier checkpoints stay.
    """
    final, temporary = folder / f"epoch-{epoch:07d}", folder / ".unfinished"
    shutil.rmtree(temporary, ignore_errors=True)
    named = _named(tree)
    digests = {name: _digest(leaf) for name, leaf in named.items()}
    manifest = {"epoch": epoch, "fingerprint": mark, "digests": digests, "seal": _seal(epoch, mark, digests)}
    try:
        temporary.mkdir(parents=True)
        with _checkpointer() as checkpointer:
            checkpointer.save((temporary / "arrays").absolute(), named)
        (temporary / "manifest.json").write_text(json.dumps(manifest))
        shutil.rmtree(final, ignore_errors=True)
        temporary.replace(final)
    except (OSError, ValueError, RuntimeError) as error:  # tensorstore raises ValueError for a full disk
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


def _read_manifest(checkpoint: Path) -> tuple[int, str, dict[str, str]]:
    """Return epochs done, fingerprint and digests of the arrays; refuse a folder that `save` did not write."""
    try:
        manifest = json.loads((checkpoint / "manifest.json").read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"the checkpoint {checkpoint} is not readable ({str(error)[:200]})") from None
    if not isinstance(manifest, dict) or set(manifest) != {"epoch", "fingerprint", "digests", "seal"}:
        raise InputError(f"the checkpoint {checkpoint} is not readable (its manifest has other fields)")
    epoch, mark, digests = manifest["epoch"], manifest["fingerprint"], manifest["digests"]
    whole = isinstance(epoch, int) and not isinstance(epoch, bool) and epoch >= 0 and isinstance(mark, str)
    whole = whole and isinstance(digests, dict) and all(isinstance(each, str) for each in digests.values())
    if not whole or manifest["seal"] != _seal(epoch, mark, digests):
        raise InputError(f"the checkpoint {checkpoint} is damaged (its manifest does not match its own digest)")
    return epoch, mark, digests


def _read_arrays(checkpoint: Path) -> dict[str, Any]:
    try:
        with _checkpointer() as checkpointer:
            named = checkpointer.restore((checkpoint / "arrays").absolute())
        return {name: np.asarray(array) for name, array in named.items()}
    except MemoryError:
        raise
    except Exception as error:  # Orbax and tensorstore raise many types for damaged files.
        raise InputError(f"the checkpoint {checkpoint} is damaged ({type(error).__name__})") from None


def restore(checkpoint: Path, like: Any, mark: str | None) -> tuple[int, Any]:
    """Read one checkpoint and verify every array.

    Args:
        checkpoint: its folder.
        like: a tree of the structure, shapes and types that were saved: arrays or `jax.ShapeDtypeStruct`s.
        mark: the fingerprint of the run to resume; None to only read the arrays, without a check of the run, version
            and machine that wrote them.

    Returns:
        Epochs done, and the tree.

    Raises:
        InputError: if the checkpoint belongs to another config or version, or is truncated or altered.
    """
    epoch, written, digests = _read_manifest(checkpoint)
    if mark is not None and written != mark:
        raise InputError(
            f"the checkpoint {checkpoint} belongs to another config, data set, start or version of modejax or JAX; "
            "resume it with those, or start a new run"
        )
    named = _read_arrays(checkpoint)
    leaves, structure = jax.tree.flatten(like)
    found = []
    for index, leaf in enumerate(leaves):
        name = f"{index:05d}"
        if not math.prod(leaf.shape):
            found.append(np.zeros(leaf.shape, leaf.dtype))
            continue
        array = named.get(name)
        if array is None or digests.get(name) != _digest(array):
            raise InputError(f"the checkpoint {checkpoint} is damaged (array {name} does not match its digest)")
        if array.shape != leaf.shape or array.dtype != leaf.dtype:
            raise InputError(
                f"the checkpoint {checkpoint} holds other networks: array {name} is {array.dtype}{array.shape}, wanted "
                f"is {leaf.dtype}{leaf.shape}"
            )
        found.append(array)
    return epoch, jax.tree.unflatten(structure, found)


def newest(folder: Path, like: Any, mark: str | None) -> tuple[int, Any, list[str]]:
    """Read the newest complete checkpoint.

    Args:
        folder: the folder of checkpoints.
        like: a tree of the structure, shapes and types that were saved: arrays or `jax.ShapeDtypeStruct`s.
        mark: as for `restore`.

    Returns:
        The number of epochs done and the tree, or 0 and None if there is no checkpoint; and a message for every newer
        checkpoint that was refused.

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
