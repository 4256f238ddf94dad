"""Results of online learning made by hand: powers of time, so that no program is compiled."""

from typing import Any, cast

import numpy as np

from modejax.online import Measured, Members, Solution, SweepResult, grid

TIMES = np.asarray([0.0, 1.0, 4.0, 10.0])


def made_result(*, diverged_theory=(), diverged_runs=(), simulation=True, members: Members | None = None, **axes):
    """Return a result of a grid: the error is eta / (1 + t) in theory, and 1 + seed percent more in a run."""
    members = grid(**{"d": (20,), "units": (3,), "modes": (2,), "eta": (1.0,), **axes}) if members is None else members
    count, size, p = len(members.d), int(members.units.max()), int(members.modes.max())
    times = np.broadcast_to(TIMES, (count, len(TIMES)))
    real = np.arange(size) < members.units[:, None]
    square = (real[:, :, None] & real[:, None, :]).astype(np.float64)
    Q = square[:, None] * (1.0 + 0.1 * np.arange(len(TIMES)))[:, None, None]
    error = members.eta[:, None] / (1.0 + times)

    def ended(bad):
        status, last, numbers = np.zeros(count, np.int64), np.full(count, TIMES[-1]), np.ones_like(error)
        status[list(bad)], last[list(bad)] = 1, 1.0
        numbers[list(bad), 2:] = np.nan
        return status, last, numbers

    status, last, numbers = ended(diverged_theory)
    wide = numbers[..., None, None]
    make_theory, make_runs = cast(Any, Solution), cast(Any, Measured)  # NumPy arrays do for JAX's
    theory = make_theory(
        times, Q * wide, 0.5 * Q * wide, square, error * numbers, status, last, np.full(count, 9), None
    )
    run = None
    if simulation:
        status, last, numbers = ended(diverged_runs)
        wide = numbers[..., None, None]
        seen = error * numbers * (1.01 + 0.01 * members.noise[:, None])
        unknown = np.full_like(error, np.nan)
        run = make_runs(times, Q * wide, 0.5 * Q * wide, square, seen, unknown, status, last)
    rates = np.where(np.arange(p) < members.modes[:, None], 0.1 ** np.arange(p), 0.0)
    return SweepResult(members, theory, run, rates)  # pyright: ignore
