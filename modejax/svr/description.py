"""What is known of a network's order: which layer writes for which reader, and what lies between them.

A graph of spectral neurons needs more than kernels: the order of the layers, how a convolution's output is flattened
before a matrix reads it, which normalisation follows which kernel, and for residual networks who writes to a stream and
who reads from it. `describe` infers what names and shapes tell, takes the rest as options, and `Description.lines` says
what it understood.
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from modejax.errors import InputError, choices
from modejax.svr.neurons import as_real
from modejax.weights import (
    Kernel,
    Layout,
    Norm,
    Weights,
    canonical,
    find_kernels,
    find_norms,
    named_arrays,
    read_weights,
)
from modejax.weights.kernels import natural

__all__ = ["Description", "LayerSpec", "PairSpec", "Stream", "describe", "load_kernel"]

Flatten = Literal["channel_first", "channel_last"]
Fold = Literal["none", "gamma", "full"]


class LayerSpec(NamedTuple):
    """One layer as understood."""

    kernel: Kernel
    norm: Norm | None  # the normalisation of its output
    groups: int  # 1 but for grouped convolutions

    @property
    def name(self) -> str:
        """The module's name."""
        return self.kernel.name

    @property
    def width_in(self) -> int:
        """Channels or units that it reads, those of all groups."""
        return self.kernel.shape[1] * self.groups

    @property
    def width_out(self) -> int:
        """Channels or units that it writes."""
        return self.kernel.shape[0]


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


class Description(NamedTuple):
    """A network as a graph of writers and readers."""

    layers: tuple[LayerSpec, ...]
    pairs: tuple[PairSpec, ...]
    weights: Weights
    notes: tuple[str, ...]

    def lines(self) -> list[str]:
        """Return a table of what was understood, one line a layer, and the notes.

        Example:
            >>> print(describe({"a.weight": np.ones((4, 3)), "b.weight": np.ones((2, 4))}).lines()[1])
            0  a      matrix  3 -> 4  torch  -     -
        """
        rows = [["", "layer", "kind", "widths", "axes", "norm", "read from"]]
        for index, layer in enumerate(self.layers):
            window = "x".join(map(str, layer.kernel.shape[2:]))
            kind = f"conv {window}" if window else "matrix"
            kind += f" / {layer.groups} groups" if layer.groups > 1 else ""
            sources = []
            for pair in self.pairs:
                if pair.reader != index:
                    continue
                how = f" ({pair.flattened} positions, {pair.order})" if pair.flattened > 1 else ""
                how += f" (into {pair.spread} positions, {pair.order})" if pair.spread > 1 else ""
                sources.append(self.layers[pair.writer].name + how)
            norm = layer.norm.name if layer.norm else "-"
            widths = f"{layer.width_in} -> {layer.width_out}"
            rows.append([str(index), layer.name, kind, widths, layer.kernel.layout, norm, ", ".join(sources) or "-"])
        sizes = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        table = ["  ".join(cell.ljust(size) for cell, size in zip(row, sizes, strict=True)).rstrip() for row in rows]
        return [*table, *(f"note: {note}" for note in self.notes)]


def describe(
    network: Any,
    *,
    layout: Layout | None = None,
    order: Sequence[str] | None = None,
    groups: Mapping[str, int] | None = None,
    norms: Mapping[str, str] | None = None,
    flatten: Flatten | None = None,
    streams: Sequence[Stream] | None = None,
) -> Description:
    """Understand a network from its arrays.

    Args:
        network: a path (see `weights.read_weights`); arrays by name; a list of arrays, which are kernels in their order
            (with one axis: left out); a Flax NNX module or state; Linen variables; parameters of a modejax network are
            passed as the list of its kernels.
        layout: order of axes; by default what the names say; `"plain"` (out, in) for a list.
        order: names of the layers to use, in the order in which the network applies them. By default the order of the
            arrays, or, where their widths do not follow one another, the natural order of the names or of groups of
            them.
        groups: number of groups by the name of a convolution. Depthwise convolutions have as many as channels.
        norms: for the name of a layer that of the normalisation of its output. By default the norm that follows it in
            the arrays and has its width, or the one with the same numbers in its name.
        flatten: how a convolution's output becomes units: `"channel_first"` (PyTorch's) or `"channel_last"` (Flax,
            Keras). By default by the layout.
        streams: residual streams; without them the layers are a chain. Names like those of torchvision's ResNets are
            understood without them.

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
    if order is not None:
        if len(set(order)) != len(order):
            raise InputError(f"order {list(order)} names a layer twice; allowed: each once")
        kept = {key: shape for key, shape in weights.shapes.items() if len(shape) < 2 or _module(key) in order}
        kernels = find_kernels(Weights(kept, weights.__getitem__, weights.source), layout)
    else:
        kernels = find_kernels(weights, layout)
    notes: list[str] = []
    used = {kernel.key for kernel in kernels}
    left = [key for key, shape in weights.shapes.items() if len(shape) > 1 and key not in used]
    if left:
        notes.append(f"left out: {', '.join(left[:6])}{' ...' if len(left) > 6 else ''}")
    groups = dict(groups or {})
    named = {kernel.name: kernel for kernel in kernels}
    if len(named) != len(kernels):
        raise InputError("two layers have the same name; give arrays different names")
    for what, names in (("order", order or ()), ("groups", groups), ("norms", norms or {})):
        _check_names(what, names, named)
    bad = {name: n for name, n in groups.items() if type(n) is not int or n < 1 or named[name].shape[0] % n}
    if bad:
        raise InputError(f"groups {bad} do not divide the output channels; allowed: integers that divide them")
    own = streams is not None
    streams = tuple(streams) if streams is not None else _resnet(list(named))
    if order is not None:
        chosen = [named[name] for name in order]
    elif own:
        chosen = kernels
    elif streams:
        chosen = sorted(kernels, key=lambda kernel: _resnet_key(kernel.name))
    else:
        chosen = _in_order(kernels, groups, notes)
    found = find_norms(weights)
    specs = tuple(LayerSpec(kernel, None, groups.get(kernel.name, 1)) for kernel in chosen)
    specs = _with_norms(specs, found, weights, norms or {}, notes)
    index = {spec.name: i for i, spec in enumerate(specs)}
    if streams:
        for stream in streams:
            _check_names("streams", (*stream.writers, *stream.readers), index)
        joined = _stream_pairs(streams, index)
        joining = {*(i for i, _ in joined), *(j for _, j in joined)}
        for stream in streams:
            alone = [name for name in (*stream.writers, *stream.readers) if index[name] not in joining]
            late = [name for name in stream.readers if all(index[name] < index[each] for each in stream.writers)]
            if alone or late:
                raise InputError(
                    f"in the stream {stream} no writer comes before {choices(late or alone)}; the layers are taken in "
                    f"the order {', '.join(index)}. Give order=[...]"
                )
        notes.append(f"residual: {len(streams)} streams, {len(joined)} pairs of a writer and a reader")
    else:
        joined = [(i, i + 1) for i in range(len(specs) - 1)]
    return Description(specs, tuple(_pair(specs, i, j, flatten) for i, j in joined), weights, tuple(notes))


def _weights(network: Any) -> Weights:
    if isinstance(network, Weights):
        return network
    if isinstance(network, str | os.PathLike):
        return read_weights(network)
    if isinstance(network, list | tuple) and not hasattr(network, "_asdict"):
        shapes = [np.shape(each) for each in network]
        return Weights.of({str(i): each for i, (each, s) in enumerate(zip(network, shapes, strict=True)) if len(s) > 1}, "the list")  # fmt: skip  # noqa: E501
    return Weights.of(named_arrays(network), "the network")


def _module(key: str) -> str:
    name, _, last = key.rpartition(".")
    return name if name and last in ("weight", "kernel") else key


def _check_names(what: str, names: Any, known: Mapping[str, Any]) -> None:
    unknown = [name for name in names if name not in known]
    if unknown:
        raise InputError(f"{what} names {choices(unknown)}, which is no layer; the layers are {choices(known)}")


def _ratio(writer: tuple[int, int], reader: tuple[int, int], convs: tuple[bool, bool]) -> tuple[int, int] | None:
    """Return (flattened, spread) positions for widths that follow one another, or None."""
    (_, out), (into, _) = writer, reader
    if into == out:
        return 1, 1
    if convs[0] and not convs[1] and into % out == 0:
        return into // out, 1
    if convs[1] and not convs[0] and into > 1 and out % into == 0:
        return 1, out // into
    return None


def _follows(one: Kernel, two: Kernel, groups: Mapping[str, int]) -> tuple[int, int] | None:
    def widths(kernel: Kernel) -> tuple[int, int]:
        return kernel.shape[1] * groups.get(kernel.name, 1), kernel.shape[0]

    return _ratio(widths(one), widths(two), (len(one.shape) > 2, len(two.shape) > 2))


def _in_order(kernels: list[Kernel], groups: Mapping[str, int], notes: list[str]) -> list[Kernel]:
    def fits(some: Sequence[Kernel], spread: bool) -> bool:
        ratios = [_follows(a, b, groups) for a, b in itertools.pairwise(some)]
        return all(each is not None and (spread or each[1] == 1) for each in ratios)

    by_name = sorted(kernels, key=lambda kernel: natural(kernel.name))
    families: dict[str, list[Kernel]] = {}
    for kernel in by_name:
        families.setdefault(re.sub(r"[\d_.]+.*", "", kernel.name), []).append(kernel)
    names = [kernel.name for kernel in kernels]
    sorted_file = len(names) > 1 and names == sorted(names)  # its order says nothing of the network's
    orders = [by_name, kernels] if sorted_file else [kernels, by_name]
    if len(families) <= 6:
        orders += [list(itertools.chain(*some)) for some in itertools.permutations(families.values())]
    fitting = [some for some in orders if fits(some, spread=False)]
    if fitting:
        chosen = fitting[0]
        if chosen != kernels or (sorted_file and any(some not in (kernels, by_name) for some in fitting)):
            notes.append("the order of the layers was found from their names and widths: check it, or give order=")
            if len(chosen[0].shape) > 2 and chosen[0].shape[1] == 1 and chosen[0] != kernels[0]:
                notes.append(f"{chosen[0].name} reads one channel; if it is a depthwise convolution, give groups=")
        return chosen
    if fits(kernels, spread=True):  # a decoder: a matrix before a convolution
        return kernels
    for one, two in itertools.pairwise(kernels):
        if not _follows(one, two, groups):
            raise InputError(_mismatch(one, two))
    raise AssertionError("an order that does not fit has a pair that does not")


def _mismatch(one: Kernel, two: Kernel) -> str:
    into, out = two.shape[1], one.shape[0]
    text = (
        f"{two.name} reads {into} channels and {one.name} before it writes {out}; allowed: layers in the order of the "
        "network, of matching widths (a convolution may be flattened for a matrix). Give order=[...], or streams=[...] "
        "for a residual network"
    )
    count = out // into
    if len(two.shape) > 2 and out % into == 0 and two.shape[0] % count == 0:
        text += f"; is {two.name} a convolution of {count} groups? Say groups={{{two.name!r}: {count}}}, or on the "
        text += f"command line --groups {two.name}={count}"
    return text


def _with_norms(
    specs: tuple[LayerSpec, ...],
    found: list[Norm],
    weights: Weights,
    told: Mapping[str, str],
    notes: list[str],
) -> tuple[LayerSpec, ...]:
    by_name = {norm.name: norm for norm in found}
    unknown = [name for name in told.values() if name not in by_name]
    if unknown:
        raise InputError(f"norms names {choices(unknown)}, which is no norm; the norms are {choices(by_name)}")
    chosen: dict[str, Norm] = {layer: by_name[norm] for layer, norm in told.items()}
    position = {key: i for i, key in enumerate(weights)}
    for norm in found:
        if norm.name in told.values():
            continue
        key = next(each for each in norm[1:] if each is not None)
        open_ = [spec for spec in specs if spec.name not in chosen]
        before = [spec for spec in open_ if position[spec.kernel.key] < position[key]]
        # Number and parent first: files that sort their names put norms far from their layers.
        homes = [spec for spec in open_ if _numbers(spec.name) == _numbers(norm.name) != ("", ())]
        homes += [max(before, key=lambda spec: position[spec.kernel.key])] if before else []
        home = next((spec for spec in homes if spec.width_out == weights.shapes[key][0]), None)
        if home is None:
            notes.append(f"the norm {norm.name} follows no layer and is left out; give norms={{layer: norm}}")
        else:
            chosen[home.name] = norm
    return tuple(spec._replace(norm=chosen.get(spec.name)) for spec in specs)


def _numbers(name: str) -> tuple[str, tuple[str, ...]]:
    """Return the parent of a module and the numbers in its name."""
    return name.rpartition(".")[0], tuple(re.findall(r"\d+", name))


def _pair(specs: tuple[LayerSpec, ...], writer: int, reader: int, flatten: Flatten | None) -> PairSpec:
    one, two = specs[writer], specs[reader]
    convs = (len(one.kernel.shape) > 2, len(two.kernel.shape) > 2)
    ratio = _ratio((one.width_in, one.width_out), (two.width_in, two.width_out), convs)
    if ratio is None:
        raise InputError(_mismatch(one.kernel, two.kernel))
    if flatten not in (None, "channel_first", "channel_last"):
        raise InputError(f"unknown flatten {flatten!r}; allowed: channel_first, channel_last")
    order = flatten or ("channel_last" if two.kernel.layout == "flax" else "channel_first")
    return PairSpec(writer, reader, *ratio, order)


def _stream_pairs(streams: Sequence[Stream], index: Mapping[str, int]) -> list[tuple[int, int]]:
    pairs = {
        (index[writer], index[reader])
        for stream in streams
        for writer in stream.writers
        for reader in stream.readers
        if index[writer] < index[reader]
    }
    return sorted(pairs, key=lambda pair: (pair[1], pair[0]))


_BLOCK = re.compile(r"(.*?)layer(\d+)\.(\d+)\.(conv(\d+)|downsample\.0)$")


def _resnet_key(name: str) -> tuple[Any, ...]:
    """Sort torchvision's names: stem, blocks, in them a downsampling convolution first, head."""
    found = _BLOCK.match(name)
    if found:
        return (1, int(found[2]), int(found[3]), int(found[5] or 0))
    return (0 if name.rsplit(".", 1)[-1].startswith("conv") else 2, natural(name))


def _resnet(names: list[str]) -> tuple[Stream, ...] | None:
    """Return the streams of a network with torchvision's ResNet names, or None for other names."""
    blocks: dict[tuple[int, int], dict[str, str]] = {}
    for name in names:
        found = _BLOCK.match(name)
        if found:
            blocks.setdefault((int(found[2]), int(found[3])), {})[found[4]] = name
    others = [name for name in names if not _BLOCK.match(name)]
    if not blocks or len(others) != 2:
        return None
    stem, head = sorted(others, key=_resnet_key)
    streams = []
    writers: list[str] = [stem]
    readers: list[str] = []
    for key in sorted(blocks):
        parts = blocks[key]
        convs = [parts[name] for name in sorted(parts) if name.startswith("conv")]
        streams += [Stream((one,), (two,)) for one, two in itertools.pairwise(convs)]
        readers.append(convs[0])
        if "downsample.0" in parts:  # the stream ends here, and a new one begins
            readers.append(parts["downsample.0"])
            streams.append(Stream(tuple(writers), tuple(readers)))
            writers, readers = [parts["downsample.0"]], []
        writers.append(convs[-1])
    streams.append(Stream(tuple(writers), (*readers, head)))
    return tuple(streams)


def load_kernel(description: Description, index: int, fold: Fold = "none", eps: float = 1e-5) -> np.ndarray:
    """Return the kernel of a layer with the axes (out, in, *window), groups written out and its norm folded in.

    Args:
        description: of the network.
        index: of the layer.
        fold: `"none"` (the paper): as it is; `"gamma"`: channels times the scale of the norm; `"full"`: times
            scale / sqrt(variance + eps), the map that the network applies. Layers without a norm stay as they are.
        eps: the norm's epsilon.

    Returns:
        The kernel. A grouped convolution has zeros between its groups.

    Raises:
        InputError: unknown fold, or `full` for a norm without running statistics.

    Example:
        >>> weights = {"c.weight": np.ones((2, 3)), "bn.weight": np.array([1.0, 2.0]), "bn.bias": np.ones(2)}
        >>> load_kernel(describe(weights), 0, "gamma").tolist()
        [[1.0, 1.0, 1.0], [2.0, 2.0, 2.0]]
    """
    if fold not in ("none", "gamma", "full"):
        raise InputError(f"unknown fold {fold!r}; allowed: none, gamma, full")
    spec = description.layers[index]
    kernel = as_real(canonical(description.weights[spec.kernel.key], spec.kernel.layout), spec.name)
    if spec.norm is not None and fold != "none":
        kernel = kernel * _gain(description, spec, fold, eps).astype(kernel.dtype).reshape(
            -1, *(1,) * (kernel.ndim - 1)
        )
    if spec.groups == 1:
        return kernel
    out, into = kernel.shape[0] // spec.groups, kernel.shape[1]
    whole = np.zeros((kernel.shape[0], spec.width_in, *kernel.shape[2:]), kernel.dtype)
    for group in range(spec.groups):
        rows = slice(group * out, (group + 1) * out)
        whole[rows, group * into : (group + 1) * into] = kernel[rows]
    return whole


def _gain(description: Description, spec: LayerSpec, fold: Fold, eps: float) -> np.ndarray:
    norm = spec.norm
    assert norm is not None
    gain = np.ones(spec.width_out) if norm.scale is None else np.asarray(description.weights[norm.scale], np.float64)
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
        gain = gain / np.sqrt(np.asarray(description.weights[norm.var], np.float64) + eps)
    return gain
