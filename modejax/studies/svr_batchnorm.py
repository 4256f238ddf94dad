"""Near-kernels and spontaneous sparsity: does batch norm make them, or does the penalty?

The paper finds in pretrained networks with batch norm that about half of the channels between two convolutions are
hardly written by the one and hardly read by the other. Here every penalty is trained with batch norm and without, on
digits.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from threadpoolctl import threadpool_limits

from modejax.plots.svr import plot_near_kernel, plot_patterns
from modejax.studies.common import check_seeds, markdown_table, over_seeds, percent, pm, write_study
from modejax.studies.convnet import Trained, kernels, trained_run
from modejax.studies.files import check_folder
from modejax.studies.spread import draw_bars, draw_curves
from modejax.studies.svr_runs import PENALTIES, batch_norm_arms, file_name
from modejax.svr import derived
from modejax.weights import canonical

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["measure", "run"]

MEASURES = {"mass": "mass of the corner", "entries": "significant entries of the corner", "dead": "dead channels"}


def _pairs(trained: Trained, checkpoint: int, seed: int, fold: bool) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return writer and reader of the pairs of convolutions of equal width, axes (out, in, *window)."""
    found = {
        name.removesuffix(".kernel"): canonical(kernel, "flax")
        for name, kernel in kernels(trained.weights, checkpoint, seed).items()
        if name.startswith("conv")
    }
    if fold:
        for index, name in enumerate(found):
            gain, variance = (trained.weights[f"norm{index}.{part}"][checkpoint, seed] for part in ("scale", "var"))
            found[name] = found[name] * (gain / np.sqrt(variance + 1e-5))[:, None, None, None]
    return [
        (a, b) for a, b in itertools.pairwise(found.values()) if a.shape[0] == a.shape[1] or b.shape[0] == b.shape[1]
    ]


def measure(trained: Trained, fold: bool = False) -> list[dict[str, Any]]:
    """Measure the near-kernels of all networks of a run.

    Args:
        trained: networks with convolutions of equal width after the first two layers.
        fold: batch norm is multiplied into the kernels, as the network applies it; the paper leaves it out.

    Returns:
        One row for each checkpoint, seed and pair of convolutions: mass of the corner block of a quarter of the
        directions (chance 1/4), its significant entries (Bonferroni over the pair, 0.05), channels dead on both sides.
    """
    rows = []
    for place, epoch in enumerate(trained.epochs):
        for seed in range(trained.accuracy.shape[1]):
            for index, (writer, reader) in enumerate(_pairs(trained, place, seed, fold)):
                block = derived.near_kernel_block(derived.near_kernel(writer, reader).H, len(writer) // 4)
                rows.append(
                    {
                        "epoch": float(epoch), "seed": seed, "pair": index, "folded": fold,
                        "accuracy": float(trained.accuracy[place, seed]), "mass": block.mass,
                        "entries": block.significant, "dead": derived.dead_channels(writer, reader).both,
                    }
                )  # fmt: skip
    return rows


def run(
    out: str | Path, quick: bool = False, seeds: int | None = None, *, report: Callable[[str], None] = print
) -> Path:
    """Run the study.

    Args:
        out: the folder; made where it is missing. Trained networks are kept in its `runs`.
        quick: small networks and 12 epochs instead of 60.
        seeds: networks of each arm; default 5 (quick: 3).
        report: called with a line of text for each part that is done.

    Returns:
        The folder.

    Raises:
        InputError: if the number of seeds is not allowed, or the folder is a file.

    Example:
        >>> run("docs/studies/svr-batchnorm", quick=True, seeds=1)
        Traceback (most recent call last):
        ...
        modejax.errors.InputError: seeds must be integers of at least 2, since error bars need them, got 1
    """
    count = check_seeds(seeds, 3 if quick else 5, least=2)
    folder = check_folder(out)
    arms = batch_norm_arms(quick, count)
    rows: list[dict[str, Any]] = []
    nets: dict[tuple[str, bool], Trained] = {}
    for (penalty, norm), config in arms.items():
        name = file_name(f"{penalty} {'bn' if norm else 'plain'}", config)
        nets[penalty, norm] = trained = trained_run(folder, name, config, report)
        folds = (False, True) if norm else (False,)
        with threadpool_limits(1):  # many small matrices: a second thread only waits
            rows += [
                {"penalty": penalty, "batch norm": norm, **row} for fold in folds for row in measure(trained, fold)
            ]
    report("near-kernels measured")
    epochs = [float(each) for each in next(iter(arms.values())).checkpoints]
    write_study(
        folder,
        page=_page(rows, epochs, count),
        rows=rows,
        config={
            "study": "svr-batchnorm",
            "quick": quick,
            "seeds": count,
            "arms": {
                f"{penalty}, {'batch norm' if norm else 'plain'}": vars(each) for (penalty, norm), each in arms.items()
            },
        },
        figures={
            "mass": lambda: _draw_mass(rows, epochs, count),
            "final": lambda: _draw_final(rows, epochs[-1], count),
            "near-kernels": lambda: _draw_kernels(nets),
        },
    )
    return folder


def _values(rows: list[dict[str, Any]], field: str, **where: Any) -> np.ndarray:
    """Return a field, mean over pairs of layers, one value a seed."""
    found: dict[int, list[float]] = {}
    for row in rows:
        if all(row[key] == value for key, value in where.items()):
            found.setdefault(row["seed"], []).append(row[field])
    return np.array([np.mean(each) for each in found.values()])


def _page(rows: list[dict[str, Any]], epochs: list[float], count: int) -> list[str]:
    lines = [
        "# Near-kernels with and without batch norm, with and without a penalty", "",
        f"Digits, convolutions of equal width after the second; {over_seeds(count)}. "
        "Mass: sum of H^2 over the last quarter of the directions on both sides, over their number, mean over pairs of "
        "layers (chance 0.25). Significant: entries of that corner beyond Bonferroni's 0.05 of the pair, mean over "
        "pairs. Dead: channels below 1 % of the largest norm both as outputs of one layer and as inputs of the next, "
        "mean over pairs.", "",
    ]  # fmt: skip
    head = ["penalty", "batch norm", "epoch", "test accuracy (%)", "mass", "significant", "dead"]
    table = []
    for penalty in PENALTIES:
        for norm in (True, False):
            for epoch in epochs:
                here: dict[str, Any] = {"penalty": penalty, "batch norm": norm, "epoch": epoch, "folded": False}
                table.append(
                    [
                        penalty, "yes" if norm else "no", f"{epoch:g}", percent(_values(rows, "accuracy", **here)),
                        pm(_values(rows, "mass", **here), 3), pm(_values(rows, "entries", **here)),
                        pm(_values(rows, "dead", **here)),
                    ]
                )  # fmt: skip
    lines += [*markdown_table(head, table), "", "## Pair by pair, last epoch", ""]
    pairs = sorted({row["pair"] for row in rows})
    table = []
    for penalty in PENALTIES:
        for norm in (True, False):
            here = {"penalty": penalty, "batch norm": norm, "epoch": epochs[-1], "folded": False}
            cells = []
            for field, digits in (("mass", 2), ("entries", 1), ("dead", 1)):
                cells.append("; ".join(pm(_values(rows, field, **here, pair=pair), digits) for pair in pairs))
            table.append([penalty, "yes" if norm else "no", *cells])
    lines += [*markdown_table(["penalty", "batch norm", "mass", "significant", "dead"], table), ""]
    lines += ["## Batch norm multiplied into the kernels, last epoch", ""]
    table = []
    for penalty in PENALTIES:
        here = {"penalty": penalty, "batch norm": True, "epoch": epochs[-1]}
        both = [pm(_values(rows, "mass", **here, folded=fold), 3) for fold in (False, True)]
        both += [pm(_values(rows, "dead", **here, folded=fold)) for fold in (False, True)]
        table.append([penalty, *both])
    lines += markdown_table(["penalty", "mass, as stored", "mass, folded", "dead, as stored", "dead, folded"], table)
    return lines


def _draw_mass(rows: list[dict[str, Any]], epochs: list[float], count: int) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(2.9 * len(PENALTIES), 3.8), layout="constrained", facecolor="white")
    axes = figure.subplots(1, len(PENALTIES), sharey=True)
    for ax, penalty in zip(axes, PENALTIES, strict=True):
        curves = {}
        for norm, name in ((True, "batch norm"), (False, "no batch norm")):
            here: dict[str, Any] = {"penalty": penalty, "batch norm": norm, "folded": False}
            curves[name] = np.stack([_values(rows, "mass", epoch=epoch, **here) for epoch in epochs])
        draw_curves(epochs, curves, ax, ylabel="", percent=False)
        ax.axhline(0.25, color="0.3", lw=1, ls=":", label="by chance")
        ax.set_title(penalty, fontsize=10)
    axes[0].set_ylabel("near-kernel mass (last quarter)")
    figure.suptitle(f"{over_seeds(count)}, mean of three pairs of layers", fontsize=10)
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    return figure


def _draw_final(rows: list[dict[str, Any]], epoch: float, count: int) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13.0, 4.2), layout="constrained", facecolor="white")
    axes = figure.subplots(1, 3)
    fields = {"entries": "significant entries of the corner", "dead": "dead channels", "accuracy": "test accuracy (%)"}
    for ax, (field, label) in zip(axes, fields.items(), strict=True):
        groups = {}
        for norm, name in ((True, "batch norm"), (False, "no batch norm")):
            here: dict[str, Any] = {"batch norm": norm, "folded": False, "epoch": epoch}
            values = np.stack([_values(rows, field, penalty=penalty, **here) for penalty in PENALTIES])
            groups[name] = 100 * values if field == "accuracy" else values
        draw_bars(list(PENALTIES), groups, ax, ylabel=label)
        ax.set_ylim(bottom=0)
    figure.suptitle(f"epoch {epoch:g}; {over_seeds(count)}", fontsize=10)
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    return figure


def _draw_kernels(nets: Mapping[tuple[str, bool], Trained]) -> Figure:
    from matplotlib.figure import Figure

    shown = (("Adam, no penalty", True), ("Adam, L2 1e-4", False), ("SGD, L2 5e-3", True), ("SGD, L2 5e-3", False))
    figure = Figure(figsize=(14.0, 6.4), layout="constrained", facecolor="white")
    axes = figure.subplots(2, len(shown))
    for (penalty, norm), (top, below) in zip(shown, axes.T, strict=True):
        writer, reader = _pairs(nets[penalty, norm], -1, 0, False)[1]
        found = derived.near_kernel(writer, reader)
        plot_near_kernel(found.H, top, tail=len(found.H) // 4)
        top.set_title(f"{penalty}, {'' if norm else 'no '}batch norm", fontsize=10)
        # Channels by where in the spectrum they lie: a block shows as a block.
        order = np.argsort((found.U**2) @ np.arange(len(found.U)), kind="stable")
        plot_patterns(found.U[order], below)
        below.set_ylabel("channel, sorted")
    return figure
