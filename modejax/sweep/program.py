"""The compiled step: epochs of all members of all buckets, and their truncation curves, as one executable.

A call runs one chunk of epochs. The batch is shared by all members, so the first product of all members of a bucket
is one large matrix product; parameters are stored with members leading and patterns as rows, which is the layout that
needs no transposition. Members are spread over the devices; nothing is exchanged between them.
"""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Bool, Int

from modejax.data import Dataset
from modejax.sweep.arrays import (
    Blocks,
    Clock,
    Data,
    MemberArrays,
    ProgramSpec,
    Records,
    features_of,
    float_type,
    member_network,
)
from modejax.sweep.config import SweepConfig
from modejax.sweep.curves import pruning_curves, truncation_curves
from modejax.sweep.hosts import place
from modejax.sweep.plan import Plan
from modejax.sweep.spec import BucketSpec
from modejax.training import LOSSES, TrainState, evaluate, halved, init_state, keep_best, train_step

__all__ = ["Program", "device_data", "make_clock", "make_program", "member_arrays", "precision_scope"]

_MATMUL = {"float32": "highest", "tf32": "tensorfloat32", "bfloat16": "default", "float64": "highest"}


@contextlib.contextmanager
def precision_scope(precision: str) -> Iterator[None]:
    """Trace and run with the dtype and the matmul precision that a name stands for."""
    with jax.enable_x64(precision == "float64"), jax.default_matmul_precision(_MATMUL[precision]):
        yield


def _dense_until(spec: ProgramSpec, members: MemberArrays, epoch: Int[Array, ""]) -> MemberArrays:
    """Return the members as they are in an epoch, counted from 0: without masks before these set in."""
    if not spec.mask_after:
        return members
    return members._replace(sparsity=jnp.where(epoch < spec.mask_after, 0, members.sparsity))


def _run_chunk(
    spec: ProgramSpec, states: list[TrainState], members: list[MemberArrays], data: Data, clock: Clock
) -> tuple[list[TrainState], list[Records]]:
    """Run up to `spec.chunk` epochs of all members that live on this device."""
    loss = LOSSES[spec.targets]
    dtype = float_type(spec)
    buckets = range(len(spec.buckets))

    def train(bucket: int, state: TrainState, x: Array, y: Array, epoch: Array) -> tuple[TrainState, Array]:
        def one(member: MemberArrays, state: TrainState) -> tuple[TrainState, Array]:
            network = member_network(spec.buckets[bucket], member, spec.batch)
            rate = halved(member.learning_rate, epoch, clock.halve_every)
            decay = member.weight_decay
            return train_step(network, loss, state, x, y, rate, decay, spec.optimiser, spec.penalty)  # pyright: ignore

        return jax.vmap(one)(_dense_until(spec, members[bucket], epoch), state)

    def measure(bucket: int, params: Any, blocks: Blocks, examples: int, epoch: Array) -> tuple[Array, Array]:
        current = _dense_until(spec, members[bucket], epoch)

        def one(member: MemberArrays, params: Any, x: Array, y: Array, counts: Array) -> tuple[Array, Array]:
            network = member_network(spec.buckets[bucket], member, spec.test_rows)
            return evaluate(network, loss, params, x, y, counts)

        def block(total: tuple[Array, Array], rows: Blocks) -> tuple[tuple[Array, Array], None]:
            x, y, counts = rows
            sums = jax.vmap(one, in_axes=(0, 0, None, None, None))(current, params, features_of(spec, x), y, counts)
            return (total[0] + sums[0], total[1] + sums[1]), None

        count = members[bucket].width.shape[0]
        none = (jnp.zeros(count, dtype), jnp.zeros(count, jnp.int32))
        (total, right), _ = jax.lax.scan(block, none, blocks)
        accuracy = right.astype(dtype) / examples
        return total / examples, jnp.full_like(accuracy, jnp.nan) if spec.targets == "values" else accuracy

    def choose(bucket: int, state: TrainState, number: Array) -> tuple[TrainState, Array]:
        """Return the states after the choice of the best epoch, and what was chosen by."""
        assert data.held_out is not None
        total, accuracy = measure(bucket, state.params, data.held_out, spec.held_out, number)
        # Real values have no accuracy; there the smaller loss is better.
        judged = -total if spec.targets == "values" else accuracy
        last = number == clock.epochs - 1

        def one(state: TrainState, judged: Array) -> TrainState:
            return keep_best(state, judged, number + 1, last, spec.patience, spec.least_improvement)

        return jax.vmap(one)(state, judged), total if spec.targets == "values" else accuracy

    def epoch(index: Array, carry: tuple[list[TrainState], list[list[Array]]]) -> tuple[Any, Any]:
        states, curves = carry
        number = clock.first + index
        key = jax.random.fold_in(jax.random.wrap_key_data(clock.key), number)
        shuffle = jax.random.permutation(key, spec.train_examples)
        batches = shuffle[: spec.steps * spec.batch].reshape(spec.steps, spec.batch)

        def step(states: list[TrainState], rows: Array) -> tuple[list[TrainState], list[Array]]:
            x, y = features_of(spec, data.x_train[rows]), data.y_train[rows]
            moved = [train(b, states[b], x, y, number) for b in buckets]
            return [state for state, _ in moved], [value for _, value in moved]

        states, losses = jax.lax.scan(step, states, batches)
        measured = []
        for b in buckets:
            chosen_by = []
            if spec.held_out:
                states[b], judged = choose(b, states[b], number)
                chosen_by = [judged]
            tested = measure(b, states[b].params, data.test, spec.test_examples, number)
            values = [jnp.mean(losses[b], axis=0), *tested, *chosen_by]
            measured.append(
                [
                    curve.at[index].set(jnp.where(states[b].healthy, value, jnp.nan))
                    for curve, value in zip(curves[b], values, strict=True)
                ]
            )
        return states, measured

    empty = [
        [jnp.full((spec.chunk, m.width.shape[0]), jnp.nan, dtype) for _ in range(4 if spec.held_out else 3)]
        for m in members
    ]
    states, curves = jax.lax.fori_loop(0, clock.count, epoch, (states, empty))

    def when_due(b: int, compute: Callable[..., tuple[Array, ...]]) -> tuple[Array, ...]:
        """Compute something of each member of a bucket if curves are due; not a number for diverged members."""
        state = states[b]

        @jax.jit  # so that the shapes and the branch share one trace
        def every(params: Any) -> tuple[Array, ...]:
            now = _dense_until(spec, members[b], clock.first + clock.count - 1)
            return jax.vmap(lambda m, p: compute(spec, spec.buckets[b], m, p, data))(now, params)

        shapes = jax.eval_shape(every, state.params)
        nothing = lambda params: tuple(jnp.full(s.shape, jnp.nan, s.dtype) for s in shapes)  # noqa: E731
        found = jax.lax.cond(clock.truncate, every, nothing, state.params)
        return tuple(jnp.where(_leading(state.healthy, value), value, jnp.nan) for value in found)

    records = []
    for b in buckets:
        count = members[b].width.shape[0]
        absent = jnp.zeros((count, 0), dtype)
        judged = () if spec.held_out else (jnp.zeros((0, count), dtype),)
        cut = when_due(b, truncation_curves) if spec.buckets[b].truncated else (absent,) * 4
        pruned = when_due(b, pruning_curves) if spec.buckets[b].pruned else (absent,) * 3
        best = states[b].best
        epochs = jnp.zeros(count, jnp.int32) if best is None else best.epoch
        records.append(Records._make([*curves[b], *judged, *cut, *pruned, epochs, states[b].healthy]))
    return states, records


def _leading(mask: Bool[Array, " members"], like: Array) -> Bool[Array, ...]:
    return mask.reshape(mask.shape + (1,) * (like.ndim - 1))


class Program:
    """The executables of one program spec, compiled once.

    Attributes:
        seconds_to_trace: time to trace and lower.
        seconds_to_compile: time to compile.
        compiled: the executable of a chunk: `(states, members, data, clock) -> (states, records)`; `states` are
            donated.
        start: the executable that draws the initial values: `members -> states`.
    """

    def __init__(self, spec: ProgramSpec) -> None:
        self.spec = spec
        self.mesh = Mesh(np.array(jax.devices()[: spec.devices]), ("member",), axis_types=(AxisType.Auto,))
        by_member, everywhere = P("member"), P()

        def start(members: list[MemberArrays]) -> list[TrainState]:
            def one(bucket: BucketSpec, member: MemberArrays) -> TrainState:
                network, key = member_network(bucket, member, spec.batch), jax.random.key(member.seed)
                return init_state(network, key, spec.optimiser, early=spec.held_out > 0)

            pairs = zip(spec.buckets, members, strict=True)
            return [jax.vmap(functools.partial(one, bucket))(arrays) for bucket, arrays in pairs]

        # Members do not talk to each other, so each device runs the same program on its own share of them.
        shared = functools.partial(jax.shard_map, mesh=self.mesh, check_vma=False)
        record = Records._make([P(None, "member")] * 4 + [by_member] * (len(Records._fields) - 4))
        chunk = shared(
            functools.partial(_run_chunk, spec),
            in_specs=(by_member, by_member, everywhere, everywhere),
            out_specs=(by_member, [record] * len(spec.buckets)),
        )
        with precision_scope(spec.precision):
            began = time.perf_counter()
            members, data, clock = self._abstract()
            draw = jax.jit(shared(start, in_specs=(by_member,), out_specs=by_member))
            drawn = draw.lower(members)
            states = jax.tree.map(
                lambda s: jax.ShapeDtypeStruct(s.shape, s.dtype, sharding=self.by_member),
                jax.eval_shape(draw, members),
            )
            lowered = jax.jit(chunk, donate_argnums=0).lower(states, members, data, clock)
            traced = time.perf_counter()
            with ThreadPoolExecutor(2) as pool:  # the compiler leaves the interpreter free
                self.start, self.compiled = pool.map(lambda each: each.compile(), (drawn, lowered))
            self.seconds_to_trace = traced - began
            self.seconds_to_compile = time.perf_counter() - traced

    @property
    def by_member(self) -> NamedSharding:
        """The placement of arrays with members leading."""
        return NamedSharding(self.mesh, P("member"))

    @property
    def everywhere(self) -> NamedSharding:
        """The placement of arrays that every device holds."""
        return NamedSharding(self.mesh, P())

    def _abstract(self) -> tuple[list[MemberArrays], Data, Clock]:
        """Return the shapes of the arguments; all of them follow from the spec."""
        spec, dtype = self.spec, float_type(self.spec)

        def of(shape: tuple[int, ...], dtype: Any, sharding: NamedSharding = self.everywhere) -> Any:
            return jax.ShapeDtypeStruct(shape, dtype, sharding=sharding)

        members = [
            MemberArrays(
                *(of((b.members,), jnp.int32, self.by_member),) * 3, *(of((b.members,), dtype, self.by_member),) * 3
            )
            for b in spec.buckets
        ]
        label = jnp.float32 if spec.targets == "values" else jnp.int32

        def blocks(count: int) -> Blocks:
            shape = (count, spec.test_rows)
            return Blocks(of((*shape, spec.features), spec.x_dtype), of(shape, label), of(shape, jnp.bool_))

        data = Data(
            of((spec.train_examples, spec.features), spec.x_dtype),
            of((spec.train_examples,), label),
            blocks(spec.test_blocks),
            blocks(spec.held_out_blocks) if spec.held_out else None,
        )
        scalar = of((), jnp.int32)
        key = jax.eval_shape(lambda: jax.random.key_data(jax.random.key(0)))
        clock = Clock(scalar, scalar, scalar, scalar, of((), jnp.bool_), of(key.shape, key.dtype))
        return members, data, clock


@functools.lru_cache(maxsize=8)
def make_program(spec: ProgramSpec) -> Program:
    """Compile the program of a spec, or return the one compiled before."""
    return Program(spec)


def member_arrays(plan: Plan, program: Program, launch: int = 0) -> list[MemberArrays]:
    """Put the members of a launch on their devices, each bucket filled up with copies of a member."""
    dtype = np.float64 if program.spec.precision == "float64" else np.float32
    placed = []
    for bucket, share in zip(plan.buckets, plan.share(launch), strict=True):
        members = plan.groups[bucket.group].members
        index = np.append(share, np.full(bucket.capacity - len(share), bucket.members[-1], share.dtype))
        arrays = MemberArrays._make(
            [
                members.width[index],
                members.modes[index],
                members.seed[index],
                members.learning_rate[index].astype(dtype),
                members.weight_decay[index].astype(dtype),
                members.sparsity[index].astype(dtype),
            ]
        )
        placed.append(place(arrays, program.by_member))
    return placed


def device_data(dataset: Dataset, program: Program, seed: int = 0) -> Data:
    """Put a data set on the devices: test set and held-out examples, which `seed` draws, in blocks."""
    spec = program.spec

    def blocks(x: np.ndarray, y: np.ndarray, count: int) -> Blocks:
        shape = (count, spec.test_rows)
        missing = count * spec.test_rows - len(y)
        return Blocks._make(
            (
                np.pad(x, ((0, missing), (0, 0))).reshape(*shape, spec.features),
                np.pad(y, (0, missing)).reshape(shape),
                (np.arange(count * spec.test_rows) < len(y)).reshape(shape),
            )
        )

    x, y, held_out = dataset.x_train, dataset.y_train, None
    if spec.held_out:
        order = np.random.Generator(np.random.PCG64(seed)).permutation(len(y))
        aside, rest = np.sort(order[: spec.held_out]), np.sort(order[spec.held_out :])
        held_out = blocks(x[aside], y[aside], spec.held_out_blocks)
        x, y = x[rest], y[rest]
    data = Data._make((x, y, blocks(dataset.x_test, dataset.y_test, spec.test_blocks), held_out))
    return place(data, program.everywhere)


def make_clock(program: Program, first: int, count: int, config: SweepConfig, *, truncate: bool) -> Clock:
    """Put the numbers of a call on the devices: its first epoch (from 0), its epochs, whether curves are due."""
    key = np.asarray(jax.random.key_data(jax.random.key(config.shuffle_seed)))
    counts = [np.int32(n) for n in (first, count, config.epochs, config.halve_every)]
    numbers = [*counts, np.bool_(truncate), key]
    return place(Clock._make(numbers), program.everywhere)
