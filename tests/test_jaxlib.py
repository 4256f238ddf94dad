"""The installed jaxlib computes what it should: compiled programs equal the same operations one by one.

jax-ml/jax#39103: on CPU, release 0.10.2 gave silently wrong results for a matrix-vector product under vmap that was
followed by a reduction, for float32 from 32,769 rows on and float64 from 16,385 rows on. The package refuses that
release; this says whether the installed one is sound, in that program and in one of the shape of ours.
"""

import subprocess
import sys

import jax
import jax.numpy as jnp
import jaxlib.version
import numpy as np
import pytest

from modejax import SweepConfig, load_dataset
from modejax.doctor import squares_error
from modejax.sweep.arrays import program_spec
from modejax.sweep.plan import make_plan
from modejax.sweep.program import lower_program

_EMPTY = """
import jax, jax.numpy as jnp, numpy as np
from jax.sharding import Mesh, PartitionSpec as P
jax.config.update("jax_num_cpu_devices", 2)
empty = lambda a: a + jnp.array([], jnp.int32).sum() + jnp.array([], jnp.int32).sum()
shared = jax.shard_map(empty, mesh=Mesh(np.array(jax.devices()), ("d",)), in_specs=P("d"), out_specs=P("d"))
assert jax.jit(shared)(jnp.arange(4)).tolist() == [0, 1, 2, 3]
"""


@pytest.mark.parametrize(("dtype", "rows"), [("float32", 32_769), ("float64", 16_385), ("float32", 60_000)])
@pytest.mark.parametrize("size", [3, 10])
def test_a_sum_of_squares_behind_a_vmapped_product(dtype, rows, size):
    assert squares_error(dtype, rows, size) < 1e-5


@pytest.mark.parametrize("rows", [1_000, 33_000])
def test_the_losses_of_many_examples_through_modes(rows):
    rng = np.random.default_rng(0)
    x, xi_in, xi_out = (rng.normal(size=shape).astype(np.float32) for shape in [(rows, 20), (3, 20), (10, 3)])
    y = rng.integers(0, 10, size=rows).astype(np.int32)

    def losses(x, xi_in, xi_out):
        logits = jax.vmap(lambda row: xi_out @ jax.nn.relu(xi_in @ row))(x)
        return jax.vmap(lambda z, label: jax.nn.logsumexp(z) - z[label])(logits, y)

    arguments = [jnp.asarray(a) for a in (x, xi_in, xi_out)]
    compiled, eager = jax.jit(losses)(*arguments), losses(*arguments)
    logits = np.maximum(x @ xi_in.T, 0).astype(np.float64) @ xi_out.T
    expected = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(rows), y]
    np.testing.assert_allclose(compiled, eager, rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(compiled, expected, rtol=1e-5, atol=1e-4)


@pytest.mark.xfail(jaxlib.version.__version__ == "0.11.2", reason="this release crashes, so no program of ours has any")
def test_constants_without_entries_under_several_devices():
    done = subprocess.run([sys.executable, "-c", _EMPTY], capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "changes",
    [
        {"modes": (3,), "prune": ("incoming", "random", "weights")},
        pytest.param({"network": "conv", "modes": (2,), "batches": "per_seed"}, marks=pytest.mark.slow),
        pytest.param({"layer": "spectral", "validation": 0.2, "train_examples": (50, 100)}, marks=pytest.mark.slow),
    ],
)
def test_no_program_has_constants_without_entries(changes):
    digits = load_dataset("digits")
    spec = program_spec(
        make_plan(SweepConfig(widths=(4,), seeds=2, epochs=1, buckets="one", **changes), digits), digits
    )
    text = lower_program(spec, jax.devices()[: spec.devices]).chunk.as_text()
    assert "stablehlo.constant" in text
    assert "stablehlo.constant dense<> :" not in text
