"""Several arms, further axes, rates chosen on held-out data, and real values."""

import numpy as np
import pytest
import xarray

from modejax import plots
from modejax.errors import InputError
from modejax.plots.members import pick


def real_valued(result):
    """Make the result of a sweep whose targets are real values: losses instead of accuracies."""
    nodes = {}
    for name, node in result.children.items():
        data = node.to_dataset()
        data = data.assign(test_accuracy=xarray.full_like(data.test_accuracy, np.nan))
        data = data.rename({n: n.replace("accuracy", "loss") for n in data if str(n).startswith("truncation_accuracy")})
        data.test_loss.attrs["units"] = data.train_loss.attrs["units"] = "1"
        nodes[name] = xarray.DataTree(data.assign_attrs(targets="values"))
    return xarray.DataTree(xarray.Dataset(attrs=result.attrs | {"targets": "values"}), children=nodes)


def test_arms_are_drawn_against_parameters(build):
    result = build(widths=(8, 16), modes=(2, 5), seeds=3, arms={"wide": {"layer": "dense", "widths": (30, 40)}})
    ax = plots.plot_arms(result)
    assert [text.get_text() for text in ax.figure.legends[0].get_texts()] == ["mode", "wide", "dense baseline"]
    drawn = [container.lines[0] for container in ax.containers]  # pyright: ignore
    assert len(drawn) == 2 + 1 + 1  # a line a width where modes vary
    wide = result["wide"]
    np.testing.assert_array_equal(drawn[2].get_xdata(), wide.num_parameters.values[:, 0])
    means = 100 * wide.test_accuracy.isel(epoch=-1).mean("seed").values.ravel()
    np.testing.assert_allclose(np.asarray(drawn[2].get_ydata(), float), means)
    with pytest.raises(InputError, match="no arm has the axis 'sparsity'"):
        plots.plot_arms(result, sparsity=3)


def test_an_arm_is_picked_by_name_and_has_the_baseline_where_widths_agree(build):
    result = build(widths=(8, 16), modes=(2, 5), seeds=2, arms={"wide": {"widths": (16, 40)}})
    found = pick(result, "wide")
    assert found.dense is not None
    assert found.data.attrs["arm"] == "wide"
    dense = found.dense.test_accuracy.isel(epoch=-1).mean("seed")
    expected = result["baseline"].test_accuracy.isel(epoch=-1).mean("seed").sel(width=16).item()
    assert dense.sel(width=16).item() == pytest.approx(expected)
    assert np.isnan(dense.sel(width=40).item())
    assert "arm wide" in plots.plot_accuracy(result, arm="wide").figure.get_suptitle()
    with pytest.raises(InputError, match="no arm 'wild'; allowed: baseline, mode, wide"):
        plots.plot_accuracy(result, arm="wild")


def test_errors_against_examples_are_means_on_logarithmic_axes(build):
    result = build(widths=(8, 16), modes=(2, 5), seeds=3, train_examples=(1000, 200))
    ax = plots.plot_error_against_examples(result)
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    assert [line.get_label() for line in ax.lines] == ["mode, P = 2", "mode, P = 5", "dense baseline"]
    assert len(ax.collections) == 3
    last = result["mode"].test_accuracy.isel(epoch=-1, learning_rate=0, weight_decay=0).sel(width=16, modes=5)
    np.testing.assert_array_equal(ax.lines[1].get_xdata(), [200, 1000])
    expected = 100 - 100 * last.mean("seed").sel(train_examples=[200, 1000]).values
    np.testing.assert_allclose(np.asarray(ax.lines[1].get_ydata(), float), expected)
    assert plots.plot_error_against_examples(result, loss=True).get_ylabel() == "test loss (nat)"
    with pytest.raises(InputError, match="no arm has the axis train_examples"):
        plots.plot_error_against_examples(build(widths=(8,), modes=(2,), seeds=1))


def test_rates_are_the_best_on_held_out_data_and_said_so(build):
    fields = {"widths": (8,), "modes": (2, 5), "seeds": 2, "learning_rates": (0.1, 0.2)}
    result = build(**fields, validation=0.2, baseline_learning_rates=(0.3, 0.4))
    for name, best in (("mode", 1), ("baseline", 0)):
        held_out = result[name].validation_accuracy.values
        held_out[...] = 0.5
        held_out[:, :, :, best] = 0.9
    found = pick(result)
    assert found.text == "learning rate 0.2, weight decay 0.001 (the best of 2 pairs on held-out data)"
    assert found.dense_text == "dense: learning rate 0.3, weight decay 0.0001 (the best of 2 pairs on held-out data)"
    np.testing.assert_array_equal(found.data.test_accuracy, result["mode"].test_accuracy.values[:, :, :, 1, 0])
    # Asked for, a rate is that rate; without held-out data it is that of the lowest training loss.
    assert "one of 2 pairs" in pick(result, at={"learning_rate": 0.1}).text
    result = build(**fields, baseline_learning_rates=(0.3, 0.4))
    for name, best in (("mode", 0), ("baseline", 1)):
        result[name].train_loss.values[...] = 1.0
        result[name].train_loss.values[:, :, :, best] = 0.5
    found = pick(result)
    assert "0.1, weight decay 0.001 (the best of 2 pairs by training loss)" in found.text
    assert "0.4, weight decay 0.0001 (the best of 2 pairs by training loss)" in found.dense_text


def test_real_values_are_drawn_and_reported_by_their_loss(build, tmp_path):
    result = real_valued(build(widths=(8, 16), modes=(2, 5), seeds=2, epochs=4, truncate_every=2))
    ax = plots.plot_accuracy(result)
    assert ax.get_ylabel() == "test loss (no unit)"
    means = result["mode"].test_loss.isel(epoch=-1).mean("seed").values[0, :, 0, 0]
    np.testing.assert_allclose(np.asarray(ax.lines[0].get_ydata(), float), means)
    assert [each.get_ylabel() for each in plots.plot_learning(result)] == [
        "train loss (no unit)",
        "test loss (no unit)",
    ]
    assert {each.get_ylabel() for each in plots.plot_truncation(result)} == {"test loss (no unit)"}
    assert plots.plot_emergence(result).get_ylabel() == "test loss (no unit)"
    rows = plots.table(result)
    assert {row["measure"] for row in rows} == {"test_loss"}
    assert rows[0]["mean"] == pytest.approx(means[0])
    assert not any(row["diverged"] for row in rows)
    text = plots.write_report(result, tmp_path, []).read_text()
    page = text[: text.index("<summary>Config")]
    assert "Final test loss" in page
    assert "accuracy" not in page
    assert "diverged" not in page.replace("that did not diverge", "")


def test_the_page_lists_arms_and_their_rows(build, tmp_path):
    result = build(widths=(8,), modes=(2, 5), seeds=2, arms={"other": {"learning_rates": (0.1, 0.2)}})
    names = [path.stem for path in plots.save_figures(result, tmp_path)]
    assert names[0] == "arms"
    assert {"truncation-mode", "truncation-other", "importance-other", "accuracy_rates-other"} < set(names)
    text = plots.write_report(result, tmp_path, []).read_text()
    for words in ("Arm mode", "Arm other", "Dense baseline", "<th>arm</th>"):
        assert words in text
    assert [row["arm"] for row in plots.table(result)] == ["mode"] * 2 + ["other"] * 4 + ["baseline"]
