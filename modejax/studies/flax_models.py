"""Flax models of the studies, with dense, mode or spectral layers, and their training, as a Flax user writes them.

A step is one compiled call. A scan over the steps of an epoch would be no faster here: XLA compiles convolutions inside
loops for CPUs to code that is 10 to 15 times slower.

This training stays outside of sweeps. What is shown is that the modules of `modejax.nnx` work in a model and a loop of
the user's; a module is an object that is changed in place, built at one size, with layers (attention, layer norms) that
know no padded sizes, so that a sweep has no grid of widths or modes to train in one program; and a sweep is a scan over
steps, which these convolutions make slow on CPUs. The same kinds of layers in networks that sweeps train are
`modejax.networks.mlp` and `modejax.networks.conv`.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jaxtyping import Array, Float

from modejax.data import Dataset
from modejax.nnx import ModeConv, ModeLinear, SpectralConv, SpectralLinear

__all__ = ["AttentionNet", "ConvNet", "Kind", "accuracy", "count_parameters", "perceptron", "train"]


class Kind(NamedTuple):
    """Which layers a model is made of."""

    name: str
    layer: str  # dense, mode or spectral
    modes: int = 0  # a layer of smaller rank takes its rank

    def linear(self, n_in: int, n_out: int, rngs: nnx.Rngs) -> Any:
        """Return a linear map."""
        if self.layer == "mode":
            return ModeLinear(n_in, n_out, min(self.modes, n_in, n_out), rngs=rngs)
        if self.layer == "spectral":  # a start whose scale follows the sizes
            return SpectralLinear(n_in, n_out, start="relevance", rngs=rngs)
        return nnx.Linear(n_in, n_out, rngs=rngs)

    def conv(self, n_in: int, n_out: int, rngs: nnx.Rngs) -> Any:
        """Return a 3 x 3 convolution of stride 2."""
        if self.layer == "mode":
            return ModeConv(n_in, n_out, (3, 3), min(self.modes, 9 * n_in, n_out), strides=2, rngs=rngs)
        return (nnx.Conv if self.layer == "dense" else SpectralConv)(n_in, n_out, (3, 3), strides=2, rngs=rngs)


class ConvNet(nnx.Module):
    """Three 3 x 3 convolutions of stride 2 with 16, 32 and 64 channels, and a linear map."""

    def __init__(self, kind: Kind, side: int, classes: int, rngs: nnx.Rngs) -> None:
        channels, small = (1, 16, 32, 64), side
        for _ in channels[1:]:
            small = -(-small // 2)
        self.convs = nnx.List([kind.conv(a, b, rngs) for a, b in itertools.pairwise(channels)])
        self.head = kind.linear(small * small * channels[-1], classes, rngs)
        self.side = side

    def __call__(self, x: Float[Array, "batch pixels"]) -> Float[Array, "batch classes"]:
        """Return the logits."""
        h = x.reshape(-1, self.side, self.side, 1)
        for conv in self.convs:
            h = nnx.relu(conv(h))
        return self.head(h.reshape(len(h), -1))


class AttentionNet(nnx.Module):
    """16 patches as tokens, one block of attention with 4 heads and a two-layer perceptron, mean over tokens."""

    def __init__(self, kind: Kind, side: int, classes: int, rngs: nnx.Rngs, *, width: int = 64) -> None:
        self.side, self.heads = side, 4
        patch = side // 4
        tokens = 16
        self.embed = kind.linear(patch * patch, width, rngs)
        self.position = nnx.Param(0.02 * jax.random.normal(rngs.params(), (tokens, width)))
        self.norms = nnx.List([nnx.LayerNorm(width, rngs=rngs) for _ in range(3)])
        self.query, self.key, self.value, self.out = (kind.linear(width, width, rngs) for _ in range(4))
        self.up, self.down = kind.linear(width, 4 * width, rngs), kind.linear(4 * width, width, rngs)
        self.head = kind.linear(width, classes, rngs)

    def __call__(self, x: Float[Array, "batch pixels"]) -> Float[Array, "batch classes"]:
        """Return the logits."""
        rows, n, p = len(x), 4, self.side // 4
        patches = x.reshape(rows, n, p, n, p).transpose(0, 1, 3, 2, 4).reshape(rows, n * n, p * p)
        h = self.embed(patches) + self.position[...][None]
        z = self.norms[0](h)
        heads = [each(z).reshape(rows, n * n, self.heads, -1) for each in (self.query, self.key, self.value)]
        h = h + self.out(nnx.dot_product_attention(*heads).reshape(rows, n * n, -1))
        h = h + self.down(nnx.gelu(self.up(self.norms[1](h))))
        return self.head(self.norms[2](h).mean(axis=1))


def perceptron(kind: Kind, sizes: tuple[int, ...], rngs: nnx.Rngs) -> nnx.Sequential:
    """Return a ReLU perceptron."""
    parts: list[Any] = []
    for n_in, n_out in itertools.pairwise(sizes):
        parts += [kind.linear(n_in, n_out, rngs), nnx.relu]
    return nnx.Sequential(*parts[:-1])


@functools.lru_cache(maxsize=64)
def _adam(learning_rate: float, steps: int) -> optax.GradientTransformation:
    """Make equal optimisers once, so that models of one kind share a compiled step."""
    return optax.adam(optax.cosine_decay_schedule(learning_rate, steps))


@nnx.jit
def _step(model: Any, optimiser: nnx.Optimizer, x: Array, y: Array, scale: Array) -> None:
    def loss(model: Any) -> Float[Array, ""]:
        logits = model(x.astype(jnp.float32) * scale)
        return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()

    optimiser.update(model, nnx.grad(loss)(model))


@nnx.jit
def _right(model: Any, x: Array, y: Array, scale: Array) -> Array:
    return jnp.sum(jnp.argmax(model(x.astype(jnp.float32) * scale), axis=1).astype(y.dtype) == y)


def train(
    model: Any,
    data: Dataset,
    epochs: int,
    learning_rate: float,
    seed: int = 0,
    *,
    batch: int = 100,
    examples: int | None = None,
    report: Callable[[int], None] | None = None,
) -> Any:
    """Train a model in place by Adam, the rate falling to 0 along a cosine, and return it.

    Args:
        model: an NNX module from flat inputs to logits.
        data: the data set.
        epochs: passes over the training set.
        learning_rate: at the start.
        seed: of the order of the examples.
        batch: examples a step; what does not fill a batch is left out of an epoch.
        examples: train on the first ones only.
        report: told the number of each epoch done.

    Returns:
        The model.
    """
    n = len(data.x_train) if examples is None else examples
    steps = n // batch
    optimiser = nnx.Optimizer(model, _adam(learning_rate, max(steps * epochs, 1)), wrt=nnx.Param)
    order = np.random.default_rng(seed)
    scale = jnp.float32(data.scale)
    for epoch in range(epochs):
        for rows in order.permutation(n)[: steps * batch].reshape(steps, batch):
            _step(model, optimiser, jnp.asarray(data.x_train[rows]), jnp.asarray(data.y_train[rows]), scale)
        if report is not None:
            report(epoch + 1)
    return model


def accuracy(model: Any, x: np.ndarray, y: np.ndarray, scale: float, *, block: int = 1000) -> float:
    """Return the share of right answers."""
    parts = [slice(a, a + block) for a in range(0, len(x), block)]
    return sum(int(_right(model, jnp.asarray(x[p]), jnp.asarray(y[p]), jnp.float32(scale))) for p in parts) / len(x)


def count_parameters(model: Any) -> int:
    """Return the number of trained parameters."""
    return sum(leaf.size for leaf in jax.tree.leaves(nnx.state(model, nnx.Param)))
