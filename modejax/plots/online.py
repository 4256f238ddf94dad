"""Figures of online learning: error curves, order parameters, specialisation, stages, sweeps.

Times are in units of d samples (t = samples / d); errors are <e^2> / 2, without unit. Every function takes arrays and
`ax`, draws, and returns `ax`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float

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


def colours(count: int) -> list[Any]:
    """Return colours for an ordered quantity, dark first; the palest end, unreadable on white, is left out.

    Args:
        count: how many.

    Returns:
        RGBA colours.

    Example:
        >>> len(colours(3))
        3
    """
    import matplotlib

    return list(matplotlib.colormaps["viridis"](np.linspace(0.0, 0.87, max(count, 1))))


def _finish(ax: Axes, ylabel: str, *, log: bool) -> Axes:
    ax.set_xscale("log")
    if log:
        ax.set_yscale("log")
    ax.set_xlabel(_TIME)
    ax.set_ylabel(ylabel)
    ax.grid(True, which="major", alpha=0.25)
    return ax


def plot_error(
    ax: Axes,
    times: Float[np.ndarray, " T"],
    theory: Float[np.ndarray, " T"],
    runs: Float[np.ndarray, "n T"] | None = None,
    *,
    label: str = "theory",
    colour: Any = "C0",
) -> Axes:
    """Draw the theory as a line and the runs as points (mean) with a band (least to largest run).

    Args:
        ax: axes to draw on.
        times: times, shape (T,); 0 is left out.
        theory: error of the equations, shape (T,).
        runs: error of the simulations, shape (seeds, T), or None.
        label: name in the legend.
        colour: any matplotlib colour.

    Returns:
        The axes.

    Example:
        >>> from matplotlib.figure import Figure
        >>> ax = plot_error(Figure().subplots(), np.asarray([1.0, 10.0]), np.asarray([0.1, 0.01]))
        >>> len(ax.lines)
        1
    """
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
    ax: Axes,
    times: Float[np.ndarray, " T"],
    theory: Float[np.ndarray, " T"],
    runs: Float[np.ndarray, "n T"],
    *,
    label: str,
    colour: Any = "C0",
) -> Axes:
    """Draw simulation over theory minus one, in percent: one thin line a seed, their mean thick.

    Args:
        ax: axes to draw on.
        times: times, shape (T,); 0 is left out.
        theory: error of the equations, shape (T,).
        runs: error of the simulations, shape (seeds, T).
        label: name in the legend.
        colour: any matplotlib colour.

    Returns:
        The axes.

    Example:
        >>> from matplotlib.figure import Figure
        >>> t = np.asarray([1.0, 10.0])
        >>> len(plot_ratio(Figure().subplots(), t, t, np.stack([t, t]), label="d = 300").lines)
        3
    """
    keep = times > 0
    percent = 100.0 * (runs[:, keep] / theory[keep] - 1.0)
    for row in percent:
        ax.plot(times[keep], row, color=colour, linewidth=0.6, alpha=0.5)
    ax.plot(times[keep], percent.mean(axis=0), color=colour, linewidth=2, label=label)
    ax.legend(frameon=False)
    return _finish(ax, "simulation / theory - 1 (percent)", log=False)


def plot_order_parameters(
    ax: Axes,
    times: Float[np.ndarray, " T"],
    Q: Float[np.ndarray, "T K K"],
    M: Float[np.ndarray, "T K K"],
    P: Float[np.ndarray, "K K"],
    points: tuple[Float[np.ndarray, " T"], Float[np.ndarray, "T K K"], Float[np.ndarray, "T K K"]] | None = None,
    units: Sequence[int] = (0, 1, 2),
) -> Axes:
    """Draw Q_aa, M_aa (lines) and P_aa (dotted) of some hidden units, with simulation points.

    Args:
        ax: axes to draw on.
        times: times of the theory, shape (T,).
        Q: student-student order parameters, shape (T, K, K).
        M: student-teacher order parameters, shape (T, K, K).
        P: teacher-teacher order parameters, shape (K, K).
        points: times, Q and M of a simulation, or None.
        units: which hidden units.

    Returns:
        The axes.

    Example:
        >>> from matplotlib.figure import Figure
        >>> one = np.ones((2, 1, 1))
        >>> ax = plot_order_parameters(Figure().subplots(), np.asarray([1.0, 2.0]), one, one, one[0], units=(0,))
        >>> len(ax.lines)
        3
    """
    keep = times > 0
    for unit, colour in zip(units, colours(len(units)), strict=True):
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


def plot_specialisation(ax: Axes, times: Float[np.ndarray, " T"], cosines: Float[np.ndarray, "T K"]) -> Axes:
    """Draw the cosine between each student unit and its teacher unit.

    Args:
        ax: axes to draw on.
        times: times, shape (T,).
        cosines: from `modejax.online.specialisation`, shape (T, K).

    Returns:
        The axes.

    Example:
        >>> from matplotlib.figure import Figure
        >>> len(plot_specialisation(Figure().subplots(), np.asarray([1.0, 2.0]), np.ones((2, 4))).lines)
        4
    """
    keep = times > 0
    count = cosines.shape[1]
    for unit, colour in enumerate(colours(count)):
        ax.plot(times[keep], cosines[keep, unit], color=colour, label=f"unit {unit + 1}")
    if count > 1:
        ax.legend(frameon=False, fontsize="small", ncols=2)
    return _finish(ax, "cosine of student and teacher unit", log=False)


def plot_stages(
    ax: Axes,
    times: Float[np.ndarray, " T"],
    error: Float[np.ndarray, " T"],
    rates: Float[np.ndarray, " p"],
    predicted: Float[np.ndarray, " k"] | None = None,
    found: Sequence[tuple[float, float, float]] = (),
) -> Axes:
    """Draw an error curve with its stages: time scales 1 / (2 rate), predicted heights, detected plateaus.

    Args:
        ax: axes to draw on.
        times: times, shape (T,).
        error: the error, shape (T,); values below 1e-16 are rounding and left out.
        rates: relaxation rates, descending, shape (p,).
        predicted: predicted plateau heights, or None.
        found: detected plateaus (first time, last time, height).

    Returns:
        The axes.

    Example:
        >>> from matplotlib.figure import Figure
        >>> t = np.asarray([1.0, 10.0])
        >>> ax = plot_stages(Figure().subplots(), t, 1 / t, np.asarray([0.5]))
        >>> len(ax.lines)
        2
    """
    keep = (times > 0) & (error > 1e-16)
    ax.plot(times[keep], error[keep], color="black", label="theory")
    for i, (rate, colour) in enumerate(zip(rates, colours(len(rates)), strict=True)):
        ax.axvline(0.5 / rate, color=colour, linestyle=":", label=rf"$1/(2\rho_{i + 1})$, $\rho$ = {rate:.2g}")
    for i, height in enumerate([] if predicted is None else predicted):
        ax.axhline(height, color="C3", linestyle="--", linewidth=1, label=None if i else "predicted plateaus")
    for i, (first, last, height) in enumerate(found):
        label = None if i else "detected plateaus"
        ax.plot([first, last], [height, height], color="C1", linewidth=5, alpha=0.6, label=label)
    ax.legend(fontsize="small", loc="lower left")
    return _finish(ax, _ERROR, log=True)


def plot_end_rates(
    ax: Axes, inner: Float[np.ndarray, " n"], measured: Float[np.ndarray, " n"], ended: Bool[np.ndarray, " n"]
) -> Axes:
    """Draw the rate at which the error decays at the end against the two predictions, one point a teacher.

    Args:
        ax: axes to draw on.
        inner: smallest rate inside the teacher's span over the smallest eigenvalue of R, shape (n,).
        measured: measured end rate over twice the smallest eigenvalue of R, shape (n,).
        ended: whether the error had left its last plateau, shape (n,); the others are drawn hollow.

    Returns:
        The axes.

    Example:
        >>> from matplotlib.figure import Figure
        >>> both = np.asarray([0.5, 1.1])
        >>> len(plot_end_rates(Figure().subplots(), both, both, np.asarray([True, False])).lines)
        4
    """
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
    ax: Axes, times: Float[np.ndarray, " T"], errors: Float[np.ndarray, "n s T"], values: Sequence[float], name: str
) -> Axes:
    """Draw one curve a value: geometric mean over seeds with the range as a band.

    Args:
        ax: axes to draw on.
        times: times, shape (T,).
        errors: errors, shape (values, seeds, T).
        values: what the curves differ in.
        name: its name in the legend.

    Returns:
        The axes.

    Example:
        >>> from matplotlib.figure import Figure
        >>> ax = plot_sweep(Figure().subplots(), np.asarray([1.0, 2.0]), np.ones((3, 4, 2)), [1, 2, 3], "p")
        >>> len(ax.lines)
        3
    """
    keep = times > 0
    for value, part, colour in zip(values, errors, colours(len(values)), strict=True):
        curve = np.maximum(part[:, keep], 1e-16)
        ax.fill_between(times[keep], curve.min(axis=0), curve.max(axis=0), color=colour, alpha=0.12, linewidth=0)
        ax.plot(times[keep], np.exp(np.log(curve).mean(axis=0)), color=colour, label=f"{name} = {value:g}")
    ax.legend(frameon=False, fontsize="small")
    return _finish(ax, _ERROR, log=True)
