"""What the spread over seeds consists of: initial values, the order of batches, and both together.

Most studies give error bars over seeds. Where all networks of a sweep share one order of batches (`batches=shared`),
these bars hold the effect of the initial values alone. Here every start is trained with every order.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from modejax.studies.common import check_seeds, final_accuracy, markdown_table
from modejax.studies.files import check_folder
from modejax.studies.mdl_files import write_figures, write_study
from modejax.studies.mdl_runs import trained_run
from modejax.sweep.config import SweepConfig

__all__ = ["KINDS", "Spread", "run", "settings", "spread_of"]

KINDS = {"mode": "modes", "two_sets": "eigenvalues of both sets", "baseline": "dense"}
"""Arms of the sweeps, with what they are called."""


class Spread(NamedTuple):
    """Standard deviations of the test accuracy in points."""

    starts: float  # over initial values, one order of batches
    orders: float  # over orders, one start
    both: float  # over networks that share neither
    share_starts: float  # variance that the start alone explains, share of that of `both`
    share_orders: float
    share_pair: float  # variance of start and order together beyond the two
    most_orders: float  # upper end of the share of the order, one-sided 95 %


def spread_of(accuracy: Float[np.ndarray, "starts orders"]) -> Spread:
    """Take the spread of accuracies apart: a random-effects analysis of variance of two crossed factors.

    Args:
        accuracy: percent, a start a row and an order a column, at least two of each.

    Returns:
        The spread. A component that comes out negative counts as 0. The upper end of the share of the order follows
        from the F distribution of the ratio of its mean square to that of the pair, the other components as estimated.

    Example:
        >>> start, order = np.array([[0.0], [1.0], [2.0]]), np.array([[0.0, 0.0, 0.0]])
        >>> found = spread_of(97 + start + order)
        >>> found.starts, found.orders, found.share_starts
        (1.0, 0.0, 1.0)
    """
    from scipy import stats

    y = np.asarray(accuracy, float)
    rows, columns = y.shape
    row, column = y.mean(axis=1), y.mean(axis=0)
    rest = y - row[:, None] - column[None] + y.mean()
    pair = (rest**2).sum() / ((rows - 1) * (columns - 1))
    of_start = max(row.var(ddof=1) - pair / columns, 0.0)
    of_order = max(column.var(ddof=1) - pair / rows, 0.0)
    whole = of_start + of_order + pair
    most = 0.0
    if pair:
        ratio = rows * column.var(ddof=1) / pair
        lowest = stats.f.ppf(0.05, columns - 1, (rows - 1) * (columns - 1))
        largest = pair * max(ratio / lowest - 1, 0.0) / rows
        most = float(largest / (of_start + largest + pair))
    of_whole = [float(each / whole) if whole else 0.0 for each in (of_start, of_order, pair)]
    starts, orders = (float(np.sqrt(y.var(axis=axis, ddof=1).mean())) for axis in (0, 1))
    return Spread(starts, orders, float(np.sqrt(whole)), of_whole[0], of_whole[1], of_whole[2], most)


def settings(quick: bool, seeds: int) -> SweepConfig:
    """Return the sweep of one order of batches; the others differ in their `shuffle_seed`.

    Example:
        >>> [arm.name for arm in settings(True, 3).all_arms]
        ['mode', 'two_sets', 'baseline']
    """
    size: dict[str, Any] = (
        {"dataset": "digits", "widths": (32,), "modes": (10,), "epochs": 20, "halve_every": 5, "batch_size": 50}
        if quick
        else {"dataset": "mnist", "widths": (100,), "modes": (30,), "epochs": 4, "halve_every": 1}
    )
    return SweepConfig(
        name="mode",
        arms=("two_sets layer=spectral layer_options=use_bias=false learning_rates=0.02 weight_decays=0",),
        seeds=seeds,
        kept=(0,),
        **size,
    )


def run(
    out: str | Path, quick: bool = False, seeds: int | None = None, *, report: Callable[[str], None] = print
) -> Path:
    """Run the study.

    Args:
        out: the folder; made where it is missing. Trained networks are kept in its `runs`.
        quick: digits and small networks instead of MNIST, and 4 seeds.
        seeds: starts, and as many orders of batches; by default 8.
        report: called with a line of text for each part that is done.

    Returns:
        The folder.

    Raises:
        InputError: if the number of seeds is not allowed, the data is missing or the folder is a file.

    Example:
        >>> run("docs/studies/seed-spread", quick=True, seeds=1)
        Traceback (most recent call last):
        ...
        modejax.errors.InputError: seeds must be integers of at least 2, since error bars need them, got 1
    """
    count = check_seeds(seeds, 4 if quick else 8, least=2)
    folder = check_folder(out)
    base = settings(quick, count)
    configs = {f"order-{k}": dataclasses.replace(base, shuffle_seed=k) for k in range(count)}
    runs = [trained_run(folder, name, config, report) for name, config in configs.items()]
    accuracy = {
        name: np.stack([100 * final_accuracy(run[arm]).transpose("seed", ...).values.reshape(count) for run in runs], 1)
        for arm, name in KINDS.items()
    }
    found = {name: spread_of(values) for name, values in accuracy.items()}
    page = [
        "# What the spread over seeds consists of",
        "",
        f"{base.dataset}, two hidden layers of {base.widths[0]}, {base.epochs} epochs, rate halved every "
        f"{base.halve_every}. {count} starts, each trained with each of {count} orders of batches. Standard deviations "
        "of the test accuracy in points; shares of the variance by a random-effects analysis of two crossed factors.",
        "",
        *markdown_table(
            [
                "network",
                "accuracy (%)",
                "over starts, one order",
                "over orders, one start",
                "over networks that share neither",
                "shares: start, order, the pair",
                "share of the order at most",
            ],
            [
                [
                    name,
                    f"{accuracy[name].mean():.2f}",
                    *(f"{value:.3f}" for value in (each.starts, each.orders, each.both)),
                    f"{each.share_starts:.2f}, {each.share_orders:.2f}, {each.share_pair:.2f}",
                    f"{each.most_orders:.2f}",
                ]
                for name, each in found.items()
            ],
        ),
        "",
        "`figures/accuracy.png` has every network, `table.csv` its accuracy.",
    ]
    write_figures(folder, {"accuracy": ((10.5, 4.0), lambda figure: _figure(figure, accuracy))})
    rows = [
        {"network": name, "start": i, "order": j, "accuracy": float(values[i, j])}
        for name, values in accuracy.items()
        for i in range(count)
        for j in range(count)
    ]
    write_study(folder, page=page, rows=rows, settings={"seeds": count, "quick": quick}, runs=configs)
    return folder


def _figure(figure: Any, accuracy: dict[str, np.ndarray]) -> None:
    from modejax.plots.style import finish

    axes = figure.subplots(1, len(accuracy))
    for ax, (name, values) in zip(axes, accuracy.items(), strict=True):
        for j in range(values.shape[1]):
            ax.plot(np.arange(len(values)), values[:, j], "o", ms=4, color=f"C{j % 10}", alpha=0.8)
        ax.plot(np.arange(len(values)), values.mean(axis=1), "_", ms=16, color="black")
        ax.set_xlabel("start (seed of the initial values)")
        ax.set_title(name, fontsize=10)
        finish(ax)
    axes[0].set_ylabel("test accuracy (%)")
    figure.suptitle("a colour an order of batches; bars: mean of a start", fontsize=10)
