"""Initial values of spectral layers: padding, factors and distributions."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from spectral_cases import (
    DISTINCT,
    make,
    start,
)

from modejax import layers
from modejax.extent import Extent

SHAPES = [(7, 5), (4, 9), (6, 6)]
QUICK = ("single_set", "two_set", "qr_triangular")


@pytest.mark.parametrize(
    ("case", "sizes"),
    [
        *(pytest.param(case, (7, 5), marks=[] if case in QUICK else pytest.mark.slow) for case in DISTINCT),
        *(pytest.param(case, (4, 9), marks=pytest.mark.slow) for case in ("qr_triangular", "svd", "svd_released")),
    ],
)
def test_padding_changes_no_start_and_no_output(case, sizes):
    """Both sizes padded and traced, against the layer of plain sizes; the factors to rounding, all else to the bit."""
    layer = make(case)
    x = np.random.default_rng(0).normal(size=sizes[0]).astype(np.float32)

    @jax.jit
    def alone(key):
        params = layer.init(key, *sizes)
        return params, layer.apply(params, jnp.asarray(x))

    @jax.jit
    def padded(key, active):
        fan_in, fan_out = active
        params = layer.init(key, Extent(sizes[0] + 3, fan_in), Extent(sizes[1] + 4, fan_out))
        return params, layer.apply(params, jnp.pad(jnp.asarray(x), (0, 3)))

    key = jax.random.key(2)
    params, z = alone(key)
    wide, wide_z = padded(key, (jnp.int32(sizes[0]), jnp.int32(sizes[1])))
    exact = isinstance(params.phi, jax.Array) or case.endswith("_released")
    for small, large in zip(jax.tree.leaves(params), jax.tree.leaves(wide), strict=True):
        inside = tuple(slice(n) for n in small.shape)
        outside = np.array(large)
        outside[inside] = 0
        assert not outside.tobytes().strip(b"\0"), "padding is not 0 bit for bit"
        if exact:
            assert np.asarray(large)[inside].tobytes() == np.asarray(small).tobytes()
        else:
            np.testing.assert_allclose(np.asarray(large)[inside], small, rtol=0, atol=2e-6)
    np.testing.assert_allclose(wide_z[: sizes[1]], z, rtol=0, atol=1e-5)
    assert not np.asarray(wide_z[sizes[1] :]).any()


def test_the_factors_of_a_padded_start_have_the_bits_of_the_vmapped_one_whatever_stands_beside_it():
    """Members of one bucket do not see each other: the same member among others, at the same capacity."""
    layer = make("qr_full")

    @jax.jit
    def starts(widths):
        return jax.vmap(lambda n: layer.init(jax.random.key(0), 12, Extent(16, n)).phi)(widths)

    one, other = starts(jnp.array([5, 16], jnp.int32)), starts(jnp.array([5, 9], jnp.int32))
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_array_equal(a[0], b[0])


@pytest.mark.parametrize("sizes", [SHAPES[0], *(pytest.param(n, marks=pytest.mark.slow) for n in SHAPES[1:])])
def test_the_factors_are_orthonormal(sizes, float64):
    k = min(sizes)
    for case in ("qr_triangular", "qr_full"):
        r, q = start(case, sizes).phi
        np.testing.assert_allclose(q @ q.T, np.eye(k), rtol=0, atol=1e-13)
        assert (np.triu(r, 1) == 0).all()
        assert (np.diagonal(r) > 0).all()
    # phi = r q is the matrix that was drawn: the QR start is a rewriting of the two-set start.
    np.testing.assert_allclose(r @ q, start("two_set", sizes).phi, rtol=0, atol=1e-13)
    u, s, v = start("svd", sizes).phi
    np.testing.assert_allclose(u.T @ u, np.eye(k), rtol=0, atol=1e-13)
    np.testing.assert_allclose(v @ v.T, np.eye(k), rtol=0, atol=1e-13)
    assert (np.diff(s) < 0).all()
    assert (s > 0).all()
    u, s, v = start("svd_released", sizes).phi
    assert abs(u.T @ u - np.eye(k)).max() > 0.1


@pytest.mark.slow
def test_the_svd_start_is_that_of_a_normal_matrix():
    """Entries of phi = u diag(s) v are Normal(0, 0.036^2) and uncorrelated, and a row's norm has their spread."""
    layer, count = make("svd"), 4000
    params = jax.jit(jax.vmap(lambda seed: layer.init(jax.random.key(seed), 5, 3)))(jnp.arange(count))
    phi = np.asarray(jax.vmap(layers.eigenvector_block)(params), np.float64) / 0.036
    samples = phi.reshape(count, 15)
    for column in samples.T:
        assert stats.kstest(column, "norm").pvalue > 1e-6
    # The sum of squares of a matrix is chi-squared with 15 degrees of freedom only if its entries are independent.
    assert stats.kstest((samples**2).sum(axis=1), "chi2", args=(15,)).pvalue > 1e-6
    correlation = np.corrcoef(samples.T) - np.eye(15)
    assert abs(correlation).max() < stats.norm.isf(1e-6 / 2 / 105) / count**0.5
    minors = samples[:, 0] * samples[:, 6] - samples[:, 1] * samples[:, 5]
    normal = np.random.default_rng(0).normal(size=(4, 4000))
    compared: Any = stats.ks_2samp(minors, normal[0] * normal[1] - normal[2] * normal[3])
    assert compared.pvalue > 1e-6


@pytest.mark.parametrize(
    "sizes", [(5, 3), *(pytest.param(n, marks=pytest.mark.slow) for n in ((3, 5), (6, 6), (1, 4)))]
)
def test_the_singular_values_are_distributed_as_those_of_normal_matrices(sizes):
    count = 3000
    drawn = jax.jit(jax.vmap(lambda seed: make("svd").init(jax.random.key(seed), *sizes).phi.s))(jnp.arange(count))  # pyright: ignore
    found = np.linalg.svd(np.random.default_rng(3).normal(size=(count, *sizes)), compute_uv=False)
    for ours, theirs in zip(np.asarray(drawn).T / 0.036, found.T, strict=True):
        compared: Any = stats.ks_2samp(ours, theirs)
        assert compared.pvalue > 1e-6
    # And together: the product of all of them.
    compared = stats.ks_2samp(np.asarray(drawn).prod(axis=1) / 0.036 ** min(sizes), found.prod(axis=1))
    assert compared.pvalue > 1e-6


@pytest.mark.parametrize(
    ("fan_in", "fan_out"), [(150, 70), *(pytest.param(*n, marks=pytest.mark.slow) for n in ((90, 90), (40, 100)))]
)
def test_large_factors_are_those_of_lapack(fan_in, fan_out, float64):
    """More than one block of columns, an incomplete last block, and a square one, whose last columns are hardest."""
    r, q = jax.device_get(jax.jit(lambda: make("qr_full").init(jax.random.key(0), fan_in, fan_out).phi)())
    phi = jax.device_get(jax.jit(lambda: make("two_set").init(jax.random.key(0), fan_in, fan_out).phi)())
    k = min(fan_in, fan_out)
    np.testing.assert_allclose(q @ q.T, np.eye(k), rtol=0, atol=1e-13)
    np.testing.assert_allclose(r @ q, phi, rtol=0, atol=1e-13)
    expected, triangle = np.linalg.qr(phi.T)
    sign = np.sign(np.diagonal(triangle))
    np.testing.assert_allclose(q, (expected * sign).T, rtol=0, atol=1e-10)
    np.testing.assert_allclose(r, (triangle * sign[:, None]).T, rtol=0, atol=1e-10)


def test_singular_values_of_a_large_start_are_accurate(float64):
    """The ends and the mean square of 200 values are those that the law of large numbers gives them."""
    s = jax.jit(lambda: make("svd").init(jax.random.key(0), 300, 200).phi.s)() / 0.036  # pyright: ignore
    # Marchenko and Pastur: a 300 x 200 matrix has the edges sqrt(300) +- sqrt(200); the mean square is 300.
    assert abs(float(s[0]) - (300**0.5 + 200**0.5)) < 1
    assert abs(float(s[-1]) - (300**0.5 - 200**0.5)) < 1
    np.testing.assert_allclose(np.mean(np.asarray(s) ** 2), 300, rtol=0.03)


SIZE = (40, 30)
LIMIT = (6 / sum(SIZE)) ** 0.5
STARTS = {
    # The start -> variant, then largest absolute value of phi, lambda_in and lambda_out; None: normal of 0.036.
    "first": ("single_set_unit", 0.2, 0, 1.8),
    "pruning": ("single_set", 0.2, 0, 0.5),
    "two_set": ("two_set", LIMIT, 0.5, 0.5),
    "two_set_narrow": ("two_set", 0.02, 0.5, 0.5),
    "reduction": ("two_set", None, 0.97, 0.13),
    "reduction_released": ("two_set_released", 0, 0.97, 0.13),
    "reduction_svd": ("two_set", None, 0, -1),
    "reduction_svd_released": ("svd_released", 0, 0, -1),
    "reduction_sparse": ("two_set", None, -1, 0),
    "tools": ("two_set", LIMIT, 0, -1),
    "student": ("single_set", LIMIT, 0, LIMIT),
    "relevance": ("input_only", LIMIT, -1, 0),
}


def test_every_start_is_tested():
    assert set(STARTS) == set(layers.SPECTRAL_STARTS)


@pytest.mark.parametrize("name", STARTS)
def test_a_start_has_the_distributions_of_its_table(name):
    variant, *limits = STARTS[name]
    layer = layers.Spectral(variant, start=name)
    params = jax.jit(jax.vmap(lambda seed: layer.init(jax.random.key(seed), *SIZE)))(jnp.arange(60))
    fields = (params.phi, params.lambda_in, params.lambda_out)
    for values, limit in zip(fields, limits, strict=True):
        if isinstance(values, layers.SVDFactors):
            u, s, v = (np.asarray(a, np.float64).ravel() for a in values)
            assert stats.kstest(u / 0.04, "norm").pvalue > 1e-6
            assert stats.kstest(v / 0.04, "norm").pvalue > 1e-6
            assert stats.kstest(s / 3, "uniform").pvalue > 1e-6
            continue
        values = np.asarray(values, np.float64).ravel()
        if limit is None:
            assert stats.kstest(values / 0.036, "norm").pvalue > 1e-6
        elif limit > 0:
            assert stats.kstest(values / limit, "uniform", args=(-1, 2)).pvalue > 1e-6
        else:
            np.testing.assert_array_equal(values, -limit)


def test_the_variants_start_differently_and_with_independent_sets():
    layer = make("two_set")
    params = jax.jit(jax.vmap(lambda seed: layer.init(jax.random.key(seed), 6, 6)))(jnp.arange(3000))
    lambda_in, lambda_out = np.asarray(params.lambda_in).ravel(), np.asarray(params.lambda_out).ravel()
    row = np.asarray(params.phi)[:, 0].ravel()
    bound = stats.norm.isf(1e-6 / 2) / len(row) ** 0.5
    for one, other in ((lambda_in, lambda_out), (lambda_in, row), (lambda_out, row)):
        assert abs(np.corrcoef(one, other)[0, 1]) < bound
