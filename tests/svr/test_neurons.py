"""Spectral neurons: every way gives the singular triples, clusters are turned, and what is read off edges is right."""

import itertools
import math

import numpy as np
import pytest

from modejax.errors import InputError
from modejax.svr import dead_channels, derived, haar, near_kernel, near_kernel_block, neurons, spectral_layer, svr
from modejax.svr.neurons import clusters, singular_triples


def check(A: np.ndarray, kept: int | None, route: str, tolerance: float) -> None:
    U, S, V, found = singular_triples(A, kept)
    r = len(S)
    assert found == route
    np.testing.assert_allclose(S, np.linalg.svd(A, compute_uv=False)[:r], rtol=tolerance, atol=1e-12 * S[0])
    np.testing.assert_allclose(U.T @ U, np.eye(r), atol=tolerance)
    np.testing.assert_allclose(V.T @ V, np.eye(r), atol=tolerance)
    np.testing.assert_allclose(A @ V, U * S, atol=tolerance * S[0])


def test_every_way_gives_singular_triples(monkeypatch):
    rng = np.random.default_rng(0)
    check(rng.standard_normal((20, 50)), None, "gram", 1e-10)
    check(rng.standard_normal((50, 20)), 7, "gram", 1e-10)
    low = rng.standard_normal((20, 5)) @ rng.standard_normal((5, 30))  # the Gram matrix loses the rest
    check(low, 5, "exact", 1e-10)
    monkeypatch.setattr(neurons, "LARGEST_EXACT", 100)
    U, V = haar(rng, 150, 150), haar(rng, 180, 150)
    falling = (U * 0.9 ** np.arange(150)) @ V.T
    check(falling, 10, "krylov", 1e-8)
    layer = spectral_layer(falling.astype(np.float32), max_neurons=10)
    assert layer.residual < 1e-5
    assert layer.S.dtype == np.float32
    noise = rng.standard_normal((150, 180))
    flat = spectral_layer(noise, max_neurons=10)
    exact = np.abs(flat.S / np.linalg.svd(noise, compute_uv=False)[:10] - 1).max()
    assert 0 < flat.residual < 0.2
    assert 1e-6 < exact < 0.1  # a flat spectrum is not resolved, and the residual says so


def test_patterns_of_equal_singular_values_are_not_those_of_the_canonical_basis():
    rng = np.random.default_rng(0)
    kernel = np.zeros((40, 60))
    kernel[:20] = rng.standard_normal((20, 60))  # twenty channels are never written
    layer = spectral_layer(kernel)
    assert (layer.cluster[20:] == layer.cluster[20]).all()
    assert len(np.unique(layer.cluster)) == 21
    dead = layer.U[20:, 0, 20:]
    np.testing.assert_allclose(dead.T @ dead, np.eye(20), atol=1e-12)
    assert np.abs(dead).max() < 0.9  # LAPACK returns unit vectors here
    assert clusters(np.array([3.0, 3.0 * (1 - 1e-7), 1.0])).tolist() == [0, 0, 1]
    E = rng.uniform(size=(3, 40))
    sums = derived.aggregate(E, np.array([0, 0, 1]), layer.cluster)
    assert sums.shape == (2, 21)
    assert sums[1, 20] == pytest.approx(E[2, 20:].sum())


def test_directions_that_a_float32_kernel_does_not_know_are_one_cluster():
    rng = np.random.default_rng(0)
    kernel = (rng.standard_normal((64, 5)) @ rng.standard_normal((5, 64))).astype(np.float32)
    layer = spectral_layer(kernel)
    assert len(np.unique(layer.cluster)) == 6
    assert (layer.cluster[5:] == 5).all()


def planted_chain(rng: np.random.Generator, cosine: float = 0.9) -> list[np.ndarray]:
    """Five matrices of 64 units; neuron 5 of each layer is read by neuron 5 of the next."""
    kernels, last = [], haar(rng, 64)[:, 5]
    for _ in range(5):
        U, V = haar(rng, 64), haar(rng, 64)
        side = haar(rng, 64)[:, 0]
        side = side - last * (last @ side)
        V[:, 5] = cosine * last + math.sqrt(1 - cosine**2) * side / np.linalg.norm(side)
        V = np.linalg.qr(np.roll(V, -5, axis=1))[0]
        V = np.roll(V, 5, axis=1)
        kernels.append((U * np.linspace(3, 1, 64)) @ V.T)
        last = U[:, 5]
    return kernels


def test_a_planted_chain_is_recovered_and_noise_has_none():
    rng = np.random.default_rng(0)
    chain = svr(planted_chain(rng)).dominant_chain()
    assert chain.neurons == (5,) * 5
    assert chain.log_p < math.log(1e-6)
    assert chain.weakest > 0.6
    assert chain.product == pytest.approx(math.prod(chain.edges))
    noise = [svr([rng.standard_normal((24, 24)) for _ in range(4)]) for _ in range(60)]
    # The corrected p of the best chain is conservative: at most 5 % by chance, 60 draws, 4 standard errors.
    assert sum(each.dominant_chain().log_p < math.log(0.05) for each in noise) <= 9
    leading = np.array([each.leading_chain().log_p for each in noise])
    assert abs((leading < math.log(0.2)).mean() - 0.2) < 4 * math.sqrt(0.16 / 60)


def test_the_dominant_chain_is_the_best_of_all():
    rng = np.random.default_rng(0)
    sizes = (3, 4, 2, 3)
    log_p = [-rng.exponential(size=(b, a)) for a, b in itertools.pairwise(sizes)]
    edges = [np.exp(each) for each in log_p]
    found = derived.dominant_chain(edges, log_p)
    totals = {
        path: sum(log_p[k][path[k + 1], path[k]] for k in range(3))
        for path in itertools.product(*(range(n) for n in sizes))
    }
    assert found.neurons == min(totals, key=totals.__getitem__)


@pytest.mark.parametrize("p", [10, 30, 50])
def test_internal_dimensions_of_planted_blocks_are_exact_and_one_less_in_the_released_code(p):
    rng = np.random.default_rng(p)
    Q = np.zeros((100, 100))
    Q[:p, :p], Q[p:, p:] = haar(rng, p), haar(rng, 100 - p)
    found = derived.internal_dimension(Q**2, 100)
    assert found[:2] == (p, p)
    assert found.significant
    assert found.excess == pytest.approx(p * (100 - p), abs=1e-6)
    assert derived.internal_dimension(Q**2, 100, released=True)[:2] == (p - 1, p - 1)


@pytest.mark.parametrize(("c", "z", "n", "m"), [(40, 1, 40, 40), (24, 3, 72, 24), (40, 4, 30, 12)])
def test_the_cut_of_internal_dimensions_is_passed_by_chance_in_at_most_one_of_twenty(c, z, n, m):
    rng = np.random.default_rng(0)
    passed = 0
    for _ in range(200):
        U, V = haar(rng, c, m), haar(rng, c * z, n).reshape(c, z, n)
        E = np.sum([(V[:, x].T @ U) ** 2 for x in range(z)], axis=0)
        passed += derived.internal_dimension(E, c, z).significant
    # 10 expected of complete frames, with four standard errors; fewer of leading neurons alone.
    assert (1 if n == c * z else 0) <= passed <= 22


def test_path_metrics_sum_over_all_paths():
    rng = np.random.default_rng(0)
    gains = [rng.uniform(size=n) for n in (3, 2, 4)]
    edges = [rng.uniform(size=(2, 3)), rng.uniform(size=(4, 2))]
    slow = sum(
        gains[0][a] * edges[0][b, a] * gains[1][b] * edges[1][c, b] * gains[2][c]
        for a in range(3)
        for b in range(2)
        for c in range(4)
    )
    assert derived.path_metric(gains, edges) == pytest.approx(slow)
    assert derived.path_metric(gains, edges, weighted=False) == pytest.approx((edges[1] @ edges[0]).sum())
    assert derived.path_metric(gains, edges, least=2.0) == 0
    with pytest.raises(InputError, match="do not form a chain"):
        derived.path_metric(gains, edges[:1])


def test_near_kernels_are_what_is_neither_written_nor_read():
    rng = np.random.default_rng(0)
    writer, reader = rng.standard_normal((32, 8, 3, 3)), rng.standard_normal((16, 32, 3, 3))
    chance = near_kernel_block(near_kernel(writer, reader).H, 8)
    assert 0.1 < chance.mass < 0.5
    assert chance.significant == 0
    assert chance.chance == 0.25
    gone = rng.permutation(32)[:8]
    dead_writer, dead_reader = writer.copy(), reader.copy()
    dead_writer[gone], dead_reader[:, gone] = 0, 1e-4 * dead_reader[:, gone]
    found = near_kernel(dead_writer, dead_reader)
    assert near_kernel_block(found.H, 8).mass == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose((found.H**2).sum(0), 1, atol=1e-10)
    np.testing.assert_allclose((found.H**2).sum(1), 1, atol=1e-10)
    assert (found.write_gain[-8:] < 1e-12).all()
    dead = dead_channels(dead_writer, dead_reader)
    assert dead.both == 8
    assert set(np.flatnonzero(dead.written)) == set(gone)
    narrow = near_kernel(rng.standard_normal((9, 2)), rng.standard_normal((3, 9)))  # fewer inputs than channels
    np.testing.assert_allclose((narrow.H**2).sum(0), 1, atol=1e-10)
    assert dead_channels(np.zeros((3, 2)), np.ones((2, 3))).written.all()
    holed = np.where(reader > 3, np.nan, reader)
    for call in (
        lambda: near_kernel(writer, reader[:, :4]),
        lambda: near_kernel(writer, holed),
        lambda: dead_channels(writer, reader[:, :1]),
        lambda: near_kernel_block(found.H, 0),
    ):
        with pytest.raises(InputError):
            call()


def test_derived_numbers_are_finite_where_there_is_nothing():
    flat = np.full((4, 4), 0.25)
    assert derived.node_intensity(flat, 4).tolist() == [0] * 4
    assert derived.entropy(np.zeros((2, 2))) == 0
    assert derived.entropy(flat, normalised=True) == pytest.approx(1)
    assert derived.internal_dimension(flat, 4).excess == pytest.approx(0)
    assert derived.adjacency_dimension(flat) == 4
    assert derived.adjacency_dimension(np.zeros((1, 1))) == math.inf
    with pytest.raises(InputError):
        derived.dominant_chain([], [])
