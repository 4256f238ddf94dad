"""Every figure of a run: which there are, and their files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from modejax._files import replaced
from modejax.errors import InputError, choices
from modejax.plots.members import (
    Result,
    arm_data,
    arm_names,
    further_axes,
    measure_of,
    pairs_of,
    pick,
    require,
)
from modejax.sweep.select import BASELINE, first_pair

if TYPE_CHECKING:
    import xarray

__all__ = ["DPI", "FORMATS", "Drawing", "differs_from_best", "drawings", "fits_one_figure", "own_arms", "save_figures"]

DPI = 150
"""Dots an inch of the files."""

FORMATS = ("png", "pdf", "svg")
"""Formats in which figures are saved."""

_UNDATED: dict[str, Any] = {"png": None, "pdf": {"CreationDate": None}, "svg": {"Date": None}}
"""Keeps the time out of files, so that the same figure is the same file."""

_KINDS = (
    "arms",
    "examples",
    "accuracy",
    "accuracy_vs_rate",
    "accuracy_vs_rate_widths",
    "accuracy_rates",
    "pruning",
    "pruning_by_layer",
    "node_scores",
    "truncation",
    "truncation_first",
    "truncation_widths",
    "emergence",
    "learning",
    "learning_first",
    "learning_widths",
    "importance",
    "importance_history",
)


class Drawing(NamedTuple):
    """One figure of a run."""

    kind: str  # what is shown, as in `_KINDS`, or against_AXIS
    arm: str | None  # of which arm; None for all of them
    stem: str  # the name of its file
    draw: Callable[[], Any]


def own_arms(result: Result) -> list[str | None]:
    """Return the arms of which a run has figures: all but the dense baseline, which is drawn beside the others."""
    names = arm_names(result)
    return [name or None for name in names if name != BASELINE or len(names) == 1]


def differs_from_best(data: xarray.Dataset) -> bool:
    """Say whether the first pair of learning rate and decay of an arm is not the best one of every cell of its grid."""
    first, best = first_pair(data), pick(data).data
    return any(bool((best[name] != value).any()) for name, value in first.items() if name in best.coords)


def fits_one_figure(result: Result, arm: str | None) -> bool:
    """Say whether the learning curves of all widths and numbers of modes of an arm are drawn together."""
    from modejax.plots.style import MOST_TOGETHER, pick_curves

    data = arm_data(result, arm)
    picked = pick_curves(pick(data).data, pairs=MOST_TOGETHER)
    return len({curve.width for curve in picked.curves}) == data.sizes["width"]


def drawings(result: Result) -> Iterator[Drawing]:
    """Yield every figure that a run has, in the order in which one reads them.

    Args:
        result: a run, its result, or the data set of one arm.

    Yields:
        The figures; with several arms besides the baseline, the files are named after them.
    """
    from modejax.plots.arms import plot_arms, plot_error_against_examples

    arms = own_arms(result)
    if len(arms) > 1:
        yield Drawing("arms", None, "arms", lambda: plot_arms(result))
    if any(arm_data(result, arm).sizes.get("train_examples", 1) > 1 for arm in arms):
        yield Drawing("examples", None, "examples", lambda: plot_error_against_examples(result))
    for arm in arms:
        for kind, draw in _of_arm(result, arm, several=len(arms) > 1):
            yield Drawing(kind, arm, f"{kind}-{arm}" if len(arms) > 1 else kind, draw)


def _of_arm(result: Result, arm: str | None, *, several: bool) -> Iterator[tuple[str, Callable[[], Any]]]:
    from modejax.plots.accuracy import plot_accuracy, plot_rates
    from modejax.plots.arms import plot_against
    from modejax.plots.importance import plot_importance, plot_importance_history
    from modejax.plots.learning import plot_learning
    from modejax.plots.pruning import plot_node_scores, plot_pruning
    from modejax.plots.rates import plot_accuracy_vs_rate, plot_first_and_best
    from modejax.plots.truncation import plot_emergence, plot_truncation

    data = arm_data(result, arm)
    at: dict[str, Any] = {"arm": arm}
    first: dict[str, Any] = {**at, **first_pair(data)}
    beside = differs_from_best(data)
    both_vary = data.sizes["width"] > 1 and data.sizes["modes"] > 1
    most: dict[str, Any] = {"modes": int(data.modes.max()), **at}
    if data.sizes["modes"] > 1 or not several:
        yield "accuracy", lambda: (plot_first_and_best if beside else plot_accuracy)(result, **at)
    if data.sizes.get("learning_rate", 1) > 1:
        yield "accuracy_vs_rate", lambda: plot_accuracy_vs_rate(result, **at)
        if both_vary and not fits_one_figure(result, arm):
            yield "accuracy_vs_rate_widths", lambda: plot_accuracy_vs_rate(result, **most)
    if pairs_of(data) > 1:
        yield "accuracy_rates", lambda: plot_rates(result, arm=arm)
    for axis in further_axes(data):
        if data.sizes[axis] > 1 and axis != "train_examples":
            yield f"against_{axis}", lambda axis=axis: plot_against(result, axis, **at)
    if "pruning_accuracy" in data:
        yield "pruning", lambda: plot_pruning(result, **at)
    if "pruning_accuracy_by_layer" in data:
        yield "pruning_by_layer", lambda: plot_pruning(result, by_layer=True, **at)
    if "node_score" in data:
        score = str(data.node_ranking.values[0])
        yield "node_scores", lambda: plot_node_scores(result, score=score, **at)
    if f"truncation_{measure_of(data).what}" in data:
        yield "truncation", lambda: plot_truncation(result, **at)
        if beside:
            yield "truncation_first", lambda: plot_truncation(result, **first)
        if both_vary:
            yield "truncation_widths", lambda: plot_truncation(result, **most)
        if data.sizes["truncation_epoch"] > 1:
            yield "emergence", lambda: plot_emergence(result, **at)
    yield "learning", lambda: plot_learning(result, **at)
    if beside:
        yield "learning_first", lambda: plot_learning(result, **first)
    if both_vary and not fits_one_figure(result, arm):
        yield "learning_widths", lambda: plot_learning(result, **most)
    if "importance" in data:
        yield "importance", lambda: plot_importance(result, **at)
    if "importance_history" in data:
        yield "importance_history", lambda: plot_importance_history(result, **at)


def save_figures(
    result: Result, folder: str | Path, *, formats: Sequence[str] = ("png",), data: bool = False
) -> list[Path]:
    """Save every figure that a run has as `figures/*.png` of a run folder, each whole or not at all.

    Args:
        result: a run, its result, or the data set of one arm.
        folder: an existing folder. Figures of an earlier result that this one does not have are removed.
        formats: of the files: `png`, `pdf`, `svg`; the last two have no pixels and grow without loss.
        data: save the numbers behind each figure beside it, as `figures/*.csv`; see `figure_data` for the columns.

    Returns:
        The paths, in the order in which one reads them.

    Raises:
        InputError: if the result is not that of a sweep, a format is not allowed, or a figure cannot be written.

    Example:
        >>> import tempfile
        >>> from modejax import SweepConfig, run_sweep
        >>> run = run_sweep(SweepConfig(widths=(8,), modes=(2,), seeds=2, epochs=1, baseline="none"))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     [path.name for path in save_figures(run, folder)]
        ['accuracy.png', 'truncation.png', 'learning.png', 'importance.png']
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     [path.name for path in save_figures(run, folder, formats=("svg",), data=True)][:2]
        ['accuracy.svg', 'accuracy.csv']
    """
    import numpy as np

    from modejax.plots.numbers import figure_data

    formats = tuple(dict.fromkeys(formats))
    for each in formats:
        if each not in FORMATS:
            raise InputError(f"a figure cannot be saved as {each!r}; allowed: {choices(FORMATS)}")
    arms = own_arms(result)
    for arm in arms:
        require(arm_data(result, arm), "test_accuracy", "test_loss", "train_loss", "status")
    place = Path(folder) / "figures"
    paths = []
    try:
        place.mkdir(exist_ok=True)
        for drawing in drawings(result):
            axes = np.ravel(np.asarray(drawing.draw(), dtype=object))
            for each in formats:
                path = place / f"{drawing.stem}.{each}"
                with replaced(path) as part:
                    axes[0].figure.savefig(part, dpi=DPI, format=each, metadata=_UNDATED[each])
                paths.append(path)
            if data:
                path = place / f"{drawing.stem}.csv"
                with replaced(path) as part:
                    figure_data(axes).to_csv(part, index=False)
                paths.append(path)
        stems = {path.stem for path in paths}
        for path in sorted(place.iterdir()):
            if path.suffix[1:] in (*FORMATS, "csv") and path.stem not in stems and _is_ours(path.stem, arms):
                path.unlink()
    except OSError as error:
        raise InputError(
            f"the figures could not be written to {place} ({error.strerror or error}); those that were there "
            "before are whole. Make room or name another folder"
        ) from None
    return paths


def _is_ours(stem: str, arms: list[str | None]) -> bool:
    """Say whether a figure is named as those of this run are."""
    kind, dash, arm = stem.partition("-")
    return (kind in _KINDS or kind.startswith("against_")) and (not dash or arm in arms)
