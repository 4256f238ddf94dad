"""What a run folder shows: the table of its networks, its figures, and one page with all of it."""

from __future__ import annotations

import base64
import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modejax._files import replaced
from modejax.errors import InputError
from modejax.plots.members import BAND, config_of, diverged_text, layer_text, require, spread

if TYPE_CHECKING:
    import xarray

__all__ = ["save_figures", "table", "write_report"]

_DPI = 150
_READABLE = 64  # screen pixels an inch of a figure at which its text is still legible
_OPEN_ROWS = 60  # a longer table is folded up on the page


def table(result: xarray.Dataset) -> list[dict[str, Any]]:
    """Return the final test accuracies of a sweep as rows, one for each width, modes, learning rate and weight decay.

    Args:
        result: the result of a sweep.

    Returns:
        Rows with the keys `network` (the layer's name or `dense baseline`), `width`, `modes` (0: none or full rank),
        `learning_rate`, `weight_decay`, with masks `sparsity` (percent), `mean` and `sd` (percent, over seeds, divisor
        n - 1; None where there is no such number), `n` (networks that did not diverge), `diverged` (those that did) and
        `num_parameters`. Every value is one that JSON knows. The baseline comes last.

    Raises:
        InputError: if the result is not that of a sweep.

    Example:
        >>> from modejax import SweepConfig, run_sweep
        >>> result = run_sweep(SweepConfig(widths=(8,), modes=(2,), seeds=2, epochs=1, baseline="none"))
        >>> (row,) = table(result)
        >>> row["network"], row["width"], row["modes"], row["n"], row["num_parameters"]
        ('mode', 8, 2, 2, 218)
    """
    require(result, "test_accuracy", "status", "num_parameters")
    config = config_of(result)
    sparse = ("sparsity",) if "sparsity" in result.dims else ()
    grid = ("learning_rate", "weight_decay", *sparse, "width", "modes")
    final = result.test_accuracy.isel(epoch=-1).where(result.status == 0)
    found = spread(final.transpose(*grid, "seed"), 100.0)
    failed = (result.status != 0).sum("seed").transpose(*grid).values
    counts = result.num_parameters.broadcast_like(result.status.isel(seed=0, learning_rate=0, weight_decay=0))
    named = config.get("layer") == "spectral" or bool(sparse)
    rows = []
    for place in itertools.product(*(range(result.sizes[name]) for name in grid)):
        rate, decay, *at, width, modes = place
        rows.append(
            {
                "network": layer_text(config) if named else str(config.get("layer", "sweep")),
                "width": int(result.width[width]),
                "modes": int(result.modes[modes]),
                "learning_rate": float(result.learning_rate[rate]),
                "weight_decay": float(result.weight_decay[decay]),
                **({"sparsity": float(result.sparsity[at[0]])} if sparse else {}),
                **_statistics(found.mean[place], found.sd[place], found.count[place]),
                "diverged": int(failed[place]),
                "num_parameters": int(counts.isel(width=width, modes=modes, **({"sparsity": at[0]} if sparse else {}))),
            }
        )
    if "baseline_test_accuracy" in result:
        final = result.baseline_test_accuracy.isel(epoch=-1).where(result.baseline_status == 0)
        found = spread(final.transpose("width", "seed"), 100.0)
        failed = (result.baseline_status != 0).sum("seed").values
        for width in range(result.sizes["width"]):
            rows.append(
                {
                    "network": "dense baseline",
                    "width": int(result.width[width]),
                    "modes": 0,
                    "learning_rate": config.get("baseline_learning_rate"),
                    "weight_decay": config.get("baseline_weight_decay"),
                    **({"sparsity": None} if sparse else {}),
                    **_statistics(found.mean[width], found.sd[width], found.count[width]),
                    "diverged": int(failed[width]),
                    "num_parameters": int(result.baseline_num_parameters[width]),
                }
            )
    return rows


def _statistics(mean: float, sd: float, count: int) -> dict[str, float | int | None]:
    return {
        "mean": float(mean) if count > 0 else None,
        "sd": float(sd) if count > 1 else None,
        "n": int(count),
    }


def _shown_pair(result: xarray.Dataset) -> dict[str, float]:
    """Return the first learning rate and decay of which some network did not diverge; accuracy plays no part in it."""
    for rate in range(result.sizes["learning_rate"]):
        for decay in range(result.sizes["weight_decay"]):
            if bool((result.status.isel(learning_rate=rate, weight_decay=decay) == 0).any()):
                return {
                    "learning_rate": float(result.learning_rate[rate]),
                    "weight_decay": float(result.weight_decay[decay]),
                }
    return {}


def _pairs(result: xarray.Dataset) -> int:
    return result.sizes["learning_rate"] * result.sizes["weight_decay"]


def _fits_one_figure(result: xarray.Dataset) -> bool:
    """Say whether the learning curves of all widths and numbers of modes are drawn together."""
    from modejax.plots.members import pick_pair
    from modejax.plots.style import MOST_TOGETHER, pick_curves

    picked = pick_curves(pick_pair(result).data, pairs=MOST_TOGETHER)
    return len({curve.width for curve in picked.curves}) == result.sizes["width"]


def _drawings(result: xarray.Dataset) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Yield the name of every figure that a result has, and how to draw it."""
    from modejax.plots.accuracy import plot_accuracy, plot_rates
    from modejax.plots.importance import plot_importance
    from modejax.plots.learning import plot_learning
    from modejax.plots.pruning import plot_node_scores, plot_pruning, plot_sparsity
    from modejax.plots.truncation import plot_emergence, plot_truncation

    pair: dict[str, Any] = _shown_pair(result) if _pairs(result) > 1 else {}
    both_vary = result.sizes["width"] > 1 and result.sizes["modes"] > 1
    most: dict[str, Any] = {"modes": int(result.modes.max()), **pair}
    yield "accuracy", lambda: plot_accuracy(result, **pair)
    if _pairs(result) > 1:
        yield "accuracy_rates", lambda: plot_rates(result)
    if "sparsity" in result.dims:
        yield "sparsity", lambda: plot_sparsity(result, **pair)
    if "pruning_accuracy" in result:
        yield "pruning", lambda: plot_pruning(result, **pair)
    if "node_score" in result:
        first = str(result.node_ranking.values[0])
        yield "node_scores", lambda: plot_node_scores(result, score=first, **pair)
    if "truncation_accuracy" in result:
        yield "truncation", lambda: plot_truncation(result, **pair)
        if both_vary:
            yield "truncation_widths", lambda: plot_truncation(result, **most)
        if result.sizes["truncation_epoch"] > 1:
            yield "emergence", lambda: plot_emergence(result, **pair)
    yield "learning", lambda: plot_learning(result, **pair)
    if both_vary and not _fits_one_figure(result):
        yield "learning_widths", lambda: plot_learning(result, **most)
    if "importance" in result:
        yield "importance", lambda: plot_importance(result, **pair)


_NAMES = (
    "accuracy",
    "accuracy_rates",
    "sparsity",
    "pruning",
    "node_scores",
    "truncation",
    "truncation_widths",
    "emergence",
    "learning",
    "learning_widths",
    "importance",
)


def save_figures(result: xarray.Dataset, folder: str | Path) -> list[Path]:
    """Save every figure that a result has as `figures/*.png` of a run folder, each whole or not at all.

    Args:
        result: the result of a sweep.
        folder: an existing folder. Figures of an earlier result that this one does not have are removed.

    Returns:
        The paths, in the order in which one reads them.

    Raises:
        InputError: if the result is not that of a sweep, or a figure cannot be written.

    Example:
        >>> import tempfile
        >>> from modejax import SweepConfig, run_sweep
        >>> result = run_sweep(SweepConfig(widths=(8,), modes=(2,), seeds=2, epochs=1, baseline="none"))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     [path.name for path in save_figures(result, folder)]
        ['accuracy.png', 'truncation.png', 'learning.png', 'importance.png']
    """
    import numpy as np

    require(result, "test_accuracy", "test_loss", "train_loss", "status")
    place = Path(folder) / "figures"
    paths = []
    try:
        place.mkdir(exist_ok=True)
        for name, draw in _drawings(result):
            figure = np.ravel(np.asarray(draw(), dtype=object))[0].figure
            path = place / f"{name}.png"
            with replaced(path) as part:
                figure.savefig(part, dpi=_DPI, format="png")
            paths.append(path)
        for name in _NAMES:
            if place / f"{name}.png" not in paths:
                (place / f"{name}.png").unlink(missing_ok=True)
    except OSError as error:
        raise InputError(
            f"the figures could not be written to {place} ({error.strerror or error}); those that were there "
            "before are whole. Make room or name another folder"
        ) from None
    return paths


def _captions(result: xarray.Dataset) -> dict[str, tuple[str, str]]:
    """Return head and caption of every figure by its name: what is shown, units, what the band is, how many seeds."""
    from modejax.plots.style import MANY

    config = config_of(result)
    shown = _shown_pair(result)
    rate = shown.get("learning_rate", float(result.learning_rate[0]))
    decay = shown.get("weight_decay", float(result.weight_decay[0]))
    used = f"Learning rate {rate:g}, weight decay {decay:g}"
    if _pairs(result) > 1:
        which = " of which not all networks diverged" if shown else ""
        used += f": the first of {_pairs(result)} pairs{which}, not the best one"
    seeds = result.sizes["seed"]
    band = (
        f"Lines: mean over n = {seeds} seeds; bands (in figures of up to {MANY} curves): 1 standard deviation of "
        "single networks (divisor n - 1)"
    )
    if seeds == 1:
        band = "One seed only (n = 1), so there is no band"
    end = ". ".join(filter(None, [used, band, diverged_text(result.status)])) + "."
    epoch = int(result.epoch[-1])
    wide, most = int(result.width.max()), int(result.modes.max())
    at_wide = f"of width {wide}, trained with each number of modes"
    at_most = f"trained with {most} modes, of each width" if most else "of each width"
    if result.sizes["modes"] == 1 or result.sizes["width"] == 1:
        at_wide = at_most = "of the sweep"
    learned = "of every width and number of modes" if _fits_one_figure(result) else at_wide
    dense = ""
    if "baseline_test_accuracy" in result:
        rate, decay = config.get("baseline_learning_rate"), config.get("baseline_weight_decay")
        dense = f" Dashed: dense networks of the same widths (their own learning rate {rate}, weight decay {decay})."
        if diverged_text(result.baseline_status):
            dense += f" Of these, {diverged_text(result.baseline_status)}."
    against = "number of modes P of each map" if result.sizes["modes"] > 1 else "width N"
    accuracy = f"Test accuracy (percent) after epoch {epoch} against the {against}.{dense}"
    cut = "Test accuracy (percent) against the number of modes kept"
    order = ""
    if "truncation_accuracy" in result:
        from modejax.plots.truncation import order_text

        order = f" Order: {order_text(result)}." if order_text(result) else ""
    learn = "Mean loss over the batches of an epoch, loss and accuracy (percent) on the test set, against the epoch"
    return {
        "accuracy": ("Accuracy against modes" if result.sizes["modes"] > 1 else "Accuracy", f"{accuracy} {end}"),
        "accuracy_rates": (
            "Accuracy at each learning rate and weight decay",
            f"{accuracy} A panel for each pair. {'. '.join(filter(None, [band, diverged_text(result.status)]))}.",
        ),
        "sparsity": (
            "Sparse weights",
            f"Test accuracy (percent) after epoch {epoch} of networks trained with a share of their weights masked "
            f"({config.get('mask')}), against that share. {end}",
        ),
        "pruning": (
            "Nodes and weights taken away",
            "Test accuracy (percent; the loss where labels are real values) after training, without any training after "
            "the cut, against the percentage that goes: hidden nodes ranked by a score, or the smallest weights of "
            f"each map; networks {at_most}. Dashed: the dense baseline. {end}",
        ),
        "node_scores": (
            "Scores of the nodes",
            f"Histogram of the scores of hidden nodes at each epoch at which they were taken; the largest width. {end}",
        ),
        "truncation": (
            "Networks cut back to some modes",
            f"{cut} in one map, the others intact, and in all maps; networks {at_wide}.{order} {end}",
        ),
        "truncation_widths": ("Networks cut back, across widths", f"{cut}; networks {at_most}.{order} {end}"),
        "emergence": (
            "The modes emerge",
            f"{cut} in all maps, at each epoch at which it was measured; the largest network.{order} {end}",
        ),
        "learning": ("Learning curves", f"{learn}; networks {learned}. {end}"),
        "learning_widths": ("Learning curves across widths", f"{learn}; networks {at_most}. {end}"),
        "importance": (
            "Importance of the modes",
            "Importance \N{GREEK SMALL LETTER TAU} (no unit) of the modes after the last epoch, sorted in each "
            f"network, against the rank; both axes logarithmic; networks {at_wide}. {end}",
        ),
    }


def _facts(result: xarray.Dataset) -> list[tuple[str, str]]:
    attrs, config = result.attrs, config_of(result)

    def seconds(name: str) -> str:
        return f"{float(attrs[f'seconds_to_{name}']):.2f} s" if f"seconds_to_{name}" in attrs else "unknown"

    grid = f"{result.sizes['width']} widths x {result.sizes['modes']} numbers of modes x {result.sizes['seed']} seeds"
    if _pairs(result) > 1:
        grid += f" x {result.sizes['learning_rate']} learning rates x {result.sizes['weight_decay']} weight decays"
    if "sparsity" in result.dims:
        grid += f" x {result.sizes['sparsity']} sparsities"
    facts = [
        ("Data", f"{attrs.get('dataset', 'unknown')} ({attrs.get('data_source', 'source unknown')})"),
        ("Data hash (SHA-256)", str(attrs.get("data_hash", "unknown"))),
        ("Networks", f"{result.status.size}: {grid}"),
        ("Diverged", diverged_text(result.status) or "none"),
        ("Layer", f"{layer_text(config)}, {config.get('depth', '?')} hidden layers"),
        ("Epochs", str(int(result.epoch[-1]))),
        ("Trace", seconds("trace")),
        ("Compile", seconds("compile")),
        ("Run", seconds("run")),
        ("Device", str(attrs.get("device", "unknown"))),
        ("Made", str(attrs.get("created", "unknown"))),
    ]
    if "baseline_status" in result:
        words = [f"{result.baseline_status.size} networks", diverged_text(result.baseline_status)]
        facts.insert(3, ("Dense baseline", "; ".join(filter(None, words))))
    return facts


def write_report(result: xarray.Dataset, folder: str | Path, figures: Sequence[str | Path]) -> Path:
    """Write the page of a run, `report.html`: one file with table, figures and config, that refers to nothing outside.

    Args:
        result: the result of a sweep.
        folder: an existing folder.
        figures: PNG files, put into the page in this order; those of `save_figures` get captions.

    Returns:
        The path of the page.

    Raises:
        InputError: if the result is not that of a sweep, a figure cannot be read, or the page cannot be written; an
            earlier page stays whole.

    Example:
        >>> import tempfile
        >>> from modejax import SweepConfig, run_sweep
        >>> result = run_sweep(SweepConfig(widths=(8,), modes=(2,), seeds=2, epochs=1, baseline="none"))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_report(result, folder, []).name
        'report.html'
    """
    from importlib import resources

    import jinja2

    rows = table(result)
    captions = _captions(result)
    pictures = []
    for figure in map(Path, figures):
        try:
            content = figure.read_bytes()
        except OSError as error:
            raise InputError(f"the figure {figure} cannot be read ({error.strerror}); draw it again") from None
        head, caption = captions.get(figure.stem, (figure.stem, ""))
        # Bytes 16 to 19 of a PNG are its width; on a small screen a figure keeps a size at which it can be read.
        readable = int.from_bytes(content[16:20], "big") * _READABLE // _DPI
        encoded = base64.b64encode(content).decode()
        pictures.append({"head": head, "caption": caption, "content": encoded, "readable": readable})
    # The page holds what a user named (data sets, layers), so everything is escaped.
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    page = environment.from_string((resources.files("modejax.plots") / "report.html.j2").read_text()).render(
        title=f"Sweep: {result.attrs.get('dataset', 'data')}, {config_of(result).get('layer', '')} layers",
        facts=_facts(result),
        rows=rows,
        diverged=any(row["diverged"] for row in rows),
        sparse="sparsity" in result.dims,
        unfolded=len(rows) <= _OPEN_ROWS,
        band=BAND,
        pictures=pictures,
        config={name: json.dumps(value, ensure_ascii=False) for name, value in config_of(result).items()},
        versions=json.loads(str(result.attrs.get("versions", "{}"))),
    )
    path = Path(folder) / "report.html"
    try:
        with replaced(path) as part:
            part.write_text(page, encoding="utf-8")
    except OSError as error:
        raise InputError(
            f"{path} could not be written ({error.strerror or error}); what was there before is unchanged. "
            "Make room or name another folder"
        ) from None
    return path
