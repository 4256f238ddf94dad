"""The next command: on the same data, with what a run leaves open, and one that is accepted."""

import shlex
from pathlib import Path

import pytest

from modejax import SweepConfig
from modejax.cli.commands import parse
from modejax.cli.following import next_command
from modejax.plots.answer import Answer, Need


def few(value: float | None, arm: str = "mode") -> list[Answer]:
    return [Answer(arm, {}, False, "dense", 3, [Need(16, value, None, None, 95.0, 2, 20)], [], "")]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"dataset": "mnist", "batch_size": 50, "seeds": 5}, ["--dataset mnist", "--batch-size 50", "--network tied"]),
        ({"dataset": "own.npz", "layer": "spectral", "seeds": 1}, ["--dataset own.npz", "--seeds 5"]),
        ({"data_dir": "my data", "bias": True}, ["--data-dir 'my data'", "--bias", "--seeds 5"]),
        ({"learning_rates": (0.1, 0.2)}, ["--learning-rates 0.1 0.2", "--validation 0.1"]),
        ({"baseline_weight_decays": (0.1, 0.2)}, ["--baseline-weight-decays 0.1 0.2", "--validation 0.1"]),
        ({"network": "tied", "widths": (8,), "seeds": 6}, ["--network tied", "--widths 8", "--truncate-every 5"]),
        ({"layer": "dense", "depth": 0, "seeds": 5}, ["--layer dense", "--depth 0", "--seeds 10"]),
        (
            {"arms": ("wide widths=99", "low layer=low_rank learning_rates=0.1,0.2"), "dataset": "own.npz"},
            ["--arm 'wide widths=99'", "--arm 'low layer=low_rank learning_rates=0.1,0.2'", "--validation 0.1"],
        ),
    ],
)
def test_it_keeps_the_data_and_is_accepted(fields, words):
    config = SweepConfig(**fields)
    text = next_command(config, Path("run"))
    for each in words:
        assert each in text
    again = parse(shlex.split(text)[1:]).config.config
    assert again != config
    for name in ("dataset", "data_dir", "widths", "batch_size", "bias", "arms"):
        assert getattr(again, name) == getattr(config, name)


def test_more_modes_are_tried_where_the_target_was_not_reached():
    config = SweepConfig(dataset="mnist")
    assert next_command(config, Path("run"), few(None)) == "modejax sweep --modes 2 5 10 20 40 --dataset mnist"
    assert next_command(config, Path("run"), few(8.0)) == "modejax sweep --dataset mnist --seeds 5"
    # The options of the command line are those of the first arm.
    assert "--modes" not in next_command(config, Path("run"), few(None, "other"))


def test_more_rates_are_tried_beyond_the_end_at_which_the_best_one_lies():
    config = SweepConfig(learning_rates=(0.002, 0.01, 0.03), validation=0.1)
    for ends, rates in ((("largest",), "0.002 0.01 0.03 0.09"), (("smallest",), "0.0004 0.002 0.01 0.03")):
        asked = next_command(config, Path("run"), [few(8.0)[0]._replace(rate_ends=ends)])
        assert asked == f"modejax sweep --learning-rates {rates} --validation 0.1"


def test_what_only_python_can_ask_for_is_compared_instead():
    config = SweepConfig(network="custom", modes=(2,))
    assert next_command(config, Path("a run")) == "modejax show 'a run' OTHER_RUN"
