"""Options of `modejax decompose`; light, so that the command line can be built without JAX."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

import tyro

__all__ = ["DecomposeConfig"]


@dataclasses.dataclass(frozen=True)
class DecomposeConfig:
    """Options of `modejax decompose`."""

    source: Annotated[
        tyro.conf.Positional[Path],
        tyro.conf.arg(
            help="FILE.safetensors (or the .index.json of several), .npz, .pt, .pth, .ckpt or TorchScript of PyTorch, "
            ".onnx, .keras or .h5 of Keras, or the folder of an Orbax checkpoint."
        ),
    ]

    modes: int | None = None
    """Modes kept of each kernel; a kernel of smaller rank keeps its rank."""
    energy: float | None = None
    """Keep of each kernel the least number of modes with this share of the sum of squared singular values, up to 1."""
    layout: Literal["torch", "flax", "plain"] | None = None
    """Order of the axes of the kernels where their names do not tell: torch and plain (out, in, *window), flax
    (*window, in, out)."""
    only: tuple[str, ...] = ()
    """Arrays or modules to take, as names or shell patterns; all others stay as they are."""
    exclude: tuple[str, ...] = ()
    """Arrays or modules to leave as they are."""
    kinds: tuple[str, ...] = ()
    """What arrays are where the file does not tell, as up=transposed or emb=table; of linear, conv, transposed,
    depthwise, heads, heads_out, stacked, table."""
    explain: bool = False
    """Print what was inferred from what, and what is left out and why."""
    dataset: str | None = None
    """Measure test accuracy on this data set (a name of `modejax data list`, or a path that ends in .npz); the file
    must hold a perceptron: matrices that fit one behind the other, and biases."""
    data_dir: str | None = None
    """Folder of prepared data sets; by default MODEJAX_DATA_DIR."""
    activation: str = "relu"
    """Between the matrices of a chain."""
    epochs: int = 0
    """Train the cut network in mode space for this many epochs; needs a data set."""
    learning_rate: float = 0.001
    """Of Adam."""
    batch_size: int = 100
    """Examples a step."""
    seed: int = 0
    """Of the order of the examples."""
    out: Path | None = None
    """Folder of the output; by default a new one, runs/decompose-NAME-001 and so on."""
    overwrite: bool = False
    """Replace an earlier output of this command in --out, once the new one is whole."""
