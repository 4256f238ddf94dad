"""What the graph of an ONNX file says of its weights: kinds, axes, groups, biases, norms, and who reads from whom."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from modejax.weights.arrays import Fact, Topology

__all__ = ["Found", "read_graph"]

_THROUGH = {
    *("Relu", "LeakyRelu", "PRelu", "Elu", "Selu", "Celu", "Gelu", "Sigmoid", "HardSigmoid", "HardSwish", "Clip"),
    *("Tanh", "Softplus", "Mish", "Erf", "Exp", "Sqrt", "Abs", "Neg", "Pow", "ThresholdedRelu", "Swish"),
    *("Identity", "Dropout", "Cast", "MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "LpPool"),
    *("BatchNormalization", "InstanceNormalization", "GroupNormalization", "LayerNormalization", "Upsample", "Resize"),
    *("Pad", "Add", "Sub", "Mul", "Div", "Max", "Min", "Sum", "ReduceMean", "ReduceMax", "LRN", "QuantizeLinear"),
    *("DequantizeLinear", "Where", "FusedConv", "Squeeze", "Unsqueeze"),
}
"""Operations that leave channels where they are, one by one."""
_PAIRS_AT_MOST = 400


class Found(NamedTuple):
    """What was found."""

    facts: Mapping[str, Fact]
    topology: Topology | None
    shapes: Mapping[str, tuple[int, ...]]  # of kernels that the graph computes from constants
    load: Mapping[str, Callable[[], np.ndarray]]


class _Values:
    """Constants of the graph, and what is computed from them by turning, casting or scaling codes."""

    def __init__(self, nodes: Sequence[Any], shapes: Mapping[str, tuple[int, ...]], load: Callable[[str], np.ndarray]):
        self.shapes: dict[str, tuple[int, ...]] = dict(shapes)
        self.new: dict[str, tuple[int, ...]] = {}
        self.load: dict[str, Callable[[], np.ndarray]] = {name: (lambda name=name: load(name)) for name in shapes}
        self.alias: dict[str, str] = {}
        for node in nodes:
            self._fold(node)

    def _fold(self, node: Any) -> None:
        if not node.inputs or not node.outputs or any(each and each not in self.shapes for each in node.inputs):
            return
        first, out = node.inputs[0], node.outputs[0]
        shape, read = self.shapes[first], self.load[first]
        match node.op:
            case "Identity" | "Cast":
                self.shapes[out], self.load[out] = shape, read
                self.alias[out] = self.alias.get(first, first)  # pyright: ignore
            case "Transpose":
                turn = node.attributes.get("perm") or list(range(len(shape)))[::-1]
                if sorted(turn) == list(range(len(shape))):
                    self._add(out, tuple(shape[i] for i in turn), lambda: read().transpose(turn))
            case "DequantizeLinear" if len(node.inputs) > 1:
                scale = self.load[node.inputs[1]]
                zero = self.load[node.inputs[2]] if len(node.inputs) > 2 and node.inputs[2] else None
                axis = node.attributes.get("axis", 1)

                def dequantised() -> np.ndarray:
                    s = scale().astype(np.float64)
                    z = np.zeros(()) if zero is None else zero().astype(np.float64)
                    if s.ndim == 1 and s.size > 1:
                        form = [1] * len(shape)
                        form[axis] = s.size
                        s, z = s.reshape(form), z.reshape(form) if z.size > 1 else z.reshape(())
                    return ((read().astype(np.float64) - z) * s).astype(np.float32)

                self._add(out, shape, dequantised)
            case "Reshape" | "Squeeze" | "Unsqueeze" if node.op == "Reshape" and len(node.inputs) > 1:
                target = [int(n) for n in self.load[node.inputs[1]]().reshape(-1)]
                size = math.prod(shape)
                known = math.prod(n for n in target if n > 0) or 1
                full = tuple(size // known if n == -1 else n for n in target)
                if math.prod(full) == size:
                    self._add(out, full, lambda: read().reshape(full))

    def _add(self, out: str, shape: tuple[int, ...], read: Callable[[], np.ndarray]) -> None:
        self.shapes[out] = self.new[out] = shape
        self.load[out] = read

    def name(self, value: str) -> str:
        return self.alias.get(value, value)


class _Layer(NamedTuple):
    key: str
    node: Any
    out: str
    channels: int


def read_graph(
    nodes: Sequence[Any],
    shapes: Mapping[str, tuple[int, ...]],
    load: Callable[[str], np.ndarray],
    *,
    integers_of: Mapping[str, str] | None = None,
) -> Found:
    """Read a graph.

    Args:
        nodes: its operations, in their order of execution.
        shapes: of the arrays of the file.
        load: gives their values.
        integers_of: names of arrays of integers; they are no weights.

    Returns:
        Facts of arrays, and the topology; None where no operation applies a kernel.
    """
    values = _Values(nodes, shapes, load)
    readers: dict[str, list[Any]] = {}
    for node in nodes:
        for each in node.inputs:
            readers.setdefault(each, []).append(node)
    facts: dict[str, Fact] = {}
    layers: list[_Layer] = []
    norms: dict[str, dict[str, Any]] = {}
    notes: list[str] = []
    for node in nodes:
        found = _kernel(node, values, readers)
        if found is None:
            continue
        key, fact, channels, out = found
        if key in facts:
            notes.append(f"{key} is applied more than once; its first place counts")
            continue
        facts[key] = fact
        layers.append(_Layer(key, node, out, channels))
        norm = [each for each in readers.get(out, []) if each.op == "BatchNormalization"]
        if len(norm) == 1 and len(readers[out]) == 1 and all(each in values.shapes for each in norm[0].inputs[1:5]):
            parts = zip(("scale", "bias", "mean", "var"), norm[0].inputs[1:5], strict=False)
            norms[key] = {
                **{role: values.name(each) for role, each in parts},
                "eps": norm[0].attributes.get("epsilon", 1e-5),
            }
    for node in nodes:
        _others(node, values, facts)
    if integers_of:
        for name in integers_of:
            facts.setdefault(name, Fact("other", "", why="integers of the graph"))
    if not layers:
        return Found(facts, None, {}, {})
    by_node = {id(layer.node): layer for layer in layers}
    pairs: list[tuple[str, str, int]] = []
    for layer in layers:
        for reader, places in _reached(layer, by_node, readers, values, notes):
            if (layer.key, reader, places) not in pairs:
                pairs.append((layer.key, reader, places))
    order = {layer.key: i for i, layer in enumerate(layers)}
    if len(pairs) > _PAIRS_AT_MOST:  # long residual streams: those that stand near one another
        pairs.sort(key=lambda pair: order[pair[1]] - order[pair[0]])
        notes.append(f"{len(pairs) - _PAIRS_AT_MOST} pairs of layers that lie far apart are left out")
        pairs = pairs[:_PAIRS_AT_MOST]
    pairs.sort(key=lambda pair: (order[pair[1]], order[pair[0]]))
    for name in shapes:
        if name not in facts and len(shapes[name]) > 1:
            facts[name] = Fact("other", "", why="a constant of the graph that no map takes as its kernel")
    used = {key: values.load[key] for key in facts if key in values.new}
    topology = Topology(tuple(order), tuple(pairs), norms, tuple(dict.fromkeys(notes)))
    return Found(facts, topology, {key: values.new[key] for key in used}, used)


def _kernel(node: Any, values: _Values, readers: Mapping[str, list[Any]]) -> tuple[str, Fact, int, str] | None:
    """Return array, fact, channels written and the value written (with a bias added) of an operation with a kernel."""
    if len(node.inputs) < 2 or not node.outputs or node.inputs[1] not in values.shapes:
        return None
    key, shape = values.name(node.inputs[1]), values.shapes[node.inputs[1]]
    bias = values.name(node.inputs[2]) if len(node.inputs) > 2 and node.inputs[2] in values.shapes else None
    out, groups, why = node.outputs[0], int(node.attributes.get("group", 1)), f"{node.op} of the graph"
    if node.inputs[0] in values.shapes:
        return None
    match node.op:
        case "Conv" if len(shape) > 2:
            kind = "depthwise" if groups > 1 and shape[1] == 1 else "conv"
            return key, Fact(kind, "torch", groups, bias=bias, why=why), shape[0], out
        case "ConvTranspose" if len(shape) > 2:
            kind = Fact("transposed", "torch_transposed", groups, bias=bias, why=why)
            return key, kind, shape[1] * groups, out
        case "Gemm" if len(shape) == 2 and not node.attributes.get("transA", 0):
            turned = bool(node.attributes.get("transB", 0))
            return (
                key,
                Fact("linear", "torch" if turned else "flax", bias=bias, why=why),
                shape[0 if turned else 1],
                out,
            )
        case "MatMul" if len(shape) == 2:
            after = readers.get(out, [])
            if len(after) == 1 and after[0].op == "Add":
                other = next((each for each in after[0].inputs if each != out), "")
                if values.shapes.get(other) == (shape[1],):
                    bias, out = values.name(other), after[0].outputs[0]
            return key, Fact("linear", "flax", bias=bias, why=why), shape[1], out
    return None


def _others(node: Any, values: _Values, facts: dict[str, Fact]) -> None:
    """Say what arrays are that are no kernels of maps."""
    if node.op in ("Gather", "GatherElements") and node.inputs and node.inputs[0] in values.shapes:
        facts.setdefault(values.name(node.inputs[0]), Fact("table", "", why="a table (Gather of the graph)"))
    if node.op in ("ConvInteger", "MatMulInteger", "QLinearConv", "QLinearMatMul", "DynamicQuantizeLSTM", "QGemm"):
        for each in node.inputs[1:]:
            if len(values.shapes.get(each, ())) > 1:
                why = f"quantised codes ({node.op}); use the model before quantisation"
                facts.setdefault(values.name(each), Fact("other", "", why=why))
    if node.op in ("LSTM", "GRU", "RNN"):
        for each in node.inputs[1:3]:
            if each in values.shapes:
                facts.setdefault(
                    values.name(each), Fact("other", "", why=f"gates of {node.op}, several maps in one array")
                )


def _reached(
    layer: _Layer, by_node: Mapping[int, _Layer], readers: Mapping[str, list[Any]], values: _Values, notes: list[str]
) -> list[tuple[str, int]]:
    """Return the kernels that read what a layer writes, with the positions that a flattening makes units of."""
    found: list[tuple[str, int]] = []
    seen: set[str] = set()
    stack = [layer.out]
    while stack:
        value = stack.pop()
        if value in seen:
            continue
        seen.add(value)
        for node in readers.get(value, []):
            other = by_node.get(id(node))
            if other is not None and node.inputs[0] == value:
                places = _places(other, layer.channels, values)
                if places:
                    found.append((other.key, places))
                else:
                    notes.append(f"the channels of {layer.key} are not those that {other.key} reads")
            elif _keeps_channels(node, value):
                stack.append(node.outputs[0])
            elif node.op in ("Concat", "Split", "Slice"):
                notes.append(f"channels that {node.op} joins or parts are not followed")
    return found


def _keeps_channels(node: Any, value: str) -> bool:
    """Return whether the channels of a value come out of an operation where they were."""
    if not node.outputs:
        return False
    if node.op in ("Flatten", "Reshape", "Transpose", "Where", "Pad"):
        return node.inputs[0] == value
    return node.op in _THROUGH


def _places(reader: _Layer, channels: int, values: _Values) -> int:
    shape = values.shapes[reader.node.inputs[1]]
    match reader.node.op:
        case "Conv":
            into = shape[1] * int(reader.node.attributes.get("group", 1))
        case "ConvTranspose":
            into = shape[0]
        case "Gemm":
            into = shape[1 if reader.node.attributes.get("transB", 0) else 0]
        case _:
            into = shape[0]
    if into == channels:
        return 1
    return into // channels if reader.node.op in ("Gemm", "MatMul") and into % channels == 0 else 0
