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
# # Regression and teachers
#
# A function of sixteen inputs that depends on three directions only. **Does a mode network need three modes to learn it, no fewer and no more?**
# First by sweeps over data with real targets, then with a teacher of our own, for which there are equations.

# %%
# %matplotlib inline
import os

import jax

jax.config.update("jax_num_cpu_devices", os.cpu_count())

import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

from modejax import SweepConfig, online, plots, run_sweep
from modejax.data import from_arrays

# %% [markdown]
# ## 1. Real targets
#
# Three orthogonal directions and three outputs, each a step along one direction, with a little noise. Targets that are floats make a regression: the loss is half
# the squared error, summed over outputs, and there are no accuracies. Each output is scaled to mean 0 and standard deviation 1, so the
# means alone reach a loss of 1.5, three times 0.5.

# %%
rng = np.random.default_rng(0)
directions = np.linalg.qr(rng.standard_normal((16, 3)))[0]  # (16, 3)
x = rng.standard_normal((3000, 16)).astype(np.float32)
y = np.tanh(2 * x @ directions) + 0.1 * rng.standard_normal((3000, 3))
y = ((y - y[:2000].mean(axis=0)) / y[:2000].std(axis=0)).astype(np.float32)
data = from_arrays(x[:2000], y[:2000], x[2000:], y[2000:], name="three directions")
print(data)

# %% [markdown]
# ## 2. How many modes?
#
# Several rates, and a fifth of the training set held out to choose among them; see the notebook on learning rates.

# %%
config = SweepConfig(
    widths=(16, 32),
    modes=(1, 2, 3, 4, 6),
    seeds=3,
    epochs=25,
    batch_size=50,
    learning_rates=(0.01, 0.03),
    validation=0.2,
    baseline="none",
)
run = run_sweep(config, dataset=data, progress=False)
plots.plot_accuracy(run).figure

# %% [markdown]
# Each mode up to the third takes one output off the loss, at both widths; the fourth and sixth have little left to do. Three modes are enough, but with three some
# seeds of the narrow networks miss an output (the wide band): a spare mode makes training easier.
#
# Is the number the same when networks are trained with six modes and cut afterwards? One map at a time, the others as they are:

# %%
best = run.best(by="validation_loss")
plots.plot_truncation(run, width=32, modes=6)[0].figure

# %% [markdown]
# No: three modes hold most of it, but the networks spread over five. Training does not look for the fewest modes; *to be trained with* and *to be kept* are two
# questions.
#
# The modes of the first map can be compared with the directions that we know. The input sides of its three most important modes span a subspace; the cosines of
# the angles between it and the three true directions (1: they lie in it) tell whether the network found them.

# %%
network = run.networks(
    width=32, modes=3, seed=0, learning_rate=float(best.learning_rate.sel(width=32, modes=3).squeeze())
)[0]
first = network.network.modes(network.params)[0]
basis = np.linalg.qr(np.asarray(first.xi_in).T)[0]
print("cosines with the true directions:", np.linalg.svd(basis.T @ directions)[1].round(3))
predicted = network.predict(x[2000:])
figure, axes = plt.subplots(1, 3, figsize=(9, 3.2), dpi=80, layout="constrained", sharex=True, sharey=True)
for output, ax in enumerate(axes):
    ax.plot(y[2000:, output], predicted[:, output], ".", ms=3, alpha=0.4)
    ax.plot([-2, 2], [-2, 2], color="0.3", lw=1)
    ax.set(xlabel=f"target, output {output + 1}", xlim=(-2, 2), ylim=(-2, 2))
_ = axes[0].set_ylabel("prediction of three modes")

# %% [markdown]
# ## 3. A teacher of your own, online
#
# If each step of training takes one fresh sample of Gaussian inputs, no test set and no noise of sampling are left, and the error follows
# differential equations (the page *Online learning* of the methods). The teacher here has two patterns, a strong one on the first half of the inputs and a weak one
# on the second. The student has the same output side and learns the patterns.

# %%
d = 100
patterns = np.zeros((2, d))
patterns[0, : d // 2] = patterns[1, d // 2 :] = 1.0
with jax.enable_x64(True):
    xi = 2 * np.linalg.qr(rng.normal(size=(4, 2)))[0]
    modes = online.Modes(xi=jnp.asarray(xi), sigma=jnp.asarray([1.5, 0.8]))
    start = online.Draw(modes, student=jnp.asarray(0.3 * rng.normal(size=(2, d))), teacher=jnp.asarray(patterns))
    sizes = online.Sizes(d=d, units=4, modes=2)
    problem, begin = online.overlaps(start, sizes, jnp.asarray(2.0))  # 2.0 is the learning rate
    times = np.asarray(online.log_times(0.1, 500.0, 24))
    theory = online.solve(problem, begin, jnp.asarray(times))
    runs = [online.simulate(start, jax.random.key(k), jnp.asarray(times), sizes, 2.0) for k in range(4)]
    rates = np.asarray(online.relaxation_rates(problem))
errors = np.stack([each.error for each in runs])

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6), dpi=80, layout="constrained")
plots.plot_error(times, np.asarray(theory.error), errors, left)
plots.plot_ratio(times, np.asarray(theory.error), errors, right, label="mean of 4 seeds")
right.axhline(0, color="0.4", lw=1)
for rate in rates:
    left.axvline(0.5 / rate, color="0.6", ls=":", lw=1)
print("relaxation rates of the two patterns:", rates.round(3))

# %% [markdown]
# The error falls in two steps, each at the time $1 / (2 \rho)$ of one relaxation rate (dotted): the strong pattern is learnt first, then, after a slower
# stretch, the weak one. While the error falls by more than four decades, single runs of 100 inputs stay within some 25 % of the equations, and their mean within some
# 10 %; the scatter shrinks with the number of inputs.
#
# **What we learn.** A network has to be trained with as many modes as there are directions that its target depends on, and with some to spare where it is narrow. Each
# mode is learnt at its own time, the strong ones first.
#
# **Traps.** Scale targets with the numbers of the training set, as features; otherwise the usual rates are too large or too small. Losses are summed over
# outputs. And the theory needs float64: its rates spread over many orders of magnitude.
