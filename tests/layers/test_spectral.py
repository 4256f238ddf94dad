"""Spectral layers: counts, the operator, gradients, starts, padding and what is refused."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from modejax import layers, networks
from modejax.errors import InputError
from modejax.extent import Extent
from modejax.layers.spectral import kernel_beats_factors
from modejax.sweep.cost import matmul_flops
from modejax.training import adam, merge, split

# The name of the case -> variant and options.
CASES = {
    **{name: {"variant": name} for name in layers.SPECTRAL_VARIANTS},
    "full": {"variant": "two_set", "eigenvectors": "trained"},
    "single_set full": {"variant": "single_set", "eigenvectors": "trained"},
    "input_only full": {"variant": "input_only", "eigenvectors": "trained"},
    "eigenvectors only": {"variant": "two_set", "eigenvectors": "trained", "eigenvalues": "frozen"},
    "first": {"variant": "single_set_unit", "start": "first"},
    "glorot": {"variant": "two_set", "start": "two_set", "lambda_in": "glorot:0.5"},
    "unbiased": {"variant": "two_set", "bias": False},
}
FACTORED = ("qr_triangular", "qr_full", "svd")
# The others differ from these in what is trained, not in the start or in what is computed.
DISTINCT = (*layers.SPECTRAL_VARIANTS, "first", "glorot")
# Factors or kernel: few rows or many.
FEW, MANY = 1, 10**6
FAN_IN, FAN_OUT = 7, 5


def make(case, rows=100):
    return layers.spectral(rows=rows, **CASES[case])


@functools.cache
def start(case, sizes):
    with jax.enable_x64(True):
        return jax.device_get(jax.jit(lambda: make(case).init(jax.random.key(1), *sizes))())


def filled(case, sizes=(FAN_IN, FAN_OUT), seed=0):
    """Return parameters whose trainable entries are random; r is as triangular as the layer made it."""
    rng = np.random.default_rng(seed)
    params = start(case, sizes)
    moved = jax.tree.map(
        lambda leaf, move: rng.normal(size=leaf.shape) * (leaf != 0) if move else leaf,
        params._replace(bias=None if params.bias is None else np.arange(1.0, sizes[1] + 1)),
        make(case).trainable(params),
    )
    return jax.tree.map(jnp.asarray, moved)


def difference(params):
    """Return lambda_in_j - lambda_out_i with NumPy."""
    out = np.asarray(params.lambda_out)
    if params.slope is not None:
        out = np.asarray(params.slope) * (out - 1)
    return np.asarray(params.lambda_in)[None] - out[:, None]


def reference_kernel(params):
    """Write W_ij = (lambda_in_j - lambda_out_i) phi_ij out with NumPy."""
    match params.phi:
        case layers.QRFactors(r, q):
            phi = np.asarray(r) @ np.asarray(q)
        case layers.SVDFactors(u, s, v):
            phi = np.einsum("ok,k,ki->oi", u, s, v)
        case matrix:
            phi = np.asarray(matrix)
    return difference(params) * phi


@pytest.fixture
def float64():
    with jax.enable_x64(True):
        yield


@pytest.mark.parametrize(
    ("case", "rows", "sizes"),
    [*((case, FEW, (7, 5)) for case in CASES), *((case, MANY, (4, 9)) for case in ("two_set", *FACTORED))],
)
def test_a_layer_multiplies_by_its_kernel(case, rows, sizes, float64):
    layer = make(case, rows)
    params = filled(case, sizes)
    kernel = reference_kernel(params)
    assert abs(kernel).max() > 1e-3
    np.testing.assert_allclose(layer.kernel(params), kernel, rtol=0, atol=1e-12)
    x = np.random.default_rng(1).normal(size=sizes[0])
    expected = kernel @ x + (0 if params.bias is None else np.asarray(params.bias))
    np.testing.assert_allclose(layer.apply(params, jnp.asarray(x)), expected, rtol=0, atol=1e-12)


COUNTS = {
    # Table of the method: 784-50-10, 784-300-10, 784-500-10, 784-500-500-10, biases included.
    "dense": [39_760, 238_510, 397_510, 648_010],
    "single_set": [120, 620, 1_020, 2_020],
    "single_set_unit": [120, 620, 1_020, 2_020],
    "two_set": [954, 1_704, 2_304, 3_804],
    "two_set_released": [954, 1_704, 2_304, 3_804],
    "svd": [1_014, 2_014, 2_814, 4_814],
    "svd_released": [1_014, 2_014, 2_814, 4_814],
    "qr_triangular": [2_284, 46_909, 127_609, 254_359],
    "qr_full": [3_554, 91_804, 252_404, 503_904],
    "full": [40_654, 239_904, 399_304, 650_804],
}
ARCHITECTURES = [(784, 50, 10), (784, 300, 10), (784, 500, 10), (784, 500, 500, 10)]


@pytest.mark.parametrize("name", COUNTS)
def test_the_counts_are_those_of_the_method(name):
    layer = layers.dense(bias=True) if name == "dense" else make(name)
    assert [networks.mlp(sizes, layer).num_parameters() for sizes in ARCHITECTURES] == COUNTS[name]


def test_the_counts_on_cifar10_and_of_the_released_notebook():
    counts = {"two_set": 4_592, "svd": 5_102, "qr_triangular": 129_897, "qr_full": 254_692}
    for name, expected in counts.items():
        assert networks.mlp((3072, 500, 10), make(name)).num_parameters() == expected
    notebook = networks.mlp((784, 2000, 200, 10), make("unbiased"))
    assert notebook.num_parameters() == 5_194
    params = jax.eval_shape(lambda: notebook.init(jax.random.key(0)))
    assert sum(p.phi.size for p in params) == 1_970_000


@pytest.mark.parametrize(
    ("case", "sizes"), [*((case, (7, 5)) for case in CASES), *((case, (4, 9)) for case in FACTORED)]
)
def test_the_count_is_that_of_the_entries_that_move(case, sizes, float64):
    layer = make(case)
    params = filled(case, sizes)
    x = jnp.asarray(np.random.default_rng(0).normal(size=(20, sizes[0])))

    def loss(params):
        return jnp.sum(jax.vmap(layer.apply, in_axes=(None, 0))(params, x) ** 3)

    gradient = jax.jit(jax.grad(loss))(params)
    chosen = jax.tree.leaves(layer.trainable(params))
    moving = sum(np.count_nonzero(leaf) for leaf, keep in zip(jax.tree.leaves(gradient), chosen, strict=True) if keep)
    assert layer.num_parameters(*sizes) == moving
    wide = (Extent(sizes[0] + 3, sizes[0]), Extent(sizes[1] + 1, sizes[1]))
    assert layer.num_parameters(*wide) == moving


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


@pytest.mark.parametrize(
    ("case", "rows"),
    [*((case, FEW) for case in CASES), *((case, MANY) for case in FACTORED)],
)
def test_the_gradients_are_the_closed_forms(case, rows, float64):
    layer = make(case, rows)
    params = filled(case)
    rng = np.random.default_rng(5)
    x, target = jnp.asarray(rng.normal(size=(11, FAN_IN))), jnp.asarray(rng.normal(size=(11, FAN_OUT)))

    def loss(params):
        z = jax.vmap(layer.apply, in_axes=(None, 0))(params, x)
        return jnp.sum(jnp.cos(z) * target)

    gradient = jax.jit(jax.grad(loss))(params)
    bias = 0 if params.bias is None else np.asarray(params.bias)
    z = np.asarray(x) @ reference_kernel(params).T + bias
    G = (-np.sin(z) * np.asarray(target)).T @ np.asarray(x)
    phi = np.asarray(layers.eigenvector_block(params))
    factor = 1 if params.slope is None else np.asarray(params.slope)
    expected = {"lambda_in": (G * phi).sum(axis=0), "lambda_out": -(G * phi).sum(axis=1) * factor}
    behind = G * difference(params)
    chosen = layer.trainable(params)
    for field, value in expected.items():
        if getattr(chosen, field):
            np.testing.assert_allclose(getattr(gradient, field), value, rtol=0, atol=1e-12)
    match params.phi:
        case layers.QRFactors(_, q):
            full = behind @ np.asarray(q).T
            wanted = np.tril(full) if case == "qr_triangular" else full
            np.testing.assert_allclose(gradient.phi.r, wanted, rtol=0, atol=1e-11)
        case layers.SVDFactors(u, _, v):
            np.testing.assert_allclose(gradient.phi.s, np.einsum("ok,oi,ki->k", u, behind, v), rtol=0, atol=1e-11)
        case _ if chosen.phi:
            np.testing.assert_allclose(gradient.phi, behind, rtol=0, atol=1e-12)
    if chosen.lambda_in and chosen.lambda_out:
        total = jnp.sum(gradient.lambda_in) + jnp.sum(gradient.lambda_out)
        np.testing.assert_allclose(total, 0, atol=1e-11)


def flops(function, *shapes):
    arguments = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
    return jax.jit(function).lower(*arguments).cost_analysis()["flops"]  # pyright: ignore[reportOptionalSubscript]


@pytest.mark.parametrize("sizes", [(784, 50), (784, 300), (784, 500), (500, 10), (200, 400), (784, 1000)])
@pytest.mark.parametrize("variant", ["qr_full", "svd"])
def test_the_cheaper_of_kernel_and_factors_is_taken(variant, sizes):
    rows, (fan_in, fan_out) = 200, sizes
    rank = min(sizes)
    outer, inner, eigen = (fan_out, rank), (rank, fan_in), [(fan_in,), (fan_out,)]
    middle = [] if variant == "qr_full" else [(rank,)]

    def step(by_kernel):
        """A training step's products, with the gradients that training asks for."""

        def loss(moving, a, b, x):
            lambda_in, lambda_out, *rest = moving
            left = rest[0] if variant == "qr_full" else a * rest[0][None, :]
            if by_kernel:
                z = x @ ((lambda_in[None] - lambda_out[:, None]) * (left @ b)).T
            else:
                z = ((x * lambda_in[None]) @ b.T) @ left.T - lambda_out[None] * ((x @ b.T) @ left.T)
            return jnp.sum(jnp.sin(z))

        moving = [*eigen, outer] if variant == "qr_full" else [*eigen, *middle]

        def gradient(*arguments):
            count = len(moving)
            return jax.grad(loss, argnums=(0, 3))(arguments[:count], *arguments[count:])

        return flops(gradient, *moving, outer, inner, (rows, fan_in))

    by_kernel, by_factors = step(True), step(False)
    taken = by_kernel if kernel_beats_factors(fan_in, fan_out, rank, rows, trained=variant == "qr_full") else by_factors
    # The rule leaves elementwise work out, which is a few percent.
    assert taken < 1.06 * min(by_kernel, by_factors)


@pytest.mark.parametrize(
    ("variant", "products"), [("single_set", 1), ("input_only", 2), ("two_set", 2), ("svd_released", 3)]
)
def test_the_first_map_takes_as_few_products_as_it_needs(variant, products):
    """Products of the size rows x fan_in x fan_out in a step whose inputs have no gradient."""
    layer = layers.spectral(variant, rows=1000)
    params = jax.eval_shape(lambda: layer.init(jax.random.key(0), 64, 32))
    x = jax.ShapeDtypeStruct((1000, 64), jnp.float32)

    def gradient(params, x):
        moving, frozen = split(params, layer.trainable(params))

        def loss(moving):
            return jnp.sum(jnp.sin(jax.vmap(layer.apply, in_axes=(None, 0))(merge(moving, frozen), x)))

        return jax.grad(loss)(moving)

    counted = matmul_flops(gradient, params, x) / (2 * 1000 * 64 * 32)
    assert round(counted) == products if variant != "svd_released" else 2 <= counted < products


SHAPES = [(7, 5), (4, 9), (6, 6)]


@pytest.mark.parametrize(
    ("case", "sizes"),
    [*((case, (7, 5)) for case in DISTINCT), *((case, (4, 9)) for case in ("qr_triangular", "svd", "svd_released"))],
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


@pytest.mark.parametrize("sizes", SHAPES)
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


@pytest.mark.parametrize("sizes", [(5, 3), (3, 5), (6, 6), (1, 4)])
def test_the_singular_values_are_distributed_as_those_of_normal_matrices(sizes):
    count = 3000
    drawn = jax.jit(jax.vmap(lambda seed: make("svd").init(jax.random.key(seed), *sizes).phi.s))(jnp.arange(count))
    found = np.linalg.svd(np.random.default_rng(3).normal(size=(count, *sizes)), compute_uv=False)
    for ours, theirs in zip(np.asarray(drawn).T / 0.036, found.T, strict=True):
        compared: Any = stats.ks_2samp(ours, theirs)
        assert compared.pvalue > 1e-6
    # And together: the product of all of them.
    compared = stats.ks_2samp(np.asarray(drawn).prod(axis=1) / 0.036 ** min(sizes), found.prod(axis=1))
    assert compared.pvalue > 1e-6


def test_large_factors_are_those_of_lapack(float64):
    """More than one block of columns, an incomplete last block, and a square one, whose last columns are hardest."""
    for fan_in, fan_out in [(150, 70), (90, 90), (40, 100)]:
        r, q = jax.device_get(jax.jit(lambda m=fan_in, n=fan_out: make("qr_full").init(jax.random.key(0), m, n).phi)())
        phi = jax.device_get(jax.jit(lambda m=fan_in, n=fan_out: make("two_set").init(jax.random.key(0), m, n).phi)())
        k = min(fan_in, fan_out)
        np.testing.assert_allclose(q @ q.T, np.eye(k), rtol=0, atol=1e-13)
        np.testing.assert_allclose(r @ q, phi, rtol=0, atol=1e-13)
        expected, triangle = np.linalg.qr(phi.T)
        sign = np.sign(np.diagonal(triangle))
        np.testing.assert_allclose(q, (expected * sign).T, rtol=0, atol=1e-10)
        np.testing.assert_allclose(r, (triangle * sign[:, None]).T, rtol=0, atol=1e-10)


def test_singular_values_of_a_large_start_are_accurate(float64):
    """The ends and the mean square of 200 values are those that the law of large numbers gives them."""
    s = jax.jit(lambda: make("svd").init(jax.random.key(0), 300, 200).phi.s)() / 0.036
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
    layer = layers.spectral(variant, start=name)
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


def test_frozen_factors_have_no_state_and_do_not_move():
    for case, trained in {
        "two_set": {"lambda_in", "lambda_out", "bias"},
        "single_set": {"lambda_out", "bias"},
        "input_only full": {"lambda_in", "phi", "bias"},
        "eigenvectors only": {"phi", "bias"},
        "qr_triangular": {"lambda_in", "lambda_out", "r", "bias"},
        "svd": {"lambda_in", "lambda_out", "s", "bias"},
        "first": {"lambda_out", "bias"},
    }.items():
        params = start(case, (7, 5))
        moving, _ = split(params, make(case).trainable(params))
        state: Any = adam(0.1).init(moving)
        for tree in (state.mean, state.square):
            paths = jax.tree_util.tree_leaves_with_path(tree)
            assert {path[-1].name for path, _ in paths} == trained  # pyright: ignore[reportAttributeAccessIssue]


def test_penalties_are_over_the_trained_sets(float64):
    layer = layers.spectral("two_set", l1_in=2.0, l2_out=3.0)
    params = filled("two_set")
    expected = 2 * abs(np.asarray(params.lambda_in)).sum() + 3 * (np.asarray(params.lambda_out) ** 2).sum()
    np.testing.assert_allclose(layer.penalty(params), expected, rtol=1e-14)
    # |lambda| has the derivative 0 at 0, so padding does not move.
    gradient = jax.grad(lambda v: layer.penalty(params._replace(lambda_in=v)))(jnp.array([0.0, -2.0, 3.0]))
    assert gradient.tolist() == [0, -2, 2]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"variant": "two_sets"},
            "unknown variant 'two_sets' of a spectral layer; allowed: input_only, qr_full, qr_tri",
        ),
        ({"eigenvectors": "free"}, "unknown eigenvectors 'free'"),
        ({"eigenvalues": "free"}, "unknown eigenvalues 'free'"),
        ({"eigenvalues": "frozen"}, "nothing to train"),
        ({"eigenvalues": "frozen", "bias": False}, "nothing to train"),
        ({"variant": "two_set_released", "eigenvalues": "frozen"}, "nothing to train"),
        ({"variant": "qr_full", "eigenvectors": "trained"}, "train those of input_only, single_set"),
        ({"start": "glorot"}, "unknown start 'glorot' of a spectral layer; allowed: first, pruning"),
        ({"start": "first"}, "that of the variant single_set_unit"),
        ({"start": "reduction_released"}, "two_set_released take phi 'released'"),
        ({"variant": "svd_released", "phi": "glorot"}, "two_set_released take phi 'released'"),
        ({"variant": "svd", "phi": "glorot"}, "draws phi normal:STD"),
        ({"variant": "single_set", "start": "relevance"}, "so that W = 0"),
        ({"variant": "single_set", "lambda_in": "uniform:1"}, "lambda_in is fixed in the variant single_set"),
        ({"phi": "cauchy:1"}, "unknown distribution 'cauchy:1' of phi; allowed: constant:VALUE, glorot"),
        ({"phi": "normal"}, "unknown distribution 'normal'"),
        ({"phi": "normal:-1"}, "unknown distribution 'normal:-1'"),
        ({"lambda_in": "uniform:nan"}, "of lambda_in"),
        ({"lambda_out": "released"}, "of lambda_out"),
        ({"bias": 1}, "bias must be true or false"),
        ({"l2_in": -1.0}, "l2_in must be a finite number of 0 or more"),
        ({"l1_out": float("nan")}, "l1_out must be a finite number"),
        ({"variant": "single_set", "l2_in": 1.0}, "l2_in penalises lambda_in, which is frozen"),
        ({"variant": "input_only", "l1_out": 1.0}, "l1_out penalises lambda_out, which is frozen"),
        ({"eigenvectors": "trained", "eigenvalues": "frozen", "l2_in": 1.0}, "which is frozen"),
    ],
)
def test_what_is_not_allowed_is_named(options, message):
    with pytest.raises(InputError) as caught:
        layers.spectral(**options)
    assert message in str(caught.value)


@pytest.mark.parametrize("sizes", [(0, 3), (3, -1), (2.5, 3)])
def test_a_size_that_is_none_is_refused(sizes):
    layer = make("svd")
    for call in (lambda: layer.init(jax.random.key(0), *sizes), lambda: layer.num_parameters(*sizes)):
        with pytest.raises(InputError, match="positive integer"):
            call()
