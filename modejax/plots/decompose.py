"""Trained kernels as modes: energy and accuracy against the number of modes kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from modejax.plots.colours import Chosen, choose
from modejax.plots.settings import plain
from modejax.plots.style import finish, own_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_cuts", "plot_kept_accuracy", "plot_kept_energy"]

_MOST = 12
"""Lines with names of their own; more are drawn without."""

_CYCLE = [f"C{index}" for index in range(10)]


def plot_kept_energy(energies: Mapping[str, np.ndarray], ax: Axes | None = None, *, colours: Chosen = None) -> Axes:
    """Draw the share of the sum of squared singular values in the leading modes, a line a kernel.

    Args:
        energies: by kernel, the share in 1, 2, ... modes.
        ax: where to draw; a figure of its own by default.
        colours: a colour for each kernel in their order, or by name.

    Returns:
        The axes.

    Example:
        >>> plot_kept_energy({"fc": np.array([0.8, 1.0])}).get_xlabel()
        'modes kept'
    """
    ax = own_axes(ax)
    drawn = choose(colours, list(energies), _CYCLE)
    for (name, shares), colour in zip(energies.items(), drawn, strict=True):
        label = plain(name, 40) if len(energies) <= _MOST else None
        ax.plot(np.arange(1, len(shares) + 1), 100 * shares, color=colour, marker=".", ms=3, lw=1.3, label=label)
    _number_axis(ax, "log")
    ax.set_ylabel("kept energy (% of the sum of s\N{SUPERSCRIPT TWO})")
    ax.set_ylim(0, 102)
    finish(ax)
    if len(energies) <= _MOST:
        ax.legend(fontsize=8, frameon=False, loc="lower right")
    return ax


def plot_kept_accuracy(
    kept: np.ndarray,
    together: np.ndarray,
    layers: Mapping[str, np.ndarray],
    levels: Mapping[str, float] | None = None,
    ax: Axes | None = None,
    *,
    colours: Chosen = None,
) -> Axes:
    """Draw test accuracy against the number of modes kept, in one map or in all, with levels to compare with.

    Args:
        kept: numbers of modes.
        together: accuracy with all maps cut, share of 1.
        layers: by map, accuracy with this one cut.
        levels: accuracies to mark, by name.
        ax: where to draw; a figure of its own by default.
        colours: a colour for each map in their order, or by name.

    Returns:
        The axes.

    Example:
        >>> one = np.array([0.1, 0.9])
        >>> ax = plot_kept_accuracy(np.arange(2), one, {"fc": one}, {"as given": 0.9})
        >>> len(ax.lines)
        3
    """
    ax = own_axes(ax)
    for (name, values), colour in zip(layers.items(), choose(colours, list(layers), _CYCLE), strict=True):
        label = f"{plain(name, 40)} alone" if len(layers) <= _MOST else None
        ax.plot(kept, 100 * values, color=colour, lw=1.2, label=label)
    ax.plot(kept, 100 * together, color="black", lw=2, label="all maps")
    for index, (name, value) in enumerate((levels or {}).items()):
        ax.axhline(100 * value, color="0.4", ls=("--", ":", "-.")[index % 3], lw=1.2, label=name)
    _number_axis(ax, "symlog", linthresh=1)
    ax.set_xlim(0, max(kept))
    ax.set_ylabel("test accuracy (%)")
    finish(ax)
    ax.legend(fontsize=8, frameon=False, loc="lower right")
    return ax


def _number_axis(ax: Axes, scale: str, **options: float) -> None:
    """Make a logarithmic axis of numbers of modes, written out."""
    from matplotlib.ticker import FixedLocator, NullLocator

    ax.set_xscale(scale, **options)
    ax.xaxis.set_major_locator(FixedLocator([0, *(n * 10**k for k in range(5) for n in (1, 2, 5))]))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter("{x:g}")
    ax.set_xlabel("modes kept")


def plot_cuts(
    kept: np.ndarray,
    cuts: np.ndarray,
    numbers: Sequence[int],
    series: Mapping[str, np.ndarray],
    dense: np.ndarray,
    ax: Axes | None = None,
    *,
    colours: Chosen = None,
) -> Axes:
    """Draw accuracy against modes kept of trained networks beside other networks of as many modes.

    Args:
        kept: numbers of modes of the cuts.
        cuts: accuracy of the cuts, share of 1, (seeds, kept); its standard deviation is a band.
        numbers: numbers of modes of the others.
        series: by name, accuracy (seeds, numbers), drawn with bars.
        dense: accuracy of the networks before the cut, (seeds,).
        ax: where to draw; a figure of its own by default.
        colours: a colour for each of the others in their order, or by name.

    Returns:
        The axes.

    Example:
        >>> two = np.array([[0.5, 0.9], [0.6, 0.9]])
        >>> ax = plot_cuts(np.arange(1, 3), two, [1, 2], {"tuned": two}, np.array([0.9, 0.9]))
        >>> [text.get_text() for text in ax.get_legend().get_texts()]
        ['dense', 'cut', 'tuned']
    """
    ax = own_axes(ax)
    drawn = choose(colours, list(series), _CYCLE[1:])
    ax.axhline(100 * dense.mean(), color="black", ls="--", lw=1.2, label="dense")
    mean, sd = 100 * cuts.mean(axis=0), 100 * cuts.std(axis=0, ddof=1) if len(cuts) > 1 else 0 * cuts[0]
    ax.plot(kept, mean, color="C0", lw=1.5, label="cut")
    ax.fill_between(kept, np.maximum(mean - sd, 0), np.minimum(mean + sd, 100), color="C0", alpha=0.2, lw=0)
    for index, (name, values) in enumerate(series.items()):
        bars = 100 * values.std(axis=0, ddof=1) if len(values) > 1 else None
        style = {"marker": "os^"[index % 3], "ms": 5, "lw": 1.2, "capsize": 3, "color": drawn[index]}
        ax.errorbar(numbers, 100 * values.mean(axis=0), bars, label=name, **style)
    _number_axis(ax, "log")
    ax.set_xlim(1, max(kept))
    ax.set_ylabel("test accuracy (%)")
    finish(ax)
    ax.legend(fontsize=9, frameon=False, loc="lower right")
    return ax
