"""The base class of layers: a family is one parametrisation of a weight map, a frozen dataclass of static facts."""

from __future__ import annotations

import abc
import dataclasses
import math
from collections.abc import Callable
from typing import Any, ClassVar, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from modejax.backend import backend
from modejax.errors import InputError
from modejax.extent import Extent, as_extent

__all__ = [
    "Family",
    "LayerParams",
    "Modes",
    "TakesModes",
    "count_rows",
    "dense_is_cheaper",
    "known_modes",
    "over_rows",
    "paper_scale",
    "plus_bias",
    "through_modes",
    "times",
]

LayerParams = Any
"""The parameters of one layer: a NamedTuple of arrays; each family has its own type."""

TakesModes = Literal["none", "optional", "required"]
"""Whether `init` takes a number of modes: `none` (it is ignored), `optional`, or `required`."""


class Modes(NamedTuple):
    """A weight matrix as a sum of modes: W = xi_out diag(weight) xi_in.

    A scale or prefactor of the family is included in `weight`, so that the sum over modes is exactly the kernel. The
    kernel of a convolution is taken as the matrix (channels_out, channels_in x window).
    """

    xi_out: Float[Array, "fan_out modes"]  # column mu is the output pattern of mode mu
    weight: Float[Array, " modes"]  # of either sign
    xi_in: Float[Array, "modes fan_in"]  # row mu is the input pattern of mode mu
    active: Bool[Array, " modes"]  # False on padding


@dataclasses.dataclass(frozen=True)
class Family(abc.ABC):
    """One way to parametrise a weight map: a record of static facts, hashable and compared by value.

    A custom family is a subclass that is also a frozen dataclass and defines `init` and `kernel`; all other methods
    have defaults. Sizes are ints or `Extent`s. `modejax.layers.check_family` tests a custom family.

    Attributes:
        takes_modes: whether `init` takes a number of modes: `"none"`, `"optional"` or `"required"`.

    Example:
        >>> import jax
        >>> from modejax.draws import normal_vector, subkeys
        >>> class OuterParams(NamedTuple):
        ...     left: jax.Array
        ...     right: jax.Array
        >>> @dataclasses.dataclass(frozen=True)
        ... class Outer(Family):
        ...     scale: float = 1.0
        ...
        ...     def init(self, key, fan_in, fan_out, modes=None):
        ...         left, right = subkeys(key, 2)
        ...         n_in, n_out = as_extent(fan_in), as_extent(fan_out)
        ...         return OuterParams(self.scale * normal_vector(left, n_out), normal_vector(right, n_in))
        ...
        ...     def kernel(self, params):
        ...         return params.left[:, None] * params.right[None, :]
        >>> family = Outer(0.1)
        >>> params = family.init(jax.random.key(0), 4, 3)
        >>> family.apply(params, jnp.ones((5, 4))).shape, family.num_parameters(4, 3)
        ((5, 3), 7)
    """

    takes_modes: ClassVar[TakesModes] = "none"

    @property
    def space(self) -> int:
        """The number of spatial dimensions of a convolution; 0 for a map of vectors."""
        return 0

    def at_output(self) -> Family:
        """Return the family for the last map of a network, which makes its outputs; by default `self`.

        Networks call it for their last map. Its number of outputs does not grow with the width, so a gauge in which one
        learning rate serves all widths needs smaller initial values there.
        """
        return self

    @abc.abstractmethod
    def init(
        self, key: PRNGKeyArray, fan_in: int | Extent, fan_out: int | Extent, modes: int | Extent | None = None
    ) -> LayerParams:
        """Draw initial parameters.

        Args:
            key: a scalar PRNG key.
            fan_in: the number of inputs (channels of a convolution).
            fan_out: the number of outputs, likewise.
            modes: the number of modes, for a family that takes one.

        Returns:
            A NamedTuple of arrays. Entries of the padding are 0; all other entries depend on the key and their indices
            only, never on a capacity.
        """

    @abc.abstractmethod
    def kernel(self, params: LayerParams) -> Float[Array, "fan_out fan_in ..."]:
        """Return the dense kernel that the parameters represent, without the bias.

        Args:
            params: the parameters.

        Returns:
            Shape (fan_out, fan_in), followed by the window of a convolution.
        """

    def apply(self, params: LayerParams, x: Float[Array, "... fan_in"]) -> Float[Array, "... fan_out"]:
        """Apply the map to the last axis; by default multiply by the kernel and add the bias if there is one.

        Args:
            params: the parameters.
            x: shape (..., fan_in); (..., *space, channels_in) for a convolution.

        Returns:
            Shape (..., fan_out); (..., *space, channels_out) for a convolution.
        """
        return plus_bias(self.apply_kernel(self.kernel(params), x), self.bias(params))

    def apply_kernel(
        self, kernel: Float[Array, "fan_out fan_in ..."], x: Float[Array, "... fan_in"]
    ) -> Float[Array, "... fan_out"]:
        """Apply a given kernel instead of the family's own, without a bias; shapes as in `kernel` and `apply`."""
        if self.space:
            raise InputError(
                f"{type(self).__name__} is a convolution and does not say how its kernel is applied; "
                "derive it from layers.ConvFamily"
            )
        return times(kernel, x)

    def bias(self, params: LayerParams) -> Float[Array, " fan_out"] | None:
        """Return the bias, shape (fan_out,), or None; by default the field `bias` of the parameters, if any."""
        return getattr(params, "bias", None)

    def trainable(self, params: LayerParams) -> LayerParams:
        """Return a tree of bools with the structure of the parameters; by default True on floating leaves.

        Leaves marked False get neither an update nor optimiser state.
        """
        return jax.tree.map(lambda leaf: bool(jnp.issubdtype(leaf.dtype, jnp.floating)), params)

    def penalty(self, params: LayerParams) -> Float[Array, ""]:
        """Return the penalty, a scalar of shape (); 0 by default.

        Its gradient is added to the optimiser's step and multiplied by the learning rate, as decoupled weight decay is;
        it does not pass through the moment estimates.
        """
        del params
        return jnp.zeros(())

    def num_parameters(self, fan_in: int | Extent, fan_out: int | Extent, modes: int | Extent | None = None) -> int:
        """Count the trained entries, padding not included; by default from the shapes that `init` returns.

        Args:
            fan_in: inputs.
            fan_out: outputs.
            modes: the number of modes, for a family that takes one.

        Returns:
            The number of trained parameters.

        Raises:
            InputError: if a size is not allowed, or is traced.
        """
        n_in, n_out = (as_extent(size).known("num_parameters") for size in (fan_in, fan_out))
        p = None if modes is None else as_extent(modes).known("num_parameters")
        shapes = jax.eval_shape(lambda: self.init(jax.random.key(0), n_in, n_out, p))
        counts = jax.tree.map(lambda leaf, moves: leaf.size if moves else 0, shapes, self.trainable(shapes))
        return sum(jax.tree.leaves(counts))

    def modes(self, params: LayerParams) -> Modes | None:
        """Return the kernel as a sum of modes, or None for a family that is no sum of modes.

        Truncation curves and importances are computed from it.
        """
        del params
        return None

    def cut(self, params: LayerParams, keep: Bool[Array, " modes"]) -> LayerParams:
        """Keep only some modes. The others become padding: their entries are 0 and stay 0 in training.

        Args:
            params: the parameters.
            keep: True for the modes to keep, shape (modes,).

        Returns:
            Parameters of the same shapes.

        Raises:
            InputError: if the family is not a sum of modes, or does not define `cut`.
        """
        del keep
        if self.modes(params) is None:
            raise InputError(f"{type(self).__name__} is not a sum of modes and cannot be cut to some of them")
        raise InputError(f"{type(self).__name__} has modes but does not say how they are cut; give it a method cut")


def over_rows(function: Callable[[Array], Array], x: Float[Array, "... n"]) -> Float[Array, "... m"]:
    """Apply a function of one example to the last axis of an array with any leading axes.

    Args:
        function: of a vector (n,) to a vector (m,).
        x: shape (n,), (rows, n) or with more leading axes, which are flattened for the call.

    Returns:
        An array with the leading axes of x, followed by those of the function's value.

    Example:
        >>> over_rows(lambda row: row[:2], jnp.ones((4, 5, 3))).shape
        (4, 5, 2)
    """
    if x.ndim < 3:
        return function(x) if x.ndim == 1 else jax.vmap(function)(x)
    z = jax.vmap(function)(x.reshape(count_rows(x), x.shape[-1]))
    return z.reshape(*x.shape[:-1], *z.shape[1:])


def times(matrix: Float[Array, "fan_out fan_in"], x: Float[Array, "... fan_in"]) -> Float[Array, "... fan_out"]:
    """Multiply the last axis of an array by a matrix.

    On the CPU this is a product of the matrix and one row under vmap, which is faster there. On accelerators the rows
    are the first axis of every product, so that the compiler needs no transpositions between products.

    Args:
        matrix: shape (fan_out, fan_in).
        x: shape (..., fan_in), any leading axes.

    Returns:
        Shape (..., fan_out).

    Example:
        >>> times(jnp.array([[1.0, 2.0]]), jnp.array([[3.0, 4.0], [5.0, 6.0]])).tolist()
        [[11.0], [17.0]]
    """
    if backend() == "cpu":
        return over_rows(lambda row: matrix @ row, x)
    return lax.dot_general(x, matrix, (((x.ndim - 1,), (1,)), ((), ())))


def through_modes(
    xi_out: Float[Array, "fan_out modes"],
    weight: Float[Array, " modes"] | None,
    xi_in: Float[Array, "modes fan_in"],
    x: Float[Array, "... fan_in"],
) -> Float[Array, "... fan_out"]:
    """Multiply the last axis of an array by xi_out diag(weight) xi_in, either mode by mode or by building the kernel.

    Args:
        xi_out: output patterns as columns, shape (fan_out, modes).
        weight: one number per mode, shape (modes,); None for 1.
        xi_in: input patterns as rows, shape (modes, fan_in).
        x: shape (..., fan_in), any leading axes.

    Returns:
        Shape (..., fan_out). `dense_is_cheaper` chooses the method by the number of rows of x.

    References:
        The sum of modes: Li and Huang, arXiv 2208.09859.

    Example:
        >>> through_modes(jnp.ones((2, 1)), jnp.array([3.0]), jnp.ones((1, 4)), jnp.ones(4)).tolist()
        [12.0, 12.0]
    """
    capacity, fan_in = xi_in.shape
    if dense_is_cheaper(fan_in, xi_out.shape[0], capacity, count_rows(x)):
        return times((xi_out if weight is None else xi_out * weight[None, :]) @ xi_in, x)
    if backend() == "cpu":
        return over_rows(lambda row: xi_out @ (xi_in @ row if weight is None else weight * (xi_in @ row)), x)
    h = times(xi_in, x)
    return times(xi_out, h if weight is None else h * weight.reshape((1,) * (h.ndim - 1) + (-1,)))


def count_rows(x: Array, space: int = 0) -> int:
    """Return the product of the leading axes of x, those before `space` spatial axes and the last axis; else 1.

    Example:
        >>> count_rows(jnp.ones((4, 5, 3))), count_rows(jnp.ones(3)), count_rows(jnp.ones((4, 8, 8, 3)), 2)
        (20, 1, 4)
    """
    return math.prod(x.shape[: x.ndim - 1 - space])


def plus_bias(z: Float[Array, "... fan_out"], bias: Float[Array, " fan_out"] | None) -> Float[Array, "... fan_out"]:
    """Add a bias to the last axis, if there is a bias."""
    return z if bias is None else over_rows(lambda row: row + bias, z)


def known_modes(modes: int | Extent | None, family: Family) -> Extent:
    """Return the number of modes as an extent, for a family that requires one.

    Args:
        modes: the number given to `init`.
        family: the family, for the error message.

    Returns:
        The extent.

    Raises:
        InputError: if `modes` is None, or not a positive integer.
    """
    if modes is None:
        raise InputError(f"{type(family).__name__} needs a number of modes, got None; give init a positive integer")
    return as_extent(modes)


def paper_scale(fan_in: Extent, power: float = 1.0) -> Float[Array, ""]:
    """Return the standard deviation (N^power ln N)^(-1/6) of the entries of a mode layer's factors.

    A fan-in of 1 counts as 2, since its logarithm would be 0.

    Args:
        fan_in: the number of inputs of the layer, N.
        power: 1 for the form without a prefactor, 0 for the form with 1 / sqrt(fan_in).

    Returns:
        The standard deviation, shape ().

    References:
        Li and Huang, "Emergence of hierarchical modes from deep learning", arXiv 2208.09859; the initial values
        of its reference code (Fig2/MDL-1L2P.py).

    Example:
        >>> round(float(paper_scale(Extent(784, 784))), 4)
        0.2401
    """
    size = jnp.maximum(fan_in.size, 2.0)
    return (size**power * jnp.log(size)) ** (-1 / 6)


def dense_is_cheaper(fan_in: int, fan_out: int, modes: int, rows: int) -> bool:
    """Decide whether to build the kernel once for all rows or to pass each row through the modes.

    Per call, the kernel costs fan_in fan_out (modes + rows) multiplications, and the modes cost (fan_in + fan_out)
    modes rows; with the gradients both are three times as many.

    Args:
        fan_in: the padded number of inputs.
        fan_out: the padded number of outputs.
        modes: the padded number of modes.
        rows: the number of examples that go through the layer in one call.

    Returns:
        True if the kernel is cheaper, as for 10 outputs and 30 modes.

    Example:
        >>> dense_is_cheaper(784, 100, 30, 100), dense_is_cheaper(100, 10, 30, 100)
        (False, True)
    """
    return fan_in * fan_out * (modes + rows) < (fan_in + fan_out) * modes * rows
