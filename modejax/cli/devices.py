"""One device a core on a machine without an accelerator."""

from __future__ import annotations

import contextlib
import os

from modejax.sweep.config import SweepConfig

__all__ = ["use_cores", "use_devices"]


def use_cores(config: SweepConfig, processes: int = 1) -> None:
    """Let JAX see the cores of the processor as devices, over which a sweep spreads its members.

    XLA runs one small matrix product on several cores badly, and one share of the members on each core well.
    It has no effect on accelerators, nor once JAX has started its devices.

    Args:
        config: the sweep; with fewer than four members a core, fewer cores are used.
        processes: processes of the run, which share its devices.
    """
    use_devices(config.devices // processes or max(1, config.num_networks // (4 * processes)))


def use_devices(wanted: int | None = None) -> None:
    """Let JAX see cores of the processor as devices, where it has not started yet.

    Args:
        wanted: how many at most; by default all.
    """
    import jax

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    # JAX refuses once its devices are started, as in a notebook that calls the command line.
    with contextlib.suppress(RuntimeError):
        jax.config.update("jax_num_cpu_devices", min(wanted or cores, cores))
