"""The studies of singular value representations at a tiny size. The quick studies: `uv run pytest -m slow`."""

import csv
import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from modejax.errors import InputError
from modejax.studies import STUDIES, convnet, find_study, svr_batchnorm, svr_dominant, svr_null, svr_training
from modejax.studies.convnet import ConvRun, Trained, kernels, trained_run
from modejax.studies.svr_planted import planted_frame, smooth_kernel
from modejax.svr import null, svr

OURS = [name for name in STUDIES if name.startswith("svr-") and name != "svr-pretrained"]  # that one needs packages
TINY = ConvRun(
    images=64, channels=(4, 8), pools=(0,), hidden=(6,), epochs=1, checkpoints=(0, 0.5, 1), seeds=2, penalty=1e-3,
    optimiser="adam_l2", learning_rate=0.005,
)  # fmt: skip


def silent(text):
    del text


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return trained_run(tmp_path_factory.mktemp("study"), "tiny", TINY, silent)


def test_products_of_patches_are_convolutions():
    x = jax.random.normal(jax.random.key(0), (2, 5, 4, 3))
    kernel = jax.random.normal(jax.random.key(1), (3, 3, 3, 7))
    expected = jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
    np.testing.assert_allclose(convnet._conv(x, kernel), expected, atol=1e-5)


def test_blocks_are_pooled_to_their_largest_value():
    x = jax.random.normal(jax.random.key(0), (2, 4, 6, 3))
    expected = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
    np.testing.assert_array_equal(convnet._pooled(x), expected)


def test_penalties_pull_as_they_say():
    weight = {"w": jnp.array([3.0, 4.0]), "zero": jnp.zeros(2)}
    nothing = jax.tree.map(jnp.zeros_like, weight)

    def first(name) -> Any:
        run = dataclasses.replace(TINY, optimiser=name, learning_rate=1.0, penalty=0.1)
        rule = convnet._optimiser(run)
        with jax.numpy_dtype_promotion("standard"):  # optax mixes integers into floats
            return rule.update(nothing, rule.init(weight), weight)[0]

    np.testing.assert_allclose(first("sgd")["w"], [-0.3, -0.4], rtol=1e-6)
    np.testing.assert_allclose(first("sgd_plain")["w"], [-0.3, -0.4], rtol=1e-6)
    # Adam divides by the size of the gradient: only the direction of the pull is left.
    np.testing.assert_allclose(first("adam_l2")["w"], [-1, -1], rtol=1e-4)
    for name in ("adam_norm", "adam_l2"):
        assert first(name)["zero"].tolist() == [0, 0]


def test_networks_are_kept_with_their_checkpoints(trained, tmp_path):
    assert trained.epochs.tolist() == [0, 0.5, 1]
    assert trained.accuracy.shape == (3, 2)
    assert ((trained.accuracy >= 0) & (trained.accuracy <= 1)).all()
    weights = trained.weights
    assert list(kernels(weights)) == ["conv0.kernel", "conv1.kernel", "dense0.kernel", "dense1.kernel"]
    assert weights["norm1.var"].shape == (3, 2, 8)
    assert "conv0.bias" not in weights
    assert np.ptp(weights["norm0.mean"][0]) == 0 < np.ptp(weights["norm0.mean"][2])
    for one, two in ((0, 1), (1, 2)):
        assert (weights["conv0.kernel"][one] != weights["conv0.kernel"][two]).all()
    assert (weights["conv0.kernel"][0, 0] != weights["conv0.kernel"][0, 1]).all()
    result = svr(kernels(weights))
    assert [(pair.c, pair.z) for pair in result.pairs] == [(4, 9), (8, 16), (6, 1)]


def test_runs_are_used_again_only_for_the_same_config(tmp_path, monkeypatch):
    calls = []

    def fake(run, report):
        calls.append(run)
        return Trained(np.array([0.0]), np.array([[0.1]]), {"dense0.kernel": np.ones((1, 1, 2, 2))})

    monkeypatch.setattr(convnet, "train", fake)
    trained_run(tmp_path / "a", "net", TINY, silent)
    again = trained_run(tmp_path / "b", "net", TINY, silent)
    assert len(calls) == 1
    assert again.weights["dense0.kernel"].shape == (1, 1, 2, 2)
    other = dataclasses.replace(TINY, penalty=0.2)
    trained_run(tmp_path / "a", "net", other, silent)
    assert calls == [TINY, other]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"optimiser": "lion"}, "optimiser 'lion' is not known; allowed: adam, adam_l2"),
        ({"checkpoints": (3, 1)}, r"checkpoints must rise, got \(3, 1\)"),
        ({"checkpoints": (0, 3)}, r"checkpoints must lie in 0..1 epochs, got \(0, 3\)"),
    ],
)
def test_settings_that_are_refused(change, message):
    with pytest.raises(InputError, match=message):
        dataclasses.replace(TINY, **change)


def test_data_that_are_refused():
    with pytest.raises(InputError, match="images must be 32 to 1796 of 'digits', got 1797"):
        convnet.train(dataclasses.replace(TINY, images=1797))
    with pytest.raises(InputError, match="'gaussian_mixture' holds no images"):
        convnet.train(dataclasses.replace(TINY, dataset="gaussian_mixture"))


def test_planted_frames_and_smooth_kernels():
    rng = np.random.default_rng(0)
    target = rng.standard_normal(20)
    target /= np.linalg.norm(target)
    frame = planted_frame(rng, target, 0.3, 6)
    np.testing.assert_allclose(frame.T @ frame, np.eye(6), atol=1e-12)
    assert frame[:, 0] @ target == pytest.approx(0.3)
    kernel = smooth_kernel(rng, 40, 100, 3, 0.5).reshape(-1, 9)
    apart = np.abs(np.subtract.outer(np.arange(3), np.arange(3)))
    expected = np.kron(0.5**apart, 0.5**apart)
    # 4,000 samples of correlation r: standard deviation at most 1 / sqrt(4000) = 0.016.
    np.testing.assert_allclose(np.corrcoef(kernel.T), expected, atol=0.08)


def test_what_is_planted_is_found_above_the_limit_only():
    limit = null.detection_limit(32, tests=32 * 32).cosine
    assert svr_null.detect(32, 1, limit + 0.01, 3, 0) == 1
    assert svr_null.detect(32, 1, limit - 0.01, 3, 0) == 0
    assert svr_dominant.find_planted(24, 0.2, 2, 0)["chain"] == 0


def test_smoothness_is_no_alignment():
    constant = next(row for row in svr_null.smooth_kernels(0, 24, 4, 0) if row["kernels"] == "constant")
    # 4 x 24 x 24 edges, 3 expected: more than 14 have a probability below 1e-5.
    assert constant["channel_haar"] * 4 * 24 * 24 < 14
    assert constant["beta"] > 0.03
    assert constant["z_eff"] == pytest.approx(1)


def made(kernel, seeds=2):
    """Return networks of three equal convolutions, and batch norms that do nothing."""
    weights = {f"conv{k}.kernel": np.stack([np.stack([kernel] * seeds)] * 2) for k in range(3)}
    for k in range(3):
        weights |= {f"norm{k}.{name}": np.ones((2, seeds, 8)) for name in ("scale", "var")}
    return Trained(np.array([0.0, 1.0]), np.full((2, seeds), 0.5), weights)


def test_channels_that_nobody_uses_are_a_near_kernel():
    kernel = np.random.default_rng(0).standard_normal((3, 3, 8, 8))
    kernel[..., :2] = 0  # hardly written
    kernel[:, :, :2] = 0  # hardly read
    rows = svr_batchnorm.measure(made(kernel))
    assert len(rows) == 2 * 2 * 2
    assert all(row["dead"] == 2 for row in rows)
    np.testing.assert_allclose([row["mass"] for row in rows], 1, atol=1e-9)
    folded = svr_batchnorm.measure(made(kernel), fold=True)
    np.testing.assert_allclose([row["mass"] for row in folded], [row["mass"] for row in rows])
    np.testing.assert_array_equal(svr_batchnorm._values(rows, "dead", epoch=1.0), [2, 2])


def test_measures_of_networks(trained):
    rows = svr_dominant.measure(trained, 2, 0)
    assert [row["layers"] for row in rows] == ["0-1", "1-2", "2-3", "chain"]
    assert rows[-1]["product"] == pytest.approx(np.prod([row["E00"] for row in rows[:-1]]))
    assert rows[-1]["weakest"] == pytest.approx(min(row["E00"] for row in rows[:-1]))
    every = svr_training.measure(trained)
    assert len(every) == 3 * 2 * 4
    rows = [row for row in every if (row["epoch"], row["seed"]) == (0, 1)]
    assert [row["layers"] for row in rows] == ["0-1", "1-2", "2-3", "all"]
    alone = [pair.significant(null.level_of_sigma(3)).mean() for pair in svr(kernels(trained.weights, 0, 1)).pairs]
    np.testing.assert_allclose([row["share"] for row in rows[:-1]], alone)
    assert all(0 < row["entropy"] <= 1 for row in rows[:-1])
    squares = sum(float((np.asarray(each, float) ** 2).sum()) for each in kernels(trained.weights, 0, 1).values())
    assert rows[-1]["squares"] == pytest.approx(np.log10(squares))


@pytest.mark.parametrize("name", OURS)
def test_what_cannot_be_run_is_refused(name, tmp_path):
    study = find_study(name)
    with pytest.raises(InputError, match="seeds must be integers of at least 2, since error bars need them, got 1"):
        study(tmp_path / "out", quick=True, seeds=1)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match="is a file"):
        study(tmp_path / "file", quick=True)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", OURS)
def test_the_quick_study_runs(name, tmp_path):
    folder = find_study(name)(tmp_path / "out", quick=True, seeds=2, report=silent)
    with (folder / "table.csv").open() as file:
        assert len(list(csv.DictReader(file))) > 50
    assert {"results.md", "config.json"} <= {path.name for path in folder.iterdir()}
    assert len(list((folder / "figures").glob("*.png"))) >= 3


@pytest.mark.slow
def test_the_study_of_pretrained_networks_runs_where_there_are_any(tmp_path):
    from modejax.studies.svr_pretrained import find_networks

    study = find_study("svr-pretrained")
    if not find_networks():
        with pytest.raises(InputError, match="no network to look at"):
            study(tmp_path / "out", quick=True, seeds=2, report=silent)
        assert not (tmp_path / "out").exists()
        return
    folder = study(tmp_path / "out", quick=True, seeds=2, report=silent)
    assert len(list((folder / "figures").glob("*.png"))) == 3
