"""What the compiled program is given: seeds, shares of the training set, and wrong labels."""

import dataclasses

import jax
import numpy as np
import pytest
from scipy import stats

from modejax import SweepConfig
from modejax.data import from_arrays
from modejax.sweep.arrays import program_spec
from modejax.sweep.inputs import device_data, member_arrays, seed_words
from modejax.sweep.plan import make_plan
from modejax.sweep.program import make_program

CONFIG = SweepConfig(
    layer="dense", widths=(3,), depth=1, seeds=2, epochs=1, batch_size=20, baseline="none",
    train_examples=(7, 30, 240), label_noise=(0, 0.3),
)  # fmt: skip


@pytest.fixture(scope="module", params=["shared", "per_seed"])
def given_data(request, blobs):
    plan = make_plan(dataclasses.replace(CONFIG, batches=request.param), blobs)
    program = make_program(program_spec(plan, blobs))
    return request.param, plan, program, jax.device_get(device_data(plan, blobs, program))


@pytest.mark.parametrize("seed", [0, 3, 2**31, 2**32 - 1, 2**32, 2**63, 2**64 - 1])
def test_the_words_of_a_seed_are_the_key_of_jax(seed):
    key = jax.random.key_data(jax.random.key(np.uint64(seed)))
    with jax.enable_x64(True):
        np.testing.assert_array_equal(seed_words([seed])[0], jax.random.key_data(jax.random.key(np.uint64(seed))))
    if seed < 2**32:
        np.testing.assert_array_equal(seed_words([seed])[0], key)


def test_members_get_their_own_numbers(given_data):
    _, plan, program, _ = given_data
    (arrays,) = jax.device_get(member_arrays(plan, program))
    members = plan.arms[0].members
    assert arrays.numbers["train_examples"].dtype == np.int32
    for name in ("train_examples", "label_noise"):
        np.testing.assert_allclose(arrays.numbers[name], members[name].astype(np.float32))
    np.testing.assert_array_equal(arrays.seed_index, members["seed"])
    np.testing.assert_array_equal(arrays.seed, seed_words(members["seed"]))


def test_shares_are_permutations_so_that_they_are_nested(given_data, blobs):
    batches, _, _, data = given_data
    assert data.share.shape == ((2 if batches == "per_seed" else 1), 240)
    for order in data.share:
        assert sorted(order.tolist()) == list(range(240))
    if batches == "per_seed":
        assert (data.share[0] != data.share[1]).mean() > 0.9


def test_a_wrong_label_is_never_the_right_one_and_all_others_come_up(given_data, blobs):
    batches, _, _, data = given_data
    assert data.wrong.shape == data.noise.shape == ((2 if batches == "per_seed" else 1), 240)
    for wrong in data.wrong:
        assert (wrong != blobs.y_train).all()
        assert ((wrong >= 0) & (wrong < 3)).all()
        shift = (wrong - blobs.y_train) % 3
        # 240 draws of two values: 5 standard deviations of 7.7.
        assert abs((shift == 1).sum() - 120) < 39
    for noise in data.noise:
        assert stats.kstest(noise, "uniform").pvalue > 1e-6


def test_signs_are_turned():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(50, 2)), np.where(rng.random(50) < 0.5, 1, -1)
    signs = from_arrays(x, y, x, y)
    assert signs.targets == "signs"
    plan = make_plan(dataclasses.replace(CONFIG, batch_size=10, train_examples=(), seeds=1), signs)
    data = jax.device_get(device_data(plan, signs, make_program(program_spec(plan, signs))))
    np.testing.assert_array_equal(data.wrong[0], -signs.y_train)


def test_shuffle_seeds_of_more_than_32_bits_are_others(blobs):
    keys = []
    for seed in (0, 1, 2**32, 2**32 + 1, 2**64 - 1):
        plan = make_plan(dataclasses.replace(CONFIG, shuffle_seed=seed, validation=0.25, train_examples=()), blobs)
        program = make_program(program_spec(plan, blobs))
        data = jax.device_get(device_data(plan, blobs, program))
        keys.append(data.held_out.x[0, :20].tobytes())
    assert len(set(keys)) == 5
