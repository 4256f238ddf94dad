import numpy as np
import pytest
import xarray
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from modejax.errors import InputError
from modejax.plots.members import diverged_text, headline, pick, spread


@given(
    hnp.arrays(
        np.float64,
        hnp.array_shapes(min_dims=2, max_dims=2, max_side=5),
        elements=st.one_of(st.floats(-1e3, 1e3), st.just(float("nan")), st.just(float("inf"))),
    )
)
def test_spread_is_mean_and_sample_deviation_of_the_finite_values(values):
    found = spread(xarray.DataArray(values, dims=("width", "seed")), 100.0)
    for row, mean, sd, count in zip(values, *found, strict=True):
        finite = 100 * row[np.isfinite(row)]
        assert count == finite.size
        assert np.isnan(mean) if finite.size == 0 else mean == pytest.approx(finite.mean(), abs=1e-6)
        assert np.isnan(sd) if finite.size < 2 else sd == pytest.approx(finite.std(ddof=1), abs=1e-6)


def test_spread_finds_the_seeds_wherever_they_are(build):
    result = build(widths=(8, 16), modes=(2, 3), seeds=3)
    accuracy = result["mode"].test_accuracy.isel(epoch=-1, learning_rate=0, weight_decay=0)
    np.testing.assert_array_equal(spread(accuracy).mean, spread(accuracy.transpose("width", "modes", "seed")).mean)
    np.testing.assert_array_equal(spread(accuracy).mean, spread(accuracy.transpose("seed", "width", "modes")).mean)


def test_a_diverged_member_counts_at_no_epoch(build):
    result = build(widths=(8,), modes=(2,), seeds=3, diverged=(1,))
    assert np.isfinite(result["mode"].test_accuracy.values[0, 0, 1, 0, 0, 0])  # on record up to the divergence
    data, dense, *_ = pick(result)
    assert dense is not None
    assert np.isnan(data.test_accuracy.values[0, 0, 1]).all()
    assert np.isfinite(data.test_accuracy.values[0, 0, [0, 2]]).all()
    assert np.isfinite(dense.test_accuracy.values).all()
    assert diverged_text(data.status).startswith("1 of 3 networks diverged")


def test_a_diverged_baseline_leaves_the_members_alone(build):
    data, dense, *_ = pick(build(widths=(8,), modes=(2,), seeds=2, diverged_dense=(0,)))
    assert dense is not None
    assert np.isfinite(data.test_accuracy.values).all()
    assert np.isnan(dense.test_accuracy.values[0, 0]).all()


def test_pairs_are_named_and_chosen(build):
    result = build(widths=(8,), modes=(2,), seeds=1, learning_rates=(0.01, 0.02), weight_decays=(0.0, 0.1))
    data = result["mode"]
    data.train_loss.values[...] = 1.0
    data.train_loss.values[:, :, :, 1, 0, -1] = 0.5
    assert pick(result).text == "learning rate 0.02, weight decay 0 (the best of 4 pairs by training loss)"
    data.train_loss.values[:, :, :, 0, 1, -1] = 0.4
    assert pick(result).text == "learning rate 0.01, weight decay 0.1 (the best of 4 pairs by training loss)"
    picked = pick(result, at={"learning_rate": 0.02, "weight_decay": 0.1})
    assert picked.text == "learning rate 0.02, weight decay 0.1 (one of 4 pairs)"
    np.testing.assert_array_equal(picked.data.test_accuracy.values, result["mode"].test_accuracy.values[..., 1, 1, :])


@pytest.mark.parametrize(("rate", "decay", "words"), [(0.5, None, "0.01, 0.02"), (None, 0.5, "0, 0.1")])
def test_an_unknown_pair_is_an_error_that_names_what_there_is(build, rate, decay, words):
    result = build(widths=(8,), modes=(2,), seeds=1, learning_rates=(0.01, 0.02), weight_decays=(0.0, 0.1))
    with pytest.raises(InputError, match=rf"0\.5; it has {words}"):
        pick(result, at={"learning_rate": rate, "weight_decay": decay})


def test_something_else_is_not_a_result():
    with pytest.raises(InputError, match="no test_accuracy, status; it holds none"):
        pick(xarray.Dataset())


def test_a_dollar_sign_in_a_name_starts_no_formula(build):
    result = build(widths=(8,), modes=(2,), seeds=1)
    result["mode"].attrs["dataset"] = "a$b_c$"
    assert headline(result["mode"].to_dataset()) == r"a\$b_c\$, mode layers, 2 hidden layers"
