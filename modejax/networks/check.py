"""Tests whether a custom network has the properties that sweeps rely on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from modejax.extent import Extent
from modejax.networks.base import Chain, Network, Params

__all__ = ["check_network"]

_CLOSE = 1e-8
_ROWS = 7

Build = Callable[[int | Extent, int | Extent | None], Network]


def check_network(
    build: Build, features: int, *, width: int = 4, capacity: int = 7, modes: int | None = 2, mode_capacity: int = 3
) -> list[str]:
    """Test on small sizes whether a network has the properties that sweeps rely on.

    The tests are: padding (a width inside a larger capacity gives the same initial values and the same outputs, and
    padding is exactly 0), seeds, the structure of `trainable`, gradients, and, if the network has named maps, that
    kernels, modes and `cut` agree with `apply`.

    Args:
        build: `(width, modes) -> Network`; sizes are integers or `Extent`s; modes is None for a network without modes.
        features: number of inputs of the network.
        width: the width for the test.
        capacity: the padded width for the test, larger than `width`.
        modes: the number of modes for the test; None for a network without modes.
        mode_capacity: the padded number of modes for the test.

    Returns:
        One sentence for each failure, most basic first; empty if all tests pass.

    Example:
        >>> from modejax import layers, networks
        >>> check_network(lambda width, modes: networks.mlp([6, width, 3], layers.Mode(), modes), 6)
        []
    """
    with jax.enable_x64(True), jax.default_matmul_precision("highest"):
        try:
            native = build(width, modes)
            if isinstance(native, type) or not isinstance(native, Network):
                return [f"the factory must return a modejax.networks.Network, got {native!r}"]
            init = jax.jit(native.init)  # compiled once for both seeds
            params = _host(init(jax.random.key(0)))
            x = np.random.default_rng(0).standard_normal((_ROWS, features))
            outputs = np.asarray(jax.jit(native.apply)(params, x))
        except Exception as error:
            return [f"a network of width {width} cannot be made or applied: {_first(error)}"]
        found = _shapes(native, params, outputs)
        found += _guarded("seeds", lambda: _seeds(init, params))
        padded = (Extent(capacity, width), None if modes is None else Extent(mode_capacity, modes))
        found += _guarded("padding", lambda: _padding(build(*padded), params, outputs, x, (width, capacity)))
        found += _guarded("gradients", lambda: _gradients(native, params, x))
        if native.map_names:
            found += _guarded("maps", lambda: _maps(native, params, outputs, x))
        return found


def _host(tree: Any) -> Any:
    """Return a tree as NumPy arrays, so that comparisons need no compilation."""
    return jax.tree.map(np.asarray, tree)


def _first(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:300]}"


def _guarded(what: str, test: Callable[[], list[str]]) -> list[str]:
    try:
        return test()
    except Exception as error:
        return [f"{what} could not be tested: {_first(error)}"]


def _apart(a: Any, b: Any) -> float:
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    return float("inf") if a.shape != b.shape else float(np.max(np.abs(a - b), initial=0.0))


def _shapes(network: Network, params: Params, outputs: Any) -> list[str]:
    found = []
    if outputs.ndim != 2 or len(outputs) != _ROWS:
        found.append(f"{_ROWS} inputs give outputs of shape {outputs.shape}; needed: ({_ROWS}, outputs)")
    if not np.all(np.isfinite(outputs)):
        found.append("the outputs of a fresh network are not finite")
    trainable = network.trainable(params)
    if jax.tree.structure(trainable) != jax.tree.structure(params):
        found.append("`trainable` must return a tree of bools of the structure of the parameters")
    elif not any(jax.tree.leaves(trainable)):
        found.append("no parameter is trainable")
    return found


def _seeds(init: Callable[[Any], Params], params: Params) -> list[str]:
    again, other = _host(init(jax.random.key(0))), _host(init(jax.random.key(1)))
    same = [_apart(a, b) == 0 for a, b in zip(jax.tree.leaves(params), jax.tree.leaves(again), strict=True)]
    differs = [_apart(a, b) > 0 for a, b in zip(jax.tree.leaves(params), jax.tree.leaves(other), strict=True)]
    found = [] if all(same) else ["the same key gives another start; `init` must depend on its key alone"]
    return found if any(differs) else [*found, "two seeds give the same start; draw the parameters from the key"]


def _padding(padded: Network, params: Params, outputs: Any, x: Any, sizes: tuple[int, int]) -> list[str]:
    width, capacity = sizes
    here = f"in a capacity of {capacity}"
    wide = _host(jax.jit(padded.init)(jax.random.key(0)))
    if jax.tree.structure(wide) != jax.tree.structure(params):
        return [f"width {width} {here} has parameters of another structure than alone"]
    found = []
    for path, leaf in jax.tree_util.tree_leaves_with_path(wide):
        own = dict(jax.tree_util.tree_leaves_with_path(params))[path]
        name, inside = jax.tree_util.keystr(path), tuple(slice(n) for n in own.shape)
        if leaf.ndim != own.ndim or any(a < b for a, b in zip(leaf.shape, own.shape, strict=True)):
            found.append(f"width {width} {here}: {name} has the shape {leaf.shape}, alone {own.shape}")
            continue
        if _apart(leaf[inside], own):
            found.append(
                f"width {width} {here} starts with other entries of {name} than alone; draw with modejax.draws"
            )
        rest = np.array(leaf, np.float64)
        rest[inside] = 0
        if np.any(rest):
            found.append(f"width {width} {here}: padding of {name} is not 0")
    found += _still_padding(padded, params, wide, x, f"width {width} {here}")
    difference = _apart(jax.jit(padded.apply)(wide, x), outputs)
    if difference > _CLOSE:
        found.append(f"width {width} gives other outputs {here} (by up to {difference:.2g})")
    return found


def _still_padding(padded: Network, params: Params, wide: Params, x: Any, here: str) -> list[str]:
    """Check that training does not move padding: a padded unit that is not 0 gives its outgoing weights a gradient."""
    trained = jax.tree.leaves(padded.trainable(wide))
    leaves, tree = jax.tree.flatten(wide)
    floats = [index for index, leaf in enumerate(leaves) if np.issubdtype(leaf.dtype, np.floating)]

    def loss(moved: list[Any]) -> Any:
        every = list(leaves)
        for index, leaf in zip(floats, moved, strict=True):
            every[index] = leaf
        return jnp.sum(jnp.sin(padded.apply(tree.unflatten(every), x)))

    gradient = jax.jit(jax.grad(loss))([leaves[index] for index in floats])
    paths = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(wide)]
    found = []
    for index, slope in zip(floats, gradient, strict=True):
        rest = np.array(slope, np.float64)
        rest[tuple(slice(n) for n in np.shape(jax.tree.leaves(params)[index]))] = 0
        if trained[index] and np.any(rest):
            found.append(f"{here}: {paths[index]} has a gradient on its padding, which training would move away from 0")
    return found


def _gradients(network: Network, params: Params, x: Any) -> list[str]:
    leaves, tree = jax.tree.flatten(params)
    moving = [index for index, moves in enumerate(jax.tree.leaves(network.trainable(params))) if moves]

    def loss(moved: list[Any]) -> Any:
        every = list(leaves)
        for index, leaf in zip(moving, moved, strict=True):
            every[index] = leaf
        return jnp.sum(jnp.sin(network.apply(tree.unflatten(every), x)))

    # Not at the initial values, which may lie on a kink of the activation.
    rng = np.random.default_rng(1)
    start = [leaves[index] + 0.1 * rng.standard_normal(leaves[index].shape) for index in moving]
    both = jax.jit(jax.value_and_grad(loss))
    _, gradient = both(start)
    if not all(np.all(np.isfinite(each)) for each in gradient):
        return ["the gradient is not finite"]
    along = [rng.standard_normal(leaf.shape) for leaf in start]
    step = 1e-6
    ends = [both([leaf + sign * step * d for leaf, d in zip(start, along, strict=True)])[0] for sign in (1, -1)]
    slope = sum(float(np.sum(np.asarray(g) * d)) for g, d in zip(gradient, along, strict=True))
    numeric = float(ends[0] - ends[1]) / (2 * step)
    if abs(slope - numeric) > 1e-4 * max(1.0, abs(numeric)):
        return [f"the gradient along a direction is {slope:.6g}, finite differences say {numeric:.6g}"]
    return []


def _maps(network: Network, params: Params, outputs: Any, x: Any) -> list[str]:
    found, names = [], network.map_names
    counts = {"kernels": network.kernels, "biases": network.biases, "modes": network.modes}
    for what, values in counts.items():
        given = jax.eval_shape(values, params)
        if len(given) != len(names):
            found.append(f"`{what}` has {len(given)} entries for {len(names)} named maps")
    if found:
        return found
    every = _host(jax.jit(network.maps)(params))
    for name, each in every.items():
        if each.modes is None:
            continue
        product = (each.modes.xi_out * each.modes.weight[None, :]) @ each.modes.xi_in
        difference = _apart(product, each.kernel.reshape(len(each.kernel), -1))
        if difference > _CLOSE:
            found.append(f"the modes of {name} do not add up to its kernel (by up to {difference:.2g})")
    if any(each.modes is not None for each in every.values()):
        whole = [None if each.modes is None else each.modes.active for each in every.values()]
        difference = _apart(jax.jit(lambda p, x: network.apply(network.cut(p, whole), x))(params, x), outputs)
        if difference > _CLOSE:
            found.append(f"`cut` with all modes kept changes the outputs (by up to {difference:.2g})")
    if isinstance(network, Chain) and not found:

        def by_stages(params: Params, x: Any) -> Any:
            h = network.enter(x)
            for index, each in enumerate(network.maps(params).values()):
                z = network.by_kernel(each.kernel, h, index)
                z = z if each.bias is None else z + each.bias.reshape((1,) * (z.ndim - 1) + (-1,))
                h = network.finish(params, z, h, index)
            return h

        try:
            difference = _apart(jax.jit(by_stages)(params, x), outputs)
        except (ValueError, TypeError):
            return [*found, "the maps cannot be applied one by one by `by_kernel` and `finish`"]
        if difference > _CLOSE:
            found.append(
                f"`apply` differs from what kernels and biases give, stage by stage (by up to {difference:.2g})"
            )
    return found
