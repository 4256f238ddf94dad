"""The contract of a layer, for every family: kernel, application, modes, counts, frozen leaves, padding, errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from modejax import layers
from modejax.errors import InputError
from modejax.extent import Extent

# The name of the family -> (modes, rows) -> the layer.
FAMILIES = {
    "dense": lambda modes, rows: layers.dense(),
    "dense bias": lambda modes, rows: layers.dense(bias=True),
    "dense paper": lambda modes, rows: layers.dense(start="paper"),
    "dense paper bias": lambda modes, rows: layers.dense(start="paper", bias=True),
    "mode": lambda modes, rows: layers.mode(modes, rows=rows),
    "mode scaled": lambda modes, rows: layers.mode(modes, gauge="scaled", rows=rows),
    "low_rank": lambda modes, rows: layers.low_rank(modes, rows=rows),
    "low_rank released": lambda modes, rows: layers.low_rank(modes, start="released", rows=rows),
    "svd": lambda modes, rows: layers.svd(rows=rows),
    "svd cut": lambda modes, rows: layers.svd(modes, rows=rows),
}
OF_MODES = [name for name in FAMILIES if not name.startswith("dense")]

FAN_IN, FAN_OUT, MODES = 7, 5, 4
IN_MODE_SPACE, BY_KERNEL = 1, 10**6


def shapes(layer, fan_in=FAN_IN, fan_out=FAN_OUT):
    return jax.eval_shape(lambda: layer.init(jax.random.key(0), fan_in, fan_out))


def filled(layer, fan_in=FAN_IN, fan_out=FAN_OUT):
    """Return parameters whose trainable entries are all random, of either sign: biases, too, which start at 0."""
    rng = np.random.default_rng(0)

    def fill(shape, trainable):
        if trainable:
            return jnp.asarray(rng.normal(size=shape.shape), shape.dtype)
        return jnp.full(shape.shape, True if shape.dtype == jnp.bool_ else 0.37, shape.dtype)

    params = shapes(layer, fan_in, fan_out)
    return jax.tree.map(fill, params, layer.trainable(params))


def reference_kernel(params):
    """Write the kernel out as the method has it, with NumPy."""
    match params:
        case layers.DenseParams(weight, _, scale):
            return np.asarray(weight) * (1 if scale is None else float(scale))
        case layers.ModeParams(xi_out, sigma, xi_in, scale, _):
            factor = 1 if scale is None else float(scale)
            terms = zip(np.asarray(xi_out).T, np.asarray(sigma), np.asarray(xi_in), strict=True)
            return factor * sum(s * np.outer(o, i) for o, s, i in terms)
        case layers.LowRankParams(xi_out, xi_in, _):
            return np.einsum("om,mi->oi", xi_out, xi_in)
        case layers.SVDParams(u, s, v, _):
            return np.einsum("om,m,mi->oi", u, np.abs(s), v)
    raise AssertionError(f"no reference for {type(params)}")


@pytest.mark.parametrize("rows", [IN_MODE_SPACE, BY_KERNEL])
@pytest.mark.parametrize("name", FAMILIES)
def test_a_layer_multiplies_by_its_kernel(name, rows, float64):
    layer = FAMILIES[name](MODES, rows)
    params = filled(layer)
    kernel = reference_kernel(params)
    np.testing.assert_allclose(layer.kernel(params), kernel, rtol=0, atol=1e-12)
    x = np.random.default_rng(1).normal(size=FAN_IN)
    expected = kernel @ x
    if getattr(params, "bias", None) is not None:
        expected = expected + np.asarray(params.bias)
    np.testing.assert_allclose(layer.apply(params, jnp.asarray(x)), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", OF_MODES)
def test_the_modes_add_up_to_the_kernel(name, float64):
    layer = FAMILIES[name](MODES, 100)
    params = filled(layer)
    assert layer.modes is not None
    modes = layer.modes(params)
    added = sum(
        w * np.outer(o, i)
        for o, w, i in zip(np.asarray(modes.xi_out).T, np.asarray(modes.weight), np.asarray(modes.xi_in), strict=True)
    )
    np.testing.assert_allclose(added, reference_kernel(params), rtol=0, atol=1e-12)
    assert modes.active.dtype == jnp.bool_
    assert modes.active.all()


@pytest.mark.parametrize("name", ["dense", "dense bias", "dense paper", "dense paper bias"])
def test_a_dense_layer_has_no_modes(name):
    assert FAMILIES[name](MODES, 100).modes is None


def shapes_within(jaxpr):
    for equation in jaxpr.eqns:
        for variable in equation.outvars:
            yield tuple(variable.aval.shape)
        for inner in equation.params.values():
            if hasattr(inner, "jaxpr"):
                yield from shapes_within(inner.jaxpr)


@pytest.mark.parametrize("name", OF_MODES)
def test_mode_space_never_builds_the_kernel(name):
    # The other way round, too: where the kernel is cheaper it is built, once for all rows.
    for rows, built in ((IN_MODE_SPACE, False), (BY_KERNEL, True)):
        layer = FAMILIES[name](MODES, rows)
        params = filled(layer)
        x = jnp.ones((11, FAN_IN))
        traced = jax.make_jaxpr(jax.vmap(layer.apply, in_axes=(None, 0)))(params, x)
        found = set(shapes_within(traced.jaxpr))
        assert ((FAN_OUT, FAN_IN) in found or (FAN_IN, FAN_OUT) in found) == built
        assert not any(len(shape) > 2 for shape in found)


@pytest.mark.parametrize(
    ("fan_in", "fan_out", "modes", "rows"),
    [(784, 100, 30, 100), (100, 10, 30, 100), (100, 100, 70, 100), (64, 10, 5, 10), (20, 20, 20, 1), (6, 5, 3, 1000)],
)
def test_the_cheaper_product_is_taken(fan_in, fan_out, modes, rows):
    def flops(function):
        needed = [(fan_out, modes), (modes,), (modes, fan_in), (rows, fan_in)]
        arguments = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in needed]
        return jax.jit(function).lower(*arguments).cost_analysis()["flops"]  # pyright: ignore[reportOptionalSubscript]

    by_kernel = flops(lambda xi_out, sigma, xi_in, x: x @ ((xi_out * sigma[None, :]) @ xi_in).T)
    in_modes = flops(lambda xi_out, sigma, xi_in, x: ((x @ xi_in.T) * sigma[None, :]) @ xi_out.T)
    assert layers.dense_is_cheaper(fan_in, fan_out, modes, rows) == (by_kernel < in_modes)


@pytest.mark.parametrize("name", FAMILIES)
def test_the_count_is_that_of_the_entries_trained(name):
    for fan_in, fan_out, modes in [(7, 5, 4), (3, 8, 2), (6, 1, 1), (2, 3, 9)]:
        layer = FAMILIES[name](modes, 100)
        params = shapes(layer, fan_in, fan_out)
        chosen = jax.tree.leaves(layer.trainable(params))
        leaves = jax.tree.leaves(params)
        assert len(chosen) == len(leaves)
        trained = sum(leaf.size for leaf, keep in zip(leaves, chosen, strict=True) if keep)
        assert layer.num_parameters(fan_in, fan_out) == trained
        # Padding is not counted.
        wide = FAMILIES[name](Extent(modes + 3, modes), 100)
        assert wide.num_parameters(Extent(fan_in + 4, fan_in), Extent(fan_out + 1, fan_out)) == trained


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("dense", 784 * 100),
        ("dense bias", 785 * 100),
        ("dense paper", 784 * 100),
        ("mode", 30 * 885),
        ("mode scaled", 30 * 885),
        ("low_rank", 30 * 884),
        ("svd", 100 * 885),
        ("svd cut", 30 * 885),
    ],
)
def test_the_count_is_the_formula(name, expected):
    assert FAMILIES[name](30, 100).num_parameters(784, 100) == expected


def test_only_what_the_family_trains_is_trainable():
    frozen = {
        "dense": [],
        "dense bias": [],
        "dense paper": ["scale"],
        "dense paper bias": ["scale"],
        "mode": ["active"],
        "mode scaled": ["scale", "active"],
        "low_rank": ["active"],
        "low_rank released": ["active"],
        "svd": ["active"],
        "svd cut": ["active"],
    }
    for name, make in FAMILIES.items():
        layer = make(MODES, 100)
        chosen = layer.trainable(shapes(layer))
        assert [field for field, keep in chosen._asdict().items() if keep is False] == frozen[name]


@pytest.mark.parametrize("name", FAMILIES)
def test_padding_changes_no_bit_of_the_start_and_no_output(name):
    """Fan-in, fan-out and modes are padded, each with a traced size, against the layer of plain sizes."""
    native = FAMILIES[name](MODES, 100)
    x = jnp.asarray(np.random.default_rng(0).normal(size=FAN_IN), jnp.float32)

    @jax.jit
    def alone(key):
        params = native.init(key, FAN_IN, FAN_OUT)
        return params, native.apply(params, x), native.penalty(params)

    @jax.jit
    def among_padding(key, fan_in, fan_out, modes):
        wide = FAMILIES[name](Extent(MODES + 3, modes), 100)
        params = wide.init(key, Extent(FAN_IN + 2, fan_in), Extent(FAN_OUT + 4, fan_out))
        return params, wide.apply(params, jnp.pad(x, (0, 2))), wide.penalty(params)

    key = jax.random.key(2)
    params, z, penalty = alone(key)
    padded, padded_z, padded_penalty = among_padding(key, *(jnp.int32(n) for n in (FAN_IN, FAN_OUT, MODES)))
    for small, large in zip(jax.tree.leaves(params), jax.tree.leaves(padded), strict=True):
        expected = np.zeros(large.shape, large.dtype)
        expected[tuple(slice(n) for n in small.shape)] = small
        assert np.asarray(large).tobytes() == expected.tobytes()
    np.testing.assert_allclose(padded_z[:FAN_OUT], z, rtol=1e-5, atol=1e-6)
    assert not np.asarray(padded_z[FAN_OUT:]).any()
    np.testing.assert_allclose(padded_penalty, penalty, rtol=1e-5)


def test_svd_takes_no_more_modes_than_the_full_rank():
    for modes, fan_in, fan_out, rank in [(None, 7, 5, 5), (None, 3, 9, 3), (2, 7, 5, 2), (6, 7, 5, 5), (99, 4, 6, 4)]:
        layer = layers.svd(modes)
        params = shapes(layer, fan_in, fan_out)
        assert (params.u.shape, params.s.shape, params.v.shape) == ((fan_out, rank), (rank,), (rank, fan_in))
    # The true rank under padding is that of the true sizes.
    wide = jax.jit(lambda: layers.svd().init(jax.random.key(0), Extent(9, 4), Extent(7, 6)))()
    assert wide.active.tolist() == [True] * 4 + [False] * 3


def test_traced_sizes_are_refused_where_a_number_is_asked_for():
    for make in FAMILIES.values():
        with pytest.raises(InputError, match="num_parameters"):
            jax.jit(lambda n, make=make: make(MODES, 100).num_parameters(Extent(9, n), 5))(jnp.int32(3))


@pytest.mark.parametrize(
    ("make", "given", "allowed"),
    [
        (lambda: layers.dense(start="xavier"), "xavier", "he, mode, paper"),  # pyright: ignore[reportArgumentType]
        (lambda: layers.mode(3, gauge="Plain"), "Plain", "plain, scaled"),  # pyright: ignore[reportArgumentType]
        (lambda: layers.low_rank(3, start="paper"), "paper", "he, released"),  # pyright: ignore[reportArgumentType]
    ],
)
def test_an_unknown_name_is_refused(make, given, allowed):
    with pytest.raises(InputError, match=allowed) as error:
        make()
    assert repr(given) in str(error.value)


@pytest.mark.parametrize("make", [layers.mode, layers.low_rank, layers.svd])
@pytest.mark.parametrize("modes", [0, -2, 2.0, True, "4", Extent(3, 4)])
def test_a_number_of_modes_that_is_none_is_refused(make, modes):
    with pytest.raises(InputError, match=r"positive integer|capacity"):
        make(modes)


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("sizes", [(0, 3), (3, 0), (3, -1), (2.5, 3), (True, 3)])
def test_a_size_that_is_none_is_refused(name, sizes):
    layer = FAMILIES[name](MODES, 100)
    with pytest.raises(InputError, match="positive integer"):
        layer.init(jax.random.key(0), *sizes)
    with pytest.raises(InputError, match="positive integer"):
        layer.num_parameters(*sizes)


@pytest.mark.parametrize("factor", ["orthogonality", "sparsity"])
@pytest.mark.parametrize("value", [-1.0, float("nan")])
def test_a_penalty_that_is_no_number_from_0_on_is_refused(factor, value):
    with pytest.raises(InputError, match="0 or more"):
        layers.svd(**{factor: value})
