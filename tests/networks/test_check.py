"""The test of a network of the user's: silent on sound ones, and in words on each kind of fault."""

import dataclasses

import jax
import jax.numpy as jnp
import pytest

from modejax import layers
from modejax.draws import normal_matrix
from modejax.extent import Extent, as_extent
from modejax.networks import MLP, Network, check_network, conv, mlp, residual, sparcs, tied

SOUND = {
    "mlp": lambda width, modes: mlp([6, width, 3], layers.Biased(layers.Mode()), modes, "sigmoid"),
    "residual": lambda width, modes: residual([6, width, width, 3], layers.LowRank(), modes),
    "tied": lambda width, modes: tied([6, width, 3], modes),
    "sparcs": lambda width, modes: sparcs([6, width, 3], eigenvalue="normal:1"),
    "conv layer": lambda width, modes: conv(
        (6, 1), (width,), 3, layers.ModeConv((3,)), layers.Mode(), modes, norm="layer"
    ),
    "conv group": lambda width, modes: conv(
        (3, 2, 1),
        (width, width),
        3,
        layers.LowRankConv((2, 2)),
        layers.LowRank(),
        modes,
        "sigmoid",
        norm="group",
        groups=2,
    ),
}


@pytest.mark.parametrize("name", [n if n == "conv layer" else pytest.param(n, marks=pytest.mark.slow) for n in SOUND])
def test_built_in_networks_are_sound(name):
    assert check_network(SOUND[name], 6, capacity=8) == []


@dataclasses.dataclass(frozen=True)
class Matrix(Network):
    """Two matrices; the base of the faulty ones."""

    width: Extent

    def init(self, key):
        one, other = jax.random.split(key)
        return normal_matrix(one, self.width, Extent(6, 6)), normal_matrix(other, Extent(3, 3), self.width)

    def apply(self, params, x):
        return jnp.tanh(x @ params[0].T) @ params[1].T


class Deaf(Matrix):
    """A start that does not depend on the key."""

    def init(self, key):
        return super().init(jax.random.key(0))


class Narrow(Matrix):
    """One output too few axes."""

    def apply(self, params, x):
        return super().apply(params, x)[..., 0]


class Padded(Matrix):
    """A sum over the padding of cos, which is 1 there."""

    def apply(self, params, x):
        return super().apply(params, x) + jnp.sum(jnp.cos(x @ params[0].T), axis=-1, keepdims=True)


class Filled(Matrix):
    """Padding that is not 0."""

    def init(self, key):
        one, other = super().init(key)
        return one + 1, other


class ByCapacity(Matrix):
    """A start that depends on the capacity."""

    def init(self, key):
        # The last axis is the padded one: where the first is, JAX draws the same entries for any size.
        drawn = jax.random.normal(key, (6, self.width.capacity)).T * self.width.mask.astype(float)[:, None]
        return drawn, super().init(key)[1]


class Frozen(Matrix):
    """Nothing is trained."""

    def trainable(self, params):
        return False, False


class Kinked(Matrix):
    """A gradient that is not that of the value."""

    def apply(self, params, x):
        return super().apply(jax.tree.map(jax.lax.stop_gradient, params), x) + 0 * params[1].sum()


class NotFinite(Matrix):
    """Outputs that are not finite."""

    def apply(self, params, x):
        return super().apply(params, x) / 0


class Hidden(MLP):
    """A residual path that no map tells of."""

    def apply(self, params, x):
        return super().apply(params, x) + x[..., :3]


class Uncut(MLP):
    """A cut that takes the wrong modes away."""

    def cut(self, params, keep):
        return super().cut(params, [None if each is None else ~each for each in keep])


def as_mlp(kind):
    def build(width, modes):
        made = mlp([6, width, 3], layers.Mode(), modes)
        return kind(made.sizes, made.families, made.mode_counts, made.activation)

    return build


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (Deaf, "two seeds give the same start"),
        (Narrow, "7 inputs give outputs of shape (7,); needed: (7, outputs)"),
        (Padded, "width 4 gives other outputs in a capacity of 7"),
        (Filled, "padding of [0] is not 0"),
        (ByCapacity, "starts with other entries of [0] than alone; draw with modejax.draws"),
        (Frozen, "no parameter is trainable"),
        (Kinked, "the gradient along a direction is"),
        (NotFinite, "the outputs of a fresh network are not finite"),
        (as_mlp(Hidden), "`apply` differs from what kernels and biases give, stage by stage"),
        pytest.param(as_mlp(Uncut), "`cut` with all modes kept changes the outputs", marks=pytest.mark.slow),
        (lambda width, modes: layers.Mode(), "the factory must return a modejax.networks.Network, got Mode"),
        (lambda width, modes: MLP, "the factory must return a modejax.networks.Network, got <class"),
        (
            lambda width, modes: mlp([6, width], layers.Mode(), modes)(3),  # pyright: ignore
            "a network of width 4 cannot be made or applied",
        ),
    ],
)
def test_what_is_wrong_is_said(build, message):
    if isinstance(build, type):
        kind = build
        build = lambda width, modes: kind(as_extent(width))  # noqa: E731
    found = check_network(build, 6, modes=2)
    assert any(message in each for each in found), found
