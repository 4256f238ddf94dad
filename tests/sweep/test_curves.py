"""Curves of the compiled step against plain evaluations with NumPy."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from modejax import SweepConfig, layers, networks
from modejax.networks import Network
from modejax.pruning import drop_nodes, kept_nodes, node_scores
from modejax.sweep.execute import execute
from modejax.sweep.label import assemble
from modejax.sweep.plan import make_plan
from modejax.sweep.program import precision_scope
from modejax.sweep.spec import Custom
from modejax.sweep.trained import trained_networks
from modejax.training import LOSSES

BASE = SweepConfig(
    widths=(7, 12),
    modes=(2, 5),
    seeds=1,
    learning_rates=(0.01,),
    batch_size=20,
    baseline="none",
    epochs=3,
    truncate_every=2,
    precision="float64",
    buckets="one",
)
VECTORS = dataclasses.replace(BASE, arms=("residual network=residual bias=true", "tied network=tied"))
SWEEPS = {
    "one": ("blobs", dataclasses.replace(BASE, depth=1)),
    "leading": ("blobs", VECTORS),
    "removed": ("blobs", dataclasses.replace(VECTORS, order="weight", cut="remove-leading", arms=())),
    "images": (
        "tiles",
        dataclasses.replace(BASE, network="conv", network_options=("norm=layer",), widths=(2, 4), modes=(2, 3)),
    ),
}
ARMS = [
    ("one", "mode"),
    ("leading", "mode"),
    ("leading", "residual"),
    ("leading", "tied"),
    ("removed", "mode"),
    ("images", "conv_mode"),
]


@pytest.fixture(scope="module")
def finished(blobs, tiles):
    @functools.cache
    def run(name):
        data, config = SWEEPS[name]
        dataset = {"blobs": blobs, "tiles": tiles}[data]
        plan = make_plan(config, dataset)
        return plan, dataset, execute(plan, dataset)

    return run


def test_the_epochs_of_curves(finished):
    assert finished("one")[0].truncation_epochs == (2, 3)


@pytest.mark.parametrize(
    ("sweep", "name"), [ARMS[0], *(pytest.param(*arm, marks=pytest.mark.slow) for arm in ARMS[1:])]
)
def test_truncation_curves_equal_a_slow_evaluation(finished, sweep, name):
    """Modes are ranked with NumPy and kernels rebuilt from those kept, stage by stage, for each number of modes."""
    plan, dataset, outcome = finished(sweep)
    config = plan.config
    arm = [each.name for each in plan.arms].index(name)
    record = outcome.records[arm]
    y = dataset.y_test
    with precision_scope("float64"):
        x = jnp.asarray(dataset.x_test.astype(np.float64) * dataset.scale)
        for member, trained in enumerate(trained_networks(plan, outcome.states, arm)):
            network, params = trained.network, trained.params
            kernels = [np.asarray(kernel) for kernel in network.kernels(params)]
            biases = network.biases(params)
            modes = [jax.tree.map(np.asarray, each) for each in network.modes(params)]
            ranks = []
            for each in modes:
                norms = np.linalg.norm(each.xi_out, axis=0) + np.linalg.norm(each.xi_in, axis=1)
                weight = np.abs(each.weight)
                score = weight.mean() / norms.mean() * norms + weight if config.order == "importance" else weight
                ranks.append(np.argsort(-score))

            def cut(index, k, modes=modes, ranks=ranks, kernels=kernels):
                part, order = modes[index], ranks[index]
                chosen = order[:k] if config.cut == "keep-leading" else order[::-1][:k]
                return ((part.xi_out[:, chosen] * part.weight[chosen]) @ part.xi_in[chosen]).reshape(
                    kernels[index].shape
                )

            def accuracy(cut_kernels, network=network, params=params, biases=biases):
                h = network.enter(x)  # pyright: ignore
                for index, kernel in enumerate(cut_kernels):
                    z = network.by_kernel(jnp.asarray(kernel), h, index)  # pyright: ignore
                    z = z if biases[index] is None else z + biases[index].reshape((1,) * (z.ndim - 1) + (-1,))
                    h = network.finish(params, z, h, index)  # pyright: ignore
                return float((np.asarray(h).argmax(axis=1) == y).mean())

            maps = range(len(kernels))
            for k in range(trained.modes + 1):
                for index in maps:
                    alone = [cut(i, k) if i == index else kernels[i] for i in maps]
                    assert record.layer_curves[member, 1, 0, index, k] == pytest.approx(accuracy(alone), abs=1e-12)
                together = accuracy([cut(i, k) for i in maps])
                assert record.together_curves[member, 1, 0, k] == pytest.approx(together, abs=1e-12)
            # With every mode kept the curve ends at the test accuracy of the same epoch.
            assert together == pytest.approx(record.test_accuracy[member, -1], abs=1e-12)
            np.testing.assert_allclose(record.mode_weight[member, 1, :, : trained.modes], [m.weight for m in modes])
            assert np.isnan(record.mode_weight[member, 1, :, trained.modes :]).all()


def test_full_rank_curves_of_a_network_without_hidden_layers(blobs):
    plan = make_plan(SweepConfig(layer="svd", depth=0, seeds=1, epochs=1, batch_size=20, baseline="none"), blobs)
    assert plan.arms[0].spec.kept == (0, 1, 2, 3)
    record = execute(plan, blobs).records[0]
    np.testing.assert_allclose(record.together_curves[0, 0, 0, -1], record.test_accuracy[0, -1])


def test_networks_that_are_not_sums_of_modes_have_no_curves(blobs):
    config = SweepConfig(
        layer="dense",
        epochs=1,
        batch_size=20,
        arms=("sparcs network=sparcs", "mode layer=mode modes=3", "masked mask=static sparsities=50"),
    )
    plan = make_plan(config, blobs)
    assert [arm.spec.kept for arm in plan.arms] == [(), (), (0, 1, 2, 3), (), ()]


@dataclasses.dataclass(frozen=True)
class Crossed(Network):
    """Two parallel paths of two maps each: a network with maps that is no chain."""

    left: Network
    right: Network

    def init(self, key):
        one, other = jax.random.split(key)
        return self.left.init(one), self.right.init(other)

    def apply(self, params, x):
        return self.left.apply(params[0], x) * jnp.tanh(self.right.apply(params[1], x))

    @property
    def map_names(self):
        return tuple(f"{side}_{name}" for side in ("left", "right") for name in self.left.map_names)

    def trainable(self, params):
        return self.left.trainable(params[0]), self.right.trainable(params[1])

    def num_parameters(self):
        return self.left.num_parameters() + self.right.num_parameters()

    def kernels(self, params):
        return *self.left.kernels(params[0]), *self.right.kernels(params[1])

    def modes(self, params):
        return *self.left.modes(params[0]), *self.right.modes(params[1])

    def cut(self, params, keep):
        return self.left.cut(params[0], keep[:2]), self.right.cut(params[1], keep[2:])


def crossed(width, modes):
    left, right = (networks.mlp([6, width, 3], layers.Mode(), modes, name) for name in ("relu", "tanh"))
    return Crossed(left, right)


@pytest.mark.slow
def test_a_network_of_the_user_that_is_no_chain_has_curves(blobs):
    config = dataclasses.replace(BASE, network="custom", modes=(2, 4))
    plan = make_plan(config, blobs, Custom(network=crossed))
    outcome = execute(plan, blobs)
    tree = assemble(plan, blobs, outcome.records, outcome.timing)
    assert tree.children["custom"].map_name.values.tolist() == ["left_map1", "left_map2", "right_map1", "right_map2"]
    record, x = outcome.records[0], blobs.x_test.astype(np.float64)
    with precision_scope("float64"):
        for member, trained in enumerate(trained_networks(plan, outcome.states)):
            ranks = []
            for each in trained.network.modes(trained.params):
                norms = np.linalg.norm(each.xi_out, axis=0) + np.linalg.norm(each.xi_in, axis=1)  # pyright: ignore
                weight = np.abs(each.weight)  # pyright: ignore
                ranks.append(np.argsort(np.argsort(-(weight.mean() / norms.mean() * norms + weight))))
            for k in range(trained.modes + 1):
                keep = [jnp.asarray(rank < k) for rank in ranks]
                outputs = trained.network.apply(trained.network.cut(trained.params, keep), x)
                expected = float((np.asarray(outputs).argmax(axis=1) == blobs.y_test).mean())
                assert record.together_curves[member, 1, 0, k] == pytest.approx(expected, abs=1e-12)
                alone = [None, None, keep[2], None]
                outputs = trained.network.apply(trained.network.cut(trained.params, alone), x)
                expected = float((np.asarray(outputs).argmax(axis=1) == blobs.y_test).mean())
                assert record.layer_curves[member, 1, 0, 2, k] == pytest.approx(expected, abs=1e-12)


@pytest.mark.slow
def test_pruning_curves_of_the_step_are_those_of_a_slow_evaluation(blobs):
    scores = ("eigenvalue", "incoming", "random", "weights")
    percentiles = (0, 30, 60, 90)
    config = SweepConfig(
        layer="spectral",
        widths=(5, 9),
        seeds=1,
        learning_rates=(0.02,),
        batch_size=20,
        precision="float64",
        buckets="one",
        layer_options=("variant=single_set", "eigenvectors=trained"),
        activation="elu",
        epochs=2,
        truncate_every=1,
        draws=40,
        prune=scores,
        percentiles=percentiles,
        prune_by_layer=True,
        baseline_bias=True,
    )
    plan = make_plan(config, blobs)
    outcome = execute(plan, blobs)
    tree = assemble(plan, blobs, outcome.records, outcome.timing)
    x = blobs.x_test.astype(np.float64)

    def outputs(network, params):
        return np.asarray(network.apply(params, x))

    with precision_scope("float64"):
        for arm, name in enumerate(("spectral", "baseline")):
            result = tree.children[name].to_dataset()
            assert result.sizes["truncation_epoch"] == 2
            known = [score for score in scores if name == "spectral" or score != "eigenvalue"]
            assert result.score.values.tolist() == known
            for trained in trained_networks(plan, outcome.states, arm):
                here = result.isel(truncation_epoch=-1).sel(width=trained.width).squeeze()
                whole = (outputs(trained.network, trained.params).argmax(axis=1) == blobs.y_test).mean()
                np.testing.assert_allclose(here.pruning_accuracy.sel(percentile=0), whole, atol=1e-12)
                for percentile in percentiles:
                    for score in set(known) & {"eigenvalue", "incoming"}:
                        cell = here.sel(score=score, percentile=percentile)
                        ranks = node_scores(trained.network, trained.params, score)  # pyright: ignore
                        kept = kept_nodes(ranks, trained.network.units[1:-1], percentile)  # pyright: ignore
                        logits = outputs(trained.network, drop_nodes(trained.network, trained.params, kept))  # pyright: ignore
                        expected = (logits.argmax(axis=1) == blobs.y_test).mean()
                        assert float(cell.pruning_accuracy) == pytest.approx(expected, abs=1e-12)
                        loss = float(jax.vmap(LOSSES["classes"].value)(logits, jnp.asarray(blobs.y_test)).mean())  # pyright: ignore
                        assert float(cell.pruning_loss) == pytest.approx(loss, abs=1e-10)
                        pairs = zip(ranks, trained.network.units[1:-1], strict=True)  # pyright: ignore
                        kept = [kept_nodes([each], [size], percentile)[0] for each, size in pairs]
                        logits = outputs(trained.network, drop_nodes(trained.network, trained.params, kept))  # pyright: ignore
                        expected = (logits.argmax(axis=1) == blobs.y_test).mean()
                        assert float(cell.pruning_accuracy_by_layer) == pytest.approx(expected, abs=1e-12)
                        loss = float(jax.vmap(LOSSES["classes"].value)(logits, jnp.asarray(blobs.y_test)).mean())  # pyright: ignore
                        assert float(cell.pruning_loss_by_layer) == pytest.approx(loss, abs=1e-10)
                    h = blobs.x_test.astype(np.float64)
                    biases = trained.network.biases(trained.params)
                    for index, kernel in enumerate(map(np.asarray, trained.network.kernels(trained.params))):
                        if percentile:
                            kernel = np.where(abs(kernel) > np.percentile(abs(kernel), percentile), kernel, 0)
                        h = h @ kernel.T + np.asarray(biases[index])
                        h = np.where(h > 0, h, np.expm1(np.minimum(h, 0))) if index < 2 else h
                    expected = float((h.argmax(axis=1) == blobs.y_test).mean())
                    cell = here.pruning_accuracy.sel(score="weights", percentile=percentile)
                    assert float(cell) == pytest.approx(expected, abs=1e-12)
                    cell = here.pruning_accuracy_by_layer.sel(score="weights", percentile=percentile)
                    assert float(cell) == pytest.approx(expected, abs=1e-12)
                assert 0.1 < float(here.pruning_accuracy.sel(score="random", percentile=60)) < whole
        ranked = tree.children["spectral"].node_score.sel(node_ranking="eigenvalue").isel(truncation_epoch=-1)
        ranked = ranked.sel(width=5).squeeze()
        first = next(iter(trained_networks(plan, outcome.states)))
        np.testing.assert_allclose(ranked[:, :5], [abs(first.params[i].lambda_out) for i in (0, 1)])
        assert np.isnan(ranked[:, 5:]).all()
        assert "node_score" not in tree.children["baseline"]


@pytest.mark.slow
def test_the_channels_of_a_conv_net_are_pruned(tiles):
    config = SweepConfig(
        network="conv",
        layer="dense",
        widths=(3, 5),
        seeds=1,
        epochs=1,
        batch_size=20,
        precision="float64",
        baseline="none",
        prune=("throughput", "weights"),
        percentiles=(0, 50),
        buckets="one",
        network_options=("norm=group",),
    )
    plan = make_plan(config, tiles)
    outcome = execute(plan, tiles)
    x = tiles.x_test.astype(np.float64) * tiles.scale
    with precision_scope("float64"):
        for member, trained in enumerate(trained_networks(plan, outcome.states)):
            network, params = trained.network, trained.params
            kept = kept_nodes(node_scores(network, params, "throughput"), network.units[1:-1], 50)  # pyright: ignore
            h = network.enter(jnp.asarray(x))  # pyright: ignore
            for index in range(3):
                h = network.between(params, h, index, index + 1)  # pyright: ignore
                h = np.asarray(h) * np.asarray(kept[index]) if index < 2 else h
            right = float((np.asarray(h).argmax(axis=1) == tiles.y_test).mean())
            assert outcome.records[0].pruning_accuracy[member, 0, 0, 0, 1] == pytest.approx(right, abs=1e-12)
            whole = float((np.asarray(network.apply(params, x)).argmax(axis=1) == tiles.y_test).mean())
            np.testing.assert_allclose(outcome.records[0].pruning_accuracy[member, 0, 0, :, 0], whole, atol=1e-12)
