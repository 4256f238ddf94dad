"""The plan: members, buckets, arithmetic, memory."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from modejax import layers, networks
from modejax.data import from_arrays
from modejax.errors import InputError
from modejax.sweep.config import SweepConfig
from modejax.sweep.cost import forward_flops, matmul_flops, step_flops
from modejax.sweep.plan import make_plan
from modejax.sweep.spec import Custom


@pytest.fixture(scope="module")
def wide():
    """Random rows of as many features and classes as MNIST has."""
    rng = np.random.default_rng(0)
    return from_arrays(rng.random((100, 784)), np.arange(100) % 10, rng.random((10, 784)), np.arange(10))


def test_flops_are_those_of_the_formulas(wide):
    spec = make_plan(SweepConfig(epochs=1), wide).arms[0].spec
    # Mode space, batch B: 2 B P (n_in + n_out) forward for a map, three times that with the gradients, less the
    # gradient with respect to the input of the first map. The last map is built as a kernel, because that is cheaper.
    batch, n, p = 100, 100, 30
    forward = [2 * batch * p * (784 + n), 2 * batch * p * (n + n), 2 * n * 10 * p + 2 * batch * n * 10]
    assert forward_flops(spec, n, p, batch) == sum(forward)
    kernel = 2 * n * 10 * p
    backward = [
        2 * batch * p * (784 + 2 * n),
        2 * forward[1],
        2 * 2 * batch * n * 10 + 2 * kernel,
    ]
    assert step_flops(spec, n, p, batch) == sum(forward) + sum(backward)


def test_flops_inside_loops_and_branches():
    square = jnp.ones((3, 3))

    def loop(x):
        return jax.lax.scan(lambda carry, _: (carry @ square, None), x, None, length=5)[0]

    assert matmul_flops(loop, square) == 5 * 2 * 27
    branch = lambda x: jax.lax.cond(x[0, 0] > 0, lambda x: x @ x @ x, lambda x: x @ x, x)  # noqa: E731
    assert matmul_flops(branch, square) == 2 * 2 * 27


def test_plan_counts(blobs):
    plan = make_plan(SweepConfig(widths=(8, 16), modes=(2, 3), seeds=2, epochs=3, batch_size=50), blobs)
    own, baseline = plan.arms
    assert (own.name, baseline.name) == ("mode", "baseline")
    assert own.members.grid == (2, 2, 2, 1, 1)
    assert len(own.members) == 8
    assert len(baseline.members) == 4
    assert plan.steps_per_epoch == 4
    # sum over maps of P (n_in + n_out + 1); dense n_in n_out
    mode = sum(p * ((6 + n + 1) + (n + n + 1) + (n + 3 + 1)) for n in (8, 16) for p in (2, 3))
    dense = sum(6 * n + n * n + 3 * n for n in (8, 16))
    assert plan.parameters == 2 * (mode + dense)
    assert plan.useful_flops <= plan.padded_flops
    assert sorted(m for b in plan.buckets if b.arm == 0 for m in b.members) == list(range(8))


def test_each_size_in_its_own_bucket_has_no_padding(blobs):
    plan = make_plan(SweepConfig(widths=(8, 16), modes=(2, 3), seeds=2, epochs=1, buckets="each", devices=1), blobs)
    assert len(plan.buckets) == 6
    assert plan.useful_flops == plan.padded_flops


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 241}, "batch_size 241 is larger than the 240 training examples of blobs; allowed: 1 to 240"),
        ({"modes": (400_000,), "memory_limit": 0.5}, "launch(es), the limit is"),
        ({"widths": (4096,), "memory_limit": 0.01}, "the limit is 0.01 GiB"),
        ({"launches": 19}, "fills 18 on 2 device(s); allowed: 1 to 18, or 0"),
        ({"launches": 2, "memory_limit": "1MB"}, "use smaller sizes, more launches or raise memory_limit"),
        ({"devices": 99}, "99 devices asked for, JAX sees 2"),
        ({"kept": (0, 50)}, "no member has more than 20"),
        ({"layer_options": ("gage=plain",)}, "unknown option 'gage' of the layer mode; allowed: gauge"),
        ({"layer_options": ("gauge=unit",)}, "unknown gauge 'unit'"),
        ({"layer": "dense", "layer_options": ("rank=3",)}, "allowed: gauge, start, start_modes, use_bias"),
        ({"optimiser": "sgd", "optimiser_options": ("beta=1",)}, "unknown option 'beta' of the optimiser sgd"),
        ({"optimiser_options": ("b1=0.5",)}, "unknown option 'b1' of the optimiser adam; allowed: none"),
        ({"network": "conv"}, "a convolutional network needs images, got rows of 6 features"),
        ({"network": "custom"}, "was made with a network of your own; give it again as network=..., from Python"),
        ({"layer": "custom"}, "was made with a layer of your own; give it again as layer=..., from Python"),
        ({"optimiser": "custom"}, "was made with an optimiser of your own; give it again as optimiser=..."),
        ({"train_examples": (100, 241)}, "train_examples names 241, but blobs has 240 to train on; allowed: 1 to 240"),
        ({"train_examples": (181,), "validation": 0.25}, "but blobs has 180 to train on"),
        ({"validation": 0.001}, "validation 0.001 leaves 240 of the 240 training examples"),
        ({"validation": 0.8}, "larger than the 48 training examples of blobs left beside 192"),
    ],
)
def test_what_cannot_run_is_refused(blobs, changes, message):
    with pytest.raises(InputError) as caught:
        make_plan(SweepConfig(**changes), blobs)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("epochs", "every", "chunk", "ends"),
    [(40, 0, 2, (40,)), (5, 0, 1, (5,)), (200, 50, 10, (50, 100, 150, 200)), (7, 3, 1, (3, 6, 7)), (2, 100, 1, (2,))],
)
def test_chunks_end_where_curves_are_due(blobs, epochs, every, chunk, ends):
    plan = make_plan(SweepConfig(epochs=epochs, truncate_every=every), blobs)
    assert plan.chunk == chunk
    assert plan.truncation_epochs == ends


def test_label_noise_needs_labels(ramp):
    with pytest.raises(InputError, match="label_noise replaces labels, but the targets of ramp are real values"):
        make_plan(SweepConfig(batch_size=10, label_noise=(0.1,)), ramp)


@pytest.mark.parametrize(
    ("changes", "custom"),
    [
        ({"optimiser": "sgd", "momentum": 0.9}, {}),
        ({"optimiser": "novograd", "schedule": "cosine"}, {}),
        ({"optimiser": "custom"}, {"optimiser": optax.lion}),
        ({"layer": "custom"}, {"layer": layers.LowRank()}),
        (
            {"network": "custom"},
            {"network": lambda width, modes: networks.residual([6, width, 3], layers.Mode(), modes)},
        ),
    ],
)
def test_every_optimiser_layer_and_network_can_be_planned(blobs, changes, custom):
    config = SweepConfig(widths=(4, 8), modes=(2,), epochs=1, baseline="none", **changes)
    plan = make_plan(config, blobs, Custom(**custom))
    assert plan.useful_flops > 0
    assert plan.memory.state > 0


def test_parameters_that_depend_on_a_number_of_the_grid_are_counted(blobs):
    config = SweepConfig(
        layer="dense", widths=(8,), depth=1, seeds=1, mask="frozen", sparsities=(0, 50), baseline="none"
    )
    total = 8 * 6 + 3 * 8
    half = total - sum(int(0.5 * (n - 1)) + 1 for n in (48, 24))
    assert make_plan(config, blobs).parameters == total + half
