"""Named arrays whose shapes are known and whose values are read on demand."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from modejax.errors import InputError

__all__ = ["Fact", "Topology", "Weights", "as_numbers", "unwrapped"]

WRAPPERS = (
    *("params", "batch_stats", "state_dict", "model_state_dict", "model_state", "net_state_dict", "network_state_dict"),
    *("model", "module", "net", "network", "state", "weights", "model_weights", "_orig_mod", "variables"),
)
"""Names that files put around a whole network; they are removed from names if nothing else is beside them."""

BESIDE = (
    *("optimizer", "optimizer_state", "optimizer_state_dict", "optimizers", "optim", "opt_state", "opt", "scheduler"),
    *("lr_scheduler", "lr_schedulers", "optimizer_states", "scaler", "ema", "ema_state_dict", "model_ema", "epoch"),
    *("step", "rng", "rngs", "hyper_parameters", "callbacks", "args", "config", "loops", "global_step"),
)
"""Names of other entries that files have beside a network."""


class Fact(NamedTuple):
    """Information about an array that the file itself has, from its types; it overrides evidence from names."""

    kind: str  # a kind of `weights.kinds`: linear, conv, transposed, depthwise, heads, heads_out, table, norm, other
    layout: str  # order of the axes, see `weights.kernels.Layout`; "" where the kind has none
    groups: int = 1
    inputs: int = 1  # axes that are read, of a map between several axes
    bias: str | None = None  # name of the bias where it does not stand beside its kernel
    why: str = ""  # in words


class Topology(NamedTuple):
    """The graph of a network from its file: its layers, by the names of their arrays, in order of execution."""

    order: tuple[str, ...]
    pairs: tuple[tuple[str, str, int], ...]  # writer, reader, positions that a flattening makes units of
    norms: Mapping[str, Mapping[str, Any]]  # of a kernel: names of scale, bias, mean and var, and "eps" as a number
    notes: tuple[str, ...] = ()


class Weights(Mapping[str, np.ndarray]):
    """Named arrays whose shapes are known and whose values are read on demand.

    Attributes:
        shapes: for each name the shape of the array.
        source: the source of the arrays, for messages.
        stored: for each name the name of the array in the file.
        dtypes: for each name the name of its dtype, if the file has it.
        skipped: names of entries that are no arrays of numbers, each with the reason.
        facts: information about arrays from the file, by name.
        topology: the network's graph from the file; None if the file has none.
        ordered: whether the order of the arrays is that in which the network defines them.
    """

    def __init__(
        self,
        shapes: Mapping[str, tuple[int, ...]],
        load: Callable[[str], Any],
        source: str,
        *,
        dtypes: Mapping[str, str] | None = None,
        skipped: Mapping[str, str] | None = None,
        facts: Mapping[str, Fact] | None = None,
        topology: Topology | None = None,
    ) -> None:
        self.stored = {_plain(name): name for name in shapes}
        if len(self.stored) != len(shapes):
            raise InputError(
                f"{source} has two arrays of one name but for / and . or params and batch_stats; rename one"
            )
        inner = unwrapped(list(self.stored))
        self.stored = {inner[name]: old for name, old in self.stored.items()}
        self.shapes = {name: tuple(int(n) for n in shapes[old]) for name, old in self.stored.items()}
        self.dtypes = {name: (dtypes or {}).get(old, "") for name, old in self.stored.items()}
        self.source = source
        self.skipped = dict(skipped or {})
        plain = {old: name for name, old in self.stored.items()}
        self.facts = {
            name: facts[old]._replace(bias=plain.get(facts[old].bias or ""))
            for name, old in self.stored.items()
            if facts and old in facts
        }
        self.topology = None if topology is None else _renamed(topology, plain)
        names = list(self.shapes)
        self.ordered = names != sorted(names) or len(names) < 2
        self._load = load

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self.shapes:
            raise KeyError(name)
        return as_numbers(self._load(self.stored[name]), name)

    def __iter__(self) -> Iterator[str]:
        return iter(self.shapes)

    def __len__(self) -> int:
        return len(self.shapes)

    def __repr__(self) -> str:
        count = sum(math.prod(shape) for shape in self.shapes.values())
        return f"Weights({self.source}: {len(self)} arrays, {count} numbers)"

    @classmethod
    def of(cls, arrays: Mapping[str, Any], source: str, facts: Mapping[str, Fact] | None = None) -> Weights:
        """Make `Weights` of arrays in memory.

        Example:
            >>> Weights.of({"fc.weight": np.zeros((2, 3))}, "doctest")
            Weights(doctest: 1 arrays, 6 numbers)
        """
        if isinstance(arrays, Weights):
            return arrays
        shapes, types, skipped = {}, {}, {}
        for name, each in arrays.items():
            why = no_numbers(each)
            if why:
                skipped[name] = why
                continue
            shapes[name] = tuple(np.shape(each))
            types[name] = str(getattr(each, "dtype", ""))
        return cls(shapes, arrays.__getitem__, source, dtypes=types, skipped=skipped, facts=facts)


def _plain(name: str) -> str:
    """Return a name with dots, without the collections of Linen before it."""
    name = name.replace("/", ".")
    for collection in ("params.", "batch_stats."):
        name = name.removeprefix(collection)
    return name


def _renamed(topology: Topology, plain: Mapping[str, str]) -> Topology:
    """Return a topology with the names that the arrays have here."""
    return Topology(
        tuple(plain[key] for key in topology.order if key in plain),
        tuple((plain[a], plain[b], n) for a, b, n in topology.pairs if a in plain and b in plain),
        {
            plain[key]: {role: plain.get(each, each) if isinstance(each, str) else each for role, each in norm.items()}
            for key, norm in topology.norms.items()
            if key in plain
        },
        topology.notes,
    )


def unwrapped(names: Sequence[str]) -> dict[str, str]:
    """Return names without the prefixes that are around the whole network.

    Args:
        names: parts separated by dots.

    Returns:
        For each name the shorter one; those of what stands beside the network stay.

    Example:
        >>> unwrapped(["model_state_dict.fc.weight", "optimizer.state.0.exp_avg"])["model_state_dict.fc.weight"]
        'fc.weight'
    """
    new = {name: name for name in names}
    while True:
        inner = [old for old, name in new.items() if name.partition(".")[0].lower() not in BESIDE]
        firsts = {new[old].partition(".")[0] for old in inner}
        if len(firsts) != 1 or not (first := firsts.pop()) or first.lower() not in WRAPPERS:
            return new
        shorter = {old: new[old].partition(".")[2] if old in inner else new[old] for old in new}
        if "" in shorter.values() or len(set(shorter.values())) != len(new):
            return new
        new = shorter


def no_numbers(array: Any) -> str:
    """Return the reason why a value is no array of real numbers; empty if it is one.

    Example:
        >>> no_numbers(np.ones(2)), no_numbers(np.ones(2, complex))
        ('', 'complex numbers')
    """
    dtype = getattr(array, "dtype", None)
    if dtype is None:
        try:
            dtype = np.asarray(array).dtype
        except (ValueError, TypeError):
            return "no array"
    name = str(dtype)
    if name.startswith("key<"):
        return "a key of random numbers"
    if not isinstance(dtype, np.dtype):
        try:
            dtype = np.dtype(dtype)
        except TypeError:
            return f"entries of type {name}"
    if dtype.hasobject:
        return "objects, which are not read"
    if dtype.kind == "c":
        return "complex numbers"
    if dtype.kind in "SUMm":
        return "text or dates"
    if dtype.kind == "V" and dtype.names is None and _float_name(dtype) is None:
        return f"raw bytes of unknown type {name}; NumPy's files lose bfloat16 and float8, save float32"
    if dtype.names is not None:
        return "records of several fields"
    return ""


def _float_name(dtype: np.dtype) -> str | None:
    return dtype.name if dtype.name.startswith(("bfloat16", "float8", "float4", "float6", "int4", "uint4")) else None


def as_numbers(array: Any, name: str) -> np.ndarray:
    """Return an array in the byte order of this machine, long doubles as float64, all values kept exactly.

    Args:
        array: an array of real numbers.
        name: the name of the array, for messages.

    Raises:
        InputError: a long double has values that float64 does not hold.

    Example:
        >>> as_numbers(np.ones(2, ">f4"), "a").dtype
        dtype('float32')
    """
    array = np.asarray(array)
    if array.dtype.kind == "f" and array.dtype.itemsize > 8:
        with np.errstate(over="ignore"):
            small = array.astype(np.float64)
        same = (small.astype(array.dtype) == array) | np.isnan(array)
        if not same.all():
            raise InputError(f"{name} holds long doubles that float64 does not hold exactly; save it as float64")
        return small
    if not array.dtype.isnative:
        return array.astype(array.dtype.newbyteorder("="))
    return array
