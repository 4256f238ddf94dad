"""Families by name."""

import importlib

import pytest

from modejax import layers
from modejax.errors import InputError
from modejax.layers.registry import family_options, family_type, make_family
from modejax.names import LAYERS


@pytest.mark.parametrize("name", LAYERS)
def test_every_name_leads_to_its_family(name):
    family = make_family(name)
    assert isinstance(family, layers.Family)
    assert family.takes_modes == LAYERS[name].takes_modes
    for target in filter(None, (LAYERS[name].family, LAYERS[name].convolution)):
        module, _, attribute = target.partition(":")
        assert getattr(importlib.import_module(module), attribute) is getattr(layers, attribute)
    if LAYERS[name].convolution is not None:
        convolution = make_family(name, window=[3, 2])
        assert convolution.space == 2
        assert convolution.takes_modes == family.takes_modes


def test_options_reach_the_record():
    assert make_family("mode", {"gauge": "scaled"}) == layers.Mode(gauge="scaled")
    assert make_family("dense", {"use_bias": True, "strides": 2}, window=(3,)) == layers.DenseConv(
        (3,), strides=2, use_bias=True
    )
    assert family_options(family_type("mode")) == ("gauge",)
    assert "window" not in family_options(layers.ModeConv)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: make_family("modes"), "unknown layer 'modes'; allowed: dense, low_rank, mode, spectral, svd"),
        (lambda: make_family("mode", {"gage": "plain"}), "unknown option 'gage' of the layer mode; allowed: gauge"),
        (lambda: make_family("mode", {"gauge": "unit"}), "unknown gauge 'unit'"),
        (lambda: make_family("mode", {"window": (3,)}), "unknown option 'window'"),
        (lambda: make_family("svd", window=(3,)), "the layer svd has no convolution; allowed: dense, low_rank, mode"),
    ],
)
def test_what_is_not_allowed_is_named(call, message):
    with pytest.raises(InputError, match=message):
        call()
