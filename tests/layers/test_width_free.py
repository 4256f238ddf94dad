"""The width-free gauge: its prefactors, its start, and what it does not go with."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from modejax import layers, networks
from modejax.errors import InputError
from modejax.extent import Extent
from modejax.layers.registry import make_family

FREE = {
    "dense": layers.Dense(gauge="width_free"),
    "svd": layers.Spectral("svd", gauge="width_free", use_bias=False),
    "two_set": layers.Spectral("two_set", gauge="width_free", use_bias=False),
}


def test_the_kernel_of_a_mode_layer_is_the_mean_over_inputs():
    family = layers.Mode(gauge="width_free")
    params = family.init(jax.random.key(0), 400, 300, 20)
    expected = params.xi_out @ jnp.diag(params.sigma) @ params.xi_in / 400
    np.testing.assert_allclose(family.kernel(params), expected, rtol=1e-5, atol=1e-8)
    # 6000 and 8000 standard normal numbers: three standard errors of their standard deviation.
    for factor in (params.xi_out, params.xi_in):
        assert abs(float(factor.std()) - 1) < 3 / np.sqrt(2 * factor.size)


@pytest.mark.parametrize("name", list(FREE))
@pytest.mark.parametrize(("output", "power"), [(False, -0.5), (True, -1.0)])
def test_the_start_goes_with_the_width_as_the_derivation_says(name, output, power):
    family = FREE[name].at_output() if output else FREE[name]
    fan_out = 10 if output else None
    sizes = []
    for n in (64, 256):
        with jax.enable_x64(True):
            kernel = family.kernel(family.init(jax.random.key(1), n, fan_out or n))
        sizes.append(float(np.sqrt(np.mean(np.square(kernel)))))
    # The eigenvalues are a few random numbers for each row of 10: their mean square moves a tenth.
    assert np.log(sizes[1] / sizes[0]) / np.log(4) == pytest.approx(power, abs=0.08)


def test_only_the_last_map_of_a_network_makes_outputs():
    network = networks.mlp([5, 4, 4, 3], FREE["dense"])
    assert network.families == (FREE["dense"], FREE["dense"], layers.Dense(gauge="width_free", to_outputs=True))
    wrapped = networks.mlp([5, 4, 3], layers.Biased(layers.Masked(FREE["dense"], "random", 50.0)))
    assert wrapped.families[1] == layers.Biased(layers.Masked(network.families[2], "random", 50.0))
    head = networks.conv((4, 4, 1), (3,), 2, layers.DenseConv((2, 2)), FREE["dense"]).placed[-1].family
    assert head == FREE["dense"].at_output()
    assert networks.mlp([5, 4, 3], layers.Dense()).families == (layers.Dense(),) * 2


@pytest.mark.parametrize("name", list(FREE))
def test_padding_leaves_the_start_as_it_is(name):
    family = FREE[name]
    init = jax.jit(family.init, static_argnums=(1, 2))
    alone = family.kernel(init(jax.random.key(0), 6, 5))
    padded = family.kernel(init(jax.random.key(0), Extent(9, 6), Extent(8, 5)))
    np.testing.assert_allclose(padded[:5, :6], alone, rtol=1e-6)
    assert float(jnp.abs(padded[5:]).sum() + jnp.abs(padded[:, 6:]).sum()) == 0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: make_family("mode", {"gauge": "free"}),
            "unknown gauge 'free' of a mode layer; allowed: plain, scaled, width_free",
        ),
        (lambda: make_family("dense", {"gauge": "scaled"}), "unknown gauge 'scaled' of a dense layer"),
        (lambda: layers.Dense(gauge="width_free", start="paper"), "has a start of its own, got start=paper"),
        (lambda: make_family("spectral", {"gauge": "scaled"}), "unknown gauge 'scaled' of a spectral layer"),
        (lambda: layers.Spectral("qr_full", gauge="width_free"), "got variant=qr_full with frozen eigenvectors"),
        (lambda: layers.Spectral("svd_released", gauge="width_free"), "got variant=svd_released"),
        (lambda: layers.Spectral(eigenvectors="trained", gauge="width_free"), "with trained eigenvectors"),
        (lambda: layers.Spectral(phi="normal:1", gauge="width_free"), "draws phi itself"),
    ],
)
def test_what_the_gauge_does_not_go_with(make, message):
    with pytest.raises(InputError, match=message):
        make()
