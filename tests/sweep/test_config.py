"""The config: one form for everything, arms in every form, and an error for everything else."""

import dataclasses
import json
import tomllib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modejax.errors import InputError
from modejax.sweep.arm import Arm
from modejax.sweep.config import SweepConfig
from modejax.sweep.parsing import parse_bytes, parse_options, parse_value


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"baseline_learning_rates": (0.0,)}, "baseline_learning_rates must be finite numbers greater than 0, got 0.0"),
        ({"baseline_learning_rates": 0.1}, "baseline_learning_rates must be a list"),
        ({"baseline_weight_decays": (-1.0,)}, "baseline_weight_decays must be finite numbers 0 or more"),
        ({"memory_limit": -1.0}, "memory_limit"),
        ({"memory_limit": "2 furlongs"}, "MB, GB, TB"),
        ({"memory_limit": "inf"}, "memory_limit"),
        ({"launches": -1}, "launches must be an integer of at least 0, got -1"),
        ({"devices": 1.5}, "devices must be an integer of at least 0, got 1.5"),
        ({"seeds": 0}, "seeds must be an integer of at least 1, got 0"),
        ({"seeds": (0, 1)}, "seeds must be an integer of at least 1, got (0, 1)"),
        ({"first_seed": -1}, "first_seed must be an integer of at least 0"),
        ({"first_seed": 2**64}, f"first_seed must be an integer of at least 0 and below {2**64 - 2}, got {2**64}"),
        ({"first_seed": 2**64 - 2, "seeds": 3}, f"below {2**64 - 2}"),
        ({"shuffle_seed": 2**64}, f"shuffle_seed must be an integer of at least 0 and below {2**64}, got {2**64}"),
        ({"shuffle_seed": 0.5}, "shuffle_seed must be an integer of at least 0, got 0.5"),
        ({"epochs": 0}, "epochs must be an integer of at least 1, got 0"),
        ({"epochs": True}, "epochs must be an integer of at least 1, got True"),
        ({"batch_size": 0}, "batch_size"),
        ({"draws": 0}, "draws"),
        ({"truncate_every": -1}, "truncate_every"),
        ({"kept": (-1,)}, "kept must be an integer of at least 0, got -1"),
        ({"kept": "12"}, "kept must be a list of integers of at least 0, got the text '12'"),
        ({"order": "tau"}, "unknown order 'tau'"),
        ({"cut": "leading"}, "unknown cut"),
        ({"precision": "half"}, "unknown precision"),
        ({"baseline": "linear"}, "unknown baseline 'linear'; allowed: dense, none"),
        ({"buckets": "two"}, "unknown buckets"),
        ({"batches": "own"}, "unknown batches 'own'; allowed: per_seed, shared"),
        ({"mask": "dynamic", "sparsities": (50,), "mask_after": 40}, "mask_after 40 leaves no epoch with the mask"),
        (
            {"mask": "dynamic", "sparsities": (50,), "mask_after": 2, "validation": 0.2},
            "mask_after and validation do not go together",
        ),
        ({"prune": ("size",)}, "unknown prune 'size'; allowed: eigenvalue"),
        ({"prune": ("random", "random")}, "prune names a score twice"),
        ({"prune": ("eigenvalue",)}, "rank the nodes of spectral layers, got layer='mode'"),
        ({"prune": ("random",), "percentiles": (-1,)}, "percentiles must be"),
        (
            {"prune": ("random",), "percentiles": (100,)},
            "percentiles must be percentages from 0 to below 100, got 100.0",
        ),
        ({"prune": ("random",), "percentiles": ()}, "percentiles is empty"),
        ({"prune": ("weights",), "prune_by_layer": True}, "prune names no score of nodes"),
        ({"prune": ("random",), "prune_by_layer": 2}, "prune_by_layer must be"),
        ({"prune": ("random",), "depth": 0}, "depth 0 has no hidden nodes that random could rank"),
        ({"prune": ("weights",), "network": "sparcs"}, "has no pruning curves"),
        ({"validation": 1.0}, "validation must be a share from 0 to below 1, got 1.0"),
        ({"validation": "0.2"}, "validation must be a share from 0 to below 1, got '0.2'"),
        ({"patience": 3}, "patience 3 needs validation data"),
        ({"least_improvement": -1}, "least_improvement"),
        ({"dataset": 3}, "dataset must be a name or a path, got 3"),
        # arms
        ({"arms": "wide widths=99"}, "arms must be a list of texts or a table of tables, got the text"),
        ({"arms": {"wide": 99}}, "the arm 'wide' must be a table of fields, got 99"),
        ({"arms": ("wide width=99",)}, "the arm 'wide' names the field 'width'; allowed: activation, axes, bias"),
        ({"arms": ("wide name=other",)}, "the arm 'wide' names the field 'name'"),
        ({"arms": ("wide widths=0",)}, "the arm 'wide': widths must be an integer of at least 1, got 0"),
        ({"arms": ("wide widths",)}, "is written field=value, got 'widths'"),
        ({"arms": ("wide widths=8 widths=9",)}, "the arm 'wide' names the field 'widths' twice"),
        ({"arms": ("",)}, "an arm is written NAME field=value"),
        ({"arms": ("wide bias=perhaps",)}, "the arm 'wide': bias must be true or false, got 'perhaps'"),
        ({"arms": ("wide optimiser=sgd seeds=4",)}, "the arm 'wide' names the field 'seeds'"),
        ({"arms": ("a widths=8", "a widths=9")}, "two arms have the name 'a'; give one of them another"),
        ({"arms": ("mode widths=8",)}, "two arms have the name 'mode'"),
        ({"arms": ("baseline layer=dense",)}, "two arms have the name 'baseline'"),
        ({"arms": ("late mask=dynamic sparsities=50 mask_after=99",)}, "mask_after 99 leaves no epoch with the mask"),
        ({"arms": 3}, "arms must be a list of texts or a table of tables, got 3"),
        ({"bias": "yes"}, "bias must be true or false, got 'yes'"),
        ({"baseline_bias": 1}, "baseline_bias must be true or false, got 1"),
    ],
)
def test_what_is_not_allowed_is_named(changes, message):
    with pytest.raises(InputError) as caught:
        SweepConfig(**changes)
    assert message in str(caught.value)


TEXTS = (
    "dense layer=dense learning_rates=0.001,0.003 layer_options=use_bias=true",
    "sgd optimiser=sgd momentum=0.9 schedule=cosine warm_up=2 widths=8",
    "masked layer=dense mask=dynamic sparsities=50,90 bias=true",
)


def test_arms_as_texts_a_mapping_or_toml_are_one():
    texts = SweepConfig(arms=TEXTS)
    mapping = {
        "dense": {"layer": "dense", "learning_rates": (0.001, 0.003), "layer_options": {"use_bias": True}},
        "sgd": {"optimiser": "sgd", "momentum": 0.9, "schedule": "cosine", "warm_up": 2, "widths": [8]},
        "masked": {"layer": "dense", "mask": "dynamic", "sparsities": (50, 90), "bias": True},
    }
    assert SweepConfig(arms=mapping) == texts  # pyright: ignore[reportArgumentType]
    toml = """
        widths = [16, 32, 64]
        [arms.dense]
        layer = "dense"
        learning_rates = [0.001, 0.003]
        layer_options = {use_bias = true}
        [arms.sgd]
        optimiser = "sgd"
        momentum = 0.9
        schedule = "cosine"
        warm_up = 2
        widths = [8]
        [arms.masked]
        layer = "dense"
        mask = "dynamic"
        sparsities = [50, 90]
        bias = true
    """
    assert SweepConfig.from_fields(tomllib.loads(toml)) == texts
    assert SweepConfig.from_json(texts.to_json()) == texts
    first, dense, sgd, masked, baseline = texts.all_arms
    assert (first.name, baseline.name) == ("mode", "baseline")
    assert (dense.learning_rates, dense.layer_options, dense.modes) == ((0.001, 0.003), ("use_bias=true",), (0,))
    assert (sgd.momentum, sgd.schedule, sgd.widths, sgd.modes) == (0.9, "cosine", (8,), first.modes)
    assert (masked.sparsities, masked.bias) == ((50, 90), True)


def test_an_arm_takes_over_what_fits_its_layer_and_no_more():
    first = {
        "layer": "mode",
        "layer_options": ("gauge=scaled",),
        "modes": (3, 4),
        "mask": "static",
        "sparsities": (0, 50),
        "widths": (8,),
        "activation": "tanh",
        "label_noise": (0.1,),
        "optimiser": "sgd",
        "momentum": 0.5,
    }
    arms = ("rates learning_rates=0.1", "low layer=low_rank", "dense layer=dense", "tied network=tied", "svd layer=svd")
    config = SweepConfig(**first, arms=arms, baseline="none")
    named = {arm.name: arm for arm in config.all_arms}
    assert named["rates"] == dataclasses.replace(config.first_arm, name="rates", learning_rates=(0.1,))
    for name in ("low", "dense", "tied", "svd"):
        arm = named[name]
        assert (arm.layer_options, arm.mask, arm.sparsities) == ((), "none", ())
        assert (arm.widths, arm.activation, arm.label_noise, arm.momentum) == ((8,), "tanh", (0.1,), 0.5)
    assert [named[name].modes for name in ("low", "dense", "tied", "svd")] == [(3, 4), (0,), (3, 4), (0,)]
    images = SweepConfig(
        network="conv", network_options=("norm=layer",), arms=("flat network=mlp", "low layer=low_rank")
    )
    assert [arm.network_options for arm in images.all_arms] == [("norm=layer",), (), ("norm=layer",), ("norm=layer",)]


def test_an_arm_with_another_optimiser_leaves_the_options_of_the_first():
    config = SweepConfig(
        optimiser="sgd",
        momentum=0.9,
        optimiser_options=("nesterov=true",),
        arms=("adam optimiser=adam",),
        baseline="none",
    )
    adam = config.all_arms[1]
    assert (adam.momentum, adam.optimiser_options) == (0.0, ())


def test_an_arm_without_hidden_layers_leaves_the_widths_of_the_first():
    arms = SweepConfig(layer="dense", widths=(8,), arms=("linear depth=0",), baseline="none").all_arms
    assert [arm.widths for arm in arms] == [(8,), (0,)]


def test_an_arm_with_another_schedule_leaves_the_halving_of_the_first():
    arms = SweepConfig(halve_every=3, arms=("cosine schedule=cosine", "more halve_every=5"), baseline="none").all_arms
    assert [(arm.schedule, arm.halve_every) for arm in arms] == [("halving", 3), ("cosine", 0), ("halving", 5)]


def test_the_baseline_is_an_arm_with_a_grid_of_rates():
    config = SweepConfig(
        widths=(8, 9),
        modes=(2,),
        label_noise=(0, 0.5),
        train_examples=(10, 20),
        schedule="cosine",
        baseline_learning_rates=(0.1, 0.2, 0.3),
        baseline_weight_decays=(0, 1),
        baseline_bias=True,
    )
    arm = config.all_arms[-1]
    assert arm == Arm(
        name="baseline",
        layer="dense",
        widths=(8, 9),
        label_noise=(0, 0.5),
        train_examples=(10, 20),
        schedule="cosine",
        learning_rates=(0.1, 0.2, 0.3),
        weight_decays=(0, 1),
        bias=True,
    )
    assert SweepConfig(network="residual").all_arms[-1].network == "residual"
    assert SweepConfig(network="tied").all_arms[-1].network == "mlp"


def test_round_trip_through_json():
    config = SweepConfig(widths=(3, 9), layer="svd", kept=(4, 0, 2), layer_options={"sparsity": 0.5}, arms=TEXTS)  # pyright: ignore[reportArgumentType]
    assert config.kept == (0, 2, 4)
    assert SweepConfig.from_json(config.to_json()) == config
    assert hash(SweepConfig.from_json(config.to_json())) == hash(config)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[1]",
        "3",
        "null",
        '{"width": [3]}',
        '{"widths": [0]}',
        '{"epochs": "many"}',
        '{"arms": [[]]}',
        '{"arms": 3}',
        '{"widths": {"a": 3}}',
        '{"axes": 3}',
        '{"prune": 3}',
        '{"layer": ["mode"]}',
        '{"name": 3}',
        "[" * 100_000,
    ],
)
def test_json_that_is_no_config_is_refused(text):
    with pytest.raises(InputError):
        SweepConfig.from_json(text)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=5,
)


@settings(max_examples=150)
@given(st.sampled_from([field.name for field in dataclasses.fields(SweepConfig)]), VALUES)
def test_any_value_of_any_field_is_taken_or_refused_in_words(name, value):
    try:
        config = SweepConfig.from_fields({name: value})
    except InputError:
        return
    hash(config)
    assert SweepConfig.from_json(config.to_json()) == config


def test_every_field_is_written():
    written = json.loads(SweepConfig().to_json())
    assert set(written) == {field.name for field in dataclasses.fields(SweepConfig)}


def test_numbers_of_numpy_and_paths_are_taken():
    config = SweepConfig(
        dataset=Path("runs") / "a.npz",  # pyright: ignore[reportArgumentType]
        data_dir=Path("data"),  # pyright: ignore[reportArgumentType]
        epochs=np.int64(3),  # pyright: ignore[reportArgumentType]
        seeds=np.int8(2),  # pyright: ignore[reportArgumentType]
        kept=np.arange(3),  # pyright: ignore[reportArgumentType]
        validation=np.float64(0.25),
        memory_limit=np.float32(0.5),  # pyright: ignore[reportArgumentType]
        baseline_learning_rates=np.array([0.5]),  # pyright: ignore[reportArgumentType]
        percentiles=np.array([10, 20]),  # pyright: ignore[reportArgumentType]
        least_improvement=np.float32(0.5),  # pyright: ignore[reportArgumentType]
    )
    plain = SweepConfig(
        dataset="runs/a.npz",
        data_dir="data",
        epochs=3,
        seeds=2,
        kept=(0, 1, 2),
        validation=0.25,
        memory_limit=0.5,
        baseline_learning_rates=(0.5,),
        percentiles=(10, 20),
        least_improvement=0.5,
    )
    assert config == plain
    assert SweepConfig.from_json(config.to_json()) == config


def test_seeds_reach_up_to_the_largest_of_64_bits():
    config = SweepConfig(first_seed=2**64 - 3, seeds=3, shuffle_seed=2**64 - 1)
    assert config.seed_numbers == (2**64 - 3, 2**64 - 2, 2**64 - 1)
    assert SweepConfig.from_json(config.to_json()) == config


def test_options_are_read_with_their_types():
    assert parse_options(("a=true", "b=false", "c=3", "d=0.5", "e=1e-3", "f=word")) == {
        "a": True,
        "b": False,
        "c": 3,
        "d": 0.5,
        "e": 1e-3,
        "f": "word",
    }
    assert [parse_value(text) for text in ("3", "3.0", "true", "x")] == [3, 3.0, True, "x"]


def test_without_hidden_layers_the_width_axis_has_one_entry():
    config = SweepConfig(layer="spectral", depth=0)
    assert config.widths == (0,)
    assert config.num_members == 3
    assert SweepConfig.from_json(config.to_json()) == config


@pytest.mark.parametrize(
    ("amount", "found"),
    [(0.5, 2**29), ("2", 2**31), ("2GB", 2 * 10**9), ("1.5 GiB", 3 * 2**29), ("300mib", 300 * 2**20), (0, 0)],
)
def test_amounts_of_memory(amount, found):
    assert parse_bytes(amount) == found
