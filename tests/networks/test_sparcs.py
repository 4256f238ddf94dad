"""A network in one operator: its blocks, its eigenvalues, and the skip connections that come with them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from modejax.errors import InputError
from modejax.extent import Extent
from modejax.networks.base import Chain
from modejax.networks.sparcs import operator, sparcs, weight_block

pytestmark = pytest.mark.usefixtures("float64")

SIZES = (5, 6, 4, 3)


def drawn(sizes=SIZES, activation="tanh"):
    network = sparcs(sizes, activation, eigenvalue="normal:1", last_eigenvalue="normal:1")
    return network, jax.jit(network.init)(jax.random.key(0))


@pytest.mark.parametrize("count", [*(pytest.param(n, marks=pytest.mark.slow) for n in (2, 3)), 4])
def test_the_operator_has_the_eigenvalues_and_the_blocks(count):
    sizes = SIZES[:count]
    _, params = drawn(sizes)
    a, phi, values = jax.jit(operator)(params)
    np.testing.assert_allclose(a @ phi, phi * values[None, :], rtol=0, atol=1e-12)
    np.testing.assert_allclose(np.sort(np.linalg.eigvals(a).real), np.sort(values), rtol=0, atol=1e-9)
    np.testing.assert_allclose(a, phi @ np.diag(values) @ np.linalg.inv(phi), rtol=0, atol=1e-12)
    nilpotent = np.asarray(phi) - np.eye(sum(sizes))
    powers = sum((-1) ** k * np.linalg.matrix_power(nilpotent, k) for k in range(count))
    np.testing.assert_allclose(powers @ phi, np.eye(sum(sizes)), rtol=0, atol=1e-12)
    ends = np.cumsum((0, *sizes))
    for target in range(1, count):
        for source in range(target):
            block = a[ends[target] : ends[target + 1], ends[source] : ends[source + 1]]
            np.testing.assert_allclose(weight_block(params, target, source), block, rtol=0, atol=1e-12)


def test_the_skip_connection_of_three_layers_is_that_of_the_paper():
    _, params = drawn(SIZES[:3])
    (_, middle, last), (phi1, phi2) = params.eigenvalues, params.phi
    expected = (last[:, None] * phi2 - phi2 * middle[None, :]) @ phi1
    np.testing.assert_allclose(weight_block(params, 2, 0), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("count", [*(pytest.param(n, marks=pytest.mark.slow) for n in (2, 3)), 4])
def test_it_is_the_network_with_all_skip_connections(count):
    network, params = drawn(SIZES[:count])
    x = jax.random.normal(jax.random.key(1), (SIZES[0],))
    states = [x]
    for target in range(1, count):
        parts = [weight_block(params, target, source) @ states[source] for source in range(target)]
        z = jnp.sum(jnp.stack(parts), axis=0)
        states.append(jnp.tanh(z) if target < count - 1 else z)
    np.testing.assert_allclose(network.apply(params, x), states[-1], rtol=0, atol=1e-12)
    rows = jax.random.normal(jax.random.key(2), (2, 3, SIZES[0]))
    np.testing.assert_allclose(network.apply(params, rows)[1, 2], network.apply(params, rows[1, 2]), rtol=0, atol=1e-12)
    # All sets may be shifted together.
    shifted = params._replace(eigenvalues=tuple(each + 0.3 for each in params.eigenvalues))
    np.testing.assert_allclose(network.apply(shifted, x), states[-1], rtol=0, atol=1e-12)


def test_with_the_released_start_it_is_linear():
    network = sparcs(SIZES[:3], "relu")
    params = network.init(jax.random.key(0))
    x, y = jax.random.normal(jax.random.key(1), (2, SIZES[0]))
    assert not np.asarray(weight_block(params, 1, 0)).any()
    both = network.apply(params, x) - 2 * network.apply(params, y)
    np.testing.assert_allclose(network.apply(params, x - 2 * y), both, rtol=0, atol=1e-12)
    np.testing.assert_allclose(network.apply(params, x), params.phi[1] @ (params.phi[0] @ x), rtol=0, atol=1e-12)


def test_counts_and_frozen_leaves():
    network, params = drawn()
    assert network.num_parameters() == sum(SIZES) + 5 * 6 + 6 * 4 + 4 * 3
    frozen = sparcs(SIZES, eigenvectors="frozen")
    assert frozen.num_parameters() == sum(SIZES)
    assert frozen.trainable(params).phi == (False,) * 3
    assert [kernel.shape for kernel in network.kernels(params)] == [(6, 5), (4, 6), (3, 4)]
    assert network.modes(params) == (None,) * 3


def test_padding_changes_nothing():
    network, params = drawn()
    x = jax.random.normal(jax.random.key(1), (5,))

    @jax.jit
    def padded(n, m):
        wide = sparcs((5, Extent(9, n), Extent(8, m), 3), "tanh", eigenvalue="normal:1", last_eigenvalue="normal:1")
        found = wide.init(jax.random.key(0))
        return wide.apply(found, x), found

    z, found = padded(6, 4)
    np.testing.assert_allclose(z, network.apply(params, x), rtol=0, atol=1e-12)
    assert not np.asarray(found.phi[1][4:]).any()
    assert not np.asarray(found.eigenvalues[1][6:]).any()


def test_what_is_not_allowed_is_named():
    network, params = drawn()
    for target, source in ((0, 0), (1, 1), (4, 0), (1, -1)):
        with pytest.raises(InputError, match="weights lead from a layer to a later one of the 4 layers"):
            weight_block(params, target, source)
    # A later layer needs all layers before it, so there is nothing to cut.
    assert not isinstance(network, Chain)
    with pytest.raises(InputError, match="Sparcs defines no `cut`, which truncation curves need"):
        network.cut(params, [None] * 3)
    with pytest.raises(InputError, match="unknown eigenvectors 'fixed'"):
        sparcs(SIZES, eigenvectors="fixed")  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match="unknown activation"):
        sparcs(SIZES, "step")
