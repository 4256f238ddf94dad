"""From dense Flax layers to modes and eigenvalues, and back; whole models."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from modejax import layers
from modejax.errors import InputError
from modejax.layers import (
    SPECTRAL_VARIANTS,
    mode_from_modes,
    singular_modes,
    spectral_from_kernel,
)
from modejax.nnx import (
    LowRankLinear,
    ModeConv,
    ModeLinear,
    SpectralConv,
    SpectralLinear,
    decompose,
    from_dense,
    to_dense,
)
from modejax.truncation import SCORES


def dense_linear(seed: int = 0, **options: Any) -> Any:
    return nnx.Linear(7, 5, rngs=nnx.Rngs(seed), bias_init=nnx.initializers.normal(1.0), **options)


def dense_conv(**options: Any) -> Any:
    return nnx.Conv(2, 5, (3, 2), rngs=nnx.Rngs(0), bias_init=nnx.initializers.normal(1.0), **options)


@pytest.mark.parametrize(
    ("family", "linear", "conv"),
    [
        ("mode", ModeLinear, ModeConv),
        pytest.param("low_rank", LowRankLinear, None, marks=pytest.mark.slow),
        pytest.param("spectral", SpectralLinear, SpectralConv, marks=pytest.mark.slow),
    ],
)
def test_full_rank_is_the_dense_layer_and_comes_back(family, linear, conv):
    cases: list[Any] = [(dense_linear(), linear, (3, 7))]
    if conv is not None:
        cases.append((dense_conv(strides=(2, 1), padding=((1, 0), (0, 1))), conv, (2, 6, 5, 2)))
    for dense, kind, shape in cases:
        x = jax.random.normal(jax.random.key(1), shape)
        module = from_dense(dense, family)
        assert type(module) is kind
        np.testing.assert_allclose(module(x), dense(x), rtol=0, atol=1e-5)
        back: Any = to_dense(module)
        assert type(back) is type(dense)
        np.testing.assert_allclose(back.kernel[...], dense.kernel[...], rtol=0, atol=1e-5)
        np.testing.assert_array_equal(back.bias[...], dense.bias[...])
        np.testing.assert_allclose(back(x), dense(x), rtol=0, atol=1e-5)


def test_fewer_modes_are_the_best_matrix_of_that_rank():
    dense = dense_conv()
    matrix = np.moveaxis(np.asarray(dense.kernel[...], np.float64), (-1, -2), (0, 1)).reshape(5, -1)
    s = np.linalg.svd(matrix, compute_uv=False)
    for modes in (1, 3):
        module: Any = from_dense(dense, modes=modes)
        kept = np.moveaxis(np.asarray(module.kernel(), np.float64), (-1, -2), (0, 1)).reshape(5, -1)
        assert np.linalg.matrix_rank(kept, tol=1e-4) == modes
        np.testing.assert_allclose(np.linalg.norm(matrix - kept), np.linalg.norm(s[modes:]), rtol=1e-5)
    shares = np.cumsum(s**2) / np.sum(s**2)
    for more, modes in ((0, 3), (1e-6, 4)):
        module: Any = from_dense(dense, energy=float(shares[2]) + more)
        assert module.modes == modes


@pytest.mark.parametrize("dtype", [jnp.bfloat16, np.float16])
def test_kernels_of_half_precision_have_their_full_rank(dtype):
    kernel = np.random.default_rng(0).standard_normal((128, 128)).astype(dtype)
    found = singular_modes(kernel)
    assert found.rank == 128
    assert found.kept_energy(found.count(energy=0.95)) >= 0.95


def test_a_share_of_energy_is_kept_where_many_small_values_hold_it():
    found = singular_modes(np.diag(np.r_[1.0, np.full(127, 1e-5)]).astype(np.float32))
    assert found.kept_energy(found.count(energy=1 - 1e-9)) >= 1 - 1e-9


@pytest.mark.parametrize("shape", [(5, 9), (4, 2, 3, 3)])
def test_the_gauge_is_balanced_and_every_order_is_that_of_the_singular_values(shape):
    found = singular_modes(np.random.default_rng(0).standard_normal(shape))
    params = mode_from_modes(found)
    rms = [
        np.sqrt(np.mean(np.square(a), axis=axis))
        for a, axis in ((params.xi_out, 0), (params.xi_in.reshape(found.rank, -1), 1))
    ]
    for each in rms:
        np.testing.assert_allclose(each, params.sigma, rtol=1e-5)
    # Any other split of the same modes is the same function; this one is the balanced one of s.
    n_out, n_in = shape[0], int(np.prod(shape[1:]))
    np.testing.assert_allclose(params.sigma, (found.s / np.sqrt(n_out * n_in)) ** (1 / 3), rtol=1e-5)
    layer: Any = layers.Mode() if len(shape) == 2 else layers.ModeConv(shape[2:])
    for score in SCORES.values():
        assert np.argsort(-np.asarray(score(layer.modes(params))), kind="stable").tolist() == list(range(found.rank))
    other = params._replace(sigma=8 * params.sigma, xi_in=params.xi_in / 2, xi_out=params.xi_out / 4)
    np.testing.assert_allclose(layer.kernel(other), layer.kernel(params), rtol=0, atol=1e-5)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("variant", SPECTRAL_VARIANTS)
def test_every_spectral_variant_stands_for_a_kernel(variant):
    kernel = np.random.default_rng(0).standard_normal((4, 6))
    layer = layers.Spectral(variant, use_bias=False)
    params = spectral_from_kernel(kernel, variant)
    np.testing.assert_allclose(layer.kernel(params), kernel, rtol=0, atol=1e-12)
    same = jax.eval_shape(lambda: layer.init(jax.random.key(0), 6, 4))
    assert jax.tree.map(jnp.shape, params) == jax.tree.map(jnp.shape, same)
    if variant == "two_set":
        eigen = {"lambda_in": np.linspace(1, 2, 6), "lambda_out": np.linspace(-1, 0.5, 4)}
        np.testing.assert_allclose(layer.kernel(spectral_from_kernel(kernel, variant, **eigen)), kernel, atol=1e-12)


class Block(nnx.Module):
    def __init__(self, rngs):
        self.conv = nnx.Conv(1, 4, (3, 3), rngs=rngs)
        self.shared = nnx.Linear(4, 4, rngs=rngs)
        self.again = nnx.Dict({"same": self.shared})
        self.maps = nnx.List([nnx.Linear(4, 6, rngs=rngs), nnx.Linear(6, 3, use_bias=False, rngs=rngs)])
        self.groups = nnx.Conv(4, 4, (2,), feature_group_count=2, rngs=rngs)
        self.norm = nnx.LayerNorm(6, rngs=rngs)

    def __call__(self, x):
        h = nnx.relu(self.conv(x)).mean(axis=(1, 2))
        h = self.again["same"](nnx.relu(self.shared(h)))
        return self.maps[1](self.norm(self.maps[0](h)))


def test_a_whole_model_is_decomposed_and_the_original_stays():
    model = Block(nnx.Rngs(0))
    before = jax.device_get(nnx.state(model))
    x = jax.random.normal(jax.random.key(1), (2, 5, 5, 1))
    found = decompose(model)
    apply = nnx.jit(lambda model, x: model(x))
    np.testing.assert_allclose(apply(found.model, x), apply(model, x), rtol=0, atol=1e-5)
    assert [layer.path for layer in found.layers] == ["again/same", "conv", "maps/0", "maps/1"]
    assert found.model.again["same"] is found.model.shared
    assert [path for path, _ in found.left] == ["groups"]
    assert "groups" in found.left[0][1]
    cut = decompose(model, 2)
    conv = cut.layers[1]
    assert (conv.kind, conv.shape, conv.rank, conv.modes) == ("Conv", (3, 3, 1, 4), 4, 2)
    assert (conv.dense_parameters, conv.parameters) == (36 + 4, 2 * (9 + 4 + 1) + 4)
    assert (conv.dense_flops, conv.flops) == (72, 2 * 2 * (9 + 4))
    s = np.linalg.svd(np.asarray(model.conv.kernel[...]).reshape(9, 4), compute_uv=False)
    assert conv.kept_energy == pytest.approx(float(np.sum(s[:2] ** 2) / np.sum(s**2)), abs=1e-6)
    assert conv.parameters == cut.model.conv.num_parameters()
    assert "left dense: groups" in cut.table()
    assert repr(cut).startswith("<Decomposed Block: 4 layers replaced, 1 left dense, ")
    assert str(cut) == f"{cut!r}\n{cut.table()}"
    jax.tree.map(np.testing.assert_array_equal, before, jax.device_get(nnx.state(model)))
    cut.model.maps[0].bias.set_value(jnp.ones(6))
    cut.model.norm.scale.set_value(jnp.zeros(6))
    jax.tree.map(np.testing.assert_array_equal, before, jax.device_get(nnx.state(model)))


class Tied(nnx.Module):
    def __init__(self, rngs: nnx.Rngs) -> None:
        self.first = nnx.Linear(4, 4, rngs=rngs)
        self.second = nnx.Linear(4, 4, rngs=rngs)
        self.second.kernel = self.first.kernel
        self.general = nnx.LinearGeneral(3, 4, rngs=rngs)
        self.up = nnx.ConvTranspose(2, 3, (3, 3), rngs=rngs)
        self.head = nnx.Linear(4, 2, rngs=rngs)
        self.conv = nnx.Conv(1, 2, (3, 3), rngs=rngs)


def test_tied_layers_stay_tied_and_every_dense_kernel_is_named():
    found = decompose(Tied(nnx.Rngs(0)), 1)
    assert found.model.first.kernel is found.model.second.kernel
    reasons = dict(found.left)
    assert set(reasons) == {"first", "second", "general", "up"}
    assert "shares its kernel with second" in reasons["first"]
    assert "got ConvTranspose" in reasons["up"]
    assert [path for path, _ in decompose(Tied(nnx.Rngs(0)), 1, only=["head", "up"]).left] == ["up"]
    # FLOPs of a convolution are for one place and have no sum with those of a matrix.
    sums = found.table().splitlines()[3]
    assert sums.split() == ["all", *(str(n) for n in ((4 + 2 + 1 + 2) + (9 + 2 + 1 + 2), 10 + 20)), "-", "-"]


def test_layers_are_chosen_by_path():
    model = Block(nnx.Rngs(0))
    assert [layer.path for layer in decompose(model, only="maps/*").layers] == ["maps/0", "maps/1"]
    only = decompose(model, {"maps/0": 3, "conv": 1}, only=lambda path: path != "maps/1")
    assert {layer.path: layer.modes for layer in only.layers} == {"again/same": 4, "conv": 1, "maps/0": 3}
    assert type(only.model.maps[1]) is nnx.Linear
    spectral_model = decompose(model, family="spectral", only=["conv", "maps/1"]).model
    assert (type(spectral_model.conv), type(spectral_model.maps[1])) == (SpectralConv, SpectralLinear)
    with pytest.raises(InputError, match=r"only='head' matches no layer; the paths are again/same, conv"):
        decompose(model, 2, only="head")
    with pytest.raises(InputError, match="modes names 'head', which matches no layer"):
        decompose(model, {"head": 2})
    with pytest.raises(InputError, match="modes must be an integer from 1 to 3, the rank"):
        decompose(model, {"maps/1": 4})
    with pytest.raises(InputError, match="modes=7 is above the rank of every layer"):
        decompose(model, 7)
    with pytest.raises(InputError, match=r"no nnx\.Linear and no nnx\.Conv"):
        decompose(nnx.LayerNorm(3, rngs=nnx.Rngs(0)))


def mixed():
    dense = dense_linear()
    dense.bias.set_value(dense.bias[...].astype(jnp.bfloat16))
    return dense


def stacked():
    return nnx.vmap(lambda key: nnx.Linear(3, 2, rngs=nnx.Rngs(params=key)))(jax.random.split(jax.random.key(0), 4))


def rank_two():
    dense = dense_linear()
    dense.kernel.set_value(from_dense(dense, modes=2).kernel())
    return dense


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (dense_linear, {"modes": 6}, "from 1 to 5, the rank of the kernel of shape"),
        (rank_two, {"modes": 3}, "from 1 to 2, the rank"),
        (dense_linear, {"energy": 1.5}, "energy must be a share"),
        (dense_linear, {"modes": 2, "energy": 0.5}, "not both"),
        (dense_linear, {"family": "fourier"}, "unknown family 'fourier'"),
        (dense_linear, {"family": "spectral", "modes": 2}, "a spectral layer has no modes"),
        (dense_linear, {"lambda_in": 1.0}, "belong to the family spectral"),
        (dense_linear, {"family": "spectral", "lambda_in": 1.0, "lambda_out": 1.0}, "lambda_in equals lambda_out"),
        (dense_linear, {"family": "spectral", "variant": "input_only", "lambda_out": 1.0}, "lambda_out is fixed"),
        (dense_conv, {"family": "low_rank"}, "has no window"),
        (mixed, {}, "kernel and bias have the types float32 and bfloat16"),
        (stacked, {}, r"has the shape \(4, 3, 2\) instead of \(3, 2\)"),
        (lambda: nnx.Embed(3, 2, rngs=nnx.Rngs(0)), {}, "only nnx.Linear and nnx.Conv"),
        (lambda: nnx.LoRALinear(3, 2, lora_rank=1, rngs=nnx.Rngs(0)), {}, "got LoRALinear"),
        (lambda: dense_linear(preferred_element_type=jnp.float32), {}, "a product of its own"),
        (lambda: nnx.Conv(2, 2, (2,), mask=jnp.ones((2, 2, 2)), rngs=nnx.Rngs(0)), {}, "would lose its mask"),
    ],
)
def test_what_cannot_be_turned_is_named(make, options, message):
    with pytest.raises(InputError, match=message):
        from_dense(make(), **options)


def test_kernels_that_are_none_are_named():
    with pytest.raises(InputError, match=r"to_dense takes a module of modejax\.nnx, got Linear"):
        to_dense(dense_linear())
    for kernel, message in (
        (np.zeros(3), "has the shape"),
        (np.zeros((2, 2), int), "floating"),
        (np.full((2, 2), np.nan), "not finite"),
    ):
        with pytest.raises(InputError, match=message):
            singular_modes(kernel)
    with pytest.raises(InputError, match="is 0 and has no modes"):
        singular_modes(np.zeros((2, 2))).count()
