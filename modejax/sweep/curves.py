"""Truncation and pruning curves of a trained member, computed inside the compiled step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from modejax.draws import subkey
from modejax.layers.base import Modes
from modejax.networks.base import Chain
from modejax.pruning import PruningCurve, masked_curve, node_scores, percentile_masks, weight_curve
from modejax.sweep.arrays import Data, MemberArrays, ProgramSpec, features_of, float_type, member_network
from modejax.sweep.spec import BucketSpec
from modejax.truncation import Block, TruncationCurves, importance, kept_curves, mode_scores, places_in_order, ranked

__all__ = ["pruning_curves", "truncation_curves"]


def truncation_curves(
    spec: ProgramSpec, bucket: BucketSpec, member: MemberArrays, params: Any, data: Data
) -> tuple[Array, ...]:
    """Return the truncation curves, importances and weights of one member."""
    network, measure = member_network(bucket, member), "loss" if spec.loss.correct is None else "right"
    modes = network.modes(params)
    longest = max((each.weight.shape[0] for each in modes if each is not None), default=0)
    # A number larger than the index of any map keeps these keys different from those of the initial values.
    key = subkey(member.key, 2**30)

    def draw(number: Int[Array, ""]) -> tuple[Array, Array]:
        draw_key = subkey(key, number)
        order, places = [], []
        for index, each in enumerate(modes):
            place = None
            if each is not None:
                scores = mode_scores(each, spec.order, subkey(draw_key, index))  # pyright: ignore
                if not isinstance(network, Chain):
                    place = places_in_order(each, scores, spec.cut)  # pyright: ignore
                each = ranked(each, scores, spec.cut)  # pyright: ignore
            order.append(each)
            places.append(place)

        def block(rows: tuple[Array, Array, Array]) -> TruncationCurves:
            x, y, counts = rows
            return kept_curves(
                network,
                spec.loss,
                params,
                order,
                (features_of(spec, x), y, counts),
                bucket.arm.kept,
                places=places,
                measure=measure,  # pyright: ignore[reportArgumentType]
            )

        def share(sums: Array) -> Float[Array, ...]:
            return jnp.sum(sums, axis=0).astype(float_type(spec)) / spec.test_examples

        layer, together = jax.lax.map(block, data.test)
        has_modes = np.array([each is not None for each in modes])
        return jnp.where(has_modes[:, None], share(layer), jnp.nan), share(together)

    def per_map(values: Callable[[Modes], Array]) -> Float[Array, "maps modes"]:
        rows = []
        for each in modes:
            row = jnp.full(longest, jnp.nan, float_type(spec))
            if each is not None:
                # Padded, not scattered into: a scatter over a whole row puts constants without entries into the
                # program, on which the compiler of jaxlib 0.11.2 crashes under several devices.
                found = jnp.where(each.active, values(each), jnp.nan)
                row = jnp.pad(found, (0, longest - len(found)), constant_values=jnp.nan)
            rows.append(row)
        return jnp.stack(rows)

    layer, together = jax.lax.map(draw, jnp.arange(spec.draws, dtype=jnp.int32))
    return layer, together, per_map(importance), per_map(lambda each: each.weight)


def pruning_curves(
    spec: ProgramSpec, bucket: BucketSpec, member: MemberArrays, params: Any, data: Data
) -> tuple[Array, Array, Array]:
    """Return the pruning curves of one member, and the scores of its nodes."""
    network = member_network(bucket, member)
    assert isinstance(network, Chain)
    loss, dtype = spec.loss, float_type(spec)
    key = subkey(member.key, 2**30 + 1)
    sizes = network.units[1:-1]
    units = max((size.capacity for size in sizes), default=0)

    scopes = (False, True) if spec.prune_by_layer else (False,)
    # With one hidden layer both scopes are the same. So they are for weights, which are cut in each map separately.
    different = scopes if len(sizes) > 1 else scopes[:1]

    def shares(of_block: Callable[[Block], PruningCurve]) -> PruningCurve:
        right, total = jax.lax.map(lambda rows: of_block((features_of(spec, rows.x), rows.y, rows.counts)), data.test)
        return PruningCurve(
            jnp.sum(right, axis=0).astype(dtype) / spec.test_examples, jnp.sum(total, axis=0) / spec.test_examples
        )

    def scored(name: str, draw: Int[Array, ""] | int = 0) -> tuple[Array, ...]:
        return node_scores(network, params, name, subkey(key, draw))  # pyright: ignore[reportArgumentType]

    def masks(scores: Sequence[Array]) -> tuple[Array, ...]:
        each = [percentile_masks(scores, sizes, spec.percentiles, by_layer=by_layer) for by_layer in different]
        return jax.tree.map(lambda *values: jnp.stack(values), *each)

    # One loop over the cases of all scores, draws, scopes and percentiles: the program stays small for any number.
    of_nodes = {name: scored(name) for name in bucket.arm.pruned if name not in ("random", "weights")}
    cases = {name: jax.tree.map(lambda each: each[None], masks(scores)) for name, scores in of_nodes.items()}
    if "random" in bucket.arm.pruned:
        draws = jnp.arange(spec.prune_draws, dtype=jnp.int32)
        cases["random"] = jax.vmap(lambda draw: masks(scored("random", draw)))(draws)
    curves: dict[str, PruningCurve] = {}
    if cases:
        joined = jax.tree.map(lambda *values: jnp.concatenate(values), *cases.values())
        shape = joined[0].shape[:-1]
        flat = [each.reshape(-1, each.shape[-1]) for each in joined]
        found = shares(lambda block: masked_curve(network, loss, params, flat, block))
        ends = np.cumsum([len(each[0]) for each in cases.values()])[:-1]
        parts = [jnp.split(values.reshape(shape), ends) for values in found]
        for name, right, total in zip(cases, *parts, strict=True):
            curves[name] = PruningCurve(jnp.mean(right, axis=0), jnp.mean(total, axis=0))
    if "weights" in bucket.arm.pruned:
        curves["weights"] = shares(lambda block: weight_curve(network, loss, params, block, spec.percentiles))
    both = (len(scopes), len(spec.percentiles))
    right, total = (
        jnp.stack([jnp.broadcast_to(curves[name][part], both) for name in bucket.arm.pruned], axis=1) for part in (0, 1)
    )
    ranks = [
        jnp.stack(
            [
                jnp.pad(jnp.where(n.mask, each, jnp.nan), (0, units - n.capacity))
                for n, each in zip(sizes, scores, strict=True)
            ]
        )
        for scores in of_nodes.values()
        if bucket.arm.ranked
    ]
    return right, total, jnp.stack(ranks) if ranks else jnp.zeros((0, len(sizes), units), dtype)
