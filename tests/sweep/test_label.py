"""Labelled results: dimensions, coordinates, what is missing and what a result says of itself."""

import dataclasses
import json

import numpy as np
import pytest

from modejax import SweepConfig
from modejax.sweep.execute import execute
from modejax.sweep.label import assemble
from modejax.sweep.plan import make_plan

CONFIG = SweepConfig(
    widths=(5, 9),
    modes=(2, 3),
    seeds=2,
    epochs=4,
    batch_size=60,
    truncate_every=2,
    buckets="one",
    arms=("dense layer=dense train_examples=50,100 widths=5", "low layer=low_rank modes=4"),
    baseline_learning_rates=(0.01, 0.02),
)


@pytest.fixture(scope="module")
def tree(blobs):
    plan = make_plan(CONFIG, blobs)
    outcome = execute(plan, blobs)
    return assemble(plan, blobs, outcome.records, outcome.timing)


def test_a_node_an_arm_with_its_own_grid(tree):
    assert tuple(tree.children) == ("mode", "dense", "low", "baseline")
    sizes = {"width": 2, "modes": 2, "seed": 2, "learning_rate": 1, "weight_decay": 1, "epoch": 4}
    assert dict(tree["mode"].test_accuracy.sizes) == sizes
    assert dict(tree["dense"].test_accuracy.sizes) == {**sizes, "width": 1, "modes": 1, "train_examples": 2}
    assert dict(tree["baseline"].test_accuracy.sizes) == {**sizes, "modes": 1, "learning_rate": 2}
    assert tree["baseline"].modes.values.tolist() == [0]
    curves = tree["mode"].truncation_accuracy
    assert curves.dims[-3:] == ("truncation_epoch", "layer", "kept")
    assert curves.truncation_epoch.values.tolist() == [2, 4]
    assert tree["mode"].kept.values.tolist() == [0, 1, 2, 3]
    assert tree["low"].kept.values.tolist() == [0, 1, 2, 3, 4]
    assert tree["mode"].map_name.values.tolist() == ["map1", "map2", "map3"]
    for name in ("dense", "baseline"):
        assert not [each for each in tree[name].data_vars if str(each).startswith(("truncation", "importance"))]
    assert tree["mode"].num_parameters.sel(width=9, modes=3) == 3 * (6 + 9 + 1 + 9 + 9 + 1 + 9 + 3 + 1)
    assert tree["baseline"].num_parameters.sel(width=5, modes=0) == 5 * (6 + 5 + 3)


def test_entries_beyond_a_members_modes_are_missing_and_only_those(tree):
    data = tree["mode"]
    curves = data.truncation_accuracy_all
    assert np.isnan(curves.sel(modes=2, kept=3)).all()
    assert not np.isnan(curves.sel(modes=2, kept=[0, 1, 2])).any()
    assert not np.isnan(curves.sel(modes=3)).any()
    assert np.isnan(data.mode_weight.sel(modes=2, mode=3)).all()
    assert not np.isnan(data.mode_weight.sel(modes=2, mode=2)).any()
    np.testing.assert_array_equal(data.importance_history.isel(truncation_epoch=-1), data.importance)


def test_a_result_says_what_it_is(tree, blobs):
    assert SweepConfig.from_json(tree.attrs["config"]) == CONFIG
    for name, arm in zip(tree.children, CONFIG.all_arms, strict=True):
        node = tree[name]
        assert node.attrs["arm"] == name
        stored = json.loads(node.attrs["arm_config"])
        assert stored == json.loads(json.dumps(dataclasses.asdict(arm)))
        assert node.attrs["data_hash"] == tree.attrs["data_hash"] == blobs.content_hash
        for values in node.data_vars.values():
            assert values.attrs["units"]
            assert values.attrs["long_name"]
    wanted = {"versions", "device", "seconds_to_compile", "seconds_to_run", "targets", "dataset"}
    assert wanted <= set(tree.attrs)


def test_random_orders_report_mean_and_spread_over_draws(blobs):
    config = SweepConfig(
        widths=(9,), modes=(4,), depth=1, seeds=2, epochs=5, batch_size=60, order="random", draws=6, baseline="none"
    )
    plan = make_plan(config, blobs)
    outcome = execute(plan, blobs)
    result = assemble(plan, blobs, outcome.records, outcome.timing)["mode"]
    spread = result.truncation_spread_all.squeeze()
    assert (spread.sel(kept=[0, 4]) < 1e-6).all()  # the rounding of the mean
    assert (spread.sel(kept=[1, 2, 3]).max("kept") > 0).all()
    np.testing.assert_allclose(
        result.truncation_accuracy_all.values.ravel(), outcome.records[0].together_curves.mean(axis=2).ravel()
    )
    full = result.truncation_accuracy_all.isel(truncation_epoch=-1).sel(kept=4)
    np.testing.assert_allclose(full, result.test_accuracy.isel(epoch=-1), atol=1e-6)


@pytest.mark.slow
def test_real_values_have_curves_of_the_loss(ramp):
    config = SweepConfig(
        widths=(8,), modes=(3,), seeds=2, epochs=30, batch_size=20, validation=0.2, learning_rates=(0.01,)
    )
    plan = make_plan(config, ramp)
    outcome = execute(plan, ramp)
    data = assemble(plan, ramp, outcome.records, outcome.timing)["mode"].to_dataset()
    assert np.isnan(data.test_accuracy).all()
    assert (data.status == 0).all()
    assert "truncation_accuracy" not in data
    assert "validation_accuracy" not in data
    assert (data.best_epoch > 0).all()
    curve = data.truncation_loss_all.isel(truncation_epoch=-1)
    np.testing.assert_allclose(curve.sel(kept=3), data.test_loss.isel(epoch=-1), rtol=1e-5)
    # Without any mode the output is 0.
    np.testing.assert_allclose(curve.sel(kept=0), 0.5 * np.mean(ramp.y_test**2), rtol=1e-5)
    assert (curve.sel(kept=3) < 0.3 * curve.sel(kept=0)).all()
    assert {data[name].attrs["units"] for name in ("test_loss", "truncation_loss")} == {"1"}


def test_the_epochs_of_importances_are_those_of_the_curves(tree):
    assert tree["mode"].importance_history.sizes["truncation_epoch"] == 2
    first, last = (tree["mode"].importance_history.isel(truncation_epoch=i) for i in (0, 1))
    assert not np.array_equal(first, last, equal_nan=True)
