"""Tables, comparisons and figures of the part of `spectral-pruning` on the sizes of the source."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from modejax.studies.common import markdown_table, pm, verdict
from modejax.studies.spectral_pruning_source import (
    AUTHORS,
    DEPTHS,
    FILES,
    PERCENTILES,
    SCORES,
    SourceRow,
    values_of,
)

__all__ = ["authors_lines", "compared", "draw_long", "draw_source", "long_lines", "source_lines"]

_NAMES = {"elu": "ELU", "relu": "ReLU", "tanh": "tanh"}
_OVER = ("all layers", "each layer")
_LINES = (
    ("spectral", "eigenvalue", "#0072B2", "-", "o"),
    ("spectral", "incoming", "#56B4E9", "-", "s"),
    ("spectral", "random", "#777777", "-", "."),
    ("dense", "incoming", "#D55E00", "--", "o"),
    ("dense", "throughput", "#CC79A7", "--", "s"),
    ("dense", "random", "#BBBBBB", "--", "."),
)
_RIVALS = (
    ("dense, incoming weights", "dense", "incoming"),
    ("same network, incoming weights", "spectral", "incoming"),
    ("same network, random nodes", "spectral", "random"),
    ("dense, random nodes", "dense", "random"),
)


def compared(rows: Sequence[SourceRow], over: str, **where: object) -> list[list[str]]:
    """Return the lines of a table: by how many points |lambda| is better than each rival, and the verdict.

    Args:
        rows: of the runs.
        over: what a percentile is taken over.
        **where: depth, activation and other values of the rows.
    """
    lines = []
    for name, network, score in _RIVALS:
        cells = [name]
        for percentile in PERCENTILES:
            at = {"over": over, "percentile": percentile, **where}
            own = values_of(rows, network="spectral", score="eigenvalue", **at)
            rival = values_of(rows, network=network, score=score, **at)
            cells.append(f"{own.mean() - rival.mean():+.1f} {verdict(own, rival)}")
        lines.append(cells)
    return lines


def _accuracies(rows: Sequence[SourceRow], depth: int, activation: str, over: str) -> list[list[str]]:
    here = {"depth": depth, "activation": activation, "over": over}
    lines = []
    for network in ("spectral", "dense"):
        for score in SCORES:
            if network == "dense" and score.startswith("eigen"):
                continue
            at = {**here, "network": network, "score": score}
            cells = [pm(values_of(rows, **at, percentile=p)) for p in (0.0, *PERCENTILES)]
            lines.append([f"{network}, {score}", *cells])
        stored = AUTHORS.get((depth, activation, network))
        if stored and over == "all layers":
            name = "eigenvalue" if network == "spectral" else "incoming"
            lines.append([f"authors: {network}, {name}", "", *(f"{100 * value:.1f}" for value in stored)])
    return lines


def _activations(rows: Sequence[SourceRow]) -> list[str]:
    return sorted({row.activation for row in rows})


def authors_lines() -> list[str]:
    """Return the lines of a table of the authors' numbers: by how many points eigenvalues beat the dense ranking."""
    lines = []
    for depth, activation in sorted({(depth, activation) for depth, activation, _ in AUTHORS}):
        own, dense = (np.array(AUTHORS[depth, activation, network]) for network in ("spectral", "dense"))
        name = f"{_NAMES[activation]}, {_layers(depth)} ({FILES[depth]})"
        lines.append([name, *(f"{100 * points:+.1f}" for points in own - dense)])
    return markdown_table(["network", *(f"{p:g} % dropped" for p in PERCENTILES)], lines)


def _layers(depth: int) -> str:
    return "1 hidden layer" if depth == 1 else f"{depth} hidden layers"


def source_lines(rows: Sequence[SourceRow], sizes: dict[int, int]) -> list[str]:
    """Return the lines of the page: accuracies, the authors' beside them, and comparisons.

    Args:
        rows: of the runs of all sizes.
        sizes: nodes of a hidden layer by the number of hidden layers.
    """
    epochs, seeds = rows[0].epochs, len({row.seed for row in rows})
    head = [f"{p:g} % dropped" for p in PERCENTILES]
    page = [
        "",
        "# The sizes of the source",
        "",
        f"{epochs} epochs (the source: 100), {seeds} seeds (the source: 5), each with its own order of the batches; "
        "test accuracy in percent, mean (smallest to largest). Authors: the tables "
        f"{', '.join(FILES[depth] for depth in DEPTHS)} of the repository Buffoni/spectral_learning, means of 5 runs. "
        "Comparisons: points by which the eigenvalues of the spectral network are better; holds or fails where all "
        "seeds of one are above all of the other, else not shown.",
        "",
        "By how many points the authors' spectral networks, ranked by eigenvalues, are above their dense ones, ranked "
        "by incoming weights:",
        "",
        *authors_lines(),
    ]
    for depth in DEPTHS:
        for activation in _activations(rows):
            for over in _OVER[: 1 if depth == 1 else 2]:
                scope = "" if depth == 1 else f", percentile of {over}"
                name = f"{_NAMES[activation]}, {_layers(depth)} of {sizes[depth]}{scope}"
                table = _accuracies(rows, depth, activation, over)
                page += ["", f"## {name}", "", *markdown_table(["ranking", "0 % dropped", *head], table), ""]
                page += markdown_table(
                    ["eigenvalues against", *head], compared(rows, over, depth=depth, activation=activation)
                )
    return page


def long_lines(rows: Sequence[SourceRow]) -> list[str]:
    """Return the lines of the page about the long run."""
    depth, activation = rows[0].depth, rows[0].activation
    page = ["", f"# More epochs: {_NAMES[activation]}, {_layers(depth)}, {len({row.seed for row in rows})} seeds"]
    for over in _OVER:
        lines = []
        for network, score, *_ in _LINES:
            for epochs in sorted({row.epochs for row in rows}):
                at = {"over": over, "network": network, "score": score, "epochs": epochs}
                cells = [pm(values_of(rows, **at, percentile=p)) for p in PERCENTILES]
                lines.append([f"{network}, {score}", epochs, *cells])
            stored = AUTHORS.get((depth, activation, network))
            if stored and over == "all layers" and score == ("eigenvalue" if network == "spectral" else "incoming"):
                lines.append([f"authors: {network}, {score}", 100, *(f"{100 * value:.1f}" for value in stored)])
        head = ["ranking", "epochs", *(f"{p:g} % dropped" for p in PERCENTILES)]
        page += ["", f"## Percentile of {over}", "", *markdown_table(head, lines)]
    return page


def _band(ax: Any, x: Sequence[float], values: Sequence[np.ndarray], label: str, style: Sequence[str]) -> None:
    """Draw means with bars from the smallest to the largest value."""
    colour, line, marker = style
    mean = np.array([each.mean() for each in values])
    low, high = (np.array([f(each) for each in values]) for f in (np.min, np.max))
    form = {"color": colour, "linestyle": line, "marker": marker, "ms": 3.5, "lw": 1.3, "capsize": 2, "elinewidth": 0.9}
    ax.errorbar(x, mean, np.array([mean - low, high - mean]), label=label, **form)


def draw_source(rows: Sequence[SourceRow], over: str, sizes: dict[int, int], title: str) -> Any:
    """Draw accuracy against dropped nodes, a panel for each size and activation.

    Args:
        rows: of the runs of all sizes.
        over: what a percentile is taken over; `each layer` leaves one hidden layer out, where it is the same.
        sizes: nodes of a hidden layer by the number of hidden layers.
        title: of the figure.
    """
    from matplotlib.figure import Figure

    depths = [depth for depth in DEPTHS if over == "all layers" or depth > 1]
    activations = _activations(rows)
    figure = Figure(figsize=(1.5 + 3.3 * max(2, len(activations)), 1.3 + 3.1 * len(depths)), layout="constrained")
    grid = figure.subplots(len(depths), len(activations), sharex=True, sharey=True, squeeze=False)
    percentiles = (0.0, *PERCENTILES)
    for depth, axes in zip(depths, grid, strict=True):
        for activation, ax in zip(activations, axes, strict=True):
            at = {"depth": depth, "activation": activation, "over": over}
            for network, score, *style in _LINES:
                found = [values_of(rows, **at, network=network, score=score, percentile=p) for p in percentiles]
                _band(ax, percentiles, found, f"{network}, {score}", style)
            for network, colour in (("spectral", "#0072B2"), ("dense", "#D55E00")):
                stored = AUTHORS.get((depth, activation, network))
                if stored and over == "all layers":
                    name = "eigenvalue" if network == "spectral" else "incoming"
                    form = {"marker": "*", "s": 70, "facecolor": "none", "edgecolor": colour, "zorder": 5}
                    ax.scatter(
                        PERCENTILES, 100 * np.array(stored), label=f"authors, 100 epochs: {network}, {name}", **form
                    )
            ax.set_title(f"{_NAMES[activation]}, {_layers(depth)} of {sizes[depth]}", fontsize=10)
            ax.grid(alpha=0.3)
            ax.set_ylim(0, 101)
    for ax in grid[-1]:
        what = "hidden nodes dropped (%)" if over == "all layers" else "nodes dropped of each layer (%)"
        ax.set_xlabel(what)
    for axes in grid:
        axes[0].set_ylabel("test accuracy (%)")
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False, fontsize=9)
    figure.suptitle(title, fontsize=11)
    return figure


def draw_long(rows: Sequence[SourceRow], title: str, percentiles: Sequence[float] = (50.0, 80.0, 90.0)) -> Any:
    """Draw accuracy against epochs of training at some percentages of dropped nodes, for both ways of a percentile.

    Args:
        rows: of the long run.
        title: of the figure.
        percentiles: a column of panels each.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11.5, 7.2), layout="constrained")
    grid = figure.subplots(2, len(percentiles), sharex=True, sharey=True)
    epochs = sorted({row.epochs for row in rows})
    depth, activation = rows[0].depth, rows[0].activation
    for over, axes in zip(_OVER, grid, strict=True):
        for percentile, ax in zip(percentiles, axes, strict=True):
            for network, score, *style in _LINES:
                at = {"over": over, "percentile": percentile, "network": network, "score": score}
                _band(ax, epochs, [values_of(rows, **at, epochs=e) for e in epochs], f"{network}, {score}", style)
            for network, colour in (("spectral", "#0072B2"), ("dense", "#D55E00")):
                stored = AUTHORS.get((depth, activation, network))
                if stored and over == "all layers":
                    value = 100 * stored[PERCENTILES.index(percentile)]
                    form = {"marker": "*", "s": 70, "facecolor": "none", "edgecolor": colour, "zorder": 5}
                    ax.scatter([100], [value], label=f"authors: {network}", **form)
            ax.set_title(f"{percentile:g} % dropped, percentile of {over}", fontsize=10)
            ax.set_xscale("log")
            ax.set_xticks([*epochs, 100], [f"{e}" for e in (*epochs, 100)])
            ax.minorticks_off()
            ax.grid(alpha=0.3)
            ax.set_ylim(0, 101)
        axes[0].set_ylabel("test accuracy (%)")
    for ax in grid[-1]:
        ax.set_xlabel("epochs of training")
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False, fontsize=9)
    figure.suptitle(title, fontsize=11)
    return figure
