"""The Gaussian mixture: three bias-free ReLU units cannot solve it, eight reach the Bayes accuracy.

The first figure of Li and Huang, arXiv 2208.09859, in whose released code the network is 2-3-1 without biases.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from modejax.studies.common import check_seeds, markdown_table
from modejax.studies.files import check_folder
from modejax.studies.mdl_files import write_figures, write_study
from modejax.studies.mdl_runs import mixture, trained_run

__all__ = ["run", "solved"]


def solved(accuracy: np.ndarray, bayes: float, margin: float = 0.5) -> int:
    """Count networks whose accuracy (percent) is within `margin` points of the best that is possible.

    Example:
        >>> solved(np.array([97.4, 73.5]), 97.5)
        1
    """
    return int((np.asarray(accuracy) >= bayes - margin).sum())


def run(
    out: str | Path, quick: bool = False, seeds: int | None = None, *, report: Callable[[str], None] = print
) -> Path:
    """Run the study.

    Args:
        out: the folder; made where it is missing. Trained networks are kept in its `runs`.
        quick: one epoch instead of four.
        seeds: networks of each width; by default 10.
        report: called with a line of text for each part that is done.

    Returns:
        The folder.

    Raises:
        InputError: if the number of seeds is not allowed or the folder is a file.

    Example:
        >>> run("docs/studies/mdl-mixture", quick=True, seeds=0)
        Traceback (most recent call last):
        ...
        modejax.errors.InputError: seeds must be integers of at least 1, got 0
    """
    from modejax.data.mixture import bayes_accuracy, gaussian_mixture
    from modejax.plots.mixture import plot_decision, plot_mode_space

    count = check_seeds(seeds, 10)
    folder = check_folder(out)
    config = mixture(quick, count)
    trained = trained_run(folder, "mixture", config, report)
    bayes = 100 * bayes_accuracy()
    last = 100 * trained.first.test_accuracy.isel(epoch=-1, modes=0, learning_rate=0, weight_decay=0)
    data = gaussian_mixture(trained.config.shuffle_seed)
    x, cluster = data.x_test[:1200], np.arange(1200) % 4

    page = [
        "# The Gaussian mixture",
        "",
        "Four clusters labelled like XOR; 2-H-1, three modes in each map, ReLU, no biases, linear output, "
        f"{config.epochs} epoch(s) of 100,000 points in "
        f"batches of {config.batch_size}, learning rate {config.learning_rates[0]:g}. The best any classifier can "
        f"reach is {bayes:.2f} %. Test accuracy in "
        "percent.",
        "",
    ]
    lines, rows = [], []
    for width in last.width.values:
        values = np.asarray(last.sel(width=width), float)
        finite = values[np.isfinite(values)]
        text = ", ".join(f"{value:.1f}" for value in np.sort(values)[::-1])
        lines.append([f"2-{width}-1", f"{solved(finite, bayes)} of {len(values)}", f"{np.max(finite):.1f}", text])
        rows += [
            {"hidden_units": int(width), "seed": int(seed), "accuracy": float(value)}
            for seed, value in zip(last.seed.values, values, strict=True)
        ]
    page += [*markdown_table(["network", "within 0.5 points of Bayes", "best", "all seeds"], lines), ""]
    page += [
        "Why three units fail: without biases a ReLU unit is active on at most one of two opposite cluster means. "
        "Each of the four means needs a unit of its own, "
        "with an output weight of the sign of its label; with three units one cluster of four is left to the output "
        "0, or to the wrong sign, and the accuracy stays "
        "near 1/4 below. Four units are needed, and training seldom finds exactly these four.",
        "",
        "`figures/decision.png` has the output of the best network of each width over the plane (black: decision "
        "boundary), `figures/mode-space.png` the test points as the modes of "
        "the first map see them (Sigma xi_in x, in the plane that they fill).",
        "",
    ]
    best = {}
    for member in trained.networks():
        value = float(last.sel(width=member.width, seed=member.seed))
        if np.isfinite(value) and value > best.get(member.width, (-1.0, None))[0]:
            best[member.width] = (value, member)

    def figure_of(draw: Callable[..., Any]) -> Callable[[Any], None]:
        def on(figure: Any) -> None:
            axes = figure.subplots(1, len(best))
            for ax, (width, (value, member)) in zip(np.atleast_1d(axes), sorted(best.items()), strict=True):
                draw(ax, member.network, member.params, x, cluster)
                ax.set_title(f"2-{width}-1, best of {count}: {value:.1f} %", fontsize=10)

        return on

    write_figures(
        folder,
        {"decision": ((11.5, 4.2), figure_of(plot_decision)), "mode-space": ((11.5, 4.2), figure_of(plot_mode_space))},
    )
    write_study(folder, page=page, rows=rows, settings={"seeds": count, "quick": quick}, runs={"mixture": config})
    return folder
