"""A dense layer that starts from the weights of a mode layer."""

import jax
import numpy as np
import pytest

from modejax import layers
from modejax.errors import InputError
from modejax.extent import Extent


@pytest.mark.parametrize(
    ("fan_in", "fan_out"), [pytest.param(7, 5, marks=pytest.mark.slow), (Extent(9, 7), Extent(8, 5))]
)
def test_it_starts_where_the_mode_layer_starts(fan_in, fan_out):
    key = jax.random.key(3)
    dense = layers.Dense(start="mode", start_modes=4)
    same = layers.Mode()
    params = dense.init(key, fan_in, fan_out)
    np.testing.assert_array_equal(dense.kernel(params), same.kernel(same.init(key, fan_in, fan_out, 4)))
    assert dense.num_parameters(7, 5) == 35
    assert params.weight is not None
    if isinstance(fan_in, Extent):
        assert not np.any(params.weight[5:])
        assert not np.any(params.weight[:, 7:])


def test_bad_options_are_told():
    with pytest.raises(InputError, match="needs a number of modes of at least 1, got start_modes=0"):
        layers.Dense(start="mode")
    with pytest.raises(InputError, match="start_modes=3 belongs to start=mode, got start=he"):
        layers.Dense(start_modes=3)
    with pytest.raises(InputError, match="allowed: glorot, he, mode, paper"):
        layers.Dense(start="small")  # pyright: ignore[reportArgumentType]
