"""Members: the product of the axes, each with its own numbers."""

import itertools

import numpy as np

from modejax.sweep.arm import Arm
from modejax.sweep.members import grid_members


def test_members_are_the_product_in_the_order_of_the_grid():
    arm = Arm(widths=(8, 16), modes=(2, 3), learning_rates=(0.1, 0.2), label_noise=(0, 0.5), axes=("gain=1,-2",))
    members = grid_members(arm, (4, 5))
    expected = list(itertools.product((8, 16), (2, 3), (4, 5), (0.1, 0.2), (0.001,), (0, 0.5), (1, -2)))
    names = ("width", "modes", "seed", "learning_rate", "weight_decay", "label_noise", "gain")
    assert members.dims == names
    assert members.grid == (2, 2, 2, 2, 1, 2, 2)
    assert len(members) == len(expected)
    assert [tuple(members[name][i].item() for name in names) for i in range(len(members))] == expected
    assert members.numbers(1, ("gain", "label_noise")) == {"gain": -2.0, "label_noise": 0.0}
    assert members.sizes() == {(8, 2): 16, (8, 3): 16, (16, 2): 16, (16, 3): 16}


def test_coordinates_hold_seeds_of_64_bits():
    for seeds, kind in (((3, 2**40), np.int64), ((2**63, 2**64 - 1), np.uint64)):
        coordinates = grid_members(Arm(), seeds).coordinates
        assert coordinates["seed"].dtype == kind
        assert coordinates["seed"].tolist() == list(seeds)
    assert coordinates["width"].dtype == np.int64
    assert coordinates["learning_rate"].dtype == np.float64
