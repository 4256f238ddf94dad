"""Trained kernels as modes: energy and accuracy against the number of modes kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from modejax.plots.style import finish

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_kept_accuracy", "plot_kept_energy"]

_MOST = 12
"""Lines with names of their own; more are drawn without."""


def plot_kept_energy(ax: Axes, energies: Mapping[str, np.ndarray]) -> Axes:
    """Draw the share of the sum of squared singular values in the leading modes, a line a kernel.

    Args:
        ax: where.
        energies: by kernel, the share in 1, 2, ... modes.

    Returns:
        The axes.

    Example:
        >>> from matplotlib.figure import Figure
        >>> plot_kept_energy(Figure().subplots(), {"fc": np.array([0.8, 1.0])}).get_xlabel()
        'modes kept'
    """
    for index, (name, shares) in enumerate(energies.items()):
        label = name if len(energies) <= _MOST else None
        ax.plot(
            np.arange(1, len(shares) + 1), 100 * shares, color=f"C{index % 10}", marker=".", ms=3, lw=1.3, label=label
        )
    ax.set_xscale("log")
    ax.set_xlabel("modes kept")
    ax.set_ylabel("kept energy (% of the sum of s\N{SUPERSCRIPT TWO})")
    ax.set_ylim(0, 102)
    finish(ax)
    if len(energies) <= _MOST:
        ax.legend(fontsize=8, frameon=False, loc="lower right")
    return ax


def plot_kept_accuracy(
    ax: Axes,
    kept: np.ndarray,
    together: np.ndarray,
    layers: Mapping[str, np.ndarray],
    levels: Mapping[str, float],
) -> Axes:
    """Draw test accuracy against the number of modes kept, in one map or in all, with levels to compare with.

    Args:
        ax: where.
        kept: numbers of modes.
        together: accuracy with all maps cut, share of 1.
        layers: by map, accuracy with this one cut.
        levels: accuracies to mark, by name.

    Returns:
        The axes.

    Example:
        >>> from matplotlib.figure import Figure
        >>> one = np.array([0.1, 0.9])
        >>> ax = plot_kept_accuracy(Figure().subplots(), np.arange(2), one, {"fc": one}, {"as given": 0.9})
        >>> len(ax.lines)
        3
    """
    for index, (name, values) in enumerate(layers.items()):
        label = f"{name} alone" if len(layers) <= _MOST else None
        ax.plot(kept, 100 * values, color=f"C{index % 10}", lw=1.2, label=label)
    ax.plot(kept, 100 * together, color="black", lw=2, label="all maps")
    for index, (name, value) in enumerate(levels.items()):
        ax.axhline(100 * value, color="0.4", ls=("--", ":", "-.")[index % 3], lw=1.2, label=name)
    ax.set_xscale("symlog", linthresh=1)
    ax.set_xlim(0, max(kept))
    ax.set_xlabel("modes kept")
    ax.set_ylabel("test accuracy (%)")
    finish(ax)
    ax.legend(fontsize=8, frameon=False, loc="lower right")
    return ax
