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
# the accuracy of each network cut back to its leading modes, and put a layer written here into a sweep.

# %%
# %matplotlib inline
import os

import jax

# On a machine without an accelerator: one device a core, over which the members of a sweep are spread.
jax.config.update("jax_num_cpu_devices", os.cpu_count())

import dataclasses
from typing import NamedTuple

import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import modejax
from modejax import SweepConfig, draws, layers, plots, run_sweep
from modejax.extent import as_extent

# %% [markdown]
# ## One network
#
# A network is a frozen record of pure functions. Its parameters are a pytree of arrays; `apply` takes inputs with any leading axes.

# %%
digits = modejax.load_dataset("digits")
network = modejax.mlp([64, 32, 32, 10], layers.Mode(), modes=5)
params = network.init(jax.random.key(0))
images = jnp.asarray(digits.x_test[:5], jnp.float32) * digits.scale
logits = network.apply(params, images)
print(digits)
print("logits", logits.shape, "parameters", network.num_parameters())
print("maps", {name: each.kernel.shape for name, each in network.maps(params).items()})

# %% [markdown]
# ## A grid of networks
#
# Widths, numbers of modes, seeds, learning rates and decays are values inside one program: it is traced and compiled once. A run has a node
# of labelled arrays for each arm: the mode networks, and dense networks of the same widths as a baseline.

# %%
config = SweepConfig(widths=(16, 32, 64), modes=(2, 5, 10), seeds=3, epochs=40, truncate_every=10)
run = run_sweep(config, progress=False)
print(run)
print({name: f"{run.result.attrs[f'seconds_to_{name}']:.1f} s" for name in ("trace", "compile", "run")})
run.table().groupby(["arm", "width", "modes"]).test_accuracy.mean().mul(100).round(1).unstack("modes")

# %%
plots.plot_accuracy(run.result).figure

# %% [markdown]
# ## How many modes are needed, in each layer?
#
# The curves below come from the same compiled program: the test accuracy when only the $k$ most important modes are kept in one map, the others
# intact, and in all maps together. Importance is $\tau_\mu = \gamma(\|\xi_{out,\mu}\| + \|\xi_{in,\mu}\|) + |\Sigma_\mu|$.

# %%
plots.plot_truncation(run.result, width=64, modes=10).flat[0].figure

# %% [markdown]
# ## The trained networks
#
# Each comes back at its own size, without padding, and computes from raw inputs. A run in a folder (`run_sweep(config, out="runs/name")`) is
# opened again by `modejax.open_run("runs/name")`, on any machine and without compiling anything.

# %%
trained = run.networks(width=64, modes=10, seed=0)[0]
print(trained.at)
print("test accuracy", (trained.classify(digits.x_test) == digits.y_test).mean().round(4))

# %% [markdown]
# ## A layer of your own in ten lines
#
# A layer is a frozen dataclass with `init` and `kernel`. This one is a dense layer whose weights are cubes, $W = w^3$, which lets small
# weights stay small. Sizes may be padded (`Extent`): entries of the padding must start at exactly 0, which the functions of `modejax.draws`
# see to, and scales use the true size. Before it trains, a sweep tests such a layer on small sizes and says what is wrong with it.


# %%
class CubicParams(NamedTuple):
    w: jax.Array  # (fan_out, fan_in)


@dataclasses.dataclass(frozen=True)
class Cubic(layers.Family):
    def init(self, key, fan_in, fan_out, modes=None):
        fan_in, fan_out = as_extent(fan_in), as_extent(fan_out)
        return CubicParams(draws.normal_matrix(key, fan_out, fan_in) * (2 / (15 * fan_in.size)) ** (1 / 6))

    def kernel(self, params):
        return params.w**3


own = run_sweep(SweepConfig(widths=(16, 32, 64), seeds=3, epochs=40), layer=Cubic(), progress=False)

# %%
figure, axis = plt.subplots(figsize=(5, 3.4))
named = {
    "modes, P = 10": run["mode"].sel(modes=10),
    "cubic": own.first.isel(modes=0),
    "dense": own["baseline"].isel(modes=0),
}
for name, data in named.items():
    final = 100 * data.test_accuracy.isel(epoch=-1, learning_rate=0, weight_decay=0)
    axis.errorbar(data.width, final.mean("seed"), final.std("seed", ddof=1), marker="o", capsize=3, label=name)
axis.set(xlabel="width (units)", ylabel="test accuracy (percent)", title="mean +- 1 sd over 3 seeds")
axis.legend()
figure.tight_layout()
plt.show()
np.testing.assert_array_equal(own.first.status, 0)
