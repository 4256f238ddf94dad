"""Figures of online learning: error curves, order parameters, specialisation, stages, sweeps.

Times are in units of d samples (t = samples / d); errors are <e^2> / 2, without unit. Every function takes arrays and
`ax` (a figure of its own by default), draws, and returns the axes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float

from modejax.plots.colours import Chosen, choose, ordered_colours
from modejax.plots.style import own_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "plot_end_rates",
    "plot_error",
    "plot_order_parameters",
    "plot_ratio",
    "plot_specialisation",
    "plot_stages",
    "plot_sweep",
]

_TIME = "time t = samples / d"
_ERROR = r"generalisation error $\langle e^2 \rangle / 2$"


def _finish(ax: Axes, ylabel: str, *, log: bool) -> Axes:
    ax.set_xscale("log")
    if log:
        ax.set_yscale("log")
    ax.set_xlabel(_TIME)
    ax.set_ylabel(ylabel)
    ax.grid(True, which="major", alpha=0.25)
    return ax


def plot_error(
    times: Float[np.ndarray, " T"],
    theory: Float[np.ndarray, " T"],
    runs: Float[np.ndarray, "n T"] | None = None,
    ax: Axes | None = None,
    *,
    label: str = "theory",
    colour: Any = "C0",
) -> Axes:
    """Draw the theory as a line and the runs as points (mean) with a band (least to largest run).

    Args:
        times: times, shape (T,); 0 is left out.
        theory: error of the equations, shape (T,).
        runs: error of the simulations, shape (seeds, T), or None.
        ax: where to draw; a figure of its own by default.
        label: name in the legend.
        colour: any matplotlib colour.

    Returns:
        The axes.

    Example:
        >>> ax = plot_error(np.asarray([1.0, 10.0]), np.asarray([0.1, 0.01]))
        >>> len(ax.lines)
        1
    """
    ax = own_axes(ax)
    keep = times > 0
    ax.plot(times[keep], theory[keep], color=colour, label=label)
    if runs is not None:
        part = runs[:, keep]
        ax.fill_between(times[keep], part.min(axis=0), part.max(axis=0), color=colour, alpha=0.2, linewidth=0)
        name = f"simulation, mean and range of {len(runs)} seeds"
        ax.plot(times[keep], part.mean(axis=0), "o", color=colour, markersize=4, label=name)
    ax.legend(frameon=False)
    return _finish(ax, _ERROR, log=True)


def plot_ratio(
    times: Float[np.ndarray, " T"],
    theory: Float[np.ndarray, " T"],
    runs: Float[np.ndarray, "n T"],
    ax: Axes | None = None,
    *,
    label: str = "mean over seeds",
    colour: Any = "C0",
) -> Axes:
    """Draw simulation over theory minus one, in percent: one thin line a seed, their mean thick.

    Args:
        times: times, shape (T,); 0 is left out.
        theory: error of the equations, shape (T,).
        runs: error of the simulations, shape (seeds, T).
        ax: where to draw; a figure of its own by default.
        label: name in the legend.
        colour: any matplotlib colour.

    Returns:
        The axes.

    Example:
        >>> t = np.asarray([1.0, 10.0])
        >>> len(plot_ratio(t, t, np.stack([t, t]), label="d = 300").lines)
        3
    """
    ax = own_axes(ax)
    keep = times > 0
    percent = 100.0 * (runs[:, keep] / theory[keep] - 1.0)
    for row in percent:
        ax.plot(times[keep], row, color=colour, linewidth=0.6, alpha=0.5)
    ax.plot(times[keep], percent.mean(axis=0), color=colour, linewidth=2, label=label)
    ax.legend(frameon=False)
    return _finish(ax, "simulation / theory - 1 (percent)", log=False)


def plot_order_parameters(
    times: Float[np.ndarray, " T"],
    Q: Float[np.ndarray, "T K K"],
    M: Float[np.ndarray, "T K K"],
    P: Float[np.ndarray, "K K"],
    points: tuple[Float[np.ndarray, " T"], Float[np.ndarray, "T K K"], Float[np.ndarray, "T K K"]] | None = None,
    ax: Axes | None = None,
    *,
    units: Sequence[int] = (0, 1, 2),
    colours: Chosen = None,
) -> Axes:
    """Draw Q_aa, M_aa (lines) and P_aa (dotted) of some hidden units, with simulation points.

    Args:
        times: times of the theory, shape (T,).
        Q: student-student order parameters, shape (T, K, K).
        M: student-teacher order parameters, shape (T, K, K).
        P: teacher-teacher order parameters, shape (K, K).
        points: times, Q and M of a simulation, or None.
        ax: where to draw; a figure of its own by default.
        units: which hidden units.
        colours: a colour for each of these units in their order, or by name (`unit 1`).

    Returns:
        The axes.

    Example:
        >>> one = np.ones((2, 1, 1))
        >>> ax = plot_order_parameters(np.asarray([1.0, 2.0]), one, one, one[0], units=(0,))
        >>> len(ax.lines)
        3
    """
    ax = own_axes(ax)
    keep = times > 0
    names = [f"unit {unit + 1}" for unit in units]
    for unit, colour in zip(units, choose(colours, names, ordered_colours(len(units))), strict=True):
        ax.plot(times[keep], Q[keep, unit, unit], color=colour, label=f"Q, unit {unit + 1}")
        ax.plot(times[keep], M[keep, unit, unit], color=colour, linestyle="--", label=f"M, unit {unit + 1}")
        ax.axhline(P[unit, unit], color=colour, linestyle=":", linewidth=1)
        if points is not None:
            t, q, m = points
            seen = t > 0
            ax.plot(t[seen], q[seen, unit, unit], "o", color=colour, markersize=3.5)
            ax.plot(t[seen], m[seen, unit, unit], "s", color=colour, markersize=3.5, fillstyle="none")
    ax.legend(frameon=False, fontsize="small", ncols=max(len(units), 1), loc="lower center", bbox_to_anchor=(0.5, 1.0))
    return _finish(ax, "overlap per input dimension (dotted: P)", log=False)


def plot_specialisation(
    times: Float[np.ndarray, " T"],
    cosines: Float[np.ndarray, "T K"],
    ax: Axes | None = None,
    *,
    colours: Chosen = None,
) -> Axes:
    """Draw the cosine between each student unit and its teacher unit.

    Args:
        times: times, shape (T,).
        cosines: from `modejax.online.specialisation`, shape (T, K).
        ax: where to draw; a figure of its own by default.
        colours: a colour for each unit in their order, or by name (`unit 1`).

    Returns:
        The axes.

    Example:
        >>> len(plot_specialisation(np.asarray([1.0, 2.0]), np.ones((2, 4))).lines)
        4
    """
    ax = own_axes(ax)
    keep = times > 0
    count = cosines.shape[1]
    names = [f"unit {unit + 1}" for unit in range(count)]
    for unit, colour in enumerate(choose(colours, names, ordered_colours(count))):
        ax.plot(times[keep], cosines[keep, unit], color=colour, label=names[unit])
    if count > 1:
        ax.legend(frameon=False, fontsize="small", ncols=2)
    return _finish(ax, "cosine of student and teacher unit", log=False)


def plot_stages(
    times: Float[np.ndarray, " T"],
    error: Float[np.ndarray, " T"],
    rates: Float[np.ndarray, " p"],
    predicted: Float[np.ndarray, " k"] | None = None,
    found: Sequence[tuple[float, float, float]] = (),
    ax: Axes | None = None,
    *,
    colours: Sequence[Any] | None = None,
) -> Axes:
    """Draw an error curve with its stages: time scales 1 / (2 rate), predicted heights, detected plateaus.

    Args:
        times: times, shape (T,).
        error: the error, shape (T,); values below 1e-16 are rounding and left out.
        rates: relaxation rates, descending, shape (p,).
        predicted: predicted plateau heights, or None.
        found: detected plateaus (first time, last time, height).
        ax: where to draw; a figure of its own by default.
        colours: a colour for each rate.

    Returns:
        The axes.

    Example:
        >>> t = np.asarray([1.0, 10.0])
        >>> ax = plot_stages(t, 1 / t, np.asarray([0.5]))
        >>> len(ax.lines)
        2
    """
    ax = own_axes(ax)
    drawn = choose(colours, [f"rate {i + 1}" for i in range(len(rates))], ordered_colours(len(rates)))
    keep = (times > 0) & (error > 1e-16)
    ax.plot(times[keep], error[keep], color="black", label="theory")
    for i, (rate, colour) in enumerate(zip(rates, drawn, strict=True)):
        ax.axvline(0.5 / rate, color=colour, linestyle=":", label=rf"$1/(2\rho_{i + 1})$, $\rho$ = {rate:.2g}")
    for i, height in enumerate([] if predicted is None else predicted):
        ax.axhline(height, color="C3", linestyle="--", linewidth=1, label=None if i else "predicted plateaus")
    for i, (first, last, height) in enumerate(found):
        label = None if i else "detected plateaus"
        ax.plot([first, last], [height, height], color="C1", linewidth=5, alpha=0.6, label=label)
    ax.legend(fontsize="small", loc="lower left")
    return _finish(ax, _ERROR, log=True)


def plot_end_rates(
    inner: Float[np.ndarray, " n"],
    measured: Float[np.ndarray, " n"],
    ended: Bool[np.ndarray, " n"],
    ax: Axes | None = None,
) -> Axes:
    """Draw the rate at which the error decays at the end against the two predictions, one point a teacher.

    Args:
        inner: smallest rate inside the teacher's span over the smallest eigenvalue of R, shape (n,).
        measured: measured end rate over twice the smallest eigenvalue of R, shape (n,).
        ended: whether the error had left its last plateau, shape (n,); the others are drawn hollow.
        ax: where to draw; a figure of its own by default.

    Returns:
        The axes.

    Example:
        >>> both = np.asarray([0.5, 1.1])
        >>> len(plot_end_rates(both, both, np.asarray([True, False])).lines)
        4
    """
    ax = own_axes(ax)
    grid = np.geomspace(0.8 * inner.min(), 1.2 * max(inner.max(), 1.0), 50)
    ax.plot(grid, np.ones_like(grid), "--", color="C3", label="2 min eig R")
    ax.plot(grid, np.minimum(grid, 1.0), color="black", linewidth=1, label="twice the slower of both kinds")
    ax.plot(inner[ended], measured[ended], "o", color="C0", label="measured, one teacher each")
    if not ended.all():
        late = "still on a plateau at the last time"
        ax.plot(inner[~ended], measured[~ended], "o", color="C0", markerfacecolor="none", label=late)
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlabel("smallest inner rate / min eig R")
    ax.set_ylabel("end rate of the error / (2 min eig R)")
    ax.grid(True, which="major", alpha=0.25)
    ax.legend(fontsize="small", loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    return ax


def plot_sweep(
    times: Float[np.ndarray, " T"],
    errors: Float[np.ndarray, "n s T"],
    values: Sequence[float],
    name: str,
    ax: Axes | None = None,
    *,
    colours: Chosen = None,
    labels: Chosen = None,
) -> Axes:
    """Draw one curve a value: geometric mean over seeds with the range as a band.

    Args:
        times: times, shape (T,).
        errors: errors, shape (values, seeds, T).
        values: what the curves differ in.
        name: its name in the legend.
        ax: where to draw; a figure of its own by default.
        colours: a colour for each value in their order, or by the label it has by default.
        labels: what the legend says of each value instead.

    Returns:
        The axes.

    Example:
        >>> ax = plot_sweep(np.asarray([1.0, 2.0]), np.ones((3, 4, 2)), [1, 2, 3], "p")
        >>> len(ax.lines)
        3
    """
    ax = own_axes(ax)
    keep = times > 0
    names = [f"{name} = {value:g}" for value in values]
    drawn = choose(colours, names, ordered_colours(len(values)))
    for part, colour, label in zip(errors, drawn, choose(labels, names, names, "labels"), strict=True):
        curve = np.maximum(part[:, keep], 1e-16)
        ax.fill_between(times[keep], curve.min(axis=0), curve.max(axis=0), color=colour, alpha=0.12, linewidth=0)
        ax.plot(times[keep], np.exp(np.log(curve).mean(axis=0)), color=colour, label=label)
    ax.legend(frameon=False, fontsize="small")
    return _finish(ax, _ERROR, log=True)
