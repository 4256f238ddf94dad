"""The singular value representation of a network: neurons, edges with p-values, tables and graphs."""

from __future__ import annotations

import dataclasses
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from jaxtyping import Float

from modejax._files import replaced
from modejax.errors import InputError, NeedsExtra
from modejax.svr import derived
from modejax.svr.description import Description, Fold
from modejax.svr.neurons import Method, SpectralLayer
from modejax.svr.null import Null, level_of_sigma
from modejax.svr.pair import Correction, Pair, adjusted, check_level

if TYPE_CHECKING:
    import networkx as nx
    import pandas as pd

__all__ = ["SVR"]

Scope = Literal["pair", "network"]


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class SVR:
    """The graph of a network's spectral neurons.

    Attributes:
        layers: neurons of each layer.
        pairs: edges of each pair of a writer and a reader.
        description: the structure of the network.
        method: svr or cosvr.
        null: the null distribution for the p-values.
        fold: how norms were folded into kernels.
        notes: remarks for readers of the graph.
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
            max_edges: largest number of edges per pair; those with the largest E are kept.

        Returns:
            One row per edge: layers and neurons of writer and reader, their singular values, sizes of their clusters of
            equal singular values (above 1: only sums over the cluster are meaningful), E, log10 of p and of the
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
        """Return one row per pair: edges beyond sigma and expected, corrected ones, dimension, entropy, leading edge.

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
        """Return one row per layer: neurons kept and hidden, the way they were found, singular values, clusters."""
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

    def __repr__(self) -> str:
        neurons, edges_ = sum(len(layer.S) for layer in self.layers), sum(pair.E.size for pair in self.pairs)
        names = [layer.name for layer in self.layers]
        return (
            f"SVR of {self.description.weights.source}: {len(names)} layers, {neurons} neurons, {len(self.pairs)} "
            f"pairs, {edges_} edges\n  layers: {', '.join(names[:4])}{f' ... {names[-1]}' if names[4:] else ''}\n"
            f"  method {self.method}, null {self.null}, fold {self.fold}; {len(self.notes)} notes"
        )

    def path(self) -> list[Pair]:
        """Return the pairs of a chain of layers in their order.

        Raises:
            InputError: if the network is not a chain.
        """
        if [(pair.writer, pair.reader) for pair in self.pairs] != [(i, i + 1) for i in range(len(self.layers) - 1)]:
            raise InputError("the network is not a chain of layers, so that it has no single path through all of them")
        return list(self.pairs)

    def _chain(self) -> list[Pair]:
        """Return the pairs of a chain whose neurons are defined."""
        empty = [layer.name for layer in self.layers if not layer.S[0] > 0]
        if empty:
            raise InputError(
                f"the kernel of {', '.join(empty)} is 0: no neuron leads it, so there is no dominant chain"
            )
        return self.path()

    def dominant_chain(self) -> derived.Chain:
        """Return the chain of neurons through all layers that is least likely by chance.

        Raises:
            InputError: if the network is not a chain, or a kernel is 0.
        """
        chain = self._chain()
        return derived.dominant_chain([pair.E for pair in chain], [pair.log_p for pair in chain])

    def leading_chain(self) -> derived.Chain:
        """Return the chain of the first neuron of each layer.

        Its p-value is not corrected, since the chain is chosen beforehand.

        Raises:
            InputError: if the network is not a chain, or a kernel is 0.
        """
        chain = self._chain()
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
        with NeedsExtra("svr"):
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

    def save(self, folder: str | os.PathLike[str], level: float | None = None, **options: Any) -> list[Path]:
        """Write `edges.parquet`, `edges.csv`, `pairs.csv`, `layers.csv` and `graph.graphml`, each whole or not at all.

        Args:
            folder: where; made when it is missing.
            level: see `table`.
            **options: see `table`.

        Returns:
            The files.
        """
        with NeedsExtra("svr"):
            import networkx as nx

        folder = Path(folder)
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
