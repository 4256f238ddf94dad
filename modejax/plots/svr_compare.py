"""Two networks side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from modejax.plots.settings import plain
from modejax.plots.style import make_axes

if TYPE_CHECKING:
    from modejax.svr.compare import Comparison

__all__ = ["plot_comparison"]


def plot_comparison(found: Comparison, axes: Any = None) -> np.ndarray:
    """Draw what two networks have in common: angles and CKA a layer, and edges a pair of layers.

    Args:
        found: of `svr.compare`.
        axes: three axes; a figure of its own by default.

    Returns:
        The axes, shape (3,).

    Raises:
        InputError: if the number of axes is wrong.

    Example:
        >>> from modejax.svr import compare
        >>> net = [np.eye(4), np.eye(4)]
        >>> plot_comparison(compare(net, net)).shape
        (3,)
    """
    axes, _ = make_axes(3, axes)
    layers, edges = found.layers, found.edges
    x = np.arange(len(layers))
    for field, chance, colour, name in (
        ("angle_out", "random_out", "C0", "output patterns"),
        ("angle_in", "random_in", "C1", "input patterns"),
    ):
        axes[0].plot(x, layers[field], "o-", color=colour, ms=4, label=name)
        axes[0].plot(x, layers[chance], ":", color=colour, lw=1.2, label=f"{name}, random")
    axes[0].set_ylim(0, 92)
    axes[0].set_ylabel("mean principal angle of leading neurons (degrees)")
    axes[1].plot(x, layers["cka"], "o-", color="C2", ms=4, label="CKA of kernels")
    axes[1].plot(x, layers["change"], "s--", color="C3", ms=4, label="change of kernel / its norm")
    axes[1].set_ylim(bottom=0)
    for ax in axes[:2]:
        _names(ax, [plain(name, 24) for name in layers["layer"]])
    y = np.arange(len(edges))
    for place, (field, colour) in enumerate((("one", "C0"), ("two", "C1"), ("common", "C2"))):
        axes[2].bar(y + 0.2 * (place - 1.5), edges[field] if len(edges) else [], 0.2, color=colour, label=field)
    if len(edges):
        axes[2].plot(y + 0.15, edges["by_chance"], "k_", ms=8, label="common by chance")
        _names(axes[2], [f"to {plain(name, 21)}" for name in edges["reader"]])
    axes[2].set_ylabel("significant edges")
    for ax in axes:
        ax.legend(fontsize=8, frameon=False)
        ax.grid(True, axis="y", color="0.88", lw=0.6)
        ax.spines[["top", "right"]].set_visible(False)
    return axes


def _names(ax: object, names: list[str]) -> None:
    size = max(4.0, 8.0 - len(names) / 12)
    ax.set_xticks(range(len(names)), names, rotation=60, ha="right", fontsize=size)  # pyright: ignore[reportAttributeAccessIssue]
