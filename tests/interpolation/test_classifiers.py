"""Deep classifiers, encoders and the autoencoder."""

from collections.abc import Callable

import numpy as np
import pytest

from modejax.data.prepared import find_prepared
from modejax.errors import InputError
from modejax.interpolation import (
    Built,
    act_mask,
    affine_maps,
    build_autoencoder,
    build_decoder,
    build_encoder,
    build_modes_pair,
    code_measures,
    direct_classifier,
    find_slabs,
    hidden_units,
    interp_matrix,
    off_block_energy,
    one_hot,
    outputs,
    polytope_classifier,
    slab_classifier,
    spectrum,
    target_code,
)

rng = np.random.default_rng(0)
X, y = rng.standard_normal((300, 6)), np.concatenate([np.arange(4), rng.integers(0, 4, 296)])
H = one_hot(y, 4)
ALL: list[Callable[..., Built]] = [direct_classifier, slab_classifier, polytope_classifier]


def rings(seed):
    draw = np.random.default_rng(seed)
    label = np.arange(300) % 2
    radius, angle = draw.uniform(0, 0.8, 300) + 1.2 * label, draw.uniform(0, 2 * np.pi, 300)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1), label


@pytest.mark.parametrize("build", ALL)
def test_random_labels_are_fitted(build):
    built = build(X, y)
    assert np.abs(outputs(built.network, built.params, X) - H).max() < 1e-9


@pytest.mark.parametrize("eta", [0.0, 0.3])
def test_slabs(eta):
    built = slab_classifier(X, y, eta=eta)
    runs = len(find_slabs(X, y).labels)
    assert [size.capacity for size in built.network.units] == [6, 2 * (runs - 1), runs, 4]  # pyright: ignore
    assert np.abs(outputs(*built, X) - H).max() < 1e-9
    second = hidden_units(*built, X)[0][1]
    assert act_mask(second.Z, 1e-9).sum() == 300  # density 1 / R
    found = spectrum(interp_matrix(second.Phi, bias=False))
    assert found.rank == runs
    sizes = second.Phi.sum(axis=0)
    values = np.linalg.svd(second.Phi, compute_uv=False)
    assert values[0] / values[-1] == pytest.approx(np.sqrt(sizes.max() / sizes.min()))


def test_slabs_stay_exact_under_displacements_up_to_eta_gaps():
    eta, seed = 0.3, np.random.default_rng(1)
    slabs = find_slabs(X, y)
    built = slab_classifier(X, y, eta=eta)
    reach = eta * (slabs.low - slabs.high).min()
    for _ in range(20):
        moved = seed.standard_normal(X.shape)
        along = moved @ slabs.direction
        moved += np.outer(seed.uniform(-1, 1, 300) * reach * (1 - 1e-6) - along, slabs.direction)
        assert np.abs(outputs(*built, X + moved) - H).max() < 1e-9
    far = X + np.outer(np.full(300, 3 * reach / eta), slabs.direction)
    assert np.abs(outputs(*built, far) - H).max() > 0.5


def test_separated_clusters_are_few_slabs_and_exact_in_float32():
    label = np.arange(200) % 3
    points = 20 * np.eye(3)[label] @ rng.standard_normal((3, 5)) + 0.3 * rng.standard_normal((200, 5))
    built = slab_classifier(points, label)
    assert [size.capacity for size in built.network.units[1:3]] == [4, 3]  # pyright: ignore
    assert np.abs(outputs(*built, points, float32=True) - one_hot(label, 3)).max() < 1e-5


@pytest.mark.parametrize("seed", range(5))
def test_one_polytope_is_enough_for_a_ring_around_a_disc(seed):
    points, label = rings(seed)
    built = polytope_classifier(points, label)
    assert built.network.units[2].capacity == 1  # pyright: ignore
    assert built.network.units[1].capacity <= 8  # pyright: ignore
    assert np.abs(outputs(*built, points) - one_hot(label, 2)).max() < 1e-9


@pytest.mark.parametrize("default", range(4))
def test_polytopes_keep_their_word_for_every_default_class(default):
    built = polytope_classifier(X, y, default=default)
    assert np.abs(outputs(*built, X) - H).max() < 1e-9
    assert len(built.network.units) == 5  # clusters of one class overlap, so a third layer joins them  # pyright: ignore


def test_one_mode_and_one_less_than_classes_interpolate_any_labels():
    built = build_modes_pair(X, y)
    modes = built.network.modes(built.params)
    assert [each.weight.size for each in modes[:2] if each is not None] == [1, 3]
    assert np.abs(outputs(*built, X) - H).max() < 1e-8
    W1, W2 = (W for W, _ in affine_maps(*built)[:2])
    assert (np.linalg.matrix_rank(W1), np.linalg.matrix_rank(W2)) == (1, 3)


def test_orthogonal_codes_and_the_autoencoder():
    points, label = rng.standard_normal((120, 8)), np.arange(120) % 4
    code = outputs(*build_encoder(points, label), points)
    assert np.abs(code - target_code(label)).max() < 1e-9
    found = code_measures(code, label, points)
    assert found.beta < 1e-16
    assert (found.rank, found.distinct, found.jaccard) == (4, 120, 0.0)
    assert found.separable == (True,) * 4
    built = build_autoencoder(points, label)
    assert [size.capacity for size in built.network.units] == [8, 119, 4, 120, 8]  # pyright: ignore
    layers, decoded = hidden_units(*built, points)
    assert np.abs(decoded - points).max() < 1e-8
    assert off_block_energy(layers[2].Phi, label) < 1e-16
    # K blocks of n / K: a K^2 better condition than one list.
    exact = hidden_units(*build_decoder(target_code(label), points), target_code(label))[0][0].Phi
    assert spectrum(interp_matrix(exact, bias=False)).rank == 120
    one_list = spectrum(np.tril(np.cumsum(np.tril(np.ones((120, 120))), axis=0))).condition
    assert spectrum(interp_matrix(exact, bias=False)).condition < one_list / 4


@pytest.mark.parametrize("classes", [2, 3, 7, 12, 30])
def test_two_numbers_part_any_number_of_classes(classes):
    points, label = rng.standard_normal((120, 8)), np.arange(120) % classes
    code = outputs(*build_encoder(points, label, "ovr2"), points)
    found = code_measures(code, label, points)
    assert found.separable == (True,) * classes
    assert found.distinct == 120


@pytest.mark.parametrize("build", [*ALL, build_encoder, build_autoencoder])
def test_bad_labels_are_refused(build):
    points = X[:30]
    for label, words in (
        (np.zeros(30, int), "at least 2 classes"),
        (np.arange(30) + 1, "31 classes and 30 points"),
        (np.full(30, -1), "integers 0..K-1"),
        (np.linspace(0, 1, 30), "integers 0..K-1"),
        (np.where(np.arange(30) % 2, 2, 0), "have no points"),
    ):
        with pytest.raises(InputError, match=words):
            build(points, label)
    with pytest.raises(InputError, match="rows 2 and 30 are the same point"):
        build(np.vstack([points, points[2]]), np.append(np.arange(30) % 2, 1))
    holed = points.copy()
    holed[5] = np.inf
    with pytest.raises(InputError, match="not finite"):
        build(holed, np.arange(30) % 2)


@pytest.mark.parametrize("build", ALL)
def test_near_duplicates_of_other_classes_are_refused(build):
    points = np.vstack([X[:20], X[4] * (1 + 1e-16) + 5e-17])
    label = np.append(np.arange(20) % 2, 1)
    with pytest.raises(InputError, match=r"same point|apart|coincide|equal projections"):
        build(points, label)


def test_codes_of_another_form_are_refused():
    with pytest.raises(InputError, match="exactly one positive entry"):
        build_decoder(np.ones((3, 2)) * np.arange(1, 4)[:, None], np.eye(3))
    with pytest.raises(InputError, match="same point"):
        build_decoder(np.array([[1.0, 0.0], [1.0, 0.0]]), np.eye(2))
    with pytest.raises(InputError, match="unknown mode"):
        build_encoder(X, y, "pca")  # pyright: ignore[reportArgumentType]


@pytest.mark.slow
@pytest.mark.skipif(find_prepared("mnist") is None, reason="needs MNIST: set MODEJAX_DATA_DIR")
def test_a_thousand_mnist_images():
    """Run with `pytest -m slow tests/interpolation`."""
    from modejax.data import load_dataset

    data = load_dataset("mnist")
    points, label = data.x_train[:1000] * data.scale, data.y_train[:1000]
    for build in ALL:
        assert np.abs(outputs(*build(points, label), points) - one_hot(label, 10)).max() < 1e-8
