"""The axes of the grid: what each of them does to a member, read off what was trained."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from modejax import SweepConfig, run_sweep
from modejax.data import from_arrays
from modejax.networks import Network
from modejax.sweep.arm import Arm
from modejax.sweep.axes import AXES, axis_names
from modejax.training import Loss

EXAMPLES, CLASSES = 60, 3


def test_every_axis_is_a_field_of_an_arm():
    fields = {field.name for field in dataclasses.fields(Arm)} | {"seeds"}
    assert {axis.field for axis in AXES} <= fields
    assert len(set(axis_names())) == len(AXES)
    assert [axis.name for axis in AXES if axis.always] == ["width", "modes", "seed", "learning_rate", "weight_decay"]


@pytest.fixture(scope="module")
def told():
    """Examples that are unit vectors: column j of a linear map moves only where example j is seen."""
    y = np.random.default_rng(0).integers(0, CLASSES, EXAMPLES)
    x = np.eye(EXAMPLES, dtype=np.float32)
    return from_arrays(x, y, x, y)


LINEAR = Loss(
    lambda outputs, label: outputs[label], lambda outputs, label: jnp.argmax(outputs).astype(label.dtype) == label
)
"""A loss whose gradient counts: entry (label, j) of the weights moves by rate / batch a time that j comes with it."""

COUNTS: dict[str, Any] = {
    "layer": "dense",
    "depth": 0,
    "seeds": 2,
    "epochs": 3,
    "batch_size": 10,
    "optimiser": "sgd",
    "learning_rates": (10.0,),  # the size of a batch: a step moves by 1 an example
    "weight_decays": (0.0,),
    "precision": "float64",
    "baseline": "none",
    "train_examples": (7, 30, 60),
    "label_noise": (0.0, 0.4, 1.0),
}


@pytest.fixture(scope="module", params=[pytest.param("shared", marks=pytest.mark.slow), "per_seed"])
def counted(request, told):
    """How often each member saw each example with each label: counts[train_examples, label_noise, seed]."""
    config = SweepConfig(**COUNTS, batches=request.param)
    run = run_sweep(config, dataset=told, loss=LINEAR)
    found = {}
    for trained in run.networks():
        with jax.enable_x64(True):
            start = trained.network.init(jax.random.key(trained.seed))
        found[trained.train_examples, trained.label_noise, trained.seed] = (
            np.asarray(start[0].weight) - trained.params[0].weight
        )
    return request.param, found


def test_each_member_sees_its_share_alone_and_each_example_of_it_equally_often(counted):
    _, found = counted
    for (n, _, _), counts in found.items():
        seen = counts.sum(axis=0)
        assert (seen > 0.5).sum() == n
        assert seen.sum() == pytest.approx(3 * EXAMPLES)
        # In every epoch all are seen equally often to within one.
        assert seen[seen > 0.5].min() > 3 * (EXAMPLES // n) - 1e-9
        assert seen.max() < 3 * -(-EXAMPLES // n) + 1e-9


def test_shares_are_nested_and_belong_to_the_seed_only_where_batches_do(counted):
    batches, found = counted
    shares = {key: set(np.flatnonzero(counts.sum(axis=0) > 0.5)) for key, counts in found.items()}
    for seed in (0, 1):
        assert shares[7, 0.0, seed] < shares[30, 0.0, seed] < shares[60, 0.0, seed]
        assert shares[7, 0.0, seed] == shares[7, 0.4, seed]
    assert (shares[7, 0.0, 0] == shares[7, 0.0, 1]) == (batches == "shared")


def test_labels_are_replaced_in_the_share_asked_for_and_once_for_all(counted, told):
    batches, found = counted
    for seed in (0, 1):
        replaced = {}
        for noise in (0.0, 0.4, 1.0):
            labels = found[60, noise, seed]
            # Each example keeps one label through all epochs.
            assert ((labels > 0.5).sum(axis=0) == 1).all()
            replaced[noise] = labels.argmax(axis=0) != told.y_train
        assert not replaced[0.0].any()
        assert replaced[1.0].all()
        assert stats.binomtest(int(replaced[0.4].sum()), EXAMPLES, 0.4).pvalue > 1e-4
        # A share of the examples is labelled as the whole set is.
        small = found[30, 0.4, seed]
        there = small.sum(axis=0) > 0.5
        np.testing.assert_array_equal(small.argmax(axis=0)[there], found[60, 0.4, seed].argmax(axis=0)[there])
    same = np.array_equal(found[60, 0.4, 0] > 0.5, found[60, 0.4, 1] > 0.5)
    assert same == (batches == "shared")


def test_a_whole_number_of_epochs_without_the_last_batch_keeps_within_the_share(told):
    """With 60 examples in batches of 25, an epoch is 50 examples: the others of the order are left out."""
    config = SweepConfig(**COUNTS | {"batch_size": 25, "learning_rates": (25.0,), "label_noise": ()})
    for trained in run_sweep(config, dataset=told, loss=LINEAR).networks(seed=0):
        with jax.enable_x64(True):
            start = trained.network.init(jax.random.key(0))
        seen = (np.asarray(start[0].weight) - trained.params[0].weight).sum(axis=0)
        assert (seen > 0.5).sum() == trained.train_examples
        assert seen.sum() == pytest.approx(150)


@dataclasses.dataclass(frozen=True, eq=False)
class Gained(Network):
    """A linear map times a number of the grid, which is traced inside a sweep."""

    features: int
    outputs: int
    gain: Any

    def init(self, key):
        return jax.random.normal(key, (self.features, self.outputs))

    def apply(self, params, x):
        return jnp.asarray(self.gain).astype(x.dtype) * (x @ params)


def test_a_number_of_the_user_reaches_the_network_that_asks_for_it(blobs):
    asked = []

    def network(features, outputs, gain):
        asked.append((features, outputs))
        return Gained(features, outputs, gain)

    config = SweepConfig(
        widths=(1,),
        seeds=1,
        epochs=2,
        batch_size=20,
        axes={"gain": (-0.5, 2)},  # pyright: ignore
        learning_rates=(0.05, 0.1),  # pyright: ignore
    )
    run = run_sweep(config, dataset=blobs, network=network)
    assert set(asked) == {(6, 3)}
    assert run.arms == ("custom",)
    assert dict(run.first.test_loss.sizes)["gain"] == 2
    assert run.first.gain.values.tolist() == [-0.5, 2]
    for trained in run.networks(learning_rate=0.05):
        outputs = trained.gain * (blobs.x_test @ trained.params)
        np.testing.assert_allclose(trained.predict(blobs.x_test), outputs, rtol=1e-5, atol=1e-5)
        accuracy = float((outputs.argmax(axis=1) == blobs.y_test).mean())
        cell = run.first.test_accuracy.sel(gain=trained.gain, learning_rate=0.05).isel(epoch=-1).item()
        assert cell == pytest.approx(accuracy, abs=1e-6)
    one, other = (run.networks(gain=gain, learning_rate=0.05)[0].params for gain in (-0.5, 2))
    assert not np.allclose(one, other)


def test_a_factory_that_asks_for_what_is_not_there_is_told(blobs):
    from modejax.errors import InputError

    message = r"asks for 'gian'; it can have .*gain.*, or a number axis that the config names \(axes="
    with pytest.raises(InputError, match=message):
        run_sweep(
            SweepConfig(axes=("gain=1,2",)), dataset=blobs, network=lambda features, gian: Gained(features, 3, gian)
        )
