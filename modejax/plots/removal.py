"""Test accuracy (loss for real values) against the share of modes removed, one panel a map."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from modejax.errors import InputError
from modejax.plots.colours import Chosen, choose
from modejax.plots.members import BAND, spread
from modejax.plots.style import finish, make_axes
from modejax.plots.truncation import map_title

if TYPE_CHECKING:
    import xarray

__all__ = ["plot_removal"]

_STYLES = {
    "least": ("least important first", "tab:blue", "-"),
    "random": ("at random", "tab:orange", "--"),
    "most": ("most important first", "tab:red", "-."),
}


def plot_removal(
    curves: xarray.Dataset, modes: int, axes: Any = None, *, colours: Chosen = None, labels: Chosen = None
) -> np.ndarray:
    """Draw accuracy, or loss for real values, against the share of modes removed from one map, the others intact.

    Args:
        curves: what `modejax.removal_curves` returned, with one width, number of modes, learning rate and
            weight decay left (dimensions `seed`, `removal`, `layer`, `kept`).
        modes: the number of modes P of each map.
        axes: one a map; a figure of its own by default.
        colours: a colour for each order of removal in their order, or by name (`least`, `random`, `most`).
        labels: what the legend says of each order instead, likewise.

    Returns:
        The axes, shape (maps,).

    Raises:
        InputError: if another dimension is left.

    Example:
        >>> import xarray
        >>> values = xarray.DataArray(np.zeros((2, 1, 1, 3)), dims=("seed", "removal", "layer", "kept"))
        >>> curves = xarray.Dataset({"accuracy": values}, {"removal": ["least"], "layer": [1], "kept": [0, 1, 2]})
        >>> plot_removal(curves, 2).shape
        (1,)
    """
    what = "accuracy" if "accuracy" in curves else "loss"
    values, scale = curves[what], 100.0 if what == "accuracy" else 1.0
    left = set(values.dims) - {"seed", "removal", "layer", "kept"}
    if left:
        raise InputError(
            f"removal curves of one network family are drawn, but {sorted(map(str, left))} are left; select"
        )
    layers = [int(layer) for layer in curves.layer.values]
    panels, made = make_axes(len(layers), axes, share_y=True)
    removed = 100 * (1 - curves.kept.values / modes)
    names = [str(name) for name in curves.removal.values]
    words = choose(labels, names, [_STYLES[name][0] for name in names], "labels")
    drawn = choose(colours, names, [_STYLES[name][1] for name in names])
    for ax, layer in zip(panels, layers, strict=True):
        for name, label, colour in zip(names, words, drawn, strict=True):
            found = spread(values.sel(removal=name, layer=layer), scale)
            ax.plot(removed, found.mean, color=colour, ls=_STYLES[name][2], lw=1.6, label=label)
            if np.isfinite(found.sd).any():
                low, high = found.band((0.0, 100.0) if what == "accuracy" else None)
                ax.fill_between(removed, low, high, color=colour, alpha=0.18, lw=0)
        ax.set_xlabel("modes removed from this map (%)")
        ax.set_ylabel("test accuracy (%)" if what == "accuracy" else "test loss (no unit)")
        ax.set_xlim(-2, 102)
        if what == "accuracy":
            ax.set_ylim(0, 102)
        ax.set_title(map_title(layer, len(layers)), fontsize=10)
        finish(ax)
    panels[0].legend(fontsize=9, frameon=False, loc="lower left")
    if made:
        count = curves.sizes.get("seed", 1)
        band = f"; band: {BAND}, n = {count}" if count > 1 else "; 1 seed, no band"
        panels[0].figure.suptitle(f"P = {modes} modes a map, one map cut, the others intact{band}", fontsize=10)
    return panels
