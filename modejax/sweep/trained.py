"""The trained networks of a sweep at their own sizes, cut out of their padding."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from modejax.errors import InputError
from modejax.extent import own_size
from modejax.networks.base import Network, Params
from modejax.sweep.plan import Plan
from modejax.sweep.program import precision_scope
from modejax.training import TrainState

__all__ = ["Trained", "trained_networks"]


@dataclasses.dataclass(frozen=True, eq=False)
class Trained:
    """One trained member at its own size, without padding.

    Attributes:
        arm: the name of its arm.
        at: its coordinates in the grid: the value on every axis, by the name of the axis.
        network: the network.
        params: its parameters, as NumPy arrays.
        scale: factor by which features are multiplied before they enter the network, as in training.
        targets: kind of the targets: classes, signs or values.
        precision: precision in which the network was trained and computes.
        status: 0 for a network that did not diverge, 1 for one that did.
    """

    arm: str
    at: Mapping[str, Any]
    network: Network
    params: Params = dataclasses.field(repr=False)
    scale: float
    targets: str
    precision: str
    status: int = 0

    def __getattr__(self, name: str) -> Any:
        # The axes are attributes, too: trained.width, trained.learning_rate.
        at = self.__dict__.get("at", {})
        if name in at:
            return at[name]
        raise AttributeError(f"a trained network has no {name!r}; its axes are {', '.join(at)}")

    def predict(self, x: Any) -> Float[np.ndarray, "rows outputs"]:
        """Compute the outputs for raw inputs, scaled and in the precision of the training.

        Args:
            x: unscaled features, as in the data set, (rows, features) or (rows, *image_shape); 8-bit images are passed
                as 8-bit.

        Returns:
            Logits of the classes, or the one output of a regression; float32 (float64 for that precision).

        Raises:
            InputError: if the shape does not fit the network.
        """
        x = np.asarray(x)
        if x.ndim < 2:
            raise InputError(f"predict takes a batch (rows, features) of raw inputs, got shape {x.shape}")
        with precision_scope(self.precision):
            kind = jnp.float64 if self.precision == "float64" else jnp.float32
            rows = jnp.asarray(x.reshape(len(x), -1)).astype(kind) * self.scale
            try:
                return np.asarray(_apply(self.network, self.params, rows))
            except TypeError as error:
                raise InputError(
                    f"inputs of {rows.shape[1]} features do not fit this network; give rows with the features of the "
                    f"data it was trained on ({str(error).splitlines()[0][:200]})"
                ) from None

    def classify(self, x: Any) -> Int[np.ndarray, " rows"]:
        """Return the label that the network gives each raw input; arguments as in `predict`.

        Raises:
            InputError: if the targets are real values, or the shape does not fit.
        """
        if self.targets == "values":
            raise InputError("the targets of this network are real values, which are no classes; call predict")
        outputs = self.predict(x)
        return np.sign(outputs[:, 0]).astype(np.int32) if self.targets == "signs" else outputs.argmax(axis=1)


@functools.partial(jax.jit, static_argnums=0)
def _compiled(network: Network, params: Params, x: Array) -> Array:
    """Apply a network; networks that are equal share one compiled program."""
    return network.apply(params, x)


def _apply(network: Network, params: Params, x: Array) -> Array:
    try:
        hash(network)
    except TypeError:  # a custom network that holds arrays, which is not hashable
        apply = jax.jit(network.apply)
    else:
        apply = functools.partial(_compiled, network)
    try:
        return apply(params, x)
    except ValueError as error:
        raise TypeError(str(error)) from None


def trained_networks(
    plan: Plan, states: list[TrainState], arm: int = 0, launch: int | None = None
) -> Iterator[Trained]:
    """Yield the trained networks of an arm in the order of its grid, cut out of their padding.

    Args:
        plan: the plan that ran.
        states: its final states, as in `Outcome`, or those of one launch.
        arm: the number of the arm, 0 for the first.
        launch: the launch to which the states belong; None for all launches.

    Yields:
        One record for each member; its network and parameters have the member's own sizes.
    """
    planned = plan.arms[arm]
    members, spec = planned.members, planned.spec
    home = {}
    for number, bucket in enumerate(plan.buckets):
        if bucket.arm == arm:
            shares = [plan.share(each)[number] for each in (range(plan.launches) if launch is None else [launch])]
            home |= {int(m): (number, i) for i, m in enumerate(np.concatenate(shares))}
    for member in sorted(home):
        number, index = home[member]
        size = int(members["width"][member]), int(members["modes"][member])
        network = spec.network.build(*size, **members.numbers(member, spec.to_network))
        with precision_scope(plan.config.precision):
            shapes = jax.eval_shape(network.init, jax.random.key(0))
        params = jax.tree.map(
            lambda leaf, shape, index=index: own_size(leaf[index], shape.shape), states[number].params, shapes
        )
        yield Trained(
            planned.name,
            {name: values[member].item() for name, values in members.values.items()},
            network,
            params,
            1.0,
            "classes",
            plan.config.precision,
            int(not states[number].healthy[index]),
        )
