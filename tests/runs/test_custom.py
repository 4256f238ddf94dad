"""What the user brings from Python: taken where it is sound, refused with its reason where it is not."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from plain_training import plain

from modejax import SweepConfig, layers, networks, open_run, run_sweep
from modejax.draws import normal_matrix
from modejax.errors import InputError
from modejax.extent import as_extent
from modejax.networks import MLP, Network
from modejax.sweep.execute import execute
from modejax.sweep.plan import make_plan
from modejax.sweep.spec import Custom
from modejax.training import Loss, squared_error

CONFIG = SweepConfig(widths=(5, 9), modes=(3,), seeds=1, epochs=2, batch_size=20, baseline="none", buckets="one")


@dataclasses.dataclass(frozen=True)
class Doubled(layers.Mode):
    """A mode layer that starts with twice the weights."""

    def init(self, key, fan_in, fan_out, modes=None):
        params = super().init(key, fan_in, fan_out, modes)
        return params._replace(sigma=2 * params.sigma)


class DrawnParams(NamedTuple):
    """A matrix."""

    weight: Any


@dataclasses.dataclass(frozen=True)
class Drawn(layers.Family):
    """A family of ten lines: a matrix of normal numbers."""

    def init(self, key, fan_in, fan_out, modes=None):
        del modes
        fan_in, fan_out = as_extent(fan_in), as_extent(fan_out)
        return DrawnParams(normal_matrix(key, fan_out, fan_in) / jnp.sqrt(fan_in.size))

    def kernel(self, params):
        return params.weight


@pytest.mark.parametrize(
    "layer", [pytest.param(Doubled(), marks=pytest.mark.slow), Drawn()], ids=lambda each: type(each).__name__
)
def test_a_layer_of_the_user_is_trained_kept_and_asked_for_again(blobs, tmp_path, layer):
    run = run_sweep(CONFIG, dataset=blobs, layer=layer, out=tmp_path / "run")
    assert run.arms == ("custom",)
    if isinstance(layer, Doubled):
        full = run.first.truncation_accuracy_all.isel(truncation_epoch=-1).sel(kept=3)
        np.testing.assert_allclose(full, run.first.test_accuracy.isel(epoch=-1), atol=1e-6)
    bare = open_run(tmp_path / "run")
    assert bare.config == run.config
    assert len(bare.table()) == 2
    with pytest.raises(InputError, match="was made with a layer of your own; give it again as layer="):
        bare.networks()
    again = open_run(tmp_path / "run", layer=layer).networks()
    for one, other in zip(run.networks(), again, strict=True):
        np.testing.assert_array_equal(one.predict(blobs.x_test), other.predict(blobs.x_test))
    other = layers.Dense(use_bias=True) if isinstance(layer, Drawn) else layers.SVD()
    with pytest.raises(InputError, match="does not hold the networks of its run"):
        open_run(tmp_path / "run", layer=other).networks()


def own(features, outputs, width, modes):
    """Return a residual network of the user's."""
    return networks.residual([features, width, width, outputs], layers.Mode(), modes)


def test_a_network_of_the_user_is_trained_kept_and_asked_for_again(blobs, tmp_path):
    run = run_sweep(CONFIG, dataset=blobs, network=own, out=tmp_path / "run")
    assert run.arms == ("custom",)
    bare = open_run(tmp_path / "run")
    assert float(bare.first.test_accuracy.isel(epoch=-1, width=0).item()) <= 1
    with pytest.raises(InputError, match="was made with a network of your own; give it again as network="):
        bare.networks()
    again = open_run(tmp_path / "run", network=own).networks()
    assert [each.width for each in again] == [5, 9]
    with pytest.raises(InputError, match=r"damaged|does not hold"):
        open_run(tmp_path / "run", network=lambda width: networks.mlp([6, width, 3], layers.Dense())).networks()


@pytest.mark.slow
def test_a_network_of_the_user_is_trained_like_one_of_the_library(blobs):
    run = run_sweep(CONFIG, dataset=blobs, network=own)
    built = run_sweep(dataclasses.replace(CONFIG, network="residual"), dataset=blobs)
    np.testing.assert_allclose(run.first.test_loss, built.first.test_loss, rtol=1e-5)


def test_a_network_that_asks_for_no_modes_has_one_entry_on_that_axis(blobs):
    config = SweepConfig(widths=(4, 5), seeds=1, epochs=1, batch_size=20, baseline="none", buckets="one")
    run = run_sweep(config, dataset=blobs, network=lambda width: networks.mlp([6, width, 3], layers.Dense()))
    assert run.first.modes.values.tolist() == [0]
    assert [trained.width for trained in run.networks()] == [4, 5]


@pytest.mark.slow
def test_an_optimiser_of_the_user_is_that_of_optax(blobs):
    config = dataclasses.replace(CONFIG, precision="float64", learning_rates=(0.003,))
    run = run_sweep(config, dataset=blobs, optimiser=optax.lion)
    custom = Custom(optimiser=optax.lion)
    plan = make_plan(dataclasses.replace(config, optimiser="custom"), blobs, custom)
    with jax.enable_x64(True), jax.default_matmul_precision("highest"):
        _, _, state = plain(plan, blobs, 0)
    for one, other in zip(jax.tree.leaves(run.networks()[0].params), jax.tree.leaves(state.params), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-10)
    named = run_sweep(dataclasses.replace(config, optimiser="lion"), dataset=blobs)
    np.testing.assert_allclose(run.first.test_loss, named.first.test_loss, rtol=1e-9)
    adam = run_sweep(config, dataset=blobs)
    assert not np.allclose(run.first.test_loss, adam.first.test_loss, rtol=1e-3)


@pytest.mark.parametrize("counts", [pytest.param(False, marks=pytest.mark.slow), True])
def test_a_loss_of_the_user_is_what_is_minimised(blobs, counts):
    def value(outputs, label):
        return 0.5 * jnp.sum((outputs - jax.nn.one_hot(label, 3, dtype=outputs.dtype)) ** 2)

    correct = (lambda outputs, label: jnp.argmax(outputs) == label) if counts else None
    run = run_sweep(dataclasses.replace(CONFIG, epochs=20), dataset=blobs, loss=Loss(value, correct))
    (trained, _) = run.networks()
    outputs = trained.predict(blobs.x_test)
    expected = 0.5 * ((outputs - np.eye(3)[blobs.y_test]) ** 2).sum(axis=1).mean()
    np.testing.assert_allclose(run.first.test_loss.sel(width=5).isel(epoch=-1).item(), expected, rtol=1e-4)
    accuracy = run.first.test_accuracy.sel(width=5).isel(epoch=-1).item()
    if correct is None:
        assert np.isnan(accuracy)
        assert "truncation_loss" in run.first
    else:
        assert accuracy == pytest.approx((outputs.argmax(axis=1) == blobs.y_test).mean(), abs=1e-6)
        assert "truncation_accuracy" in run.first
    assert squared_error.correct is not None


class Hidden(MLP):
    """A perceptron with a residual path that its maps know nothing of."""

    def apply(self, params, x):
        return super().apply(params, x) + x[..., : self.sizes[-1].capacity]


@dataclasses.dataclass(frozen=True)
class Leaky(MLP):
    """A perceptron whose padded units act."""

    def finish(self, params, z, h, index):
        return z if index else jax.nn.sigmoid(z) + 0 * super().finish(params, z, h, index)


@dataclasses.dataclass(frozen=True)
class ByCapacity(Network):
    """A start that depends on the padded size."""

    width: object

    def init(self, key):
        size = as_extent(self.width)  # pyright: ignore[reportArgumentType]
        drawn = jax.random.normal(key, (6, size.capacity)) * size.mask.astype(float)[None, :]
        return drawn, jnp.ones((size.capacity, 3)) * size.mask.astype(float)[:, None]

    def apply(self, params, x):
        return jnp.tanh(x @ params[0]) @ params[1]


def of(kind):
    def build(width, modes):
        made = networks.mlp([6, width, 3], layers.Mode(), modes)
        return kind(made.sizes, made.families, made.mode_counts, made.activation)

    return build


SLOW = pytest.mark.slow


@dataclasses.dataclass(frozen=True)
class WrongModes(layers.Mode):
    """Twice a mode layer whose modes do not say so."""

    def kernel(self, params):
        return 2 * super().kernel(params)

    def apply(self, params, x):
        return 2 * super().apply(params, x)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"network": lambda sizes, modes: MLP}, "the network's factory asks for 'sizes'; it can have features"),
        pytest.param({"network": of(Leaky)}, "has a gradient on its padding, which training would", marks=SLOW),
        pytest.param({"network": of(Hidden)}, "`apply` differs from what kernels and biases give, stage", marks=SLOW),
        ({"network": lambda width, modes: ByCapacity(width)}, "starts with other entries of"),
        ({"network": lambda width: networks.mlp([6, width, 3], layers.Dense())}, "asks for no modes, got modes=(3,)"),
        ({"network": MLP}, "asks for no modes, got modes=(3,)"),
        ({"network": lambda width, modes: MLP}, "must return a modejax.networks.Network, got <class"),
        ({"network": networks.mlp([6, 4, 3], layers.Dense())}, "network must be a function of width and modes"),
        ({"network": lambda width, modes: layers.Mode()}, "must return a modejax.networks.Network, got Mode"),
        ({"network": lambda rank, modes: None}, "asks for 'rank'"),
        ({"layer": layers.Mode}, "layer must be a family such as layers.Mode() or an instance of your own"),
        ({"layer": lambda modes: layers.Mode()}, "layer must be a family such as layers.Mode()"),
        ({"layer": "mode"}, "layer must be a family such as layers.Mode()"),
        pytest.param({"layer": WrongModes()}, "this layer is not sound", marks=SLOW),
        ({"optimiser": 3}, "an optimiser is a name or a function of the learning rate, got 3"),
    ],
)
def test_what_is_not_sound_is_refused_before_anything_is_written(blobs, tmp_path, given, message):
    with pytest.raises(InputError) as caught:
        run_sweep(CONFIG, dataset=blobs, out=tmp_path / "run", **given)
    assert message in str(caught.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_custom_optimisers_run_in_a_folder_and_need_nothing_to_be_read(blobs, tmp_path):
    run = run_sweep(CONFIG, dataset=blobs, optimiser=optax.lion, out=tmp_path / "run")
    assert run.arms == ("mode",)
    for one, other in zip(run.networks(), open_run(tmp_path / "run").networks(), strict=True):
        np.testing.assert_array_equal(one.predict(blobs.x_test), other.predict(blobs.x_test))


@pytest.mark.slow
def test_plans_of_custom_networks_run_without_a_folder(blobs):
    plan = make_plan(dataclasses.replace(CONFIG, network="custom"), blobs, Custom(network=own))
    assert execute(plan, blobs).records[0].healthy.all()
