"""The example files of the documentation describe sweeps that can be planned, and run."""

import dataclasses
import json
import tomllib
from pathlib import Path

import pytest

from modejax import SweepConfig, load_dataset, make_plan, open_run
from modejax.cli import main

EXAMPLES = sorted((Path(__file__).parents[2] / "docs" / "examples").glob("*.toml"))
SMALL = {"widths": (6,), "seeds": 2, "epochs": 1, "buckets": "one"}


def read(file: Path) -> SweepConfig:
    return SweepConfig.from_fields(tomllib.loads(file.read_text()))


def test_there_are_four():
    assert [file.stem for file in EXAMPLES] == [
        "data_size",
        "mode_against_dense",
        "sgd_against_adam",
        "spectral_variants",
    ]


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_it_can_be_planned(file):
    config = dataclasses.replace(read(file), **SMALL)
    plan = make_plan(config, load_dataset("digits"))
    assert [arm.name for arm in plan.arms] == [arm.name for arm in config.all_arms]


def test_every_spectral_variant_is_there():
    from modejax.layers.spectral import SPECTRAL_VARIANTS

    config = read(next(file for file in EXAMPLES if file.stem == "spectral_variants"))
    assert {arm.name for arm in config.all_arms} == {*SPECTRAL_VARIANTS, "baseline"}
    for arm in config.all_arms[:-1]:
        assert arm.layer_options == (f"variant={arm.name}",)


@pytest.mark.slow
def test_one_of_them_is_run_from_its_file(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    file = next(file for file in EXAMPLES if file.stem == "sgd_against_adam")
    text = file.read_text()
    for old, new in (("widths = [32, 64]", "widths = [6]"), ("modes = [5, 10, 20]", "modes = [2, 3]")):
        assert old in text
        text = text.replace(old, new)
    text = text.replace("seeds = 5", "seeds = 2").replace("epochs = 40", "epochs = 2")
    Path("small.toml").write_text(text)
    assert main(["sweep", "small.toml", "--out", "run", "--no-progress", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["table"]
    assert {row["arm"] for row in rows} == {"adam", "sgd"}
    run = open_run("run")
    assert run.best(arm="sgd").learning_rate.isin([0.02, 0.05, 0.2]).all()
    assert (Path("run") / "figures" / "arms.png").is_file()
