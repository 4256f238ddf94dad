"""Predicted times: what is counted at once equals what is counted one by one, and more work never takes less time."""

import numpy as np
import pytest

from modejax import SweepConfig, load_dataset
from modejax.errors import InputError
from modejax.sweep.machines import MACHINES, Target, machine_named, this_machine
from modejax.sweep.plan import make_plan
from modejax.sweep.predict import step_cost, step_costs, step_seconds


@pytest.fixture(scope="module")
def arm():
    return make_plan(SweepConfig(epochs=1, baseline="none"), load_dataset("digits")).arms[0].spec


def test_many_sizes_are_counted_as_each_alone(arm):
    sizes = [(width, modes) for width in (20, 40, 80) for modes in range(1, 31)]
    found = step_costs(arm, sizes, 50)
    for size in [(20, 1), (40, 17), (20, 23)]:
        np.testing.assert_allclose(
            found[size], step_cost(arm, size, 50), rtol=0.05
        )  # where a layer changes over to its kernel it is 3 % off
    few = sizes[:5]
    assert step_costs(arm, few, 50) == {size: step_cost(arm, size, 50) for size in few}


def test_a_matrix_unit_fills_sizes_up(arm):
    cost = step_cost(arm, (20, 3), 50, MACHINES["v5e"].tile)
    assert cost.filled_flops > 5 * cost.flops
    assert step_cost(arm, (20, 3), 50).filled_flops == cost.flops


@pytest.mark.parametrize("name", MACHINES)
def test_more_work_takes_longer(arm, name):
    machine = machine_named(name)
    times = [step_seconds(step_cost(arm, size, 50, machine.tile), 50, machine)[0] for size in [(10, 2), (100, 20)]]
    assert 0 < times[0] < times[1]
    assert machine.rate("float32") <= machine.rate("tf32") <= machine.rate("bfloat16")


def test_devices_have_names():
    assert this_machine().name == "cpu"
    with pytest.raises(InputError, match="unknown device 'h10'; allowed: a100, cpu, h100, h200, v5e, v6e"):
        machine_named("h10")


def test_a_plan_for_devices_that_are_not_there():
    digits = load_dataset("digits")
    config = SweepConfig(widths=(30,), modes=(5,), seeds=64, epochs=1, baseline="none")
    one, four = (make_plan(config, digits, target=Target(machine_named("h100"), count)) for count in (1, 4))
    assert (one.devices, four.devices) == (1, 4)
    assert four.step_seconds < one.step_seconds
    assert one.memory.state == four.memory.state
    assert one.resident_bytes == 0
    tiny = Target(machine_named("v5e"), 1)
    with pytest.raises(InputError, match=r"launch\(es\), the limit is 16.00 GiB"):
        make_plan(SweepConfig(widths=(2**17,), modes=(2**14,), epochs=1, baseline="none"), digits, target=tiny)
