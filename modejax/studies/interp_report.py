"""The report behind `modejax interpolate`: a run folder or an .npz file in, a table and figures out."""

from __future__ import annotations

import csv
import io
import re
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from modejax.errors import InputError
from modejax.interpolation import (
    FIELDS,
    act_mask,
    block_order,
    data_report,
    hidden_units,
    layer_reports,
    one_hot,
    relu_network,
)
from modejax.interpolation.sources import read_maps
from modejax.networks import Network, Params
from modejax.plots.interpolation import plot_matrix, plot_profile
from modejax.runs import open_run, output
from modejax.studies.common import save_drawing
from modejax.studies.files import Wrote, check_apart, write_text
from modejax.studies.interp_files import mean_sd
from modejax.studies.interp_table import summary_lines
from modejax.weights.kernels import picked

__all__ = ["Source", "read_source", "report_source"]


class Source(NamedTuple):
    """Networks and the points on which they are looked at."""

    names: list[dict[str, Any]]  # what tells each network from the others
    networks: list[tuple[Network, Params]]
    X: np.ndarray
    Y: np.ndarray
    y: np.ndarray | None
    notes: tuple[str, ...] = ()  # what was inferred from what


def read_source(path: Path, points: int, only: Sequence[str] = (), exclude: Sequence[str] = ()) -> Source:
    """Read a run folder or an .npz file.

    Args:
        path: a finished run with checkpoints, or a file with X, Y or y, and W1, b1, W2, b2, ...
        points: at most this many training points.
        only: shell patterns of the arrays of a file to take; X, Y and y are taken always.
        exclude: those to leave out.

    Returns:
        Networks and points.

    Raises:
        InputError: a missing or unreadable source, unknown arrays, or shapes that do not fit together.
    """
    if points < 2:
        raise InputError(f"points={points}; allowed: 2 or more")
    if path.is_dir():
        return _run(path, points)
    if not path.is_file():
        raise InputError(f"there is no run or file {path}; allowed: a run folder of modejax sweep, or a FILE.npz")
    return _file(path, points, only, exclude)


def _run(path: Path, points: int) -> Source:
    from modejax.data import load_dataset

    run = open_run(path)
    trained, config = [each for each in run.networks() if not each.status], run.config
    if not trained:
        raise InputError(f"no network of {path} stayed finite; there is nothing to report on")
    if config.activation != "relu":
        raise InputError(f"{path} has the activation {config.activation}; allowed: relu, whose zeros the reports count")
    data = load_dataset(config.dataset, data_dir=config.data_dir, seed=config.shuffle_seed)
    X, y = data.x_train[:points].astype(np.float64) * data.scale, data.y_train[:points]
    labels = None if data.targets == "values" else (y > 0 if data.targets == "signs" else y).astype(np.int64)
    one = labels is None or data.targets == "signs"
    Y = y[:, None].astype(np.float64) if one else one_hot(labels, data.num_classes)  # pyright: ignore
    names = [dict(each.at) for each in trained]
    return Source(names, [(t.network, t.params) for t in trained], X, Y, labels)


def _file(path: Path, points: int, only: Sequence[str], exclude: Sequence[str]) -> Source:
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} cannot be read as an .npz archive of numbers ({error})") from None
    known = {"X", "Y", "y"}
    idle = [each for each in (*only, *exclude) if not any(picked(name, [each]) for name in arrays)]
    if idle:
        raise InputError(f"only or exclude names {', '.join(idle)}, which matches no array of {path}")
    arrays = {
        name: each
        for name, each in arrays.items()
        if name in known or ((not only or picked(name, only)) and not picked(name, exclude))
    }
    extra = [name for name in arrays if name not in known and not re.fullmatch(r"[Wb][1-9]\d*", name)]
    if extra or "X" not in arrays or not ({"Y", "y"} & set(arrays)):
        raise InputError(
            f"{path} holds {', '.join(sorted(arrays)) or 'nothing'}; allowed: X, Y or y, and W1, b1, W2, b2, ... "
            "Make it with np.savez(path, X=..., y=..., W1=..., b1=..., ...), or leave the others out by --exclude"
        )
    labels = None
    if "y" in arrays:
        labels = np.asarray(arrays["y"])
        if labels.ndim != 1 or labels.dtype.kind not in "iub" or labels.size == 0 or labels.min() < 0:
            raise InputError(f"{path}: y has shape {labels.shape}, type {labels.dtype}; allowed: integers 0..K-1")
        labels = labels[:points].astype(np.int64)
    X = np.asarray(arrays["X"])[:points]
    Y = np.asarray(arrays["Y"])[:points] if "Y" in arrays else one_hot(labels, int(labels.max()) + 1)  # pyright: ignore
    maps, notes = read_maps({name: each for name, each in arrays.items() if name not in known}, X.shape[-1], str(path))
    if len(maps) == 1:
        raise InputError(f"{path} has one map, so no hidden layer; allowed: none (data only), or W1, W2 and more")
    return Source([{"file": path.stem}], [relu_network(maps)] if maps else [], X, Y, labels, tuple(notes))


def report_source(
    path: Path,
    out: Path | None = None,
    *,
    overwrite: bool = False,
    points: int = 500,
    tolerance: float = 1e-3,
    only: Sequence[str] = (),
    exclude: Sequence[str] = (),
) -> list[str]:
    """Report on a run or a file; write `layers.csv` and figures.

    Args:
        path: see `read_source`.
        out: folder to write; by default a new one, `runs/interpolate-NAME-001` and so on.
        overwrite: replace an earlier output of this command in `out`.
        points: at most this many training points.
        tolerance: see `layer_report`.
        only: see `read_source`.
        exclude: see `read_source`.

    Returns:
        Lines to print: the data, a table, and what was written.

    Raises:
        InputError: see `read_source`, `layer_reports` and `modejax.runs.output`.
    """
    check_apart(path, out)
    source = read_source(path, points, only, exclude)
    found = data_report(source.X, source.Y, source.y)
    lines = ["data: " + ", ".join(f"{name} {value:g}" for name, value in found.items())]
    lines += [f"note: {note}" for note in source.notes]
    if not source.networks:
        return [*lines, "the file has no weights W1, b1, W2, ...; nothing was written"]
    with output(out, "interpolate", overwrite=overwrite, stem=path.stem) as claimed:
        reports = layer_reports(source.networks, source.X, source.Y, source.y, tolerance=tolerance)
        rows = [{**name, **row} for name, layers in zip(source.names, reports, strict=True) for row in layers]
        written = io.StringIO()
        writer = csv.DictWriter(written, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_text(claimed.path / "layers.csv", written.getvalue())
        _figures(claimed.path, source, reports)
        folder = claimed.finish()
    shown = ("layer", "m", "rank_1e-03", "rank_1e-10", "cond", "alpha", "dead_units", "tau", "class", "rho", "beta")
    assert set(shown) <= set(FIELDS)
    lines += summary_lines(rows, list(source.names[0]), shown)
    left = _left_out(source)
    if left:
        lines.append(f"note: figures/profile.png shows 8 kinds of networks; left out: {left}; layers.csv has all")
    lines.append(Wrote(folder, "layers.csv, figures/profile.png and figures/matrices.png"))
    lines.append(
        "next: classes A D T B F W fit any targets (A: affine ones), L these only, X not; see docs/studies/interp-depth"
    )
    return lines


def _left_out(source: Source) -> str:
    names = list(_kinds(source))[8:]
    return "; ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def _kinds(source: Source) -> dict[str, list[int]]:
    """Return the networks of each width and number of modes."""
    groups: dict[str, list[int]] = {}
    for index, name in enumerate(source.names):
        key = ", ".join(f"{k} {v:g}" for k, v in name.items() if k in ("width", "modes")) or str(name.get("file", ""))
        groups.setdefault(key, []).append(index)
    return groups


def _figures(folder: Path, source: Source, reports: list[list[dict[str, Any]]]) -> None:
    groups = _kinds(source)
    drawn = dict(list(groups.items())[:8])

    def profile(figure: Any) -> None:
        axes = figure.subplots(1, 3)
        n = reports[0][0]["n"]
        for ax, (field, scale, label) in zip(
            axes,
            (
                ("alpha", 1.0, "density of active entries"),
                ("rank_1e-03", 1 / n, "rank at 1e-3 / n"),
                ("rho", 1.0, "rho"),
            ),
            strict=True,
        ):
            curves = {
                key: mean_sd([[scale * row[field] for row in reports[i]] for i in indices])
                for key, indices in drawn.items()
            }
            plot_profile(curves, ax, ylabel=label)
            legend = ax.get_legend()
            if legend is not None:
                legend.remove()
        if len(drawn) > 1:
            handles, labels = axes[0].get_legend_handles_labels()
            figure.legend(handles, labels, loc="outside lower center", ncols=4, fontsize=8)

    save_drawing(folder / "figures" / "profile.png", profile, (11.0, 3.6))
    network, params = source.networks[-1]
    units, _ = hidden_units(network, params, source.X)

    def matrices(figure: Any) -> None:
        axes = figure.subplots(1, len(units), squeeze=False)[0]
        for index, (ax, each) in enumerate(zip(axes, units, strict=True)):
            A = act_mask(each.Z)
            rows, columns = block_order(np.hstack([A, np.ones((len(A), 1), bool)]))
            plot_matrix(each.Phi, ax, title=f"layer {index + 1}", rows=rows, columns=columns[columns < A.shape[1]])

    save_drawing(folder / "figures" / "matrices.png", matrices, (1.0 + 3.2 * len(units), 3.8))
