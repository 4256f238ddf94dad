"""The kind and axes of one array, decided by evidence: facts of the file, then lengths, siblings, and names last."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import NamedTuple

from modejax.weights.arrays import Fact
from modejax.weights.axes import Layout
from modejax.weights.roles import split

__all__ = ["Reading", "Undecided", "bias_name", "convention", "read_shape"]

_TORCH = re.compile(r"^(weights?|.*_weight|weight_(ih|hh)(_l\d+)?(_reverse)?|weight_(orig|v))$|original1$")
_GATES = re.compile(r"^weight_(ih|hh)(_l\d+)?(_reverse)?$")
_FLAX = re.compile(r"^(kernel(_v)?|.*_kernel)$")
_OPEN = re.compile(r"^(w|W|coefs?|theta|Theta|matrix)_?\d*$|^.*_(w|W)\d*$|^(w|W)_?(ih|hh|xh|hy|hx|in|out)$")
_LENS_IN = ("W_Q", "W_K", "W_V", "_W_K", "_W_V")
_LENS = ("W_in", "W_out", "W_gate", "W_U", "W_O")
_INTO = re.compile(r"^(query|key|value|q|k|v)(_dense|_proj)?$")
_FROM = re.compile(r"^(out|o|output|attention_output)(_dense|_proj)?$")
_TRANSPOSED = re.compile(r"(deconv|conv_?\d*d?_?t(ranspose)?\d*$|transpose|tconv|upconv)", re.IGNORECASE)


class Reading(NamedTuple):
    """The kind and axes with which an array is read."""

    kind: str
    layout: Layout
    inputs: int = 1
    groups: int = 1
    why: str = "its name"
    sure: bool = True


class Undecided(NamedTuple):
    """The reason why an array is not read, and the information that would decide it."""

    why: str


def convention(last: str, axes: int) -> str:
    """Return the convention to which the last part of a name belongs: torch, flax, lens, open, or an empty text.

    Example:
        >>> convention("weight", 2), convention("kernel", 4), convention("arr_0", 2)
        ('torch', 'flax', '')
    """
    if last in _LENS_IN or last in _LENS:
        return "lens"
    if _TORCH.match(last):
        return "torch"
    if _FLAX.match(last) or (re.fullmatch(r"W\d+", last) and axes == 2):
        return "flax"
    return "open" if _OPEN.match(last) else ""


def bias_name(key: str, shapes: Mapping[str, tuple[int, ...]]) -> str | None:
    """Return the name of the bias of a kernel by the usual pairs of names.

    Example:
        >>> bias_name("fc.weight", {"fc.weight": (2, 3), "fc.bias": (2,)})
        'fc.bias'
    """
    name, last = split(key)
    lasts = []
    for old, new in (
        ("weights", "biases"), ("weight", "bias"), ("kernel", "bias"), ("coefs", "intercepts"), ("coef", "intercept"),
        ("W", "b"), ("w", "b"),
    ):  # fmt: skip
        place = last.rfind(old)
        if place >= 0:
            lasts.append(last[:place] + new + last[place + len(old) :])
    lasts += ["bias"] if last.endswith(("kernel", "weight_v", "weight_orig")) else []
    for each in lasts:
        other = f"{name}.{each}" if name else each
        if other != key and other in shapes:
            return other
    return None


def read_shape(
    key: str,
    shape: tuple[int, ...],
    bias: tuple[int, ...] | None,
    *,
    layout: str | None,
    kind: str | None,
    fact: Fact | None,
    siblings: Mapping[str, tuple[int, ...]],
) -> Reading | Undecided:
    """Decide what an array is.

    Args:
        key: the name of the array.
        shape: the shape of the array of one layer.
        bias: the shape of its bias, if it has one.
        layout: the layout that the user gave for all arrays.
        kind: the kind that the user gave for this array.
        fact: the information about this array from the file.
        siblings: shapes of arrays with the same last part in modules beside its own, by module.

    Returns:
        The kind and axes, or the reason why it cannot be decided.
    """
    name, last = split(key)
    module = name.rsplit(".", 1)[-1]
    if fact is not None and kind is None:
        return Reading(fact.kind, fact.layout, fact.inputs, fact.groups, fact.why or "the file")  # type: ignore[arg-type]
    told = convention(last, len(shape))
    if kind is not None:
        return _as_told(kind, shape, layout or ("flax" if told in ("flax", "lens") else "torch"), bias, last)
    if told == "lens" and layout is None:
        return _lens(last, shape)
    base = layout or {"torch": "torch", "flax": "flax"}.get(told)
    if base is None and told == "":
        return Undecided(
            "its name tells neither that it is a kernel nor the order of its axes; give --layout or --kinds"
        )
    if len(shape) == 2:
        found = _matrix(shape, bias, base, layout is not None, key)
        gates = _GATES.match(last) and isinstance(found, Reading)
        return found._replace(kind="gates", why=f"gates of a recurrent layer; {found.why}") if gates else found
    if base is None:
        return Undecided("neither name nor bias tell the order of its axes; give --layout or --kinds")
    if base == "flax":
        return _flax(module, shape, bias, siblings, layout is not None)
    return _torch(module, shape, bias, layout)


def _as_told(
    kind: str, shape: tuple[int, ...], base: str, bias: tuple[int, ...] | None, last: str
) -> Reading | Undecided:
    plain: Layout = "flax" if base == "flax" else "torch"
    why = "what you say"
    match kind:
        case "linear" | "conv":
            if (len(shape) == 2) != (kind == "linear"):
                return Undecided(
                    f"a {kind} has {'two axes' if kind == 'linear' else 'three axes or more'}, not {shape}"
                )
            if kind == "linear" and bias is not None and last not in ("weight", "kernel"):
                found = _matrix(shape, bias, None, False, last)
                return found._replace(why=why) if isinstance(found, Reading) else Reading(kind, plain, why=why)
            return Reading(kind, plain, why=why)
        case "transposed" if len(shape) > 2:
            if plain == "torch":
                return Reading(kind, "torch_transposed", why=why)
            size = _size(bias)
            return Reading(kind, "flax" if size == shape[-1] and size != shape[-2] else "keras_transposed", why=why)
        case "depthwise" if len(shape) > 2:
            if plain == "torch":
                return Reading(kind, "torch", groups=shape[0], why=why)
            if shape[-2] == 1:
                return Reading(kind, "flax", groups=shape[-1], why=why)
            return Reading(kind, "keras_depthwise", groups=shape[-2], why=why)
        case "heads" if len(shape) > 2:
            return Reading(kind, "lens_heads" if last in _LENS_IN and len(shape) == 3 else "heads", why=why)
        case "heads_out" if len(shape) > 2:
            return Reading(kind, "heads", inputs=len(shape) - 1, why=why)
    return Undecided(f"it has the shape {shape}, which is no {kind}; give another kind")


def _lens(last: str, shape: tuple[int, ...]) -> Reading | Undecided:
    why = "the names of TransformerLens"
    if last in _LENS_IN and len(shape) == 3:
        return Reading("heads", "lens_heads", why=why)
    if last == "W_O" and len(shape) == 3:
        return Reading("heads_out", "heads", 2, why=why)
    if len(shape) == 2 and last != "W_O":
        return Reading("linear", "flax", why=why)
    return Undecided(f"it has the shape {shape}, unlike {last} of TransformerLens; give --kinds")


def _size(shape: tuple[int, ...] | None) -> int | None:
    return None if shape is None else math.prod(shape)


def _matrix(
    shape: tuple[int, ...], bias: tuple[int, ...] | None, base: str | None, insisted: bool, key: str
) -> Reading | Undecided:
    size = _size(bias)
    if size is not None and size not in shape:
        return Undecided(
            f"its bias has {size} numbers, which is neither of its axes {shape}; give --kinds or --exclude it"
        )
    if size is not None and shape[0] != shape[1]:
        found: Layout = "flax" if size == shape[1] else "torch"
        if insisted and (base == "flax") != (found == "flax"):
            return Undecided(f"its bias has {size} numbers, which contradicts the layout {base}; leave --layout out")
        return Reading("linear", found, why=f"its bias of {size}")
    if base is None:
        return Undecided("neither name nor bias tell the order of its axes; give --layout or --kinds")
    return Reading(
        "linear", "flax" if base == "flax" else "torch", why="what you say" if insisted else "its name", sure=insisted
    )


def _torch(
    module: str, shape: tuple[int, ...], bias: tuple[int, ...] | None, layout: str | None
) -> Reading | Undecided:
    size, out, into = _size(bias), shape[0], shape[1]
    hint = bool(_TRANSPOSED.search(module))
    if size is not None and size not in (out, into):
        if size == shape[-1]:
            return Reading("conv", "flax", why=f"its bias of {size} on the last axis")
        if not hint or size % into:
            return Undecided(
                f"its bias has {size} numbers, which is none of its axes {shape}; give --kinds or --exclude it"
            )
        return Reading("transposed", "torch_transposed", groups=size // into, why=f"its name and its bias of {size}")
    if size is not None and out != into:
        if size == into:
            return Reading("transposed", "torch_transposed", why=f"its bias of {size}")
        return Reading("conv", "torch", why=f"its bias of {size}")
    if hint:
        return Reading("transposed", "torch_transposed", why=f"its name {module}", sure=False)
    return Reading("conv", "torch", why="what you say" if layout else "its name", sure=False)


def _flax(
    module: str,
    shape: tuple[int, ...],
    bias: tuple[int, ...] | None,
    siblings: Mapping[str, tuple[int, ...]],
    insisted: bool,
) -> Reading | Undecided:
    size = _size(bias)
    hint = bool(_TRANSPOSED.search(module))
    if len(shape) == 3:
        if bias is not None and len(bias) == 2 and tuple(bias) == shape[1:]:
            return Reading("heads", "heads", why=f"its bias of {bias[0]}x{bias[1]}")
        into = [each for each in siblings if _INTO.match(each.rsplit(".", 1)[-1]) and len(siblings[each]) == 3]
        same = [siblings[each] for each in into]
        if _INTO.match(module) and len(into) > 1 and all(each[1:] == shape[1:] or each[2] == shape[2] for each in same):
            if size is None:
                return Reading("heads", "heads", why="query, key and value beside one another")
        elif (
            _FROM.match(module)
            and len(into) > 1
            and all(each[2] == shape[1] for each in same)
            and size in (None, shape[2])
        ):
            return Reading("heads_out", "heads", 2, why="query, key and value beside it")
        elif (_INTO.match(module) or _FROM.match(module)) and not insisted:
            return Undecided(
                f"it has the shape {shape}: a map of multi-head attention or a convolution; give --kinds NAME=heads, "
                "heads_out or conv"
            )
    if size is not None and size != shape[-1]:
        if size == shape[-2]:
            return Reading("transposed", "keras_transposed", why=f"its bias of {size}")
        if shape[-1] * shape[-2] == size:
            return Reading("depthwise", "keras_depthwise", groups=shape[-2], why=f"its bias of {size}")
        return Undecided(
            f"its bias has {size} numbers, which is none of its axes {shape}; give --kinds or --exclude it"
        )
    if size is not None and shape[-1] != shape[-2]:
        return Reading("transposed" if hint else "conv", "flax", why=f"its bias of {size}")
    if "depthwise" in module.lower() and shape[-2] != 1:
        return Reading("depthwise", "keras_depthwise", groups=shape[-2], why=f"its name {module}", sure=False)
    if hint and "conv2d_transpose" in module.lower():
        return Reading("transposed", "keras_transposed", why=f"its name {module}")
    return Reading("transposed" if hint else "conv", "flax", why="what you say" if insisted else "its name", sure=False)
