"""Pictures of interpolation matrices: patterns in block order, conditioning, profiles over layers, decision regions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from modejax.plots.colours import Chosen, choose, ordered_colours
from modejax.plots.style import own_axes

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
    Phi: np.ndarray,
    ax: Axes | None = None,
    *,
    title: str = "",
    rows: np.ndarray | None = None,
    columns: np.ndarray | None = None,
) -> Axes:
    """Draw an interpolation matrix as an image: colour is the entry over its column's largest, white is inactive.

    Args:
        Phi: activations, shape (points, units).
        ax: where to draw; a figure of its own by default.
        title: the title.
        rows: an order of the points, for example of `block_order`.
        columns: an order of the units.

    Returns:
        The axes.

    Example:
        >>> plot_matrix(np.eye(3), title="diagonal").get_xlabel()
        'unit'
    """
    from matplotlib import colormaps

    ax = own_axes(ax)
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
    x: Sequence[float],
    curves: Mapping[str, tuple[np.ndarray, np.ndarray]],
    ax: Axes | None = None,
    *,
    xlabel: str = "",
    ylabel: str = "",
    log: Literal["", "x", "y", "xy"] = "",
    legend: str = "",
    colours: Chosen = None,
) -> Axes:
    """Draw means with bars of one standard deviation, one curve a name.

    Args:
        x: the places, shape (points,).
        curves: name to (mean, standard deviation), each of shape (points,); 0 or not a number for no bar.
        ax: where to draw; a figure of its own by default.
        xlabel: of the horizontal axis.
        ylabel: of the vertical axis.
        log: the logarithmic axes; the horizontal one has base 2 and the places as ticks, on the vertical one bars that
            reach below 0 are cut.
        legend: the title of the legend.
        colours: a colour for each curve in their order, or by name.

    Returns:
        The axes.

    Example:
        >>> plot_series([1, 2], {"a": (np.ones(2), np.zeros(2))}, xlabel="units", log="x").get_xscale()
        'log'
    """
    ax = own_axes(ax)
    drawn = choose(colours, list(curves), ordered_colours(max(len(curves), 2)))
    for index, (name, (mean, sd)) in enumerate(curves.items()):
        bars = np.nan_to_num(np.asarray(sd, np.float64))
        low = np.minimum(bars, 0.9 * np.abs(mean)) if "y" in log else bars
        ax.errorbar(
            x,
            mean,
            np.stack([low, bars]),
            label=name,
            color=drawn[index],
            marker=_MARKS[index % 8],
            ms=4,
            lw=1.4,
            capsize=2,
        )
    ax.set_xlabel(xlabel)
    ax.set_ylabel(ylabel)
    if "x" in log:
        from modejax.plots.style import set_number_axis

        set_number_axis(ax, sorted(set(x)), wide=1.0)
    if "y" in log:
        ax.set_yscale("log")
    ax.grid(alpha=0.3)
    if len(curves) > 1:
        ax.legend(fontsize=8, title=legend or None, title_fontsize=8)
    return ax


def plot_condition(
    n: Sequence[int], curves: Mapping[float, np.ndarray], ax: Axes | None = None, *, colours: Chosen = None
) -> Axes:
    """Draw the condition of the hinge matrix against the number of units, one curve a theta, beside n^2 and n^3.

    Args:
        n: units.
        curves: theta to conditions, shape (len(n),); beyond 1e16 double precision sees nothing.
        ax: where to draw; a figure of its own by default.
        colours: a colour for each theta in their order, or by its text.

    Returns:
        The axes.

    Example:
        >>> plot_condition([2, 4], {0.5: np.array([10.0, 80.0])}).get_yscale()
        'log'
    """
    size = np.array(n, np.float64)
    blank = {
        f"{theta:g}": (np.where(values < 1e17, values, np.nan), np.zeros(len(n))) for theta, values in curves.items()
    }
    label = "condition of the hinge matrix"
    ax = plot_series(n, blank, ax, xlabel="units n", ylabel=label, log="xy", colours=colours)
    ax.plot(size, 1.138 * size**2, "k:", lw=1, label=r"$1.138\,n^2$")
    ax.plot(size, 1.5 * size**3, "k--", lw=1, label=r"$1.5\,n^3$")
    ax.set_ylim(1, 1e17)
    ax.legend(fontsize=8, title=r"$\theta$", title_fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return ax


def plot_profile(
    curves: Mapping[str, tuple[np.ndarray, np.ndarray]],
    ax: Axes | None = None,
    *,
    ylabel: str = "",
    legend: str = "",
    colours: Chosen = None,
) -> Axes:
    """Draw a quantity against the number of the layer, mean and standard deviation, one curve a name.

    Args:
        curves: name to (mean, standard deviation), each of shape (layers,).
        ax: where to draw; a figure of its own by default.
        ylabel: the quantity.
        legend: the title of the legend.
        colours: a colour for each curve in their order, or by name.

    Returns:
        The axes.

    Example:
        >>> plot_profile({"N = 8": (np.array([0.5, 0.4]), np.zeros(2))}, ylabel="density").get_xlabel()
        'hidden layer'
    """
    layers = list(range(1, 1 + max(len(mean) for mean, _ in curves.values())))
    ax = plot_series(layers, curves, ax, xlabel="hidden layer", ylabel=ylabel, legend=legend, colours=colours)
    ax.set_xticks(layers)
    return ax


def plot_regions(
    decide: Callable[[np.ndarray], Any],
    X: np.ndarray,
    y: np.ndarray,
    ax: Axes | None = None,
    *,
    title: str = "",
    cells: int = 300,
    colours: Sequence[Any] | None = None,
) -> Axes:
    """Draw the decision regions of a classifier in the plane, and the points.

    Args:
        decide: points (rows, 2) to outputs (rows, classes); the largest wins, grey where none exceeds 1/2.
        X: points, shape (rows, 2).
        y: labels, shape (rows,).
        ax: where to draw; a figure of its own by default.
        title: the title.
        cells: of the grid along each axis.
        colours: a colour for each class.

    Returns:
        The axes.

    Example:
        >>> X = np.eye(2)
        >>> plot_regions(lambda x: x, X, np.array([0, 1]), title="the larger", cells=5).get_title()
        'the larger'
    """
    from matplotlib import colormaps
    from matplotlib.colors import ListedColormap, to_rgb

    ax = own_axes(ax)
    low, high = X.min(axis=0), X.max(axis=0)
    low, high = low - 0.08 * (high - low), high + 0.08 * (high - low)
    axes = [np.linspace(a, b, cells) for a, b in zip(low, high, strict=True)]
    grid = np.stack(np.meshgrid(*axes), axis=-1).reshape(-1, 2)
    out = np.asarray(decide(grid))
    winner = np.where(out.max(axis=1) > 0.5, out.argmax(axis=1) + 1, 0).reshape(cells, cells)
    classes = out.shape[1]
    names = [str(k) for k in range(classes)]
    strong = [to_rgb(each) for each in choose(colours, names, [colormaps["tab10"](k % 10) for k in range(classes)])]
    pale = ListedColormap([(0.88, 0.88, 0.88), *[tuple(0.55 + 0.45 * np.array(c)) for c in strong]])
    ax.imshow(
        winner, origin="lower", extent=(low[0], high[0], low[1], high[1]), cmap=pale, vmin=0, vmax=classes,
        aspect="auto", interpolation="nearest",
    )  # fmt: skip
    ax.scatter(X[:, 0], X[:, 1], c=[strong[k] for k in y], s=9, edgecolors="white", linewidths=0.3)
    ax.set_title(title, fontsize=9)
    ax.set_xlabel(r"$x_1$")
    ax.set_ylabel(r"$x_2$")
    return ax
