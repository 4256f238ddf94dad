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
# # Reading, saving and comparing results
#
# A sweep leaves a folder. This notebook makes two of them and does what one does with results: looks into the folder, opens it again, takes numbers
# and networks out of it, puts two runs side by side, joins them, and exports tables and figures. The question that runs through it: **is
# the spread over three seeds real, or do more seeds change the picture?**

# %%
# %matplotlib inline
import os
import tempfile
from pathlib import Path

import jax

jax.config.update("jax_num_cpu_devices", os.cpu_count())
os.chdir(tempfile.mkdtemp())  # the folders of this notebook lie there

import modejax
from modejax import SweepConfig, combine, open_run, plots, run_sweep
from modejax.cli import main

# %% [markdown]
# ## 1. A run folder
#
# `out` names the folder. It is claimed before anything is computed, written whole, and never replaced by accident.

# %%
shared = {"widths": (16, 32), "modes": (2, 5, 10), "epochs": 15, "batch_size": 50, "truncate_every": 3}
run_sweep(SweepConfig(**shared, seeds=3), out="runs/first", progress=False)
for path in sorted(Path("runs/first").iterdir()):
    print(f"{path.name:24s}{path.stat().st_size / 1000:8.1f} kB")

# %% [markdown]
# `result.nc` has all measurements as labelled arrays, `networks.safetensors` the trained networks, `table.csv` one row a network, `config.json` what was
# asked. Ordinary programs read all of them. `open_run` does so without planning or compiling anything, on any machine:

# %%
run = open_run("runs/first")
print(run)
run.table().groupby(["arm", "width", "modes"]).test_accuracy.agg(["mean", "std"]).mul(100).astype(float).round(1)

# %% [markdown]
# ## 2. Taking numbers out
#
# Each arm is an xarray data set. `sel` takes values of axes, `isel` places along them. The accuracy after the last epoch, and that of
# networks of ten modes when only their leading three are kept in every map:

# %%
mode = run["mode"].isel(learning_rate=0, weight_decay=0)
final = 100 * mode.test_accuracy.isel(epoch=-1)
cut = 100 * mode.truncation_accuracy_all.isel(truncation_epoch=-1).sel(kept=3, modes=10)
print(final.mean("seed").astype(float).round(1).to_pandas(), "\n")
for width in cut.width.values:
    print(f"width {width}: {float(final.sel(width=width, modes=10).mean()):.1f} % with ten modes, ", end="")
    print(f"{float(cut.sel(width=width).mean()):.1f} % with three of them kept")

# %%
plots.plot_importance_history(run, width=32, modes=10).flat[0].figure

# %% [markdown]
# ## 3. Taking networks out
#
# A network comes back at its own size, without padding. `predict` takes raw inputs, as they came with the data set.

# %%
digits = modejax.load_dataset("digits")
network = run.networks(width=32, modes=10, seed=0)[0]
logits = network.predict(digits.x_test)
wrong = (network.classify(digits.x_test) != digits.y_test).sum()
print(network.at)
print(f"logits {logits.shape}; {wrong} of {len(digits.y_test)} test images are wrong")
print({name: each.kernel.shape for name, each in network.network.maps(network.params).items()})

# %% [markdown]
# ## 4. Two runs side by side
#
# Three more seeds, as a run of their own. `modejax show runs/first runs/second` on the command line prints both in one table, and in which settings they
# differ; here from Python:

# %%
run_sweep(SweepConfig(**shared, seeds=3, first_seed=3), out="runs/second", progress=False)
_ = main(["show", "runs/first", "runs/second"])

# %% [markdown]
# Means over three seeds differ by up to some points between the runs, more than a small standard deviation suggests: over three seeds it can be small by
# luck. The runs extend one another, so `combine` makes one of six seeds out of them:

# %%
both = combine([run, open_run("runs/second")])
print(both["mode"].seed.values)
plots.plot_accuracy(both).figure

# %% [markdown]
# ## 5. Export
#
# Tables as CSV, arrays as netCDF, figures as vectors with the numbers behind them.

# %%
both.table().to_csv("six_seeds.csv", index=False)
both["mode"].to_netcdf("mode.nc", engine="h5netcdf")
paths = plots.save_figures(both, ".", formats=("pdf",), data=True)
print([str(path) for path in paths[:4]])
plots.figure_data(plots.plot_accuracy(both))[["curve", "x", "y", "low", "high", "n"]].round(2).head(4)

# %% [markdown]
# **What we learn.** A folder is the unit of work: it is whole, it opens anywhere, and seeds can be added to it later, which costs only the new ones.
#
# **Traps.** `run["mode"].test_accuracy` has an axis `epoch`; without `isel(epoch=-1)` a mean runs over the training. Not a number stands where there is
# nothing, behind a network's own number of modes and everywhere in a network that diverged (`status` is 1 there). And a run with a layer or network
# of your own opens without it, but gives networks only when you hand it over again: `open_run(folder, layer=...)`.
