"""Trained networks of a run: chosen by their axes, applied to raw inputs, checked when they are read."""

import dataclasses
import json
import shutil

import numpy as np
import pytest

from modejax import SweepConfig, open_run, run_sweep
from modejax.errors import InputError
from modejax.runs.networks import matches

ARMS = ("dense layer=dense bias=true widths=3", "sparcs network=sparcs widths=4")
CONFIG = SweepConfig(
    network="conv", network_options=("norm=group",), widths=(2, 4), modes=(2, 3), seeds=2, epochs=3, batch_size=20,
    depth=1, buckets="one",
    learning_rates=(0.01,), arms=ARMS, baseline_learning_rates=(0.01, 0.03), batches="per_seed", label_noise=(0, 0.2),
)  # fmt: skip


@pytest.fixture(scope="module")
def run(tiles, tmp_path_factory):
    folder = tmp_path_factory.mktemp("networks") / "run"
    return run_sweep(CONFIG, dataset=tiles, out=folder)


@pytest.mark.parametrize("arm", ["conv_mode", "dense", "sparcs", "baseline"])
def test_predictions_of_raw_images_have_the_accuracy_of_the_result(run, tiles, arm):
    data = run[arm]
    networks = run.networks(arm)
    assert len(networks) == data.status.size
    images = tiles.x_test.reshape(-1, 5, 4)
    assert images.dtype == np.uint8
    for trained in networks:
        outputs = trained.predict(images)
        assert outputs.dtype == np.float32
        np.testing.assert_array_equal(outputs, trained.predict(tiles.x_test))
        np.testing.assert_array_equal(trained.classify(images), outputs.argmax(axis=1))
        cell = data.sel({name: trained.at[name] for name in data.status.dims})
        right = (outputs.argmax(axis=1) == tiles.y_test).mean()
        assert float(cell.test_accuracy.isel(epoch=-1)) == pytest.approx(right, abs=1.01 / 40)
        logits = outputs - outputs.max(axis=1, keepdims=True)
        losses = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(40), tiles.y_test]
        assert float(cell.test_loss.isel(epoch=-1)) == pytest.approx(losses.mean(), rel=1e-4)
        assert trained.network.num_parameters() == int(cell.num_parameters)
        assert trained.arm == arm


def test_networks_are_chosen_by_their_axes(run):
    assert [(e.width, e.modes, e.seed, e.label_noise) for e in run.networks(width=4, seed=1, label_noise=0.2)] == [
        (4, 2, 1, 0.2),
        (4, 3, 1, 0.2),
    ]
    assert len(run.networks(width=[2, 4], modes=np.array([3]))) == 8
    assert run.networks(width=5) == []
    assert [e.learning_rate for e in run.networks("baseline", width=2, seed=0, label_noise=0)] == [0.01, 0.03]
    with pytest.raises(InputError, match="networks have no axis 'widths'; allowed: width, modes, seed"):
        run.networks(widths=4)
    with pytest.raises(InputError, match="this run has no arm 'mode'"):
        run.networks("mode")
    with pytest.raises(AttributeError, match="a trained network has no 'rank'; its axes are width, modes, seed"):
        run.networks(width=2)[0].rank  # noqa: B018


def test_seeds_of_64_bits_are_told_apart():
    assert matches({"seed": 2**64 - 1}, {"seed": 2**64 - 1})
    assert not matches({"seed": 2**64 - 1}, {"seed": 2**64 - 2})
    assert matches({"learning_rate": 0.1 + 0.2}, {"learning_rate": 0.3})
    assert not matches({"learning_rate": 0.3}, {"learning_rate": 0.3001})


def test_inputs_that_do_not_fit_are_refused(run, tiles):
    (trained, *_) = run.networks()
    with pytest.raises(InputError, match=r"predict takes a batch \(rows, features\) of raw inputs, got shape \(20,\)"):
        trained.predict(tiles.x_test[0])
    with pytest.raises(InputError, match="inputs of 19 features do not fit this network; give rows"):
        trained.predict(tiles.x_test[:, :19])
    with pytest.raises(InputError, match="do not fit this network"):
        run.networks("dense")[0].predict(tiles.x_test[:, :19])


@pytest.mark.slow
def test_networks_read_from_the_folder_are_those_in_memory(run, tiles):
    memory = run_sweep(CONFIG, dataset=tiles)
    for arm in run.arms:
        for one, other in zip(memory.networks(arm), open_run(run.folder).networks(arm), strict=True):
            assert dict(one.at) == dict(other.at)
            assert (one.status, one.scale, one.targets) == (other.status, other.scale, other.targets)
            assert one.network == other.network
            np.testing.assert_array_equal(one.predict(tiles.x_test), other.predict(tiles.x_test))


def altered(folder, tmp_path, change):
    """Copy a run, and change an array file so that the list of members does not know."""
    copy = tmp_path / "run"
    shutil.copytree(folder, copy)
    path = copy / "networks.safetensors"
    data = bytearray(path.read_bytes())
    change(data)
    path.write_bytes(data)
    return open_run(copy)


def test_a_damaged_file_of_networks_is_refused(run, tmp_path):
    def last_bit(data):
        data[-1] ^= 1

    damaged = altered(run.folder, tmp_path, last_bit)
    with pytest.raises(InputError, match="is damaged: a network does not match its checksum; restore it from a copy"):
        [damaged.networks(arm) for arm in damaged.arms]


@pytest.mark.parametrize("keep", [0, 5, 0.5])
def test_a_file_of_networks_that_was_cut_is_refused(run, tmp_path, keep):
    def cut(data):
        del data[int(keep * len(data)) if isinstance(keep, float) else keep :]

    damaged = altered(run.folder, tmp_path, cut)
    with pytest.raises(InputError, match="does not hold the networks of its run"):
        damaged.networks()


def test_a_missing_file_of_networks_leaves_the_result(run, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(run.folder, copy)
    (copy / "networks.safetensors").unlink()
    again = open_run(copy)
    assert len(again.table()) == len(run.table())
    with pytest.raises(InputError, match="does not hold the networks of its run"):
        again.networks()


def test_the_list_of_members_says_what_is_needed_to_build_them(run):
    found = json.loads((run.folder / "members.json").read_text())
    assert found["data"]["image_shape"] == [5, 4]
    assert list(found["arms"]) == list(run.arms)
    assert len(found["arms"]["conv_mode"]["members"]) == 16


def test_real_values_have_no_classes(ramp, tmp_path):
    config = SweepConfig(layer="dense", widths=(4,), seeds=1, epochs=5, batch_size=10, baseline="none", bias=True)
    run = run_sweep(config, dataset=ramp, out=tmp_path / "run")
    (trained,) = open_run(tmp_path / "run").networks()
    error = 0.5 * np.mean((trained.predict(ramp.x_test)[:, 0] - ramp.y_test) ** 2)
    assert float(run.first.test_loss.isel(epoch=-1).item()) == pytest.approx(error, rel=1e-4)
    with pytest.raises(InputError, match="are real values, which are no classes; call predict"):
        trained.classify(ramp.x_test)


@pytest.mark.slow
def test_a_network_that_diverged_says_so(tiles):
    run = run_sweep(
        dataclasses.replace(CONFIG, learning_rates=(1e9,), arms=(), baseline="none", seeds=1), dataset=tiles
    )
    assert {trained.status for trained in run.networks()} == {1}
