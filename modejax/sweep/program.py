"""The compiled step: epochs of all members of all buckets, and their truncation curves, as one executable.

A call runs one chunk of epochs. All members share the batch, so the first products of all members of a bucket are one
large matrix product. Parameters are stored with members as the leading axis and patterns as rows; this layout needs no
transposition. Members are spread over the devices, which exchange nothing.
"""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Bool, Int, PRNGKeyArray, UInt32

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
from modejax.sweep.curves import pruning_curves, truncation_curves
from modejax.sweep.spec import BucketSpec
from modejax.training import Moment, TrainState, evaluate, init_state, keep_best, rate_at, train_step

__all__ = ["Lowered", "Program", "lower_program", "make_program", "precision_scope"]

_MATMUL = {"float32": "highest", "tf32": "tensorfloat32", "bfloat16": "default", "float64": "highest"}


@contextlib.contextmanager
def precision_scope(precision: str) -> Iterator[None]:
    """Trace and run with the dtype and the matmul precision of a named precision."""
    with jax.enable_x64(precision == "float64"), jax.default_matmul_precision(_MATMUL[precision]):
        yield


def _dense_until(bucket: BucketSpec, members: MemberArrays, epoch: Int[Array, ""]) -> MemberArrays:
    """Return the members for an epoch, counted from 0: in the epochs of `mask_after` their masks are switched off."""
    if not bucket.arm.mask_after:
        return members
    sparsity = jnp.where(epoch < bucket.arm.mask_after, 0, members.numbers["sparsity"])
    return members._replace(numbers={**members.numbers, "sparsity": sparsity})


def _orders(spec: ProgramSpec, data: Data, clock: Clock, epoch: Int[Array, ""]) -> Int[Array, "steps ..."]:
    """Return the rows of each batch of an epoch: (steps, batch), or (steps, seeds, batch) with an order per seed."""
    key = jax.random.fold_in(jax.random.wrap_key_data(clock.key, impl="threefry2x32"), epoch)
    count = spec.steps * spec.batch

    def of(key: PRNGKeyArray) -> Int[Array, "steps batch"]:
        order = jax.random.permutation(key, spec.train_examples).astype(jnp.int32)
        return order[:count].reshape(spec.steps, spec.batch)

    def one(words: UInt32[Array, " words"]) -> Int[Array, "steps batch"]:
        return of(jax.random.fold_in(jax.random.fold_in(key, words[0]), words[1]))

    return of(key) if spec.batches == "shared" else jnp.moveaxis(jax.vmap(one)(data.seeds), 0, 1)


def _member_batch(
    spec: ProgramSpec, bucket: BucketSpec, member: MemberArrays, rows: Int[Array, ...], data: Data
) -> tuple[Array, Array]:
    """Return inputs and targets of a batch for one member, if they depend on its seed or its axes."""
    order = member.seed_index if spec.batches == "per_seed" else jnp.int32(0)
    if spec.batches == "per_seed":
        rows = rows[order]
    if "train_examples" in bucket.arm.numbers:
        assert data.share is not None
        # Every example of the share comes up as often as any other, within one, in a pass over all rows; what an epoch
        # leaves out is less than a batch of them.
        rows = data.share[order, rows % member.numbers["train_examples"]]
    y = data.y_train[rows]
    if "label_noise" in bucket.arm.numbers:
        assert data.noise is not None
        assert data.wrong is not None
        replaced = data.noise[order, rows] < member.numbers["label_noise"].astype(data.noise.dtype)
        y = jnp.where(replaced, data.wrong[order, rows], y)
    return features_of(spec, data.x_train[rows]), y


def _run_chunk(
    spec: ProgramSpec, states: list[TrainState], members: list[MemberArrays], data: Data, clock: Clock
) -> tuple[list[TrainState], list[Records]]:
    """Run up to `spec.chunk` epochs of all members on this device."""
    dtype = float_type(spec)
    buckets = range(len(spec.buckets))

    def epoch(index: Array, carry: tuple[list[TrainState], list[list[Array]]]) -> tuple[Any, Any]:
        states, curves = carry
        number = clock.first + index
        batches = _orders(spec, data, clock, number)

        def step(states: list[TrainState], at: tuple[Array, Array]) -> tuple[list[TrainState], list[Array]]:
            rows, count = at
            shared = None
            if spec.batches == "shared":
                shared = features_of(spec, data.x_train[rows]), data.y_train[rows]
            moment = Moment(number, count, clock.epochs)
            moved = [_train(spec, b, states[b], members[b], (rows, shared), moment, data, clock) for b in buckets]
            return [state for state, _ in moved], [value for _, value in moved]

        states, losses = jax.lax.scan(step, states, (batches, jnp.arange(spec.steps, dtype=jnp.int32)))
        measured = []
        for b in buckets:
            chosen_by = []
            if spec.held_out:
                states[b], judged = _choose(spec, b, states[b], members[b], data, clock, number)
                chosen_by = [judged]
            tested = _measure(spec, b, states[b].params, members[b], data.test, spec.test_examples, number)
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
    records = []
    for b in buckets:
        arm, count = spec.buckets[b].arm, members[b].width.shape[0]
        absent = jnp.zeros((count, 0), dtype)
        judged = () if spec.held_out else (jnp.zeros((0, count), dtype),)
        due = functools.partial(_when_due, spec, b, states[b], members[b], data, clock)
        cut = due(truncation_curves) if arm.kept else (absent,) * 4
        pruned = due(pruning_curves) if arm.pruned else (absent,) * 3
        best = states[b].best
        epochs = jnp.zeros(count, jnp.int32) if best is None else best.epoch
        records.append(Records._make([*curves[b], *judged, *cut, *pruned, epochs, states[b].healthy]))
    return states, records


def _train(
    spec: ProgramSpec,
    number: int,
    state: TrainState,
    members: MemberArrays,
    batch: tuple[Array, tuple[Array, Array] | None],
    moment: Moment,
    data: Data,
    clock: Clock,
) -> tuple[TrainState, Array]:
    """Take one step of all members of a bucket; `batch` has the rows, and inputs and targets if these are shared."""
    bucket, (rows, shared) = spec.buckets[number], batch
    arm = bucket.arm
    own = spec.batches == "per_seed" or {"train_examples", "label_noise"} & set(arm.numbers)

    def one(member: MemberArrays, state: TrainState) -> tuple[TrainState, Array]:
        rate = rate_at(
            arm.schedule,
            member.learning_rate,
            moment,
            spec.steps,
            every=clock.halve_every[number],
            warm_up=clock.warm_up[number] if arm.warm else None,
        )
        examples = _member_batch(spec, bucket, member, rows, data) if own else shared
        assert examples is not None
        network = member_network(bucket, member)
        return train_step(
            network,
            spec.loss,
            state,
            examples,
            rate,
            member.weight_decay,
            arm.optimiser,
            arm.penalty,  # pyright: ignore[reportArgumentType]
        )

    return jax.vmap(one)(_dense_until(bucket, members, moment.epoch), state)


def _measure(
    spec: ProgramSpec, number: int, params: Any, members: MemberArrays, blocks: Blocks, examples: int, epoch: Array
) -> tuple[Array, Array]:
    """Return mean loss and accuracy of all members of a bucket; the accuracy is NaN for real-valued targets."""
    bucket, dtype = spec.buckets[number], float_type(spec)
    current = _dense_until(bucket, members, epoch)

    def one(member: MemberArrays, params: Any, x: Array, y: Array, counts: Array) -> tuple[Array, Array]:
        return evaluate(member_network(bucket, member), spec.loss, params, x, y, counts)

    def block(total: tuple[Array, Array], rows: Blocks) -> tuple[tuple[Array, Array], None]:
        x, y, counts = rows
        sums = jax.vmap(one, in_axes=(0, 0, None, None, None))(current, params, features_of(spec, x), y, counts)
        return (total[0] + sums[0], total[1] + sums[1]), None

    count = members.width.shape[0]
    none = (jnp.zeros(count, dtype), jnp.zeros(count, jnp.int32))
    (total, right), _ = jax.lax.scan(block, none, blocks)
    accuracy = right.astype(dtype) / examples
    return total / examples, jnp.full_like(accuracy, jnp.nan) if spec.loss.correct is None else accuracy


def _choose(
    spec: ProgramSpec, number: int, state: TrainState, members: MemberArrays, data: Data, clock: Clock, epoch: Array
) -> tuple[TrainState, Array]:
    """Return the states after the choice of the best epoch, and the values by which it was chosen."""
    assert data.held_out is not None
    total, accuracy = _measure(spec, number, state.params, members, data.held_out, spec.held_out, epoch)
    # Real-valued targets have no accuracy; the smaller loss is better.
    by_loss = spec.loss.correct is None
    last = epoch == clock.epochs - 1

    def one(state: TrainState, judged: Array) -> TrainState:
        return keep_best(state, judged, epoch + 1, last, spec.patience, spec.least_improvement)

    return jax.vmap(one)(state, -total if by_loss else accuracy), total if by_loss else accuracy


def _when_due(
    spec: ProgramSpec,
    number: int,
    state: TrainState,
    members: MemberArrays,
    data: Data,
    clock: Clock,
    compute: Callable[..., tuple[Array, ...]],
) -> tuple[Array, ...]:
    """Compute a function of each member of a bucket if curves are due; NaN for diverged members."""

    @jax.jit  # so that the shapes and the branch share one trace
    def every(params: Any) -> tuple[Array, ...]:
        now = _dense_until(spec.buckets[number], members, clock.first + clock.count - 1)
        return jax.vmap(lambda m, p: compute(spec, spec.buckets[number], m, p, data))(now, params)

    shapes = jax.eval_shape(every, state.params)
    nothing = lambda params: tuple(jnp.full(s.shape, jnp.nan, s.dtype) for s in shapes)  # noqa: E731
    found = jax.lax.cond(clock.truncate, every, nothing, state.params)
    return tuple(jnp.where(_leading(state.healthy, value), value, jnp.nan) for value in found)


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

    def __init__(self, spec: ProgramSpec, devices: Sequence[Any] | None = None) -> None:
        self.spec = spec
        began = time.perf_counter()
        lowered = lower_program(spec, jax.devices()[: spec.devices] if devices is None else devices)
        self.mesh = lowered.mesh
        traced = time.perf_counter()
        with precision_scope(spec.precision), ThreadPoolExecutor(2) as pool:  # the compiler frees the interpreter
            self.start, self.compiled = pool.map(lambda each: each.compile(), (lowered.start, lowered.chunk))
        self.seconds_to_trace = traced - began
        self.seconds_to_compile = time.perf_counter() - traced

    @property
    def by_member(self) -> NamedSharding:
        """The sharding of arrays whose leading axis is the members."""
        return NamedSharding(self.mesh, P("member"))

    @property
    def everywhere(self) -> NamedSharding:
        """The sharding of arrays that are replicated on every device."""
        return NamedSharding(self.mesh, P())


class Lowered(NamedTuple):
    """A program that is traced and not yet compiled."""

    mesh: Mesh
    start: Any  # a `jax.stages.Lowered`: `members -> states`
    chunk: Any  # likewise: `(states, members, data, clock) -> (states, records)`


def lower_program(spec: ProgramSpec, devices: Sequence[Any]) -> Lowered:
    """Trace the program of a spec for devices, which this machine need not have.

    Args:
        spec: the program.
        devices: devices of JAX, or of a topology description (`jax.experimental.topologies`); as many as in the spec.

    Returns:
        Both executables, to be compiled.
    """
    mesh = Mesh(np.array(devices), ("member",), axis_types=(AxisType.Auto,))
    by_member, everywhere = P("member"), P()

    def start(members: list[MemberArrays]) -> list[TrainState]:
        def one(bucket: BucketSpec, member: MemberArrays) -> TrainState:
            network = member_network(bucket, member)
            return init_state(network, member.key, bucket.arm.optimiser, early=spec.held_out > 0)

        pairs = zip(spec.buckets, members, strict=True)
        return [jax.vmap(functools.partial(one, bucket))(arrays) for bucket, arrays in pairs]

    # Members are independent, so each device runs the same program on its share of them.
    shared = functools.partial(jax.shard_map, mesh=mesh, check_vma=False)
    record = Records._make([P(None, "member")] * 4 + [by_member] * (len(Records._fields) - 4))
    chunk = shared(
        functools.partial(_run_chunk, spec),
        in_specs=(by_member, by_member, everywhere, everywhere),
        out_specs=(by_member, [record] * len(spec.buckets)),
    )
    with precision_scope(spec.precision):
        members, data, clock = _abstract(spec, mesh)
        draw = jax.jit(shared(start, in_specs=(by_member,), out_specs=by_member))
        drawn = draw.lower(members)
        states = jax.tree.map(
            lambda s: jax.ShapeDtypeStruct(s.shape, s.dtype, sharding=NamedSharding(mesh, by_member)),
            jax.eval_shape(draw, members),
        )
        return Lowered(mesh, drawn, jax.jit(chunk, donate_argnums=0).lower(states, members, data, clock))


def _abstract(spec: ProgramSpec, mesh: Mesh) -> tuple[list[MemberArrays], Data, Clock]:
    """Return the shapes of the arguments of a chunk, except the states; they follow from the spec."""
    dtype, own, everywhere = float_type(spec), NamedSharding(mesh, P("member")), NamedSharding(mesh, P())

    def of(shape: tuple[int, ...], dtype: Any, sharding: NamedSharding = everywhere) -> Any:
        return jax.ShapeDtypeStruct(shape, dtype, sharding=sharding)

    def member(bucket: BucketSpec) -> MemberArrays:
        count = bucket.members
        whole, number = of((count,), jnp.int32, own), of((count,), dtype, own)
        numbers = {n: whole if n == "train_examples" else number for n in bucket.arm.numbers}
        return MemberArrays(whole, whole, of((count, 2), jnp.uint32, own), whole, number, number, numbers)

    def blocks(count: int) -> Blocks:
        shape = (count, spec.test_rows)
        y = of((*shape, *spec.label_shape), spec.label_type)
        return Blocks(of((*shape, spec.features), spec.x_dtype), y, of(shape, jnp.bool_))

    each, noisy = (spec.orders, spec.train_examples), spec.uses("label_noise")
    data = Data(
        of((spec.train_examples, spec.features), spec.x_dtype),
        of((spec.train_examples, *spec.label_shape), spec.label_type),
        blocks(spec.test_blocks),
        blocks(spec.held_out_blocks) if spec.held_out else None,
        of((spec.seeds, 2), jnp.uint32),
        of(each, jnp.int32) if spec.uses("train_examples") else None,
        of(each, jnp.float32) if noisy else None,
        of(each, spec.label_type) if noisy else None,
    )
    scalar, count = of((), jnp.int32), len(spec.buckets)
    clock = Clock(
        scalar,
        scalar,
        scalar,
        of((count,), jnp.int32),
        of((count,), dtype),
        of((), jnp.bool_),
        of((2,), jnp.uint32),
    )
    return [member(bucket) for bucket in spec.buckets], data, clock


@functools.lru_cache(maxsize=8)
def make_program(spec: ProgramSpec) -> Program:
    """Compile the program of a spec, or return it from the cache."""
    return Program(spec)
