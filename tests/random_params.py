"""Parameters with every trainable entry random, for tests of the networks."""

import jax
import jax.numpy as jnp
import numpy as np

from modejax.networks import Network, Params


def random_params(network: Network, seed: int = 0) -> Params:
    """Return parameters whose trainable entries are random and of either sign; nothing is padding."""
    rng = np.random.default_rng(seed)
    shapes = jax.eval_shape(lambda: network.init(jax.random.key(0)))

    def fill(shape, trainable):
        if trainable:
            return jnp.asarray(rng.normal(size=shape.shape), shape.dtype)
        return jnp.full(shape.shape, True if shape.dtype == jnp.bool_ else 0.4, shape.dtype)

    return jax.tree.map(fill, shapes, network.trainable(shapes))
