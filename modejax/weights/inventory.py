"""The inventory of a file: each array is read by its own evidence, then open cases by the arrays around it."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from modejax.errors import InputError
from modejax.weights.arrays import Weights
from modejax.weights.axes import UserLayout, canonical_shape
from modejax.weights.derived import composed_shape
from modejax.weights.evidence import Reading, Undecided, bias_name, convention, read_shape
from modejax.weights.groups import find_groups
from modejax.weights.kernels import Inventory, Kernel, Norm, check_choice, natural, picked
from modejax.weights.roles import BIASES, NORM_PARTS, Derived, sort_out, split
from modejax.weights.stacks import find_stacks

__all__ = ["find_kernels", "find_norms", "inventory"]


def inventory(
    weights: Mapping[str, Any],
    layout: UserLayout | None = None,
    *,
    kinds: Mapping[str, str] | None = None,
    only: Sequence[str] = (),
    exclude: Sequence[str] = (),
) -> Inventory:
    """Find the kernels and norms of a network, and give the reason why other arrays are left out.

    Args:
        weights: arrays by name.
        layout: the order of the axes if nothing else tells it; if given, every array of at least two axes may be a
            kernel, with any name.
        kinds: a mapping from names or shell patterns of arrays or modules to their kind, a key of `KINDS`.
        only: shell patterns of arrays or modules; all others are left out.
        exclude: shell patterns of arrays or modules to leave out.

    Returns:
        What the file holds; kernels in the order of the arrays, layers of a stack one after another. Its arrays have
        the names that they have in `weights`.

    Raises:
        InputError: no kernel is left; an option is unknown or matches nothing.

    Example:
        >>> found = inventory({"c_fc.weight": np.zeros((4, 16)), "c_fc.bias": np.zeros(16)})
        >>> found.kernels[0].shape, found.kernels[0].why
        ((16, 4), 'its bias of 16')
    """
    if not isinstance(weights, Weights):  # which gives arrays plain names: here they keep their own
        plainly = Weights.of(weights, "the weights")
        return inventory(plainly, layout, kinds=kinds, only=only, exclude=exclude).with_names(plainly.stored)
    kinds = dict(kinds or {})
    check_choice(layout, kinds)
    for what, patterns in (("only", only), ("exclude", exclude), ("kinds", tuple(kinds))):
        idle = [each for each in patterns if not any(picked(key, [each]) for key in (*weights, *weights.skipped))]
        if idle:
            raise InputError(
                f"{what} names {', '.join(idle)}, which matches no array; the arrays are "
                f"{', '.join(list(weights)[:6])}{' ...' if len(weights) > 6 else ''}"
            )
    plain = [each for each in (*only, *(k for k in kinds if kinds[k] != "table")) if not set(each) & set("*?[")]
    chosen = {key for key in weights if picked(key, plain)}
    rest, left, derived = sort_out(weights, chosen)
    taken = _Taken(weights, layout, kinds, rest, derived)
    kernels, undecided = taken.kernels()
    left.update(undecided)
    kernels = find_groups(_by_neighbours(_by_family(kernels, weights)), weights)
    if weights.topology is not None:
        place = {key: i for i, key in enumerate(weights.topology.order)}
        kernels = sorted(kernels, key=lambda each: place.get(each.key, len(place)))
    out = [each for each in kernels if (only and not picked(each.key, only)) or picked(each.key, exclude)]
    left.update({each.name: "left out by --only or --exclude" for each in out})
    kernels = [each for each in kernels if each not in out]
    if not kernels:
        raise InputError(_nothing(weights, left))
    norms = find_norms({key: weights.shapes[key] for key in taken.vectors}, taken.stacks, weights)
    notes = []
    unsure = [each.name for each in kernels if not each.sure and each.kind == "transposed"]
    if unsure:
        notes.append(
            f"only their names say that {', '.join(unsure[:4])} are transposed; if not, give --kinds NAME=conv"
        )
    return Inventory(tuple(kernels), tuple(norms), left, tuple(notes))


def _nothing(weights: Weights, left: Mapping[str, str]) -> str:
    shown = [f"{name} ({why})" for name, why in list(left.items())[:4]]
    more = f" and {len(left) - 4} more" if len(left) > 4 else ""
    text = f"{weights.source} has no kernel that can be read"
    if shown:
        text += f"; left out: {', '.join(shown)}{more}"
    elif len(weights):
        text += f"; it holds {', '.join(list(weights)[:6])}"
    else:
        text += "; it holds nothing"
    return text + ". Allowed: arrays of at least two axes, named weight or kernel, or given by --layout or --kinds"


class _Taken:
    """The arrays that may belong to the network, while they are read one by one."""

    def __init__(
        self,
        weights: Weights,
        layout: UserLayout | None,
        kinds: Mapping[str, str],
        rest: Sequence[str],
        derived: Sequence[Derived],
    ) -> None:
        self.weights, self.layout, self.kinds, self.rest = weights, layout, kinds, rest
        self.derived = {each.parts[0]: each for each in derived}
        self.shapes = {key: weights.shapes[key] for key in rest}
        self.stacks = find_stacks(rest, weights.shapes, weights.facts)
        for key in rest:
            if self._kind(key) == "stacked" or (key in weights.facts and weights.facts[key].kind.startswith("stacked")):
                why = weights.facts[key].why if key in weights.facts else "what you say"
                for each in (key, bias_name(key, self.shapes)):
                    if each is not None and len(self.shapes[each]) > 1:
                        self.stacks[each] = (weights.shapes[key][0], why, split(key)[0])
        self.vectors: list[str] = []

    def _kind(self, key: str) -> str | None:
        return next((kind for pattern, kind in self.kinds.items() if picked(key, [pattern])), None)

    def _one(self, key: str) -> tuple[int, ...]:
        """Return the shape of one layer's array."""
        shape = self.weights.shapes[key]
        return shape[1:] if key in self.stacks else shape

    def kernels(self) -> tuple[list[Kernel], dict[str, str]]:
        """Return the kernels and the arrays that are no kernels, and collect the vectors that may belong to norms."""
        biases = {bias_name(key, self.shapes) for key in self.rest if len(self._one(key)) > 1}
        biases |= {self.weights.facts[key].bias for key in self.rest if key in self.weights.facts}
        found: list[Kernel] = []
        left: dict[str, str] = {}
        for key in [*self.rest, *self.derived]:
            shape = (
                self._one(key) if key not in self.derived else composed_shape(self.derived[key], self.weights.shapes)
            )
            last = split(key)[1]
            if len(shape) < 2:
                self.vectors.append(key)
                continue
            if key in biases and BIASES.match(last) and self._kind(key) is None:
                continue
            if 0 in shape:
                left[key] = f"its shape {shape} has no entries"
                continue
            if BIASES.match(last) and self._kind(key) is None:
                left[key] = "a bias without a kernel of a known name; name it by --kinds if it is a kernel"
                continue
            reading = self._read(key, shape)
            if isinstance(reading, Undecided):
                left[key] = reading.why
            elif reading.kind == "table":
                left[key] = "a table, as you say"
            elif reading.kind != "norm":
                found += self._made(key, shape, reading)
        return _layer_by_layer(found, self.stacks), left

    def _read(self, key: str, shape: tuple[int, ...]) -> Reading | Undecided:
        kind = self._kind(key)
        if kind == "table":
            return Reading("table", "torch")
        name, last = split(key)
        parent = split(name)[0]
        siblings = {
            split(other)[0]: self._one(other)
            for other in self.rest
            if split(other)[1] == last and split(split(other)[0])[0] == parent
        }
        bias = self._bias(key)
        derived = self.derived.get(key)
        if derived is not None and derived.how.startswith("lora"):
            base: Any = "flax" if derived.parts[-1] == "flax" else "torch"
            return Reading("linear" if len(shape) == 2 else "conv", base, why="a pair of factors of LoRA")
        fact = self.weights.facts.get(key) if key not in self.derived else None
        if fact is not None and fact.kind.startswith("stacked "):
            fact = fact._replace(kind=fact.kind.removeprefix("stacked "))
        after = None
        if bias is None and fact is None:
            after = self._norm_after(name)
            after = after if after in shape else None
        told = key
        if derived is not None:  # its parts have names of their own
            told = f"{derived.name}.{'kernel' if 'kernel' in derived.parts[-1] else 'weight'}".lstrip(".")
        found = read_shape(
            told,
            shape,
            (None if after is None else (after,)) if bias is None else self._one(bias),
            layout=self.layout,
            kind=None if kind == "stacked" else kind,
            fact=fact,
            siblings=siblings,
        )
        if after is not None:
            return found._replace(why=found.why.replace("its bias of", "the norm after it, of"))
        return found

    def _norm_after(self, name: str) -> int | None:
        """Return the length of the norm that comes next in a numbered sequence."""
        parent, last = split(name)
        if not last.isdecimal():
            return None
        head = f"{parent}." if parent else ""
        numbers = {}
        for key in self.rest:
            first = key.removeprefix(head).split(".")
            if key.startswith(head) and len(first) == 2 and first[0].isdecimal() and int(first[0]) > int(last):
                numbers.setdefault(int(first[0]), []).append(self._one(key))
        if not numbers:
            return None
        some = [shape for shape in numbers[min(numbers)] if shape]
        return some[0][0] if len(some) > 1 and all(len(shape) == 1 for shape in some) else None

    def _bias(self, key: str) -> str | None:
        fact = self.weights.facts.get(key)
        if fact is not None and fact.bias is not None:
            return fact.bias
        if key in self.derived:
            name = self.derived[key].name
            return next(
                (each for each in (f"{name}.bias", "bias") if each in self.shapes and split(each)[0] == name), None
            )
        return bias_name(key, self.shapes)

    def _made(self, key: str, shape: tuple[int, ...], reading: Reading) -> list[Kernel]:
        name, last = split(key)
        derived = self.derived.get(key)
        module = name if name and (last in ("weight", "kernel") or derived) else key
        if derived is not None:
            module = derived.name or key
        bias = self._bias(key)
        axes = canonical_shape(shape, reading.layout, reading.inputs)
        if bias is not None:
            bias = bias if int(np.prod(self._one(bias))) == axes[0] else None
        made = Kernel(
            module, key, reading.layout, axes, bias, reading.kind, reading.groups, reading.inputs, None, derived,
            reading.why, reading.sure,
        )  # fmt: skip
        if key not in self.stacks or derived is not None:
            return [made]
        count, why, scope = self.stacks[key]
        inner = module.removeprefix(scope).lstrip(".")
        names = [".".join(part for part in (scope, str(i), inner) if part) for i in range(count)]
        told = reading.why if reading.why == why else f"{why}; {reading.why}"
        return [made._replace(name=each, index=i, why=f"a stack: {told}") for i, each in enumerate(names)]


def _layer_by_layer(kernels: list[Kernel], stacks: Mapping[str, tuple[int, str, str]]) -> list[Kernel]:
    """Sort the kernels of a stack in the order of its layers."""
    out: list[Kernel] = []
    for scope, run in itertools.groupby(kernels, key=lambda k: stacks[k.key][2] if k.index is not None else None):
        some = list(run)
        out += some if scope is None else sorted(some, key=lambda k: k.index or 0)
    return out


def _by_family(kernels: list[Kernel], weights: Weights) -> list[Kernel]:
    """Read square matrices with the layout of related arrays whose lengths decide it."""

    def relatives(kernel: Kernel, how: Any) -> set[str]:
        some = [each for each in kernels if each.sure and each.kind == "linear" and how(each) == how(kernel)]
        return {("flax" if each.layout == "flax" else "torch") for each in some if "bias" in each.why}

    def leaf(kernel: Kernel) -> Any:
        return kernel.name.rsplit(".", 1)[-1], split(kernel.key)[1]

    def block(kernel: Kernel) -> Any:
        parts = kernel.name.split(".")
        return ".".join(parts[: next((i + 1 for i, part in enumerate(parts) if part.isdecimal()), 0)]), split(
            kernel.key
        )[1]

    out = []
    for each in kernels:
        square = each.kind == "linear" and not each.sure and each.shape[0] == each.shape[1] and each.bias is not None
        if square and each.why == "its name":
            for how, word in ((leaf, "of its name"), (block, "beside it")):
                told = relatives(each, how)
                if len(told) == 1:
                    each = each._replace(layout=told.pop(), why=f"square; read as those {word}, whose biases tell")
                    break
        out.append(each)
    return out


def _by_neighbours(kernels: list[Kernel]) -> list[Kernel]:
    """Transpose numbered layers of a sequence if only then the widths of consecutive layers fit."""
    runs: dict[Any, list[int]] = {}
    for place, each in enumerate(kernels):
        parent, last = split(each.name)
        if last.isdecimal() and not each.sure and each.layout == "torch" and each.kind in ("linear", "conv"):
            runs.setdefault((parent, each.kind), []).append(place)
    out = list(kernels)
    for (_, kind), places in runs.items():
        some = sorted(places, key=lambda place: natural(kernels[place].name))
        links = [
            (kernels[a].shape[0] == kernels[b].shape[1], kernels[a].shape[1] == kernels[b].shape[0])
            for a, b in itertools.pairwise(some)
        ]
        open_ = [link for link in links if link[0] != link[1]]
        if open_ and all(turned for _, turned in links) and all(not straight for straight, _ in open_):
            layout: Any = "flax" if kind == "linear" else "torch_transposed"
            for place in some:
                old = kernels[place]
                out[place] = old._replace(
                    layout=layout,
                    kind=kind if kind == "linear" else "transposed",
                    shape=(old.shape[1], old.shape[0], *old.shape[2:]),
                    why="the widths of its neighbours",
                )
    return out


def find_norms(
    shapes: Mapping[str, tuple[int, ...]], stacks: Mapping[str, tuple[int, str, str]] | None = None, weights: Any = None
) -> list[Norm]:
    """Return the normalisations of a network: modules whose scale has one axis, or that hold running statistics.

    Args:
        shapes: of the arrays that are vectors, by name.
        stacks: which hold one vector a layer.
        weights: all arrays; a module with a kernel is no norm.

    Returns:
        The norms, in the order of the arrays.

    Example:
        >>> find_norms({"bn.weight": (3,), "bn.bias": (3,), "bn.running_mean": (3,)})[0].mean
        'bn.running_mean'
    """
    stacks = stacks or {}
    modules: dict[str, dict[str, str]] = {}
    for key, shape in shapes.items():
        name, last = split(key)
        if len(shape) - (key in stacks) == 1:  # a counter of batches has no axis
            modules.setdefault(name, {})[last] = key
    kernels = {split(key)[0] for key in (weights or {}) if key not in shapes and convention(split(key)[1], 2)}
    found = []
    for name, parts in modules.items():
        if name in kernels:
            continue
        chosen = {
            role: next((parts[each] for each in names if each in parts), None) for role, names in NORM_PARTS.items()
        }
        some = chosen["scale"] or chosen["mean"]
        if some is None:
            continue
        norm = Norm(name, chosen["scale"], chosen["bias"], chosen["mean"], chosen["var"])
        alone = chosen["scale"] and not (chosen["bias"] or chosen["mean"]) and split(some)[1] in ("weight", "g")
        if alone and not re.search(r"(norm|bn|ln|rms)", name.rsplit(".", 1)[-1], re.IGNORECASE):
            continue  # slopes of an activation, or scales of another kind
        if some in stacks:
            count, _, scope = stacks[some]
            inner = name.removeprefix(scope).lstrip(".")
            names = [".".join(part for part in (scope, str(i), inner) if part) for i in range(count)]
            found += [norm._replace(name=each, index=i) for i, each in enumerate(names)]
        else:
            found.append(norm)
    return found


def find_kernels(weights: Mapping[str, Any], layout: UserLayout | None = None) -> list[Kernel]:
    """Return only the kernels of `inventory`.

    Example:
        >>> find_kernels({"fc.weight": np.zeros((2, 3)), "fc.bias": np.zeros(2)})[0].bias
        'fc.bias'
    """
    return list(inventory(weights, layout).kernels)
