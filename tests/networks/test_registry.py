"""Built-in networks by name: what is made of the facts, and what is refused."""

import jax
import pytest

from modejax import layers, networks
from modejax.errors import InputError
from modejax.names import NETWORKS
from modejax.networks.registry import Facts, make_network, takes_modes

FACTS = Facts(20, 3, (5, 4), 2, "tanh", "mode", {}, {}, lambda family: family)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mlp", lambda: networks.mlp([20, 6, 6, 3], layers.Mode(), 2, "tanh")),
        ("residual", lambda: networks.residual([20, 6, 6, 3], layers.Mode(), 2, "tanh")),
        ("tied", lambda: networks.tied([20, 6, 6, 3], 2, "tanh")),
        ("sparcs", lambda: networks.sparcs([20, 6, 6, 3], "tanh")),
        ("conv", lambda: networks.conv((5, 4, 1), (6, 6), 3, layers.ModeConv((3, 3)), layers.Mode(), 2, "tanh")),
    ],
)
def test_every_name_makes_its_network(name, expected):
    assert make_network(name, FACTS, 6, 2) == expected()


def test_every_network_is_tried():
    assert set(NETWORKS) == {"mlp", "residual", "tied", "sparcs", "conv"}


def test_options_of_conv_nets_go_to_window_layers_and_network():
    facts = FACTS._replace(
        image_shape=(6, 6, 3),
        features=108,
        layer="low_rank",
        layer_options={"start": "released"},
        options={"window": 2, "strides": 2, "norm": "group", "groups": 2, "pool": "mean"},
        wrap=layers.Biased,
    )
    made = make_network("conv", facts, 4, 2)
    convolution = layers.LowRankConv((2, 2), strides=2, start="released")
    head = layers.Biased(layers.LowRank(start="released"))
    assert made == networks.conv(
        (6, 6, 3), (4, 4), 3, layers.Biased(convolution), head, 2, "tanh", norm="group", groups=2, pool="mean"
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_shape": None}, "a convolutional network needs images, got rows of 20 features"),
        ({"layer": "svd"}, "the layer svd has no convolution; allowed: dense, low_rank, mode, spectral"),
        ({"layer_options": {"gage": 1}}, "unknown option 'gage' of the layer mode; allowed: gauge"),
        ({"layer_options": {"gauge": "width_free"}}, "convolutions of mode layers have the plain gauge alone"),
        ({"layer": layers.Mode()}, "a layer of your own has no convolutions"),
        ({"options": {"norm": "batch"}}, "unknown norm 'batch'"),
    ],
)
def test_what_makes_no_conv_net_is_told(changes, message):
    with pytest.raises(InputError) as caught:
        make_network("conv", FACTS._replace(**changes), 6, 2)
    assert message in str(caught.value)


def test_an_option_of_a_layer_is_checked():
    with pytest.raises(InputError, match="unknown option 'gage' of the layer mode"):
        make_network("mlp", FACTS._replace(layer_options={"gage": "plain"}), 6, 2)


def test_whether_a_network_has_modes():
    assert takes_modes(make_network("mlp", FACTS, 6, 2))
    assert not takes_modes(make_network("sparcs", FACTS, 6, None))
    with jax.enable_x64(True):
        assert takes_modes(make_network("tied", FACTS, 6, 2))
