"""What stands under the figures on the page of a run: what is shown, units, what the band is, how many seeds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modejax.plots.figures import differs_from_best, drawings, fits_one_figure, own_arms
from modejax.plots.members import (
    Member,
    Result,
    arm_config,
    arm_data,
    axis_text,
    diverged_text,
    further_axes,
    pick,
)
from modejax.sweep.select import first_pair, judge_of

if TYPE_CHECKING:
    import xarray

__all__ = ["captions"]


def captions(result: Result) -> dict[str, tuple[str, str]]:
    """Return head and caption of every figure of a run, by the name of its file.

    Args:
        result: a run, its result, or the data set of one arm.

    Returns:
        The texts, without any markup.

    Example:
        >>> from modejax import SweepConfig, run_sweep
        >>> run = run_sweep(SweepConfig(widths=(8,), modes=(2,), seeds=2, epochs=1, baseline="none"))
        >>> captions(run)["learning"][0]
        'Learning curves'
    """
    several = len(own_arms(result)) > 1
    of_arms = {arm: _of_arm(result, arm) for arm in own_arms(result)}
    found = {}
    for drawing in drawings(result):
        head, text = of_arms[drawing.arm][drawing.kind] if drawing.arm in of_arms else _of_all(result, drawing.kind)
        found[drawing.stem] = (f"{head}: {drawing.arm}" if several and drawing.arm else head, text)
    return found


def _of_all(result: Result, kind: str) -> tuple[str, str]:
    first = arm_data(result)
    member, epoch, seeds = pick(result), int(first.epoch[-1]), _seeds(first)
    rule = (
        "Each arm at its own learning rate and decay: for every cell the best of them on held-out data where the sweep "
        "held data out, else those of the lowest training loss"
    )
    if kind == "arms":
        text = (
            f"{member.measure.text} after epoch {epoch} against the number of trained parameters (logarithmic). "
            f"Lines join the numbers of modes of one width, or the widths. {rule}. Bars: 1 standard deviation. {seeds}."
        )
        return "The arms side by side", text
    what = "error (percent)" if member.measure.what == "accuracy" else f"loss ({member.measure.unit})"
    text = (
        f"Test {what} after epoch {epoch} against the number of training examples, both axes logarithmic; the largest "
        f"width, lighter for more modes. {rule}. {seeds}."
    )
    return "Error against the number of training examples", text


def _seeds(data: xarray.Dataset) -> str:
    from modejax.plots.colours import MANY

    seeds = data.sizes["seed"]
    if seeds == 1:
        return "One seed only (n = 1), so there is no band"
    return (
        f"Lines: mean over n = {seeds} seeds; bands (in figures of up to {MANY} curves): 1 standard deviation of "
        "single networks (divisor n - 1)"
    )


def _of_arm(result: Result, arm: str | None) -> dict[str, tuple[str, str]]:
    """Return head and caption of all figures that an arm may have."""
    data = arm_data(result, arm)
    pair = first_pair(data)
    member = pick(result, arm)
    band, failed = _seeds(data), diverged_text(data.status)
    used = member.text[:1].upper() + member.text[1:]
    end = ". ".join(filter(None, [used, band, failed])) + "."
    first = ", ".join(axis_text(name, value) for name, value in pair.items())
    at_first = f" This is at the first pair, {first}. {'. '.join(filter(None, [band, failed]))}."
    wide, most = int(data.width.max()), int(data.modes.max())
    at_wide = f"of width {wide}, trained with each number of modes"
    at_most = f"trained with {most} modes, of each width" if most else "of each width"
    if data.sizes["modes"] == 1 or data.sizes["width"] == 1:
        at_wide = at_most = "of the sweep"
    learned = "of every width and number of modes" if fits_one_figure(result, arm) else at_wide
    several_modes = data.sizes["modes"] > 1
    text, epoch, dense = member.measure.text, int(data.epoch[-1]), _dense(member)
    against = "number of modes P of each map" if several_modes else "width N"
    accuracy = f"{text} after epoch {epoch} against the {against}.{dense}"
    beside = " Left: the first pair of rates; right: the best one of each cell." if differs_from_best(data) else ""
    what = member.measure.what
    found = {
        "accuracy": (f"{what.capitalize()}{' against modes' if several_modes else ''}", f"{accuracy}{beside} {end}"),
        **_of_rates(member, f"{text} after epoch {epoch}", ". ".join(filter(None, [band, failed]))),
        "accuracy_rates": (
            f"{what.capitalize()} at each learning rate and weight decay",
            f"{accuracy} A panel for each pair. {'. '.join(filter(None, [band, failed]))}.",
        ),
    }
    found |= _of_cuts(member, text, at_wide, at_most, (end, at_first))
    curves = "Mean loss over the batches of an epoch, loss and accuracy (percent) on the test set, against the epoch"
    if what == "loss":
        curves = "Mean loss over the batches of an epoch and loss on the test set, against the epoch"
    found |= {
        "learning": ("Learning curves", f"{curves}; networks {learned}. {end}"),
        "learning_first": ("Learning curves at the first pair of rates", f"{curves}; networks {learned}.{at_first}"),
        "learning_widths": ("Learning curves across widths", f"{curves}; networks {at_most}. {end}"),
        "importance": (
            "Importance of the modes",
            "Importance \N{GREEK SMALL LETTER TAU} (no unit) of the modes after the last epoch, sorted in each "
            f"network, against the rank; both axes logarithmic; networks {at_wide}. {end}",
        ),
        "importance_history": (
            "Importance of the modes during training",
            "Importance \N{GREEK SMALL LETTER TAU} (no unit) of each mode against the epoch. The modes of a network "
            "are numbered by their importance after the last epoch, and each is followed back from there; networks of "
            f"width {wide}{f', trained with {most} modes' if most else ''}. {end}",
        ),
    }
    for axis in further_axes(data):
        name = "the share of weights masked" if axis == "sparsity" else axis.replace("_", " ")
        mask = f" (mask {arm_config(data).get('mask')})" if axis == "sparsity" else ""
        found[f"against_{axis}"] = (
            f"{what.capitalize()} against {name}",
            f"{text} after epoch {epoch} against {name}{mask}, of {axis_text(axis, float(data[axis].min()))} to "
            f"{float(data[axis].max()):g}. {'. '.join(filter(None, [band, failed]))}.",
        )
    return found


def _dense(member: Member) -> str:
    if member.dense is None:
        return ""
    failed = diverged_text(member.dense.status)
    own = member.dense_text.removeprefix("dense: ")
    return f" Dashed: dense networks of the same widths, with {own}." + (f" Of these, {failed}." if failed else "")


def _of_rates(member: Member, text: str, end: str) -> dict[str, tuple[str, str]]:
    """Return the captions of figures against the learning rate."""
    held_out = judge_of(member.data).startswith("validation")
    how = (
        "on held-out data"
        if held_out
        else "by training loss, since no data were held out; --validation 0.1 holds some out"
    )
    star = f"A star marks the rate chosen for a line, {how}; the test set plays no part in it."
    head = f"{member.measure.what.capitalize()} against the learning rate"
    return {
        "accuracy_vs_rate": (head, f"{text} against the learning rate. {star} {end}."),
        "accuracy_vs_rate_widths": (f"{head}, across widths", f"{text} against the learning rate. {star} {end}."),
    }


def _of_cuts(
    member: Member, text: str, at_wide: str, at_most: str, ends: tuple[str, str]
) -> dict[str, tuple[str, str]]:
    """Return the captions of figures in which something is taken away from trained networks."""
    from modejax.plots.truncation import order_text

    data, (end, at_first) = member.data, ends
    cut = f"{text} against the number of modes kept"
    order = f" Order: {order_text(data)}." if "importance" in data and order_text(data) else ""
    return {
        "pruning": (
            "Nodes and weights taken away",
            f"{text} after training, without any training after the cut, against the percentage that goes: hidden "
            f"nodes ranked by a score, or the smallest weights of each map; networks {at_most}. Dashed: the dense "
            f"baseline. {end}",
        ),
        "pruning_by_layer": (
            "Nodes taken away, a percentage of each layer",
            f"{text} after training, without any training after the cut, against the percentage that goes of each "
            f"hidden layer by itself; networks {at_most}. Dashed: the dense baseline. {end}",
        ),
        "node_scores": (
            "Scores of the nodes",
            f"Histogram of the scores of hidden nodes at each epoch at which they were taken; the largest width. {end}",
        ),
        "truncation": (
            "Networks cut back to some modes",
            f"{cut} in one map, the others intact, and in all maps; networks {at_wide}.{order} {end}",
        ),
        "truncation_first": (
            "Networks cut back, at the first pair of rates",
            f"{cut} in one map, the others intact, and in all maps; networks {at_wide}.{order}{at_first}",
        ),
        "truncation_widths": ("Networks cut back, across widths", f"{cut}; networks {at_most}.{order} {end}"),
        "emergence": (
            "The modes emerge",
            f"{cut} in all maps, at each epoch at which it was measured; the largest network.{order} {end}",
        ),
    }
