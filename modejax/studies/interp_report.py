"""The report behind `modejax interpolate`: a run folder or an .npz file in, a table and figures out."""

from __future__ import annotations

import csv
import io
import re
import zipfile
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
from modejax.networks import Network, Params
from modejax.plots.interpolation import plot_matrix, plot_profile
from modejax.runs import open_run, output
from modejax.studies.common import save_drawing
from modejax.studies.files import check_apart, write_text
from modejax.studies.interp_files import mean_sd

__all__ = ["Source", "read_source", "report_source"]


class Source(NamedTuple):
    """Networks and the points on which they are looked at."""

    names: list[dict[str, Any]]  # what tells each network from the others
    networks: list[tuple[Network, Params]]
    X: np.ndarray
    Y: np.ndarray
    y: np.ndarray | None


def read_source(path: Path, points: int) -> Source:
    """Read a run folder or an .npz file.

    Args:
        path: a finished run with checkpoints, or a file with X, Y or y, and W1, b1, W2, b2, ...
        points: at most this many training points.

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
    return _file(path, points)


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
    Y = y[:, None].astype(np.float64) if one else one_hot(labels, data.num_classes)
    names = [dict(each.at) for each in trained]
    return Source(names, [(t.network, t.params) for t in trained], X, Y, labels)


def _file(path: Path, points: int) -> Source:
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} cannot be read as an .npz archive of numbers ({error})") from None
    known = {"X", "Y", "y"}
    extra = [name for name in arrays if name not in known and not re.fullmatch(r"[Wb][1-9]\d*", name)]
    if extra or "X" not in arrays or not ({"Y", "y"} & set(arrays)):
        raise InputError(
            f"{path} holds {', '.join(sorted(arrays)) or 'nothing'}; allowed: X, Y or y, and W1, b1, W2, b2, ... "
            "Make it with np.savez(path, X=..., y=..., W1=..., b1=..., ...)"
        )
    labels = None
    if "y" in arrays:
        labels = np.asarray(arrays["y"])
        if labels.ndim != 1 or labels.dtype.kind not in "iub" or labels.size == 0 or labels.min() < 0:
            raise InputError(f"{path}: y has shape {labels.shape}, type {labels.dtype}; allowed: integers 0..K-1")
        labels = labels[:points].astype(np.int64)
    X = np.asarray(arrays["X"])[:points]
    Y = np.asarray(arrays["Y"])[:points] if "Y" in arrays else one_hot(labels, int(labels.max()) + 1)  # pyright: ignore
    maps = []
    while f"W{len(maps) + 1}" in arrays:
        W = np.asarray(arrays[f"W{len(maps) + 1}"], np.float64)
        b = np.asarray(arrays.get(f"b{len(maps) + 1}", np.zeros(W.shape[-1])), np.float64)
        expected = X.shape[-1] if not maps else maps[-1][0].shape[1]
        if W.ndim != 2 or W.shape[0] != expected or b.shape != W.shape[1:]:
            raise InputError(
                f"{path}: W{len(maps) + 1} has shape {W.shape} and b{len(maps) + 1} {b.shape}; allowed: "
                f"({expected}, units) and (units,)"
            )
        maps.append((W, b))
    if sum(name[0] in "Wb" for name in arrays) > sum(f"{c}{i + 1}" in arrays for i in range(len(maps)) for c in "Wb"):
        raise InputError(f"{path}: the maps are not numbered W1, W2, ... without a gap; it has {len(maps)} in order")
    if len(maps) == 1:
        raise InputError(f"{path} has one map, so no hidden layer; allowed: none (data only), or W1, W2 and more")
    return Source([{"file": path.stem}], [relu_network(maps)] if maps else [], X, Y, labels)


def report_source(
    path: Path, out: Path | None = None, *, overwrite: bool = False, points: int = 500, tolerance: float = 1e-3
) -> list[str]:
    """Report on a run or a file; write `layers.csv` and figures.

    Args:
        path: see `read_source`.
        out: folder to write; by default a new one, `runs/interpolate-NAME-001` and so on.
        overwrite: replace an earlier output of this command in `out`.
        points: at most this many training points.
        tolerance: see `layer_report`.

    Returns:
        Lines to print: the data, a table, and what was written.

    Raises:
        InputError: see `read_source`, `layer_reports` and `modejax.runs.output`.
    """
    check_apart(path, out)
    source = read_source(path, points)
    found = data_report(source.X, source.Y, source.y)
    lines = ["data: " + ", ".join(f"{name} {value:g}" for name, value in found.items())]
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
    heads = [*source.names[0], *shown]
    cells = [[_cell(row[head]) for head in heads] for row in rows[:60]]
    sizes = [max(len(head), *(len(row[i]) for row in cells)) for i, head in enumerate(heads)]
    lines += ["  ".join(word.rjust(size) for word, size in zip(each, sizes, strict=True)) for each in [heads, *cells]]
    if len(rows) > 60:
        lines.append(f"... {len(rows) - 60} more rows in layers.csv")
    lines.append(f"wrote {folder}/layers.csv, figures/profile.png and figures/matrices.png")
    lines.append(
        "next: classes A D T B F W fit any targets (A: affine ones), L these only, X not; see docs/studies/interp-depth"
    )
    return lines


def _cell(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _figures(folder: Path, source: Source, reports: list[list[dict[str, Any]]]) -> None:
    groups: dict[str, list[int]] = {}
    for index, name in enumerate(source.names):
        key = ", ".join(f"{k} {v:g}" for k, v in name.items() if k in ("width", "modes")) or str(name.get("file", ""))
        groups.setdefault(key, []).append(index)
    picked = dict(list(groups.items())[:8])

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
                for key, indices in picked.items()
            }
            plot_profile(ax, curves, label)
            legend = ax.get_legend()
            if legend is not None:
                legend.remove()
        if len(picked) > 1:
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
            plot_matrix(ax, each.Phi, f"layer {index + 1}", rows=rows, columns=columns[columns < A.shape[1]])

    save_drawing(folder / "figures" / "matrices.png", matrices, (1.0 + 3.2 * len(units), 3.8))
