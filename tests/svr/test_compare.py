"""Two networks side by side, and spectra of layers: against closed forms, and on random matrices."""

import numpy as np
import pandas as pd
import pytest

from modejax.errors import InputError
from modejax.plots.svr_compare import plot_comparison
from modejax.svr import compare, haar, layer_spectra, spectral_layer, svr
from modejax.svr.compare import kernel_cka, principal_angles
from modejax.svr.spectra import bulk_edge, fit_tail


def net(seed: int, scale: float = 1.0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    shapes = {"a": (24, 3, 3, 3), "b": (32, 24, 3, 3), "c": (10, 32)}
    return {f"{name}.weight": scale * rng.standard_normal(shape) for name, shape in shapes.items()}


def test_a_network_compared_with_itself_scaled_and_with_another():
    one = net(0)
    same = compare(one, net(0, 2.0))
    np.testing.assert_allclose(same.layers[["cka", "norm_ratio"]], [[1, 2]] * 3, atol=1e-9)
    np.testing.assert_allclose(same.layers.change, 1, atol=1e-9)
    np.testing.assert_allclose(same.layers[["angle_out", "angle_in"]], 0, atol=1e-5)
    assert (same.edges.common == same.edges.one).all()
    other = compare(one, net(1), leading=5)
    np.testing.assert_allclose(other.layers.angle_out, other.layers.random_out, rtol=0.25)
    assert (other.edges.common <= other.edges.by_chance + 6 * np.sqrt(other.edges.by_chance + 1)).all()
    assert list(other.edges.writer) == ["a", "b"]


def test_the_cka_of_factors_is_that_of_the_kernels():
    one, two = net(0), net(1)
    found = compare(one, two).layers.cka
    for row, key in zip(found, one, strict=True):
        assert row == pytest.approx(
            kernel_cka(one[key].reshape(len(one[key]), -1), two[key].reshape(len(two[key]), -1))
        )


def test_principal_angles_are_those_that_were_made():
    rng = np.random.default_rng(0)
    Q = haar(rng, 12)
    turned = np.stack(
        [np.cos(t) * Q[:, i] + np.sin(t) * Q[:, 6 + i] for i, t in enumerate(np.radians([10, 40, 80]))], 1
    )
    np.testing.assert_allclose(principal_angles(Q[:, :3], turned), [10, 40, 80], atol=1e-6)


def test_comparisons_are_drawn_saved_and_refused_in_words(tmp_path):
    found = compare(net(0), net(1))
    assert plot_comparison(found).shape == (3,)
    assert all(path.exists() for path in found.save(str(tmp_path)))
    assert pd.read_csv(tmp_path / "compared-layers.csv").layer.tolist() == ["a", "b", "c"]
    with pytest.raises(InputError, match="do not correspond"):
        compare(net(0), {"a.weight": np.ones((4, 3)), "b.weight": np.ones((2, 4))})
    with pytest.raises(InputError, match="no layers of both"):
        compare(net(0), net(1), names={"a": "z"})
    with pytest.raises(InputError, match="leading"):
        compare(net(0), net(1), leading=0)


def test_a_power_law_is_found_and_a_random_matrix_is_none():
    rng = np.random.default_rng(0)
    for alpha in (2.0, 3.5):
        x = (1 - rng.random(600)) ** (-1 / (alpha - 1))
        fit = fit_tail(x, samples=30)
        assert fit.alpha == pytest.approx(alpha, abs=4 * (alpha - 1) / np.sqrt(fit.size))
        assert fit.p > 0.05
    s = np.linalg.svd(rng.standard_normal((200, 300)), compute_uv=False)
    assert bulk_edge(s, 200, 300) == pytest.approx(np.sqrt(200) + np.sqrt(300), rel=0.03)
    # A uniform law is no power law with a heavy tail: its exponent is near 0.
    assert abs(fit_tail(rng.uniform(1, 2, 400), samples=0, least=390).alpha) < 0.6


def test_spectra_of_layers_have_closed_forms():
    rng = np.random.default_rng(0)
    kernel = haar(rng, 20)[:, :15] * np.linspace(3, 0.2, 15) @ haar(rng, 40)[:, :15].T
    planted = rng.standard_normal((40, 60)) + 40 * np.outer(
        *(v / np.linalg.norm(v) for v in (np.ones(40), np.ones(60)))
    )
    table = layer_spectra([spectral_layer(kernel, name="k"), spectral_layer(planted), spectral_layer(np.zeros((3, 4)))], samples=0)  # fmt: skip  # noqa: E501
    s = np.linspace(3, 0.2, 15)
    assert table["rank"].tolist() == [15, 40, 0]
    assert table.stable_rank[0] == pytest.approx((s**2).sum() / 9)
    assert table.energy_10[0] == pytest.approx((s[:10] ** 2).sum() / (s**2).sum())
    assert table.beyond_bulk[1] == 1
    assert np.isnan(table.alpha[2])
    assert svr([np.eye(3), np.eye(3)]).layers[0].name == table.layer[0].replace("k", "0")
