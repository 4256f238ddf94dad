"""An arm: one form for its fields, its name and its grid, and an error for everything else."""

from pathlib import Path

import numpy as np
import pytest

from modejax.errors import InputError
from modejax.names import LAYERS, NETWORKS
from modejax.sweep.arm import Arm, option_texts


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"network": "transformer"},
            "unknown network 'transformer'; allowed: conv, custom, mlp, residual, sparcs, tied",
        ),
        ({"layer": "modes"}, "unknown layer 'modes'; allowed: custom, dense, low_rank, mode, spectral, svd"),
        ({"optimiser": "lbfgs"}, "unknown optimiser 'lbfgs'; allowed: adabelief"),
        ({"activation": "swish"}, "unknown activation 'swish'; allowed: elu, erf"),
        ({"mask": "half", "sparsities": (50,)}, "unknown mask 'half'; allowed: dynamic, frozen, none"),
        ({"penalty": "both"}, "unknown penalty 'both'; allowed: decoupled, loss"),
        ({"schedule": "step"}, "unknown schedule 'step'; allowed: constant, cosine, halving, linear"),
        ({"widths": ()}, "widths is empty"),
        ({"widths": (0,)}, "widths must be an integer of at least 1, got 0"),
        ({"widths": (-3,)}, "got -3"),
        ({"widths": (10.5,)}, "got 10.5"),
        ({"widths": ("ten",)}, "got 'ten'"),
        ({"widths": (True,)}, "got True"),
        ({"widths": (2**31,)}, f"below {2**31}, got {2**31}"),
        ({"widths": (8, 8)}, "widths names a value twice"),
        ({"widths": 8}, "widths must be a list of integers of at least 1, got 8; write (8,)"),
        ({"widths": "64"}, "got the text '64'; write (64,)"),
        ({"modes": ()}, "modes is empty"),
        ({"modes": (0,)}, "modes must be an integer of at least 1, got 0"),
        ({"modes": "25"}, "got the text '25'"),
        ({"modes": (2, 2)}, "twice"),
        ({"layer": "dense", "modes": (3,)}, "the layer dense has no modes, got modes=(3,)"),
        ({"layer": "spectral", "modes": (3,)}, "the layer spectral has no modes"),
        ({"network": "sparcs", "modes": (3,)}, "the network sparcs has no modes"),
        ({"network": "tied", "modes": (0,)}, "modes must be an integer of at least 1, got 0"),
        ({"depth": -1}, "depth must be an integer of at least 0, got -1"),
        ({"depth": 0, "widths": (8,)}, "depth 0 has no hidden layers, got widths=(8,); leave widths out"),
        ({"depth": 0, "network": "conv"}, "depth 0 is for mlp alone, got network='conv'"),
        ({"learning_rates": (0.0,)}, "greater than 0, got 0.0"),
        ({"learning_rates": (float("nan"),)}, "got nan"),
        ({"learning_rates": (float("inf"),)}, "got inf"),
        ({"learning_rates": ()}, "learning_rates is empty"),
        ({"learning_rates": ("fast",)}, "must be numbers greater than 0"),
        ({"learning_rates": "0.1"}, "got the text '0.1'; write (0.1,)"),
        ({"learning_rates": 0.1}, "must be a list of numbers greater than 0, got 0.1; write (0.1,)"),
        ({"weight_decays": (-1e-3,)}, "0 or more, got -0.001"),
        ({"weight_decays": ()}, "weight_decays is empty"),
        ({"train_examples": (0,)}, "train_examples must be an integer of at least 1, got 0"),
        ({"train_examples": "100"}, "got the text '100'"),
        ({"label_noise": (1.5,)}, "label_noise must be shares from 0 to 1, got [1.5]"),
        ({"label_noise": (-0.1,)}, "got -0.1"),
        ({"axes": ("gain",)}, "an axis is written once as name=value,value"),
        ({"axes": ("gain=1", "gain=2")}, "an axis is written once as name=value,value"),
        ({"axes": ("gain=a,b",)}, "the axis gain must be numbers of either sign"),
        ({"axes": ("gain=1,1",)}, "the axis gain names a value twice"),
        ({"axes": ("width=1",)}, "needs a name that is no other's, got 'width'"),
        ({"axes": ("depth=1",)}, "needs a name that is no other's, got 'depth'"),
        ({"axes": ("epoch=1",)}, "needs a name that is no other's, got 'epoch'"),
        ({"axes": ("features=1",)}, "needs a name that is no other's, got 'features'"),
        ({"axes": {"gain": 0.5}}, "the axis gain must be a list of numbers, got 0.5"),
        ({"layer_options": 3}, "options must be a list of texts name=value, got 3"),
        ({"name": 3}, "the name of an arm is a text, got 3"),
        ({"axes": ("a-b=1",)}, "needs a name that is no other's, got 'a-b'"),
        ({"mask": "dynamic"}, "a mask and its sparsities go together"),
        ({"sparsities": (50,)}, "a mask and its sparsities go together"),
        ({"mask": "dynamic", "sparsities": (100,)}, "sparsities must be percentages from 0 to below 100, got 100.0"),
        ({"mask": "dynamic", "sparsities": (50, 50)}, "sparsities names a value twice"),
        ({"mask": "static", "sparsities": (50,), "mask_after": 1}, "needs a mask that follows the weights"),
        ({"mask": "random", "sparsities": (50,), "network": "tied"}, "the network tied shares factors"),
        ({"momentum": 0.9}, "momentum belongs to sgd, got optimiser='adam'"),
        ({"momentum": 1.0, "optimiser": "sgd"}, "momentum must be from 0 to below 1, got 1.0"),
        ({"momentum": "much", "optimiser": "sgd"}, "momentum must be numbers 0 or more"),
        ({"warm_up": -1}, "warm_up must be finite numbers 0 or more, got -1.0"),
        ({"halve_every": -1}, "halve_every must be an integer of at least 0, got -1"),
        ({"halve_every": 3, "schedule": "cosine"}, "halve_every and the schedule halving go together"),
        ({"schedule": "halving"}, "halve_every and the schedule halving go together"),
        ({"network_options": ("norm=layer",)}, "unknown option 'norm' of the network mlp; allowed: none"),
        (
            {"network": "conv", "network_options": {"size": 3}},
            "unknown option 'size' of the network conv; allowed: groups",
        ),
        ({"network": "tied", "layer_options": ("gauge=scaled",)}, "the network tied has no layers to choose"),
        ({"layer_options": ("gauge",)}, "name=value"),
        ({"layer_options": ("gauge=plain", "gauge=scaled")}, "the layer option 'gauge' is given twice"),
        ({"optimiser_options": ("b1",)}, "an optimiser option is written name=value"),
        ({"name": "my arm"}, "the name of an arm has letters, digits, - and _ only, got 'my arm'"),
        ({"name": "a/b"}, "got 'a/b'"),
    ],
)
def test_what_is_not_allowed_is_named(changes, message):
    with pytest.raises(InputError) as caught:
        Arm(**changes)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({}, "mode"),
        ({"layer": "low_rank"}, "low_rank"),
        ({"network": "tied"}, "tied"),
        ({"network": "sparcs"}, "sparcs"),
        ({"network": "residual"}, "residual_mode"),
        ({"network": "conv", "layer": "dense"}, "conv_dense"),
        ({"network": "custom"}, "custom"),
        ({"layer": "custom"}, "custom"),
        ({"name": "a-1_b"}, "a-1_b"),
    ],
)
def test_an_arm_is_named_after_its_layer_or_network(fields, name):
    assert Arm(**fields).label == name


@pytest.mark.parametrize(
    ("fields", "modes"),
    [
        ({}, (2, 5, 10, 20)),
        ({"layer": "low_rank"}, (2, 5, 10, 20)),
        ({"layer": "dense"}, (0,)),
        ({"layer": "spectral"}, (0,)),
        ({"layer": "svd"}, (0,)),
        ({"layer": "svd", "modes": (3, 4)}, (3, 4)),
        ({"layer": "dense", "modes": (0,)}, (0,)),
        ({"network": "tied"}, (2, 5, 10, 20)),
        ({"network": "sparcs"}, (0,)),
        ({"network": "custom"}, (0,)),
        ({"network": "custom", "modes": (2,)}, (2,)),
    ],
)
def test_modes_by_default(fields, modes):
    assert Arm(**fields).modes == modes


def test_every_layer_and_network_makes_an_arm():
    for network, kind in NETWORKS.items():
        for layer in LAYERS if kind.layers else ("mode",):
            arm = Arm(network=network, layer=layer)
            assert (arm.modes == (0,)) == (arm.takes_modes != "required")


def test_numbers_of_numpy_lists_and_arrays_are_taken():
    arm = Arm(
        widths=np.array([8, 16]),  # pyright: ignore[reportArgumentType]
        modes=[np.int64(3)],  # pyright: ignore[reportArgumentType]
        depth=np.int32(1),  # pyright: ignore[reportArgumentType]
        learning_rates=np.array([0.5, 0.25], np.float32),  # pyright: ignore[reportArgumentType]
        train_examples=range(10, 30, 10),  # pyright: ignore[reportArgumentType]
        label_noise=[np.float64(0.5)],  # pyright: ignore[reportArgumentType]
        warm_up=np.float32(0.5),  # pyright: ignore[reportArgumentType]
        axes={"gain": np.array([0.5, 1.0])},  # pyright: ignore[reportArgumentType]
    )
    plain = Arm(
        widths=(8, 16),
        modes=(3,),
        depth=1,
        learning_rates=(0.5, 0.25),
        train_examples=(10, 20),
        label_noise=(0.5,),
        warm_up=0.5,
        axes=("gain=0.5,1.0",),
    )
    assert arm == plain
    assert hash(arm) == hash(plain)
    assert {type(value) for value in (*arm.widths, *arm.modes, *arm.train_examples, arm.depth)} == {int}  # pyright: ignore
    assert {type(value) for value in (*arm.learning_rates, *arm.label_noise, arm.warm_up)} == {float}


def test_options_as_a_mapping_a_text_or_texts_are_one():
    assert option_texts({"bias": True, "gauge": "scaled"}) == ("bias=true", "gauge=scaled")
    assert option_texts("gauge=scaled") == ("gauge=scaled",)
    assert Arm(layer_options="gauge=scaled") == Arm(layer_options={"gauge": "scaled"})  # pyright: ignore
    assert Arm(layer_options=["gauge=scaled"]) == Arm(layer_options=("gauge=scaled",))  # pyright: ignore
    assert option_texts([Path("a=b")]) == ("a=b",)


def test_halve_every_names_the_schedule():
    assert Arm(halve_every=3).schedule == "halving"
    assert Arm(halve_every=3, schedule="halving") == Arm(halve_every=3)


def test_the_grid_has_the_axes_in_their_order():
    arm = Arm(
        widths=(8, 16),
        modes=(2,),
        sparsities=(0, 50),
        mask="static",
        train_examples=(10,),
        label_noise=(0.0, 0.5),
        axes=("gain=1,-2", "other=3"),
    )
    axes = arm.grid_axes((5, 6, 7))
    assert [(axis.name, values) for axis, values in axes] == [
        ("width", (8, 16)),
        ("modes", (2,)),
        ("seed", (5, 6, 7)),
        ("learning_rate", (0.005,)),
        ("weight_decay", (0.001,)),
        ("sparsity", (0, 50)),
        ("train_examples", (10,)),
        ("label_noise", (0.0, 0.5)),
        ("gain", (1.0, -2.0)),
        ("other", (3.0,)),
    ]
    assert [axis.name for axis, _ in axes if axis.network] == ["sparsity", "gain", "other"]
