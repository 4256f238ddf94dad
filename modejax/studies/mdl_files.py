"""How the studies of modes write their folders: the sweeps behind them are part of the settings."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modejax.studies import common
from modejax.sweep.config import SweepConfig

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["write_figures", "write_study"]


def write_study(
    folder: Path,
    *,
    page: Sequence[str],
    rows: Sequence[Mapping[str, Any]],
    settings: Mapping[str, Any],
    runs: Mapping[str, SweepConfig],
) -> None:
    """Write `results.md`, `table.csv` and `config.json`, each whole or not at all.

    Args:
        folder: where.
        page: the lines of `results.md`.
        rows: the rows of the table, all with the same fields.
        settings: of the analysis.
        runs: the sweeps behind it, by name.
    """
    sweeps = {name: {**dataclasses.asdict(run), "data_dir": None} for name, run in runs.items()}
    common.write_study(folder, page=page, rows=rows, config={**settings, "runs": sweeps}, figures={})


def write_figures(folder: Path, figures: Mapping[str, tuple[tuple[float, float], Callable[[Figure], None]]]) -> None:
    """Draw figures and save each as PNG under `figures`, whole or not at all.

    Args:
        folder: of the study.
        figures: by name, size in inches and the function that draws on an empty figure.
    """
    for name, (size, draw) in figures.items():
        common.save_drawing(folder / "figures" / f"{name}.png", draw, size)
