"""Layers of a network as a singular value representation takes them: widths, groups, norms, kernels written out."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np

from modejax.errors import InputError
from modejax.svr.neurons import as_real
from modejax.weights import Kernel, Norm, Weights, read_kernel

__all__ = ["Flatten", "Fold", "LayerSpec", "PairSpec", "Stream", "expanded", "folded"]

Flatten = Literal["channel_first", "channel_last"]
Fold = Literal["none", "gamma", "full"]


class LayerSpec(NamedTuple):
    """One layer as understood."""

    kernel: Kernel
    norm: Norm | None  # the normalisation of its output
    groups: int  # 1 but for grouped convolutions
    norm_sure: bool = True  # whether the file tells that the norm acts on the output

    @property
    def name(self) -> str:
        """The module's name."""
        return self.kernel.name

    @property
    def width_in(self) -> int:
        """Channels or units that it reads, those of all groups."""
        return self.kernel.shape[1] * (1 if self.kernel.kind == "transposed" else self.groups)

    @property
    def width_out(self) -> int:
        """Channels or units that it writes, those of all groups."""
        return self.kernel.shape[0] * (self.groups if self.kernel.kind == "transposed" else 1)


class PairSpec(NamedTuple):
    """A writer and a reader of one set of channels."""

    writer: int  # index of the layer
    reader: int
    flattened: int  # positions of the writer that the reader sees as units of their own; 1 without flattening
    spread: int  # positions into which the writer's units are shaped for a convolution that reads them; 1 without
    order: Flatten


class Stream(NamedTuple):
    """A residual stream: every writer adds to it and every later reader reads the sum."""

    writers: tuple[str, ...]
    readers: tuple[str, ...]


def expanded(kernel: np.ndarray, spec: LayerSpec) -> np.ndarray:
    """Return a kernel with its groups written out, zeros between them.

    Args:
        kernel: axes (out, in of a group, *window); of a transposed convolution (out of a group, in, *window).
        spec: the layer.
    """
    if spec.groups == 1:
        return kernel
    whole = np.zeros((spec.width_out, spec.width_in, *kernel.shape[2:]), kernel.dtype)
    out, into = spec.width_out // spec.groups, spec.width_in // spec.groups
    for group in range(spec.groups):
        rows, columns = slice(group * out, (group + 1) * out), slice(group * into, (group + 1) * into)
        whole[rows, columns] = kernel[:, columns] if spec.kernel.kind == "transposed" else kernel[rows]
    return whole


def folded(spec: LayerSpec, weights: Weights, fold: Fold, eps: float) -> np.ndarray:
    """Return the kernel of a layer with the axes (out, in, *window), groups written out and its norm folded in.

    Args:
        spec: the layer.
        weights: the file.
        fold: see `svr.load_kernel`.
        eps: the norm's epsilon where the file does not give one.

    Raises:
        InputError: unknown fold, `full` for a norm without running statistics, or a norm of which the file does not
            tell whether it acts before or after its layer.
    """
    if fold not in ("none", "gamma", "full"):
        raise InputError(f"unknown fold {fold!r}; allowed: none, gamma, full")
    kernel = expanded(as_real(read_kernel(weights, spec.kernel), spec.name), spec)
    if spec.norm is None or fold == "none":
        return kernel
    if not spec.norm_sure:
        raise InputError(
            f"the file does not tell whether {spec.norm.name} acts before or after {spec.name}; give "
            f"norms={{{spec.name!r}: {spec.norm.name!r}}} (--norms {spec.name}={spec.norm.name}) if after, or fold=none"
        )
    gain = _gain(spec, spec.norm, weights, fold, eps)
    return kernel * gain.astype(kernel.dtype).reshape(-1, *(1,) * (kernel.ndim - 1))


def _gain(spec: LayerSpec, norm: Norm, weights: Weights, fold: Fold, eps: float) -> np.ndarray:
    def read(key: str) -> np.ndarray:
        array = np.asarray(weights[key], np.float64)
        return array if norm.index is None else array[norm.index]

    gain = np.ones(spec.width_out) if norm.scale is None else read(norm.scale)
    if len(gain) != spec.width_out:
        raise InputError(
            f"the norm {norm.name} has {len(gain)} channels and {spec.name} writes {spec.width_out}; "
            "give norms={layer: norm}"
        )
    if fold == "full":
        if norm.var is None:
            raise InputError(
                f"the norm {norm.name} has no running variance, so it cannot be folded in full; use fold=gamma"
            )
        gain = gain / np.sqrt(read(norm.var) + (eps if norm.eps is None else norm.eps))
    return gain
