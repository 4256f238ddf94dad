"""The compiled step: epochs of all members of all buckets, and their truncation curves, as one executable.

A call runs one chunk of epochs. The batch is shared by all members, so the first product of all members of a bucket
is one large matrix product; parameters are stored with members leading and patterns as rows, which is the layout that
needs no transposition. Members are spread over the devices; nothing is exchanged between them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Bool, Float, Int, UInt32

from modejax.data import Dataset
from modejax.draws import subkey
from modejax.extent import Extent
from modejax.layers.base import Modes
from modejax.networks import Network
from modejax.sweep.config import SweepConfig
from modejax.sweep.hosts import place
from modejax.sweep.plan import Plan, bucket_specs
from modejax.sweep.spec import BucketSpec
from modejax.training import LOSSES, TrainState, evaluate, halved, init_state, train_step
from modejax.truncation import TruncationCurves, importance, kept_curves, mode_scores, ranked

__all__ = [
    "Clock",
    "Data",
    "MemberArrays",
    "Program",
    "Records",
    "device_data",
    "make_clock",
    "make_program",
    "member_arrays",
    "precision_scope",
    "program_spec",
]

_MATMUL = {"float32": "highest", "tf32": "tensorfloat32", "bfloat16": "default", "float64": "highest"}


class MemberArrays(NamedTuple):
    """The numbers that make a member of a bucket; all traced, so that other values need no other program."""

    width: Int[Array, " members"]
    modes: Int[Array, " members"]
    seed: Int[Array, " members"]
    learning_rate: Float[Array, " members"]
    weight_decay: Float[Array, " members"]


class Data(NamedTuple):
    """The data set on the device; the test set in blocks, filled up with rows that do not count."""

    x_train: Array  # (examples, features), as stored
    y_train: Int[Array, " examples"]
    x_test: Array  # (blocks, rows, features), as stored
    y_test: Int[Array, "blocks rows"]
    counts: Bool[Array, "blocks rows"]


class Clock(NamedTuple):
    """Where in the run a call stands."""

    first: Int[Array, ""]  # number of the first epoch, from 0
    count: Int[Array, ""]  # epochs to run, at most the length of a chunk
    halve_every: Int[Array, ""]
    truncate: Bool[Array, ""]  # whether curves are due after the last of these epochs
    key: UInt32[Array, " words"]  # data of the key of the order of examples


class Records(NamedTuple):
    """What a call reports of one bucket; not a number where a member has diverged."""

    train_loss: Float[Array, "epochs members"]  # mean over the epoch's batches, each before its step
    test_loss: Float[Array, "epochs members"]
    test_accuracy: Float[Array, "epochs members"]  # share of 1
    layer_curves: Float[Array, "members draws maps kept"]  # test accuracy, share of 1
    together_curves: Float[Array, "members draws kept"]
    importance: Float[Array, "members maps modes"]
    mode_weight: Float[Array, "members maps modes"]
    healthy: Bool[Array, " members"]


@dataclasses.dataclass(frozen=True)
class ProgramSpec:
    """The static facts of a program; equal specs share one executable."""

    buckets: tuple[BucketSpec, ...]
    targets: str
    scale: float
    train_examples: int
    x_dtype: str
    features: int
    test_blocks: int
    test_rows: int
    test_examples: int
    batch: int
    steps: int
    chunk: int
    order: str
    cut: str
    draws: int
    kept: tuple[int, ...]
    optimiser: str
    precision: str
    devices: int


def program_spec(plan: Plan, dataset: Dataset) -> ProgramSpec:
    """Return the static facts of the program that runs a plan on a data set."""
    config = plan.config
    return ProgramSpec(
        buckets=bucket_specs(plan.groups, plan.buckets, truncated=bool(plan.kept)),
        targets=dataset.targets,
        scale=dataset.scale,
        train_examples=len(dataset.y_train),
        x_dtype=str(dataset.x_train.dtype),
        features=dataset.num_features,
        test_blocks=-(-len(dataset.y_test) // plan.evaluation_rows),
        test_rows=plan.evaluation_rows,
        test_examples=len(dataset.y_test),
        batch=config.batch_size,
        steps=plan.steps_per_epoch,
        chunk=plan.chunk,
        order=config.order,
        cut=config.cut,
        draws=config.draws if config.order == "random" else 1,
        kept=plan.kept,
        optimiser=config.optimiser,
        precision=config.precision,
        devices=plan.devices,
    )


def _dtype(spec: ProgramSpec) -> Any:
    return jnp.float64 if spec.precision == "float64" else jnp.float32


@contextlib.contextmanager
def precision_scope(precision: str) -> Iterator[None]:
    """Trace and run with the dtype and the matmul precision that a name stands for."""
    with jax.enable_x64(precision == "float64"), jax.default_matmul_precision(_MATMUL[precision]):
        yield


def _network(bucket: BucketSpec, member: MemberArrays, rows: int) -> Network:
    modes = Extent(bucket.modes, member.modes) if bucket.modes else 0
    return bucket.network.build(Extent(bucket.width, member.width), modes, rows)


def _features(spec: ProgramSpec, x: Array) -> Float[Array, "rows features"]:
    """Turn stored rows into inputs of the network."""
    return x.astype(_dtype(spec)) * spec.scale


def _curves(spec: ProgramSpec, bucket: BucketSpec, member: MemberArrays, params: Any, data: Data) -> tuple[Array, ...]:
    """Return the truncation curves, importances and weights of one member."""
    network = _network(bucket, member, spec.test_rows)
    modes = network.modes(params)
    longest = max((each.weight.shape[0] for each in modes if each is not None), default=0)
    # A number beyond any map's keeps these keys apart from those of the initial values.
    key = subkey(jax.random.key(member.seed), 2**30)

    def draw(number: Int[Array, ""]) -> tuple[Array, Array]:
        draw_key = subkey(key, number)
        order = []
        for index, each in enumerate(modes):
            if each is not None:
                scores = mode_scores(each, spec.order, subkey(draw_key, index))  # pyright: ignore
                each = ranked(each, scores, spec.cut)  # pyright: ignore
            order.append(each)

        def block(rows: tuple[Array, Array, Array]) -> TruncationCurves:
            x, y, counts = rows
            return kept_curves(network, LOSSES[spec.targets], params, order, _features(spec, x), y, counts, spec.kept)

        def share(counts: Int[Array, "blocks ..."]) -> Float[Array, ...]:
            right = jnp.sum(counts, axis=0)  # negative for a map without modes
            return jnp.where(right < 0, jnp.nan, right.astype(_dtype(spec)) / spec.test_examples)

        layer, together = jax.lax.map(block, (data.x_test, data.y_test, data.counts))
        return share(layer), share(together)

    def per_map(values: Callable[[Modes], Array]) -> Float[Array, "maps modes"]:
        rows = []
        for each in modes:
            row = jnp.full(longest, jnp.nan, _dtype(spec))
            if each is not None:
                row = row.at[: each.weight.shape[0]].set(jnp.where(each.active, values(each), jnp.nan))
            rows.append(row)
        return jnp.stack(rows)

    layer, together = jax.lax.map(draw, jnp.arange(spec.draws, dtype=jnp.int32))
    return layer, together, per_map(importance), per_map(lambda each: each.weight)


def _run_chunk(
    spec: ProgramSpec, states: list[TrainState], members: list[MemberArrays], data: Data, clock: Clock
) -> tuple[list[TrainState], list[Records]]:
    """Run up to `spec.chunk` epochs of all members that live on this device."""
    loss = LOSSES[spec.targets]
    dtype = _dtype(spec)
    buckets = range(len(spec.buckets))

    def train(bucket: int, state: TrainState, x: Array, y: Array, epoch: Array) -> tuple[TrainState, Array]:
        def one(member: MemberArrays, state: TrainState) -> tuple[TrainState, Array]:
            network = _network(spec.buckets[bucket], member, spec.batch)
            rate = halved(member.learning_rate, epoch, clock.halve_every)
            return train_step(network, loss, state, x, y, rate, member.weight_decay, spec.optimiser)

        return jax.vmap(one)(members[bucket], state)

    def measure(bucket: int, params: Any) -> tuple[Array, Array]:
        def one(member: MemberArrays, params: Any, x: Array, y: Array, counts: Array) -> tuple[Array, Array]:
            network = _network(spec.buckets[bucket], member, spec.test_rows)
            return evaluate(network, loss, params, x, y, counts)

        def block(total: tuple[Array, Array], rows: tuple[Array, Array, Array]) -> tuple[tuple[Array, Array], None]:
            x, y, counts = rows
            sums = jax.vmap(one, in_axes=(0, 0, None, None, None))(
                members[bucket], params, _features(spec, x), y, counts
            )
            return (total[0] + sums[0], total[1] + sums[1]), None

        count = members[bucket].width.shape[0]
        none = (jnp.zeros(count, dtype), jnp.zeros(count, jnp.int32))
        (total, right), _ = jax.lax.scan(block, none, (data.x_test, data.y_test, data.counts))
        return total / spec.test_examples, right.astype(dtype) / spec.test_examples

    def epoch(index: Array, carry: tuple[list[TrainState], list[list[Array]]]) -> tuple[Any, Any]:
        states, curves = carry
        number = clock.first + index
        key = jax.random.fold_in(jax.random.wrap_key_data(clock.key), number)
        shuffle = jax.random.permutation(key, spec.train_examples)
        batches = shuffle[: spec.steps * spec.batch].reshape(spec.steps, spec.batch)

        def step(states: list[TrainState], rows: Array) -> tuple[list[TrainState], list[Array]]:
            x, y = _features(spec, data.x_train[rows]), data.y_train[rows]
            moved = [train(b, states[b], x, y, number) for b in buckets]
            return [state for state, _ in moved], [value for _, value in moved]

        states, losses = jax.lax.scan(step, states, batches)
        measured = []
        for b in buckets:
            values = [jnp.mean(losses[b], axis=0), *measure(b, states[b].params)]
            measured.append(
                [
                    curve.at[index].set(jnp.where(states[b].healthy, value, jnp.nan))
                    for curve, value in zip(curves[b], values, strict=True)
                ]
            )
        return states, measured

    empty = [[jnp.full((spec.chunk, m.width.shape[0]), jnp.nan, dtype) for _ in range(3)] for m in members]
    states, curves = jax.lax.fori_loop(0, clock.count, epoch, (states, empty))

    records = []
    for b in buckets:
        cut: tuple[Array, ...] = (jnp.zeros((members[b].width.shape[0], 0), dtype),) * 4
        if spec.buckets[b].truncated:

            @jax.jit  # so that the shapes and the branch share one trace
            def compute(params: Any, b: int = b) -> tuple[Array, ...]:
                return jax.vmap(lambda m, p: _curves(spec, spec.buckets[b], m, p, data))(members[b], params)

            shapes = jax.eval_shape(compute, states[b].params)
            cut = jax.lax.cond(
                clock.truncate,
                compute,
                lambda params, shapes=shapes: tuple(jnp.full(s.shape, jnp.nan, s.dtype) for s in shapes),
                states[b].params,
            )
            cut = tuple(jnp.where(_leading(states[b].healthy, value), value, jnp.nan) for value in cut)
        records.append(Records._make([*curves[b], *cut, states[b].healthy]))
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
                return init_state(_network(bucket, member, spec.batch), jax.random.key(member.seed), spec.optimiser)

            pairs = zip(spec.buckets, members, strict=True)
            return [jax.vmap(functools.partial(one, bucket))(arrays) for bucket, arrays in pairs]

        # Members do not talk to each other, so each device runs the same program on its own share of them.
        shared = functools.partial(jax.shard_map, mesh=self.mesh, check_vma=False)
        record = Records._make([P(None, "member")] * 3 + [by_member] * 5)
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
        spec, dtype = self.spec, _dtype(self.spec)

        def of(shape: tuple[int, ...], dtype: Any, sharding: NamedSharding = self.everywhere) -> Any:
            return jax.ShapeDtypeStruct(shape, dtype, sharding=sharding)

        members = [
            MemberArrays(
                *(of((b.members,), jnp.int32, self.by_member),) * 3, *(of((b.members,), dtype, self.by_member),) * 2
            )
            for b in spec.buckets
        ]
        test = (spec.test_blocks, spec.test_rows)
        data = Data(
            of((spec.train_examples, spec.features), spec.x_dtype),
            of((spec.train_examples,), jnp.int32),
            of((*test, spec.features), spec.x_dtype),
            of(test, jnp.int32),
            of(test, jnp.bool_),
        )
        scalar = of((), jnp.int32)
        key = jax.eval_shape(lambda: jax.random.key_data(jax.random.key(0)))
        clock = Clock(scalar, scalar, scalar, of((), jnp.bool_), of(key.shape, key.dtype))
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
            ]
        )
        placed.append(place(arrays, program.by_member))
    return placed


def device_data(dataset: Dataset, program: Program) -> Data:
    """Put a data set on the devices, its test set in blocks."""
    spec = program.spec
    missing = spec.test_blocks * spec.test_rows - spec.test_examples
    blocks = (spec.test_blocks, spec.test_rows)
    x_test = np.pad(dataset.x_test, ((0, missing), (0, 0)))
    data = Data._make(
        [
            dataset.x_train,
            dataset.y_train.astype(np.int32),
            x_test.reshape(*blocks, spec.features),
            np.pad(dataset.y_test, (0, missing)).astype(np.int32).reshape(blocks),
            (np.arange(blocks[0] * blocks[1]) < spec.test_examples).reshape(blocks),
        ]
    )
    return place(data, program.everywhere)


def make_clock(program: Program, first: int, count: int, config: SweepConfig, *, truncate: bool) -> Clock:
    """Put the numbers of a call on the devices: its first epoch (from 0), its epochs, whether curves are due."""
    key = np.asarray(jax.random.key_data(jax.random.key(config.shuffle_seed)))
    numbers = [np.int32(first), np.int32(count), np.int32(config.halve_every), np.bool_(truncate), key]
    return place(Clock._make(numbers), program.everywhere)
