"""Devices that programs are compiled for without having them: descriptions, compilers and their flags."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
from typing import Any

__all__ = ["described", "flags", "libraries"]

# Kernels are chosen without timing them, and the compiler finds its tools in the package nvidia-cuda-nvcc-cu12.
_GPU_FLAGS = "--xla_gpu_autotune_level=0 --xla_gpu_enable_triton_gemm=false --xla_gpu_cuda_data_dir="

_H100 = """
gpu_device_info {
  threads_per_block_limit: 1024 threads_per_warp: 32 shared_memory_per_block: 49152 shared_memory_per_core: 233472
  threads_per_core_limit: 2048 core_count: 132 fpus_per_core: 128 block_dim_limit_x: 2147483647 block_dim_limit_y: 65535
  block_dim_limit_z: 65535 memory_bandwidth: 3352320000000 l2_cache_size: 52428800 clock_rate_ghz: 1.98
  device_memory_size: 84942979072 shared_memory_per_block_optin: 232448 cuda_compute_capability { major: 9 }
  registers_per_core_limit: 65536 registers_per_block_limit: 65536
}
platform_name: "CUDA"
dnn_version_info { major: 9 minor: 1 }
device_description_str: "NVIDIA H100 80GB HBM3"
"""
# The device as XLA describes it; numbers of NVIDIA's data sheet (SXM).

_CHIPS = {1: "2x2", 4: "2x2", 16: "4x4", 64: "8x8", 256: "16x16"}
# Slices of v5e and v6e by the number of chips.


def flags(device: str) -> str:
    """Return the flags of the compiler for a device, without the folders of this machine."""
    return _GPU_FLAGS if device == "h100" else ""


def described(device: str, count: int) -> list[Any]:
    """Return devices that JAX can compile for; call it before JAX starts.

    Args:
        device: h100, v5e or v6e.
        count: how many; 1, 4, 16, 64 or 256 TPU chips, one GPU.

    Returns:
        The devices of a topology description.

    Raises:
        SystemExit: if the compiler is not installed, or there is no such slice.
    """
    os.environ["JAX_PLATFORMS"] = "cpu"
    if device == "h100":
        found = importlib.util.find_spec("nvidia.cuda_nvcc") if importlib.util.find_spec("nvidia") else None
        if found is None or importlib.util.find_spec("jax_cuda12_plugin") is None:
            raise SystemExit("the compiler for GPUs is missing; run `uv run --group aot-gpu python -m benchmarks.aot`")
        if count != 1:
            raise SystemExit(f"{count} GPUs asked for; a description of one GPU is there: give --devices 1")
        os.environ["XLA_FLAGS"] = _GPU_FLAGS + next(iter(found.submodule_search_locations or ()))
        settings = {"platform": "cuda", "topology_name": "1x1x1", "topology": "1x1x1", "target_config": _H100}
    else:
        if importlib.util.find_spec("libtpu") is None:
            raise SystemExit(
                "the compiler for TPUs is missing; run "
                f"`uv run --group aot-tpu python -m benchmarks.aot --device {device}`"
            )
        if count not in _CHIPS:
            raise SystemExit(f"{count} chips asked for; allowed: {', '.join(map(str, _CHIPS))}")
        os.environ["TPU_SKIP_MDS_QUERY"] = "1"
        os.environ["ALLOW_MULTIPLE_LIBTPU_LOAD"] = "1"  # there is no chip that two processes could fight for
        # Only silences the library, which asks after hosts of a slice that it is not part of.
        os.environ.setdefault("TPU_WORKER_HOSTNAMES", "localhost")
        os.environ.setdefault("TPU_ACCELERATOR_TYPE", f"{device}-{max(count, 4)}")
        settings = {"platform": "tpu", "topology_name": f"{device}:{_CHIPS[count]}"}
    from jax.experimental import topologies

    return list(topologies.get_topology_desc(**settings).devices)[:count]


def libraries(device: str) -> dict[str, str]:
    """Return the versions of the packages that compile for a device."""
    names = ("jax-cuda12-plugin", "nvidia-cuda-nvcc-cu12") if device == "h100" else ("libtpu",)
    return {name: importlib.metadata.version(name) for name in names}
