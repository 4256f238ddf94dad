"""The contract of a layer, for every family: kernel, application, modes, counts, frozen leaves, padding, errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from modejax import layers
from modejax.errors import InputError
from modejax.extent import Extent
from modejax.training import merge, split

# The name -> the family and whether it is given a number of modes.
FAMILIES = {
    "dense": (layers.Dense(), False),
    "dense bias": (layers.Dense(use_bias=True), False),
    "dense paper": (layers.Dense(start="paper"), False),
    "dense glorot": (layers.Dense(start="glorot"), False),
    "dense paper bias": (layers.Dense(start="paper", use_bias=True), False),
    "mode": (layers.Mode(), True),
    "mode scaled": (layers.Mode(gauge="scaled"), True),
    "mode biased": (layers.Biased(layers.Mode()), True),
    "low_rank": (layers.LowRank(), True),
    "low_rank released": (layers.LowRank(start="released"), True),
    "svd": (layers.SVD(), False),
    "svd cut": (layers.SVD(), True),
}
OF_MODES = [name for name in FAMILIES if not name.startswith("dense")]

FAN_IN, FAN_OUT, MODES = 7, 5, 4
# Rows for which a family of modes stays in mode space, and for which it builds its kernel.
FEW, MANY = 1, 40


def shapes(name, fan_in=FAN_IN, fan_out=FAN_OUT, modes=MODES):
    family, given = FAMILIES[name]
    return jax.eval_shape(lambda: family.init(jax.random.key(0), fan_in, fan_out, modes if given else None))


def filled(name, fan_in=FAN_IN, fan_out=FAN_OUT):
    """Return parameters whose trainable entries are all random, of either sign: biases, too, which start at 0."""
    rng = np.random.default_rng(0)

    def fill(shape, trainable):
        if trainable:
            return jnp.asarray(rng.normal(size=shape.shape), shape.dtype)
        return jnp.full(shape.shape, True if shape.dtype == jnp.bool_ else 0.37, shape.dtype)

    params = shapes(name, fan_in, fan_out)
    return jax.tree.map(fill, params, FAMILIES[name][0].trainable(params))


def reference_kernel(params):
    """Write the kernel out as the method has it, with NumPy."""
    match params:
        case layers.BiasedParams(inner, _):
            return reference_kernel(inner)
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


@pytest.mark.parametrize("rows", [FEW, MANY])
@pytest.mark.parametrize("name", FAMILIES)
def test_a_layer_multiplies_by_its_kernel(name, rows, float64):
    family, params = FAMILIES[name][0], filled(name)
    kernel = reference_kernel(params)
    np.testing.assert_allclose(family.kernel(params), kernel, rtol=0, atol=1e-12)
    x = np.random.default_rng(1).normal(size=(rows, FAN_IN))
    expected = x @ kernel.T  # pyright: ignore
    assert (family.bias(params) is not None) == ("bias" in name)
    if "bias" in name:
        expected = expected + np.asarray(params.bias)
    np.testing.assert_allclose(family.apply(params, jnp.asarray(x)), expected, rtol=0, atol=1e-12)
    # One example alone, and any leading axes.
    np.testing.assert_allclose(family.apply(params, jnp.asarray(x[0])), expected[0], rtol=0, atol=1e-12)
    if rows == MANY:
        z = family.apply(params, jnp.asarray(x.reshape(2, 5, 4, FAN_IN)))
        np.testing.assert_allclose(z.reshape(rows, FAN_OUT), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", OF_MODES)
def test_the_modes_add_up_to_the_kernel(name, float64):
    params = filled(name)
    modes = FAMILIES[name][0].modes(params)
    assert modes is not None
    added = sum(
        w * np.outer(o, i)
        for o, w, i in zip(np.asarray(modes.xi_out).T, np.asarray(modes.weight), np.asarray(modes.xi_in), strict=True)
    )
    np.testing.assert_allclose(added, reference_kernel(params), rtol=0, atol=1e-12)
    assert modes.active.dtype == jnp.bool_
    assert modes.active.all()


@pytest.mark.parametrize("name", OF_MODES)
def test_modes_that_are_cut_become_padding(name, float64):
    family, params = FAMILIES[name][0], filled(name)
    modes = family.modes(params)
    assert modes is not None
    keep = np.arange(len(modes.weight)) % 2 == 0
    kept = modes.xi_out[:, keep] * modes.weight[keep][None, :] @ modes.xi_in[keep]
    cut = family.cut(params, jnp.asarray(keep))
    np.testing.assert_allclose(family.kernel(cut), kept, rtol=0, atol=1e-12)
    left = family.modes(cut)
    assert left is not None
    np.testing.assert_array_equal(left.active, keep)
    x = jnp.asarray(np.random.default_rng(1).normal(size=(6, FAN_IN)))
    moving, frozen = split(cut, family.trainable(cut))
    gradient = jax.grad(lambda moving: jnp.sum(family.apply(merge(moving, frozen), x) ** 2))(moving)
    for leaf, slope in zip(jax.tree.leaves(moving), jax.tree.leaves(gradient), strict=True):
        assert not np.asarray(slope)[np.asarray(leaf) == 0].any()
    assert jax.tree.structure(cut) == jax.tree.structure(params)


@pytest.mark.parametrize("name", ["dense", "dense bias", "dense paper", "dense paper bias"])
def test_a_dense_layer_has_no_modes(name):
    family, params = FAMILIES[name][0], filled(name)
    assert family.modes(params) is None
    with pytest.raises(InputError, match="Dense is not a sum of modes and cannot be cut"):
        family.cut(params, jnp.array([True]))


def test_records_are_equal_by_value_and_hashable():
    assert layers.Mode() == layers.Mode(gauge="plain") != layers.Mode(gauge="scaled")
    assert layers.Mode() != layers.LowRank()
    assert layers.ModeConv([3, 3]) == layers.ModeConv((3, 3), strides=(1, 1))
    assert hash(layers.Masked(layers.Dense())) == hash(layers.Masked(layers.Dense(), sparsity=0.0))
    assert layers.Biased(layers.ModeConv((3,))).space == layers.Masked(layers.ModeConv((3,))).space == 1
    assert layers.Biased(layers.SVD()).takes_modes == "optional"


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
    family, params = FAMILIES[name][0], filled(name)
    for rows, built in ((FEW, False), (MANY, True)):
        traced = jax.make_jaxpr(family.apply)(params, jnp.ones((rows, FAN_IN)))
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
    family, given = FAMILIES[name]
    for fan_in, fan_out, modes in [(7, 5, 4), (3, 8, 2), (6, 1, 1), (2, 3, 9)]:
        params = shapes(name, fan_in, fan_out, modes)
        chosen = jax.tree.leaves(family.trainable(params))
        leaves = jax.tree.leaves(params)
        assert len(chosen) == len(leaves)
        trained = sum(leaf.size for leaf, keep in zip(leaves, chosen, strict=True) if keep)
        assert family.num_parameters(fan_in, fan_out, modes if given else None) == trained
        assert layers.Family.num_parameters(family, fan_in, fan_out, modes if given else None) == trained
        # Padding is not counted.
        sizes = Extent(fan_in + 4, fan_in), Extent(fan_out + 1, fan_out), Extent(modes + 3, modes)
        assert family.num_parameters(*sizes[: 2 + given]) == trained


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
    family, given = FAMILIES[name]
    assert family.num_parameters(784, 100, 30 if given else None) == expected


def test_only_what_the_family_trains_is_trainable():
    frozen = {
        "dense": [],
        "dense bias": [],
        "dense glorot": [],
        "dense paper": ["scale"],
        "dense paper bias": ["scale"],
        "mode": ["active"],
        "mode scaled": ["scale", "active"],
        "mode biased": [],
        "low_rank": ["active"],
        "low_rank released": ["active"],
        "svd": ["active"],
        "svd cut": ["active"],
    }
    for name, (family, _) in FAMILIES.items():
        chosen = family.trainable(shapes(name))
        assert [field for field, keep in chosen._asdict().items() if keep is False] == frozen[name]


@pytest.mark.parametrize(
    "name",
    [
        n if n in ("dense paper bias", "mode scaled", "svd") else pytest.param(n, marks=pytest.mark.slow)
        for n in FAMILIES
    ],
)
def test_padding_changes_no_bit_of_the_start_and_no_output(name):
    """Fan-in, fan-out and modes are padded, each with a traced size, against the layer of plain sizes."""
    family, given = FAMILIES[name]
    x = jnp.asarray(np.random.default_rng(0).normal(size=(3, FAN_IN)), jnp.float32)

    @jax.jit
    def alone(key):
        params = family.init(key, FAN_IN, FAN_OUT, MODES if given else None)
        return params, family.apply(params, x), family.penalty(params)

    @jax.jit
    def among_padding(key, fan_in, fan_out, modes):
        count = Extent(MODES + 3, modes) if given else None
        params = family.init(key, Extent(FAN_IN + 2, fan_in), Extent(FAN_OUT + 4, fan_out), count)
        return params, family.apply(params, jnp.pad(x, ((0, 0), (0, 2)))), family.penalty(params)

    key = jax.random.key(2)
    params, z, penalty = alone(key)
    padded, padded_z, padded_penalty = among_padding(key, *(jnp.int32(n) for n in (FAN_IN, FAN_OUT, MODES)))
    for small, large in zip(jax.tree.leaves(params), jax.tree.leaves(padded), strict=True):
        expected = np.zeros(large.shape, large.dtype)
        expected[tuple(slice(n) for n in small.shape)] = small
        assert np.asarray(large).tobytes() == expected.tobytes()
    np.testing.assert_allclose(padded_z[:, :FAN_OUT], z, rtol=1e-5, atol=1e-6)
    assert not np.asarray(padded_z[:, FAN_OUT:]).any()
    np.testing.assert_allclose(padded_penalty, penalty, rtol=1e-5)


def test_svd_takes_no_more_modes_than_the_full_rank():
    for modes, fan_in, fan_out, rank in [(None, 7, 5, 5), (None, 3, 9, 3), (2, 7, 5, 2), (6, 7, 5, 5), (99, 4, 6, 4)]:
        params = jax.eval_shape(lambda n=fan_in, m=fan_out, p=modes: layers.SVD().init(jax.random.key(0), n, m, p))
        assert (params.u.shape, params.s.shape, params.v.shape) == ((fan_out, rank), (rank,), (rank, fan_in))
    # The true rank under padding is that of the true sizes.
    wide = jax.jit(lambda: layers.SVD().init(jax.random.key(0), Extent(9, 4), Extent(7, 6)))()
    assert wide.active.tolist() == [True] * 4 + [False] * 3


def test_traced_sizes_are_refused_where_a_number_is_asked_for():
    for family, _ in FAMILIES.values():
        with pytest.raises(InputError, match="num_parameters"):
            jax.jit(lambda n, family=family: family.num_parameters(Extent(9, n), 5, 4))(jnp.int32(3))


@pytest.mark.parametrize(
    ("make", "given", "allowed"),
    [
        (lambda: layers.Dense(start="xavier"), "xavier", "he, mode, paper"),  # pyright: ignore[reportArgumentType]
        (lambda: layers.Mode(gauge="Plain"), "Plain", "plain, scaled"),  # pyright: ignore[reportArgumentType]
        (lambda: layers.LowRank(start="paper"), "paper", "he, released"),  # pyright: ignore[reportArgumentType]
    ],
)
def test_an_unknown_name_is_refused(make, given, allowed):
    with pytest.raises(InputError, match=allowed) as error:
        make()
    assert repr(given) in str(error.value)


@pytest.mark.parametrize("family", [layers.Mode(), layers.LowRank(), layers.SVD(), layers.ModeConv((2,))])
@pytest.mark.parametrize("modes", [0, -2, 2.0, True, "4", Extent(3, 4)])
def test_a_number_of_modes_that_is_none_is_refused(family, modes):
    with pytest.raises(InputError, match=r"positive integer|capacity"):
        family.init(jax.random.key(0), 5, 4, modes)


@pytest.mark.parametrize("family", [layers.Mode(), layers.LowRank(), layers.ModeConv((2,)), layers.LowRankConv((2,))])
def test_a_family_of_modes_needs_their_number(family):
    with pytest.raises(InputError, match=f"{type(family).__name__} needs a number of modes, got None"):
        family.init(jax.random.key(0), 5, 4)


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("sizes", [(0, 3), (3, 0), (3, -1), (2.5, 3), (True, 3)])
def test_a_size_that_is_none_is_refused(name, sizes):
    family = FAMILIES[name][0]
    with pytest.raises(InputError, match="positive integer"):
        family.init(jax.random.key(0), *sizes, MODES)
    with pytest.raises(InputError, match="positive integer"):
        family.num_parameters(*sizes, MODES)


@pytest.mark.parametrize("factor", ["orthogonality", "sparsity"])
@pytest.mark.parametrize("value", [-1.0, float("nan")])
def test_a_penalty_that_is_no_number_from_0_on_is_refused(factor, value):
    with pytest.raises(InputError, match="0 or more"):
        layers.SVD(**{factor: value})
