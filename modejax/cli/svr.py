"""`modejax svr`: the singular value representation of a trained network: tables, a graph and figures."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import tyro

from modejax.cli.printing import Printed

__all__ = ["SvrCommand"]


@dataclasses.dataclass(frozen=True)
class ReadingOptions:
    """How the arrays of a file are read as layers; options that are not given are inferred."""

    layout: Literal["torch", "flax", "plain"] | None = None
    """Axes of the kernels: (out, in, *window) or (*window, in, out); by default inferred from the names of the
    arrays."""
    order: tuple[str, ...] = ()
    """Names of the layers in the order of the network; by default inferred."""
    groups: tuple[str, ...] = ()
    """Number of groups of grouped convolutions, written LAYER=GROUPS, as dw=8."""
    norms: tuple[str, ...] = ()
    """The norm after each layer, written LAYER=NORM, as conv1=bn1; by default inferred."""
    flatten: Literal["channel_first", "channel_last"] | None = None
    """How the outputs of a convolution are flattened to units; by default as in PyTorch or Flax, by the layout."""
    streams: tuple[str, ...] = ()
    """Residual streams, written WRITERS>READERS, as stem,block.conv2>next.conv1,head; those of torchvision's ResNets
    are known."""
    only: tuple[str, ...] = ()
    """Arrays or modules to take, as names or shell patterns."""
    exclude: tuple[str, ...] = ()
    """Arrays or modules to leave out, as names or shell patterns."""
    kinds: tuple[str, ...] = ()
    """Kinds of arrays that the file does not tell, as up=transposed or emb=table; one of linear, conv, transposed,
    depthwise, heads, heads_out, stacked, table."""
    explain: bool = False
    """Print what was inferred, from which arrays, and which arrays are left out and why."""


@dataclasses.dataclass(frozen=True)
class SvrCommand(Printed):
    """Draw a trained network as a graph of spectral neurons whose edges are tested against chance."""

    examples: ClassVar[tuple[str, ...]] = (
        "modejax svr model.safetensors",
        "modejax svr runs/digits-mode-001 --sigma 4",
    )

    source: Annotated[
        tyro.conf.Positional[Path],
        tyro.conf.arg(
            help="Weights: FILE.safetensors (or the .index.json of several), .npz, .pt, .pth, .ckpt or TorchScript of "
            "PyTorch, .onnx, .keras or .h5 of Keras, a folder of an Orbax checkpoint; or the run folder of a sweep, "
            "whose networks are counted together."
        ),
    ]
    reading: ReadingOptions
    out: Path | None = None
    """Folder of the tables and figures; by default a new one, runs/svr-NAME-001 and so on."""
    overwrite: bool = False
    """Replace an earlier output of this command in --out, once the new one is whole."""
    method: Literal["svr", "cosvr"] = "svr"
    """Whether the window of a convolution belongs to the inputs of a neuron (svr) or to its outputs (cosvr)."""
    max_neurons: int | None = None
    """Number of leading neurons of each layer to keep; by default all."""
    null: Literal["beta", "chi2", "channel_haar", "rotation"] = "beta"
    """Null distribution of the edges: exact, that of the released code, for given kernels, or drawn."""
    fold: Literal["none", "gamma", "full"] = "none"
    """How a batch norm is folded into the kernel before it."""
    sigma: float = 3.0
    """Level of the test of an edge, as a one-sided normal quantile; 3 is a probability of 0.00135."""
    correction: Literal["none", "bonferroni", "bh"] = "none"
    """Correction for the number of edges tested between two layers."""
    max_edges: int = 100
    """Largest number of edges between two layers in tables and graph; the strongest are kept."""
    eps: float = 1e-5
    """Epsilon of the batch norms, for --fold full."""
    draws: int = 200
    """Number of random rotations for the drawn null distribution."""
    layers: bool = False
    """Write a table of each layer's spectrum: ranks, energies, norms, heavy-tail exponent."""

    def run(self) -> int:
        """Run the command and return its exit code."""
        from modejax.studies.svr_report import parse_groups, parse_norms, parse_streams, report_svr
        from modejax.svr.null import level_of_sigma
        from modejax.weights.kernels import parse_kinds

        options = {
            "method": self.method,
            "max_neurons": self.max_neurons,
            "null": self.null,
            "fold": self.fold,
            "layout": self.reading.layout,
            "order": self.reading.order,
            "eps": self.eps,
            "draws": self.draws,
            "groups": parse_groups(self.reading.groups),
            "norms": parse_norms(self.reading.norms),
            "flatten": self.reading.flatten,
            "streams": parse_streams(self.reading.streams),
            "kinds": parse_kinds(self.reading.kinds),
            "only": self.reading.only,
            "exclude": self.reading.exclude,
            "explain": self.reading.explain,
            "layers": self.layers,
        }
        level = level_of_sigma(self.sigma)
        lines = report_svr(
            self.source,
            self.out,
            overwrite=self.overwrite,
            level=level,
            correction=self.correction,
            max_edges=self.max_edges,
            options=options,
        )
        self.print_lines(lines)
        return 0
