"""The bytes of a sweep, predicted before it is compiled: those on the devices, and those on the host."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import jax

from modejax.data import Dataset
from modejax.sweep.config import SweepConfig
from modejax.sweep.cost import longest_modes, row_floats, state_bytes
from modejax.sweep.machines import Machine, Target
from modejax.sweep.spec import BucketSpec

__all__ = ["Memory", "available_memory", "launch_memory", "resident_bytes"]

_MIB = 2**20

_WORK = 35 * _MIB
"""Bytes that any program for an accelerator takes in addition, mostly to shuffle the examples."""


@dataclasses.dataclass(frozen=True)
class Memory:
    """Bytes of one launch, summed over the devices.

    Attributes:
        state: parameters and moments of the optimiser, padding included; they are donated, so there is one copy.
        data: the data set, one copy on each device.
        temporary: the largest of the additional bytes of a training step, an evaluation and the truncation curves.
        host: bytes on the host for checkpoints and records; on the CPU backend they add to the others.
    """

    state: int
    data: int
    temporary: int
    host: int

    @property
    def device(self) -> int:
        """Bytes that the compiled program needs: its arguments and its temporaries."""
        return self.state + self.data + self.temporary


def launch_memory(
    buckets: Sequence[BucketSpec], config: SweepConfig, dataset: Dataset, rows: int, target: Target
) -> Memory:
    """Predict the bytes of one launch.

    State and data are counted exactly. The temporaries are a model of what XLA keeps at the same time, with factors
    taken from XLA's own account (`compiled.memory_analysis()`) of twenty sweeps on CPU, depths 1 to 5. Truncation
    curves take 3 + 1.1 depth numbers per unit of a layer for each row of a test block, and three copies of the
    parameters, which are ranked. In a convolution a unit is a channel at a position, and its patches come once in
    addition; a skip connection keeps one more number per unit. A training step takes two copies of the parameters and
    twice the activations of a batch. Pruning of nodes takes 3.8 + 0.6 depth numbers per unit for each row of a block;
    pruning of weights takes 2.5, and two copies of the parameters. The predicted total was 0.82 to 1.17 of XLA's.

    In programs compiled for an H100 (`benchmarks.aot`) the ranked parameters are not copied, the gradients of a bucket
    are freed before those of the next, truncation curves take 0.77 of the above (0.45 for convolutional networks), and
    35 MiB are added for any sweep: the predicted total was 0.86 to 1.19 of XLA's account of sixteen sweeps.

    Args:
        buckets: the padded networks of one launch.
        config: the sweep.
        dataset: its data.
        rows: test examples in one evaluation block.
        target: the devices over which the members are spread.

    Returns:
        The bytes.
    """
    item = 8 if config.precision == "float64" else 4
    state = training = 0
    passes = [0]
    for bucket in buckets:
        arm, size = bucket.arm, (bucket.width, bucket.modes)
        early = config.validation > 0
        here = bucket.members * state_bytes(arm, *size, early=early) * item // 4
        floats, widest, product = row_floats(arm, *size)
        depth = arm.network.depth
        state += here
        copied = here if target.machine.backend == "cpu" else 0
        results = bucket.members * config.batch_size * floats * item
        if target.machine.backend == "cpu":
            training += 2 * here // 3 + 2 * results
        else:  # the gradients of a bucket are freed after its update
            training += results
            passes.append(here // 3 + results)
        activations = bucket.members * rows * widest * item
        passes.append(2 * activations)
        if arm.kept:
            modes = bucket.modes or longest_modes(arm.network, *size, arm.example_numbers)
            several = config.draws if config.order == "random" else 1
            products = bucket.members * rows * product * item
            skips = depth if arm.network.network == "residual" else 0  # each keeps what it adds to
            adding = products * (3 + 1.1 * depth + skips) + activations - products
            if target.machine.backend != "cpu":
                adding *= 0.45 if arm.network.network == "conv" else 0.77
            passes.append(int(adding + bucket.members * rows * modes / 2 * item) + copied)
            passes.append(bucket.members * several * (depth + 2) * (modes + 1) * item + copied)
        if set(arm.pruned) - {"weights"}:
            passes.append(int((3.8 + 0.6 * depth) * activations))
        if "weights" in arm.pruned:
            passes.append(int(2.5 * activations) + 2 * here // 3)
    arrays = (dataset.x_train, dataset.y_train, dataset.x_test, dataset.y_test)
    return Memory(
        state=state,
        data=target.devices * sum(array.nbytes for array in arrays),
        temporary=max(training, *passes) if target.machine.backend == "cpu" else training + max(passes) + _WORK,
        host=3 * state + _records(buckets, config, item),
    )


def _records(buckets: Sequence[BucketSpec], config: SweepConfig, item: int) -> int:
    """Return the bytes that the host keeps for each member: learning curves, and the curves of each random order."""
    ends = 1 if not config.truncate_every else 1 + config.epochs // config.truncate_every
    total = 0
    for bucket in buckets:
        draws = config.draws if config.order == "random" else 1
        curves = ends * draws * (bucket.arm.network.depth + 2) * len(bucket.arm.kept)
        total += bucket.members * (3 * config.epochs + curves) * item
    return total


def available_memory(target: Target) -> int:
    """Return the bytes that a sweep may use: those of the devices, or the machine's main memory."""
    if not target.here and target.machine.usable is not None:
        return target.machine.usable * target.devices
    stats = jax.local_devices()[0].memory_stats()
    if stats and "bytes_limit" in stats:
        return int(stats["bytes_limit"]) * target.devices
    import psutil

    return psutil.virtual_memory().total * jax.process_count()


def resident_bytes(machine: Machine) -> int:
    """Return the bytes that this process uses apart from the sweep's arrays: itself, and room for the compiler.

    On the CPU backend they count against the memory limit. The compiler took 300 to 450 MB for programs of one to four
    buckets.
    """
    if machine.backend != "cpu":
        return 0
    import psutil

    return (psutil.Process().memory_info().rss + 450 * _MIB) * jax.process_count()
