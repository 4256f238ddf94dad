"""Predicted bytes and arithmetic against XLA's own account of the compiled program."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modejax import SweepConfig, load_dataset
from modejax.sweep.arrays import program_spec
from modejax.sweep.cost import step_flops
from modejax.sweep.plan import make_plan
from modejax.sweep.program import make_program
from modejax.training import LOSSES, init_state, train_step

SWEEPS: dict[str, dict[str, Any]] = {
    "default": {},
    "many": {"widths": (30,), "modes": (10,), "seeds": 300, "baseline": "none"},
    "launches": {"widths": (30,), "modes": (10,), "seeds": 300, "baseline": "none", "launches": 4},
    "svd": {"layer": "svd", "widths": (100,), "seeds": 8, "baseline": "none"},
    "dense": {"layer": "dense", "widths": (150,), "seeds": 10, "baseline": "none"},
    "spectral": {"layer": "spectral", "widths": (150,), "seeds": 10, "baseline": "none", "optimiser": "adamax"},
    "factors": {
        "layer": "spectral",
        "layer_options": ("variant=qr_full",),
        "widths": (150,),
        "seeds": 10,
        "baseline": "none",
    },
    "masked": {
        "layer": "dense",
        "widths": (150,),
        "seeds": 10,
        "baseline": "none",
        "mask": "dynamic",
        "sparsities": (50,),
        "validation": 0.2,
        "patience": 2,
    },
    "pruned": {
        "layer": "dense",
        "widths": (150,),
        "seeds": 10,
        "baseline": "none",
        "prune": ("incoming", "random", "weights"),
    },
    "tied": {"network": "tied", "widths": (100,), "modes": (20,), "seeds": 10, "baseline": "none"},
    "residual": {"network": "residual", "widths": (100,), "modes": (20,), "seeds": 10, "depth": 3, "baseline": "none"},
    "sparcs": {"network": "sparcs", "widths": (150,), "seeds": 10, "baseline": "none"},
    "momentum": {
        "widths": (100,),
        "modes": (20,),
        "seeds": 10,
        "baseline": "none",
        "optimiser": "sgd",
        "momentum": 0.9,
    },
    "shares": {
        "widths": (60,),
        "modes": (10,),
        "seeds": 10,
        "baseline": "none",
        "batches": "per_seed",
        "train_examples": (100, 400),
        "label_noise": (0, 0.2),
    },
    "conv": {"network": "conv", "widths": (8, 16), "modes": (4,), "seeds": 4, "baseline": "none"},
    "conv dense": {"network": "conv", "layer": "dense", "widths": (8,), "seeds": 8, "baseline": "none"},
    "conv group": {
        "network": "conv",
        "network_options": ("norm=group", "groups=2"),
        "widths": (12,),
        "modes": (6,),
        "seeds": 6,
        "depth": 3,
        "baseline": "none",
    },
    "deep": {"layer": "low_rank", "widths": (60,), "modes": (10,), "seeds": 10, "depth": 4, "baseline": "none"},
}


QUICK = ("spectral", "conv")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in QUICK else [pytest.mark.slow]) for name in SWEEPS]
)
def test_bytes_are_those_of_xla_within_a_quarter(name):
    digits = load_dataset("digits")
    plan = make_plan(SweepConfig(**SWEEPS[name]), digits)
    analysis = make_program(program_spec(plan, digits)).compiled.memory_analysis()
    assert analysis is not None
    # An output that is a donated argument counts once.
    extra = analysis.output_size_in_bytes - analysis.alias_size_in_bytes
    actual = plan.devices * (analysis.argument_size_in_bytes + analysis.temp_size_in_bytes + extra)
    assert plan.memory.device == pytest.approx(actual, rel=0.25)


@pytest.mark.parametrize(("layer", "modes"), [("mode", 20), ("low_rank", 20), ("dense", 0)])
def test_flops_are_those_of_xla_within_a_quarter(layer, modes):
    config = SweepConfig(layer=layer, widths=(100,), modes=(modes,) if modes else None, epochs=1, baseline="none")
    digits = load_dataset("digits")
    spec = make_plan(config, digits).arms[0].spec
    network = spec.network.build(100, modes)
    state = init_state(network, jax.random.key(0))
    x, y = jnp.zeros((100, 64)), jnp.zeros(100, jnp.int32)
    rate = jnp.float32(0.01)
    step = jax.jit(functools.partial(train_step, network, LOSSES["classes"]))
    cost = step.lower(state, (x, y), rate, rate).compile().cost_analysis()
    assert cost is not None
    assert step_flops(spec, 100, modes, 100) == pytest.approx(cost["flops"], rel=0.25)


@settings(max_examples=8)
@given(
    seeds=st.integers(1, 30), widths=st.lists(st.integers(1, 40), min_size=1, max_size=3, unique=True), data=st.data()
)
def test_launches_share_out_every_member_once(blobs, seeds, widths, data):
    config = SweepConfig(widths=tuple(widths), modes=(2,), seeds=seeds, epochs=1)
    most = max(-(-len(bucket.members) // 2) for bucket in make_plan(config, blobs).buckets)
    launches = data.draw(st.integers(1, most))
    plan = make_plan(SweepConfig(**{**config.__dict__, "launches": launches}), blobs)
    shares = [plan.share(launch) for launch in range(plan.launches)]
    for index, bucket in enumerate(plan.buckets):
        assert np.concatenate([share[index] for share in shares]).tolist() == list(bucket.members)
        assert all(len(share[index]) <= bucket.capacity for share in shares)
        assert bucket.capacity % plan.devices == 0


def test_less_memory_means_more_launches(blobs):
    config = {"widths": (200,), "modes": (10,), "seeds": 400, "epochs": 1, "baseline": "none"}
    needed = make_plan(SweepConfig(**config), blobs)
    assert needed.launches == 1
    base = needed.resident_bytes
    assert base > psutil.Process().memory_info().rss // 2
    limit = base + (needed.peak_bytes - base) // 4
    plan = make_plan(SweepConfig(**config, memory_limit=limit / 2**30), blobs)
    assert plan.launches >= 4
    assert plan.peak_bytes <= limit * 1.02
    assert plan.padded_flops < 1.1 * needed.padded_flops
