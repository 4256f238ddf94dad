"""Arms side by side, and what networks do along a further axis of the grid, such as sparsity or training examples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from modejax.errors import InputError, choices
from modejax.plots.colours import Chosen, choose
from modejax.plots.members import (
    SIZES,
    Member,
    Result,
    Spread,
    arm_data,
    arm_names,
    axis_text,
    diverged_text,
    further_axes,
    headline,
    pairs_of,
    pick,
    seeds_text,
    spread,
)
from modejax.plots.style import (
    DENSE_COLOUR,
    DENSE_STYLE,
    Curve,
    draw_curve,
    finish,
    make_axes,
    modes_text,
    nothing_text,
    pick_curves,
    place_legend,
    set_log_y,
    set_number_axis,
    set_title,
)
from modejax.sweep.axes import AXES
from modejax.sweep.select import BASELINE, judge_of

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes

__all__ = ["plot_against", "plot_arms", "plot_error_against_examples"]

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C564B", "#999933")
"""Colours of the arms, safe for colour-blind readers."""

_MARKERS = "osD^vP<>"

_LABELS = {axis.name: axis.label for axis in AXES}


class _Look(NamedTuple):
    colour: Any
    label: str


def _looks(names: Sequence[str], colours: Chosen, labels: Chosen) -> list[_Look]:
    """Return colour and label of each arm."""
    words = ["dense baseline" if name == BASELINE else name for name in names]
    own = [DENSE_COLOUR if name == BASELINE else _COLOURS[index % 8] for index, name in enumerate(names)]
    return [
        _Look(*pair) for pair in zip(choose(colours, words, own), choose(labels, words, words, "labels"), strict=True)
    ]


def _lighter(colour: Any, share: float) -> tuple[float, ...]:
    from matplotlib.colors import to_rgba

    found = to_rgba(colour)
    return (*(value + share * (1 - value) for value in found[:3]), 1.0)


def _parameters(data: xarray.Dataset) -> np.ndarray:
    counts, _ = np.broadcast_arrays(data.num_parameters.transpose("width", "modes", ...).values, 0)
    return counts.reshape(data.sizes["width"], data.sizes["modes"], -1)[..., 0]


def plot_arms(
    result: Result, ax: Axes | None = None, *, colours: Chosen = None, labels: Chosen = None, **at: float
) -> Axes:
    """Draw the test accuracy after the last epoch against the number of trained parameters, a colour for each arm.

    A line joins the numbers of modes of one width, or the widths where there is one number of modes. Points are means
    over seeds, bars one standard deviation of single networks. Each arm has its own learning rate and decay: the best
    on held-out data where there is some, else by the training loss. Where the targets are real values, the test loss is
    drawn.

    Args:
        result: a run or its result.
        ax: where to draw; a figure of its own by default.
        colours: a colour for each arm in their order, or by name (`dense baseline` for the baseline).
        labels: what the legend calls each arm instead, likewise.
        **at: values of further axes of the grid, for the arms that have them.

    Returns:
        The axes.

    Raises:
        InputError: if the result is not that of a sweep, or no arm has such an axis.

    Example:
        >>> from modejax import SweepConfig, run_sweep
        >>> run = run_sweep(SweepConfig(widths=(8,), modes=(2,), seeds=2, epochs=1))
        >>> [text.get_text() for text in plot_arms(run).figure.legends[0].get_texts()]
        ['mode', 'dense baseline']
    """
    panels, made = make_axes(1, ax)
    panel: Axes = panels[0]
    counts, sizes, means, failed, pairs = [], [], [], [], 1
    first = arm_data(result)
    _check_axes(result, at)
    looks = _looks(arm_names(result), colours, labels)
    for index, (name, look) in enumerate(zip(arm_names(result), looks, strict=True)):
        member = pick(result, name or None, _own(result, name, at))
        data, measure = member.data, member.measure
        found = spread(data[measure.test].isel(epoch=-1).transpose("width", "modes", "seed"), measure.scale)
        number = _parameters(data)
        along_modes = data.sizes["modes"] > 1
        for line in range(number.shape[0] if along_modes else 1):
            where = (line, slice(None)) if along_modes else (slice(None), 0)
            order = np.argsort(number[where])
            x, values = number[where][order], Spread(*(part[where][order] for part in found))
            style = "--" if name == BASELINE else "-"
            form: dict[str, Any] = {"color": look.colour, "ls": style, "marker": _MARKERS[index % 8]}
            text = look.label if line == 0 else f"_{look.label} {line}"
            low, high = values.band(measure.limits)
            ends = [values.mean - low, high - values.mean]
            panel.errorbar(x, values.mean, ends, ms=4.5, lw=1.3, capsize=2, elinewidth=1, label=text, **form)
        counts.append(found.count.ravel())
        sizes.append(number.ravel())
        means.append(found.mean.ravel())
        pairs = max(pairs, pairs_of(arm_data(result, name or None)))
        failed.append(f"{look.label}: {diverged_text(data.status)}" if diverged_text(data.status) else "")
    everything = np.concatenate(means)
    _count_axis(panel, np.concatenate(sizes))
    panel.set_xlabel("trained parameters")
    panel.set_ylabel(pick(result).measure.label)
    if pick(result).measure.what == "loss":
        set_log_y(panel, everything)
    finish(panel, empty="" if np.isfinite(everything).any() else nothing_text(first))
    if made:
        name = str(first.attrs.get("dataset", "sweep")).replace("$", r"\$")
        words = [name, f"after epoch {int(first.epoch[-1])}", seeds_text(np.concatenate(counts))]
        words += [_rates_text(first, pairs), *_others_text(result, at), *failed]
        set_title(panels, words)
    place_legend(panels, made)
    return panel


def _rates_text(data: xarray.Dataset, pairs: int) -> str:
    if pairs == 1:
        return "each arm at its own learning rate"
    how = "on held-out data" if judge_of(data).startswith("validation") else "by training loss"
    return f"learning rate and decay of each arm: the best of its pairs {how}"


def _others_text(result: Result, at: dict[str, float], keep: tuple[str, ...] = ()) -> list[str]:
    """Say at which values of their further axes the arms are drawn."""
    found: dict[str, None] = {}
    for name in arm_names(result):
        data = arm_data(result, name or None)
        for axis in further_axes(data):
            if axis not in keep:
                value = at.get(axis, float(data[axis].values[0]))
                found[axis_text(axis, value) + (f" (one of {data.sizes[axis]})" if data.sizes[axis] > 1 else "")] = None
    return list(found)


def _check_axes(result: Result, at: dict[str, float]) -> None:
    held = {str(name) for each in arm_names(result) for name in arm_data(result, each or None).status.dims}
    for name in at:
        if name not in held - set(SIZES):
            raise InputError(f"no arm has the axis {name!r}; allowed: {choices(held - set(SIZES))}")


def _own(result: Result, name: str, at: dict[str, float]) -> dict[str, float]:
    """Return the values of axes that an arm has; rates belong to the arms themselves."""
    dims = arm_data(result, name or None).status.dims
    rates = ("learning_rate", "weight_decay") if name == BASELINE else ()
    return {axis: value for axis, value in at.items() if axis in dims and axis not in rates}


def _count_axis(ax: Axes, values: np.ndarray) -> None:
    from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter

    ax.set_xscale("log")
    low, high = float(values.min()), float(values.max())
    ax.set_xlim(low / 1.3, high * 1.3)
    ax.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high / low < 300 else (1.0,), numticks=12))
    ax.xaxis.set_major_formatter(EngFormatter(sep=""))
    ax.xaxis.set_minor_formatter(NullFormatter())


def plot_against(
    result: Result,
    axis: str,
    ax: Axes | None = None,
    *,
    width: int | None = None,
    modes: int | None = None,
    arm: str | None = None,
    colours: Chosen = None,
    labels: Chosen = None,
    **at: float,
) -> Axes:
    """Draw the test accuracy after the last epoch against an axis of the grid, such as sparsity or label noise.

    Args:
        result: a run, its result, or the data set of one arm, which has no baseline.
        axis: a further axis of the grid, or one of a user's own.
        ax: where to draw; a figure of its own by default.
        width: one width only; by default the largest, unless `modes` is given.
        modes: one number of modes only.
        arm: the name of an arm; the first one by default.
        colours: a colour for each curve in their order, or by the label it has by default.
        labels: what the legend says of each curve instead, likewise.
        **at: values of the other axes, such as learning_rate=0.01.

    Returns:
        The axes.

    Raises:
        InputError: if the result has no such arm, axis, width, modes or value.

    Example:
        >>> from modejax import SweepConfig, run_sweep
        >>> config = SweepConfig(layer="dense", widths=(8,), epochs=1, seeds=2, mask="dynamic", sparsities=(0, 90))
        >>> plot_against(run_sweep(config), "sparsity").get_xlabel()
        'sparsity (%)'
    """
    data = arm_data(result, arm)
    if "status" not in data or axis not in data.status.dims or axis in SIZES:
        allowed = [str(name) for name in data.status.dims if name not in SIZES] if "status" in data else []
        raise InputError(f"the result has no axis {axis!r} to draw along; allowed: {choices(allowed)}")
    member = pick(result, arm, at, keep=(axis,))
    data, measure = member.data, member.measure
    picked = pick_curves(data, width, modes).dressed(colours, labels)
    panels, made = make_axes(1, ax)
    panel: Axes = panels[0]
    values, counts = data[axis].values, []
    order = np.argsort(values)
    for curve in picked.curves:
        found = _along(data, measure.test, axis, measure.scale, curve.where)
        crowded, limits = picked.colours.many, measure.limits
        in_order = Spread(*(part[order] for part in found))
        draw_curve(panel, values[order], in_order, curve, crowded=crowded, limits=limits)
        counts.append(found.count)
    widths = {curve.width for curve in picked.curves}
    dense = len(widths) == 1 and member.dense is not None and axis in member.dense.dims
    if dense and member.dense is not None:
        where = {"width": picked.curves[0].where["width"]}
        found = _along(member.dense, measure.test, axis, measure.scale, where)
        x = member.dense[axis].values
        grey = Curve(0, 0, {}, "dense baseline", DENSE_COLOUR, DENSE_STYLE)
        in_order = Spread(*(part[np.argsort(x)] for part in found))
        draw_curve(panel, x[np.argsort(x)], in_order, grey, limits=measure.limits)
    set_number_axis(panel, values.tolist(), wide=20.0)
    panel.set_xlabel(_LABELS.get(axis, axis))
    panel.set_ylabel(measure.label)
    finish(panel, empty="" if any(count.any() for count in counts) else nothing_text(data))
    if made:
        words = [f"after epoch {int(data.epoch[-1])}", picked.text, member.text, member.dense_text if dense else ""]
        set_title(panels, [headline(data), *words, seeds_text(np.concatenate(counts)), diverged_text(data.status)])
    place_legend(panels, made, colours=picked.colours)
    return panel


def _along(data: xarray.Dataset, name: str, axis: str, scale: float, where: dict[str, int]) -> Spread:
    return spread(data[name].isel({"epoch": -1, **where}).transpose(axis, "seed"), scale)


def plot_error_against_examples(
    result: Result,
    ax: Axes | None = None,
    *,
    width: int | None = None,
    loss: bool = False,
    colours: Chosen = None,
    labels: Chosen = None,
    **at: float,
) -> Axes:
    """Draw the test error after the last epoch against the number of training examples, on logarithmic axes.

    A curve for each arm and number of modes: a colour an arm, lighter for more modes, the dense baseline dashed. Bands
    are one standard deviation over seeds.

    Args:
        result: a run or its result, in which an arm has the axis `train_examples`.
        ax: where to draw; a figure of its own by default.
        width: one of the widths; by default the largest of each arm.
        loss: draw the test loss instead of the error; always so where the targets are real values.
        colours: a colour for each arm in their order, or by name (`dense baseline` for the baseline).
        labels: what the legend calls each arm instead, likewise.
        **at: values of the other axes, for the arms that have them.

    Returns:
        The axes.

    Raises:
        InputError: if no arm has the axis, or there is no such width or value.

    Example:
        >>> from modejax import SweepConfig, run_sweep
        >>> config = SweepConfig(widths=(8,), modes=(2,), seeds=2, epochs=1, train_examples=(100, 1000))
        >>> plot_error_against_examples(run_sweep(config)).get_ylabel()
        'test error (%)'
    """
    names = [n for n in arm_names(result) if "train_examples" in arm_data(result, n or None).dims]
    if not names:
        raise InputError("no arm has the axis train_examples; give train_examples=... in the config of the sweep")
    _check_axes(result, at)
    panels, made = make_axes(1, ax)
    panel: Axes = panels[0]
    sizes, means, counts, widths, label, pairs = [], [], [], set(), "", 1
    for name, look in zip(names, _looks(names, colours, labels), strict=True):
        member = pick(result, name or None, _own(result, name, at), keep=("train_examples",))
        label = _examples(
            panel, member, look, width=width, dense=name == BASELINE, loss=loss, found=(sizes, means, counts)
        )
        widths.add(int(member.data.width.max()) if width is None else width)
        pairs = max(pairs, pairs_of(arm_data(result, name or None)))
    everything = np.concatenate(means)
    set_number_axis(panel, sorted(set(np.concatenate(sizes).tolist())), wide=2.0)
    set_log_y(panel, everything)
    panel.set_xlabel("training examples")
    panel.set_ylabel(label)
    first = arm_data(result, names[0] or None)
    finish(panel, empty="" if np.isfinite(everything).any() else nothing_text(first))
    if made:
        data_name = str(first.attrs.get("dataset", "sweep")).replace("$", r"\$")
        failed = diverged_text(first.status)
        epoch = f"after epoch {int(first.epoch[-1])}"
        words = [data_name, epoch, f"N = {', '.join(map(str, sorted(widths)))}", seeds_text(np.concatenate(counts))]
        words += [_rates_text(first, pairs), *_others_text(result, at, ("train_examples",)), failed]
        set_title(panels, words)
    place_legend(panels, made)
    return panel


def _examples(
    ax: Axes,
    member: Member,
    look: _Look,
    *,
    width: int | None,
    dense: bool,
    loss: bool,
    found: tuple[list, list, list],
) -> str:
    """Draw the curves of one arm; return the label of the vertical axis."""
    data, measure = member.data, member.measure
    by_loss = loss or measure.what == "loss"
    picked = pick_curves(data, int(data.width.max()) if width is None else width)
    examples = data.train_examples.values
    order = np.argsort(examples)
    for place, curve in enumerate(picked.curves):
        where = curve.where
        if by_loss:
            values = _along(data, "test_loss", "train_examples", 1.0, where)
        else:
            right = _along(data, measure.test, "train_examples", measure.scale, where)
            values = right._replace(mean=100 - right.mean)
        values = Spread(*(part[order] for part in values))
        share = 0.6 * place / max(len(picked.curves) - 1, 1)
        text = look.label if dense else ", ".join(filter(None, [look.label, modes_text(data, curve.modes)]))
        style = DENSE_STYLE if dense else "-"
        curve = curve._replace(label=text, colour=_lighter(look.colour, share), style=style)
        draw_curve(ax, examples[order], values, curve, limits=None if by_loss else (0.0, 100.0))
        found[0].append(examples)
        found[1].append(values.mean)
        found[2].append(values.count)
    unit = str(data.test_loss.attrs.get("units", "nat"))
    return f"test loss ({'no unit' if unit == '1' else unit})" if by_loss else "test error (%)"
