"""Sparse training of S-QR layers beside the baselines that its paper left out, one sweep over sparsities a family.

The question of Chicchi et al., arXiv 2106.09021: does an S-QR layer keep its accuracy at sparsities at which a dense
one loses it? The released code compares with one baseline, a dense network without biases whose masked weights get no
gradient. Here are six more. Settings are those of that code (784-N-N-10, tanh, Adam, batches of 200) with N = 200
instead of 500, fewer epochs and no early stopping; `spectral_sparse_width` has N = 500 and more epochs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from modejax.studies.common import (
    check_seeds,
    final_accuracy,
    markdown_table,
    mean_and_sd,
    over_seeds,
    percent,
    write_study,
)
from modejax.studies.spread import bars
from modejax.sweep.config import SweepConfig

if TYPE_CHECKING:
    from modejax.studies.spectral_sparse_width import EpochRow

__all__ = ["FAMILIES", "Family", "Row", "family_config", "lead", "measure", "run", "write"]


class Family(NamedTuple):
    """One way to sparse networks."""

    name: str
    layer: str
    options: tuple[str, ...]
    mask: str  # `cut` stands for a network trained without a mask, whose smallest weights are cut afterwards
    learning_rate: float
    tuned: bool = False  # whether training goes on under the mask after the cut


_QR = "start=reduction_sparse"

FAMILIES = (
    Family("S-QR, released", "spectral", ("variant=qr_full", _QR), "dynamic", 0.005),
    Family("S-QR, triangular", "spectral", ("variant=qr_triangular", _QR), "dynamic", 0.005),
    Family("dense, released baseline (no bias)", "dense", (), "dynamic", 0.005),
    Family("dense, same mask", "dense", ("use_bias=true",), "dynamic", 0.005),
    Family("dense, straight-through", "dense", ("use_bias=true",), "straight_through", 0.005),
    Family("dense, mask of the start", "dense", ("use_bias=true",), "static", 0.005),
    Family("dense, random mask", "dense", ("use_bias=true",), "random", 0.005),
    Family("dense, cut after training", "dense", ("use_bias=true",), "cut", 0.001),
    Family("dense, cut, then two epochs", "dense", ("use_bias=true",), "dynamic", 0.001, tuned=True),
)
"""The families; the learning rate 0.001 is that of an ordinary dense network."""


class Row(NamedTuple):
    """The test accuracy of one network after its last epoch."""

    family: str
    sparsity: float  # percent
    seed: int
    accuracy: float  # share of 1; not a number where it diverged


def settings(quick: bool, seeds: int) -> SweepConfig:
    """Return what the sweeps of the study share."""
    if quick:
        size: dict[str, Any] = {"dataset": "digits", "widths": (60,), "epochs": 10, "batch_size": 50}
    else:
        size = {"dataset": "mnist", "widths": (200,), "epochs": 5, "batch_size": 200}
    return SweepConfig(
        layer="dense",
        activation="tanh",
        weight_decays=(0.0,),
        baseline="none",
        mask="dynamic",
        sparsities=(50, 80, 90, 95, 98),
        seeds=seeds,
        **size,
    )


def family_config(shared: SweepConfig, family: Family) -> SweepConfig:
    """Return the sweep of one family.

    Args:
        shared: data, width, sparsities, seeds, epochs.
        family: one of `FAMILIES`.
    """
    changes: dict[str, Any] = {
        "name": "",
        "layer": family.layer,
        "layer_options": family.options,
        "learning_rates": (family.learning_rate,),
        "mask": family.mask,
    }
    if family.mask == "cut":
        changes |= {"mask": "none", "sparsities": (), "prune": ("weights",), "percentiles": shared.sparsities}
    if family.tuned:
        changes |= {"mask_after": shared.epochs, "epochs": shared.epochs + 2}
    return dataclasses.replace(shared, **changes)


def measure(shared: SweepConfig, report: Callable[[str], None] = print) -> list[Row]:
    """Train all families, one sweep each.

    Args:
        shared: data, width, sparsities, seeds, epochs.
        report: told each family's name when it is done.

    Returns:
        One row a network and sparsity.
    """
    from modejax.runs import perform

    rows = []
    for family in FAMILIES:
        result = perform(family_config(shared, family)).first
        one = {"width": 0, "modes": 0, "learning_rate": 0, "weight_decay": 0}
        if family.mask == "cut":
            final = result.pruning_accuracy.sel(score="weights").isel(truncation_epoch=-1, **one)
            final = final.rename(percentile="sparsity")
        else:
            final = final_accuracy(result).isel(**one)  # pyright: ignore
        for sparsity in shared.sparsities:
            for seed in shared.seed_numbers:
                rows.append(Row(family.name, sparsity, seed, float(final.sel(sparsity=sparsity, seed=seed))))
        report(f"{family.name}: {percent(_values(rows, family.name, max(shared.sparsities)))} % at the end")
    return rows


def _values(rows: Sequence[Row], family: str, sparsity: float) -> list[float]:
    return [row.accuracy for row in rows if row.family == family and row.sparsity == sparsity]


def lead(rows: Sequence[Row], rival: str, sparsity: float) -> tuple[float, float]:
    """Return by how much the released S-QR layer is better than a rival, and the standard error, both in points.

    Example:
        >>> lead([Row("S-QR, released", 50.0, 0, 0.75), Row("dense", 50.0, 0, 0.5)], "dense", 50.0)[0]
        25.0
    """
    own, other = (100 * np.array(_values(rows, name, sparsity)) for name in (FAMILIES[0].name, rival))
    (mean, sd), (mean_other, sd_other) = mean_and_sd(own), mean_and_sd(other)
    return mean - mean_other, float(np.sqrt((sd**2 + sd_other**2) / len(own)))


def _lead_cell(rows: Sequence[Row], rival: str, sparsity: float) -> str:
    points, error = lead(rows, rival, sparsity)
    if not np.isfinite(points):
        return "-"
    return f"{points:+.1f}" + (f" ({error:.1f})" if np.isfinite(error) else "")


def _draw(rows: Sequence[Row], title: str) -> Any:
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.6, 5.0), layout="constrained")
    ax = figure.subplots()
    colours = colormaps["tab10"].colors  # pyright: ignore[reportAttributeAccessIssue]
    sparsities = sorted({row.sparsity for row in rows})
    for index, family in enumerate(FAMILIES):
        mean, (below, above) = bars([100 * np.array(_values(rows, family.name, s)) for s in sparsities])
        style = {"color": colours[index], "marker": "osD^vPX*h"[index], "ms": 5, "lw": 1.5, "capsize": 3}
        style |= {"linestyle": "-" if family.layer == "spectral" else "--"}
        # Equal steps a halving of what is left.
        left = -np.log2(1 - np.array(sparsities) / 100)
        ax.errorbar(left, 100 - mean, [above, below], label=family.name, **style)
    ax.set_xticks(-np.log2(1 - np.array(sparsities) / 100), [f"{s:g}" for s in sparsities])
    ax.set_xlabel("weights that are 0 (%), in halvings of what is left")
    ax.set_yscale("log")
    ax.yaxis.set_major_formatter("{x:g}")
    ax.set_yticks([n for n in (1, 2, 3, 5, 10, 20, 50, 100) if ax.get_ylim()[0] <= n <= ax.get_ylim()[1]])
    ax.minorticks_off()
    ax.set_ylabel("test error (%)")
    ax.grid(alpha=0.3)
    figure.legend(loc="outside right center", frameon=False)
    figure.suptitle(title)
    return figure


def _page(rows: Sequence[Row], config: SweepConfig) -> list[str]:
    header = ["family", "learning rate", *(f"{s:g} %" for s in config.sparsities)]
    lines = [
        [f.name, f"{f.learning_rate:g}", *(percent(_values(rows, f.name, s)) for s in config.sparsities)]
        for f in FAMILIES
    ]
    width = config.widths[0]
    return [
        "# Sparse spectral learning and its baselines",
        "",
        f"{config.dataset}, two hidden tanh layers of {width} nodes, Adam, batches of {config.batch_size}, "
        f"{config.epochs} epochs (two more for the last family), no early stopping. Test accuracy in percent against "
        f"the percentage of weights of each map (outputs included) that are 0; "
        f"{over_seeds(config.seeds)}.",
        "",
        *markdown_table(header, lines),
        "",
        "By how many points the released S-QR layer is better than each rival (standard error of the difference):",
        "",
        *markdown_table(
            ["rival", *(f"{s:g} %" for s in config.sparsities)],
            [[f.name, *(_lead_cell(rows, f.name, s) for s in config.sparsities)] for f in FAMILIES[1:]],
        ),
    ]


def run(
    out: str | Path, quick: bool = False, seeds: int | None = None, *, report: Callable[[str], None] = print
) -> Path:
    """Run the study.

    Args:
        out: the folder; made where it is missing.
        quick: digits and small networks instead of MNIST.
        seeds: networks a family and sparsity; by default 3, and 2 where widths and epochs are compared.
        report: told each family's name when it is done.

    Returns:
        The folder.

    Raises:
        InputError: if the number of seeds is not allowed, the data is missing or the folder is a file.
    """
    from modejax.studies.files import check_folder
    from modejax.studies.spectral_sparse_width import measure_epochs

    shared = settings(quick, check_seeds(seeds, 3))
    folder = check_folder(out)
    epochs = measure_epochs(folder, quick, check_seeds(seeds, 2), report)
    return write(folder, measure(shared, report), epochs, shared)


def write(folder: Path, rows: Sequence[Row], epochs: Sequence[EpochRow], shared: SweepConfig) -> Path:
    """Write the files of the study from its rows.

    Args:
        folder: where.
        rows: of all families.
        epochs: of the families that are compared at several widths after every epoch.
        shared: what the sweeps of all families share.

    Returns:
        The folder.
    """
    from modejax.studies.spectral_sparse_width import draw_epochs, width_lines

    title = f"{shared.dataset}, {shared.epochs} epochs; {over_seeds(shared.seeds)}"
    seeds = len({row.seed for row in epochs})
    size = {"width": shared.widths[0], "epochs": shared.epochs}
    return write_study(
        folder,
        page=[*_page(rows, shared), *width_lines(epochs, shared.dataset)],
        rows=[*(row._asdict() | size for row in rows), *(row._asdict() for row in epochs)],
        config=dataclasses.asdict(shared) | {"families": [family._asdict() for family in FAMILIES]},
        figures={
            "error": lambda: _draw(rows, title),
            "epochs": lambda: draw_epochs(epochs, f"{shared.dataset}; mean and range of {seeds} seeds"),
        },
    )
