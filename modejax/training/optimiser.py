"""Optimisers with decoupled weight decay and penalty, over the trainable leaves only.

Adam and AdaMax are implemented here for speed, because the update is a fifth of a sweep's step; all others come from
optax.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PyTree

from modejax.backend import backend
from modejax.errors import InputError, choices
from modejax.names import OPTIMISERS

__all__ = ["AdaMaxState", "AdamState", "Optimiser", "adam", "adamax", "merge", "split"]


def split(tree: PyTree, chosen: PyTree) -> tuple[PyTree, PyTree]:
    """Split a tree into the leaves that are chosen and those that are not.

    Args:
        tree: any pytree of arrays.
        chosen: a tree of bools with the same structure.

    Returns:
        Two trees of the structure of `tree`; a leaf that belongs to the other one is None, which JAX treats as
        absent: gradients and optimiser states have no entry for it.

    Example:
        >>> split({"a": 1, "b": 2}, {"a": True, "b": False})
        ({'a': 1, 'b': None}, {'a': None, 'b': 2})
    """
    return (
        jax.tree.map(lambda leaf, keep: leaf if keep else None, tree, chosen),
        jax.tree.map(lambda leaf, keep: None if keep else leaf, tree, chosen),
    )


def merge(one: PyTree, other: PyTree) -> PyTree:
    """Undo `split`: merge two trees into one.

    Args:
        one: a tree in which absent leaves are None.
        other: the tree that has the leaves absent in `one`.

    Returns:
        The full tree.

    Example:
        >>> merge({"a": 1, "b": None}, {"a": None, "b": 2})
        {'a': 1, 'b': 2}
    """
    return jax.tree.map(lambda a, b: b if a is None else a, one, other, is_leaf=lambda leaf: leaf is None)


_BETA1, _BETA2, _EPS = 0.9, 0.999, 1e-8  # of Adam and AdaMax


class AdamState(NamedTuple):
    """Moments of the gradient, and the number of steps."""

    count: Int[Array, ""]
    mean: PyTree  # first moment, not corrected
    square: PyTree  # second moment, not corrected


def adam(
    learning_rate: float | Float[Array, ""],
    weight_decay: float | Float[Array, ""] = 0.0,
    penalty: Callable[[PyTree], Float[Array, ""]] | None = None,
) -> optax.GradientTransformation:
    """Make Adam: theta <- theta - rate (mhat / (sqrt(vhat) + eps) + decay theta + grad penalty).

    beta1 = 0.9, beta2 = 0.999, eps = 1e-8 outside the root, moments bias-corrected, as in the reference code of the
    mode-decomposition paper (Utils/nup/optimizers.py of arXiv 2208.09859's code); it is AdamW (Loshchilov and Hutter,
    arXiv 1711.05101) and agrees with `optax.adamw` to rounding. It is implemented here because the update is a fifth of
    a sweep's step: the corrections are folded into two scalars, and the new moments are computed once and read once.

    Args:
        learning_rate: the rate of this step, shape (); may be traced.
        weight_decay: the coefficient of decoupled weight decay, shape (); may be traced.
        penalty: the penalty, a function `params -> scalar`, or None.

    Returns:
        The optax transformation; its `update` needs the parameters.

    Example:
        >>> optimiser = adam(0.1)
        >>> params = jnp.ones(2)
        >>> updates, _ = optimiser.update(jnp.ones(2), optimiser.init(params), params)
        >>> [round(float(u), 4) for u in updates]
        [-0.1, -0.1]
    """

    def grow(v: Array, g: Array) -> Array:
        return _BETA2 * v + (1 - _BETA2) * g * g

    def direction(m: Array, v: Array, steps: Array) -> Array:
        root = jnp.sqrt(1 - _BETA2**steps)
        return (root / (1 - _BETA1**steps)) * m / (jnp.sqrt(v) + _EPS * root)

    return _with_moments("adam", AdamState, grow, direction, learning_rate, weight_decay, penalty)


class AdaMaxState(NamedTuple):
    """Mean of the gradient, maximum of its absolute value, and the number of steps."""

    count: Int[Array, ""]
    mean: PyTree  # first moment, not corrected
    largest: PyTree  # exponentially weighted maximum of |gradient|


def adamax(
    learning_rate: float | Float[Array, ""],
    weight_decay: float | Float[Array, ""] = 0.0,
    penalty: Callable[[PyTree], Float[Array, ""]] | None = None,
) -> optax.GradientTransformation:
    """Make theta <- theta - rate (mhat / u + decay theta + grad penalty), u <- max(beta2 u, |gradient| + eps).

    beta1 = 0.9, beta2 = 0.999, eps = 1e-8; the mean is bias-corrected, the maximum needs no correction. Without decay
    and penalty it agrees with `optax.adamax` to rounding.

    Args:
        learning_rate: the rate of this step, shape (); may be traced.
        weight_decay: the coefficient of decoupled weight decay, shape (); may be traced.
        penalty: the penalty, a function `params -> scalar`, or None.

    Returns:
        The optax transformation; its `update` needs the parameters.

    References:
        Kingma and Ba, arXiv 1412.6980, section 7.1; the optimiser of the spectral learning papers.

    Example:
        >>> optimiser = adamax(0.1)
        >>> params = jnp.ones(2)
        >>> updates, _ = optimiser.update(jnp.ones(2), optimiser.init(params), params)
        >>> [round(float(u), 4) for u in updates]
        [-0.1, -0.1]
    """

    def grow(u: Array, g: Array) -> Array:
        return jnp.maximum(_BETA2 * u, jnp.abs(g) + _EPS)

    def direction(m: Array, u: Array, steps: Array) -> Array:
        return m / ((1 - _BETA1**steps) * u)

    return _with_moments("adamax", AdaMaxState, grow, direction, learning_rate, weight_decay, penalty)


def _with_moments(
    name: str,
    record: Callable[..., Any],
    grow: Callable[[Array, Array], Array],
    direction: Callable[[Array, Array, Array], Array],
    learning_rate: float | Float[Array, ""],
    weight_decay: float | Float[Array, ""],
    penalty: Callable[[PyTree], Float[Array, ""]] | None,
) -> optax.GradientTransformation:
    """Make the transformation with a mean m of the gradient and a size, `size <- grow(size, gradient)`.

    theta <- theta - rate (direction(m, size, steps) + decay theta + grad penalty); `record(count, mean, size)` is the
    state.
    """

    def init(params: PyTree) -> Any:
        return record(
            jnp.zeros((), jnp.int32), jax.tree.map(jnp.zeros_like, params), jax.tree.map(jnp.zeros_like, params)
        )

    def update(gradient: PyTree, state: Any, params: PyTree = None) -> tuple[PyTree, Any]:
        if params is None:
            raise InputError(f"{name} needs the parameters besides the gradient, got None")
        before, mean, size = state
        count = before + 1
        mean = jax.tree.map(lambda m, g: _BETA1 * m + (1 - _BETA1) * g, mean, gradient)
        size = jax.tree.map(grow, size, gradient)
        if backend() == "cpu":
            # Without the barrier the compiler computes the moments twice, in place and in the parameter's update, and
            # copies the old ones. The compiler for GPUs fuses both into one kernel, which a barrier would split.
            mean, size = jax.lax.optimization_barrier((mean, size))

        def step(m: Array, s: Array, theta: Array, extra: Array | float) -> Array:
            return -learning_rate * (direction(m, s, count.astype(theta.dtype)) + weight_decay * theta + extra)

        if penalty is None:
            updates = jax.tree.map(lambda m, s, theta: step(m, s, theta, 0.0), mean, size, params)
        else:
            updates = jax.tree.map(step, mean, size, params, jax.grad(penalty)(params))
        return updates, record(count, mean, size)

    return optax.GradientTransformation(init, update)  # pyright: ignore[reportArgumentType]


Build = Callable[..., optax.GradientTransformation]
"""A function that makes a custom optimiser: it takes `learning_rate`, optionally `weight_decay`, and returns a
transformation."""


@dataclasses.dataclass(frozen=True)
class Optimiser:
    """An optimiser whose learning rate and weight decay are passed later, as traced numbers.

    Attributes:
        kind: adam or adamax (written out here), another name of `modejax.names.OPTIMISERS`, which is taken from optax,
            or a function `learning_rate[, weight_decay] -> optax.GradientTransformation`.
        options: further keyword arguments of the optax function, sorted by name, such as (("momentum", 0.9),).
    """

    kind: str | Build = "adam"
    options: tuple[tuple[str, Any], ...] = ()

    def __post_init__(self) -> None:
        """Check the name and the options."""
        if not isinstance(self.kind, str):
            if not callable(self.kind):
                raise InputError(f"an optimiser is a name or a function of the learning rate, got {self.kind!r}")
            allowed = set(inspect.signature(self.kind).parameters)
        elif self.kind not in OPTIMISERS:
            raise InputError(f"unknown optimiser {self.kind!r}; allowed: {choices(OPTIMISERS)}, or a function")
        else:
            target = OPTIMISERS[self.kind]
            allowed = set(inspect.signature(getattr(optax, target)).parameters) if target else set()
        for name, _ in self.options:
            if name not in allowed - {"learning_rate", "weight_decay", "mask"}:
                known = choices(allowed - {"learning_rate", "weight_decay", "mask"}) or "none"
                raise InputError(f"unknown option {name!r} of the optimiser {self.name}; allowed: {known}")

    @property
    def name(self) -> str:
        """The name of the optimiser, for messages and tables."""
        return self.kind if isinstance(self.kind, str) else getattr(self.kind, "__name__", repr(self.kind))

    def rule(
        self,
        learning_rate: float | Float[Array, ""],
        weight_decay: float | Float[Array, ""] = 0.0,
        penalty: Callable[[PyTree], Float[Array, ""]] | None = None,
    ) -> optax.GradientTransformation:
        """Make the transformation theta <- theta - rate (direction + decay theta + grad penalty).

        Decay and penalty are decoupled: they do not pass through the optimiser's state. A custom optimiser that takes
        `weight_decay` applies it itself.

        Args:
            learning_rate: the rate of this step, shape (); may be traced.
            weight_decay: the coefficient of weight decay, shape (); may be traced.
            penalty: the penalty, a function `params -> scalar`, or None.

        Returns:
            The transformation; its `update` needs the parameters.

        Example:
            >>> rule = Optimiser("sgd", (("momentum", 0.5),)).rule(0.5, 0.25)
            >>> rule.update(jnp.ones(2), rule.init(jnp.ones(2)), jnp.ones(2))[0].tolist()
            [-0.625, -0.625]
        """
        if self.kind == "adam":
            return adam(learning_rate, weight_decay, penalty)
        if self.kind == "adamax":
            return adamax(learning_rate, weight_decay, penalty)
        options, own_decay = dict(self.options), False
        if isinstance(self.kind, str):
            build = getattr(optax, OPTIMISERS[self.kind])
            if "weight_decay" in inspect.signature(build).parameters:
                options["weight_decay"] = 0.0
        else:
            build = self.kind
            own_decay = "weight_decay" in inspect.signature(build).parameters
            if own_decay:
                options["weight_decay"] = weight_decay
        try:
            inner = build(learning_rate=learning_rate, **options)
        except TypeError:
            inner = build(learning_rate, **options)
        return _decoupled(inner, learning_rate, 0.0 if own_decay else weight_decay, penalty)


def _decoupled(
    inner: optax.GradientTransformation,
    learning_rate: float | Float[Array, ""],
    weight_decay: float | Float[Array, ""],
    penalty: Callable[[PyTree], Float[Array, ""]] | None,
) -> optax.GradientTransformation:
    """Add decoupled weight decay and penalty to a transformation that includes its learning rate."""

    def update(gradient: PyTree, state: Any, params: PyTree = None) -> tuple[PyTree, Any]:
        with jax.numpy_dtype_promotion("standard"):  # optax mixes integers and Python numbers into floats
            updates, after = inner.update(gradient, state, params)
        after = jax.tree.map(lambda new, old: new.astype(old.dtype), after, state)

        def step(update: Array, theta: Array, extra: Array | float) -> Array:
            moved = update.astype(theta.dtype)
            return moved - learning_rate * (weight_decay * theta + extra)

        if penalty is None:
            return jax.tree.map(lambda u, theta: step(u, theta, 0.0), updates, params), after
        return jax.tree.map(step, updates, params, jax.grad(penalty)(params)), after

    return optax.GradientTransformation(inner.init, update)  # pyright: ignore[reportArgumentType]
