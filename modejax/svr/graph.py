"""The singular value representation of a network: neurons, edges with p-values, tables and graphs."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from jaxtyping import Float

from modejax._files import replaced
from modejax.errors import InputError
from modejax.svr import derived
from modejax.svr.description import Description, Fold, PairSpec, describe, load_kernel
from modejax.svr.edges import as_positions, edges
from modejax.svr.neurons import Method, SpectralLayer, check_memory, spectral_layer
from modejax.svr.null import (
    NULLS,
    Null,
    level_of_sigma,
)
from modejax.svr.pair import Correction, Pair, adjusted, check_level

if TYPE_CHECKING:
    import networkx as nx
    import pandas as pd

__all__ = ["SVR", "svr"]

Scope = Literal["pair", "network"]


@dataclasses.dataclass(frozen=True, eq=False)
class SVR:
    """The graph of a network's spectral neurons.

    Attributes:
        layers: neurons of each layer.
        pairs: edges of each pair of a writer and a reader.
        description: what was understood of the network.
        method: svr or cosvr.
        null: the law of the p-values.
        fold: how norms were folded into kernels.
        notes: what a reader of the graph should know.
    """

    layers: tuple[SpectralLayer, ...]
    pairs: tuple[Pair, ...]
    description: Description = dataclasses.field(repr=False)
    method: Method
    null: Null
    fold: Fold
    notes: tuple[str, ...]

    def table(
        self,
        level: float | None = None,
        *,
        correction: Correction = "none",
        scope: Scope = "pair",
        max_edges: int | None = None,
    ) -> pd.DataFrame:
        """Return the significant edges, strongest evidence first within each pair.

        Args:
            level: probability that an edge passes by chance; by default that of 3 sigma, 0.00135. 1 for all edges.
            correction: `"none"`; `"bonferroni"`: the level is that of one false edge; `"bh"`: of the share of false
                ones.
            scope: over the edges of each pair, or of the whole network.
            max_edges: at most this many a pair, those with the largest E.

        Returns:
            One row an edge: layers and neurons of writer and reader, their singular values, sizes of their clusters of
            equal singular values (above 1: only sums over the cluster mean something), E, log10 of p and of the
            corrected p.

        Raises:
            InputError: if a value is not allowed.
        """
        import pandas as pd

        if max_edges is not None and (type(max_edges) is not int or max_edges < 1):
            raise InputError(f"max_edges={max_edges!r}; allowed: an integer of at least 1, or None for all")
        limit = math.log(check_level(level_of_sigma(3.0) if level is None else level))
        corrected = self._corrected(correction, scope)
        frames = []
        for pair, log_q in zip(self.pairs, corrected, strict=True):
            n, m = np.nonzero(log_q <= limit)
            order = np.lexsort((-pair.E[n, m], pair.log_p[n, m]))
            if max_edges is not None:
                order = order[np.argsort(-pair.E[n, m][order], kind="stable")[:max_edges]]
                order = order[np.lexsort((-pair.E[n, m][order], pair.log_p[n, m][order]))]
            n, m = n[order], m[order]
            writer, reader = self.layers[pair.writer], self.layers[pair.reader]
            frames.append(
                pd.DataFrame(
                    {
                        "writer": writer.name,
                        "reader": reader.name,
                        "writer_layer": pair.writer,
                        "reader_layer": pair.reader,
                        "writer_neuron": m,
                        "reader_neuron": n,
                        "writer_S": writer.S[m],
                        "reader_S": reader.S[n],
                        "writer_cluster": np.bincount(writer.cluster)[writer.cluster[m]],
                        "reader_cluster": np.bincount(reader.cluster)[reader.cluster[n]],
                        "E": pair.E[n, m],
                        "log10_p": pair.log_p[n, m] / math.log(10),
                        "log10_p_corrected": log_q[n, m] / math.log(10),
                    }
                )
            )
        return pd.concat(frames, ignore_index=True)

    def _corrected(self, correction: Correction, scope: Scope) -> list[np.ndarray]:
        if scope not in ("pair", "network"):
            raise InputError(f"unknown scope {scope!r}; allowed: pair, network")
        if scope == "pair":
            return [adjusted(pair.log_p, correction) for pair in self.pairs]
        flat = adjusted(np.concatenate([pair.log_p.ravel() for pair in self.pairs]), correction)
        ends = np.cumsum([pair.E.size for pair in self.pairs])[:-1]
        return [part.reshape(pair.E.shape) for part, pair in zip(np.split(flat, ends), self.pairs, strict=True)]

    def summary(self, sigma: float = 3.0) -> pd.DataFrame:
        """Return one row a pair: edges beyond sigma and expected, corrected ones, dimension, entropy, leading edge.

        Args:
            sigma: label of the level of single edges.

        Raises:
            InputError: if sigma is not a number.
        """
        import pandas as pd

        level = level_of_sigma(sigma)
        rows = []
        for pair in self.pairs:
            found = derived.internal_dimension(pair.E, pair.c, pair.effective_positions)
            rows.append(
                {
                    "writer": self.layers[pair.writer].name,
                    "reader": self.layers[pair.reader].name,
                    "channels": pair.c,
                    "positions": pair.z,
                    "edges": pair.E.size,
                    "null": pair.null,
                    "significant": int(pair.significant(level).sum()),
                    "by_chance": level * pair.E.size,
                    "share": float(pair.significant(level).mean()),
                    "bonferroni": int(pair.significant(0.05, "bonferroni").sum()),
                    "bh": int(pair.significant(0.05, "bh").sum()),
                    "mean_cE": float(pair.c * pair.E.mean()),
                    "leading_E": float(pair.E[0, 0]),
                    "leading_log10_p": float(pair.log_p[0, 0] / math.log(10)),
                    "dimension_reader": found.reader,
                    "dimension_writer": found.writer,
                    "dimension_significant": found.significant,
                    "entropy": derived.entropy(pair.E, normalised=True),
                }
            )
        return pd.DataFrame(rows)

    def layer_table(self) -> pd.DataFrame:
        """Return one row a layer: neurons kept and hidden, the way they were found, singular values, clusters."""
        import pandas as pd

        return pd.DataFrame(
            [
                {
                    "layer": layer.name,
                    "neurons": len(layer.S),
                    "hidden": layer.hidden,
                    "route": layer.route,
                    "residual": layer.residual,
                    "largest_S": float(layer.S[0]),
                    "median_S": float(np.median(layer.S)),
                    "smallest_S": float(layer.S[-1]),
                    "clusters": int((np.bincount(layer.cluster) > 1).sum()),
                }
                for layer in self.layers
            ]
        )

    def aggregated(self, index: int) -> Float[np.ndarray, "a b"]:
        """Return the edges of a pair summed over clusters of equal singular values, which no choice of basis changes.

        Args:
            index: of the pair.
        """
        pair = self.pairs[index]
        return derived.aggregate(pair.E, self.layers[pair.reader].cluster, self.layers[pair.writer].cluster)

    def path(self) -> list[Pair]:
        """Return the pairs of a chain of layers in their order.

        Raises:
            InputError: if the network is not a chain.
        """
        if [(pair.writer, pair.reader) for pair in self.pairs] != [(i, i + 1) for i in range(len(self.layers) - 1)]:
            raise InputError("the network is not a chain of layers, so that it has no single path through all of them")
        return list(self.pairs)

    def dominant_chain(self) -> derived.Chain:
        """Return the chain of neurons through all layers that is least likely by chance.

        Raises:
            InputError: if the network is not a chain.
        """
        chain = self.path()
        return derived.dominant_chain([pair.E for pair in chain], [pair.log_p for pair in chain])

    def leading_chain(self) -> derived.Chain:
        """Return the chain of the first neuron of each layer.

        Its p-value is not corrected, since the chain is chosen beforehand.

        Raises:
            InputError: if the network is not a chain.
        """
        chain = self.path()
        found = tuple(float(pair.E[0, 0]) for pair in chain)
        p = derived.chain_log_p([float(pair.log_p[0, 0]) for pair in chain])
        return derived.Chain((0,) * len(self.layers), found, math.prod(found), min(found), p)

    def path_metric(self, *, weighted: bool = True, least: float = 0.0) -> float:
        """Return the sum over all paths of the product of edges and singular values (`derived.path_metric`).

        Raises:
            InputError: if the network is not a chain.
        """
        edges_ = [pair.E for pair in self.path()]
        return derived.path_metric([layer.S for layer in self.layers], edges_, weighted=weighted, least=least)

    def intensities(self) -> list[Float[np.ndarray, " r"]]:
        """Return the intensity of each neuron of each layer: the largest over its readers, ones without any."""
        found: list[np.ndarray | None] = [None] * len(self.layers)
        for pair in self.pairs:
            new = derived.node_intensity(pair.E, pair.c)
            old = found[pair.writer]
            found[pair.writer] = new if old is None else np.maximum(old, new)
        return [np.ones(len(layer.S)) if each is None else each for layer, each in zip(self.layers, found, strict=True)]

    def graph(self, level: float | None = None, **options: Any) -> nx.DiGraph:
        """Return the graph of the significant edges.

        Args:
            level: see `table`.
            **options: see `table`.

        Returns:
            Nodes `"LAYER:NEURON"` with layer, neuron, S and intensity; edges from writer to reader with E and log10_p.
        """
        import networkx as nx

        graph = nx.DiGraph(method=self.method, null=self.null, fold=self.fold)
        for index, (layer, shades) in enumerate(zip(self.layers, self.intensities(), strict=True)):
            for neuron, (gain, shade) in enumerate(zip(layer.S, shades, strict=True)):
                graph.add_node(
                    f"{layer.name}:{neuron}",
                    name=layer.name,
                    layer=index,
                    neuron=neuron,
                    S=float(gain),
                    intensity=float(shade),
                )
        for row in self.table(level, **options).to_dict("records"):
            graph.add_edge(
                f"{row['writer']}:{row['writer_neuron']}",
                f"{row['reader']}:{row['reader_neuron']}",
                E=row["E"],
                log10_p=row["log10_p"],
            )
        return graph

    def save(self, folder: Path, level: float | None = None, **options: Any) -> list[Path]:
        """Write `edges.parquet`, `edges.csv`, `pairs.csv`, `layers.csv` and `graph.graphml`, each whole or not at all.

        Args:
            folder: where; made when it is missing.
            level: see `table`.
            **options: see `table`.

        Returns:
            The files.
        """
        import networkx as nx

        table = self.table(level, **options)
        graph = self.graph(level, **options)
        written = {
            "edges.parquet": lambda path: table.to_parquet(path, index=False),
            "edges.csv": lambda path: table.to_csv(path, index=False),
            "pairs.csv": lambda path: self.summary().to_csv(path, index=False),
            "layers.csv": lambda path: self.layer_table().to_csv(path, index=False),
            "graph.graphml": lambda path: nx.write_graphml(graph, path),
        }
        for name, write in written.items():
            with replaced(folder / name) as part:
                write(part)
        return [folder / name for name in written]


def svr(
    network: Any,
    *,
    method: Method = "svr",
    max_neurons: int | None = None,
    null: Null = "beta",
    fold: Fold = "none",
    eps: float = 1e-5,
    draws: int = 200,
    seed: int = 0,
    **description: Any,
) -> SVR:
    """Return the singular value representation of a network.

    Args:
        network: a weight file, arrays, a Flax module or a `Description`; see `describe`.
        method: `"svr"`: a neuron reads a bank of spatial filters and writes a channel pattern; `"cosvr"`: the other
            way.
        max_neurons: keep the leading neurons of each layer. It hides what layers hardly write (near-kernels), which is
            noted.
        null: law of the p-values: `"beta"` (exact), `"chi2"` (the released code's), `"channel_haar"` (smooth kernels
            are no evidence), `"rotation"` (drawn; the least p is 1 / (1 + draws x writer's neurons)).
        fold: how a norm enters its layer's kernel: `"none"`, `"gamma"`, `"full"`; see `load_kernel`.
        eps: the norm's epsilon.
        draws: rotations of the empirical null.
        seed: of rotations and of random vectors.
        **description: options of `describe`: layout, order, groups, norms, flatten, streams.

    Returns:
        The representation. p-values are computed when they are asked for.

    Raises:
        InputError: an option or the network is not allowed; see `describe` and `spectral_layer`.

    References:
        Meller and Berkouk, Singular Value Representation, AISTATS 2023, arXiv 2302.08183.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> found = svr([rng.standard_normal((16, 8)), rng.standard_normal((10, 16))])
        >>> found.pairs[0].E.shape, len(found.table(level=1.0))
        ((10, 8), 80)
    """
    if null not in NULLS:
        raise InputError(f"unknown null {null!r}; allowed: {', '.join(NULLS)}")
    if type(draws) is not int or draws < 1:
        raise InputError(f"draws={draws!r}; allowed: an integer of at least 1")
    understood = describe(network, **description)
    if len(understood.layers) < 2:
        raise InputError(f"{understood.weights.source} has one layer, so no edges; allowed: two or more")
    sparse = [layer.name for layer in understood.layers if layer.groups > 1]
    if sparse and (method == "cosvr" or null == "rotation"):
        raise InputError(
            f"{', '.join(sparse)} have groups; allowed with them: the method svr, and the nulls beta, chi2 and "
            "channel_haar"
        )
    for spec in understood.layers:
        check_memory(spec.name, (spec.width_out, spec.width_in, *spec.kernel.shape[2:]), max_neurons)
    layers = tuple(
        spectral_layer(
            load_kernel(understood, i, fold, eps),
            name=understood.layers[i].name,
            method=method,
            max_neurons=max_neurons,
            seed=seed + i,
        )
        for i in range(len(understood.layers))
    )
    pairs, grouped = [], []
    for spec in understood.pairs:
        U, V = _joined(layers, spec)
        law = null
        if understood.layers[spec.reader].groups > 1 and null in ("beta", "chi2"):
            law = "channel_haar"
            grouped.append(layers[spec.reader].name)
        places = U.shape[1] * V.shape[1]
        groups = understood.layers[spec.writer].groups
        E = edges(U, V)
        pairs.append(Pair(spec.writer, spec.reader, E, U.shape[0], places, law, U, V, groups, draws, seed))
    notes = list(understood.notes)
    if grouped:
        notes.append(f"patterns of {', '.join(grouped)} lie in one group each: their edges are tested by channel_haar")
    hidden = [f"{layer.name} ({layer.hidden})" for layer in layers if layer.hidden]
    if hidden:
        notes.append(f"neurons left out, and near-kernels with them: {', '.join(hidden)}")
    poor = [f"{layer.name} ({layer.residual:.1e})" for layer in layers if layer.residual > 1e-3]
    if poor:
        notes.append(f"leading neurons found to a residual of S_0 times: {', '.join(poor)}")
    needed = max((20 * pair.E.shape[0] for pair in pairs), default=0)
    if null == "rotation" and draws < needed:
        notes.append(f"{draws} rotations find no edge that passes a correction for all; {needed} draws could")
    if fold != "none" and not any(layer.norm for layer in understood.layers):
        notes.append(f"fold={fold}, but no norm was found")
    return SVR(layers, tuple(pairs), understood, method, null, fold, tuple(notes))


def _joined(layers: tuple[SpectralLayer, ...], spec: PairSpec) -> tuple[np.ndarray, np.ndarray]:
    """Return the patterns of writer and reader over the channels between them; what is flattened becomes positions."""
    U, V = layers[spec.writer].U, layers[spec.reader].V
    return as_positions(U, spec.spread, spec.order), as_positions(V, spec.flattened, spec.order)
