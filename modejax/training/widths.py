"""Does a learning rate carry over between widths? Sizes of the outputs of maps, and of their changes in a step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from modejax.errors import InputError
from modejax.networks.base import Chain, Network, Params
from modejax.training.loss import Loss
from modejax.training.optimiser import Optimiser
from modejax.training.step import init_state, train_step

__all__ = ["FLAT", "WidthCheck", "check_widths", "power_text"]

FLAT = 0.15
"""The largest |power of the width| that counts as 0: a factor of 1.7 over widths that differ by a factor of 32."""

_ADAM = Optimiser()


def power_text(power: float) -> str:
    """Return a power of the width as text.

    Example:
        >>> power_text(0.5), power_text(-1e-9)
        ('N^0.50', 'N^0.00')
    """
    return f"N^{round(float(power), 2) + 0.0:.2f}"


class WidthCheck(NamedTuple):
    """Sizes of the maps' outputs z in the first steps, for networks that differ only in width.

    A size is the root mean square over probe examples and units. A power is the slope of ln size against ln width by
    least squares: 0 if the width has no influence, 1/2 if the size grows as the square root of the width.
    """

    widths: np.ndarray  # (widths,)
    map_names: tuple[str, ...]
    learning_rate: float
    size: np.ndarray  # (seeds, widths, steps + 1, maps), of z
    update: np.ndarray  # (seeds, widths, steps + 1, maps), of z minus z at the start

    @property
    def steps(self) -> int:
        """The number of steps taken."""
        return self.size.shape[2] - 1

    def powers(self, what: str = "update", step: int = -1) -> tuple[np.ndarray, np.ndarray]:
        """Return the powers of the width with which sizes scale.

        Args:
            what: `"update"`, or `"size"`.
            step: index of the step; by default the last one; 0 for the initial values.

        Returns:
            The mean over seeds and its standard error for each map, shape (maps,) each; with one seed the error is NaN.

        Raises:
            InputError: if `what` is neither.

        Example:
            >>> import numpy as np
            >>> sizes = np.array([1.0, 2.0])[None, :, None, None] * np.ones((1, 1, 2, 1))
            >>> check = WidthCheck(np.array([4, 16]), ("map1",), 0.01, sizes, sizes)
            >>> round(float(check.powers()[0][0]), 6)
            0.5
        """
        if what not in ("size", "update"):
            raise InputError(f"unknown size {what!r}; allowed: size, update")
        x = np.log(self.widths) - np.log(self.widths).mean()
        with np.errstate(divide="ignore", invalid="ignore"):  # a size of 0 has no logarithm
            slopes = np.einsum("w,swm->sm", x, np.log(getattr(self, what)[:, :, step])) / (x @ x)
            seeds = len(slopes)
            error = slopes.std(axis=0, ddof=1) / np.sqrt(seeds) if seeds > 1 else np.full(slopes.shape[1], np.nan)
            return slopes.mean(axis=0), error

    @property
    def width_free(self) -> bool:
        """Whether the updates of all maps after the last step have a power of at most `FLAT` in size."""
        return bool((np.abs(self.powers()[0]) <= FLAT).all())

    @property
    def verdict(self) -> str:
        """A sentence that says what the powers mean for the learning rate."""
        powers, errors = self.powers()
        if not np.isfinite(powers).all():
            return "not decided: a network diverged or did not move; give another learning rate"
        if self.width_free:
            return "width-free: the updates of all maps are alike at all widths, so one learning rate should serve them"
        moving = np.abs(powers) > FLAT
        clear = moving & ~(np.abs(powers) < 2 * errors)  # one seed gives no error
        parts = [
            f"{name} {'grow' if power > 0 else 'shrink'} as {power_text(power)}"
            for name, power, each in zip(self.map_names, powers, clear, strict=True)
            if each
        ]
        if not parts:
            which = ", ".join(
                f"{name} {power_text(power)} +- {error:.2f}"
                for name, power, error, each in zip(self.map_names, powers, errors, moving, strict=True)
                if each
            )
            return f"not decided: seeds differ too much to tell updates of {which} from none; take more seeds"
        return f"not width-free: updates of {', '.join(parts)} for width N; the best learning rate moves with the width"


def check_widths(
    network: Callable[[int], Network],
    widths: Sequence[int],
    data: tuple[Array | np.ndarray, Array | np.ndarray],
    loss: Loss,
    *,
    learning_rate: float = 0.01,
    steps: int = 20,
    seeds: int = 3,
    optimiser: Optimiser = _ADAM,
) -> WidthCheck:
    """Measure how much the outputs of all maps change in the first steps, at several widths.

    The networks see the same batches. Each map's output z, before the activation, is evaluated on the examples of the
    last batch, which no network has been trained on before the last step. In a parametrisation in which the best
    learning rate does not depend on the width, updates of z have one size at all widths; the size of z at the start may
    shrink with the width, as that of the outputs does there.

    Args:
        network: function that makes the network of a width.
        widths: the widths, increasing, at least two.
        data: inputs of shape (examples, features) and targets of shape (examples,) or, for real values, (examples,
            outputs); split into `steps` batches in their order.
        loss: the loss.
        learning_rate: the rate of all steps.
        steps: the number of steps.
        seeds: the number of networks of each width.
        optimiser: the optimiser.

    Returns:
        The record. A network that is no `Chain` counts as one map.

    Raises:
        InputError: if there are fewer than two widths, or fewer examples than steps.

    References:
        The coordinate check of Yang et al., "Tensor Programs V", arXiv 2203.03466, appendix D.1.

    Example:
        >>> from modejax import layers, networks, training
        >>> def make(width):
        ...     return networks.mlp([4, width, width, 2], layers.Mode(gauge="width_free"), 3)
        >>> x = jax.random.normal(jax.random.key(0), (60, 4))
        >>> check = check_widths(make, (8, 64), (x, jnp.int32(x[:, 0] > 0)), training.cross_entropy, steps=3)
        >>> check.size.shape, check.map_names
        ((3, 2, 4, 3), ('map1', 'map2', 'map3'))
    """
    found = np.unique(np.asarray(widths, int))
    if found.size < 2:
        raise InputError(f"widths must be at least two different integers, got {list(widths)}")
    x, y = (jnp.asarray(np.asarray(each)) for each in data)  # in JAX's own precision
    rows = len(x) // steps if steps > 0 else 0
    if rows < 1:
        raise InputError(f"steps must lie between 1 and the number of examples, {len(x)}, got {steps}")

    def parted(each: Array) -> Array:
        return each[: rows * steps].reshape(steps, rows, *each.shape[1:])

    batches = parted(x), parted(y)
    sizes, updates, names = [], [], ()
    for width in found:
        made = network(int(width))
        names = made.map_names if isinstance(made, Chain) else ("output",)
        size, update = _measure(made, batches, loss, learning_rate, seeds, optimiser)
        sizes.append(size)
        updates.append(update)
    return WidthCheck(found, names, learning_rate, np.stack(sizes, axis=1), np.stack(updates, axis=1))


def _measure(
    network: Network,
    batches: tuple[Array, Array],
    loss: Loss,
    learning_rate: float,
    seeds: int,
    optimiser: Optimiser,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the sizes of z and of its change, shape (seeds, steps + 1, maps) each, for one width."""
    probe = batches[0][-1]
    rate, decay = jnp.asarray(learning_rate, probe.dtype), jnp.zeros((), probe.dtype)

    def one(key: Array) -> tuple[Array, Array]:
        state = init_state(network, key, optimiser)
        first = _outputs(network, state.params, probe)

        def sizes(params: Params) -> tuple[Array, Array]:
            now = _outputs(network, params, probe)
            moved = [a - b for a, b in zip(now, first, strict=True)]
            return _root_mean_squares(now), _root_mean_squares(moved)

        def step(state, batch):
            state, _ = train_step(network, loss, state, batch, rate, decay, optimiser)
            return state, sizes(state.params)

        _, after = jax.lax.scan(step, state, batches)
        return tuple(jnp.concatenate([a[None], b]) for a, b in zip(sizes(state.params), after, strict=True))  # pyright: ignore

    keys = jax.vmap(jax.random.key)(jnp.arange(seeds))
    size, update = jax.jit(jax.vmap(one))(keys)
    return np.asarray(size, float), np.asarray(update, float)


def _outputs(network: Network, params: Params, x: Float[Array, "rows features"]) -> list[Array]:
    """Return the output z of each map, before normalisation and activation."""
    if not isinstance(network, Chain):
        return [network.apply(params, x)]
    h, found = network.enter(x), []
    for index in range(len(network.map_names)):
        z = network.through(params, h, index)
        found.append(z)
        h = network.finish(params, z, h, index)
    return found


def _root_mean_squares(values: Sequence[Array]) -> Float[Array, " maps"]:
    return jnp.stack([jnp.sqrt(jnp.mean(each**2)) for each in values])
