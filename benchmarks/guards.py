"""What must be true on a device before its times mean anything."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import common
from benchmarks.truncation import slow_curves
from modejax.backend import made_for
from modejax.data import load_dataset
from modejax.sweep.arrays import program_spec
from modejax.sweep.inputs import device_data, make_clock, member_arrays
from modejax.sweep.plan import make_plan
from modejax.sweep.program import Program, precision_scope
from modejax.sweep.trained import trained_networks

__all__ = ["check"]

_SIZES = {"widths": (6, 10), "modes": (3, 4), "seeds": 2, "epochs": 3, "devices": 1, "buckets": "one"}


def check() -> dict[str, Any]:
    """Compare small sweeps of digits with the same networks alone, on the CPU, and cut one mode after the other.

    Returns:
        The largest differences: `alone` (losses of padded networks in a sweep against those of each by itself),
        `against_cpu` (losses) and `truncation` (accuracies of the compiled curves against kernels made anew).

    Raises:
        SystemExit: if one is larger than rounding allows.
    """
    precision = "float32" if jax.default_backend() == "tpu" else "float64"  # a TPU has no float64 of its own
    allowed = 1e-9 if precision == "float64" else 1e-4
    dataset = load_dataset("digits")

    def run(on: Any = None, **changes: Any) -> Any:
        config = common.base_sweep(**{**_SIZES, "precision": precision, **changes})
        with made_for(jax.default_backend() if on is None else on.platform), precision_scope(precision):
            plan = make_plan(config, dataset)
            program = Program(program_spec(plan, dataset), None if on is None else [on])
            members, data = member_arrays(plan, program), device_data(plan, dataset, program)
            clock = make_clock(plan, program, 0, plan.chunk, truncate=True)
            states, records = program.compiled(program.start(members), members, data, clock)
            return plan, jax.device_get(states), jax.device_get(records)[0]

    plan, states, records = run()
    there = run(jax.devices("cpu")[0])[2]
    found = {"against_cpu": _gap(records.train_loss, there.train_loss)}
    alone = []
    for network in trained_networks(plan, states):
        one = run(widths=(network.width,), modes=(network.modes,), seeds=1, first_seed=network.seed)
        alone.append(one[2].train_loss[:, 0])
    found["alone"] = _gap(records.train_loss, np.stack(alone, axis=1))
    first = next(iter(trained_networks(plan, states)))
    with precision_scope(precision):
        x = jnp.asarray(dataset.x_test, jnp.result_type(float)) * dataset.scale
        slow, _ = slow_curves(first.network, first.params, x, jnp.asarray(dataset.y_test))
    kept = slow.shape[1]
    fast = np.concatenate([records.layer_curves[0, 0], records.together_curves[0, :1]])[:, :kept]
    found["truncation"] = _gap(fast, slow)
    limits = {"against_cpu": allowed, "alone": allowed, "truncation": 2 / len(dataset.y_test)}
    for name, gap in found.items():
        if not gap <= limits[name]:
            raise SystemExit(f"guard {name}: {gap:.2e} apart, allowed {limits[name]:.2e}: no times")
    return {"precision": precision, **found}


def _gap(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.nanmax(np.abs(np.asarray(one, float) - np.asarray(other, float))))
