"""Curves of accuracy and loss against the modes kept, against slow and obvious NumPy."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_params import random_params

from modejax import layers
from modejax.errors import InputError
from modejax.extent import Extent
from modejax.networks import Network, conv, mlp, residual, tied
from modejax.training import cross_entropy, squared_error
from modejax.truncation import Cut, Order, importance, kept_curves, mode_scores, places_in_order, ranked

ROWS, FILLING = 100, 10


def slow_curves(kernels, biases, order, kept, cut, x, y, activation, right):
    """Rebuild the kernels of the network for every k from the modes kept, and count right answers one by one."""

    def rebuilt(index, k):
        modes, scores = order[index]
        if modes is None:
            return kernels[index]
        active = [mu for mu in range(len(scores)) if modes.active[mu]]
        leading = sorted(active, key=lambda mu: -scores[mu] if cut == "keep-leading" else scores[mu])
        kernel = np.zeros_like(kernels[index])
        for mu in leading[:k]:
            kernel += modes.weight[mu] * np.outer(modes.xi_out[:, mu], modes.xi_in[mu])
        return kernel

    def count(maps):
        total = 0
        for example, label in zip(x, y, strict=True):
            h = example
            for index, kernel in enumerate(maps):
                h = kernel @ h + biases[index]
                if index < len(maps) - 1:
                    h = activation(h)
            total += bool(right(h, label))
        return total

    one_layer = [
        [
            -1 if modes is None else count([rebuilt(j, k) if j == index else kernels[j] for j in range(len(kernels))])
            for k in kept
        ]
        for index, (modes, _) in enumerate(order)
    ]
    return one_layer, [count([rebuilt(j, k) for j in range(len(kernels))]) for k in kept]


def examples(features, outputs, signs=False):
    rng = np.random.default_rng(7)
    x = rng.normal(size=(ROWS, features))
    y = rng.choice([-1, 1], ROWS) if signs else rng.integers(0, outputs, ROWS)
    return x, y.astype(np.int32), np.arange(ROWS) < ROWS - FILLING


def compare(
    network,
    params,
    order: Order = "importance",
    cut: Cut = "keep-leading",
    kept=None,
    loss=cross_entropy,
    activation=None,
):
    """Assert that the curves are the slow ones, for whatever order the scores give; return them."""
    signs = loss is squared_error
    x, y, counts = examples(network.units[0].capacity, network.units[-1].capacity, signs)
    # The last rows only fill up the block, with inputs that no sum may see.
    block = np.where(counts[:, None], x, 1e3)

    @jax.jit
    def fast(params, x, y, counts):
        modes = network.modes(params)
        pairs = [None if m is None else (m, mode_scores(m, order, jax.random.key(i))) for i, m in enumerate(modes)]
        in_order = [None if pair is None else ranked(*pair, cut) for pair in pairs]
        scores = [None if pair is None else pair[1] for pair in pairs]
        curves = kept_curves(network, loss, params, in_order, (x, y, counts), kept)
        return curves, modes, scores, network.kernels(params), network.biases(params)

    curves, modes, scores, kernels, biases = jax.tree.map(np.asarray, fast(params, block, y, counts))
    biases = [0 if bias is None else bias for bias in biases]
    largest = max(len(s) for s in scores if s is not None)
    layer, together = slow_curves(
        kernels,
        biases,
        list(zip(modes, scores, strict=True)),
        range(largest + 1) if kept is None else kept,
        cut,
        x[counts],
        y[counts],
        activation or (lambda z: np.maximum(z, 0)),
        (lambda z, t: np.sign(z[0]) == t) if signs else (lambda z, t: np.argmax(z) == t),
    )
    assert curves.layer.tolist() == layer
    assert curves.together.tolist() == together
    assert (curves.layer.dtype, curves.together.dtype) == (np.int32, np.int32)
    return curves


# No two labels are near a tie in float64, so that counts must agree exactly.
NETWORKS = {
    "mode": lambda: mlp([6, 8, 7, 3], layers.Mode(), 5),
    "mode scaled": lambda: mlp([6, 8, 3], layers.Mode(gauge="scaled"), 4),
    "tied": lambda: tied([6, 8, 7, 3], 5),
    "low_rank": lambda: mlp([6, 8, 7, 3], layers.LowRank(), 4),
    "svd of the full ranks": lambda: mlp([6, 8, 7, 3], layers.SVD()),
    "a single map": lambda: mlp([6, 3], layers.Mode(), 4),
    "dense first": lambda: mlp([6, 8, 7, 3], [layers.Dense(), layers.Mode(), layers.Mode()], [None, 5, 3]),
    "dense with a bias between": lambda: mlp(
        [6, 8, 7, 3], [layers.Mode(), layers.Dense(use_bias=True), layers.SVD()], [2, None, 3]
    ),
    "dense last": lambda: mlp(
        [6, 8, 7, 3], [layers.LowRank(), layers.Mode(), layers.Dense(start="paper")], [6, 2, None]
    ),
    "biased": lambda: mlp([6, 8, 7, 3], layers.Biased(layers.Mode()), 4),
    "many modes, few outputs": lambda: mlp([6, 8, 7, 3], layers.Mode(), 12),
}


@pytest.mark.parametrize(
    "name",
    [
        n if n in ("mode scaled", "dense with a bias between") else pytest.param(n, marks=pytest.mark.slow)
        for n in NETWORKS
    ],
)
def test_the_curves_are_those_of_kernels_rebuilt_for_every_cut(name, float64):
    network = NETWORKS[name]()
    params = random_params(network)
    curves = compare(network, params)
    # A curve that does not move would prove nothing.
    assert len(np.unique(curves.together)) > 1


@pytest.mark.parametrize(
    ("order", "cut"), [("weight", "remove-leading"), ("size", "keep-leading"), ("random", "keep-leading")]
)
def test_the_curves_of_every_order_and_cut(order, cut, float64):
    network = NETWORKS["dense with a bias between"]()
    compare(network, random_params(network, seed=3), order, cut)


@pytest.mark.parametrize("kept", [[0], [1, 3], [0, 4, 5, 9, 100], [7, 8]])
def test_the_curves_at_some_numbers_of_modes(kept, float64):
    network = mlp([6, 8, 3], layers.Mode(), [5, 3])
    compare(network, random_params(network), kept=kept)


def test_all_modes_kept_is_the_whole_network_and_none_decides_for_the_first_class(float64):
    network = NETWORKS["mode"]()
    params = random_params(network)
    x, y, counts = examples(6, 3)
    curves = compare(network, params)
    logits = np.asarray(jax.jit(network.apply)(params, x))
    whole = logits.argmax(axis=1)
    expected = ((whole == y) & counts).sum()
    assert curves.layer[:, -1].tolist() == [expected] * 3
    assert int(curves.together[-1]) == expected
    # Without any mode of a map all logits are 0, and the first of equal logits decides.
    first = ((y == 0) & counts).sum()
    assert curves.layer[:, 0].tolist() == [first] * 3
    assert int(curves.together[0]) == first


def test_the_decision_by_sign(float64):
    network = mlp([2, 8, 1], layers.Mode(), 4, "tanh")
    curves = compare(network, random_params(network), loss=squared_error, activation=np.tanh)
    # Nothing kept gives an output of exactly 0, which is wrong for either label.
    assert int(curves.together[0]) == 0
    assert len(np.unique(curves.together)) > 2


@pytest.mark.parametrize(("activation", "cut"), [("relu", "keep-leading"), ("sigmoid", "remove-leading")])
def test_the_curves_of_a_padded_network_are_those_of_the_network_alone(activation, cut, float64):
    sigmoid = {"relu": None, "sigmoid": lambda z: 1 / (1 + np.exp(-z))}[activation]
    native = mlp([6, 8, 3], [layers.Mode(), layers.SVD()], [5, 4], activation)
    params = random_params(native)
    alone = compare(native, params, cut=cut, activation=sigmoid)

    full = mlp([6, 11, 3], [layers.Mode(), layers.SVD()], [9, 4], activation)
    shapes = jax.eval_shape(lambda: full.init(jax.random.key(0)))
    padded = jax.tree.map(
        lambda shape, small: jnp.zeros(shape.shape, shape.dtype).at[tuple(slice(n) for n in small.shape)].set(small),
        shapes,
        params,
    )

    @jax.jit
    def curves(width, p, x, y, counts):
        wide = mlp([6, Extent(11, width), 3], [layers.Mode(), layers.SVD()], [Extent(9, p), 4], activation)
        order = [ranked(m, importance(m), cut) for m in wide.modes(padded) if m is not None]
        return kept_curves(wide, cross_entropy, padded, order, (x, y, counts))

    result = curves(jnp.int32(8), jnp.int32(5), *examples(6, 3))
    np.testing.assert_array_equal(result.layer[:, :6], alone.layer)
    np.testing.assert_array_equal(result.together[:6], alone.together)
    # Padding comes last and changes nothing any more.
    np.testing.assert_array_equal(result.layer[:, 6:], np.asarray(alone.layer)[:, -1:].repeat(4, axis=1))
    np.testing.assert_array_equal(result.together[6:], np.asarray(alone.together)[-1:].repeat(4))


@pytest.mark.slow
def test_the_curves_of_several_members_at_once_are_those_of_each(float64):
    network = NETWORKS["mode scaled"]()
    members = [random_params(network, seed) for seed in range(3)]
    data = tuple(jnp.asarray(each) for each in examples(6, 3))

    def curves(params, kept):
        order = [ranked(m, importance(m)) for m in network.modes(params) if m is not None]
        return kept_curves(network, cross_entropy, params, order, data, kept)  # pyright: ignore

    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *members)
    for kept in (None, [1, 3]):
        one = jax.jit(lambda params, kept=kept: curves(params, kept))
        together = jax.jit(jax.vmap(lambda params, kept=kept: curves(params, kept)))(stacked)
        for index, params in enumerate(members):
            alone = one(params)
            np.testing.assert_array_equal(together.layer[index], alone.layer)
            np.testing.assert_array_equal(together.together[index], alone.together)


def no_curves(layer, kept, order=None):
    network = mlp([4, 3, 2], layer, 3)
    params = random_params(network)
    modes = list(network.modes(params)) if order is None else order
    x, y = jnp.ones((2, 4)), jnp.zeros(2, jnp.int32)
    return kept_curves(network, cross_entropy, params, modes, (x, y, jnp.full(2, True)), kept)


def test_a_network_without_modes_has_no_curves():
    with pytest.raises(InputError, match="at least one map is a sum of modes"):
        no_curves(layers.Dense(), None)


@pytest.mark.parametrize("kept", [[], [-1, 2], [1, 1], [3, 2], [0, 2, 1]])
def test_numbers_of_modes_that_do_not_increase_from_0_are_refused(kept):
    with pytest.raises(InputError, match="increasing numbers from 0"):
        no_curves(layers.Mode(), kept)


# --- chains with more than maps and activations, and networks that are no chain -----------------------------------

CHAINS = {
    "mlp": lambda: mlp([20, 8, 7, 3], [layers.Biased(layers.Mode()), layers.Dense(), layers.SVD()], [3, None, 2]),
    "residual": lambda: residual([20, 6, 6, 6, 3], layers.Biased(layers.Mode()), 4),
    "tied": lambda: tied([20, 6, 5, 3], 4),
    "conv": lambda: conv(
        (5, 4, 1),
        (4, 5),
        3,
        layers.Biased(layers.ModeConv((3, 3), strides=(1, 2))),
        layers.Mode(),
        [3, 4, 2],
        norm="layer",
    ),
    "conv dense first": lambda: conv(
        (5, 4, 1),
        (4, 4),
        3,
        [layers.DenseConv((3, 3)), layers.LowRankConv((2, 2))],
        layers.LowRank(),
        [None, 4, 2],
        norm="group",
        groups=2,
        pool="mean",
    ),
}


QUICK = (("mlp", "keep-leading"), ("conv dense first", "remove-leading"))


@dataclasses.dataclass(frozen=True)
class Whole(Network):
    """A chain that says of itself only what any network with named maps says."""

    inner: Network

    def init(self, key):
        return self.inner.init(key)

    def apply(self, params, x):
        return self.inner.apply(params, x)

    @property
    def map_names(self):
        return self.inner.map_names

    def kernels(self, params):
        return self.inner.kernels(params)

    def modes(self, params):
        return self.inner.modes(params)

    def cut(self, params, keep):
        return self.inner.cut(params, keep)


@pytest.mark.parametrize(
    ("name", "cut"),
    [
        pytest.param(name, cut, marks=[] if (name, cut) in QUICK else pytest.mark.slow)
        for name in CHAINS
        for cut in ("keep-leading", "remove-leading")
    ],
)
def test_nested_curves_are_those_of_a_whole_evaluation_of_each_cut(name, cut, float64):
    """Every map and every number of modes, in the fast path, by `cut` and `apply`, and in the path of any network."""
    network = CHAINS[name]()
    params = random_params(network)
    x, y, counts = examples(20, 3)
    data = jnp.asarray(np.where(counts[:, None], x, 1e3)), jnp.asarray(y), jnp.asarray(counts)
    modes = network.modes(params)
    scores = [None if m is None else mode_scores(m, "size") for m in modes]
    pairs = list(zip(modes, scores, strict=True))
    order = [None if m is None else ranked(m, s, cut) for m, s in pairs]  # pyright: ignore
    places = [None if m is None else places_in_order(m, s, cut) for m, s in pairs]  # pyright: ignore
    fast = jax.jit(lambda p: kept_curves(network, cross_entropy, p, order, data))(params)
    whole = jax.jit(lambda p: kept_curves(Whole(network), cross_entropy, p, order, data, places=places))(params)
    np.testing.assert_array_equal(fast.layer, whole.layer)
    np.testing.assert_array_equal(fast.together, whole.together)

    apply = jax.jit(lambda keep: network.apply(network.cut(params, keep), jnp.asarray(x)))

    def right(keep):
        outputs = np.asarray(apply(keep))
        return int(((outputs.argmax(axis=1) == y) & counts).sum())

    for k in range(fast.together.shape[0]):
        kept = []
        for m, s in pairs:
            if m is None:
                kept.append(None)
                continue
            chosen = np.argsort(-np.asarray(s) if cut == "keep-leading" else np.asarray(s), stable=True)[:k]
            kept.append(jnp.asarray(np.isin(np.arange(len(s)), chosen)))  # pyright: ignore
        assert int(fast.together[k]) == right(kept)
        for index, keep in enumerate(kept):
            whole_map = [None if each is None else jnp.full(each.shape, True) for each in kept]
            alone = [keep if index == j else whole_map[j] for j in range(len(kept))]
            assert int(fast.layer[index, k]) == (-1 if keep is None else right(alone))
    # Answers may be the same for every cut; losses are not.
    losses = [
        jax.jit(lambda p, n=n: kept_curves(n, cross_entropy, p, order, data, places=places, measure="loss"))(params)
        for n in (network, Whole(network))
    ]
    np.testing.assert_allclose(losses[0].together, losses[1].together, rtol=1e-10)
    np.testing.assert_allclose(losses[0].layer, losses[1].layer, rtol=1e-10)
    assert len(np.unique(np.asarray(losses[0].together).round(6))) > 1


@pytest.mark.parametrize("name", ["mlp", pytest.param("conv", marks=pytest.mark.slow)])
def test_curves_of_real_values_are_sums_of_the_loss(name, float64):
    network = CHAINS[name]()
    params = random_params(network)
    rng = np.random.default_rng(3)
    x, y, counts = rng.normal(size=(30, 20)), rng.normal(size=(30, 3)), np.arange(30) < 27
    y[~counts] = np.nan
    values = squared_error._replace(correct=None)
    data = jnp.asarray(x), jnp.asarray(y), jnp.asarray(counts)
    order = [None if m is None else ranked(m, importance(m)) for m in network.modes(params)]
    places = [None if m is None else places_in_order(m, importance(m)) for m in network.modes(params)]
    found = jax.jit(lambda p: kept_curves(network, values, p, order, data, (0, 2, 9), measure="loss"))(params)
    keep = [None if place is None else place < 2 for place in places]
    outputs = np.asarray(network.apply(network.cut(params, keep), jnp.asarray(x)))
    expected = 0.5 * ((outputs - y)[counts] ** 2).sum()
    np.testing.assert_allclose(found.together[1], expected, rtol=1e-11)
    outputs = np.asarray(network.apply(params, jnp.asarray(x)))
    full = 0.5 * ((outputs - y)[counts] ** 2).sum()
    with_modes = [index for index, m in enumerate(order) if m is not None]
    np.testing.assert_allclose(found.layer[np.array(with_modes), 2], full, rtol=1e-11)
    np.testing.assert_allclose(found.together[2], full, rtol=1e-11)
    assert abs(expected - full) > 1e-3 * full


def test_a_network_that_is_no_chain_needs_places():
    network = Whole(mlp([4, 3, 2], layers.Mode(), 3))
    params = random_params(network)
    data = jnp.ones((2, 4)), jnp.zeros(2, jnp.int32), jnp.full(2, True)
    with pytest.raises(InputError, match="Whole is no chain of maps, so its curves need the places of the modes"):
        kept_curves(network, cross_entropy, params, network.modes(params), data)
