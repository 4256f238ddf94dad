"""Pictures of what a singular value representation measures: edges against chance, filters, near-kernels, patterns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from modejax.errors import InputError
from modejax.plots.colours import Chosen, choose
from modejax.plots.settings import plain
from modejax.plots.style import own_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "plot_bars",
    "plot_edges",
    "plot_filters",
    "plot_near_kernel",
    "plot_patterns",
    "plot_significant",
    "plot_survival",
]

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#777777", "#000000")
"""Colours safe for colour-blind readers."""


def _image(ax: Axes, values: np.ndarray, label: str, **form: Any) -> Axes:
    image = ax.imshow(values, interpolation="nearest", aspect="auto", **form)
    ax.figure.colorbar(image, ax=ax, label=label, aspect=25, pad=0.02)
    return ax


def plot_edges(E: np.ndarray, c: int, ax: Axes | None = None, *, names: tuple[str, str] = ("writer", "reader")) -> Axes:
    """Draw the edges of one pair of layers as an image of c E on a logarithmic scale: 1 is the mean by chance.

    Args:
        E: edges, shape (reader's neurons, writer's neurons).
        c: channels between the layers.
        ax: where to draw; a figure of its own by default.
        names: of the two layers.

    Returns:
        The axes.

    Raises:
        InputError: if E is no matrix.

    Example:
        >>> plot_edges(np.full((4, 3), 0.25), 4).get_xlabel()
        'neuron of writer'
    """
    from matplotlib.colors import LogNorm

    E = _matrix(E, "E")
    ax = own_axes(ax)
    shown = np.maximum(c * E, 0.1)
    _image(ax, shown, "c E (1 by chance)", cmap="magma", norm=LogNorm(0.1, max(float(shown.max(initial=0)), 1.0)))
    ax.set_xlabel(f"neuron of {plain(names[0], 34)}", fontsize=9)
    ax.set_ylabel(f"neuron of {plain(names[1], 34)}", fontsize=9)
    return ax


def plot_near_kernel(H: np.ndarray, ax: Axes | None = None, *, tail: int | None = None) -> Axes:
    """Draw the near-kernel adjacency of two convolutions: what is written against what is read, hardly used ones last.

    Args:
        H: cosines, shape (reader's input directions, writer's output directions), sorted by falling singular values.
        ax: where to draw; a figure of its own by default.
        tail: outlines the block of the last directions of both.

    Returns:
        The axes.

    Raises:
        InputError: if H is no matrix, or the tail is larger than it.

    Example:
        >>> plot_near_kernel(np.eye(8), tail=2).get_xlabel()
        'output direction of the writer'
    """
    H = _matrix(H, "H")
    if tail is not None and not 1 <= tail <= min(H.shape):
        raise InputError(f"tail must be 1..{min(H.shape)}, got {tail!r}")
    ax = own_axes(ax)
    _image(ax, np.abs(H), "|cosine|", cmap="magma", vmin=0, vmax=1)
    if tail is not None:
        from matplotlib.patches import Rectangle

        rows, columns = H.shape
        corner = (columns - tail - 0.5, rows - tail - 0.5)
        ax.add_patch(Rectangle(corner, tail, tail, fill=False, edgecolor="#56B4E9", lw=1.2))
    ax.set_xlabel("output direction of the writer")
    ax.set_ylabel("input direction of the reader")
    return ax


def plot_patterns(U: np.ndarray, ax: Axes | None = None) -> Axes:
    """Draw |U|: which channels the neurons of a layer write. Sparse layers show blocks.

    Args:
        U: output patterns, shape (channels, neurons) or (channels, 1, neurons).
        ax: where to draw; a figure of its own by default.

    Returns:
        The axes.

    Raises:
        InputError: if U has another shape.

    Example:
        >>> plot_patterns(np.eye(4)).get_ylabel()
        'channel'
    """
    U = np.asarray(U, float)
    U = _matrix(U[:, 0] if U.ndim == 3 and U.shape[1] == 1 else U, "U")
    ax = own_axes(ax)
    _image(ax, np.abs(U), "|U|", cmap="magma", vmin=0, vmax=1)
    ax.set_xlabel("spectral neuron")
    ax.set_ylabel("channel")
    return ax


def _mean_sd(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation (n - 1) of the finite values of each row."""
    known = np.isfinite(values)
    count = known.sum(axis=1)
    mean = np.where(known, values, 0).sum(axis=1) / np.where(count > 0, count, np.nan)
    square = np.where(known, values - mean[:, None], 0) ** 2
    return mean, np.sqrt(square.sum(axis=1) / np.where(count > 1, count - 1, np.nan))


def _matrix(values: np.ndarray, name: str) -> np.ndarray:
    values = np.asarray(values, float)
    if values.ndim != 2 or not values.size:
        raise InputError(f"{name} has shape {values.shape}; allowed: a matrix")
    return values


def plot_filters(filters: np.ndarray, ax: Axes | None = None) -> Axes:
    """Draw effective filters as a mosaic: rows are the reader's neurons, columns the writer's.

    Red is positive, blue negative. The sign of a filter is that of its two singular vectors, which is arbitrary; its
    shape is not.

    Args:
        filters: shape (reader's neurons, height, width, writer's neurons).
        ax: where to draw; a figure of its own by default.

    Returns:
        The axes.

    Raises:
        InputError: if the filters have another shape.

    Example:
        >>> plot_filters(np.ones((2, 3, 3, 4))).images[0].get_array().shape
        (9, 17)
    """
    filters = np.asarray(filters, float)
    if filters.ndim != 4 or not filters.size:
        raise InputError(f"filters have shape {filters.shape}; allowed: (neurons, height, width, neurons)")
    rows, height, width, columns = filters.shape
    tiles = np.full((rows, columns, height + 1, width + 1), np.nan)
    tiles[:, :, :-1, :-1] = filters.transpose(0, 3, 1, 2)
    mosaic = tiles.transpose(0, 2, 1, 3).reshape(rows * (height + 1), columns * (width + 1))
    mosaic = np.pad(mosaic, ((1, 0), (1, 0)), constant_values=np.nan)
    ax = own_axes(ax, (1.5 + 0.13 * mosaic.shape[1], 1.0 + 0.13 * mosaic.shape[0]))
    most = np.nanmax(np.abs(mosaic)) or 1.0
    image = ax.imshow(mosaic, cmap="RdBu_r", vmin=-most, vmax=most, interpolation="nearest")
    ax.figure.colorbar(image, ax=ax, label="weight", aspect=25, pad=0.02)
    ax.set_xticks((width + 1) * np.arange(columns) + (width + 1) / 2, [str(each) for each in range(columns)])
    ax.set_yticks((height + 1) * np.arange(rows) + (height + 1) / 2, [str(each) for each in range(rows)])
    ax.tick_params(length=0, labelsize=8)
    ax.set_xlabel("neuron of the writer")
    ax.set_ylabel("neuron of the reader")
    ax.set_facecolor("0.8")
    ax.grid(False)
    return ax


def plot_survival(E: np.ndarray, c: int, z: int = 1, ax: Axes | None = None, *, label: str = "edges") -> Axes:
    """Draw the share of edges with c z E above a value, beside the exact law (Beta) and its limit (chi-square).

    Args:
        E: edges, any shape.
        c: channels between the layers.
        z: positions of the reader's window.
        ax: where to draw; a figure of its own by default.
        label: what the edges are.

    Returns:
        The axes, with a logarithmic vertical axis down to one edge.

    Raises:
        InputError: no edges, or c or z below 1.

    Example:
        >>> plot_survival(np.linspace(0, 1, 50), 16).get_xlabel()
        'c z E'
    """
    from modejax.svr import null

    E = np.sort(np.asarray(E, float).ravel())
    if not E.size:
        raise InputError("there are no edges to draw")
    ax = own_axes(ax)
    share = 1 - np.arange(E.size) / E.size
    grid = np.linspace(0, 1.1 * max(E[-1], 1 / c), 400)
    laws = (
        ("Beta (exact)", null.beta_log_p, "-", COLOURS[1]),
        ("chi-square (limit)", null.chi2_log_p, "--", COLOURS[2]),
    )
    ax.step(c * z * E, share, where="post", color=COLOURS[0], lw=1.8, label=plain(label, 44))
    for name, law, style, colour in laws:
        with np.errstate(under="ignore"):
            ax.plot(c * z * grid, np.exp(law(grid, c, z)), style, color=colour, lw=1.4, label=name)
    ax.axvline(c * z, color="0.7", lw=1, ls=":")
    ax.set_yscale("log")
    ax.set_ylim(0.5 / E.size, 1.5)
    ax.set_xlim(0, 1.05 * c * z * grid[-1] / 1.1)
    ax.set_xlabel("c z E")
    ax.set_ylabel("share of edges above")
    ax.grid(True, color="0.9", lw=0.6)
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(fontsize=8, frameon=False)
    return ax


def plot_significant(
    x: Sequence[float],
    curves: Mapping[str, np.ndarray],
    ax: Axes | None = None,
    *,
    xlabel: str = "epoch",
    ylabel: str = "significant edges (%)",
    chance: float | None = None,
    percent: bool = True,
    colours: Chosen = None,
) -> Axes:
    """Draw shares of significant edges (or another measure) against width, modes or epoch, with bands over seeds.

    Args:
        x: the places.
        curves: name to values of shape (places, seeds); values that are not a number do not count.
        ax: where to draw; a figure of its own by default.
        xlabel: what x is.
        ylabel: what the values are.
        chance: a dotted line at the share expected by chance.
        percent: values are shares of 1, drawn in percent.
        colours: a colour for each curve in their order, or by name.

    Returns:
        The axes; a band is mean +- one standard deviation over seeds.

    Raises:
        InputError: if values and places do not fit.

    Example:
        >>> plot_significant([0, 1], {"pair 0-1": np.array([[0.1, 0.2], [0.3, 0.4]])}, chance=0.00135).get_xlabel()
        'epoch'
    """
    ax = own_axes(ax)
    factor = 100.0 if percent else 1.0
    for (name, values), colour in zip(curves.items(), choose(colours, list(curves), COLOURS), strict=True):
        values = factor * np.asarray(values, float)
        if values.ndim != 2 or len(values) != len(x):
            raise InputError(f"{name} has shape {values.shape}; allowed: ({len(x)}, seeds)")
        mean, sd = _mean_sd(values)
        ax.plot(x, mean, "o-" if len(x) <= 12 else "-", ms=3.5, lw=1.5, color=colour, label=name)
        low = mean - sd if (values < 0).any() else np.maximum(mean - sd, 0)
        ax.fill_between(x, low, mean + sd, color=colour, alpha=0.16, lw=0)
    if chance is not None:
        ax.axhline(factor * chance, color="0.3", lw=1, ls=":", label="by chance")
    ax.set_xlabel(xlabel)
    ax.set_ylabel(ylabel)
    ax.grid(True, color="0.85", lw=0.6)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def plot_bars(
    names: Sequence[str],
    groups: Mapping[str, np.ndarray],
    ax: Axes | None = None,
    *,
    ylabel: str = "",
    line: tuple[float, str] | None = None,
    log: bool = False,
    colours: Chosen = None,
) -> Axes:
    """Draw groups of bars with error bars: mean +- one standard deviation over seeds.

    Args:
        names: what stands below the bars.
        groups: name of a colour to values of shape (names, seeds); values that are not a number do not count.
        ax: where to draw; a figure of its own by default.
        ylabel: what the values are.
        line: height and name of a dotted line.
        log: a logarithmic vertical axis; bars of nothing but zeros are left out.
        colours: a colour for each group in their order, or by name.

    Returns:
        The axes.

    Raises:
        InputError: if values and names do not fit.

    Example:
        >>> ax = plot_bars(["a", "b"], {"one": np.ones((2, 3)), "two": np.ones((2, 3))})
        >>> len(ax.patches)
        4
    """
    ax = own_axes(ax, (2.0 + 0.9 * len(names), 4.2))
    width = 0.8 / max(len(groups), 1)
    drawn = choose(colours, list(groups), COLOURS)
    for index, (name, values) in enumerate(groups.items()):
        values = np.asarray(values, float)
        if values.ndim != 2 or len(values) != len(names):
            raise InputError(f"{name} has shape {values.shape}; allowed: ({len(names)}, seeds)")
        mean, sd = _mean_sd(values)
        low = np.minimum(sd, 0.9 * mean) if log else sd
        x = np.arange(len(names)) + (index - (len(groups) - 1) / 2) * width
        shown = np.where(mean > 0, mean, np.nan) if log else mean
        ax.bar(x, shown, 0.92 * width, color=drawn[index], label=name)
        ax.errorbar(x, shown, [low, sd], fmt="none", ecolor="0.2", elinewidth=1, capsize=2)
    if line is not None:
        ax.axhline(line[0], color="0.2", lw=1, ls=":", label=line[1])
    if log:
        ax.set_yscale("log")
    longest = max((len(line) for name in names for line in name.splitlines()), default=0)
    ax.set_xticks(range(len(names)), names, rotation=30 if longest > 9 else 0, ha="right" if longest > 9 else "center")
    ax.tick_params(axis="x", labelsize=8)
    ax.set_ylabel(ylabel)
    ax.grid(True, axis="y", color="0.88", lw=0.6)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    return ax
