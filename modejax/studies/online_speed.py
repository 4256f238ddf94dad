"""Speed of the equations: one program, one by one, and a plain Python loop; with the loop as independent reference."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from modejax.online import SweepOptions, grid, log_times, order_parameters, p_space, run_members
from modejax.online.problem import Sizes
from modejax.online.sweep import Members
from modejax.studies.online_stages import problem_of

__all__ = ["Speed", "loop_right_hand_side", "measure_speed"]

_EVALUATIONS = 50  # right-hand sides in one timed loop


class Speed(NamedTuple):
    """Seconds, each the least of the repeats."""

    units: int  # K
    members: int
    together: float  # one program, all members
    alone: float  # one after another, each compiled at its own p and eta
    single: float  # one right-hand side inside a compiled loop
    batched: float  # the same in a loop over all members, a member
    loop: float  # one right-hand side by Python loops


def loop_right_hand_side(Q, M, P, B, eta: float) -> tuple[np.ndarray, np.ndarray]:
    """Return dQ/dt and dM/dt for erf units by loops over indices, term by term as the equations are written.

    Args:
        Q: student-student order parameters, shape (K, K).
        M: student-teacher order parameters, shape (K, K).
        P: teacher-teacher order parameters, shape (K, K).
        B: xi diag(sigma), shape (K, p).
        eta: learning rate.

    Returns:
        dQ/dt and dM/dt, shape (K, K), float64.

    Example:
        >>> one = np.eye(1)
        >>> loop_right_hand_side(one, one, one, one, 1.0)[0].round(12)
        array([[0.]])
    """
    K = len(Q)
    C = np.block([[Q, M], [M.T, P]]).tolist()
    c = [1.0 / K] * K + [-1.0 / K] * K
    A = (B @ B.T).tolist()

    def three(i, j, k):
        root = math.sqrt((1 + C[i][i]) * (1 + C[k][k]) - C[i][k] ** 2)
        return 2 / math.pi * (C[j][k] * (1 + C[i][i]) - C[i][j] * C[i][k]) / ((1 + C[i][i]) * root)

    def four(i, j, k, m):
        l4 = (1 + C[i][i]) * (1 + C[j][j]) - C[i][j] ** 2
        l0 = l4 * C[k][m] - C[j][k] * C[j][m] * (1 + C[i][i]) - C[i][k] * C[i][m] * (1 + C[j][j])
        l0 += C[i][j] * (C[i][k] * C[j][m] + C[i][m] * C[j][k])
        sides = [
            l4 * (1 + C[n][n])
            - C[j][n] ** 2 * (1 + C[i][i])
            - C[i][n] ** 2 * (1 + C[j][j])
            + 2 * C[i][j] * C[i][n] * C[j][n]
            for n in (k, m)
        ]
        return 4 / math.pi**2 / math.sqrt(l4) * math.asin(l0 / math.sqrt(sides[0] * sides[1]))

    both = range(2 * K)
    J = [[sum(c[r] * three(a, s, r) for r in both) for s in both] for a in range(K)]
    F = [[sum(c[r] * c[s] * four(a, b, r, s) for r in both for s in both) for b in range(K)] for a in range(K)]
    step = eta / K
    dQ, dM = np.zeros((K, K)), np.zeros((K, K))
    for a in range(K):
        for b in range(K):
            pull = sum(A[a][e] * J[e][b] + A[b][e] * J[e][a] for e in range(K))
            noise = sum(A[a][e] * F[e][f] * A[f][b] for e in range(K) for f in range(K))
            dQ[a, b] = -step * pull + step**2 * noise
            dM[a, b] = -step * sum(A[a][e] * J[e][K + b] for e in range(K))
    return dQ, dM


def _seconds(call: Callable[[], Any]) -> float:
    begin = time.perf_counter()
    jax.block_until_ready(call())
    return time.perf_counter() - begin


def _repeated(count: int, size: int) -> Callable[[], Any]:
    """Return a call that evaluates the right-hand side of `size` equal members `count` times in one compiled loop."""
    with jax.enable_x64(True):
        first = problem_of(Sizes(300, size, 5), 0, 5.0)
        many = jax.tree.map(lambda x: jnp.broadcast_to(x[None], (count, *x.shape)), first)

        def step(_, carry):
            problem, state = carry
            return problem, jax.tree.map(lambda y, slope: y + 1e-3 * slope, state, jax.vmap(p_space)(problem, state))

        run = jax.jit(lambda carry: jax.lax.fori_loop(0, _EVALUATIONS, step, carry)).lower(many).compile()
    return lambda: run(many)


def measure_speed(units: int = 8, *, repeats: int = 5) -> Speed:
    """Time 64 members (p = 2..5, four learning rates, four seeds; d = 300, t up to 250), compile left out.

    The ways are timed in turn, so that a busy machine slows them alike.

    Args:
        units: K.
        repeats: repeats, of which the least counts.

    Returns:
        The times.
    """
    times = log_times(0.1, 250.0, 20)
    members = grid(d=(300,), units=(units,), modes=(2, 3, 4, 5), eta=(1.0, 2.0, 4.0, 5.0), teacher=range(4))
    count = len(members.d)
    # Each alone at its own p: at the capacity of the sweep it would pay for padding.
    singles = [Members(*(np.asarray(part)[i : i + 1] for part in members)) for i in range(count)]
    many, one = (SweepOptions(rtol=1e-6, atol=1e-9, groups=groups) for groups in (4, 1))

    def run(some: Members, options: SweepOptions) -> Any:
        result = run_members(some, times, options)
        return jax.block_until_ready((result.theory, result.rates))

    with jax.enable_x64(True):
        problem, state = problem_of(Sizes(300, units, 5), 0, 5.0)
        arrays = [np.asarray(part) for part in order_parameters(problem, state)]
        B = np.asarray(problem.student.b)
    calls = {
        "together": lambda: run(members, many),
        "alone": lambda: [run(single, one) for single in singles],
        "single": _repeated(1, units),
        "batched": _repeated(count, units),
        "loop": lambda: loop_right_hand_side(arrays[0], arrays[1], arrays[2], B, 5.0),
    }
    for call in calls.values():
        jax.block_until_ready(call())
    least = {name: min(values) for name, values in _in_turn(calls, repeats).items()}
    least["single"] /= _EVALUATIONS
    least["batched"] /= _EVALUATIONS * count
    return Speed(units, count, **least)


def _in_turn(calls: dict[str, Callable[[], Any]], repeats: int) -> dict[str, list[float]]:
    rounds = [{name: _seconds(call) for name, call in calls.items()} for _ in range(repeats)]
    return {name: [each[name] for each in rounds] for name in calls}
