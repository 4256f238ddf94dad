"""The cases of the spectral layer for its tests, and its kernel written out with NumPy."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from modejax import layers

# The name of the case -> variant and options.
CASES = {
    **{name: {"variant": name} for name in layers.SPECTRAL_VARIANTS},
    "full": {"variant": "two_set", "eigenvectors": "trained"},
    "single_set full": {"variant": "single_set", "eigenvectors": "trained"},
    "input_only full": {"variant": "input_only", "eigenvectors": "trained"},
    "eigenvectors only": {"variant": "two_set", "eigenvectors": "trained", "eigenvalues": "frozen"},
    "first": {"variant": "single_set_unit", "start": "first"},
    "glorot": {"variant": "two_set", "start": "two_set", "lambda_in": "glorot:0.5"},
    "unbiased": {"variant": "two_set", "use_bias": False},
}
FACTORED = ("qr_triangular", "qr_full", "svd")
# The others differ from these in what is trained, not in the start or in what is computed.
DISTINCT = (*layers.SPECTRAL_VARIANTS, "first", "glorot")
# Factors or kernel: few rows or many.
FEW, MANY = 1, 60
FAN_IN, FAN_OUT = 7, 5


def make(case):
    return layers.Spectral(**CASES[case])


@functools.cache
def start(case, sizes):
    with jax.enable_x64(True):
        return jax.device_get(jax.jit(lambda: make(case).init(jax.random.key(1), *sizes))())


def filled(case, sizes=(FAN_IN, FAN_OUT), seed=0):
    """Return parameters whose trainable entries are random; r is as triangular as the layer made it."""
    rng = np.random.default_rng(seed)
    params = start(case, sizes)
    moved = jax.tree.map(
        lambda leaf, move: rng.normal(size=leaf.shape) * (leaf != 0) if move else leaf,
        params._replace(bias=None if params.bias is None else np.arange(1.0, sizes[1] + 1)),
        make(case).trainable(params),
    )
    return jax.tree.map(jnp.asarray, moved)


def difference(params):
    """Return lambda_in_j - lambda_out_i with NumPy."""
    out = np.asarray(params.lambda_out)
    if params.slope is not None:
        out = np.asarray(params.slope) * (out - 1)
    return np.asarray(params.lambda_in)[None] - out[:, None]


def reference_kernel(params):
    """Write W_ij = (lambda_in_j - lambda_out_i) phi_ij out with NumPy."""
    match params.phi:
        case layers.QRFactors(r, q):
            phi = np.asarray(r) @ np.asarray(q)
        case layers.SVDFactors(u, s, v):
            phi = np.einsum("ok,k,ki->oi", u, s, v)
        case matrix:
            phi = np.asarray(matrix)
    return difference(params) * phi
