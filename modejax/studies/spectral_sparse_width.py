"""On what the lead of the sparse S-QR layer depends: three families at two widths, measured after every epoch.

The released code of Chicchi et al., arXiv 2106.09021, has two hidden layers of 500 nodes and trains for up to 90
epochs. Here are its width and the smaller one of the other tables, its two highest sparsities, and twice as many epochs
as there: the learning rate is constant, so that a run of ten epochs holds the result of every shorter one. The order of
the batches is one for each seed, and the spread over seeds holds it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from modejax.studies.common import markdown_table, pm, verdict
from modejax.studies.mdl_runs import trained_run
from modejax.studies.spectral_sparse import FAMILIES, Family, family_config, settings
from modejax.sweep.config import SweepConfig

__all__ = ["COMPARED", "EpochRow", "draw_epochs", "gap_text", "measure_epochs", "width_lines", "width_sweeps"]

COMPARED = tuple(family for family in FAMILIES if family.name in (
    "S-QR, released", "dense, released baseline (no bias)", "dense, straight-through",
))  # fmt: skip
"""The families that are compared at both widths."""

_SHORT = {
    "S-QR, released": "s-qr",
    "dense, released baseline (no bias)": "baseline",
    "dense, straight-through": "through",
}


class EpochRow(NamedTuple):
    """The test accuracy of one network after one of its epochs."""

    family: str
    width: int
    sparsity: float  # percent
    epochs: int  # of training so far
    seed: int
    accuracy: float  # share of 1; not a number where it diverged


def width_sweeps(quick: bool, seeds: int) -> dict[tuple[int, Family], SweepConfig]:
    """Return the sweep of each width and family.

    Args:
        quick: digits and small networks instead of MNIST.
        seeds: networks a family, width and sparsity.
    """
    shared = dataclasses.replace(
        settings(quick, seeds), sparsities=(95, 98), batches="per_seed", epochs=20 if quick else 10
    )
    widths = (30, 60) if quick else (200, 500)
    return {
        (width, family): family_config(dataclasses.replace(shared, widths=(width,)), family)
        for width in widths
        for family in COMPARED
    }


def measure_epochs(out: Path, quick: bool, seeds: int, report: Callable[[str], None] = print) -> list[EpochRow]:
    """Train the families at both widths, or take the runs that are kept.

    Args:
        out: the folder of the study; runs lie in its `runs`.
        quick: digits and small networks instead of MNIST.
        seeds: networks a family, width and sparsity.
        report: called with a line of text for each run.

    Returns:
        One row a network and epoch.
    """
    rows = []
    for (width, family), config in width_sweeps(quick, seeds).items():
        result = trained_run(out, f"{_SHORT[family.name]}-{width}", config, report).first
        accuracy = result.test_accuracy.where(result.status == 0)
        accuracy = accuracy.isel(width=0, modes=0, learning_rate=0, weight_decay=0)
        for sparsity in config.sparsities:
            for epoch in accuracy.epoch.values.tolist():
                for seed in config.seed_numbers:
                    value = float(accuracy.sel(sparsity=sparsity, epoch=epoch, seed=seed))
                    rows.append(EpochRow(family.name, width, float(sparsity), epoch, seed, value))
    return rows


def _values(rows: Sequence[EpochRow], **want: object) -> np.ndarray:
    return np.array([100 * row.accuracy for row in rows if all(getattr(row, k) == v for k, v in want.items())])


def gap_text(rows: Sequence[EpochRow], rival: str, **where: object) -> str:
    """Write by how many points the released S-QR layer is better than a rival, and whether the ranges are apart.

    Example:
        >>> rows = [EpochRow("S-QR, released", 9, 95.0, 1, 0, 0.75), EpochRow("dense", 9, 95.0, 1, 0, 0.5)]
        >>> gap_text(rows, "dense", width=9)
        '+25.0 holds'
    """
    own, other = _values(rows, family=COMPARED[0].name, **where), _values(rows, family=rival, **where)
    if not (np.isfinite(own).all() and np.isfinite(other).all()):
        return "-"
    return f"{own.mean() - other.mean():+.1f} {verdict(own, other)}"


def width_lines(rows: Sequence[EpochRow], dataset: str) -> list[str]:
    """Return the lines of the page: accuracies and gaps at half of the epochs and at all of them.

    Args:
        rows: of `measure_epochs`.
        dataset: its name.
    """
    widths, sparsities, last = (sorted({getattr(row, k) for row in rows}) for k in ("width", "sparsity", "epochs"))
    times = sorted({last[-1] // 2, last[-1]})
    at = [(width, epochs) for width in widths for epochs in times]
    head = [f"{width} nodes, {epochs} epochs" for width, epochs in at]
    page = [
        "",
        "# Width, epochs and sparsity",
        "",
        f"{dataset}, {len({row.seed for row in rows})} seeds, each with its own order of the batches; otherwise as "
        "above. Test accuracy in percent, mean (smallest to largest); a run holds the result of every shorter one.",
    ]
    for sparsity in sparsities:
        cells = [
            [f.name, *(pm(_values(rows, family=f.name, sparsity=sparsity, width=w, epochs=e)) for w, e in at)]
            for f in COMPARED
        ]
        page += ["", f"## {sparsity:g} % of the weights 0", "", *markdown_table(["family", *head], cells), ""]
        cells = [
            [f.name, *(gap_text(rows, f.name, sparsity=sparsity, width=w, epochs=e) for w, e in at)]
            for f in COMPARED[1:]
        ]
        page += [
            "Points by which the released S-QR layer is better; holds or fails where all seeds of one are above all"
        ]
        page += ["of the other, else not shown:", "", *markdown_table(["rival", *head], cells)]
    return page


def draw_epochs(rows: Sequence[EpochRow], title: str) -> Any:
    """Draw the test error against epochs, a panel for each width and sparsity.

    Args:
        rows: of `measure_epochs`.
        title: of the figure.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullFormatter

    widths, sparsities, epochs = (sorted({getattr(row, k) for row in rows}) for k in ("width", "sparsity", "epochs"))
    figure = Figure(figsize=(9.2, 7.0), layout="constrained")
    grid = figure.subplots(len(sparsities), len(widths), sharex=True, sharey=True, squeeze=False)
    for sparsity, axes in zip(sparsities, grid, strict=True):
        for width, ax in zip(widths, axes, strict=True):
            for family, colour, marker in zip(COMPARED, ("#0072B2", "#D55E00", "#009E73"), "osD", strict=True):
                found = [
                    100 - _values(rows, family=family.name, width=width, sparsity=sparsity, epochs=e) for e in epochs
                ]
                mean, low, high = (np.array([f(each) for each in found]) for f in (np.mean, np.min, np.max))
                style = {"color": colour, "marker": marker, "ms": 4, "lw": 1.4, "capsize": 2}
                style |= {"linestyle": "-" if family.layer == "spectral" else "--"}
                ax.errorbar(epochs, mean, np.array([mean - low, high - mean]), label=family.name, **style)
            ax.set_title(f"{width} nodes, {sparsity:g} % of the weights 0", fontsize=10)
            ax.set_yscale("log")
            ax.yaxis.set_major_formatter("{x:g}")
            ax.yaxis.set_minor_formatter(NullFormatter())
            ax.grid(alpha=0.3)
        axes[0].set_ylabel("test error (%)")
    low, high = grid[0, 0].get_ylim()  # the axes share it
    grid[0, 0].set_yticks([n for n in (1, 2, 3, 5, 10, 20, 50, 100) if low <= n <= high])
    for ax in grid[-1]:
        ax.set_xlabel("epochs of training")
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    figure.suptitle(title, fontsize=11)
    return figure
