"""The check of widths for an arm of a sweep, on a data set."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax.numpy as jnp

from modejax.data.dataset import Dataset
from modejax.errors import InputError
from modejax.networks.base import Network
from modejax.sweep.arm import Arm
from modejax.sweep.spec import Custom, network_spec, optimiser_of
from modejax.training.loss import cross_entropy, squared_error
from modejax.training.widths import check_widths

if TYPE_CHECKING:
    from modejax.training.widths import WidthCheck

__all__ = ["check_arm_widths"]


def check_arm_widths(
    arm: Arm, dataset: Dataset, *, steps: int = 20, seeds: int = 3, batch_size: int = 50
) -> WidthCheck:
    """Check whether the first steps of an arm depend on its width; see `modejax.training.check_widths`.

    Args:
        arm: network, layer, optimiser and widths, with one learning rate and at most one number of modes.
        dataset: the data; the first `steps` x `batch_size` training examples are used.
        steps: the number of steps.
        seeds: number of networks of each width.
        batch_size: examples in a batch.

    Returns:
        The record.

    Raises:
        InputError: if the arm has several rates or numbers of modes, fewer than two widths, or the data set is too
            small.

    Example:
        >>> from modejax.data import load_dataset
        >>> arm = Arm(layer_options=("gauge=width_free",), widths=(8, 32), modes=(3,), learning_rates=(0.1,))
        >>> check_arm_widths(arm, load_dataset("digits"), steps=2, seeds=2, batch_size=20).map_names
        ('map1', 'map2', 'map3')
    """
    modes = arm.modes or (0,)
    for what, values in (("learning rate", arm.learning_rates), ("number of modes", modes)):
        if len(values) > 1:
            raise InputError(f"widths are checked at one {what}, got {list(values)}; give one of them")
    rows = steps * batch_size
    if rows > len(dataset.x_train):
        raise InputError(
            f"{steps} steps of {batch_size} examples need {rows}, {dataset.name} has {len(dataset.x_train)} training "
            "examples; take fewer steps or smaller batches"
        )
    spec = network_spec(arm, "float32", dataset.num_features, dataset.num_outputs, dataset.image_shape, Custom())

    def network(width: int) -> Network:
        return spec.build(width, modes[0])

    x = jnp.asarray(dataset.x_train[:rows], jnp.float32) * jnp.float32(dataset.scale)
    return check_widths(
        network,
        arm.widths,
        (x, jnp.asarray(dataset.y_train[:rows])),
        cross_entropy if dataset.targets == "classes" else squared_error,
        learning_rate=arm.learning_rates[0],
        steps=steps,
        seeds=seeds,
        optimiser=optimiser_of(arm, Custom()),
    )
