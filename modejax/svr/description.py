"""The structure of a network: which layer reads the output of which, and what is between them.

A graph of spectral neurons needs more than kernels: the order of the layers, how a convolution's output is flattened
before a matrix reads it, which normalisation follows which kernel, and for residual networks who writes to a stream and
who reads from it. `describe` uses the file's graph, infers the rest from names and shapes, and takes options for what
these do not tell; `Description.lines` lists the result.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from modejax.errors import InputError, choices
from modejax.svr.chains import in_order, joined
from modejax.svr.layers import Flatten, Fold, LayerSpec, PairSpec, Stream, folded
from modejax.svr.norms import with_norms
from modejax.svr.residual import resnet_key, resnet_streams, transformer_pairs
from modejax.weights import Inventory, Norm, UserLayout, Weights, inventory, read_weights, tree_weights

__all__ = ["Description", "Fold", "LayerSpec", "PairSpec", "Stream", "describe", "load_kernel"]


class Description(NamedTuple):
    """A network as a graph of writers and readers."""

    layers: tuple[LayerSpec, ...]
    pairs: tuple[PairSpec, ...]
    weights: Weights
    notes: tuple[str, ...]
    found: Inventory | None = None  # of the file

    def lines(self) -> list[str]:
        """Return the inferred structure as a table with one line per layer, and the notes.

        Example:
            >>> print(describe({"a.weight": np.ones((4, 3)), "b.weight": np.ones((2, 4))}).lines()[1])
            0  a      matrix  3 -> 4  torch  -     -
        """
        rows = [["", "layer", "kind", "widths", "axes", "norm", "read from"]]
        for index, layer in enumerate(self.layers):
            window = "x".join(map(str, layer.kernel.shape[2:]))
            kind = f"conv {window}" if window else "matrix"
            kind = f"transposed {kind}" if layer.kernel.kind == "transposed" else kind
            kind += f" / {layer.groups} groups" if layer.groups > 1 else ""
            sources = []
            for pair in self.pairs:
                if pair.reader != index:
                    continue
                how = f" ({pair.flattened} positions, {pair.order})" if pair.flattened > 1 else ""
                how += f" (into {pair.spread} positions, {pair.order})" if pair.spread > 1 else ""
                sources.append(self.layers[pair.writer].name + how)
            norm = layer.norm.name + ("" if layer.norm_sure else " ?") if layer.norm else "-"
            widths = f"{layer.width_in} -> {layer.width_out}"
            some = ", ".join(sources[:4]) + (f" and {len(sources) - 4} more" if sources[4:] else "")
            rows.append([str(index), layer.name, kind, widths, layer.kernel.layout, norm, some or "-"])
        sizes = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        table = ["  ".join(cell.ljust(size) for cell, size in zip(row, sizes, strict=True)).rstrip() for row in rows]
        return [*table, *(f"note: {note}" for note in self.notes)]


def describe(
    network: Any,
    *,
    layout: UserLayout | None = None,
    order: Sequence[str] | None = None,
    groups: Mapping[str, int] | None = None,
    norms: Mapping[str, str] | None = None,
    flatten: Flatten | None = None,
    streams: Sequence[Stream] | None = None,
    **choice: Any,
) -> Description:
    """Infer the structure of a network from its arrays.

    Args:
        network: a path (see `weights.read_weights`); arrays by name; a list of arrays, which are kernels in their order
            (with one axis: left out); a Flax NNX module or state; Linen variables; parameters of a modejax network are
            passed as the list of its kernels.
        layout: order of axes; by default inferred from file, biases and names; `"plain"` (out, in) for a list.
        order: names of the layers to use, in the order in which the network applies them. By default that of the file's
            graph; or the order of the arrays; or, where their widths do not follow one another, the natural order of
            the names or of groups of them.
        groups: number of groups by the name of a convolution. Depthwise convolutions have as many as channels.
        norms: a mapping from the name of a layer to that of the normalisation of its output. By default taken from the
            file's graph, or found by `svr.norms`.
        flatten: how a convolution's output becomes units: `"channel_first"` (PyTorch's) or `"channel_last"` (Flax,
            Keras). By default by the layout.
        streams: residual streams; without them the layers are a chain. Graphs of ONNX files, transformers, and names
            like those of torchvision's ResNets are understood without them.
        **choice: `kinds`, `only` and `exclude` of `weights.inventory`.

    Returns:
        The description.

    Raises:
        InputError: widths do not follow one another; a name is unknown; an order, a group or a stream does not fit.

    Example:
        >>> found = describe([np.ones((16, 3, 3, 3)), np.ones((10, 16 * 49))], layout="torch")
        >>> found.pairs
        (PairSpec(writer=0, reader=1, flattened=49, spread=1, order='channel_first'),)
    """
    if isinstance(network, Description):
        return network
    weights = _weights(network)
    if layout is None and isinstance(network, list | tuple):
        layout = "plain"
        if any(len(shape) > 2 for shape in weights.shapes.values()):
            raise InputError(
                "a list with convolutions needs a layout: torch (out, in, *window) or flax (*window, in, out)"
            )
    if order is not None and len(set(order)) != len(order):
        raise InputError(f"order {list(order)} names a layer twice; allowed: each once")
    found = inventory(weights, layout, **choice)
    notes: list[str] = list(found.notes)
    if found.left:
        names = list(found.left)
        more = f" and {len(names) - 6} more" if len(names) > 6 else ""
        notes.append(f"left out: {', '.join(names[:6])}{more} (why: --explain)")
    kernels = list(found.kernels)
    if len({kernel.name for kernel in kernels}) != len(kernels):
        raise InputError("two layers have the same name; give arrays different names")
    named = {kernel.name: kernel for kernel in kernels}
    groups = dict(groups or {})
    for what, names in (("order", order or ()), ("groups", groups), ("norms", norms or {})):
        _check_names(what, names, named, found.left)
    bad = {name: n for name, n in groups.items() if type(n) is not int or n < 1 or named[name].shape[0] % n}
    if bad:
        raise InputError(f"groups {bad} do not divide the output channels; allowed: integers that divide them")
    specs = [LayerSpec(kernel, None, groups.get(kernel.name, kernel.groups)) for kernel in kernels]
    if order is None and streams is None:
        gates = [spec.name for spec in specs if spec.kernel.kind == "gates"]
        if gates:
            notes.append(f"gates of recurrent layers, left out: {', '.join(gates[:4])}{' ...' if gates[4:] else ''}")
            specs = [spec for spec in specs if spec.name not in gates]
            if not specs:
                raise InputError(f"{weights.source} has gates of recurrent layers alone; give order=[...] to take them")
    chosen, pairs = _graph(specs, weights, order, streams, flatten, notes)
    after = _with_norms(tuple(chosen), found, weights, norms or {}, notes)
    return Description(after, tuple(pairs), weights, tuple(dict.fromkeys(notes)), found)


def _graph(
    specs: list[LayerSpec],
    weights: Weights,
    order: Sequence[str] | None,
    streams: Sequence[Stream] | None,
    flatten: Flatten | None,
    notes: list[str],
) -> tuple[list[LayerSpec], list[PairSpec]]:
    """Return the layers in their order and who reads from whom, by what is told best."""
    named = {spec.name: spec for spec in specs}
    if order is not None:
        specs = [named[name] for name in order]
    elif streams is None and weights.topology is not None:
        return _by_topology(specs, weights, flatten, notes)
    elif streams is None and (found := transformer_pairs(specs, notes)) is not None:
        chosen, links = found
        return chosen, [joined(chosen, i, j, flatten) for i, j in links]
    elif streams is None and (named_streams := resnet_streams(list(named))) is not None:
        streams = named_streams
        specs = sorted(specs, key=lambda spec: resnet_key(spec.name))
    elif streams is None:
        specs, links = in_order(specs, notes)
        return specs, [joined(specs, i, j, flatten) for i, j in links]
    if not streams:
        return specs, [joined(specs, i, i + 1, flatten) for i in range(len(specs) - 1)]
    index = {spec.name: i for i, spec in enumerate(specs)}
    for stream in streams:
        _check_names("streams", (*stream.writers, *stream.readers), index, {})
    links = _stream_pairs(streams, index)
    joining = {*(i for i, _ in links), *(j for _, j in links)}
    for stream in streams:
        alone = [name for name in (*stream.writers, *stream.readers) if index[name] not in joining]
        late = [name for name in stream.readers if all(index[name] < index[each] for each in stream.writers)]
        if alone or late:
            raise InputError(
                f"in the stream {stream} no writer comes before {choices(late or alone)}; the layers are taken in "
                f"the order {', '.join(index)}. Give order=[...]"
            )
    notes.append(f"residual: {len(streams)} streams, {len(links)} pairs of a writer and a reader")
    return specs, [joined(specs, i, j, flatten) for i, j in links]


def _by_topology(
    specs: list[LayerSpec], weights: Weights, flatten: Flatten | None, notes: list[str]
) -> tuple[list[LayerSpec], list[PairSpec]]:
    """Return what the file's graph says; layers that are joined to no other are left out."""
    topology = weights.topology
    assert topology is not None
    by_key = {spec.kernel.key: spec for spec in specs}
    links = [(a, b, places) for a, b, places in topology.pairs if a in by_key and b in by_key]
    touched = {key for a, b, _ in links for key in (a, b)}
    lost = [spec.name for spec in specs if spec.kernel.key not in touched]
    if lost:
        notes.append(f"joined to no other layer, left out: {', '.join(lost[:4])}{' ...' if lost[4:] else ''}")
    chosen = [by_key[key] for key in topology.order if key in touched]
    if not chosen:
        raise InputError(
            f"in the graph of {weights.source} no layer reads what another writes, as far as channels can be followed; "
            "give order=[...] or streams=[...]"
        )
    index = {spec.kernel.key: i for i, spec in enumerate(chosen)}
    pairs = []
    for a, b, places in links:
        one, two = chosen[index[a]], chosen[index[b]]
        if one.width_out * places != two.width_in:
            continue
        # Axes of matrices do not tell how ONNX flattens: its tensors have the channels first.
        pairs.append(PairSpec(index[a], index[b], places, 1, flatten or "channel_first"))
    notes += topology.notes[:3]
    notes.append("who reads from whom is read from the file's graph")
    return chosen, pairs


def _with_norms(
    specs: tuple[LayerSpec, ...],
    found: Inventory,
    weights: Weights,
    told: Mapping[str, str],
    notes: list[str],
) -> tuple[LayerSpec, ...]:
    if weights.topology is None or told:
        return with_norms(specs, found.norms, weights, told, notes)
    out = []
    for spec in specs:
        norm = weights.topology.norms.get(spec.kernel.key)
        if norm is not None:
            made = Norm(f"norm of {spec.name}", norm["scale"], norm["bias"], norm["mean"], norm["var"], eps=norm["eps"])
            spec = spec._replace(norm=made)
        out.append(spec)
    if not any(spec.norm for spec in out):
        notes.append("the graph applies no batch norm after a kernel: it has none, or it is folded into the kernels")
    return tuple(out)


def _weights(network: Any) -> Weights:
    if isinstance(network, Weights):
        return network
    if isinstance(network, str | os.PathLike):
        return read_weights(network)
    if isinstance(network, list | tuple) and not hasattr(network, "_asdict"):
        shapes = [np.shape(each) for each in network]
        several = {str(i): each for i, (each, s) in enumerate(zip(network, shapes, strict=True)) if len(s) > 1}
        for name, each in several.items():
            if np.asarray(each).dtype.kind == "c":
                raise InputError(f"{name} holds {np.asarray(each).dtype}; allowed: real numbers")
        return Weights.of(several, "the list")
    return tree_weights(network)


def _check_names(what: str, names: Any, known: Mapping[str, Any], left: Mapping[str, str]) -> None:
    unknown = [name for name in names if name not in known]
    if unknown:
        why = [f"{key}: {left[key]}" for name in unknown for key in left if key.startswith(name)][:3]
        reason = f" (left out: {'; '.join(why)})" if why else ""
        raise InputError(
            f"{what} names {choices(unknown)}, which is no layer{reason}; the layers are {choices(list(known)[:40])}"
        )


def _stream_pairs(streams: Sequence[Stream], index: Mapping[str, int]) -> list[tuple[int, int]]:
    pairs = {
        (index[writer], index[reader])
        for stream in streams
        for writer in stream.writers
        for reader in stream.readers
        if index[writer] < index[reader]
    }
    return sorted(pairs, key=lambda pair: (pair[1], pair[0]))


def load_kernel(description: Description, index: int, fold: Fold = "none", eps: float = 1e-5) -> np.ndarray:
    """Return the kernel of a layer with the axes (out, in, *window), groups written out and its norm folded in.

    Args:
        description: the description of the network.
        index: the index of the layer.
        fold: `"none"` (the paper): unchanged; `"gamma"`: channels times the scale of the norm; `"full"`: times scale /
            sqrt(variance + eps), the map that the network applies. Layers without a norm stay as they are.
        eps: the norm's epsilon where the file does not give it.

    Returns:
        The kernel. A grouped convolution has zeros between its groups.

    Raises:
        InputError: unknown fold, `full` for a norm without running statistics, or a norm of which the file does not
            tell whether it acts before or after its layer.

    Example:
        >>> weights = {"c.weight": np.ones((2, 3)), "bn.weight": np.array([1.0, 2.0]), "bn.bias": np.ones(2)}
        >>> load_kernel(describe(weights), 0, "gamma").tolist()
        [[1.0, 1.0, 1.0], [2.0, 2.0, 2.0]]
    """
    return folded(description.layers[index], description.weights, fold, eps)
