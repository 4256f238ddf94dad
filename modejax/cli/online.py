"""`modejax online`: theory and simulation of online learning of modes, for any grid."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal

__all__ = ["OnlineCommand", "run"]


@dataclasses.dataclass(frozen=True)
class OnlineCommand:
    """Online learning of modes: solve the order-parameter equations and run SGD from the same start, in one program."""

    d: tuple[int, ...] = (300,)
    """Input dimensions."""
    units: tuple[int, ...] = (8,)
    """Numbers of hidden units K."""
    modes: tuple[int, ...] = (5,)
    """Numbers of modes p; at most d."""
    eta: tuple[float, ...] = (5.0,)
    """Learning rates."""
    teachers: int = 1
    """Number of teachers; teacher i has seed i, and so has its student's start."""
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
    out: Path = Path("runs/online")
    """Folder of the results: result.npz, config.json, figures."""

    def run(self) -> int:
        """Run the command and return its exit code."""
        return run(self)


def run(config: OnlineCommand) -> int:
    """Solve, simulate, write the folder, and say what was written.

    Args:
        config: the options.

    Returns:
        0, also when members diverged (they are counted in the output).

    Raises:
        InputError: options that make no sense.
    """
    from modejax.errors import InputError

    if config.teachers < 1 or config.seeds < 0:
        raise InputError(
            f"teachers={config.teachers}, seeds={config.seeds}; "
            "allowed: teachers 1 or more, seeds 0 (theory alone) or more"
        )
    if config.out.exists() and not config.out.is_dir():
        raise InputError(f"out={str(config.out)!r} is a file; give a folder (it is made when missing)")
    from modejax.studies.online_grid import run_grid

    for line in run_grid(config):
        print(line)
    return 0
