"""The check of widths: powers, verdicts, and the gauges that it tells apart."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from modejax import layers, networks, training
from modejax.errors import InputError
from modejax.networks.base import Network
from modejax.training.widths import WidthCheck, check_widths

LOSS = training.cross_entropy
WIDTHS = (16, 256)


def data(rows=400, features=8):
    x = jax.random.normal(jax.random.key(3), (rows, features))
    return x, jnp.int32(x[:, 0] + x[:, 1] > 0)


def chain(family, modes=None):
    return lambda n: networks.mlp([8, n, n, 2], family, modes)


def record(powers, widths=(4, 16, 64), seeds=2):
    sizes = np.array(widths, float)[:, None] ** np.asarray(powers, float)
    both = np.tile(sizes[None, :, None], (seeds, 1, 3, 1))
    return WidthCheck(np.array(widths), tuple(f"map{i + 1}" for i in range(len(powers))), 0.1, both, both)


def test_powers_are_those_of_power_laws():
    powers, error = record([0.5, 0.0, -1.0]).powers()
    np.testing.assert_allclose(powers, [0.5, 0.0, -1.0], atol=1e-12)
    np.testing.assert_allclose(error, 0, atol=1e-12)
    assert np.isnan(record([0.5], seeds=1).powers()[1]).all()
    with pytest.raises(InputError, match="unknown size 'steps'; allowed: size, update"):
        record([0.5]).powers("steps")


def test_verdicts():
    assert record([0.1, -0.1]).verdict.startswith("width-free")
    assert record([0.1, 0.3, -0.4]).verdict == (
        "not width-free: updates of map2 grow as N^0.30, map3 shrink as N^-0.40 for width N; "
        "the best learning rate moves with the width"
    )
    assert not record([0.1, 0.3]).width_free
    assert record([0.3], seeds=1).verdict.startswith("not width-free: updates of map1 grow as N^0.30")
    scattered = record([0.4])
    scattered.update[0] = 1.0
    assert scattered.verdict == (
        "not decided: seeds differ too much to tell updates of map1 N^0.20 +- 0.20 from none; take more seeds"
    )
    broken = record([0.1])
    broken.update[:] = np.nan
    assert broken.verdict.startswith("not decided")
    broken.update[:] = 0.0  # of a network whose units are all dead
    assert broken.verdict.startswith("not decided")


def test_data_may_be_numpy_arrays_of_float64(recwarn):
    x, y = data(rows=60)
    wide = (np.asarray(x, np.float64), np.asarray(y))
    checks = [
        check_widths(chain(layers.Dense()), (8, 16), each, training.cross_entropy, steps=2) for each in (wide, (x, y))
    ]
    np.testing.assert_array_equal(checks[0].update, checks[1].update)
    assert not [each for each in recwarn if "float64" in str(each.message)]


def test_the_gauge_decides():
    free = check_widths(
        chain(layers.Dense(gauge="width_free")), WIDTHS, data(), training.cross_entropy, learning_rate=0.1, steps=8
    )
    plain = check_widths(chain(layers.Dense()), WIDTHS, data(), training.cross_entropy, learning_rate=0.001, steps=8)
    assert free.size.shape == free.update.shape == (3, 2, 9, 3)
    # The start of the outputs shrinks as the root of the width, hidden sizes do not.
    np.testing.assert_allclose(free.powers("size", 0)[0], [0, 0, -0.5], atol=0.2)
    assert free.width_free
    assert plain.powers()[0][-1] > free.powers()[0][-1] + 0.3
    assert not plain.width_free


def test_update_is_the_distance_from_the_start():
    check = check_widths(chain(layers.Mode(), 3), (4, 8), data(40), training.cross_entropy, steps=2, seeds=1)
    assert (check.update[:, :, 0] == 0).all()
    assert (check.update[:, :, 1:] > 0).all()
    # A network alone, stepped by hand.
    x, y = data(40)
    network = chain(layers.Mode(), 3)(8)
    state = training.init_state(network, jax.random.key(0))
    before = network.apply(state.params, x[20:])
    step = jax.jit(lambda s, batch: training.train_step(network, LOSS, s, batch, jnp.float32(0.01), jnp.float32(0))[0])
    for part in (slice(0, 20), slice(20, 40)):
        state = step(state, (x[part], y[part]))
    moved = network.apply(state.params, x[20:]) - before
    assert check.update[0, 1, 2, -1] == pytest.approx(float(jnp.sqrt(jnp.mean(moved**2))), rel=1e-4)


def test_a_network_of_the_users_counts_as_one_map():
    class Linear(Network):
        def init(self, key):
            return jax.random.normal(key, (8, 2))

        def apply(self, params, x):
            return x @ params

    assert check_widths(lambda n: Linear(), (2, 4), data(20), training.cross_entropy, steps=2).map_names == ("output",)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"widths": (8, 8)}, "at least two different integers"),
        ({"steps": 0}, "steps must lie between 1 and the number of examples, 20"),
        ({"steps": 21}, "got 21"),
    ],
)
def test_what_is_refused(options, message):
    given = {"widths": (4, 8), "steps": 2} | options
    with pytest.raises(InputError, match=message):
        check_widths(chain(layers.Dense()), data=data(20), loss=training.cross_entropy, **given)
