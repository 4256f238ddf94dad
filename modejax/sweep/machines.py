"""The devices for which a sweep can be planned: their memory, and the rates from which times are predicted."""

from __future__ import annotations

import dataclasses

import jax

from modejax.backend import backend
from modejax.errors import InputError, choices

__all__ = ["MACHINES", "Machine", "Target", "machine_named", "this_machine"]


@dataclasses.dataclass(frozen=True)
class Machine:
    """A kind of device.

    Attributes:
        name: the name on the command line, such as h100.
        title: its full name.
        backend: cpu, gpu or tpu.
        memory: bytes of memory of one device; None if unknown.
        flops_per_second: for each precision of a sweep, the floating-point operations per second that one device
            reaches in matrix products; lower than on the data sheet.
        bytes_per_second: the rate at which a device reads and writes its memory, also as reached.
        kernel_seconds: seconds between the starts of two kernels.
        compile_seconds: seconds to compile one more bucket.
        rests_on: where the rates come from.
        tile: multiples to which a matrix unit pads the three sizes of a product: rows, columns, and the contracted
            axis.
    """

    name: str
    title: str
    backend: str
    memory: int | None
    flops_per_second: tuple[tuple[str, float], ...]
    bytes_per_second: float
    kernel_seconds: float
    compile_seconds: float
    rests_on: str
    tile: tuple[int, int, int] = (1, 1, 1)

    @property
    def usable(self) -> int | None:
        """Bytes of one device that a sweep may take: by default JAX claims three quarters of a GPU's memory."""
        return self.memory if self.memory is None or self.backend != "gpu" else self.memory * 3 // 4

    def rate(self, precision: str) -> float:
        """Return the operations per second that a device reaches in matrix products at a precision."""
        return dict(self.flops_per_second)[precision]


def _rates(float64: float, float32: float, tf32: float, bfloat16: float) -> tuple[tuple[str, float], ...]:
    return (("float64", float64), ("float32", float32), ("tf32", tf32), ("bfloat16", bfloat16))


def _gpu(name: str, title: str, memory: float, bandwidth: float, peaks: tuple[float, float, float, float]) -> Machine:
    """Make a GPU from the numbers of its data sheet: GB, TB/s and TFLOP/s in float64, float32, tf32 and bfloat16."""
    shares = (0.7, 0.7, 0.4, 0.4)  # the step's products are too small to fill the tensor cores
    return Machine(
        name=name,
        title=title,
        backend="gpu",
        memory=int(memory * 1e9),
        flops_per_second=_rates(*(1e12 * peak * share for peak, share in zip(peaks, shares, strict=True))),
        bytes_per_second=0.85e12 * bandwidth,
        kernel_seconds=2.5e-6,
        compile_seconds=3.0,
        rests_on="85 % of the bandwidth, 70 % of the float32 and float64 and 40 % of the dense tf32 and bfloat16 rates "
        "of NVIDIA's data sheet, 2.5 microseconds a kernel; not measured",
    )


def _tpu(name: str, title: str, memory: float, bandwidth: float, bfloat16: float, side: int) -> Machine:
    """Make a TPU from Google's numbers: GB, TB/s, TFLOP/s in bfloat16, and the side of its matrix unit.

    A TPU multiplies bfloat16 numbers: a float32 product takes six such products, one of three parts ("tf32") three.
    float64 is emulated; no sweep should use it.
    """
    rate = 0.5e12 * bfloat16
    return Machine(
        name=name,
        title=title,
        backend="tpu",
        memory=int(memory * 2**30),
        flops_per_second=_rates(rate / 100, rate / 6, rate / 3, rate),
        bytes_per_second=0.85e12 * bandwidth,
        kernel_seconds=1e-6,
        compile_seconds=60.0,
        rests_on="85 % of the bandwidth and 50 % of the bfloat16 rate that Google states, six products of bfloat16 for "
        "one of float32, sizes filled up to the matrix unit; not measured",
        tile=(8, side, side),
    )


MACHINES = {
    machine.name: machine
    for machine in (
        Machine(
            name="cpu",
            title="one core of a processor",
            backend="cpu",
            memory=None,
            flops_per_second=_rates(2.5e10, 5e10, 5e10, 5e10),
            bytes_per_second=float("inf"),
            kernel_seconds=2.5e-6,
            compile_seconds=2.5,
            rests_on="the rate of the whole step measured on cores of an AMD EPYC (benchmarks)",
        ),
        _gpu("a100", "NVIDIA A100 SXM, 80 GB", 85.0, 2.039, (19.5, 19.5, 156, 312)),
        _gpu("h100", "NVIDIA H100 SXM, 80 GB", 84.9, 3.35, (67, 67, 494, 989)),
        _gpu("h200", "NVIDIA H200, 141 GB", 150.0, 4.8, (67, 67, 494, 989)),
        _tpu("v5e", "Google TPU v5e", 16, 0.819, 197, 128),
        _tpu("v6e", "Google TPU v6e", 32, 1.64, 918, 256),
    )
}
"""The devices by name; float64 on H100 and H200 by their tensor cores."""

_KINDS = {"A100": "a100", "H100": "h100", "H200": "h200", "TPU v5 lite": "v5e", "TPU v6 lite": "v6e"}


@dataclasses.dataclass(frozen=True)
class Target:
    """The devices for which a plan is made.

    Attributes:
        machine: the kind of the devices.
        devices: the number of devices.
        here: whether they are the devices of this JAX process, whose memory can be queried.
    """

    machine: Machine
    devices: int = 1
    here: bool = False


def machine_named(name: str) -> Machine:
    """Return a device by name.

    Raises:
        InputError: for an unknown name.

    Example:
        >>> machine_named("h100").title
        'NVIDIA H100 SXM, 80 GB'
    """
    if name not in MACHINES:
        raise InputError(f"unknown device {name!r}; allowed: {choices(MACHINES)}")
    return MACHINES[name]


def this_machine() -> Machine:
    """Return the device that JAX runs on; for an unknown kind, the slowest known device of the same backend."""
    if backend() == "cpu":
        return MACHINES["cpu"]
    kind = jax.local_devices()[0].device_kind
    names = [name for part, name in _KINDS.items() if part in kind]
    if names:
        return MACHINES[names[0]]
    return dataclasses.replace(MACHINES["v5e" if backend() == "tpu" else "a100"], title=kind, memory=None)
