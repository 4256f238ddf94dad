# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # A sweep of mode networks, by the functional API
#
# A mode network writes each weight matrix as a sum of modes, $W = \Xi_{out}\,\mathrm{diag}(\Sigma)\,\Xi_{in}$, and trains the three
# factors. Here we train such networks of several widths and numbers of modes on the embedded digits as **one compiled program**, look at
# the accuracy of each network cut back to its leading modes, and put a layer of our own into a sweep.

# %%
# %matplotlib inline
import os

import jax

# On a machine without an accelerator: one device a core, over which the members of a sweep are spread.
jax.config.update("jax_num_cpu_devices", os.cpu_count())

import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import modejax
from modejax import SweepConfig, layers, plots, run_sweep

# %% [markdown]
# ## One network
#
# A network is a tuple of pure functions. Its parameters are a pytree of arrays; `apply` takes one example, and callers `vmap`.

# %%
digits = modejax.load_dataset("digits")
network = modejax.mlp([64, 32, 32, 10], layers.Mode(), 5)
params = network.init(jax.random.key(0))
images = jnp.asarray(digits.x_test[:5], jnp.float32) * digits.scale
logits = network.apply(params, images)
print(digits)
print("logits", logits.shape, "parameters", network.num_parameters())
print("kernels", [kernel.shape for kernel in network.kernels(params)])

# %% [markdown]
# ## A grid of networks
#
# Widths, numbers of modes, seeds, learning rates and decays are values inside one program: it is traced and compiled once. The result is an
# `xarray.Dataset` with labelled dimensions.

# %%
config = SweepConfig(widths=(16, 32, 64), modes=(2, 5, 10), seeds=3, epochs=40, truncate_every=10)
result = run_sweep(config)
print({name: f"{result.attrs[f'seconds_to_{name}']:.1f} s" for name in ("trace", "compile", "run")})
(100 * result.test_accuracy.isel(epoch=-1, learning_rate=0, weight_decay=0).mean("seed")).round(1).to_pandas()

# %%
plots.plot_accuracy(result).figure

# %% [markdown]
# ## How many modes are needed, in each layer?
#
# The curves below come from the same compiled program: the test accuracy when only the $k$ most important modes are kept in one map, the others
# intact, and in all maps together. Importance is $\tau_\mu = \gamma(\|\xi_{out,\mu}\| + \|\xi_{in,\mu}\|) + |\Sigma_\mu|$.

# %%
plots.plot_truncation(result, width=64, modes=10).flat[0].figure

# %% [markdown]
# ## A layer of our own
#
# A family of layers is a frozen dataclass with two methods: `init` draws the parameters, `kernel` gives the weights for which they stand. This one
# has symmetric modes: the output patterns are cut from the input patterns, so that only $\Xi$ and $\Sigma$ are trained (it needs as many inputs as
# outputs or more). Sizes may be padded (`Extent`): entries of the padding must start at exactly 0, and scales use the true size. With `modes` come the
# truncation curves, with `cut` the networks cut back to some modes; `check_family` says in words what is wrong with a family. Everything else
# (bucketing, batching) comes for free.

# %%
import dataclasses
from typing import ClassVar, NamedTuple

from modejax import draws
from modejax.extent import as_extent


class SharedParams(NamedTuple):
    xi: jax.Array  # (modes, fan_in)
    sigma: jax.Array  # (modes,)
    keep: jax.Array  # (fan_out, fan_in), frozen: which inputs a pattern shows to the outputs
    active: jax.Array  # (modes,), frozen: False on padding


@dataclasses.dataclass(frozen=True)
class SharedPatterns(layers.Family):
    takes_modes: ClassVar = "required"

    def init(self, key, fan_in, fan_out, modes=None):
        fan_in, fan_out, modes = as_extent(fan_in), as_extent(fan_out), as_extent(modes)
        std = layers.paper_scale(fan_in)
        keep = jnp.eye(fan_out.capacity, fan_in.capacity) * (fan_out.mask[:, None] & fan_in.mask[None, :])
        return SharedParams(
            std * draws.normal_matrix(draws.subkey(key, 0), modes, fan_in),
            std * draws.normal_vector(draws.subkey(key, 1), modes),
            keep,
            modes.mask,
        )

    def kernel(self, params):
        return ((params.keep @ params.xi.T) * params.sigma) @ params.xi

    def trainable(self, params):
        return SharedParams(True, True, False, False)

    def modes(self, params):
        return layers.Modes(params.keep @ params.xi.T, params.sigma, params.xi, params.active)

    def cut(self, params, keep):
        return params._replace(
            xi=jnp.where(keep[:, None], params.xi, 0),
            sigma=jnp.where(keep, params.sigma, 0),
            active=params.active & keep,
        )


assert layers.check_family(SharedPatterns(), fan_in=6, fan_out=5) == []

own = run_sweep(SweepConfig(widths=(16, 32, 64), modes=(5, 10), seeds=3, epochs=40), layer=SharedPatterns())
(100 * own.test_accuracy.isel(epoch=-1, learning_rate=0, weight_decay=0).mean("seed")).round(1).to_pandas()

# %%
figure, axis = plt.subplots(figsize=(5, 3.4))
for name, data in (("two pattern sets (mode)", result), ("shared patterns", own)):
    final = 100 * data.test_accuracy.isel(epoch=-1, learning_rate=0, weight_decay=0).sel(modes=10)
    axis.errorbar(data.width, final.mean("seed"), final.std("seed", ddof=1), marker="o", capsize=3, label=name)
axis.set(xlabel="width (units)", ylabel="test accuracy (percent)", title="10 modes, mean +- 1 sd over 3 seeds")
axis.legend()
figure.tight_layout()
plt.show()
np.testing.assert_array_equal(own.status, 0)
