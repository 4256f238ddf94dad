"""The transfer operator of spectral layers, its eigenvalues and its gauge."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from spectral_cases import DISTINCT, filled, make

from modejax import layers


@pytest.mark.parametrize("case", DISTINCT)
def test_the_transfer_operator_is_that_of_the_method(case, float64):
    layer, sizes = make(case), (30, 20)
    params = filled(case, sizes)
    A, Phi, Lambda = layers.transfer_operator(params)
    nodes, fan_in = sum(sizes), sizes[0]
    identity = np.eye(nodes)
    np.testing.assert_allclose(Phi @ (2 * identity - Phi), identity, rtol=0, atol=1e-12)
    np.testing.assert_allclose(A[fan_in:, :fan_in], layer.kernel(params), rtol=0, atol=1e-12)
    np.testing.assert_allclose(A[:fan_in, fan_in:], 0, rtol=0, atol=1e-12)
    np.testing.assert_allclose(A @ Phi, Phi * Lambda[None, :], rtol=0, atol=1e-12)
    # Not by construction: the eigenvalues that LAPACK finds.
    found = np.linalg.eigvals(np.asarray(A))
    scale = max(1.0, float(np.linalg.norm(A, 2)))
    np.testing.assert_allclose(found.imag, 0, atol=1e-6 * scale)
    np.testing.assert_allclose(np.sort(found.real), np.sort(Lambda), rtol=0, atol=1e-6 * scale)


def test_the_conventions_of_a_single_set_have_one_kernel_and_other_eigenvalues(float64):
    zero, unit = (make(name) for name in ("single_set", "single_set_unit"))
    one, other = (layer.init(jax.random.key(0), 6, 4) for layer in (zero, unit))
    np.testing.assert_array_equal(zero.kernel(one), unit.kernel(other))
    (zero_in, zero_out), (unit_in, unit_out) = layers.eigenvalues(one), layers.eigenvalues(other)
    np.testing.assert_array_equal(zero_in, 0)
    np.testing.assert_array_equal(unit_in, 1)
    np.testing.assert_allclose(unit_out, 1 + zero_out, rtol=1e-15)


def test_the_first_released_layer_has_the_kernel_of_its_code(float64):
    layer = make("first")
    params = layer.init(jax.random.key(3), 6, 4)
    u = np.asarray(params.slope)
    np.testing.assert_array_equal(params.lambda_out, u)
    assert abs(u).max() > 1
    np.testing.assert_allclose(layer.kernel(params), (u * (1 - u))[:, None] * np.asarray(params.phi), atol=1e-14)
    np.testing.assert_allclose(layers.eigenvalues(params)[1], 1 - u + u * u, rtol=1e-14)


@pytest.mark.parametrize("case", ["two_set", "full", "qr_full", "svd", "two_set_released"])
def test_shifting_both_sets_changes_nothing(case, float64):
    layer = make(case)
    params = filled(case)
    shifted = params._replace(lambda_in=params.lambda_in + 0.7, lambda_out=params.lambda_out + 0.7)
    np.testing.assert_allclose(layer.kernel(shifted), layer.kernel(params), rtol=0, atol=1e-12)
    for one, other in zip(layers.fix_gauge(shifted), layers.fix_gauge(params), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-12)
    lambda_in, lambda_out = layers.fix_gauge(params)
    fixed = params._replace(lambda_in=lambda_in, lambda_out=lambda_out)
    np.testing.assert_allclose(layer.kernel(fixed), layer.kernel(params), rtol=0, atol=1e-12)
    squares = [float(jnp.sum((lambda_in + c) ** 2) + jnp.sum((lambda_out + c) ** 2)) for c in (0.0, 0.01, -0.01)]
    assert squares[0] == min(squares)
