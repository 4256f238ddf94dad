"""What all pictures of a sweep share: which curves are drawn, their colours, bands, axes and legends.

Figures are made without pyplot: nothing is left open and nothing is shown.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from modejax.errors import InputError
from modejax.plots.colours import Chosen, Colours, choose, spaced
from modejax.plots.members import Spread, place_of
from modejax.plots.numbers import remember

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes

__all__ = [
    "DENSE_COLOUR",
    "DENSE_STYLE",
    "MOST_TOGETHER",
    "Curve",
    "Picked",
    "draw_curve",
    "epoch_curves",
    "finish",
    "integer_axis",
    "make_axes",
    "modes_text",
    "nothing_text",
    "own_axes",
    "pick_curves",
    "place_legend",
    "set_log_y",
    "set_number_axis",
    "set_title",
]

MOST_TOGETHER = 6
"""Most curves in a figure in which both width and number of modes vary."""

DENSE_COLOUR = (0.35, 0.35, 0.35, 1.0)
"""Colour of the dense baseline."""

DENSE_STYLE = (0, (5, 2))
"""Its line."""

_STYLES = ("-", (0, (5, 1.5)), (0, (1, 1)), (0, (5, 1.5, 1, 1.5)))


class Curve(NamedTuple):
    """One curve of a figure: a width and a number of modes."""

    width: int
    modes: int
    where: dict[str, int]  # the index of both
    label: str
    colour: Any
    style: Any


class Picked(NamedTuple):
    """The curves of a figure."""

    curves: list[Curve]
    colours: Colours
    text: str  # what all curves have in common, in words

    def dressed(self, colours: Chosen, labels: Chosen) -> Picked:
        """Return the curves in the colours and with the labels that were given.

        Args:
            colours: one a curve, or by label; None for those they have.
            labels: one a curve, or by label; None for those they have.

        Raises:
            InputError: if their number is not that of the curves, or no curve has such a label.
        """
        names = [curve.label for curve in self.curves]
        own = choose(colours, names, [curve.colour for curve in self.curves])
        words = choose(labels, names, names, "labels")
        both = zip(self.curves, own, words, strict=True)
        curves = [curve._replace(colour=colour, label=str(label)) for curve, colour, label in both]
        if colours is None:
            return self._replace(curves=curves)
        # With colours of the caller there is no scale, so there is a legend however many curves there are.
        return Picked(curves, Colours(range(len(curves)), "", own), self.text)


def pick_curves(data: xarray.Dataset, width: int | None = None, modes: int | None = None, *, pairs: int = 1) -> Picked:
    """Choose the widths and numbers of modes that a figure draws.

    Where both vary and more than `pairs` curves would be drawn, the largest width is taken.

    Args:
        data: a result with one learning rate and weight decay.
        width: one width only.
        modes: one number of modes only.
        pairs: most curves for which both may vary in one figure.

    Returns:
        The curves, coloured by modes, or by width where modes do not vary.

    Raises:
        InputError: if the result has no such width or number of modes.
    """
    widths = [int(each) for each in data.width.values]
    counts = [int(each) for each in data.modes.values]
    all_widths = len(widths)
    if width is not None:
        widths = [widths[place_of(data, "width", width)]]
    if modes is not None:
        counts = [counts[place_of(data, "modes", modes)]]
    chosen = ""
    if len(widths) > 1 and len(counts) > 1 and (len(widths) * len(counts) > pairs or len(widths) > len(_STYLES)):
        widths = [max(widths)]
        chosen = f" (the largest of {all_widths} widths)"
    by_modes = len(counts) > 1
    colours = Colours(counts if by_modes else widths, _MODES if by_modes else _WIDTH)
    where_width = {int(each): index for index, each in enumerate(data.width.values)}
    where_modes = {int(each): index for index, each in enumerate(data.modes.values)}
    curves = []
    for i, w in enumerate(widths):
        for p in counts:
            names = [f"N = {w}"] if len(widths) > 1 else []
            names += [modes_text(data, p)] if by_modes else []
            label = ", ".join(names) or ", ".join(filter(None, [f"N = {w}", modes_text(data, p)]))
            style = _STYLES[i] if by_modes else "-"
            where = {"width": where_width[w], "modes": where_modes[p]}
            curves.append(Curve(w, p, where, label, colours(p if by_modes else w), style))
    common = [f"N = {widths[0]}{chosen}"] if len(widths) == 1 else []
    common += [modes_text(data, counts[0])] if len(counts) == 1 else []
    return Picked(curves, colours, ", ".join(filter(None, common)))


def epoch_curves(epochs: Sequence[int]) -> Picked:
    """Return one curve for each epoch at which something was measured.

    Args:
        epochs: the epochs, in the order of the dimension `truncation_epoch`.
    """
    colours = Colours(epochs, "epoch")
    where = [{"truncation_epoch": index} for index in range(len(epochs))]
    both = zip(epochs, where, strict=True)
    return Picked([Curve(0, 0, at, f"epoch {each}", colours(each), "-") for each, at in both], colours, "")


_MODES = "modes P of each map"
_WIDTH = "width N (units of each hidden layer)"


def modes_text(data: xarray.Dataset, modes: int) -> str:
    """Write a number of modes; 0 is full rank where there are modes at all, and nothing for a dense layer."""
    return f"P = {modes}" if modes else "full rank" if "importance" in data else ""


def nothing_text(data: xarray.Dataset) -> str:
    """Say why nothing is drawn: that every network diverged only where their status says so."""
    known = data.status.notnull()
    return "every network diverged" if bool(((data.status == 1) & known).sum() == known.sum()) else "no finite value"


def own_axes(ax: Axes | None, size: tuple[float, float] = (5.4, 4.2)) -> Axes:
    """Return the axes to draw on: those given, or those of a new figure.

    Args:
        ax: axes of the caller; None for a figure of their own.
        size: width and height of that figure, in inches.

    Example:
        >>> float(own_axes(None, (3.0, 2.0)).figure.get_figwidth())
        3.0
    """
    if ax is not None:
        return ax
    from matplotlib.figure import Figure

    return Figure(figsize=size, layout="constrained", facecolor="white").subplots()


def make_axes(count: int, axes: Any = None, *, share_y: bool = False) -> tuple[np.ndarray, bool]:
    """Return the axes of a figure with some panels, making them where none are given.

    Args:
        count: the number of panels.
        axes: axes given by the user, in any shape; None for a figure of their own.
        share_y: one scale for the vertical axes of a figure of their own.

    Returns:
        The axes, shape (count,), and whether they were made here.

    Raises:
        InputError: if another number of axes was given.
    """
    if axes is not None:
        given = np.ravel(np.asarray(axes, dtype=object))
        if given.size != count:
            raise InputError(f"this figure has {count} panels, got {given.size} axes; give {count} or leave axes out")
        return given, False
    from matplotlib.figure import Figure

    columns = count if count <= 3 else 2 if count == 4 else 3
    rows = -(-count // columns)
    size = (7.6, 4.6) if count == 1 else (1.0 + 3.9 * columns, 1.1 + 3.1 * rows)
    figure = Figure(figsize=size, layout="constrained", facecolor="white")
    made = figure.subplots(rows, columns, squeeze=False, sharey=share_y).ravel()
    for spare in made[count:]:
        spare.remove()
    for each in made[:count]:
        each.tick_params(labelleft=True)
    return made[:count], True


def draw_curve(
    ax: Axes,
    x: np.ndarray,
    values: Spread,
    curve: Curve,
    *,
    crowded: bool = False,
    marker: str | None = None,
    limits: tuple[float, float] | None = None,
) -> None:
    """Draw a mean over seeds and its band.

    Args:
        ax: where.
        x: the places, shape (points,).
        values: mean, standard deviation and number at each.
        curve: whose colour, line style and label are used.
        crowded: one of many curves, which has no band and is no entry of a legend.
        marker: a marker; by default one where there are few places, or a single point to be seen.
        limits: the values between which all networks lie, where the band ends: 0 and 100 for percent.
    """
    if marker is None:
        few = len(x) <= 12 and curve.style == "-" and not crowded
        marker = "o" if few or np.isfinite(values.mean).sum() == 1 else ""
    # Matplotlib keeps labels that start with an underscore out of legends.
    text = f"_{curve.label}" if crowded else curve.label
    width = 1.1 if crowded else 1.6
    form: dict[str, Any] = {"color": curve.colour, "linestyle": curve.style, "marker": marker, "markersize": 4}
    (line,) = ax.plot(x, values.mean, lw=width, label=text, **form)
    remember(line, values)
    some = np.isfinite(values.sd)
    if not crowded and some.any():
        low, high = values.band(limits)
        if some.sum() == 1:
            ends = [(values.mean - low)[some], (high - values.mean)[some]]
            ax.errorbar(x[some], values.mean[some], ends, color=curve.colour, capsize=3, lw=1.2)
        else:
            ax.fill_between(x, low, high, where=some.tolist(), color=curve.colour, alpha=0.16, lw=0)


def set_number_axis(ax: Axes, values: Sequence[float], *, wide: float = 4.0) -> None:
    """Set the horizontal axis to some counts: logarithmic where they span much, with plain numbers as ticks.

    Args:
        ax: where.
        values: the counts.
        wide: ratio of the largest to the smallest from which the axis is logarithmic.
    """
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    order = sorted(float(value) for value in values)
    log = order[0] > 0 and order[-1] / order[0] >= wide
    ax.set_xscale("log", base=2) if log else ax.set_xscale("linear")
    low, high = order[0], order[-1]
    # Set even where nothing is drawn: a line of nothing but missing values has no limits.
    if low == high:
        ax.set_xlim(low / 2, low * 2) if log else ax.set_xlim(low - 1, low + 1)
    else:
        ax.set_xlim(low * (low / high) ** 0.05, high * (high / low) ** 0.05) if log else ax.set_xlim(
            low - 0.05 * (high - low), high + 0.05 * (high - low)
        )
    ax.xaxis.set_major_locator(FixedLocator(spaced(order, log=log, gap=0.07)))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def integer_axis(ax: Axes, values: np.ndarray) -> None:
    """Set the horizontal axis to some whole numbers, with whole numbers only as ticks."""
    from matplotlib.ticker import FixedLocator, MaxNLocator

    low, high = float(values.min()), float(values.max())
    edge = 0.04 * (high - low) or 1.0
    ax.set_xlim(low - edge, high + edge)
    ax.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True) if high > low else FixedLocator([low]))


def set_log_y(ax: Axes, values: np.ndarray) -> None:
    """Make the vertical axis logarithmic with limits from the means, since a band may reach below 0."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    drawn = values[np.isfinite(values) & (values > 0)]
    if not drawn.size:
        return
    low, high = drawn.min() / 1.4, drawn.max() * 1.4
    decades = math.log10(high / low)
    steps = (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0) if decades < 1 else (1.0, 2.0, 5.0) if decades < 2.5 else (1.0,)
    ax.set_yscale("log")
    ax.set_ylim(low, high)
    ax.yaxis.set_major_locator(LogLocator(subs=steps, numticks=12))
    ax.yaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def set_title(axes: np.ndarray, words: Sequence[str]) -> None:
    """Put words above a figure of our own, as many on a line as fit.

    Args:
        axes: its panels.
        words: what stands between semicolons; empty ones are left out.
    """
    figure = axes[0].figure
    most = int(10 * figure.get_figwidth())
    lines: list[str] = []
    for word in filter(None, words):
        if lines and len(lines[-1]) + len(word) + 2 <= most:
            lines[-1] += f"; {word}"
        else:
            lines += textwrap.wrap(word, most, break_long_words=False, break_on_hyphens=False)
    figure.suptitle("\n".join(lines), fontsize=11)


def place_legend(axes: np.ndarray, made: bool, *, colours: Colours | None = None, columns: int = 4) -> None:
    """Say what the curves are, without covering them: below a figure of our own, else in the last panel.

    Args:
        axes: the panels.
        made: whether the figure is our own.
        colours: the colours, for a colour bar where there are many.
        columns: most columns of a legend below.
    """
    if colours is not None and colours.many:
        colours.bar(list(axes))
    found: dict[str, Any] = {}
    for ax in axes:
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    if not found:
        return
    names = list(found)
    handles = [found[name] for name in names]
    if made:
        count = min(columns, len(names))
        axes[0].figure.legend(
            handles, names, loc="outside lower center", ncols=count, frameon=False, fontsize=9, handlelength=2.6
        )
    else:
        axes[-1].legend(handles, names, loc="best", fontsize=9, framealpha=0.85)


def finish(ax: Axes, *, empty: str = "") -> None:
    """Give an axis its grid, and say in words where it has nothing to show.

    Args:
        ax: where.
        empty: the words; empty where there is something to show.
    """
    ax.grid(True, color="0.85", lw=0.6)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    if empty:
        ax.text(0.5, 0.5, empty, transform=ax.transAxes, ha="center", va="center")
    if not any(np.isfinite(np.asarray(line.get_ydata(), float)).any() for line in ax.lines):
        # Ticks would be those of an axis without limits. On a shared axis they cannot be taken away, only hidden.
        ax.tick_params(left=False, labelleft=False)
