"""Read an optimised program as text: its loops, and what each kernel of one turn of a loop moves and computes."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

__all__ = ["Instruction", "Kernel", "Loop", "Module", "parse"]

_BYTES = {"pred": 1, "s4": 1, "u4": 1, "s8": 1, "u8": 1, "s16": 2, "u16": 2, "s32": 4, "u32": 4, "s64": 8, "u64": 8}
_BYTES |= {"f16": 2, "bf16": 2, "f32": 4, "f64": 8, "c64": 8, "c128": 16}
_FREE = {
    "copy-done",
    "slice-done",
    "parameter",
    "constant",
    "tuple",
    "get-tuple-element",
    "bitcast",
    "after-all",
    "partition-id",
    "replica-id",
}
_COLLECTIVES = {"all-reduce", "all-gather", "all-to-all", "collective-permute", "reduce-scatter"}
_NAMED = re.compile(r"%([\w.\-]+)")
_SHAPE = re.compile(r"\b([a-z]+\d*)\[([\d,]*)\](\{[^}]*\})?")
_LINE = re.compile(r"^\s*(?:ROOT )?%([\w.\-]+) = (\(.*?\)|\S+) ([\w\-]+)\((.*)$")


class Instruction(NamedTuple):
    """One line of a computation."""

    name: str
    op: str
    shapes: tuple[tuple[str, tuple[int, ...], bool], ...]  # of the output; several for a tuple; True: on the chip
    operands: tuple[str, ...]
    text: str  # what stands behind the operands, too

    @property
    def bytes(self) -> int:
        """Bytes of the output in main memory; the work space of a product does not count."""
        shapes = self.shapes[:1] if "matmul" in self.text or "gemm" in self.text else self.shapes
        return sum(_BYTES.get(kind, 0) * math.prod(shape) for kind, shape, near in shapes if not near)

    @property
    def is_scalar(self) -> bool:
        """Whether the output is a single number."""
        return all(math.prod(shape) == 1 for _, shape, _ in self.shapes)

    def called(self, what: str) -> str | None:
        """Return the computation that an attribute names."""
        found = re.search(rf"\b{what}=%([\w.\-]+)", self.text)
        return found.group(1) if found else None


class Kernel(NamedTuple):
    """What is launched once in a turn of a loop."""

    name: str
    kind: str  # product, fusion, reduction, transpose, copy, prefetch, scatter, convolution, collective, scalar, other
    bytes: int  # read and written
    flops: int  # of products and convolutions


class Loop(NamedTuple):
    """A loop of the program."""

    body: str
    turns: int | None
    depth: int  # number of loops around it
    kernels: tuple[Kernel, ...]  # of one turn, without those of loops inside


class Module(NamedTuple):
    """A program."""

    computations: Mapping[str, Mapping[str, Instruction]]
    entry: str

    def loops(self) -> list[Loop]:
        """Return all loops, outer ones first."""
        found: list[Loop] = []
        self._visit(self.entry, 0, found)
        return found

    def count(self, ops: set[str]) -> int:
        """Count instructions of some kinds in the whole program."""
        return sum(each.op in ops for lines in self.computations.values() for each in lines.values())

    @property
    def collectives(self) -> int:
        """The number of instructions by which devices talk to each other."""
        return self.count(_COLLECTIVES | {f"{name}-start" for name in _COLLECTIVES})

    def _visit(self, name: str, depth: int, found: list[Loop]) -> None:
        for each in self.computations[name].values():
            if each.op == "while":
                body = each.called("body") or ""
                turns = re.search(r'"known_trip_count":\{"n":"(\d+)"', each.text)
                count = int(turns.group(1)) if turns else self._limit(each.called("condition") or "")
                found.append(Loop(body, count, depth, self.kernels(body)))
                self._visit(body, depth + 1, found)
            elif each.op in ("conditional", "call"):
                listed = re.search(r"(?:branch_computations|calls|to_apply)=\{?([^}]*?)\}?(?:,|$)", each.text)
                for inner in _NAMED.findall(listed.group(1)) if listed else []:
                    self._visit(inner, depth, found)

    def _limit(self, condition: str) -> int | None:
        """Return the constant that the counter of a loop stays below, where there is one."""
        lines = self.computations.get(condition, {})
        for each in lines.values():
            bound = lines.get(each.operands[-1]) if each.op == "compare" and "direction=LT" in each.text else None
            if bound is not None and bound.op == "constant":
                return int(bound.text.split(")")[0])
        return None

    def kernels(self, name: str) -> tuple[Kernel, ...]:
        """Return the kernels of one run through a computation, those of loops inside it left out."""
        lines, found = self.computations[name], []
        for each in lines.values():
            if each.op in _FREE or each.op in ("while", "conditional"):
                continue
            if each.op == "call":
                found += self.kernels(each.called("to_apply") or "")
                continue
            found.append(self._kernel(each, lines))
        return tuple(found)

    def _kernel(self, each: Instruction, lines: Mapping[str, Instruction]) -> Kernel:
        if each.op in ("copy-start", "slice-start"):
            # What moves between main memory and the chip while kernels run; a slice moves the part that arrives there.
            sizes = [(_BYTES.get(kind, 0) * math.prod(shape), near) for kind, shape, near in each.shapes[:2]]
            near = each.op == "slice-start" and any(near for _, near in sizes)
            return Kernel(each.name, "prefetch", sum(size for size, here in sizes if here == near), 0)
        inside = self.computations.get(each.called("calls") or "", {})
        ops = {line.op for line in inside.values()} | {each.op}
        flops = _product_flops(each, lines) + sum(_product_flops(line, inside) for line in inside.values())
        if ops & _COLLECTIVES:
            kind = "collective"
        elif flops:
            kind = "convolution" if "convolution" in ops or "conv" in each.text.split(",")[0] else "product"
        elif "scatter" in ops:
            kind = "scatter"
        elif "transpose" in ops or "transpose_fusion" in each.name:
            kind = "transpose"
        elif each.op in ("copy", "copy-start"):
            kind = "copy"
        elif "reduce" in ops:
            kind = "reduction"
        else:
            kind = "fusion" if each.op == "fusion" else "scalar" if each.is_scalar else "other"
        return Kernel(each.name, kind, self._moved(each, lines, inside), flops)

    def _moved(self, each: Instruction, lines: Mapping[str, Instruction], inside: Mapping[str, Instruction]) -> int:
        """Return bytes read and written; of an array of which only a part is read or replaced, that part."""
        parameters = {
            int(line.text.split(")")[0]): line.name for line in inside.values() if line.op == "parameter" and line.text
        }
        total, in_place = 0, False
        for place, operand in enumerate(dict.fromkeys(each.operands)):
            whole = lines[operand].bytes if operand in lines else 0
            users = [line for line in inside.values() if parameters.get(place) in line.operands]
            if users and all(line.op in ("dynamic-slice", "gather", "slice") for line in users):
                total += min(whole, sum(line.bytes for line in users))
            elif users and all(
                line.op == "dynamic-update-slice" and line.operands[0] == parameters.get(place) for line in users
            ):
                in_place = True
                total += sum(inside[line.operands[1]].bytes for line in users if line.operands[1] in inside)
            else:
                total += whole
        return total + (0 if in_place else each.bytes)


def _product_flops(each: Instruction, lines: Mapping[str, Instruction]) -> int:
    """Return the operations of a matrix product or convolution, 0 for all else."""
    if each.op == "convolution" and len(each.operands) == 2 and all(name in lines for name in each.operands):
        return _convolution_flops(each, *(lines[name].shapes[0][1] for name in each.operands))
    contracted = re.search(r"lhs_contracting_dims=\{([\d,]*)\}", each.text)
    if each.op == "custom-call" and re.search(r"matmul|gemm", each.text):
        _, _, settings = each.text.partition("backend_config=")
        config = json.JSONDecoder().raw_decode(settings)[0] if settings.startswith("{") else {}
        numbers = config.get("gemm_backend_config", {}).get("dot_dimension_numbers", {})
        dims = [int(n) for n in numbers.get("lhs_contracting_dimensions", ())]
    elif each.op == "dot" and contracted:
        dims = [int(n) for n in contracted.group(1).split(",") if n]
    else:
        return 0
    if each.operands[0] not in lines:
        return 0
    left = lines[each.operands[0]].shapes[0][1]
    return 2 * math.prod(each.shapes[0][1]) * math.prod(left[n] for n in dims)


def _convolution_flops(each: Instruction, left: tuple[int, ...], kernel: tuple[int, ...]) -> int:
    """Return the operations of a convolution, those with padding and with gaps between inputs left out.

    Compilers for TPUs write batched products as convolutions that run over gaps and padding for the most part.
    """
    labels = re.search(r"dim_labels=(\w+)_(\w+)->(\w+)", each.text)
    if not labels:
        return 2 * math.prod(each.shapes[0][1]) * math.prod(kernel)
    out = each.shapes[0][1]
    x_labels, k_labels, out_labels = labels.groups()
    groups = re.search(r"feature_group_count=(\d+)", each.text)
    total = 2 * left[x_labels.index("b")] * left[x_labels.index("f")] * kernel[k_labels.index("o")]
    total //= int(groups.group(1)) if groups else 1
    window = re.search(r"window=\{([^}]*)\}", each.text)
    settings = dict(part.split("=") for part in window.group(1).split()) if window else {}
    for axis in range(len(out) - 2):
        size = kernel[k_labels.index(str(axis))]

        def of(name: str, default: str, axis: int = axis) -> str:
            return settings[name].split("x")[axis] if name in settings else default

        stride, gap, step = (int(of(name, "1")) for name in ("stride", "lhs_dilate", "rhs_dilate"))
        before = int(of("pad", "0_0").split("_")[0])
        places = np.arange(out[out_labels.index(str(axis))])[:, None] * stride - before + np.arange(size) * step
        last = (left[x_labels.index(str(axis))] - 1) * gap
        total *= int(((places >= 0) & (places <= last) & (places % gap == 0)).sum())
    return total


def parse(text: str) -> Module:
    """Read the text of an optimised program, as `jax.stages.Compiled.as_text` gives it.

    Args:
        text: the program.

    Returns:
        Its computations.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> program = jax.jit(lambda a: jnp.sin(a @ a)).lower(jnp.ones((8, 8))).compile()
        >>> module = parse(program.as_text() or "")
        >>> sum(kernel.flops for kernel in module.kernels(module.entry))
        1024
    """
    computations: dict[str, dict[str, Instruction]] = {}
    entry, current = "", {}
    for line in text.splitlines():
        if line.endswith("{") and " -> " in line and not line.startswith("  "):
            name = line.removeprefix("ENTRY ").split()[0].lstrip("%").split("(")[0]
            current = computations.setdefault(name, {})
            entry = name if line.startswith("ENTRY") else entry
            continue
        found = _LINE.match(line)
        if not found:
            continue
        name, shape, op, rest = found.groups()
        shapes = tuple(
            (kind, tuple(int(n) for n in sizes.split(",") if n), "S(1)" in layout)
            for kind, sizes, layout in _SHAPE.findall(shape)
        )
        current[name] = Instruction(name, op, shapes, tuple(_NAMED.findall(_arguments(rest))), rest)
    return Module(computations, entry)


def _arguments(rest: str) -> str:
    """Return the text up to the bracket that closes the operands of an instruction."""
    depth = 1
    for place, letter in enumerate(rest):
        depth += (letter == "(") - (letter == ")")
        if not depth:
            return rest[:place]
    return rest
