"""Speed of the equations: one program, one by one, and a plain Python loop; with the loop as independent reference."""

from __future__ import annotations

import math
import time
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from modejax.online import SweepOptions, grid, log_times, p_space, run_members
from modejax.online.problem import Sizes
from modejax.online.sweep import Members
from modejax.studies.online_stages import problem_of

__all__ = ["Speed", "loop_right_hand_side", "measure_speed"]


class Speed(NamedTuple):
    """Seconds; the least of the repeats."""

    units: int  # K
    members: int
    together: float  # one program, all members
    alone: float  # one after another, the same compiled code with one member
    right_hand_side: float  # one compiled evaluation
    loop: float  # one evaluation by Python loops


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


def _least(call: Any, repeats: int) -> float:
    jax.block_until_ready(call())
    seconds = []
    for _ in range(repeats):
        begin = time.perf_counter()
        jax.block_until_ready(call())
        seconds.append(time.perf_counter() - begin)
    return min(seconds)


def measure_speed(units: int = 8, *, repeats: int = 3, simulation: bool = False) -> Speed:
    """Time 64 members (p = 2..5, four learning rates, four seeds; d = 300, t up to 250), compile left out.

    Args:
        units: K.
        repeats: repeats, of which the least counts.
        simulation: time online SGD up to t = 2 instead of the equations.

    Returns:
        The times.
    """
    times = log_times(0.1, 2.0 if simulation else 250.0, 20)
    members = grid(d=(300,), units=(units,), modes=(2, 3, 4, 5), eta=(1.0, 2.0, 4.0, 5.0), teacher=range(4))
    count = len(members.d)
    shared: dict[str, Any] = {"theory": not simulation, "simulation": simulation, "rtol": 1e-6, "atol": 1e-9}
    many = SweepOptions(**shared, groups=1 if simulation else 4)
    together = _least(lambda: _arrays(run_members(members, times, many)), repeats)

    def one_by_one():
        # Capacity 5 for each member would be unfair: every member runs at its own p, compiled for it.
        done = []
        for i in range(count):
            member = Members(*(np.asarray(part)[i : i + 1] for part in members))
            done.append(jax.block_until_ready(_arrays(run_members(member, times, SweepOptions(**shared)))))
        return done

    alone = _least(one_by_one, repeats)
    with jax.enable_x64(True):
        problem, state = problem_of(Sizes(300, units, 5), 0, 5.0)
        compiled = jax.jit(p_space)
        single = _least(lambda: compiled(problem, state), 20)
        from modejax.online import order_parameters

        Q, M, P = (np.asarray(part) for part in order_parameters(problem, state))
        B = np.asarray(problem.student.b)
        jnp.asarray(0.0).block_until_ready()
    begin = time.perf_counter()
    loop_right_hand_side(Q, M, P, B, 5.0)
    return Speed(units, count, together, alone, single, time.perf_counter() - begin)


def _arrays(result):
    return result.theory, result.simulation, result.rates
