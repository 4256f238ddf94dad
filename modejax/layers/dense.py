"""The ordinary layer: every weight is a parameter."""

from __future__ import annotations

import dataclasses
from typing import Literal, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from modejax.draws import normal_matrix, uniform_matrix
from modejax.errors import InputError
from modejax.extent import Extent, as_extent
from modejax.layers.base import Family, plus_bias, times
from modejax.layers.mode import Mode

__all__ = ["Dense", "DenseParams"]


class DenseParams(NamedTuple):
    """Parameters of a dense layer."""

    weight: Float[Array, "fan_out fan_in"]
    bias: Float[Array, " fan_out"] | None  # None without biases
    scale: Float[Array, ""] | None  # frozen prefactor of the start `paper` and of the gauge `width_free`; else None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Dense(Family):
    """The dense layer z = W x + b.

    Attributes:
        use_bias: whether there is a bias, which starts at 0.
        start: `"he"`: W_ij ~ Normal(0, 2 / fan_in) (He et al., arXiv 1502.01852); `"paper"`: W = w / sqrt(fan_in) with
            w_ij ~ Normal(0, 1) trained, as in the dense baselines of the mode-decomposition paper (arXiv 2208.09859).
            Both give an ordinary dense layer; under Adam the second moves its weights 1 / sqrt(fan_in) times as far per
            step. `"mode"`: the initial W of a mode layer with `start_modes` modes and the same key, as a control that
            isolates the effect of the mode layer's initial values. `"glorot"`: W_ij uniform up to sqrt(6 / (fan_in +
            fan_out)) (Glorot and Bengio, AISTATS 2010), the default of Keras.
        start_modes: the number of modes for the start `"mode"`.
        gauge: `"plain"`: W as described under `start`. `"width_free"`: W = w / fan_in with w trained; the initial W is
            He's, and in the map to the outputs W_ij ~ Normal(0, 2) / fan_in. A step of Adam then changes W x by an
            amount that does not depend on the width, and one learning rate serves all widths.
        to_outputs: whether the map makes the outputs of a network, for the gauge `"width_free"`; networks set it.

    Raises:
        InputError: if `start` or `gauge` is not one of the names above, or options are not allowed together.

    References:
        The width-free gauge: the maximal-update parametrisation for Adam, Yang and Hu, arXiv 2011.14522, and Yang et
        al., arXiv 2203.03466, table 3, with the factors of the learning rate moved into the prefactor.

    Example:
        >>> import jax
        >>> family = Dense()
        >>> params = family.init(jax.random.key(0), 3, 2)
        >>> family.apply(params, jnp.ones(3)).shape, family.num_parameters(3, 2)
        ((2,), 6)
    """

    use_bias: bool = False
    start: Literal["he", "paper", "mode", "glorot"] = "he"
    start_modes: int = 0
    gauge: Literal["plain", "width_free"] = "plain"
    to_outputs: bool = False

    def __post_init__(self) -> None:
        """Check the options."""
        start, start_modes = self.start, self.start_modes
        if start not in ("he", "paper", "mode", "glorot"):
            raise InputError(f"unknown start {start!r} of a dense layer; allowed: glorot, he, mode, paper")
        if start == "mode" and start_modes < 1:
            raise InputError(f"the start mode needs a number of modes of at least 1, got start_modes={start_modes!r}")
        if start != "mode" and start_modes:
            raise InputError(f"start_modes={start_modes!r} belongs to start=mode, got start={start}; leave it out")
        if self.gauge not in ("plain", "width_free"):
            raise InputError(f"unknown gauge {self.gauge!r} of a dense layer; allowed: plain, width_free")
        if self.gauge == "width_free" and start != "he":
            raise InputError(f"the gauge width_free has a start of its own, got start={start}; leave the start out")

    def at_output(self) -> Dense:
        """Mark the map that makes the outputs, which starts smaller in the width-free gauge."""
        return dataclasses.replace(self, to_outputs=True) if self.gauge == "width_free" else self

    def init(
        self, key: PRNGKeyArray, fan_in: int | Extent, fan_out: int | Extent, modes: int | Extent | None = None
    ) -> DenseParams:
        """Draw the weights; a number of modes is ignored."""
        del modes
        fan_in, fan_out = as_extent(fan_in), as_extent(fan_out)
        scale = None
        if self.start == "mode":
            same = Mode()
            weight = same.kernel(same.init(key, fan_in, fan_out, self.start_modes))
        elif self.gauge == "width_free":
            weight = normal_matrix(key, fan_out, fan_in) * jnp.sqrt(2 if self.to_outputs else 2 * fan_in.size)
            scale = 1 / fan_in.size
        elif self.start == "he":
            weight = normal_matrix(key, fan_out, fan_in) * jnp.sqrt(2 / fan_in.size)
        elif self.start == "glorot":
            weight = uniform_matrix(key, fan_out, fan_in) * jnp.sqrt(6 / (fan_in.size + fan_out.size))
        else:
            weight = normal_matrix(key, fan_out, fan_in)
            scale = 1 / jnp.sqrt(fan_in.size)
        return DenseParams(weight, jnp.zeros(fan_out.capacity) if self.use_bias else None, scale)

    def kernel(self, params: DenseParams) -> Float[Array, "fan_out fan_in"]:
        """Return the weights."""
        return params.weight if params.scale is None else params.scale * params.weight

    def apply(self, params: DenseParams, x: Float[Array, "... fan_in"]) -> Float[Array, "... fan_out"]:
        """Multiply by the weights; a prefactor multiplies the outputs, which are fewer numbers."""
        z = times(params.weight, x)
        return plus_bias(z if params.scale is None else params.scale * z, params.bias)

    def num_parameters(self, fan_in: int | Extent, fan_out: int | Extent, modes: int | Extent | None = None) -> int:
        """Count the trained entries by a formula, which is faster than from the shapes."""
        del modes
        n_in, n_out = (as_extent(n).known("num_parameters") for n in (fan_in, fan_out))
        return n_out * (n_in + self.use_bias)

    def trainable(self, params: DenseParams) -> DenseParams:
        """Mark all leaves but the scale."""
        return DenseParams(
            True,  # pyright: ignore[reportArgumentType]
            None if params.bias is None else True,  # pyright: ignore[reportArgumentType]
            None if params.scale is None else False,  # pyright: ignore[reportArgumentType]
        )
