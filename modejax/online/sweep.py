"""Many members (d, K, p, eta, teacher, start, noise) solved and simulated in one compiled program.

Members of different sizes share one program by padding with exact zeros. Adaptive solves in one vmap all wait for the
slowest, so members are sorted by predicted cost (their fastest rate) and run as equal groups inside the program. The
members of a group are spread over the devices. On a machine without an accelerator, make every core a device before JAX
starts: `jax.config.update("jax_num_cpu_devices", 2)`.
"""

import functools
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from modejax.errors import InputError
from modejax.online.problem import Draw, Sizes, check_rate, check_sizes, draw, overlaps
from modejax.online.simulate import Measured, simulate
from modejax.online.solve import Solution, SolverName, check_samples, check_times, solve
from modejax.online.stages import descending_rates
from modejax.online.units import Unit, unit_named

__all__ = ["Members", "SweepOptions", "SweepResult", "grid", "run_members", "start_of"]


Numbers: TypeAlias = np.ndarray | Array


class Members(NamedTuple):
    """One entry per member; NumPy arrays of shape (n,)."""

    d: Int[Numbers, " n"]
    units: Int[Numbers, " n"]  # K
    modes: Int[Numbers, " n"]  # p
    eta: Float[Numbers, " n"]
    teacher: Int[Numbers, " n"]  # seed of xi, sigma and U*
    start: Int[Numbers, " n"]  # seed of the student's first patterns
    noise: Int[Numbers, " n"]  # seed of the inputs


@dataclass(frozen=True)
class SweepOptions:
    """Static choices of a sweep; hashable.

    Attributes:
        unit: name of the hidden unit, "erf" or "relu".
        theory: whether to solve the equations.
        simulation: whether to run online SGD.
        train_modes: whether xi and sigma learn too.
        test_samples: size of the finite test set of the simulation; 0 for none.
        solver: "tsit5", "dopri8" or "kvaerno5".
        rtol: relative tolerance of a step.
        atol: absolute tolerance of a step.
        max_steps: most steps of one solve.
        groups: groups of members of similar cost, run one after another in the program.
    """

    unit: str = "erf"
    theory: bool = True
    simulation: bool = False
    train_modes: bool = False
    test_samples: int = 0
    solver: SolverName = "tsit5"
    rtol: float = 1e-7
    atol: float = 1e-10
    max_steps: int = 200_000
    groups: int = 1


class SweepResult(NamedTuple):
    """Results with members on the first axis, in the order in which they were given."""

    members: Members
    theory: Solution | None
    simulation: Measured | None
    rates: Float[Array, "n p"]  # relaxation rates, descending, 0 beyond the true p


def grid(
    *,
    d: Sequence[int] = (300,),
    units: Sequence[int] = (8,),
    modes: Sequence[int] = (5,),
    eta: Sequence[float] = (5.0,),
    teacher: Sequence[int] = (0,),
    start: Sequence[int] | None = None,
    noise: Sequence[int] = (0,),
) -> Members:
    """Return all combinations as members.

    Args:
        d: input dimensions.
        units: numbers of hidden units K.
        modes: numbers of modes p.
        eta: learning rates.
        teacher: teacher seeds.
        start: start seeds; default the teacher's own number.
        noise: input seeds.

    Returns:
        The members, in the order of `itertools.product` of the arguments as listed.

    Raises:
        InputError: an empty list, or sizes and rates that make no sense (p > d, eta <= 0).

    Example:
        >>> len(grid(modes=(2, 3), eta=(1.0, 5.0), noise=range(3)).d)
        12
    """
    axes = {"d": d, "units": units, "modes": modes, "eta": eta, "teacher": teacher, "noise": noise}
    for name, values in axes.items():
        if len(values) == 0:
            raise InputError(f"{name} is empty; give at least one value")
    rows = [
        (n, k, p, float(rate), who, who if first is None else first, seed)
        for n, k, p, rate, who, first, seed in itertools.product(
            d, units, modes, eta, teacher, (None,) if start is None else start, noise
        )
    ]
    for n, k, p, rate, *_ in rows:
        check_sizes(Sizes(n, k, p))
        check_rate(rate)
    columns = list(zip(*rows, strict=True))
    kinds = (np.int32, np.int32, np.int32, np.float64, np.int32, np.int32, np.int32)
    return Members(*(np.asarray(column, dtype=kind) for column, kind in zip(columns, kinds, strict=True)))


def start_of(sizes: Sizes, teacher: Any, start: Any, capacity: Sizes | None = None) -> Draw:
    """Return the draw that a sweep uses for these seeds.

    Args:
        sizes: true d, K, p; may be traced.
        teacher: seed of xi, sigma and U*; may be traced.
        start: seed of U; may be traced.
        capacity: shapes of the arrays; default the true sizes.

    Returns:
        The draw, float64; call inside `with jax.enable_x64(True):`.

    Example:
        >>> import jax
        >>> with jax.enable_x64(True):
        ...     print(start_of(Sizes(20, 3, 2), 0, 0).student.shape)
        (2, 20)
    """
    # Teacher, start and noise keys come from different roots, so equal seeds do not share numbers.
    roots = jax.random.split(jax.random.key(0), 3)
    return draw(jax.random.fold_in(roots[0], teacher), jax.random.fold_in(roots[1], start), sizes, capacity)


def _start(member: Members, capacity: Sizes, given: Draw | None) -> tuple[Sizes, Draw, Array]:
    sizes = Sizes(member.d, member.units, member.modes)
    noise = jax.random.fold_in(jax.random.split(jax.random.key(0), 3)[2], member.noise)
    return sizes, start_of(sizes, member.teacher, member.start, capacity) if given is None else given, noise


def _one(member, times, given: Draw | None, capacity: Sizes, unit: Unit, options: SweepOptions):
    sizes, begun, noise = _start(member, capacity, given)
    problem, state = overlaps(begun, sizes, member.eta)
    theory = run = None
    if options.theory:
        theory = solve(
            problem,
            state,
            times,
            unit=unit,
            space="trained" if options.train_modes else "p",
            solver=options.solver,
            tolerance=(options.rtol, options.atol),
            max_steps=options.max_steps,
        )
    if options.simulation:
        run = simulate(
            begun,
            noise,
            times,
            sizes,
            member.eta,
            unit=unit,
            train_modes=options.train_modes,
            test_samples=options.test_samples,
        )
    return theory, run


@functools.partial(jax.jit, static_argnames=("capacity", "options", "mesh"))
def _program(members, times, given: Draw | None, capacity: Sizes, options: SweepOptions, mesh: jax.sharding.Mesh):
    unit = unit_named(options.unit)
    one = functools.partial(_one, times=times, given=given, capacity=capacity, unit=unit, options=options)
    count = members.d.shape[0]

    def rates_of(member):
        sizes, begun, _ = _start(member, capacity, given)
        return descending_rates(overlaps(begun, sizes, member.eta)[0], unit)

    rates = jax.vmap(rates_of)(members)
    # Equal blocks of similar cost, one after another; each is dealt out over the devices, which do not wait for
    # each other. The cheapest member fills up the last block.
    devices = mesh.size
    size = -(-count // (options.groups * devices))
    order = jnp.argsort(rates[:, 0])
    missing = size * options.groups * devices - count
    padded = jnp.concatenate([jnp.broadcast_to(order[:1], (missing,)), order])
    places = padded.reshape(options.groups, size, devices).transpose(2, 0, 1).reshape(devices * options.groups, size)
    blocks = jax.shard_map(
        lambda part: jax.lax.map(jax.vmap(one), part),
        mesh=mesh,
        in_specs=jax.P(mesh.axis_names),
        out_specs=jax.P(mesh.axis_names),
        check_vma=False,
    )
    done = blocks(jax.tree.map(lambda x: x[places], members))
    # Where each member went; of the copies that fill up, any will do.
    back = jnp.zeros(count, jnp.int32).at[places.reshape(-1)].set(jnp.arange(places.size, dtype=jnp.int32))
    flat = jax.tree.map(lambda x: x.reshape((places.size, *x.shape[2:]))[back], done)
    return *flat, rates


def run_members(
    members: Members,
    times: Float[Numbers, " T"] | Sequence[float],
    options: SweepOptions | None = None,
    *,
    start: Draw | None = None,
) -> SweepResult:
    """Solve and simulate all members in one compiled program, in float64.

    Args:
        members: from `grid`, or given by hand; NumPy arrays of shape (n,).
        times: increasing times in units of d samples, shape (T,).
        options: static choices; default theory only.
        start: a given teacher and student for all members, float64 (see `read_teacher`). The members must have its
            sizes, and their seeds of teacher and start are then ignored. By default teacher and student are drawn from
            the seeds.

    Returns:
        The result; arrays have shape (n, ...) with the largest K and p of the sweep.

    Raises:
        InputError: members, times or options that make no sense.

    Example:
        >>> result = run_members(grid(d=(20,), units=(3,), modes=(1, 2), eta=(1.0,)), [0.0, 1.0, 2.0])
        >>> result.theory.error.shape
        (2, 3)
    """
    options = SweepOptions() if options is None else options
    check_times(times)
    if not (options.theory or options.simulation):
        raise InputError("neither theory nor simulation is asked for; switch at least one on")
    if options.groups < 1:
        raise InputError(f"groups={options.groups}; allowed: 1 or more")
    for d, units, modes, eta in zip(*(np.asarray(part) for part in members[:4]), strict=True):
        check_sizes(Sizes(int(d), int(units), int(modes)))
        check_rate(float(eta))
    capacity = Sizes(int(members.d.max()), int(members.units.max()), int(members.modes.max()))
    _check_start(start, members)
    if options.simulation:
        check_samples(times, capacity.d)
    with jax.enable_x64(True):
        arrays = Members(*(jnp.asarray(part) for part in members))
        grid_times = jnp.asarray(np.asarray(times, dtype=np.float64))
        # No more devices than members: the rest would compute copies.
        devices = jax.local_devices()[: len(members.d)]
        mesh = jax.sharding.Mesh(np.asarray(devices), ("members",))
        theory, run, rates = _program(arrays, grid_times, start, capacity, options, mesh)
        return SweepResult(members, theory, run, rates)


def _check_start(start: Draw | None, members: Members) -> None:
    """Raise unless a draw of the user's is float64 and has the sizes of all members."""
    if start is None:
        return
    (units, p), d = start.modes.xi.shape, start.teacher.shape[-1]
    shapes = [part.shape for part in (start.modes.sigma, start.teacher, start.student)]
    asked = {(int(n), int(k), int(m)) for n, k, m in zip(*members[:3], strict=True)}
    if shapes != [(p,), (p, d), (p, d)] or asked != {(d, units, p)}:
        raise InputError(
            f"start has xi {(units, p)}, sigma, teacher, student {shapes}, the members have (d, K, p) {sorted(asked)}; "
            "allowed: the same d, K and p in all of them. Make the members by grid(d=(d,), units=(K,), modes=(p,))"
        )
    if any(part.dtype != np.float64 for part in jax.tree.leaves(start)):
        raise InputError("start must be float64; make its arrays inside `with jax.enable_x64(True):`")
