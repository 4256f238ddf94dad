"""Pictures of pruning curves, sparsities and scores of nodes."""

import numpy as np
import pytest
import xarray
from matplotlib.figure import Figure

from modejax import SweepConfig, run_sweep
from modejax.errors import InputError
from modejax.plots import plot_against, plot_node_scores, plot_pruning, save_figures, table, write_report


@pytest.fixture(scope="module")
def pruned():
    return run_sweep(
        SweepConfig(
            layer="spectral",
            layer_options=("variant=single_set",),
            widths=(6, 9),
            seeds=2,
            epochs=2,
            truncate_every=1,
            prune=("eigenvalue", "incoming", "weights"),
            percentiles=(0, 50, 90),
            prune_by_layer=True,
            buckets="one",
        )
    )


@pytest.fixture(scope="module")
def sparse():
    fields = {"layer": "dense", "widths": (6, 9), "seeds": 2, "epochs": 1, "mask": "frozen", "sparsities": (0, 80)}
    config = SweepConfig(**fields, buckets="one")  # pyright: ignore[reportArgumentType]
    return run_sweep(config)


def test_curves_are_means_over_seeds(pruned):
    axes = plot_pruning(pruned)
    assert [ax.get_title() for ax in axes] == ["N = 6", "N = 9"]
    lines = {line.get_label(): line for line in axes[1].lines}
    assert set(lines) == {"eigenvalue", "incoming", "incoming, dense", "weights", "weights, dense"}
    expected = 100 * pruned.first.pruning_accuracy.sel(width=9, score="eigenvalue").isel(truncation_epoch=-1).mean(
        "seed"
    )
    np.testing.assert_allclose(lines["eigenvalue"].get_ydata(), expected.values.ravel(), rtol=1e-5)
    np.testing.assert_array_equal(lines["eigenvalue"].get_xdata(), [0, 50, 90])


def test_curves_by_layer(pruned):
    ax = plot_pruning(pruned, by_layer=True)[0]
    lines = {line.get_label(): line for line in ax.lines}
    curves = pruned.first.pruning_accuracy_by_layer.sel(width=6).isel(truncation_epoch=-1)
    for score in ("incoming", "weights"):
        expected = 100 * curves.sel(score=score).mean("seed")
        np.testing.assert_allclose(lines[score].get_ydata(), expected.values.ravel(), rtol=1e-5)
    assert ax.get_xlabel() == "removed of each layer (%)"


def test_histograms_hold_every_node(pruned):
    axes = plot_node_scores(pruned, width=6)
    assert len(axes) == 2
    assert [patch.get_label() for patch in axes[0].patches] == ["epoch 1", "epoch 2"]
    heights = np.diff(axes[0].patches[0].get_xy()[:, 1])
    assert np.isfinite(heights).all()
    with pytest.raises(InputError, match="the result has no scores 'throughput'; it has eigenvalue, incoming"):
        plot_node_scores(pruned, score="throughput")


def test_accuracy_against_sparsity(sparse):
    ax = plot_against(sparse, "sparsity", modes=0)
    for line, width in zip(ax.lines, (6, 9), strict=True):
        expected = 100 * sparse.first.test_accuracy.sel(width=width).isel(epoch=-1).mean("seed").values.ravel()
        np.testing.assert_allclose(line.get_ydata(), expected, rtol=1e-5)  # pyright: ignore
    own = Figure().subplots()
    assert plot_against(sparse, "sparsity", own) is own
    # The baseline has no masks and is not drawn.
    assert [line.get_label() for line in own.lines] == ["N = 6", "N = 9"]


def test_a_table_has_a_row_for_each_sparsity(sparse):
    rows = [row for row in table(sparse) if row["network"] == "dense, frozen mask"]
    assert [(row["sparsity"], row["width"]) for row in rows] == [(0, 6), (0, 9), (80, 6), (80, 9)]
    counts = {row["sparsity"]: row["num_parameters"] for row in rows if row["width"] == 9}
    assert counts[0] == 64 * 9 + 81 + 90
    # A fifth of each map is trained.
    assert counts[80] == pytest.approx(0.2 * counts[0], abs=3)


def test_a_run_shows_them(pruned, sparse, tmp_path):
    names = [path.name for path in save_figures(pruned, tmp_path)]
    assert {"pruning.png", "pruning_by_layer.png", "node_scores.png"} < set(names)
    names = save_figures(sparse, tmp_path)
    assert "against_sparsity.png" in [path.name for path in names]
    assert not (tmp_path / "figures" / "pruning.png").exists()
    page = write_report(sparse, tmp_path, names).read_text()
    assert "sparsity (%)" in page
    assert "Accuracy against the share of weights masked" in page


def test_results_without_them_are_refused(pruned, sparse):
    with pytest.raises(InputError, match="Give prune="):
        plot_pruning(sparse)
    with pytest.raises(InputError, match="Give prune="):
        plot_node_scores(sparse)
    without = pruned.first.drop_vars("pruning_accuracy_by_layer")
    with pytest.raises(InputError, match="Give prune_by_layer=True"):
        plot_pruning(pruned.result.assign({"spectral": xarray.DataTree(without)}), by_layer=True)
    with pytest.raises(InputError, match="no axis 'sparsity' to draw along; allowed: learning_rate, weight_decay"):
        plot_against(pruned, "sparsity")
    with pytest.raises(InputError, match="has 2 panels, got 1 axes"):
        plot_pruning(pruned, Figure().subplots())
