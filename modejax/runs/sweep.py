"""Run a sweep from Python: plan, train, and store the results in a run folder."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from modejax._files import replaced
from modejax.data import Dataset, load_dataset
from modejax.errors import InputError
from modejax.layers.base import Family
from modejax.layers.check import check_family
from modejax.networks.base import Params
from modejax.networks.check import check_network
from modejax.runs.folder import Output, output, unfinished
from modejax.runs.networks import InMemory, NetworkWriter, Stored
from modejax.runs.progress import progress_bar, progress_is_seen
from modejax.runs.reader import read_json
from modejax.runs.run import Run, member_table
from modejax.sweep.arm import Arm
from modejax.sweep.cache import use_compile_cache
from modejax.sweep.config import SweepConfig
from modejax.sweep.execute import Progress, Watch, execute
from modejax.sweep.hosts import any_process, is_lead
from modejax.sweep.label import assemble
from modejax.sweep.plan import Plan, make_plan
from modejax.sweep.spec import Custom, NetworkFactory, network_spec
from modejax.training.loss import Loss
from modejax.training.optimiser import Build

if TYPE_CHECKING:
    import xarray

__all__ = ["Existing", "Keep", "check_custom", "custom_config", "perform", "run_sweep"]

Existing = Literal["refuse", "resume", "overwrite"]


@dataclasses.dataclass(frozen=True)
class Keep:
    """Where and how a run is stored.

    Attributes:
        out: the run folder; None keeps the run in memory.
        resume: whether to resume an unfinished run in this folder, with the same config.
        overwrite: whether to replace an earlier run in this folder; it stays complete until the new one is finished.
    """

    out: str | Path | None = None
    resume: bool = False
    overwrite: bool = False


def custom_config(config: SweepConfig, custom: Custom) -> SweepConfig:
    """Return the config with `custom` as the name of each part that the user passes from Python.

    Args:
        config: the sweep.
        custom: network, layer, optimiser and loss that the user passes.

    Returns:
        The config; with a custom network it has no dense baseline, which would be no fair comparison.

    Raises:
        InputError: if a class is given instead of a family, or something else instead of a factory.
    """
    changes: dict[str, Any] = {}
    if custom.layer is not None:
        if isinstance(custom.layer, type) or not isinstance(custom.layer, Family):
            raise InputError(
                f"layer must be a family such as layers.Mode() or an instance of your own, got {custom.layer!r}; "
                "the number of modes is given to its init"
            )
        changes |= {"layer": "custom", "layer_options": ()}
        if custom.layer.takes_modes == "none":
            changes["modes"] = (0,)
    if custom.network is not None:
        if not callable(custom.network):
            raise InputError(f"network must be a function of width and modes, got {custom.network!r}")
        changes |= {"network": "custom", "network_options": (), "baseline": "none"}
        if "modes" not in inspect.signature(custom.network).parameters:
            if config.modes not in (Arm().modes, (0,)):
                raise InputError(f"the network's factory asks for no modes, got modes={config.modes}; leave modes out")
            changes["modes"] = (0,)
    if custom.optimiser is not None:
        changes |= {"optimiser": "custom", "momentum": 0.0}
    return dataclasses.replace(config, **changes) if changes else config


def run_sweep(
    config: SweepConfig | None = None,
    *,
    dataset: Dataset | None = None,
    network: NetworkFactory | None = None,
    layer: Family | None = None,
    optimiser: Build | None = None,
    loss: Loss | None = None,
    out: str | Path | None = None,
    existing: Existing = "refuse",
    start: Sequence[Params] | None = None,
    progress: bool | None = None,
) -> Run:
    """Train a grid of networks as one compiled program and return the labelled results.

    Args:
        config: the sweep; by default a small grid on digits.
        dataset: data set in memory, instead of `config.dataset`.
        network: a function that makes the networks of the first arm, instead of `config.network`. Its arguments are
            those it needs of `width` and `modes` (`Extent`s), `features`, `outputs`, `image_shape` and the axes of
            numbers, such as `lambda width, modes: networks.residual([64, width, width, 10], layers.Mode(), modes)`.
            There is no dense baseline then.
        layer: a custom family for the first arm, instead of `config.layer`: a frozen dataclass with `init` and
            `kernel`, see `layers.Family`.
        optimiser: a function of `learning_rate`, and optionally `weight_decay`, that makes an
            `optax.GradientTransformation` for the first arm, such as `optax.lion`.
        loss: the loss of all arms, instead of the default for the kind of targets.
        out: a run folder for config, result, table and networks; None keeps the run in memory.
        existing: what to do if there is a run in `out`: `refuse`; `resume` a run that was stopped; `overwrite`: replace
            it as soon as the new one is finished.
        start: initial parameters of the networks of the first arm, instead of drawn ones: one tree per network, at the
            network's own size, in the order of the grid.
        progress: whether to show a progress bar on stderr; by default on a terminal and in a notebook.

    Returns:
        The run: `.result`, `.table()`, `.best()`, `.networks()`.

    Raises:
        InputError: if the config, the data, the folder or a custom part is invalid; then nothing is written.

    Example:
        >>> run = run_sweep(SweepConfig(widths=(8,), modes=(2,), seeds=2, epochs=1, baseline="none"))
        >>> dict(run["mode"].test_accuracy.sizes)
        {'width': 1, 'modes': 1, 'seed': 2, 'learning_rate': 1, 'weight_decay': 1, 'epoch': 1}
    """
    config = SweepConfig() if config is None else config
    if existing not in ("refuse", "resume", "overwrite"):
        raise InputError(f"unknown existing {existing!r}; allowed: refuse, resume, overwrite")
    keep = Keep(out, resume=existing == "resume", overwrite=existing == "overwrite")
    shown = progress_is_seen() if progress is None else progress
    with progress_bar(config.num_networks, config.epochs, shown=shown) as report:
        custom = Custom(network=network, layer=layer, optimiser=optimiser, loss=loss)
        return perform(config, dataset, custom=custom, keep=keep, start=start, watch=Watch(report=report))


def perform(
    config: SweepConfig,
    dataset: Dataset | None = None,
    *,
    custom: Custom | None = None,
    keep: Keep | None = None,
    start: Sequence[Params] | None = None,
    watch: Watch | None = None,
    compile_cache: bool = True,
) -> Run:
    """Do the work of `run_sweep`, with callbacks instead of a progress bar.

    Args:
        config: the sweep.
        dataset: data set in memory, instead of `config.dataset`.
        custom: network, layer, optimiser and loss that the user passes.
        keep: where and how the run is stored; None to keep it in memory.
        start: see `run_sweep`.
        watch: callbacks that get the progress and may stop the run; None for none.
        compile_cache: whether compiled programs are kept on disk; see `modejax.sweep.cache.use_compile_cache`.

    Returns:
        The run.

    Raises:
        InputError: see `run_sweep`.
        Interrupted: if `watch.stop` returned True; a run in a folder can be resumed.
    """
    custom, keep, watch = custom or Custom(), keep or Keep(), watch or Watch()
    config = custom_config(config, custom)
    if dataset is None:
        dataset = load_dataset(config.dataset, data_dir=config.data_dir, seed=config.shuffle_seed)
    if keep.resume:
        config = _stored(config, keep)
    check_custom(config, dataset, custom)
    plan = make_plan(config, dataset, custom)
    if watch.report is not None:
        watch.report(Progress(0, plan.launches * config.epochs, float("nan"), float("nan")))
    with contextlib.ExitStack() as held:
        held.enter_context(use_compile_cache(compile_cache))
        claimed = _claimed(held, plan, keep)
        # Only the first process of a run writes; the others know the folder but do not touch it.
        path = claimed.path if claimed else None if keep.out is None else Path(keep.out)
        writer = NetworkWriter(claimed.path, plan, dataset) if claimed else None
        outcome = execute(
            plan,
            dataset,
            checkpoints=None if path is None else path / "checkpoint",
            resume=keep.resume,
            watch=dataclasses.replace(watch, finished=writer.launch if writer else None),
            keep_states=path is None,
            start=start,
        )
        result = assemble(plan, dataset, outcome.records, outcome.timing)
        if path is None:
            return Run(config, result, [InMemory(plan, outcome.states, dataset)])
        if claimed is None or writer is None:
            return Run(config, result, [], path)
        folder = _save(claimed, writer, result)
        return Run(config, result, [Stored(folder, custom)], folder)


def check_custom(config: SweepConfig, dataset: Dataset, custom: Custom) -> None:
    """Test a custom layer and network on small sizes before a sweep uses them.

    Args:
        config: the sweep.
        dataset: its data.
        custom: network, layer, optimiser and loss that the user passes.

    Raises:
        InputError: if a family or a network fails the tests; the message lists all failures.
    """
    found: list[str] = []
    if custom.layer is not None:
        found += check_family(custom.layer)
    if custom.network is not None:
        arm = config.first_arm
        spec = network_spec(arm, "float32", dataset.num_features, dataset.num_outputs, dataset.image_shape, custom)
        numbers = {a.name: float(v[0]) for a, v in arm.grid_axes(config.seed_numbers) if a.network}
        modes = None if arm.modes == (0,) else 2
        found += check_network(
            lambda width, modes: spec.build(width, modes or 0, **numbers),
            dataset.num_features,
            width=4,
            capacity=8,
            modes=modes,
        )
    if found:
        what = "layer" if custom.layer is not None else "network"
        raise InputError(f"this {what} is not sound: " + "; ".join(found))


def _stored(config: SweepConfig, keep: Keep) -> SweepConfig:
    """Return the config with which an unfinished run is resumed; it must agree with the given one."""
    if keep.out is None:
        raise InputError("a run that is resumed needs its folder; give out=...")
    stored = SweepConfig.from_fields(read_json(unfinished(keep.out), "config.json"))
    # The number of launches is chosen by memory when a run begins, not again on resuming; devices may be other ones.
    same = {name: getattr(config, name) for name in ("devices", "memory_limit", "data_dir")}
    stored = dataclasses.replace(stored, **same)
    if dataclasses.replace(config, launches=stored.launches) != stored:
        raise InputError(f"{keep.out} was begun with another config; resume it with its own, or name another folder")
    return stored


def _claimed(held: contextlib.ExitStack, plan: Plan, keep: Keep) -> Output | None:
    """Hold the lock of the run folder in the process that writes; if that fails, all processes fail."""
    claimed, problem = None, None
    if keep.out is not None and is_lead():
        try:
            claimed = held.enter_context(output(keep.out, "sweep", overwrite=keep.overwrite, resume=keep.resume))
            if not keep.resume:
                config = dataclasses.replace(plan.config, launches=plan.launches)
                with replaced(claimed.path / "config.json") as part:
                    part.write_text(config.to_json() + "\n")
        except OSError as error:
            problem = InputError(f"{keep.out} cannot be written ({error.strerror}); name another folder")
        except InputError as error:
            problem = error
    if keep.out is not None and any_process(problem is not None):
        raise problem or InputError("the first process of this run cannot use its run folder; see its message")
    return claimed


def _save(claimed: Output, writer: NetworkWriter, result: xarray.DataTree) -> Path:
    """Write result, table and networks, remove the checkpoints, and put the folder in place."""
    path = claimed.path
    try:
        with replaced(path / "result.nc") as part:
            result.to_netcdf(part, engine="h5netcdf")
        with replaced(path / "table.csv") as part:
            member_table(result).to_csv(part, index=False)
        files = writer.finish()
    except OSError as error:
        raise InputError(
            f"the result could not be written to {path} ({error.strerror or error}); its checkpoints are whole: make "
            "room and resume the run"
        ) from None
    folder = claimed.finish(["config.json", "result.nc", "table.csv", *files])
    shutil.rmtree(folder / "checkpoint", ignore_errors=True)
    return folder
