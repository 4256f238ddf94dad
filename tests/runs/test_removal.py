"""Removal curves of trained networks are those that a sweep with that order measures itself."""

import dataclasses

import numpy as np
import pytest

from modejax.errors import InputError
from modejax.runs.removal import removal_curves
from modejax.runs.sweep import run_sweep
from modejax.sweep import execute as execute_module
from modejax.sweep.config import SweepConfig

CONFIG = SweepConfig(
    widths=(6, 10), modes=(3, 5), depth=1, seeds=2, epochs=2, baseline="none", launches=2, draws=3, kept=(0, 1, 5)
)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("removal") / "run"
    return folder, run_sweep(CONFIG, out=folder)


@pytest.mark.parametrize(
    ("removal", "changes"),
    [
        ("least", {}),
        pytest.param("most", {"cut": "remove-leading"}, marks=pytest.mark.slow),
        pytest.param("random", {"order": "random"}, marks=pytest.mark.slow),
    ],
)
def test_curves_of_a_run_are_those_of_the_compiled_step(run, removal, changes):
    folder, whole = run
    result = run_sweep(dataclasses.replace(CONFIG, **changes)).first if changes else whole.first
    curves = removal_curves(folder, (removal,), draws=3, kept=CONFIG.kept)
    last = result.isel(truncation_epoch=0)
    one = curves.sel(removal=removal)
    np.testing.assert_array_equal(one.accuracy, last.truncation_accuracy)
    np.testing.assert_array_equal(one.accuracy_all, last.truncation_accuracy_all)
    if removal == "random":
        np.testing.assert_allclose(one.spread, last.truncation_spread)
    else:
        assert float(one.spread.max()) == 0
    # With all modes kept every order is the network itself; three modes are all that some have.
    trained = result.test_accuracy.isel(epoch=-1).sel(modes=5)
    np.testing.assert_allclose(one.accuracy_all.sel(kept=5, modes=5), trained)
    assert np.isnan(one.accuracy.sel(kept=5, modes=3)).all()


@pytest.mark.slow
def test_curves_of_all_orders_are_those_of_each(run):
    folder, _ = run
    curves = removal_curves(folder, draws=3, kept=CONFIG.kept)
    assert curves.removal.values.tolist() == ["least", "most", "random"]
    for removal in curves.removal.values:
        one = removal_curves(folder, (removal,), draws=3, kept=CONFIG.kept).sel(removal=removal)
        np.testing.assert_array_equal(one.accuracy, curves.accuracy.sel(removal=removal))


@pytest.mark.slow
def test_it_calls_the_step_for_no_epochs(run, monkeypatch):
    folder, _ = run
    monkeypatch.setattr(execute_module, "_calls", None)  # training would need it
    assert removal_curves(folder, ("least",), kept=(0,)).accuracy.shape[-1] == 1


def test_bad_input_is_told(run, tmp_path):
    folder, _ = run
    with pytest.raises(InputError, match="unknown removal 'first'; allowed: least, most, random"):
        removal_curves(folder, ("first",))  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match="one or more orders, each once"):
        removal_curves(folder, ())
    with pytest.raises(InputError, match="unknown score 'tau'"):
        removal_curves(folder, score="tau")  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match="was not made by modejax"):
        removal_curves(tmp_path)
    dense = dataclasses.replace(CONFIG, layer="dense", modes=None, kept=(), epochs=1)
    run_sweep(dense, out=tmp_path / "dense")
    with pytest.raises(
        InputError, match=r"has networks without modes .layer dense, mask none., so there is nothing to remove"
    ):
        removal_curves(tmp_path / "dense")


@pytest.mark.slow
def test_importances_are_kept_at_every_truncation_epoch(run):
    last = run[1].first
    result = run_sweep(dataclasses.replace(CONFIG, truncate_every=1)).first
    for name in ("importance", "mode_weight"):
        history = result[f"{name}_history"]
        assert history.sizes["truncation_epoch"] == 2
        np.testing.assert_array_equal(history.isel(truncation_epoch=-1), result[name])
        np.testing.assert_array_equal(result[name], last[name])
        assert not np.array_equal(history.isel(truncation_epoch=0), result[name], equal_nan=True)
        assert f"{name}_history" not in last
    first = run_sweep(dataclasses.replace(CONFIG, epochs=1)).first
    np.testing.assert_array_equal(result.importance_history.isel(truncation_epoch=0), first.importance)


@pytest.mark.slow
def test_several_arms_and_other_networks_have_curves_of_their_first_arm(tiles):
    config = SweepConfig(
        network="conv", widths=(2, 4), modes=(2, 3), seeds=1, epochs=2, batch_size=20, arms=("flat network=tied",)
    )
    run = run_sweep(config, dataset=tiles)
    curves = removal_curves(run, ("least", "most"), dataset=tiles)
    np.testing.assert_array_equal(
        curves.accuracy.sel(removal="least"), run.first.truncation_accuracy.isel(truncation_epoch=0)
    )
