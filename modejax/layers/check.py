"""Test a family of layers against the requirements of `base`, and report failures as sentences."""

from __future__ import annotations

import copy
import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from modejax.extent import Extent
from modejax.layers._check_tools import (
    CLOSE,
    FEW,
    MANY,
    MORE,
    Report,
    StopError,
    difference,
    inputs,
    loss_of,
    moved,
    moving,
    named,
    quick,
)
from modejax.layers.base import Family, LayerParams, Modes, plus_bias
from modejax.layers.convolution import ConvFamily, by_lax

__all__ = ["check_family"]


def check_family(family: Any, *, fan_in: int = 6, fan_out: int = 5, modes: int = 3) -> list[str]:
    """Test whether a family meets the requirements of `Family`, on small sizes and in float64.

    The record is hashable and equal by value; `init` gives padding of exactly 0 and entries that do not depend on a
    capacity; `apply`, `kernel`, `bias` and `modes` agree, for one example, few and many; `cut` keeps the modes marked;
    `trainable` has the structure of the parameters; gradients agree with finite differences, and are 0 on padding;
    different seeds give different initial values.

    Args:
        family: the family, an instance.
        fan_in: inputs, at least 2.
        fan_out: outputs, at least 2.
        modes: the number of modes, for a family that takes one.

    Returns:
        One sentence for each failure; empty if the family meets all requirements.

    Example:
        >>> from modejax import layers
        >>> check_family(layers.Mode())
        []
        >>> check_family(layers.Mode)
        ['Mode is a class; give an instance of it, such as Mode()']
    """
    report = Report([])
    _record(report, family)
    if report.messages:
        return report.messages
    count = None if family.takes_modes == "none" else modes
    with jax.enable_x64(True), jax.default_matmul_precision("highest"):
        try:
            params = _start(report, family, fan_in, fan_out, count)
        except StopError:
            return report.messages
        report.attempt(_padding, family, params, (fan_in, fan_out, count))
        # A residual path in a family shows only if there are as many inputs as outputs.
        for n_out in (fan_out, fan_in):
            report.attempt(_application, family, fan_in, n_out, count)
        report.attempt(_sum_of_modes, family, params)
        report.attempt(_gradients, family, params, fan_in)
        report.attempt(_number, family, params, (fan_in, fan_out, count))
    return report.messages


def _record(report: Report, family: Any) -> None:
    """Check the record itself, on which all later checks rely."""
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


def _start(report: Report, family: Family, fan_in: int, fan_out: int, modes: int | None) -> LayerParams:
    """Return initial parameters, after checks of the results of `init`, `trainable` and `kernel`."""

    def begin(key: Any) -> LayerParams:
        params = report.call("init", lambda: family.init(key, fan_in, fan_out, modes))
        if not (isinstance(params, tuple) and hasattr(params, "_fields")):
            report.stop(f"init returns {type(params).__name__}; return a NamedTuple of arrays")
        for name, leaf in named(params):
            if not isinstance(leaf, jax.Array | np.ndarray):
                report.stop(f"init gives {name} as {type(leaf).__name__}; make it an array")
            if jnp.issubdtype(leaf.dtype, jnp.floating) and leaf.dtype != jnp.float64:
                report.say(f"init gives {name} in {leaf.dtype} where float64 is the default; leave the type out")
        kernel = report.call("kernel", lambda: family.kernel(params))
        if kernel.shape[:2] != (fan_out, fan_in) or kernel.ndim != 2 + family.space:
            wanted = f"(fan_out, fan_in{', *window' * bool(family.space)}) = ({fan_out}, {fan_in})"
            report.stop(f"kernel has the shape {kernel.shape}; expected {wanted}")
        return params

    start = quick(begin)
    params, other = (jax.device_get(start(jax.random.key(seed))) for seed in (0, 1))
    chosen = report.call("trainable", lambda: family.trainable(params))
    if jax.tree.structure(chosen) != jax.tree.structure(params):
        report.stop("trainable has another structure than the parameters; return the same NamedTuple, of bools")
    for (name, leaf), moves in zip(named(params), jax.tree.leaves(chosen), strict=True):
        floating = jnp.issubdtype(leaf.dtype, jnp.floating)
        if not isinstance(moves, bool):
            report.stop(f"trainable gives {type(moves).__name__} for {name}; give True or False")
        if moves and not floating:
            report.stop(
                f"trainable marks {name}, which is of the type {leaf.dtype}; only floating arrays can be trained"
            )
        if floating and not np.isfinite(leaf).all():
            report.stop(f"init gives {name} entries that are not finite")
    if not any(jax.tree.leaves(chosen)):
        report.stop("trainable marks nothing, so that there is nothing to train")
    if all(np.array_equal(one, two) for one, two in zip(jax.tree.leaves(params), jax.tree.leaves(other), strict=True)):
        report.say("two seeds give the same start; draw the weights from the key")
    return params


def _padding(report: Report, family: Family, params: LayerParams, sizes: tuple[int, int, int | None]) -> None:
    """Compare the initial parameters at padded, traced sizes with those at the plain sizes."""
    known = [size for size in sizes if size is not None]

    def start(key: Any, *active: Any) -> LayerParams:
        return family.init(key, *(Extent(n + m, a) for n, m, a in zip(known, MORE, active, strict=False)))

    traced = [jnp.asarray(size, jnp.int32) for size in known]
    hint = (
        "sizes are traced in a sweep: draw arrays by modejax.draws, such as draws.normal_matrix(key, fan_out, fan_in), "
        "use fan_in.size in formulas, and never int(size)"
    )
    padded = report.call("init with padded sizes", lambda: quick(start)(jax.random.key(0), *traced), hint)
    if jax.tree.structure(padded) != jax.tree.structure(params):
        report.stop("init gives another structure among padding")
    before = len(report.messages)
    for (name, small), large in zip(named(params), jax.tree.leaves(padded), strict=True):
        large = np.array(large)
        if small.ndim != large.ndim or any(a > b for a, b in zip(small.shape, large.shape, strict=True)):
            report.say(f"init gives {name} the shape {large.shape} among padding and {small.shape} alone")
            continue
        if not jnp.issubdtype(small.dtype, jnp.floating):
            continue
        inside = tuple(slice(n) for n in small.shape)
        off = difference(large[inside], small)
        if off > CLOSE:
            report.say(
                f"init gives {name} other entries among padding (width {sizes[1]} in a capacity of "
                f"{sizes[1] + MORE[1]} is off by {off:.2g}): an entry may depend on the key and its indices "
                "only, as those of modejax.draws do, and a scale on Extent.size"
            )
        large[inside] = 0
        if large.any():
            report.say(f"init leaves {name} up to {np.abs(large).max():.2g} on the padding; multiply by Extent.mask")
    if len(report.messages) == before:
        _padded_application(report, family, params, padded, sizes)


def _padded_application(
    report: Report, family: Family, params: LayerParams, padded: LayerParams, sizes: tuple[int, int, int | None]
) -> None:
    """Compare outputs and gradients of padded initial parameters with those without padding."""

    @quick
    def both(params: LayerParams, padded: LayerParams) -> tuple[Any, Any, list[Any]]:
        x = inputs(family, family.kernel(params), sizes[0], (FEW,))
        wide = jnp.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, MORE[0])])
        leaves, loss = loss_of(family, padded, wide, sizes[1])
        return family.apply(params, x), family.apply(padded, wide), jax.grad(loss)(leaves)

    expected, z, slopes = jax.device_get(both(params, padded))
    found = difference(z[..., : sizes[1]], expected)
    if found > CLOSE:
        report.say(f"apply gives other outputs among padding, off by {found:.2g}")
    if z[..., sizes[1] :].any():
        report.say("apply gives padded units outputs that are not 0")
    alone = dict(named(params))
    for (name, _), slope in zip(moving(family, padded), slopes, strict=True):
        slope = np.array(slope)
        slope[tuple(slice(n) for n in alone[name].shape)] = 0
        if slope.any():
            report.say(f"{name} has a gradient on the padding, which training would move away from 0")


def _application(report: Report, family: Family, fan_in: int, fan_out: int, modes: int | None) -> None:
    """Compare `apply` with kernel and bias for several shapes of leading axes, and under vmap over members."""
    batches = ((), (FEW,), (MANY,), (2, 3))

    def one(params: LayerParams, batch: tuple[int, ...]) -> tuple[Any, Any]:
        kernel, bias = family.kernel(params), family.bias(params)
        if bias is not None and bias.shape != (fan_out,):
            report.stop(f"bias has the shape {bias.shape}; expected (fan_out,) = ({fan_out},)")
        x = inputs(family, kernel, fan_in, batch)
        z = report.call(f"apply to inputs of the shape {x.shape}", lambda: family.apply(params, x))
        if isinstance(family, ConvFamily):
            expected = by_lax(family.where, kernel, x)
        else:
            expected = family.apply_kernel(kernel, x) if family.space else x @ kernel.T
        expected = plus_bias(expected, bias)
        if z.shape != expected.shape:
            report.stop(f"apply gives the shape {z.shape} for inputs of the shape {x.shape}; expected {expected.shape}")
        return z, expected

    @quick
    def everything() -> tuple[list[tuple[Any, Any]], Any]:
        keys = jax.random.split(jax.random.key(4), 2)
        start = report.call("init under vmap", lambda: jax.vmap(lambda k: family.init(k, fan_in, fan_out, modes))(keys))
        members = jax.vmap(lambda params: moved(family, params))(start)
        alone = jax.tree.map(lambda leaf: leaf[1], members)
        x = inputs(family, family.kernel(alone), fan_in, (FEW,))
        together = report.call("apply under vmap", lambda: jax.vmap(family.apply, (0, None))(members, x))
        return [one(alone, batch) for batch in batches], together[1]

    pairs, member = jax.device_get(everything())
    for batch, (z, expected) in zip(batches, pairs, strict=True):
        if difference(z, expected) > CLOSE:
            rows = f"leading axes {batch}" if batch else "a single example"
            report.stop(
                f"apply differs from x W^T + b by {difference(z, expected):.2g} ({fan_in} inputs, {fan_out} outputs, "
                f"{rows}); what apply does beyond kernel and bias is lost wherever the kernel stands for the layer"
            )
    if difference(member, pairs[1][0]) > CLOSE:
        report.say("members of a batch give other outputs than the same networks alone")


def _sum_of_modes(report: Report, family: Family, params: LayerParams) -> None:
    """Compare the sum of modes with the kernel, for all modes and after `cut`."""

    def matrix(params: LayerParams) -> Any:
        kernel = family.kernel(params)
        return kernel.reshape(len(kernel), -1)

    def added(modes: Modes, weight: Any) -> Any:
        return (modes.xi_out * weight[None, :]) @ modes.xi_in

    def compared(params: LayerParams) -> tuple[Any, ...] | None:
        params = moved(family, params)
        modes = report.call("modes", lambda: family.modes(params))
        if modes is None:
            return None
        kernel, count = matrix(params), modes.weight.shape[0]
        shapes = (modes.xi_out.shape, modes.xi_in.shape, modes.active.shape)
        if shapes != ((kernel.shape[0], count), (count, kernel.shape[1]), (count,)):
            report.stop(f"modes have the shapes {shapes} of xi_out, xi_in and active for {count} weights")
        keep = jnp.arange(count) % 2 == 0
        cut = report.call("cut", lambda: family.cut(params, keep), "a family with modes needs it")
        if jax.tree.structure(cut) != jax.tree.structure(params):
            report.stop("cut returns another structure than the parameters")
        kept = added(modes, jnp.where(keep, modes.weight, 0))
        return added(modes, modes.weight), kernel, matrix(cut), kept

    found = jax.device_get(quick(compared)(params))
    if found is None:
        return
    every, kernel, cut, kept = found
    if difference(every, kernel) > CLOSE:
        report.stop(f"the kernel differs from the sum of its modes by {difference(every, kernel):.2g}")
    if difference(cut, kept) > CLOSE:
        report.say(f"the kernel cut to some modes differs from the sum of those by {difference(cut, kept):.2g}")


def _gradients(report: Report, family: Family, params: LayerParams, fan_in: int) -> None:
    """Compare gradients with central differences, leaf by leaf, along a direction."""
    rng, step = np.random.default_rng(3), 1e-6
    trained = moving(family, params)
    along = [jnp.asarray(rng.normal(size=leaf.shape)) for _, leaf in trained]

    @quick
    def compared(params: LayerParams) -> tuple[Any, ...]:
        params = moved(family, params)
        penalty = report.call("penalty", lambda: jnp.asarray(family.penalty(params)))
        if penalty.shape != ():
            report.stop(f"penalty has the shape {penalty.shape}; expected one number of the shape ()")
        leaves, loss = loss_of(family, params, inputs(family, family.kernel(params), fan_in, (FEW,)))

        def ahead(which: Any, size: Any) -> Any:
            steps = [jnp.where(which == i, size, 0.0) * each for i, each in enumerate(along)]
            return loss([leaf + each for leaf, each in zip(leaves, steps, strict=True)])

        which = jnp.arange(len(leaves))
        ends = [jax.vmap(ahead, (0, None))(which, sign * step) for sign in (1, -1)]
        return penalty, jax.grad(loss)(leaves), (ends[0] - ends[1]) / (2 * step)

    penalty, slopes, differences = jax.device_get(compared(params))
    if not np.isfinite(penalty):
        report.say(f"penalty gives {penalty}, which is not finite")
    for (name, _), slope, direction, expected in zip(trained, slopes, along, differences, strict=True):
        seen = float(np.sum(slope * np.asarray(direction)))
        if not np.isfinite(slope).all():
            report.say(f"the gradient of {name} is not finite")
        elif abs(seen - expected) > 1e-5 * max(1.0, abs(expected)):
            report.say(
                f"the gradient of {name} along a direction is {seen:.6g}, but finite differences give {expected:.6g}; "
                "a stop_gradient, or a rounding, lies between it and the output"
            )


def _number(report: Report, family: Family, params: LayerParams, sizes: tuple[int, int, int | None]) -> None:
    """Check that `num_parameters` is not larger than the number of trained entries."""
    count = report.call("num_parameters", lambda: family.num_parameters(*sizes))
    most = sum(leaf.size for _, leaf in moving(family, params))
    if not isinstance(count, int) or not 0 < count <= most:
        report.say(f"num_parameters gives {count!r}, but {most} entries are trained")
