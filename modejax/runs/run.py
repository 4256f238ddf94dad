"""A run: the config, the results and the trained networks of a sweep, from memory or from a folder."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from modejax.errors import InputError, choices
from modejax.runs.networks import Networks, Stored
from modejax.runs.reader import check_config, read_json, read_marker, read_netcdf
from modejax.sweep.config import SweepConfig
from modejax.sweep.select import best_cells, final_scores

if TYPE_CHECKING:
    import pandas
    import xarray

    from modejax.layers import Family
    from modejax.sweep.trained import Trained

__all__ = ["Run", "combine", "member_table", "open_run"]

GUARDS_NOTHING = ("devices", "memory_limit", "data_dir", "launches")
"""Fields of a config that do not change what a run measures."""


class Run:
    """A finished run.

    Attributes:
        config: the config of the sweep.
        result: the measurements: a tree of labelled arrays with a node for each arm (see `modejax.sweep.label`).
        folder: the run folder; None for a run in memory.
    """

    def __init__(
        self, config: SweepConfig, result: xarray.DataTree, networks: Sequence[Networks], folder: Path | None = None
    ) -> None:
        self.config = config
        self.result = result
        self.folder = folder
        self._networks = tuple(networks)

    @property
    def arms(self) -> tuple[str, ...]:
        """The names of the arms, the first one first; the dense baseline is called baseline."""
        return tuple(self.result.children)

    def __getitem__(self, arm: str) -> xarray.Dataset:
        if arm not in self.result.children:
            raise InputError(f"this run has no arm {arm!r}; allowed: {choices(self.arms)}")
        return self.result[arm].to_dataset()

    @property
    def first(self) -> xarray.Dataset:
        """The measurements of the first arm."""
        return self[self.arms[0]]

    def __repr__(self) -> str:
        where = f" in {self.folder}" if self.folder is not None else ""
        arms = ", ".join(f"{name} {dict(self[name].status.sizes)}" for name in self.arms)
        return f"Run{where} of {self.result.attrs.get('dataset', self.config.dataset)}: {arms}"

    def table(self) -> pandas.DataFrame:
        """Return one row per network: its arm, its coordinates in the grid, and its final measurements.

        Returns:
            Columns: arm, the axes of the grid, num_parameters, test_accuracy, test_loss, train_loss after the last
            epoch, status, and with held-out data also best_epoch and the validation value at that epoch. Accuracies are
            shares of 1.
        """
        return member_table(self.result)

    def networks(self, arm: str | None = None, **selection: Any) -> list[Trained]:
        """Return trained networks at their own sizes.

        Args:
            arm: the name of an arm; the first one by default.
            **selection: for some axes of the grid a value or a list of values, such as width=64, seed=[0, 1].

        Returns:
            One record per network, in the order of the grid; `predict` computes outputs for raw inputs.

        Raises:
            InputError: if there is no such arm or axis, a file is damaged, or the run was made with a custom network or
                layer that was not passed to `open_run`.

        Example:
            >>> from modejax import SweepConfig, run_sweep
            >>> run = run_sweep(SweepConfig(widths=(8, 16), modes=(2,), seeds=2, epochs=1, baseline="none"))
            >>> [(each.width, each.seed) for each in run.networks(width=16)]
            [(16, 0), (16, 1)]
        """
        name = self.arms[0] if arm is None else arm
        self[name]
        return [trained for source in self._networks for trained in source.read(name, selection)]

    def best(
        self,
        over: str | Sequence[str] = "learning_rate",
        by: str = "validation_accuracy",
        *,
        arm: str | None = None,
        allow_test: bool = False,
    ) -> xarray.Dataset:
        """Choose the best value of an axis for every cell of the grid, on held-out data.

        Args:
            over: name of the axis to choose on, or of several axes, such as `("learning_rate", "weight_decay")`.
            by: name of the variable to choose by, averaged over seeds; the largest accuracy or the smallest loss is
                best. With held-out data the value at each network's best epoch is used, whose parameters the network
                keeps. A cell with a diverged network is chosen only if every cell has one.
            arm: the name of an arm; the first one by default.
            allow_test: whether `by` may be a variable of the test set; the reported test results are then biased
                upwards.

        Returns:
            The result of the arm without the axes in `over`; they become coordinates that hold the chosen values.

        Raises:
            InputError: if there is no such arm, axis or variable, or the variable is one of the test set and
                `allow_test` is False.

        Example:
            >>> from modejax import SweepConfig, run_sweep
            >>> config = SweepConfig(widths=(8,), modes=(2,), seeds=1, epochs=4, validation=0.2, baseline="none",
            ...                      learning_rates=(1e-6, 0.05))
            >>> run_sweep(config).best().learning_rate.values.ravel().tolist()
            [0.05]
        """
        return best_cells(self.first if arm is None else self[arm], over, by, allow_test=allow_test)


def member_table(result: xarray.DataTree) -> pandas.DataFrame:
    """Return one row per network; see `Run.table`."""
    import pandas

    tables = []
    for name in result.children:
        data = result[name].to_dataset()
        grid = [str(each) for each in data.status.dims]
        columns = {"num_parameters": data.num_parameters.broadcast_like(data.status)}
        for each in ("test_accuracy", "test_loss", "train_loss"):
            columns[each] = data[each].isel(epoch=-1, drop=True)
        for each in ("validation_accuracy", "validation_loss"):
            if each in data:
                columns[each] = final_scores(data, each)
        if "best_epoch" in data:
            columns["best_epoch"] = data.best_epoch
        columns["status"] = data.status
        import xarray

        table = xarray.Dataset({k: v.transpose(*grid).drop_vars(set(v.coords) - set(grid)) for k, v in columns.items()})
        frame = table.to_dataframe(dim_order=grid).reset_index()
        # Joined runs have cells without a network.
        frame = frame[frame["status"].notna()].astype({"status": np.int32, "num_parameters": np.int64})
        frame.insert(0, "arm", name)
        tables.append(frame)
    return pandas.concat(tables, ignore_index=True)


def open_run(folder: str | Path, *, network: Any = None, layer: Family | None = None) -> Run:
    """Open a finished run, with any version of JAX, backend and devices; nothing is planned or compiled.

    Args:
        folder: the run folder, as `modejax sweep` or `run_sweep(out=...)` wrote it; it may have been moved.
        network: the factory of the custom network with which the run was made, if any; only `networks` needs it.
        layer: the custom family of layers with which the run was made, likewise.

    Returns:
        The run.

    Raises:
        InputError: if the folder is not a finished run, or a file of it is missing, damaged or from another run.

    Example:
        >>> import tempfile
        >>> from modejax import SweepConfig, run_sweep
        >>> config = SweepConfig(widths=(8,), modes=(2,), seeds=2, epochs=1, baseline="none")
        >>> with tempfile.TemporaryDirectory() as runs:
        ...     _ = run_sweep(config, out=f"{runs}/a")
        ...     open_run(f"{runs}/a").config == config
        True
    """
    from modejax.sweep.spec import Custom

    folder = Path(folder)
    marker = read_marker(folder, "sweep")
    if marker.state != "finished":
        raise InputError(f"{folder} has no result yet; resume it with: modejax sweep --resume {folder}")
    stored = read_json(folder, "config.json", marker=marker)
    result = read_netcdf(folder, "result.nc", marker=marker)
    check_config(result.attrs.get("config"), stored, folder, ignore=GUARDS_NOTHING)
    # The config as the user gave it: config.json also holds the number of launches that memory made necessary.
    config = SweepConfig.from_json(result.attrs["config"])
    if set(result.children) != {arm.name for arm in config.all_arms}:
        raise InputError(f"the result in {folder} has other arms than its config; restore the folder from a copy")
    return Run(config, result, [Stored(folder, Custom(network=network, layer=layer))], folder)


def combine(runs: Sequence[Run]) -> Run:
    """Join runs with the same settings and different seeds, widths, learning rates or values of other axes.

    Args:
        runs: two runs or more with the same arms.

    Returns:
        One run whose result holds the values of all axes; cells that no run has are NaN. Its config is that of the
        first run, with the values of the axes of all runs.

    Raises:
        InputError: if they differ in anything but the values of their axes, or have a network in common.
    """
    import xarray

    runs = list(runs)
    if len(runs) < 2:
        raise InputError(f"combine takes two runs or more, got {len(runs)}")
    first = runs[0]
    for other in runs[1:]:
        if other.arms != first.arms:
            raise InputError(f"the runs have other arms: {first.arms} and {other.arms}; combine runs of the same arms")
        different = _different(first.config, other.config)
        if different:
            raise InputError(f"the runs differ in {', '.join(different)}, not only in the values of their axes")
        if other.result.attrs.get("data_hash") != first.result.attrs.get("data_hash"):
            raise InputError("the runs were made on other data; combine runs on the same data set")
    nodes = {}
    for name in first.arms:
        parts = [run[name] for run in runs]
        for part in parts[1:]:
            if part.status.dims != parts[0].status.dims:
                raise InputError(
                    f"the runs have other axes in the arm {name!r}: {parts[0].status.dims} and {part.status.dims}; "
                    "give all of them the same axes"
                )
        _refuse_common(name, parts)
        bare = [part.drop_attrs(deep=False) for part in parts]
        joined = xarray.merge(bare, join="outer", compat="no_conflicts")
        nodes[name] = xarray.DataTree(joined.assign_attrs(parts[0].attrs))
    tree = xarray.DataTree(xarray.Dataset(attrs=first.result.attrs), children=nodes)
    return Run(first.config, tree, [source for run in runs for source in run._networks])


_AXIS_FIELDS = {"widths", "modes", "learning_rates", "weight_decays", "sparsities", "train_examples", "label_noise"}


def _different(one: SweepConfig, other: SweepConfig) -> list[str]:
    left_out = {*_AXIS_FIELDS, "axes", "seeds", "first_seed", *GUARDS_NOTHING, "kept", "buckets"}
    left_out |= {"baseline_learning_rates", "baseline_weight_decays"}
    a, b = dataclasses.asdict(one), dataclasses.asdict(other)
    return sorted(name for name in a if name not in left_out and a[name] != b[name])


def _refuse_common(name: str, parts: Sequence[xarray.Dataset]) -> None:
    grid = [str(each) for each in parts[0].status.dims]
    for i, one in enumerate(parts):
        for other in parts[i + 1 :]:
            if all(np.intersect1d(one[axis].values, other[axis].values).size for axis in grid):
                raise InputError(f"two runs have networks of the arm {name!r} in common; combine runs without overlap")
