"""The distribution of the starting weights, against the formulas of the method.

Every comparison is of a mean over independent networks with its formula, in units of the mean's own standard error;
a correct start fails one of them with probability 1e-6 (normal quantile; 3,000 networks), and there are about 70.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from modejax import layers
from modejax.extent import Extent

DEVIATIONS = stats.norm.isf(1e-6 / 2)
NETWORKS = 3000
N, FAN_OUT, P = 20, 6, 3
N_LN_N = N * math.log(N)

# Name -> family, number of modes, variance of W, variance of each trainable factor (None: not normal about 0).
STARTS = {
    "dense": (layers.Dense(), None, 2 / N, {"weight": 2 / N}),
    "dense paper": (layers.Dense(start="paper"), None, 1 / N, {"weight": 1}),
    # A square of a number uniform on (-a, a) is a^2 / 3 on average.
    "dense glorot": (layers.Dense(start="glorot"), None, 2 / (N + FAN_OUT), {"weight": 2 / (N + FAN_OUT)}),
    "mode": (layers.Mode(), P, P / N_LN_N, dict.fromkeys(("xi_out", "sigma", "xi_in"), N_LN_N ** (-1 / 3))),
    "mode scaled": (
        layers.Mode(gauge="scaled"),
        P,
        P / N_LN_N,
        dict.fromkeys(("xi_out", "sigma", "xi_in"), math.log(N) ** (-1 / 3)),
    ),
    "low_rank": (layers.LowRank(), P, 2 / N, dict.fromkeys(("xi_out", "xi_in"), (2 / (N * P)) ** 0.5)),
    "low_rank released": (
        layers.LowRank(start="released"),
        P,
        P * N_LN_N ** (-2 / 3),
        dict.fromkeys(("xi_out", "xi_in"), N_LN_N ** (-1 / 3)),
    ),
    # s is uniform on (0, S) with S^2 = (N ln N)^(-1/3), so its square is S^2 / 3 on average.
    "svd": (layers.SVD(), None, FAN_OUT / N_LN_N / 3, dict.fromkeys(("u", "v"), N_LN_N ** (-1 / 3))),
    "svd cut": (layers.SVD(), P, P / N_LN_N / 3, dict.fromkeys(("u", "v"), N_LN_N ** (-1 / 3))),
}


def assert_mean(samples, expected, what):
    """Compare the mean over the first axis, of which all other axes were averaged out before."""
    samples = samples.reshape(len(samples), -1).mean(axis=1)
    error = samples.std(ddof=1) / len(samples) ** 0.5
    assert abs(samples.mean() - expected) < DEVIATIONS * error, f"{what}: {samples.mean()} instead of {expected}"


@pytest.mark.parametrize("name", STARTS)
def test_the_start_has_the_variance_of_the_method(name):
    layer, modes, variance, factors = STARTS[name]

    @jax.jit
    def starts(seeds):
        params = jax.vmap(lambda seed: layer.init(jax.random.key(seed), N, FAN_OUT, modes))(seeds)
        return params, jax.vmap(layer.kernel)(params)

    params, kernels = jax.tree.map(lambda a: np.asarray(a, np.float64), starts(jnp.arange(NETWORKS)))
    assert_mean(kernels, 0, "mean of W")
    assert_mean(kernels**2, variance, "variance of W")
    # Distinct entries of W are uncorrelated.
    assert_mean(kernels[:, 1:] * kernels[:, :-1], 0, "covariance of two rows")
    assert_mean(kernels[:, :, 1:] * kernels[:, :, :-1], 0, "covariance of two columns")
    for field, expected in factors.items():
        assert_mean(getattr(params, field), 0, f"mean of {field}")
        assert_mean(getattr(params, field) ** 2, expected, f"variance of {field}")


@pytest.mark.parametrize("name", ["svd", "svd cut"])
def test_the_singular_values_start_uniform(name):
    layer, modes = STARTS[name][:2]
    s = jax.jit(jax.vmap(lambda seed: layer.init(jax.random.key(seed), N, FAN_OUT, modes).s))(jnp.arange(NETWORKS))
    largest = N_LN_N ** (-1 / 6)
    assert stats.kstest(np.asarray(s, np.float64).ravel() / largest, "uniform").pvalue > 1e-6


def test_the_factors_of_a_start_are_independent():
    layer = layers.Mode()
    params = jax.jit(jax.vmap(lambda seed: layer.init(jax.random.key(seed), N, N, N)))(jnp.arange(NETWORKS))
    xi_out, sigma, xi_in = (np.asarray(a, np.float64) for a in (params.xi_out, params.sigma, params.xi_in))
    assert_mean(xi_out * xi_in, 0, "xi_out and xi_in, entry by entry")
    assert_mean(xi_out * xi_in.transpose(0, 2, 1), 0, "xi_out and xi_in, pattern by pattern")
    # The first row of a matrix has the counters of a vector.
    assert_mean(xi_in[:, 0] * sigma, 0, "sigma and xi_in")
    assert_mean(xi_out[:, 0] * sigma, 0, "sigma and xi_out")


def test_biases_start_at_zero():
    for start in ("he", "paper"):
        params = jax.jit(lambda start=start: layers.Dense(use_bias=True, start=start).init(jax.random.key(0), 4, 3))()
        assert params.bias is not None
        assert params.bias.tolist() == [0, 0, 0]


def test_the_paper_scale_is_the_formula_with_1_counting_as_2():
    sizes = np.array([1, 2, 3, 10, 100, 784])
    at_least_2 = np.maximum(sizes, 2)
    for power in (0.0, 1.0):
        got = [float(layers.paper_scale(Extent(1000, int(n)), power)) for n in sizes]
        expected = (at_least_2**power * np.log(at_least_2)) ** (-1 / 6)
        np.testing.assert_allclose(got, expected, rtol=1e-6)


@pytest.mark.parametrize("x64", [False, True])
@pytest.mark.parametrize("power", [0.0, 1.0])
def test_the_paper_scale_of_a_traced_size_has_the_bits_of_a_known_one(power, x64):
    sizes = range(1, 300)
    with jax.enable_x64(x64):
        known = np.array([layers.paper_scale(Extent(999, n), power) for n in sizes])
        traced = jax.jit(jax.vmap(lambda n: layers.paper_scale(Extent(999, n), power)))(jnp.array(sizes, jnp.int32))
    np.testing.assert_array_equal(traced, known)
