"""The config: one form for everything, and an error for everything else."""

import dataclasses
import json

import pytest

from modejax.errors import InputError
from modejax.sweep.config import SweepConfig, parse_options


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"widths": ()}, "widths is empty"),
        ({"widths": (0,)}, "widths must be integers of at least 1, got 0"),
        ({"widths": (-3,)}, "got -3"),
        ({"widths": (10.5,)}, "got 10.5"),
        ({"widths": ("ten",)}, "got 'ten'"),
        ({"widths": (True,)}, "got True"),
        ({"widths": (8, 8)}, "twice"),
        ({"widths": 8}, "must be a list of integers"),
        ({"modes": ()}, "modes is empty"),
        ({"modes": (0,)}, "modes must be integers of at least 1, got 0"),
        ({"modes": (-1,)}, "got -1"),
        ({"modes": (2.5,)}, "got 2.5"),
        ({"modes": (2, 2)}, "twice"),
        ({"learning_rates": (0.0,)}, "greater than 0, got 0.0"),
        ({"learning_rates": (-0.1,)}, "got -0.1"),
        ({"learning_rates": (float("nan"),)}, "got nan"),
        ({"learning_rates": (float("inf"),)}, "got inf"),
        ({"learning_rates": ()}, "learning_rates is empty"),
        ({"learning_rates": ("fast",)}, "must be numbers"),
        ({"weight_decays": (-1e-3,)}, "0 or more, got -0.001"),
        ({"weight_decays": ()}, "weight_decays is empty"),
        ({"baseline_learning_rate": 0.0}, "baseline_learning_rate"),
        ({"memory_limit": -1.0}, "memory_limit"),
        ({"memory_limit": "2 furlongs"}, "MB, GB, TB"),
        ({"memory_limit": "inf"}, "memory_limit"),
        ({"launches": -1}, "launches"),
        ({"seeds": 0}, "seeds must be integers of at least 1"),
        ({"epochs": 0}, "epochs"),
        ({"batch_size": 0}, "batch_size"),
        ({"depth": -1}, "depth must be integers of at least 0, got -1"),
        ({"depth": 0, "widths": (8,)}, "depth 0 has no hidden layers, got widths=(8,); leave widths out"),
        ({"widths": (0,), "depth": 1}, "widths must be integers of at least 1, got 0"),
        ({"layer": "spectral", "modes": (3,)}, "the layer spectral has no modes"),
        ({"optimiser": "sgd"}, "unknown optimiser 'sgd'; allowed: adam, adamax"),
        ({"draws": 0}, "draws"),
        ({"halve_every": -1}, "halve_every must be integers of at least 0"),
        ({"kept": (-1,)}, "kept must be integers of at least 0"),
        ({"layer": "modes"}, "unknown layer 'modes'; allowed: dense, low_rank, mode, sparcs, spectral, svd, tied_mode"),
        ({"activation": "swish"}, "unknown activation 'swish'; allowed: elu, erf"),
        ({"order": "tau"}, "unknown order 'tau'"),
        ({"cut": "leading"}, "unknown cut"),
        ({"precision": "half"}, "unknown precision"),
        ({"baseline": "linear"}, "unknown baseline"),
        ({"buckets": "two"}, "unknown buckets"),
        ({"layer": "dense", "modes": (3,)}, "has no modes"),
        ({"layer_options": ("gauge",)}, "name=value"),
        ({"layer_options": ("gauge=plain", "gauge=scaled")}, "given twice"),
    ],
)
def test_what_is_not_allowed_is_named(changes, message):
    with pytest.raises(InputError) as caught:
        SweepConfig(**changes)
    assert message in str(caught.value)


def test_round_trip_through_json():
    config = SweepConfig(widths=(3, 9), layer="svd", kept=(4, 0, 2), layer_options={"sparsity": 0.5})  # pyright: ignore[reportArgumentType]
    assert config.kept == (0, 2, 4)
    assert SweepConfig.from_json(config.to_json()) == config
    assert hash(SweepConfig.from_json(config.to_json())) == hash(config)


@pytest.mark.parametrize("text", ["", "[1]", '{"width": [3]}', '{"widths": [0]}', '{"epochs": "many"}'])
def test_json_that_is_no_config_is_refused(text):
    with pytest.raises(InputError, match="not the config of a sweep"):
        SweepConfig.from_json(text)


def test_every_field_is_written():
    written = json.loads(SweepConfig().to_json())
    assert set(written) == {field.name for field in dataclasses.fields(SweepConfig)}


def test_layers_without_modes_have_one_entry_on_that_axis():
    assert SweepConfig(layer="dense").modes == (0,)
    assert SweepConfig(layer="spectral").modes == (0,)
    assert SweepConfig(layer="svd").modes == (0,)
    assert SweepConfig(layer="svd", modes=(3, 4)).modes == (3, 4)
    assert SweepConfig().num_members == 3 * 4 * 3


def test_options_are_read_with_their_types():
    assert parse_options(("a=true", "b=false", "c=3", "d=0.5", "e=1e-3", "f=word")) == {
        "a": True,
        "b": False,
        "c": 3,
        "d": 0.5,
        "e": 1e-3,
        "f": "word",
    }


def test_without_hidden_layers_the_width_axis_has_one_entry():
    config = SweepConfig(layer="spectral", depth=0)
    assert config.widths == (0,)
    assert SweepConfig.from_json(config.to_json()) == config
