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
# # What the modes of a trained network mean
#
# A mode network writes each weight matrix as $W = \xi_{out}\,\mathrm{diag}(\Sigma)\,\xi_{in}$, a sum of $P$ *modes*, and trains the three factors.
# Which modes matter, how many are needed, and what do they span? This notebook asks each question once, on the embedded digits, so that
# it runs in a minute; the studies behind `modejax reproduce mdl-...` ask them on MNIST, and `docs/claims.md` says what held there.

# %%
# %matplotlib inline
import os

import jax

# On a machine without an accelerator: one device a core, over which the members of a sweep are spread.
jax.config.update("jax_num_cpu_devices", os.cpu_count())

import matplotlib.pyplot as plt
import numpy as np

from modejax import SweepConfig, load_dataset, removal_curves, run_sweep
from modejax.modes import (
    class_overlap,
    compare_fits,
    growth_fits,
    hidden_activity,
    least_modes,
    mode_measures,
    participation_dimension,
    power_law,
    rank_correlations,
    ranked_curves,
)
from modejax.plots import plot_least_modes, plot_power_law, plot_removal, plot_residuals


def figure(columns=1, width=5.4):
    return plt.subplots(1, columns, figsize=(width * columns, 3.7), dpi=75, layout="constrained")[1]


# %% [markdown]
# ## Four networks
#
# One sweep, four seeds, $N = 48$ units in both hidden layers, $P = 30$ modes in each map. The run keeps the trained networks.

# %%
config = SweepConfig(
    widths=(48,), modes=(30,), seeds=4, epochs=40, halve_every=10, batch_size=50, baseline="none", kept=(0,)
)
run = run_sweep(config, progress=False)
members = run.networks()
print(100 * run.first.test_accuracy.isel(epoch=-1).values.ravel().round(4))

# %% [markdown]
# ## How large is a mode?
#
# The paper's importance is $\tau_\mu = \gamma\,(\|\xi_{out,\mu}\| + \|\xi_{in,\mu}\|) + |\Sigma_\mu|$. It changes when a factor is moved from $\xi$ to
# $\Sigma$, which leaves $W$ as it is. The size $|\Sigma_\mu|\,\|\xi_{out,\mu}\|\,\|\xi_{in,\mu}\|$ does not. Here both rank the modes almost alike:

# %%
measures = mode_measures(members)
rank_correlations(measures).sel(first="importance").mean("member").round(3).to_pandas()

# %% [markdown]
# ## Is it a power law?
#
# Two straight lines in $\ln\tau$ against $\ln$ rank, with the break put in by hand after rank 10 as in the paper's code, or found by trying all of
# them. Intervals resample seeds. The residuals below show what each description leaves over: those of a law would scatter around 0.

# %%
curves = ranked_curves(measures.importance.sel(layer=2).values)
given, found = power_law(curves, 10), power_law(curves)
for name, law in (("given", given), ("found", found)):
    low, high = law.slopes_interval
    print(f"break {name} at {law.fit.last}: slopes {law.fit.slopes.round(2)}, from {low.round(2)} to {high.round(2)}")
left, right = figure(2)
plot_power_law(curves, {"break given": given, "break found": found}, left)
plot_residuals(curves.mean(axis=0), compare_fits(curves.mean(axis=0), 10), right)
# %% [markdown]
# ## Which modes can go?
#
# The compiled step of the sweep measures accuracy with one map cut. Least important first is much better than random, and most important
# first much worse: the ranking means something.

# %%
removed = removal_curves(run, draws=5, kept=tuple(range(0, 31, 2)))
axes = figure(3, 3.9)
plot_removal(removed.isel(width=0, modes=0, learning_rate=0, weight_decay=0, drop=True), 30, axes)
# %% [markdown]
# ## How many modes are needed?
#
# That depends on the question. *Within 4 points of the dense network of the same width* asks wide networks for more, since their dense
# rivals are better; *at least 88 %* asks them for less. A growth with the width is a statement about the first definition only.

# %%
grid = run_sweep(
    SweepConfig(
        widths=(8, 16, 32, 64), modes=(2, 4, 7, 12, 20), seeds=4, epochs=20, batch_size=50, kept=(0,), buckets="one"
    ),
    progress=False,
)
left, right = figure(2)
for ax, (definition, level) in zip((left, right), (("dense", 4.0), ("fixed", 88.0)), strict=True):
    least = least_modes(grid.result, definition, level)
    plot_least_modes(least, growth_fits(least), ax, most=20)

# %% [markdown]
# ## What do they span?
#
# The dimension of the activity counts the directions among which its variance is shared out; the class overlap says how much of their
# leading directions two classes share. Numbers like these mean something beside a dense network of the same schedule; see
# `modejax reproduce mdl-subspaces`.

# %%
data = load_dataset("digits")
x = data.x_test.astype(np.float32) * data.scale
for layer in range(2):
    hidden = [hidden_activity(m.network, m.params, x)[layer] for m in members]
    dimension = np.mean([participation_dimension(h) for h in hidden])
    overlap = np.mean([class_overlap(h, data.y_test, 3) for h in hidden])
    print(f"hidden layer {layer + 1}: dimension {dimension:.1f}, class overlap {overlap:.2f} (chance {3 / 48:.2f})")
