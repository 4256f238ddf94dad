"""Networks on the Gaussian mixture: their output over the plane, and the data in mode space."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from modejax.errors import InputError
from modejax.plots.style import finish, own_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from modejax.networks import Network

__all__ = ["plot_decision", "plot_mode_space"]

COLOURS = ("#4d0013", "#001f4d", "#b3003b", "#0059b3")
"""Colours of the four clusters: red where the label is +1, blue where it is -1."""


def plot_decision(
    network: Network,
    params: Any,
    x: np.ndarray,
    cluster: np.ndarray,
    ax: Axes | None = None,
    *,
    colours: Sequence[Any] = COLOURS,
) -> Axes:
    """Draw the output of a network with two inputs over the plane, its boundary, and points of the data.

    Args:
        network: a network with two inputs and one output.
        params: its parameters.
        x: points, (points, 2).
        cluster: the cluster of each, 0 to 3.
        ax: where to draw; a figure of its own by default.
        colours: of the four clusters; by default red for label +1 and blue for -1.

    Returns:
        The axes.

    Raises:
        InputError: if the network has other sizes.

    Example:
        >>> import jax
        >>> from modejax import layers, mlp
        >>> network = mlp([2, 4, 1], layers.Mode(), 3)
        >>> params = network.init(jax.random.key(0))
        >>> plot_decision(network, params, np.ones((4, 2)), np.arange(4)).get_xlabel()
        'x1'
    """
    import jax.numpy as jnp

    if (network.units[0].capacity, network.units[-1].capacity) != (2, 1):  # pyright: ignore
        raise InputError("a decision map needs a network with two inputs and one output")
    ax = own_axes(ax)
    grid = np.linspace(-1.3, 1.3, 121, dtype=np.float32)
    plane = np.stack(np.meshgrid(grid, grid), axis=-1).reshape(-1, 2)
    out = np.asarray(network.apply(params, jnp.asarray(plane))).reshape(grid.size, grid.size)
    ax.contourf(grid, grid, np.clip(out, -1, 1), levels=np.linspace(-1, 1, 11), cmap="RdBu_r", alpha=0.55)
    if out.min() < 0 < out.max():
        ax.contour(grid, grid, out, levels=[0.0], colors="black", linewidths=1.4)
    _scatter(ax, x, cluster, colours)
    ax.set(xlabel="x1", ylabel="x2", aspect="equal", xlim=(-1.3, 1.3), ylim=(-1.3, 1.3))
    return ax


def _scatter(ax: Axes, x: np.ndarray, cluster: np.ndarray, colours: Sequence[Any]) -> None:
    for each in range(4):
        here = x[cluster == each]
        ax.plot(here[:, 0], here[:, 1], ".", ms=4, alpha=0.75, color=colours[each], mew=0)


def plot_mode_space(
    network: Network,
    params: Any,
    x: np.ndarray,
    cluster: np.ndarray,
    ax: Axes | None = None,
    *,
    colours: Sequence[Any] = COLOURS,
) -> Axes:
    """Draw the data as the modes of the first map see it: Sigma xi_in x, its two directions of largest variance.

    The inputs have two dimensions, so the points fill a plane of mode space, whatever the number of modes; these axes
    lie in that plane and keep its distances.

    Args:
        network: a network whose first map has modes.
        params: its parameters.
        x: points, (points, 2).
        cluster: the cluster of each, 0 to 3.
        ax: where to draw; a figure of its own by default.
        colours: of the four clusters; by default red for label +1 and blue for -1.

    Returns:
        The axes.

    Raises:
        InputError: if the first map has no modes.

    Example:
        >>> import jax
        >>> from modejax import layers, mlp
        >>> network = mlp([2, 4, 1], layers.Mode(), 3)
        >>> params = network.init(jax.random.key(0))
        >>> len(plot_mode_space(network, params, np.eye(2), np.arange(2)).lines)
        6
    """
    modes = network.modes(params)[0]
    if modes is None:
        raise InputError("the first map of this network has no modes, so there is no mode space to draw")
    ax = own_axes(ax)
    seen = (np.asarray(x) @ np.asarray(modes.xi_in, np.float64).T) * np.asarray(modes.weight, np.float64)
    _, _, axes = np.linalg.svd(seen, full_matrices=False)
    flat = seen @ axes[:2].T
    ax.axhline(0, color="0.7", lw=0.7)
    ax.axvline(0, color="0.7", lw=0.7)
    _scatter(ax, flat, cluster, colours)
    ax.set(xlabel="mode space, direction 1", ylabel="mode space, direction 2")
    reach = 1.08 * np.abs(flat).max()
    ax.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
    finish(ax)
    return ax
