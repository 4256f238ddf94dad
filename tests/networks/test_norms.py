"""Normalisation over channels against NumPy, with and without padding."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from modejax.extent import Extent
from modejax.networks.norms import NormParams, init_norm, normalise

pytestmark = pytest.mark.usefixtures("float64")
CHANNELS = 6


def expected(z, gain, shift, groups):
    """Normalise rows (rows, places, channels) with NumPy loops."""
    out = np.empty_like(z)
    for row, values in enumerate(z):
        if groups is None:
            for place, channels in enumerate(values):
                out[row, place] = (channels - channels.mean()) / np.sqrt(channels.var() + 1e-5)
        else:
            for part in np.split(np.arange(values.shape[1]), groups):
                block = values[:, part]
                out[row][:, part] = (block - block.mean()) / np.sqrt(block.var() + 1e-5)
    return out * gain + shift


@pytest.mark.parametrize("groups", [None, 1, 2, 3, 6])
@pytest.mark.parametrize("padding", [0, 3])
def test_it_is_the_formula_over_the_channels_that_are_there(groups, padding):
    rng = np.random.default_rng(0)
    z, gain, shift = rng.normal(2, 3, (4, 5, CHANNELS)), rng.normal(size=CHANNELS), rng.normal(size=CHANNELS)
    wide = [np.pad(each, [(0, 0)] * (each.ndim - 1) + [(0, padding)]) for each in (z, gain, shift)]
    params = NormParams(*(jnp.asarray(each) for each in wide[1:]))

    @jax.jit
    def found(active):
        return normalise(params, jnp.asarray(wide[0]), Extent(CHANNELS + padding, active), groups)

    result = np.asarray(found(CHANNELS))
    np.testing.assert_allclose(result[..., :CHANNELS], expected(z, gain, shift, groups), rtol=0, atol=1e-12)
    assert not result[..., CHANNELS:].tobytes().strip(b"\0")


def test_channels_that_are_no_multiple_of_the_groups_are_shared_out_to_neighbours():
    z = np.random.default_rng(0).normal(size=(1, 3, 5))
    result = jax.jit(lambda z: normalise(init_norm(Extent(5, 5)), z, Extent(5, 5), 2))(z)
    for part in ([0, 1, 2], [3, 4]):  # floor(2 c / 5)
        block = z[..., part]
        np.testing.assert_allclose(
            result[..., part], (block - block.mean()) / np.sqrt(block.var() + 1e-5), rtol=0, atol=1e-12
        )


def test_the_start_is_gain_1_and_shift_0_and_both_are_0_on_padding():
    start = init_norm(Extent(5, 3))
    assert start.gain.tolist() == [1, 1, 1, 0, 0]
    assert not np.asarray(start.shift).any()


def test_gradients_are_finite_and_0_on_padding():
    params = NormParams(jnp.array([1.0, 2.0, 0.0]), jnp.array([0.5, 0.0, 0.0]))
    z = jnp.asarray(np.pad(np.random.default_rng(0).normal(size=(2, 4, 2)), ((0, 0), (0, 0), (0, 1))))
    for groups in (None, 1):
        loss = lambda p, z, groups=groups: jnp.sum(normalise(p, z, Extent(3, 2), groups) ** 3)  # noqa: E731
        gradients = jax.jit(jax.grad(loss, argnums=(0, 1)))(params, z)
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))
        assert not np.asarray(gradients[1][..., 2]).any()
