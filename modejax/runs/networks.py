"""The trained networks of a run: in memory, or in a run folder as named arrays, without any program."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import jax
import numpy as np

from modejax.data import Dataset
from modejax.errors import InputError
from modejax.runs.reader import read_json, read_marker
from modejax.sweep.arm import Arm
from modejax.sweep.plan import Plan
from modejax.sweep.program import precision_scope
from modejax.sweep.spec import Custom, network_spec
from modejax.sweep.trained import Trained, trained_networks
from modejax.training import TrainState

__all__ = ["InMemory", "NetworkWriter", "Networks", "Stored", "matches"]

_FORMAT = 1
MEMBERS = "members.json"


class Networks(Protocol):
    """Protocol of a source of trained networks."""

    def read(self, arm: str, wanted: Mapping[str, Any]) -> Iterator[Trained]:
        """Yield the networks of an arm whose axes have the wanted values, in the order of the grid."""
        ...


def matches(at: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Return whether a member is among the wanted ones.

    Args:
        at: the value of the member on each axis, by the name of the axis.
        wanted: for some axes, by name, a value or a list of values.

    Returns:
        Whether all these axes agree; numbers are compared to within rounding.

    Raises:
        InputError: if there is no such axis.

    Example:
        >>> matches({"width": 16, "seed": 1}, {"width": [16, 32]})
        True
    """
    for name, value in wanted.items():
        if name not in at:
            raise InputError(f"networks have no axis {name!r}; allowed: {', '.join(at)}")
        values, own = np.atleast_1d(np.asarray(value)).tolist(), at[name]
        # Integers are compared as integers: seeds have more digits than a float.
        whole = isinstance(own, int)
        if not any(each == own if whole else math.isclose(each, own, rel_tol=1e-9) for each in values):
            return False
    return True


def _facts(trained: Trained, dataset: Mapping[str, Any]) -> Trained:
    return dataclasses.replace(trained, scale=dataset["scale"], targets=dataset["targets"])


def data_facts(dataset: Dataset) -> dict[str, Any]:
    """Return the facts of a data set that its networks need: sizes, scale and the kind of the targets."""
    return {
        "name": dataset.name,
        "hash": dataset.content_hash,
        "features": dataset.num_features,
        "outputs": dataset.num_outputs,
        "image_shape": None if dataset.image_shape is None else list(dataset.image_shape),
        "scale": dataset.scale,
        "targets": dataset.targets,
    }


class InMemory:
    """The networks of a run that was not written to a folder."""

    def __init__(self, plan: Plan, states: list[TrainState], dataset: Dataset) -> None:
        self._plan, self._states, self._data = plan, states, data_facts(dataset)

    def read(self, arm: str, wanted: Mapping[str, Any]) -> Iterator[Trained]:
        """Yield the networks of an arm whose axes have the wanted values, in the order of the grid."""
        names = [each.name for each in self._plan.arms]
        for trained in trained_networks(self._plan, self._states, names.index(arm)):
            if matches(trained.at, wanted):
                yield _facts(trained, self._data)


def _leaves(params: Any) -> dict[str, np.ndarray]:
    """Return the arrays of a tree by their path, such as [0].sigma; empty arrays are left out."""
    pairs = jax.tree_util.tree_leaves_with_path(params)
    named = {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in pairs}
    return {name: leaf for name, leaf in named.items() if leaf.size}


def _digest(named: Mapping[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name in sorted(named):
        leaf = named[name]
        digest.update(f"{name} {leaf.dtype.str} {leaf.shape};".encode())
        digest.update(np.ascontiguousarray(leaf).tobytes())
    return digest.hexdigest()


class NetworkWriter:
    """Writer for the networks of each launch when it is done: one file of arrays per launch, and one list of members.

    Args:
        folder: the folder to write in.
        plan: the plan that runs.
        dataset: its data.
    """

    def __init__(self, folder: Path, plan: Plan, dataset: Dataset) -> None:
        self._folder, self._plan = folder, plan
        self._members: dict[str, list[dict[str, Any] | None]] = {
            arm.name: [None] * len(arm.members) for arm in plan.arms
        }
        self._data = data_facts(dataset)
        self.files: list[str] = []

    def launch(self, launch: int, states: list[TrainState]) -> None:
        """Write the networks of a launch.

        Args:
            launch: the index of the launch, from 0.
            states: the states of the launch, on the host.

        Raises:
            InputError: if the file cannot be written.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import save_file

        name = "networks.safetensors" if self._plan.launches == 1 else f"networks-{launch + 1:03d}.safetensors"
        arrays: dict[str, np.ndarray] = {}
        for number, arm in enumerate(self._plan.arms):
            order = _order(self._plan, number, launch)
            networks = trained_networks(self._plan, states, number, launch)
            for member, trained in zip(order, networks, strict=True):
                named = _leaves(trained.params)
                arrays |= {f"{arm.name}/{member}/{key}": np.ascontiguousarray(leaf) for key, leaf in named.items()}
                self._members[arm.name][member] = {
                    "at": dict(trained.at),
                    "status": trained.status,
                    "file": name,
                    "sha256": _digest(named),
                }
        try:
            save_file(arrays, self._folder / name)
        except (OSError, SafetensorError) as error:
            raise InputError(
                f"{self._folder / name} could not be written ({error}); make room and resume the run"
            ) from None
        self.files.append(name)

    def finish(self) -> list[str]:
        """Write the list of members and return the names of all files."""
        arms = {
            arm.name: {"arm": dataclasses.asdict(arm.arm), "members": self._members[arm.name]}
            for arm in self._plan.arms
        }
        text = json.dumps(
            {"format": _FORMAT, "precision": self._plan.config.precision, "data": self._data, "arms": arms}
        )
        (self._folder / MEMBERS).write_text(text)
        return [MEMBERS, *self.files]


def _order(plan: Plan, arm: int, launch: int) -> list[int]:
    """Return the members of an arm that run in a launch, in the order of the grid."""
    pairs = zip(plan.buckets, plan.share(launch), strict=True)
    return sorted(int(m) for bucket, share in pairs if bucket.arm == arm for m in share)


class Stored:
    """The networks in a finished run folder.

    Args:
        folder: the folder.
        custom: the custom network and layer with which the run was made, if any.

    Raises:
        InputError: if the list of members cannot be used.
    """

    def __init__(self, folder: Path, custom: Custom) -> None:
        self._folder, self._custom = folder, custom
        self._marker = read_marker(folder, "sweep")
        found = read_json(folder, MEMBERS, marker=self._marker)
        if found.get("format") != _FORMAT:
            raise InputError(
                f"{folder / MEMBERS} has the format {found.get('format')!r}, this version reads {_FORMAT}; read it "
                "with the version of modejax that wrote it"
            )
        self._found = found

    def read(self, arm: str, wanted: Mapping[str, Any]) -> Iterator[Trained]:
        """Yield the networks of an arm whose axes have the wanted values, in the order of the grid."""
        data, stored = self._found["data"], self._found["arms"][arm]
        fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in stored["arm"].items()}
        shape = None if data["image_shape"] is None else tuple(data["image_shape"])
        precision = self._found["precision"]
        planned = Arm(**fields)
        spec = network_spec(planned, precision, data["features"], data["outputs"], shape, self._custom)
        seeds = tuple(sorted({each["at"]["seed"] for each in stored["members"]}))
        asked = [axis.name for axis, _ in planned.grid_axes(seeds) if axis.network]
        for member, each in enumerate(stored["members"]):
            at = each["at"]
            if not matches(at, wanted):
                continue
            network = spec.build(at["width"], at["modes"], **{name: at[name] for name in asked})
            with precision_scope(precision):
                shapes = jax.eval_shape(network.init, jax.random.key(0))
            params = self._params(f"{arm}/{member}/", each, shapes)
            yield _facts(Trained(arm, at, network, params, 1.0, "classes", precision, each["status"]), data)

    def _params(self, prefix: str, member: Mapping[str, Any], shapes: Any) -> Any:
        from safetensors import SafetensorError, safe_open

        path = self._folder / member["file"]
        wanted = {jax.tree_util.keystr(p): s for p, s in jax.tree_util.tree_leaves_with_path(shapes)}
        named = {}
        try:
            with safe_open(path, framework="np") as file:
                for name, shape in wanted.items():
                    if shape.size:
                        named[name] = file.get_tensor(prefix + name)
        except (OSError, SafetensorError) as error:
            raise InputError(
                f"{path} does not hold the networks of its run ({error}); restore it from a copy, or give the network "
                "or layer with which the run was made"
            ) from None
        if _digest(named) != member["sha256"]:
            raise InputError(f"{path} is damaged: a network does not match its checksum; restore it from a copy")
        leaves = [named[name] if shape.size else np.zeros(shape.shape, shape.dtype) for name, shape in wanted.items()]
        return jax.tree.unflatten(jax.tree.structure(shapes), leaves)
