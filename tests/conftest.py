"""Strict settings for every test: no silent promotion of types or ranks."""

import os
import re

os.environ.setdefault("MPLBACKEND", "agg")
# Tests leave the folder of compiled programs of the user alone.
os.environ["MODEJAX_COMPILE_CACHE"] = "off"

import hypothesis
import jax
import numpy as np
import pytest
import scipy.linalg  # noqa: F401  (its BLAS is loaded now, so that the limit below reaches it)
import threadpoolctl

# Two processes of tests share the cores; threads of BLAS on top of them only wait for one another.
threadpoolctl.threadpool_limits(1, user_api="blas")

# No test asks how long it took: an example may wait for compilation, or for a busy machine.
hypothesis.settings.register_profile("modejax", deadline=None)
hypothesis.settings.load_profile("modejax")

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")
# Two devices on every machine, so that the sharded path is always exercised.
jax.config.update("jax_num_cpu_devices", 2)


_LONG_EXAMPLES = re.compile(
    r"\b(run_sweep|run_members|predicted_plateaus|learning_rate_limit|linear_rate_limit|check_network|check_family"
    r"|simulate|solve|euler|draw|noise|p_space|trained_modes|fit_grid|hidden_activity|kept_curves|conv)\)?\("
    r"|\bmlp\(\[784"
)

_LONG_NOTEBOOKS = (
    "flax_models", "interpolation", "learning_rates", "modes", "networks", "online_learning", "own_data", "quickstart",
    "regression", "results", "spectral", "svr",
)  # fmt: skip


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Make slow ones of what takes long: examples that train or solve something, and notebooks that train."""
    for item in items:
        if item.name.removesuffix(".ipynb") in _LONG_NOTEBOOKS:
            item.add_marker("slow")
        if isinstance(item, pytest.DoctestItem) and any(
            _LONG_EXAMPLES.search(each.source) for each in item.dtest.examples
        ):
            item.add_marker("slow")


@pytest.fixture(scope="module", autouse=True)
def programs_that_are_let_go():
    """Forget compiled programs behind a file of tests where they have come to fill much memory."""
    yield
    import psutil

    if psutil.Process().memory_info().rss > 3 * 2**30:
        from modejax.sweep.program import make_program

        make_program.cache_clear()
        jax.clear_caches()


@pytest.fixture(scope="session")
def blobs():
    """Three noisy clusters in 6 dimensions: 240 training and 70 test examples."""
    from modejax.data import from_arrays

    rng = np.random.default_rng(0)
    centres = rng.normal(size=(3, 6))
    y = rng.integers(0, 3, 310)
    x = (centres[y] + 0.7 * rng.normal(size=(310, 6))).astype(np.float32)
    return from_arrays(x[:240], y[:240], x[240:], y[240:], name="blobs", source="made for this test")


@pytest.fixture(scope="session")
def tiles():
    """Images of 5 x 4 bytes of three classes, each with its bright places: 120 training and 40 test examples."""
    from modejax.data import from_arrays

    rng = np.random.default_rng(1)
    bright = rng.random((3, 5, 4))
    y = rng.integers(0, 3, 160)
    x = np.clip(255 * (bright[y] + 0.25 * rng.normal(size=(160, 5, 4))), 0, 255).astype(np.uint8)
    return from_arrays(x[:120], y[:120], x[120:], y[120:], name="tiles", source="made for this test")


@pytest.fixture(scope="session")
def ramp():
    """Real values max(x_1 - x_2 + x_3 / 2, 0): 200 training and 100 test examples."""
    from modejax.data import Dataset

    x = np.random.default_rng(0).normal(size=(300, 3)).astype(np.float32)
    y = np.maximum(x @ np.array([1.0, -1.0, 0.5], np.float32), 0)
    split = x[:200], y[:200], x[200:], y[200:]
    return Dataset(*split, num_classes=1, name="ramp", source="made for this test", targets="values")


@pytest.fixture
def float64():
    """Run a test in float64."""
    with jax.enable_x64(True):
        yield
