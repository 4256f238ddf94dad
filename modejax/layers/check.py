"""Whether a family of a user's own keeps the contract of `base`, in words."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from modejax.extent import Extent
from modejax.layers.base import Family, LayerParams, plus_bias
from modejax.layers.convolution import ConvFamily, by_lax

__all__ = ["check_family"]

_CLOSE = 1e-8
"""Relative difference up to which two numbers in float64 that should be the same are."""
_FEW, _MANY = 4, 300
"""Rows with which a family is applied: it may choose its way by their number."""


class _FailedError(Exception):
    """A check that cannot go on; its message is in the list."""


class _Report(NamedTuple):
    messages: list[str]

    def say(self, message: str) -> None:
        if message not in self.messages:
            self.messages.append(message)

    def call(self, what: str, function: Callable[[], Any], hint: str = "") -> Any:
        """Return the value of a call; an exception becomes a message."""
        try:
            return function()
        except Exception as error:
            first = (str(error).strip().splitlines() or ["no message"])[0]
            self.say(f"{what} raised {type(error).__name__}: {first}{'; ' * bool(hint)}{hint}")
            raise _FailedError from error

    def attempt(self, check: Callable[..., None], *arguments: Any) -> None:
        """Run one check to its end or its first exception."""
        with contextlib.suppress(_FailedError):
            self.call(f"the check {check.__name__.strip('_')}", lambda: check(self, *arguments))


def check_family(family: Any, *, fan_in: int = 6, fan_out: int = 5, modes: int = 3) -> list[str]:
    """Test the contract of a family on small sizes, in float64.

    The record is hashable and equal by value; `init` gives padding of exactly 0 and entries that do not depend on a
    capacity; `apply`, `kernel`, `bias` and `modes` agree, for one example, few and many; `cut` keeps the modes marked;
    `trainable` has the structure of the parameters; gradients are those of finite differences, and 0 on padding;
    different seeds start differently.

    Args:
        family: the family, an instance.
        fan_in: inputs, at least 2.
        fan_out: outputs, at least 2.
        modes: the number of modes, for a family that takes one.

    Returns:
        What is wrong, one sentence each; empty for a sound family.

    Example:
        >>> from modejax import layers
        >>> check_family(layers.Mode())
        []
        >>> check_family(layers.Mode)
        ['Mode is a class; give an instance of it, such as Mode()']
    """
    report = _Report([])
    _record(report, family)
    if report.messages:
        return report.messages
    count = None if family.takes_modes == "none" else modes
    with jax.enable_x64(True), jax.default_matmul_precision("highest"):
        try:
            params = _start(report, family, fan_in, fan_out, count)
        except _FailedError:
            return report.messages
        report.attempt(_padding, family, params, (fan_in, fan_out, count))
        # A residual path shows only where inputs are as many as outputs.
        for n_out in (fan_out, fan_in):
            report.attempt(_application, family, fan_in, n_out, count)
        moved = _moved(family, params)
        report.attempt(_sum_of_modes, family, moved)
        report.attempt(_gradients, family, moved, fan_in)
        report.attempt(_members, family, fan_in, fan_out, count)
        report.attempt(_number, family, params, (fan_in, fan_out, count))
    return report.messages


def _record(report: _Report, family: Any) -> None:
    """Check the record itself; later checks need it sound."""
    if isinstance(family, type):
        report.say(f"{family.__name__} is a class; give an instance of it, such as {family.__name__}()")
        return
    if not isinstance(family, Family):
        what = "a function" if callable(family) else f"an object of the type {type(family).__name__}"
        report.say(f"{what} is no family; give an instance of a frozen dataclass derived from modejax.layers.Family")
        return
    kind = type(family)
    fields = {field.name for field in dataclasses.fields(family)}
    cached = {name for each in kind.__mro__ for name, value in vars(each).items() if _is_cached(value)}
    bare = "__dataclass_fields__" not in vars(kind)
    outside = sorted({*vars(family), *(vars(kind).get("__annotations__", {}) if bare else {})} - fields - cached)
    if outside:
        report.say(
            f"{kind.__name__} keeps {', '.join(outside)} outside of its fields, so that two different records count as "
            "equal; decorate the class with @dataclasses.dataclass(frozen=True)"
        )
    if not kind.__dataclass_params__.eq:  # pyright: ignore[reportAttributeAccessIssue]
        report.say(f"{kind.__name__} is a dataclass with eq=False and is not compared by its fields; leave eq out")
    if family.takes_modes not in ("none", "optional", "required"):
        report.say(f"takes_modes is {family.takes_modes!r}; allowed: none, optional, required")
    try:
        value = hash(family)
    except Exception as error:
        report.say(f"{kind.__name__} is not hashable ({error}); keep arrays, lists and dicts out of its fields")
        return
    other = copy.deepcopy(family)
    if other != family or hash(other) != value:
        report.say(f"{kind.__name__} is not equal to its copy; give the objects in its fields equality by value")


def _is_cached(value: Any) -> bool:
    return isinstance(value, functools.cached_property)


def _start(report: _Report, family: Family, fan_in: int, fan_out: int, modes: int | None) -> LayerParams:
    """Return initial parameters after checks of what `init`, `trainable` and `kernel` give."""
    key = jax.random.key(0)
    params = report.call("init", lambda: family.init(key, fan_in, fan_out, modes))
    if not (isinstance(params, tuple) and hasattr(params, "_fields")):
        report.say(f"init returns {type(params).__name__}; return a NamedTuple of arrays")
        raise _FailedError
    for name, leaf in _named(params):
        if not isinstance(leaf, jax.Array | np.ndarray):
            report.say(f"init gives {name} as {type(leaf).__name__}; make it an array")
            raise _FailedError
        if jnp.issubdtype(leaf.dtype, jnp.floating):
            if leaf.dtype != jnp.float64:
                report.say(f"init gives {name} in {leaf.dtype} where float64 is the default; leave the type out")
            if not np.isfinite(leaf).all():
                report.say(f"init gives {name} entries that are not finite")
    chosen = report.call("trainable", lambda: family.trainable(params))
    if jax.tree.structure(chosen) != jax.tree.structure(params):
        report.say("trainable has another structure than the parameters; return the same NamedTuple, of bools")
        raise _FailedError
    moving = []
    for (name, leaf), move in zip(_named(params), jax.tree.leaves(chosen), strict=True):
        if not isinstance(move, bool):
            report.say(f"trainable gives {type(move).__name__} for {name}; give True or False")
            raise _FailedError
        if move and not jnp.issubdtype(leaf.dtype, jnp.floating):
            report.say(
                f"trainable marks {name}, which is of the type {leaf.dtype}; only floating arrays can be trained"
            )
            raise _FailedError
        if move:
            moving.append(name)
    if not moving:
        report.say("trainable marks nothing, so that there is nothing to train")
        raise _FailedError
    other = report.call("init with another key", lambda: family.init(jax.random.key(1), fan_in, fan_out, modes))
    pairs = zip(jax.tree.leaves(params), jax.tree.leaves(other), strict=True)
    if all(np.array_equal(a, b) for a, b in pairs):
        report.say("two seeds give the same start; draw the weights from the key")
    kernel = report.call("kernel", lambda: family.kernel(params))
    if kernel.shape[:2] != (fan_out, fan_in) or kernel.ndim != 2 + family.space:
        window = ", *window" if family.space else ""
        report.say(f"kernel has the shape {kernel.shape}; expected (fan_out, fan_in{window}) = ({fan_out}, {fan_in})")
        raise _FailedError
    return params


def _padding(report: _Report, family: Family, params: LayerParams, sizes: tuple[int, int, int | None]) -> None:
    """Compare the start among padding, with traced sizes, with the start alone."""
    more = (3, 4, 2)
    known = [size for size in sizes if size is not None]

    def start(key: Any, *active: Any) -> LayerParams:
        return family.init(key, *(Extent(n + m, a) for n, m, a in zip(known, more, active, strict=False)))

    traced = [jnp.asarray(size, jnp.int32) for size in known]
    hint = "sizes are traced in a sweep: use Extent.mask and Extent.size, and never int(size)"
    padded = report.call("init with padded sizes", lambda: jax.jit(start)(jax.random.key(0), *traced), hint)
    if jax.tree.structure(padded) != jax.tree.structure(params):
        report.say("init gives another structure among padding")
        return
    for (name, small), large in zip(_named(params), jax.tree.leaves(padded), strict=True):
        small, large = np.asarray(small), np.array(large)
        if small.ndim != large.ndim or any(a > b for a, b in zip(small.shape, large.shape, strict=True)):
            report.say(f"init gives {name} the shape {large.shape} among padding and {small.shape} alone")
            continue
        if not jnp.issubdtype(small.dtype, jnp.floating):
            continue
        inside = tuple(slice(n) for n in small.shape)
        difference = _difference(large[inside], small)
        if difference > _CLOSE:
            report.say(
                f"init gives {name} other entries among padding (width {sizes[1]} in a capacity of {sizes[1] + 4} is "
                f"off by {difference:.2g}): an entry may depend on the key and its indices only, as those of "
                "modejax.draws do, and a scale on Extent.size"
            )
        large[inside] = 0
        if large.any():
            report.say(f"init leaves {name} up to {np.abs(large).max():.2g} on the padding; multiply by Extent.mask")
    if report.messages:
        return
    x = _inputs(family, family.kernel(params), sizes[0], (_FEW,))
    wide = jnp.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, more[0])])
    z, expected = family.apply(padded, wide), family.apply(params, x)
    if _difference(z[..., : sizes[1]], expected) > _CLOSE:
        report.say(f"apply gives other outputs among padding, off by {_difference(z[..., : sizes[1]], expected):.2g}")
    if np.asarray(z[..., sizes[1] :]).any():
        report.say("apply gives padded units outputs that are not 0")
    slope = jax.tree.leaves(_loss_gradient(family, padded, wide))
    for (name, leaf), gradient in zip(_moving(family, padded), slope, strict=True):
        if np.asarray(gradient)[np.asarray(_outside(leaf, name, params))].any():
            report.say(f"{name} has a gradient on the padding, which training would move away from 0")


def _outside(leaf: Any, name: str, params: LayerParams) -> np.ndarray:
    """Return True on the padding of a leaf, whose own size is that of the parameters alone."""
    small = dict(_named(params))[name]
    outside = np.ones(leaf.shape, bool)
    outside[tuple(slice(n) for n in small.shape)] = False
    return outside


def _application(report: _Report, family: Family, fan_in: int, fan_out: int, modes: int | None) -> None:
    """Compare `apply` with kernel and bias for any leading axes."""
    params = _moved(family, family.init(jax.random.key(2), fan_in, fan_out, modes))
    kernel, bias = family.kernel(params), family.bias(params)
    if bias is not None and bias.shape != (fan_out,):
        report.say(f"bias has the shape {bias.shape}; expected (fan_out,) = ({fan_out},)")
        return
    for batch in ((), (_FEW,), (_MANY,), (2, 3)):
        x = _inputs(family, kernel, fan_in, batch)
        where = f"inputs of the shape {x.shape}"
        z = report.call(f"apply to {where}", lambda x=x: family.apply(params, x))
        if isinstance(family, ConvFamily):
            expected = by_lax(family.where, kernel, x)
        elif family.space:
            expected = report.call("apply_kernel", lambda x=x: family.apply_kernel(kernel, x))
        else:
            expected = x @ kernel.T
        expected = plus_bias(expected, bias)
        if z.shape != expected.shape:
            report.say(f"apply gives the shape {z.shape} for {where}; expected {expected.shape}")
            return
        if _difference(z, expected) > _CLOSE:
            report.say(
                f"apply differs from x W^T + b by {_difference(z, expected):.2g} ({fan_in} inputs, {fan_out} outputs, "
                f"{where}); what apply does beyond kernel and bias is lost wherever the kernel stands for the layer"
            )
            return


def _sum_of_modes(report: _Report, family: Family, params: LayerParams) -> None:
    """Compare the modes with the kernel, all of them and some."""
    modes = family.modes(params)
    if modes is None:
        return
    count = modes.weight.shape[0]
    matrix = family.kernel(params)
    matrix = matrix.reshape(len(matrix), -1)
    shapes = (modes.xi_out.shape, modes.xi_in.shape, modes.active.shape)
    if shapes != ((matrix.shape[0], count), (count, matrix.shape[1]), (count,)):
        report.say(f"modes have the shapes {shapes} of xi_out, xi_in and active, which do not fit {count} weights")
        return
    added = (modes.xi_out * modes.weight[None, :]) @ modes.xi_in
    if _difference(added, matrix) > _CLOSE:
        report.say(f"the kernel differs from the sum of its modes by {_difference(added, matrix):.2g}")
        return
    keep = jnp.arange(count) % 2 == 0
    cut = report.call("cut", lambda: jax.jit(family.cut)(params, keep), "a family with modes needs a method cut")
    if jax.tree.structure(cut) != jax.tree.structure(params):
        report.say("cut returns another structure than the parameters")
        return
    kept = (modes.xi_out * jnp.where(keep, modes.weight, 0)[None, :]) @ modes.xi_in
    found = family.kernel(cut).reshape(matrix.shape)
    if _difference(found, kept) > _CLOSE:
        report.say(
            f"cut to {int(keep.sum())} of {count} modes, the kernel differs from the sum of those by "
            f"{_difference(found, kept):.2g}"
        )


def _gradients(report: _Report, family: Family, params: LayerParams, fan_in: int) -> None:
    """Compare gradients with central differences, leaf by leaf, along a direction."""
    value = report.call("penalty", lambda: jnp.asarray(family.penalty(params)))
    if value.shape != () or not np.isfinite(value):
        report.say(f"penalty gives {value}; expected one finite number of the shape ()")
        return
    x = _inputs(family, family.kernel(params), fan_in, (_FEW,))
    leaves, function = _loss(family, params, x)
    found = report.call("the gradient", lambda: jax.grad(function)(leaves))
    rng = np.random.default_rng(3)
    for index, (name, leaf) in enumerate(_moving(family, params)):
        slope = np.asarray(found[index])
        if not np.isfinite(slope).all():
            report.say(f"the gradient of {name} is not finite")
            continue
        along, step = rng.normal(size=leaf.shape), 1e-6
        ends = [
            function([each + sign * step * along if i == index else each for i, each in enumerate(leaves)])
            for sign in (1, -1)
        ]
        expected, seen = float(ends[0] - ends[1]) / (2 * step), float(np.sum(slope * along))
        if abs(seen - expected) > 1e-5 * max(1.0, abs(expected)):
            report.say(
                f"the gradient of {name} along a direction is {seen:.6g}, but finite differences give {expected:.6g}; "
                "a stop_gradient, or a rounding, lies between it and the output"
            )


def _members(report: _Report, family: Family, fan_in: int, fan_out: int, modes: int | None) -> None:
    """Compare members of a batch with the same networks alone."""
    key = jax.random.split(jax.random.key(4), 2)
    starts = report.call("init under vmap", lambda: jax.vmap(lambda k: family.init(k, fan_in, fan_out, modes))(key))
    alone = family.init(key[1], fan_in, fan_out, modes)
    x = _inputs(family, family.kernel(alone), fan_in, (_FEW,))
    z = report.call("apply under vmap over members", lambda: jax.vmap(family.apply, (0, None))(starts, x))
    if _difference(z[1], family.apply(alone, x)) > _CLOSE:
        report.say("members of a batch give other outputs than the same networks alone")


def _number(report: _Report, family: Family, params: LayerParams, sizes: tuple[int, int, int | None]) -> None:
    """Check that the count is not above what is trained."""
    count = report.call("num_parameters", lambda: family.num_parameters(*sizes))
    most = sum(leaf.size for _, leaf in _moving(family, params))
    if not isinstance(count, int) or not 0 < count <= most:
        report.say(f"num_parameters gives {count!r}, but {most} entries are trained")


def _inputs(family: Family, kernel: Any, fan_in: int, batch: tuple[int, ...]) -> jax.Array:
    """Draw inputs with the leading axes of `batch`; images are a little larger than the window."""
    space = tuple(n + 3 for n in kernel.shape[2:])
    if isinstance(family, ConvFamily):
        where = family.where
        space = tuple((n - 1) * d + 4 for n, d in zip(where.window, where.kernel_dilation, strict=True))
    return jnp.asarray(np.random.default_rng(5).normal(size=(*batch, *space, fan_in)))


def _moved(family: Family, params: LayerParams) -> LayerParams:
    """Return parameters a little off the start, so that biases, too, are not 0."""
    rng = np.random.default_rng(6)

    def move(leaf: Any, moves: bool) -> Any:
        return leaf + 0.1 * jnp.asarray(rng.normal(size=leaf.shape)) if moves else leaf

    return jax.tree.map(move, params, family.trainable(params))


def _moving(family: Family, params: LayerParams) -> list[tuple[str, Any]]:
    chosen = jax.tree.leaves(family.trainable(params))
    return [pair for pair, moves in zip(_named(params), chosen, strict=True) if moves]


def _loss(family: Family, params: LayerParams, x: jax.Array) -> tuple[list[Any], Callable[[list[Any]], jax.Array]]:
    """Return the trained leaves and a loss of them without symmetries."""
    leaves, tree = jax.tree.flatten(params)
    chosen = jax.tree.leaves(family.trainable(params))

    def loss(moving: list[Any]) -> jax.Array:
        parts = iter(moving)
        full = tree.unflatten([next(parts) if moves else leaf for leaf, moves in zip(leaves, chosen, strict=True)])
        z = family.apply(full, x)
        weight = jnp.asarray(np.random.default_rng(7).normal(size=z.shape))
        return jnp.sum(jnp.sin(z) * weight) + family.penalty(full)

    return [leaf for leaf, moves in zip(leaves, chosen, strict=True) if moves], loss


def _loss_gradient(family: Family, params: LayerParams, x: jax.Array) -> list[Any]:
    leaves, loss = _loss(family, params, x)
    return jax.grad(loss)(leaves)


def _named(params: LayerParams) -> list[tuple[str, Any]]:
    paths = jax.tree_util.tree_leaves_with_path(params)
    return [(jax.tree_util.keystr(path).lstrip("."), leaf) for path, leaf in paths]


def _difference(one: Any, other: Any) -> float:
    """Return the largest difference, in units of the largest of the second where that is above 1."""
    one, other = np.asarray(one, np.float64), np.asarray(other, np.float64)
    if one.size == 0:
        return 0.0
    found = float(np.max(np.abs(one - other)) / max(1.0, float(np.max(np.abs(other)))))
    return found if np.isfinite(found) else float("inf")
