"""On a machine without an accelerator: one JAX device for each processor core."""

from __future__ import annotations

import contextlib
import os

from modejax.sweep.config import SweepConfig

__all__ = ["use_cores", "use_devices"]


def use_cores(config: SweepConfig, processes: int = 1) -> None:
    """Let JAX see the cores of the processor as devices, over which a sweep spreads its members.

    XLA is slow at running one small matrix product on several cores, and fast at running a share of the members on each
    core. It has no effect on accelerators, nor once JAX has started its devices.

    Args:
        config: the sweep; with fewer than four members per core, fewer cores are used.
        processes: number of processes of the run; they share the cores.
    """
    use_devices(config.devices // processes or max(1, config.num_networks // (4 * processes)))


def use_devices(wanted: int | None = None) -> None:
    """Let JAX see cores of the processor as devices, if JAX has not started its devices yet.

    Args:
        wanted: largest number of cores; by default all.
    """
    import jax

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    # JAX refuses once its devices are started, as in a notebook that calls the command line.
    with contextlib.suppress(RuntimeError):
        jax.config.update("jax_num_cpu_devices", min(wanted or cores, cores))
