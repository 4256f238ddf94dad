"""All layers of a network in one spectral operator: skip connections that cost no parameters.

Layers of N_1, N_2, ... N_L nodes are taken together as one space. With Phi = I + M, where M holds a block phi_l from
layer l to layer l + 1 for every l, and Lambda = diag(lambda_1, ... lambda_L), the operator A = Phi Lambda Phi^-1 has
blocks from every layer k to every later layer l,

    W_lk = (-1)^(l-k-1) (phi_(l-1) Lambda_(l-1) - Lambda_l phi_(l-1)) phi_(l-2) ... phi_k .

The blocks with l = k + 1 are the maps of `layers.spectral`; the others are skip connections made of the same
parameters. The sign comes from Phi^-1 = I - M + M^2 - ...; only for two layers is it 2 I - Phi.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Literal, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from modejax.draws import subkeys
from modejax.errors import InputError
from modejax.extent import Extent
from modejax.layers.base import over_rows
from modejax.layers.spectral_start import Distribution, draw_matrix, draw_vector, parse_distribution
from modejax.networks.base import Activation, Network, activate, check_activation, check_sizes

__all__ = ["Sparcs", "SparcsParams", "operator", "sparcs", "weight_block"]


class SparcsParams(NamedTuple):
    """Parameters of a network in one operator, ordered from the inputs on."""

    eigenvalues: tuple[Float[Array, " units"], ...]  # one set for each layer of nodes, inputs and outputs included
    phi: tuple[Float[Array, "fan_out fan_in"], ...]  # one block for each pair of neighbouring layers


def weight_block(params: SparcsParams, target: int, source: int) -> Float[Array, "fan_out fan_in"]:
    """Return the weights from one layer to a later one.

    Args:
        params: the parameters.
        target: index of the later layer, from 0 for the inputs.
        source: index of the earlier layer.

    Returns:
        The block of A, shape (nodes of target, nodes of source).

    Raises:
        InputError: if the target is not later than the source, or does not exist.

    Example:
        >>> import jax
        >>> network = sparcs([4, 3, 2])
        >>> weight_block(network.init(jax.random.key(0)), 2, 0).shape
        (2, 4)
    """
    if not 0 <= source < target < len(params.eigenvalues):
        raise InputError(
            f"weights lead from a layer to a later one of the {len(params.eigenvalues)} layers, numbered from 0; "
            f"got target {target}, source {source}"
        )
    left, right = params.eigenvalues[target - 1], params.eigenvalues[target]
    block = (left[None, :] - right[:, None]) * params.phi[target - 1]
    for index in range(target - 2, source - 1, -1):
        block = -(block @ params.phi[index])
    return block


def operator(params: SparcsParams) -> tuple[Float[Array, "n n"], Float[Array, "n n"], Float[Array, " n"]]:
    """Assemble the operator, for teaching and tests.

    Args:
        params: the parameters.

    Returns:
        A = Phi Lambda Phi^-1, Phi, and the diagonal of Lambda, which are the eigenvalues of A.

    Example:
        >>> import jax
        >>> a, phi, values = operator(sparcs([4, 3, 2]).init(jax.random.key(0)))
        >>> bool(jnp.allclose(a @ phi, phi * values[None, :], atol=1e-6))
        True
    """
    values = jnp.concatenate(params.eigenvalues)
    starts = [0]
    for each in params.eigenvalues:
        starts.append(starts[-1] + each.shape[0])
    phi, inverse = jnp.eye(starts[-1]), jnp.eye(starts[-1])
    power = jnp.eye(starts[-1])
    for index, block in enumerate(params.phi):
        phi = phi.at[starts[index + 1] : starts[index + 2], starts[index] : starts[index + 1]].set(block)
    nilpotent = phi - jnp.eye(starts[-1])
    for _ in params.phi:
        power = -(nilpotent @ power)
        inverse = inverse + power
    return (phi * values[None, :]) @ inverse, phi, values


@dataclasses.dataclass(frozen=True)
class Sparcs(Network):
    """A network in one spectral operator; made by `sparcs`.

    A later layer needs all layers before it: the network is no chain, and has neither truncation nor pruning curves.
    """

    sizes: tuple[Extent, ...]
    activation: str | Activation
    trained: bool
    block: Distribution
    sets: tuple[Distribution, ...]

    @property
    def map_names(self) -> tuple[str, ...]:
        """The names of the maps between neighbouring layers."""
        return tuple(f"map{index + 1}" for index in range(len(self.sizes) - 1))

    def init(self, key: PRNGKeyArray) -> SparcsParams:
        """Draw eigenvalues and blocks."""
        maps = len(self.sizes) - 1
        phi_key, value_key = subkeys(key, 2)
        phi_keys, value_keys = subkeys(phi_key, maps), subkeys(value_key, maps + 1)
        other = [self.sizes[max(i - 1, 0)] for i in range(maps + 1)]
        return SparcsParams(
            tuple(draw_vector(value_keys[i], self.sets[i], self.sizes[i], other[i]) for i in range(maps + 1)),
            tuple(draw_matrix(phi_keys[i], self.block, self.sizes[i], self.sizes[i + 1]) for i in range(maps)),
        )

    def apply(self, params: SparcsParams, x: Float[Array, "*rows features"]) -> Float[Array, "*rows outputs"]:
        """Compute the outputs, with two products with each block."""

        def one(h: Float[Array, " units"]) -> Float[Array, " out"]:
            rest = h
            for index, matrix in enumerate(params.phi):
                carried = matrix @ rest
                z = matrix @ (params.eigenvalues[index] * rest) - params.eigenvalues[index + 1] * carried
                last = index == len(params.phi) - 1
                h = z if last else activate(self.activation, z, self.sizes[index + 1])
                rest = h - carried
            return h

        return over_rows(one, x)

    def kernels(self, params: SparcsParams) -> tuple[Float[Array, "fan_out fan_in"], ...]:
        """Return the weights between neighbouring layers."""
        return tuple(weight_block(params, index + 1, index) for index in range(len(params.phi)))

    def trainable(self, params: SparcsParams) -> SparcsParams:
        """Return a tree of bools."""
        moving = (self.trained,) * len(params.phi)
        return SparcsParams((True,) * len(params.eigenvalues), moving)  # pyright: ignore[reportArgumentType]


def sparcs(
    sizes: Sequence[int | Extent],
    activation: str | Activation = "relu",
    *,
    eigenvectors: Literal["frozen", "trained"] = "trained",
    phi: str = "glorot",
    eigenvalue: str = "constant:0",
    last_eigenvalue: str = "constant:1",
) -> Sparcs:
    """Make a feed-forward network whose weights, skip connections included, are the blocks of one spectral operator.

    h_l = f(sum_(k<l) W_lk h_k), without f for the outputs. The sum is computed without the skip matrices: with the part
    r_l = h_l - phi_(l-1) r_(l-1) of Phi^-1 applied to all layers so far, it is (phi_(l-1) Lambda_(l-1) - Lambda_l
    phi_(l-1)) r_(l-1). So each map costs two products with phi instead of one.

    With the released start (eigenvalues 0, those of the outputs 1) the inputs reach no hidden node: W_21 = 0,
    W_32 = -phi_2, W_31 = phi_2 phi_1, and the network is linear at first.

    Args:
        sizes: nodes in each layer, inputs and outputs included; ints or `Extent`s.
        activation: activation of the hidden layers, a name of `ACTIVATIONS` or an elementwise function.
        eigenvectors: whether the blocks phi are trained in addition to the eigenvalues.
        phi: the distribution of the blocks, as in `layers.spectral`.
        eigenvalue: the distribution of all eigenvalues but those of the outputs.
        last_eigenvalue: the distribution of the eigenvalues of the outputs.

    Returns:
        The network. There are no biases; use an input feature that is always 1 instead. Its maps cannot be applied one
        by one, so it has neither truncation nor pruning curves, and `kernels` are the maps between neighbouring layers.

    Raises:
        InputError: if a size, name or distribution is not allowed.

    References:
        Peri et al., arXiv 2504.00885, and the code released with it, for three layers; here for any number.

    Example:
        >>> import jax
        >>> network = sparcs([784, 30, 10])
        >>> network.apply(network.init(jax.random.key(0)), jnp.ones(784)).shape, network.num_parameters()
        ((10,), 24644)
    """
    if eigenvectors not in ("frozen", "trained"):
        raise InputError(f"unknown eigenvectors {eigenvectors!r} of a sparcs network; allowed: frozen, trained")
    extents = check_sizes(sizes)
    check_activation(activation)
    sets = [parse_distribution(eigenvalue, what="eigenvalue")] * (len(extents) - 1)
    sets.append(parse_distribution(last_eigenvalue, what="last_eigenvalue"))
    block = parse_distribution(phi, what="phi")
    return Sparcs(extents, activation, eigenvectors == "trained", block, tuple(sets))
