"""Masks, pruning curves, held-out data and given starts inside the compiled program, against plain evaluations."""

import functools
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from modejax import SweepConfig, load_networks, run_sweep
from modejax.data import Dataset
from modejax.errors import InputError
from modejax.layers import MASKS
from modejax.pruning import drop_nodes, kept_nodes, node_scores
from modejax.sweep.plan import make_plan
from modejax.sweep.program import precision_scope
from modejax.sweep.result import assemble
from modejax.sweep.run import Interrupted, execute
from modejax.sweep.trained import trained_networks
from modejax.training import LOSSES, init_state, keep_best, train_step

SMALL: dict[str, Any] = {
    "layer": "dense",
    "widths": (4, 9),
    "seeds": 1,
    "learning_rates": (0.02,),
    "batch_size": 20,
    "baseline": "none",
    "precision": "float64",
    "buckets": "one",
    "depth": 1,
}


def plain(plan, dataset, member, *, rows=None, start=None, epochs=None, each=lambda epoch, network, state: state):
    """Train one member by itself on some rows of the training set; `each` may change the state after an epoch."""
    group, config = plan.groups[0], plan.config
    rows = np.arange(len(dataset.y_train)) if rows is None else rows
    members = group.members
    size = int(members.width[member]), int(members.modes[member])
    network = group.spec.build(*size, 1, float(members.sparsity[member]))
    state = init_state(network, jax.random.key(int(members.seed[member])), config.optimiser, early=plan.held_out > 0)
    if start is not None:
        state = state._replace(params=start)
    rate, decay = (jnp.float64(values[member]) for values in (members.learning_rate, members.weight_decay))

    @functools.lru_cache
    def step(sparsity):
        now = group.spec.build(*size, 1, sparsity)
        return jax.jit(lambda state, x, y: train_step(now, LOSSES["classes"], state, x, y, rate, decay)[0])

    for epoch in range(config.epochs if epochs is None else epochs):
        order = np.asarray(jax.random.permutation(jax.random.fold_in(jax.random.key(0), epoch), len(rows)))
        sparsity = 0.0 if epoch < config.mask_after else float(members.sparsity[member])
        for batch in order[: plan.steps_per_epoch * config.batch_size].reshape(-1, config.batch_size):
            x = jnp.asarray(dataset.x_train[rows[batch]], jnp.float64) * dataset.scale
            state = step(sparsity)(state, x, jnp.asarray(dataset.y_train[rows[batch]]))
        state = each(epoch, network, state)
    return network, state


def accuracy(network, params, x, y):
    logits = jax.vmap(network.apply, in_axes=(None, 0))(params, jnp.asarray(x, jnp.float64))
    return float((np.asarray(logits).argmax(axis=1) == np.asarray(y)).mean())


@pytest.mark.parametrize(
    "mask", [mask if mask in ("dynamic", "random") else pytest.param(mask, marks=pytest.mark.slow) for mask in MASKS]
)
def test_a_sparse_member_equals_itself_alone(blobs, mask):
    config = SweepConfig(**SMALL, epochs=2, mask=mask, sparsities=(0, 60), mask_after=int(mask == "dynamic"))
    plan = make_plan(config, blobs)
    outcome = execute(plan, blobs)
    result = assemble(plan, blobs, outcome.records, outcome.timing)
    assert result.test_accuracy.dims[-2:] == ("sparsity", "epoch")
    assert result.sparsity.values.tolist() == [0, 60]
    with precision_scope("float64"):
        trained = list(trained_networks(plan, outcome.states))
        assert [each.sparsity for each in trained] == [0, 60, 0, 60]
        for member in (1, 3):
            network, state = plain(plan, blobs, member)
            chex.assert_trees_all_close(trained[member].params, jax.device_get(state.params), rtol=0, atol=1e-10)
            last = result.test_accuracy.values.ravel().reshape(4, 2)[member, -1]
            assert last == pytest.approx(accuracy(network, state.params, blobs.x_test, blobs.y_test), abs=1e-12)
            if mask != "frozen":
                zeros = [float((np.asarray(k) == 0).mean()) for k in network.kernels(state.params)]
                assert all(0.55 < share < 0.75 for share in zeros)


def test_masks_in_lower_precision(blobs):
    config = SweepConfig(**{**SMALL, "precision": "bfloat16"}, epochs=3, mask="dynamic", sparsities=(0, 60))
    plan = make_plan(config, blobs)
    outcome = execute(plan, blobs)
    result = assemble(plan, blobs, outcome.records, outcome.timing)
    assert (result.test_accuracy.isel(epoch=-1) > 0.5).all()


@pytest.mark.slow
def test_a_sparse_spectral_member_equals_itself_alone(blobs):
    options = ("variant=qr_triangular", "start=reduction_sparse")
    config = SweepConfig(
        **{**SMALL, "layer": "spectral"}, layer_options=options, epochs=2, mask="dynamic", sparsities=(50,)
    )
    plan = make_plan(config, blobs)
    outcome = execute(plan, blobs)
    with precision_scope("float64"):
        for member, trained in enumerate(trained_networks(plan, outcome.states)):
            _, state = plain(plan, blobs, member)
            chex.assert_trees_all_close(trained.params, jax.device_get(state.params), rtol=0, atol=1e-10)


@pytest.mark.slow
def test_a_sparcs_member_equals_itself_alone(blobs):
    plan = make_plan(SweepConfig(**{**SMALL, "layer": "sparcs", "depth": 2}, epochs=2), blobs)
    outcome = execute(plan, blobs)
    with precision_scope("float64"):
        for member, trained in enumerate(trained_networks(plan, outcome.states)):
            _, state = plain(plan, blobs, member)
            chex.assert_trees_all_close(trained.params, jax.device_get(state.params), rtol=0, atol=1e-10)


def test_the_best_epoch_on_held_out_examples_is_kept(blobs):
    # A rate at which the accuracy goes up and down.
    config = SweepConfig(**{**SMALL, "learning_rates": (0.3,)}, epochs=8, validation=0.25, patience=2)
    plan = make_plan(config, blobs)
    assert (plan.held_out, plan.steps_per_epoch) == (60, 9)
    outcome = execute(plan, blobs)
    result = assemble(plan, blobs, outcome.records, outcome.timing)
    order = np.random.Generator(np.random.PCG64(config.shuffle_seed)).permutation(240)
    aside, rest = np.sort(order[:60]), np.sort(order[60:])
    with precision_scope("float64"):
        for member, trained in enumerate(trained_networks(plan, outcome.states)):
            seen = []

            def each(epoch, network, state, seen=seen):
                seen.append(accuracy(network, state.params, blobs.x_train[aside], blobs.y_train[aside]))
                last = jnp.array(epoch == config.epochs - 1)
                return keep_best(state, jnp.float64(seen[-1]), jnp.int32(epoch + 1), last, 2, 0.0)

            network, state = plain(plan, blobs, member, rows=rest, each=each)
            chex.assert_trees_all_close(trained.params, jax.device_get(state.params), rtol=0, atol=1e-9)
            best = int(result.best_epoch.values.ravel()[member])
            assert state.best is not None
            assert best == int(state.best.epoch) == 1 + int(np.argmax(seen[: best + 2]))
            assert seen[-1] == seen[best - 1]
            reported = result.validation_accuracy.values.reshape(2, 8)[member]
            np.testing.assert_allclose(reported, seen, atol=1e-12)
            final = result.test_accuracy.values.reshape(2, 8)[member, -1]
            assert final == pytest.approx(accuracy(network, state.params, blobs.x_test, blobs.y_test), abs=1e-12)


def test_pruning_curves_of_the_step_are_those_of_a_slow_evaluation(blobs):
    scores = ("eigenvalue", "incoming", "random", "weights")
    percentiles = (0, 30, 60, 90)
    config = SweepConfig(
        **{**SMALL, "layer": "spectral", "depth": 2, "baseline": "dense", "widths": (5, 9)},
        layer_options=("variant=single_set", "eigenvectors=trained"),
        activation="elu",
        epochs=2,
        truncate_every=1,
        draws=40,
        prune=scores,
        percentiles=percentiles,
    )
    plan = make_plan(config, blobs)
    outcome = execute(plan, blobs)
    result = assemble(plan, blobs, outcome.records, outcome.timing)
    assert dict(result.pruning_accuracy.sizes)["truncation_epoch"] == 2
    with precision_scope("float64"):
        for prefix, group in (("", 0), ("baseline_", 1)):
            final = result[f"{prefix}pruning_accuracy"].isel(truncation_epoch=-1)
            losses = result[f"{prefix}pruning_loss"].isel(truncation_epoch=-1)
            for trained in trained_networks(plan, outcome.states, group):
                here = final.sel(width=trained.width).squeeze()
                whole = accuracy(trained.network, trained.params, blobs.x_test, blobs.y_test)
                np.testing.assert_allclose(here.sel(percentile=0).dropna("score"), whole, atol=1e-12)
                for percentile in percentiles:
                    for score in ("eigenvalue", "incoming"):
                        value = float(here.sel(score=score, percentile=percentile))
                        if prefix and score == "eigenvalue":
                            assert np.isnan(value)
                            continue
                        ranks = node_scores(trained.network, trained.params, score)
                        kept = kept_nodes(ranks, trained.network.sizes[1:-1], percentile)
                        cut = drop_nodes(trained.network, trained.params, kept)
                        expected = accuracy(trained.network, cut, blobs.x_test, blobs.y_test)
                        assert value == pytest.approx(expected, abs=1e-12)
                        logits = jax.vmap(trained.network.apply, in_axes=(None, 0))(cut, jnp.float64(blobs.x_test))
                        loss = float(jax.vmap(LOSSES["classes"].value)(logits, jnp.asarray(blobs.y_test)).mean())
                        squeezed = losses.sel(width=trained.width).squeeze()
                        assert float(squeezed.sel(score=score, percentile=percentile)) == pytest.approx(loss, abs=1e-10)
                    h = blobs.x_test.astype(np.float64)
                    for index, kernel in enumerate(map(np.asarray, trained.network.kernels(trained.params))):
                        if percentile:
                            kernel = np.where(abs(kernel) > np.percentile(abs(kernel), percentile), kernel, 0)
                        bias = getattr(trained.params[index], "bias", None)
                        h = h @ kernel.T + (0 if bias is None else np.asarray(bias))
                        h = np.where(h > 0, h, np.expm1(h)) if index < 2 else h
                    expected = float((h.argmax(axis=1) == blobs.y_test).mean())
                    assert float(here.sel(score="weights", percentile=percentile)) == pytest.approx(expected, abs=1e-12)
                chance = here.sel(score="random", percentile=60)
                assert 0.1 < float(chance) < whole
    ranked = result.node_score.sel(node_ranking="eigenvalue").isel(truncation_epoch=-1).sel(width=5).squeeze()
    first = next(iter(trained_networks(plan, outcome.states)))
    np.testing.assert_allclose(ranked[:, :5], [abs(first.params[i].lambda_out) for i in (0, 1)])
    assert np.isnan(ranked[:, 5:]).all()


def test_dropped_nodes_stay_away_in_training(blobs):
    config = SweepConfig(
        **{**SMALL, "layer": "spectral", "depth": 2, "widths": (8,)},
        layer_options=("variant=two_set", "eigenvectors=trained"),
        epochs=2,
    )
    plan = make_plan(config, blobs)
    with precision_scope("float64"):
        network = plan.groups[0].spec.build(8, 0, 1)
        params = network.init(jax.random.key(5))
        masks = [jnp.arange(8) < 3, jnp.arange(8) % 2 == 0]
        cut = jax.device_get(drop_nodes(network, params, masks))
        outcome = execute(plan, blobs, start=[cut])
        (trained,) = trained_networks(plan, outcome.states)
        _, state = plain(plan, blobs, 0, start=jax.tree.map(jnp.asarray, cut))
    chex.assert_trees_all_close(trained.params, jax.device_get(state.params), rtol=0, atol=1e-10)
    for index, (rows, columns) in enumerate(((masks[0], None), (masks[1], masks[0]), (None, masks[1]))):
        phi, before = trained.params[index].phi, cut[index].phi
        gone = np.zeros(phi.shape, bool)
        if rows is not None:
            gone |= ~np.asarray(rows)[:, None]
        if columns is not None:
            gone |= ~np.asarray(columns)[None, :]
        assert not phi[gone].any()
        assert (phi[~gone] != before[~gone]).mean() > 0.9
    sigmoid = network._replace(activate=lambda z, index: jax.nn.sigmoid(z))
    with pytest.raises(InputError, match="the activation of 0 is not 0"):
        drop_nodes(sigmoid, params, masks)


def test_a_start_of_ones_own_is_checked_and_is_part_of_the_run(blobs, tmp_path):
    config = SweepConfig(**{**SMALL, "precision": "float32"}, epochs=2)
    data = {"dataset": blobs}
    first = run_sweep(config, **data)
    plan = make_plan(config, blobs)
    starts = [jax.device_get(plan.groups[0].spec.build(width, 0, 1).init(jax.random.key(7))) for width in config.widths]
    stop = iter([True])
    with pytest.raises(Interrupted):
        run_sweep(config, **data, out=tmp_path / "run", start=starts, stop=lambda: next(stop, False))
    with pytest.raises(InputError, match="another config, data set, start or version"):
        run_sweep(config, **data, out=tmp_path / "run", resume=True)
    resumed = run_sweep(config, **data, out=tmp_path / "run", start=starts, resume=True)
    whole = run_sweep(config, **data, start=starts)
    np.testing.assert_array_equal(resumed.test_loss, whole.test_loss)
    assert len(load_networks(tmp_path / "run", dataset=blobs)) == 2
    assert (resumed.test_loss.values != first.test_loss.values).all()
    with pytest.raises(InputError, match="one tree of parameters a network, got 1 for 2"):
        run_sweep(config, **data, start=starts[:1])
    with pytest.raises(InputError, match=r"start\[0\] does not fit a network of width 4"):
        run_sweep(config, **data, start=starts[::-1])


def test_real_values_are_fitted(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 3)).astype(np.float32)
    y = np.maximum(x @ [1.0, -1.0, 0.5], 0)
    dataset = Dataset(x[:200], y[:200], x[200:], y[200:], num_classes=1, name="ramp", source="test", targets="values")
    assert repr(dataset) == "Dataset(ramp: 200 + 100 examples, 3 features float32, values)"
    config = SweepConfig(
        layer="dense",
        widths=(16,),
        seeds=2,
        epochs=60,
        batch_size=20,
        learning_rates=(0.01,),
        baseline="none",
        validation=0.2,
        prune=("incoming",),
        percentiles=(0, 90),
    )
    result = run_sweep(config, dataset=dataset, out=tmp_path)
    assert np.isnan(result.test_accuracy).all()
    error = 2 * result.test_loss.isel(epoch=-1).values
    assert (error < 0.02 * y[200:].var()).all()
    np.testing.assert_allclose(2 * result.pruning_loss.sel(percentile=0).values.ravel(), error.ravel(), rtol=1e-5)
    assert float(result.validation_loss.isel(epoch=-1).min()) >= 0
    assert (result.best_epoch > 0).all()
    (trained, _) = load_networks(tmp_path, dataset=dataset)
    outputs = jax.vmap(trained.network.apply, in_axes=(None, 0))(trained.params, jnp.asarray(dataset.x_test))[:, 0]
    np.testing.assert_allclose(np.mean((outputs - y[200:]) ** 2), error.ravel()[0], rtol=1e-4)
    with pytest.raises(InputError, match="another config, data set, start or version"):
        load_networks(tmp_path)
    assert (result.pruning_loss.sel(percentile=90) > result.pruning_loss.sel(percentile=0)).all()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"mask": "dynamic"}, "a mask and its sparsities go together"),
        ({"sparsities": (50,)}, "a mask and its sparsities go together"),
        ({"mask": "half", "sparsities": (50,)}, "unknown mask 'half'; allowed: dynamic, frozen, none"),
        ({"mask": "dynamic", "sparsities": (100,)}, "sparsities must be percentages from 0 to below 100, got 100.0"),
        ({"mask": "dynamic", "sparsities": (50, 50)}, "sparsities names a value twice"),
        ({"mask": "static", "sparsities": (50,), "mask_after": 1}, "needs a mask of the moment"),
        ({"mask": "dynamic", "sparsities": (50,), "mask_after": 40}, "mask_after 40 leaves no epoch with the mask"),
        (
            {"mask": "dynamic", "sparsities": (50,), "mask_after": 2, "validation": 0.2},
            "mask_after and validation do not go together",
        ),
        ({"mask": "random", "sparsities": (50,), "layer": "tied_mode"}, "takes no mask"),
        ({"prune": ("size",)}, "unknown prune 'size'; allowed: eigenvalue"),
        ({"prune": ("random", "random")}, "prune names a score twice"),
        ({"prune": ("eigenvalue",)}, "rank the nodes of spectral layers, got layer='mode'"),
        ({"prune": ("random",), "percentiles": (-1,)}, "percentiles must be percentages from 0 to below 100, got -1.0"),
        ({"prune": ("random",), "percentiles": ()}, "percentiles is empty"),
        ({"prune": ("random",), "depth": 0}, "depth 0 has no hidden nodes that random could rank"),
        ({"prune": ("weights",), "layer": "sparcs"}, "has no pruning curves"),
        ({"validation": 1.0}, "validation must be a share from 0 to below 1, got 1.0"),
        ({"patience": 3}, "patience 3 needs validation data"),
        ({"penalty": "both"}, "unknown penalty 'both'; allowed: decoupled, loss"),
    ],
)
def test_what_is_not_allowed_is_named(fields, message):
    with pytest.raises(InputError) as error:
        SweepConfig(**fields)
    assert message in str(error.value)


def test_a_share_that_leaves_nothing_is_refused(blobs):
    with pytest.raises(InputError, match=r"validation 0\.001 leaves 240 of the 240 training examples"):
        make_plan(SweepConfig(validation=0.001), blobs)
    with pytest.raises(InputError, match="larger than the 48 training examples of blobs left beside 192"):
        make_plan(SweepConfig(validation=0.8), blobs)
