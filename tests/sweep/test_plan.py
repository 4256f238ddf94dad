"""The plan: members, buckets, arithmetic, memory."""

import jax.numpy as jnp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modejax.errors import InputError
from modejax.sweep.config import SweepConfig
from modejax.sweep.cost import forward_flops, matmul_flops, step_flops
from modejax.sweep.plan import Machine, bucket_shapes, make_plan
from modejax.sweep.spec import network_spec

MNIST_LIKE = network_spec(SweepConfig(), 784, 10)


def test_flops_are_those_of_the_formulas():
    # Mode space, batch B: 2 B P (n_in + n_out) forward for a map, three times that with the gradients, less the
    # gradient with respect to the input of the first map. The last map is built as a kernel, because that is cheaper.
    batch, n, p = 100, 100, 30
    forward = [2 * batch * p * (784 + n), 2 * batch * p * (n + n), 2 * n * 10 * p + 2 * batch * n * 10]
    assert forward_flops(MNIST_LIKE, n, p, batch) == sum(forward)
    kernel = 2 * n * 10 * p
    backward = [
        2 * batch * p * (784 + 2 * n),
        2 * forward[1],
        2 * 2 * batch * n * 10 + 2 * kernel,
    ]
    assert step_flops(MNIST_LIKE, n, p, batch) == sum(forward) + sum(backward)


def test_flops_inside_loops_and_branches():
    import jax

    square = jnp.ones((3, 3))

    def loop(x):
        return jax.lax.scan(lambda carry, _: (carry @ square, None), x, None, length=5)[0]

    assert matmul_flops(loop, square) == 5 * 2 * 27
    branch = lambda x: jax.lax.cond(x[0, 0] > 0, lambda x: x @ x @ x, lambda x: x @ x, x)  # noqa: E731
    assert matmul_flops(branch, square) == 2 * 2 * 27


def test_plan_counts(blobs):
    plan = make_plan(SweepConfig(widths=(8, 16), modes=(2, 3), seeds=2, epochs=3, batch_size=50), blobs)
    own, baseline = plan.groups
    assert own.grid == (2, 2, 2, 1, 1)
    assert len(own.members) == 8
    assert len(baseline.members) == 4
    assert plan.steps_per_epoch == 4
    # sum over maps of P (n_in + n_out + 1); dense n_in n_out
    mode = sum(p * ((6 + n + 1) + (n + n + 1) + (n + 3 + 1)) for n in (8, 16) for p in (2, 3))
    dense = sum(6 * n + n * n + 3 * n for n in (8, 16))
    assert plan.parameters == 2 * (mode + dense)
    assert plan.useful_flops <= plan.padded_flops
    assert sorted(m for b in plan.buckets if b.group == 0 for m in b.members) == list(range(8))


def test_each_size_in_its_own_bucket_has_no_padding(blobs):
    plan = make_plan(SweepConfig(widths=(8, 16), modes=(2, 3), seeds=2, epochs=1, buckets="each", devices=1), blobs)
    assert len(plan.buckets) == 6
    assert plan.useful_flops == plan.padded_flops


@settings(deadline=None, max_examples=60)
@given(
    sizes=st.dictionaries(
        st.tuples(st.integers(1, 800), st.integers(1, 70)), st.integers(1, 40), min_size=1, max_size=12
    ),
    steps=st.integers(1, 10**6),
)
def test_buckets_hold_every_size_and_never_cost_more_than_one_a_size(sizes, steps):
    machine = Machine(flops_per_second=1e11, launch_seconds=1e-4, compile_seconds=1.0)
    flops = {(w, p): float(600 * p * (784 + 4 * w + 10)) for w in {w for w, _ in sizes} for p in {p for _, p in sizes}}
    buckets = bucket_shapes(sizes, flops, steps, machine)

    def seconds(buckets):
        overhead = steps * machine.launch_seconds + machine.compile_seconds
        return sum(
            overhead + steps * flops[shape] / machine.flops_per_second * sum(sizes[size] for size in inside)
            for shape, inside in buckets
        )

    assert sorted(size for _, inside in buckets for size in inside) == sorted(sizes)
    for (width, modes), inside in buckets:
        assert width == max(w for w, _ in inside)
        assert modes == max(p for _, p in inside)
    assert seconds(buckets) <= seconds([(size, [size]) for size in sizes]) * (1 + 1e-12)


def test_members_that_share_devices_are_put_together():
    # Two members on two devices cost as much as one; alone, each would leave a device to copies of itself.
    machine = Machine(flops_per_second=1e11, launch_seconds=1e-9, compile_seconds=1e-9)
    flops = {(320, 1): 3e9, (640, 1): 4e9}
    sizes = {(320, 1): 1, (640, 1): 1}
    assert len(bucket_shapes(sizes, flops, 100, machine, devices=1)) == 2
    assert len(bucket_shapes(sizes, flops, 100, machine, devices=2)) == 1


def test_more_arithmetic_means_more_buckets():
    machine = Machine(flops_per_second=1e11, launch_seconds=1e-4, compile_seconds=1.0)
    sizes = {(20, 30): 1, (40, 30): 1, (320, 30): 1, (640, 30): 1}
    flops = {(w, 30): float(600 * 30 * (784 + 4 * w + 10)) for w, _ in sizes}
    few, many = (len(bucket_shapes(sizes, flops, steps, machine)) for steps in (10, 10**7))
    assert few == 1
    assert many > few


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 241}, "batch_size 241 is larger than the 240 training examples of blobs; allowed: 1 to 240"),
        ({"modes": (10**7,)}, "GiB in 5 launch(es), the limit is"),
        ({"widths": (4096,), "memory_limit": 0.01}, "the limit is 0.01 GiB"),
        ({"launches": 19}, "fills 18 on 2 device(s); allowed: 1 to 18, or 0"),
        ({"launches": 2, "memory_limit": "1MB"}, "use smaller sizes, more launches or raise memory_limit"),
        ({"devices": 99}, "99 devices asked for, JAX sees 2"),
        ({"kept": (0, 50)}, "no member has more than 20"),
        ({"layer_options": ("gage=plain",)}, "unknown option 'gage' of the layer mode; allowed: gauge"),
        ({"layer_options": ("gauge=unit",)}, "unknown gauge 'unit'"),
        ({"layer": "dense", "layer_options": ("rank=3",)}, "allowed: start, start_modes, use_bias"),
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
