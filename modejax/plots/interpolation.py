"""Pictures of interpolation matrices: patterns in block order, conditioning, profiles over layers, decision regions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "plot_condition",
    "plot_matrix",
    "plot_profile",
    "plot_regions",
    "plot_series",
]

_MARKS = "osD^vPX*"


def plot_matrix(
    ax: Axes, Phi: np.ndarray, title: str, *, rows: np.ndarray | None = None, columns: np.ndarray | None = None
) -> Axes:
    """Draw an interpolation matrix as an image: colour is the entry over its column's largest, white is inactive.

    Args:
        ax: where.
        Phi: activations, shape (points, units).
        title: the title.
        rows: an order of the points, for example of `block_order`.
        columns: an order of the units.

    Returns:
        The axes.

    Example:
        >>> from matplotlib.figure import Figure
        >>> plot_matrix(Figure().subplots(), np.eye(3), "diagonal").get_xlabel()
        'unit'
    """
    from matplotlib import colormaps

    shown = np.asarray(Phi, np.float64)
    shown = shown if rows is None else shown[rows]
    shown = shown if columns is None else shown[:, columns]
    largest = shown.max(axis=0, initial=0.0)
    scaled = np.where(shown > 1e-12 * largest.max(initial=0.0), shown / np.where(largest > 0, largest, 1.0), np.nan)
    # Square roots keep small entries apart from white.
    colours = colormaps["viridis"].with_extremes(bad="white")
    ax.imshow(np.sqrt(scaled), cmap=colours, vmin=0, vmax=1, aspect="auto", interpolation="nearest")
    ax.set_title(title, fontsize=9)
    ax.set_xlabel("unit")
    ax.set_ylabel("point")
    return ax


def plot_series(
    ax: Axes,
    x: Sequence[float],
    curves: Mapping[str, tuple[np.ndarray, np.ndarray]],
    *,
    xlabel: str,
    ylabel: str,
    log_x: bool = False,
    log_y: bool = False,
    legend: str = "",
) -> Axes:
    """Draw means with bars of one standard deviation, one curve a name.

    Args:
        ax: where.
        x: the places, shape (points,).
        curves: name to (mean, standard deviation), each of shape (points,); 0 or not a number for no bar.
        xlabel: of the horizontal axis.
        ylabel: of the vertical axis.
        log_x: logarithmic, base 2, with the places as ticks.
        log_y: logarithmic; bars that reach below 0 are cut.
        legend: the title of the legend.

    Returns:
        The axes.

    Example:
        >>> from matplotlib.figure import Figure
        >>> ax = plot_series(Figure().subplots(), [1, 2], {"a": (np.ones(2), np.zeros(2))}, xlabel="x", ylabel="y")
        >>> ax.get_ylabel()
        'y'
    """
    from matplotlib import colormaps

    colours = colormaps["viridis"](np.linspace(0, 0.87, max(len(curves), 2)))
    for index, (name, (mean, sd)) in enumerate(curves.items()):
        bars = np.nan_to_num(np.asarray(sd, np.float64))
        low = np.minimum(bars, 0.9 * np.abs(mean)) if log_y else bars
        ax.errorbar(
            x,
            mean,
            np.stack([low, bars]),
            label=name,
            color=colours[index],
            marker=_MARKS[index % 8],
            ms=4,
            lw=1.4,
            capsize=2,
        )
    ax.set_xlabel(xlabel)
    ax.set_ylabel(ylabel)
    if log_x:
        from modejax.plots.style import set_number_axis

        set_number_axis(ax, sorted(set(x)), wide=1.0)
    if log_y:
        ax.set_yscale("log")
    ax.grid(alpha=0.3)
    if len(curves) > 1:
        ax.legend(fontsize=8, title=legend or None, title_fontsize=8)
    return ax


def plot_condition(ax: Axes, n: Sequence[int], curves: Mapping[float, np.ndarray]) -> Axes:
    """Draw the condition of the hinge matrix against the number of units, one curve a theta, beside n^2 and n^3.

    Args:
        ax: where.
        n: units.
        curves: theta to conditions, shape (len(n),); beyond 1e16 double precision sees nothing.

    Returns:
        The axes.
    """
    size = np.array(n, np.float64)
    blank = {
        f"{theta:g}": (np.where(values < 1e17, values, np.nan), np.zeros(len(n))) for theta, values in curves.items()
    }
    plot_series(ax, n, blank, xlabel="units n", ylabel="condition of the hinge matrix", log_x=True, log_y=True)
    ax.plot(size, 1.138 * size**2, "k:", lw=1, label=r"$1.138\,n^2$")
    ax.plot(size, 1.5 * size**3, "k--", lw=1, label=r"$1.5\,n^3$")
    ax.set_ylim(1, 1e17)
    ax.legend(fontsize=8, title=r"$\theta$", title_fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return ax


def plot_profile(ax: Axes, curves: Mapping[str, tuple[np.ndarray, np.ndarray]], ylabel: str, legend: str = "") -> Axes:
    """Draw a quantity against the number of the layer, mean and standard deviation, one curve a name."""
    layers = list(range(1, 1 + max(len(mean) for mean, _ in curves.values())))
    plot_series(ax, layers, curves, xlabel="hidden layer", ylabel=ylabel, legend=legend)
    ax.set_xticks(layers)
    return ax


def plot_regions(ax: Axes, decide: Any, X: np.ndarray, y: np.ndarray, title: str, *, cells: int = 300) -> Axes:
    """Draw the decision regions of a classifier in the plane, and the points.

    Args:
        ax: where.
        decide: points (rows, 2) to outputs (rows, classes); the largest wins, grey where none exceeds 1/2.
        X: points, shape (rows, 2).
        y: labels, shape (rows,).
        title: the title.
        cells: of the grid along each axis.

    Returns:
        The axes.

    Example:
        >>> from matplotlib.figure import Figure
        >>> X = np.eye(2)
        >>> plot_regions(Figure().subplots(), lambda x: x, X, np.array([0, 1]), "the larger", cells=5).get_title()
        'the larger'
    """
    from matplotlib import colormaps
    from matplotlib.colors import ListedColormap

    low, high = X.min(axis=0), X.max(axis=0)
    low, high = low - 0.08 * (high - low), high + 0.08 * (high - low)
    axes = [np.linspace(a, b, cells) for a, b in zip(low, high, strict=True)]
    grid = np.stack(np.meshgrid(*axes), axis=-1).reshape(-1, 2)
    out = np.asarray(decide(grid))
    winner = np.where(out.max(axis=1) > 0.5, out.argmax(axis=1) + 1, 0).reshape(cells, cells)
    classes = out.shape[1]
    strong = [colormaps["tab10"](k) for k in range(classes)]
    pale = ListedColormap([(0.88, 0.88, 0.88), *[tuple(0.55 + 0.45 * np.array(c[:3])) for c in strong]])
    ax.imshow(
        winner, origin="lower", extent=(low[0], high[0], low[1], high[1]), cmap=pale, vmin=0, vmax=classes,
        aspect="auto", interpolation="nearest",
    )  # fmt: skip
    ax.scatter(X[:, 0], X[:, 1], c=[strong[k] for k in y], s=9, edgecolors="white", linewidths=0.3)
    ax.set_title(title, fontsize=9)
    ax.set_xlabel(r"$x_1$")
    ax.set_ylabel(r"$x_2$")
    return ax
