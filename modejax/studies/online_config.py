"""Options of `modejax online`; light, so that the command line can be built without JAX."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal

__all__ = ["OnlineConfig"]


@dataclasses.dataclass(frozen=True)
class OnlineConfig:
    """Online learning of modes: solve the order-parameter equations and run SGD from the same start, in one program."""

    teacher: Path | None = None
    """A teacher of your own: an .npz file with the arrays xi (K, p), sigma (p,) and teacher (p, d), the input patterns
    of the teacher; and if you like student (p, d), where those of the student start. It brings --d, --units, --modes.
    """
    d: tuple[int, ...] = (300,)
    """Input dimensions."""
    units: tuple[int, ...] = (8,)
    """Numbers of hidden units K."""
    modes: tuple[int, ...] = (5,)
    """Numbers of modes p; at most d."""
    eta: tuple[float, ...] = (5.0,)
    """Learning rates."""
    teachers: int = 1
    """Number of drawn teachers; teacher i has seed i, and so has its student's start."""
    seeds: int = 5
    """Number of input seeds of the simulation; 0 for theory alone."""
    first_time: float = 0.1
    """First measurement, in units of d samples."""
    last_time: float = 250.0
    """Last measurement, in units of d samples."""
    points: int = 25
    """Number of measurements, evenly spaced in the logarithm of time."""
    unit: Literal["erf", "relu"] = "erf"
    """Hidden unit; relu has no closed form of one average and is slow with many units."""
    train_modes: bool = False
    """Train xi and sigma too."""
    test_samples: int = 0
    """Size of a finite test set measured beside the exact error; 0 for none."""
    solver: Literal["tsit5", "dopri8", "kvaerno5"] = "tsit5"
    """Solver of the equations; kvaerno5 for times far beyond one over the fastest rate."""
    rtol: float = 1e-7
    """Relative tolerance of a step."""
    atol: float = 1e-10
    """Absolute tolerance of a step."""
    max_steps: int = 200_000
    """Most steps of one solve."""
    out: Path | None = None
    """Folder of the results: result.nc, table.csv, report.html, config.json, figures; by default a new one,
    runs/online-001 and so on."""
    overwrite: bool = False
    """Replace an earlier output of this command in --out, once the new one is whole."""
