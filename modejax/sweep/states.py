"""Moving the states of a launch between the devices, where buckets are padded, and the host, where they are not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from modejax.errors import InputError
from modejax.networks.base import Params
from modejax.sweep.hosts import collect, place
from modejax.sweep.plan import Plan
from modejax.sweep.program import Program
from modejax.training import TrainState, init_state

__all__ = ["check_start", "state_shapes", "with_given", "with_padding", "without_padding"]


def state_shapes(plan: Plan, launch: int) -> list[TrainState]:
    """Return the shapes of a launch's states, without padding members."""
    found = []
    for bucket, share in zip(plan.buckets, plan.share(launch), strict=True):
        spec = plan.arms[bucket.arm].spec
        network = spec.network.build(bucket.width, bucket.modes, **dict(spec.example_numbers))
        shapes = jax.eval_shape(
            lambda network=network, rule=spec.optimiser: init_state(
                network, jax.random.key(0), rule, early=plan.held_out > 0
            )
        )
        found.append(jax.tree.map(lambda s, count=len(share): jax.ShapeDtypeStruct((count, *s.shape), s.dtype), shapes))
    return found


def without_padding(plan: Plan, states: list[TrainState], launch: int) -> list[TrainState]:
    """Bring the states of a launch to the host, without padding members."""
    return [
        jax.tree.map(lambda leaf, count=len(share): leaf[:count], state)
        for share, state in zip(plan.share(launch), collect(states), strict=True)
    ]


def with_padding(plan: Plan, states: list[TrainState], program: Program) -> list[TrainState]:
    """Pad the buckets of states on the host and put them on the devices."""

    def padded(leaf: np.ndarray, capacity: int) -> np.ndarray:
        missing = capacity - len(leaf)
        # A launch may have no member of a bucket; then the whole bucket is padding, and may be zeros.
        last = leaf[-1:] if len(leaf) else np.zeros((1, *leaf.shape[1:]), leaf.dtype)
        return np.concatenate([leaf, np.repeat(last, missing, axis=0)]) if missing else leaf

    return [
        place(jax.tree.map(lambda leaf, n=bucket.capacity: padded(leaf, n), state), program.by_member)
        for bucket, state in zip(plan.buckets, states, strict=True)
    ]


def with_given(
    plan: Plan, states: list[TrainState], start: Sequence[Params], program: Program, launch: int
) -> list[TrainState]:
    """Replace the drawn parameters of the first arm by given ones, one tree per member at the member's own size."""

    def padded(leaf: Any, shape: tuple[int, ...]) -> np.ndarray:
        leaf = np.asarray(leaf)
        return np.pad(leaf, [(0, size - here) for size, here in zip(shape, leaf.shape, strict=True)])

    found = list(states)
    for b, (bucket, share) in enumerate(zip(plan.buckets, plan.share(launch), strict=True)):
        if bucket.arm == 0:
            order = np.append(share, np.full(bucket.capacity - len(share), bucket.members[-1], share.dtype))
            members = [
                jax.tree.map(lambda leaf, old: padded(leaf, old.shape[1:]), start[m], states[b].params) for m in order
            ]
            params = place(jax.tree.map(lambda *leaves: np.stack(leaves), *members), program.by_member)
            best = states[b].best
            # The best epoch's parameters are a copy, since the parameters of the state are donated.
            copy = None if best is None else best._replace(params=jax.tree.map(jnp.copy, params))
            found[b] = states[b]._replace(params=params, best=copy)
    return found


def check_start(plan: Plan, start: Sequence[Params]) -> None:
    """Refuse given parameters that do not fit the networks of the first arm."""
    arm = plan.arms[0]
    if len(start) != len(arm.members):
        raise InputError(f"start must hold one tree of parameters a network, got {len(start)} for {len(arm.members)}")
    shapes = {
        size: jax.eval_shape(arm.spec.network.build(*size, **dict(arm.spec.example_numbers)).init, jax.random.key(0))
        for size in arm.members.sizes()
    }
    for member, params in enumerate(start):
        size = int(arm.members["width"][member]), int(arm.members["modes"][member])
        fits = jax.tree.structure(params) == jax.tree.structure(shapes[size])
        pairs = zip(jax.tree.leaves(params), jax.tree.leaves(shapes[size]), strict=True) if fits else ()
        for got, wanted in pairs:
            fits = fits and (np.shape(got), np.asarray(got).dtype) == (wanted.shape, wanted.dtype)
        if not fits:
            raise InputError(
                f"start[{member}] does not fit a network of width {size[0]} and {size[1]} modes; give the parameters "
                "of each network at its own size, in the order of the grid"
            )
