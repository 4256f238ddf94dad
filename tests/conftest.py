"""Strict settings for every test: no silent promotion of types or ranks."""

import os

os.environ.setdefault("MPLBACKEND", "agg")

import jax
import pytest

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")
# Two devices on every machine, so that the sharded path is always exercised.
jax.config.update("jax_num_cpu_devices", 2)


@pytest.fixture
def float64():
    """Run a test in float64."""
    with jax.enable_x64(True):
        yield
