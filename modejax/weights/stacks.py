"""Layers that are stacked in one array: scanned and vmapped modules."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from modejax.weights.arrays import Fact
from modejax.weights.roles import BIASES, NORM_PARTS, split

__all__ = ["find_stacks"]


def find_stacks(
    names: Collection[str], shapes: Mapping[str, tuple[int, ...]], facts: Mapping[str, Fact]
) -> dict[str, tuple[int, str, str]]:
    """Find the arrays that are stacks of one array for each of several layers.

    A bias (layers, n) beside a kernel (layers, ..., n), or a norm's (layers, n), shows it for its module; the widest
    module around it whose arrays all have the leading axis is taken whole.

    Args:
        names: names of the arrays that may be weights.
        shapes: shapes of all arrays, by name.
        facts: information about some arrays from the file.

    Returns:
        For each such array the number of layers, the evidence, and the module around them.

    Example:
        >>> shapes = {"mlp.fc.kernel": (4, 8, 16), "mlp.fc.bias": (4, 16)}
        >>> find_stacks(list(shapes), shapes, {})["mlp.fc.kernel"]
        (4, 'bias mlp.fc.bias has 4 rows', 'mlp.fc')
    """
    found: dict[str, tuple[int, str, str]] = {}
    inside: dict[str, list[str]] = {}
    for key in names:
        parts = key.split(".")
        for place in range(len(parts)):
            inside.setdefault(".".join(parts[:place]), []).append(key)
    for key in names:
        if key in found or key in facts:
            continue
        evidence = _stack_of(key, names, shapes)
        if evidence is None:
            continue
        count, why = evidence
        scope = above = split(key)[0]
        while above:
            above = split(above)[0]
            if not all(_leads(shapes[each], count) for each in inside[above]):
                break
            if len(inside[above]) > len(inside[scope]):
                scope = above
        for each in inside[scope]:
            if _leads(shapes[each], count):
                found.setdefault(each, (count, why, scope))
    return found


def _leads(shape: tuple[int, ...], count: int) -> bool:
    return bool(shape) and shape[0] == count


def _stack_of(key: str, names: Collection[str], shapes: Mapping[str, tuple[int, ...]]) -> tuple[int, str] | None:
    shape = shapes[key]
    if len(shape) != 2 or shape[0] < 2:
        return None
    name, last = split(key)
    if BIASES.match(last):
        for other in ("kernel", "weight"):
            kernel = shapes.get(f"{name}.{other}" if name else other)
            if kernel is None or len(kernel) < 3 or kernel[0] != shape[0]:
                continue
            # A bias over two axes of one map, (heads, size), stands beside (in, heads, size).
            heads = len(kernel) == 3 and kernel[1:] == shape
            out = kernel[-1] if other == "kernel" else kernel[1]
            if out == shape[1] and not heads:
                return shape[0], f"bias {key} has {shape[0]} rows"
    parts = {each for some in NORM_PARTS.values() for each in some}
    beside = {split(other)[1] for other in names if split(other)[0] == name}
    if last in parts - {"weight", "kernel", "g"} and beside <= parts and not BIASES.match(last):
        return shape[0], f"the norm {name} has {shape[0]} rows"
    return None
