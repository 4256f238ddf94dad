"""The NNX modules: the families inside, trained by Flax's own tools."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from modejax import layers
from modejax.errors import InputError
from modejax.extent import Extent
from modejax.nnx import Frozen, LowRankLinear, ModeConv, ModeLinear, SpectralConv, SpectralLinear, from_dense
from modejax.training import merge, split


def linear(kind: Any, n_in: Any = 6, n_out: Any = 4, **options: Any) -> Any:
    options = {"rngs": nnx.Rngs(0), **options}
    if kind == "mode":
        return ModeLinear(n_in, n_out, 3, **options)
    if kind == "low_rank":
        return LowRankLinear(n_in, n_out, 3, **options)
    return SpectralLinear(n_in, n_out, variant=kind, **options)


def set_bias(module: Any) -> Any:
    module.bias.set_value(jnp.arange(1.0, 1 + module.out_features).astype(module.bias[...].dtype))
    return module


@pytest.mark.parametrize(
    "kind",
    [
        "mode",
        "qr_triangular",
        *(pytest.param(n, marks=pytest.mark.slow) for n in ("low_rank", "svd", "single_set_unit")),
    ],
)
def test_a_module_applies_its_kernel_and_bias_over_any_leading_axes(kind):
    module = set_bias(linear(kind))
    x = jax.random.normal(jax.random.key(1), (2, 3, 6))
    expected = jnp.einsum("abi,io->abo", x, module.kernel()) + module.bias[...].reshape(1, 1, -1)
    np.testing.assert_allclose(module(x), expected, rtol=0, atol=1e-5)
    np.testing.assert_allclose(module(x[0, 0]), expected[0, 0], rtol=0, atol=1e-5)


def test_the_start_is_that_of_the_family_with_the_same_key():
    pure = layers.Mode()
    params = pure.init(nnx.Rngs(0).params(), 6, 4, 3)
    module = linear("mode")
    np.testing.assert_array_equal(module.xi_in[...], params.xi_in)
    np.testing.assert_array_equal(module.params().map.sigma, params.sigma)
    assert module.num_parameters() == pure.num_parameters(6, 4, 3) + 4


def functional_steps(layer, params, x, y, rule, steps):
    moving, frozen = split(params, layer.trainable(params))

    def loss(moving):
        return jnp.mean((layer.apply(merge(moving, frozen), x) - y) ** 2)

    def step(carry, _):
        moving, state = carry
        updates, state = rule.update(jax.grad(loss)(moving), state, moving)
        return (optax.apply_updates(moving, updates), state), None

    (moving, _), _ = jax.jit(lambda carry: jax.lax.scan(step, carry, length=steps))((moving, rule.init(moving)))
    return merge(moving, frozen)


def module_steps(module, x, y, rule, steps):
    optimiser = nnx.Optimizer(module, rule, wrt=nnx.Param)

    @nnx.jit
    def step(module, optimiser):
        gradient = nnx.grad(lambda module: jnp.mean((module(x) - y) ** 2))(module)
        optimiser.update(module, gradient)

    for _ in range(steps):
        step(module, optimiser)
    return optimiser


CASES = {
    "mode": lambda: linear("mode", param_dtype=jnp.float64),
    "svd": lambda: linear("svd", param_dtype=jnp.float64),
    "mode_conv": lambda: ModeConv(2, 4, (3, 2), 3, strides=2, param_dtype=jnp.float64, rngs=nnx.Rngs(0)),
    "low_rank": lambda: linear("low_rank", param_dtype=jnp.float64),
    "spectral_conv": lambda: SpectralConv(2, 4, (3, 2), param_dtype=jnp.float64, rngs=nnx.Rngs(0)),
}
SLOW = ("svd", "low_rank", "mode_conv", "spectral_conv")


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("case", [pytest.param(n, marks=pytest.mark.slow) if n in SLOW else n for n in CASES])
def test_module_and_family_train_alike_and_frozen_factors_keep_their_bits(case):
    module = CASES[case]()
    layer, start = module.family, module.params()
    frozen = jax.device_get(nnx.state(module, Frozen))
    shape = (8, 6) if "conv" not in case else (8, 5, 4, 2)
    x = jax.random.normal(jax.random.key(1), shape)
    y = jax.random.normal(jax.random.key(2), layer.apply(start, x).shape)
    with jax.numpy_dtype_promotion("standard"):  # optax asks for it
        expected = functional_steps(layer, start, x, y, optax.adam(0.01), 100)
        optimiser = module_steps(module, x, y, optax.adam(0.01), 100)
    ends = [split(params, layer.trainable(start))[0] for params in (expected, start)]
    moved = jax.tree.map(lambda a, b: float(jnp.abs(a - b).max()), *ends)
    assert min(jax.tree.leaves(moved)) > 1e-3
    for a, b in zip(jax.tree.leaves(module.params()), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-8)
    after = jax.device_get(nnx.state(module, Frozen))
    assert jax.tree.leaves(frozen)
    jax.tree.map(np.testing.assert_array_equal, frozen, after)
    trained = sum(leaf.size for leaf in jax.tree.leaves(nnx.state(module, nnx.Param)))
    assert trained == module.num_parameters()
    # Adam keeps two moments a trained number, and two counts.
    assert sum(leaf.size for leaf in jax.tree.leaves(nnx.state(optimiser))) == 2 * trained + 2


GEOMETRIES = [
    ({"kernel_size": (3, 4), "padding": "CIRCULAR", "strides": 2}, (2, 2, 6, 8, 3)),
    ({"kernel_size": (3, 2), "strides": (2, 1), "padding": "SAME"}, (2, 7, 6, 3)),
    ({"kernel_size": (2, 3), "padding": "VALID", "kernel_dilation": (1, 2)}, (6, 8, 3)),
    ({"kernel_size": (3, 3), "padding": [(1, 0), 2], "input_dilation": 2}, (1, 5, 4, 3)),
    ({"kernel_size": (3, 2), "padding": "REFLECT"}, (2, 6, 5, 3)),
    ({"kernel_size": 3, "padding": "CAUSAL", "kernel_dilation": 2}, (2, 9, 3)),
]


@pytest.mark.parametrize(
    ("kind", "options", "shape"),
    [
        pytest.param(kind, *case, marks=() if kind == "mode" and index == 2 else pytest.mark.slow)
        for kind in ("mode", "spectral")
        for index, case in enumerate(GEOMETRIES)
    ],
)
def test_convolutions_have_the_geometry_of_flax(kind, options, shape):
    dense = set_bias(nnx.Conv(3, 5, rngs=nnx.Rngs(0), **options))
    module = from_dense(dense, kind)
    x = jax.random.normal(jax.random.key(1), shape)
    np.testing.assert_allclose(module(x), dense(x), rtol=0, atol=1e-5)


class Stack(nnx.Module):
    """Layers in a scan, each computed again in the backward pass."""

    def __init__(self, count, rngs):
        @nnx.split_rngs(splits=count)
        @nnx.vmap
        def create(rngs):
            return ModeLinear(4, 4, 3, rngs=rngs)

        self.layers = create(rngs)

    def __call__(self, x):
        @nnx.remat
        def apply(x, layer):
            return nnx.relu(layer(x))

        return nnx.scan(apply, in_axes=(nnx.Carry, 0), out_axes=nnx.Carry)(x, self.layers)


@pytest.mark.slow
def test_scan_vmap_and_remat_give_what_the_layers_give_one_by_one():
    stack = Stack(3, nnx.Rngs(0))
    x = jax.random.normal(jax.random.key(1), (5, 4))
    value, gradient = nnx.jit(nnx.value_and_grad(lambda stack: jnp.sum(stack(x) ** 2)))(stack)

    def by_hand(params):
        h = x
        for index in range(3):
            single = jax.tree.map(lambda leaf, index=index: leaf[index], params)
            h = nnx.relu(layer.apply(single, h))
        return jnp.sum(h**2)

    layer = stack.layers.family
    factors = nnx.vmap(lambda module: module.params())(stack.layers)
    moving, frozen = split(factors, layer.trainable(factors))
    expected, slope = jax.jit(jax.value_and_grad(lambda moving: by_hand(merge(moving, frozen))))(moving)
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    np.testing.assert_allclose(gradient.layers.xi_in[...], slope.map.xi_in, rtol=0, atol=1e-4)


def test_widths_are_one_axis_of_a_vmap_by_extents():
    @nnx.vmap(in_axes=(None, 0, 0))
    def create(key, width, modes):
        rngs = nnx.Rngs(params=key)
        return ModeLinear(6, Extent(8, width), Extent(4, modes), rngs=rngs, bias_init=nnx.initializers.ones)

    modules: Any = create(jax.random.key(0), jnp.array([4, 8]), jnp.array([3, 4]))
    alone = ModeLinear(6, 4, 3, rngs=nnx.Rngs(params=jax.random.key(0)))
    np.testing.assert_array_equal(modules.xi_out[0, :4, :3], alone.xi_out[...])
    np.testing.assert_array_equal(modules.xi_in[0, :3], alone.xi_in[...])
    assert not np.asarray(modules.xi_out[0, 4:]).any()
    assert modules.bias[...][0].tolist() == [1] * 4 + [0] * 4
    x = jax.random.normal(jax.random.key(1), (2, 6))
    z = nnx.vmap(lambda module, x: module(x), in_axes=(0, None))(modules, x)
    np.testing.assert_allclose(z[0, :, :4] - 1, alone(x), rtol=0, atol=1e-5)
    assert not np.asarray(z[0, :, 4:]).any()


def test_types_precision_initialisers_and_sharding_are_those_of_flax():
    module = linear(
        "mode",
        param_dtype=jnp.bfloat16,
        dtype=jnp.float32,
        precision=jax.lax.Precision.HIGHEST,
        factor_init={"sigma": nnx.initializers.ones},
        factor_metadata={"xi_in": {"out_sharding": (None, "data"), "eager_sharding": False}},
        bias_init=nnx.initializers.constant(2),
    )
    assert {leaf.dtype for leaf in jax.tree.leaves(nnx.state(module, nnx.Param))} == {jnp.dtype(jnp.bfloat16)}
    assert module.sigma[...].tolist() == [1, 1, 1]
    assert module.bias[...].tolist() == [2, 2, 2, 2]
    assert nnx.to_pure_dict(nnx.get_partition_spec(nnx.state(module)))["xi_in"] == jax.sharding.PartitionSpec(
        None, "data"
    )
    x = jnp.ones((2, 6), jnp.float32)
    assert module(x).dtype == jnp.float32
    text = str(jax.make_jaxpr(module)(x))
    assert text.count("precision=(Precision.HIGHEST, Precision.HIGHEST)") == text.count("dot_general[") > 0
    half = linear("two_set", dtype=jnp.bfloat16)
    assert half(x).dtype == jnp.bfloat16
    same, other = linear("mode", use_bias=False), linear("mode", rngs=nnx.Rngs(1), use_bias=False)
    assert same.bias is None
    assert nnx.graphdef(same) == nnx.graphdef(other)  # one compiled function for both


@pytest.mark.slow
def test_an_orbax_checkpoint_comes_back_and_one_of_another_shape_is_refused(tmp_path):
    import orbax.checkpoint as ocp

    module = linear("svd")
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "step", nnx.state(module))
        checkpointer.wait_until_finished()
        new = linear("svd", rngs=nnx.Rngs(1))
        nnx.update(new, checkpointer.restore(tmp_path / "step", nnx.state(new)))
    x = jnp.ones((1, 6))
    np.testing.assert_array_equal(new(x), module(x))
    wrong = linear("svd", n_in=7)
    nnx.update(wrong, nnx.state(module))
    with pytest.raises(InputError, match=r"has the shape \(6,\), but its sizes ask for \(7,\); was it restored"):
        wrong(jnp.ones((1, 7)))


def test_functional_parameters_go_in_and_out():
    module = linear("qr_triangular", use_bias=False)
    params = module.family.init(jax.random.key(5), 6, 4)
    module.set_params(params)
    jax.tree.map(np.testing.assert_array_equal, module.params(), params)
    with pytest.raises(InputError, match="this layer has the arrays"):
        module.set_params(layers.Mode().init(jax.random.key(0), 6, 4, 2))
    with pytest.raises(InputError, match=r"lambda_in must have the shape \(6,\) here, got \(7,\)"):
        module.set_params(module.family.init(jax.random.key(5), 7, 4))
    with pytest.raises(InputError, match="mixed types bfloat16, float32"):
        module.set_params(params._replace(lambda_in=params.lambda_in.astype(jnp.bfloat16)))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ModeLinear(6, 4, 0, rngs=nnx.Rngs(0)), "positive integer"),
        (lambda: linear("mode", gauge="other"), "unknown gauge 'other'"),
        (lambda: linear("mode", factor_init={"phi": nnx.initializers.ones}), "factor_init names 'phi'.*sigma"),
        (lambda: linear("mode", precision=("high", "highest")), "one for both sides"),
        (lambda: linear("mode", n_out=Extent(4, 2), factor_init={"sigma": nnx.initializers.ones}), "padding"),
        (lambda: linear("mode")(jnp.ones((2, 5))), r"takes inputs \(\.\.\., 6\), got shape \(2, 5\)"),
        (lambda: ModeConv(2, 3, (3, 3), 2, padding="FULL", rngs=nnx.Rngs(0)), "padding 'FULL' is not known"),
        (lambda: ModeConv(2, 3, (3, 3), 2, padding="CAUSAL", rngs=nnx.Rngs(0)), "one dimension"),
        (lambda: ModeConv(2, 3, (3, 3), 2, strides=(1, 2, 3), rngs=nnx.Rngs(0)), "strides must be"),
        (lambda: SpectralConv(2, 3, (3,), rngs=nnx.Rngs(0))(jnp.ones(2)), r"\*space, 2"),
    ],
)
def test_what_is_not_allowed_is_named(make, message):
    with pytest.raises(InputError, match=message):
        make()
