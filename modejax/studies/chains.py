"""Perceptrons out of trained kernels: modes by singular values, accuracy against kept modes, training in mode space."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from modejax.data import Dataset
from modejax.errors import InputError
from modejax.layers import Biased, BiasedParams, Mode, SingularModes, mode_from_modes
from modejax.networks import Network, Params, mlp
from modejax.sweep.config import SweepConfig
from modejax.sweep.execute import execute
from modejax.sweep.plan import make_plan
from modejax.sweep.spec import Custom
from modejax.sweep.trained import Trained, trained_networks
from modejax.training import LOSSES
from modejax.truncation import kept_curves, mode_scores, ranked

__all__ = ["KeptAccuracy", "chain", "fine_tune", "kept_accuracy", "kept_numbers", "test_accuracy"]

_BLOCK = 1000


class KeptAccuracy(NamedTuple):
    """Test accuracy with the leading modes kept, share of 1."""

    kept: np.ndarray  # numbers of modes
    together: Float[np.ndarray, " kept"]  # all maps cut
    layer: Float[np.ndarray, "maps kept"]  # one map cut, the others intact


def chain(
    found: Sequence[SingularModes],
    biases: Sequence[Any | None],
    counts: Sequence[int],
    activation: str = "relu",
) -> tuple[Network, Params]:
    """Make the perceptron of decomposed kernels.

    Args:
        found: for each map its kernel's decomposition, first map first.
        biases: for each map (fan_out,), or None.
        counts: the number of modes of each map.
        activation: between the maps.

    Returns:
        A network of mode layers, with biases where there are any, and its parameters in float32 (float64 for kernels of
        that type).

    Example:
        >>> from modejax.layers import singular_modes
        >>> network, params = chain([singular_modes(np.eye(3, dtype=np.float32))], [np.ones(3)], [2])
        >>> network.num_parameters()
        17
    """
    sizes = [found[0].shape[1], *(each.shape[0] for each in found)]
    families, params = [], []
    for each, bias, count in zip(found, biases, counts, strict=True):
        wide = each._replace(dtype=each.dtype if each.dtype == np.float64 else np.dtype(np.float32))
        family, part = Mode(), mode_from_modes(wide, count)
        if bias is not None:
            family, part = Biased(family), BiasedParams(part, jnp.asarray(np.asarray(bias, wide.dtype)))
        families.append(family)
        params.append(part)
    return mlp(sizes, families, list(counts), activation), tuple(params)


def kept_numbers(capacity: int, most: int = 40) -> list[int]:
    """Return numbers of modes from 0 to a capacity, all of them or about `most` in growing steps.

    Example:
        >>> kept_numbers(4), len(kept_numbers(500)) <= 41
        ([0, 1, 2, 3, 4], True)
    """
    if capacity <= most:
        return list(range(capacity + 1))
    return [0, *np.unique(np.geomspace(1, capacity, most).round().astype(int)).tolist()]


def kept_accuracy(network: Network, params: Params, data: Dataset, kept: Sequence[int] | None = None) -> KeptAccuracy:
    """Measure test accuracy against modes kept, largest first, by the library's truncation curves.

    Args:
        network: with modes in every map.
        params: its parameters.
        data: the data set.
        kept: numbers of modes, growing from 0 or more; by default `kept_numbers` of the largest map.

    Returns:
        The accuracies.
    """
    modes = [each for each in network.modes(params) if each is not None]
    kept = kept_numbers(max(each.weight.size for each in modes)) if kept is None else list(kept)
    loss = LOSSES[data.targets]

    @jax.jit
    def count(params: Params, x: Any, y: Any, counts: Any) -> Any:
        order = [None if each is None else ranked(each, mode_scores(each, "size")) for each in network.modes(params)]
        return kept_curves(network, loss, params, order, (x, y, counts), kept)

    total = None
    for block in _blocks(data, params):
        right = jax.device_get(count(params, *block))
        total = right if total is None else jax.tree.map(np.add, total, right)
    assert total is not None
    n = len(data.x_test)
    return KeptAccuracy(np.array(kept), total.together / n, total.layer / n)


def test_accuracy(network: Network, params: Params, data: Dataset) -> float:
    """Return the share of right answers on the test set."""
    precision = "float64" if _dtype(params) == np.float64 else "float32"
    trained = Trained("chain", {}, network, params, data.scale, data.targets, precision)
    return float(np.mean(trained.classify(data.x_test) == data.y_test))


test_accuracy.__test__ = False  # pyright: ignore  # not a test of pytest's


@dataclasses.dataclass(frozen=True)
class _Made:
    """A factory of one network, equal by value, so that the compiled program of a sweep is found again."""

    network: Network

    def __call__(self) -> Network:
        return self.network


def fine_tune(
    network: Network,
    params: Params,
    data: Dataset,
    epochs: int,
    *,
    learning_rate: float = 1e-3,
    batch: int = 100,
    seed: int = 0,
) -> Params:
    """Train in mode space by Adam: a sweep of this one network, which starts from the given parameters.

    Args:
        network: the network; each of its maps has its own number of modes.
        params: where it starts.
        data: the data set.
        epochs: passes over the training set; examples that do not fill a batch are left out of one.
        learning_rate: of Adam, constant.
        batch: examples a step.
        seed: of the order of the examples.

    Returns:
        The parameters as NumPy arrays; frozen ones as they were.

    Raises:
        InputError: if the training diverges.
    """
    config = SweepConfig(
        dataset=data.name,
        network="custom",
        widths=(1,),  # the network has its own sizes
        seeds=1,
        shuffle_seed=seed,
        epochs=epochs,
        batch_size=min(batch, len(data.x_train)),
        learning_rates=(learning_rate,),
        weight_decays=(0.0,),
        precision="float64" if _dtype(params) == np.float64 else "float32",
        kept=(0,),
        baseline="none",
    )
    # What `perform` does, without the test of a user's network: it would take longer than the training.
    plan = make_plan(config, data, Custom(network=_Made(network)))
    (trained,) = trained_networks(plan, execute(plan, data, start=[params]).states)
    if trained.status:
        raise InputError(f"training with the learning rate {learning_rate:g} diverged; give a smaller one")
    return trained.params


def _dtype(params: Params) -> Any:
    return next(leaf.dtype for leaf in jax.tree.leaves(params) if jnp.issubdtype(leaf.dtype, jnp.floating))


def _blocks(data: Dataset, params: Params) -> Any:
    """Yield inputs, labels and what counts of the test set, in blocks of one size."""
    dtype, n = _dtype(params), len(data.x_test)
    size = min(_BLOCK, n)
    for start in range(0, n, size):
        rows = np.arange(start, start + size)
        inside = rows < n
        rows = np.minimum(rows, n - 1)
        x = jnp.asarray(data.x_test[rows]).astype(dtype) * jnp.asarray(data.scale, dtype)
        yield x, jnp.asarray(data.y_test[rows]), jnp.asarray(inside)
