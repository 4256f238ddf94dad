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
# # Modes in Flax models
#
# A Flax model is trained as usual; its kernels are written as sums of modes, cut, and trained on in mode space. The layers of
# `modejax.nnx` stand where `nnx.Linear` and `nnx.Conv` stood.

# %%
# %matplotlib inline
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
from flax import nnx

from modejax import load_dataset
from modejax.nnx import ModeConv, ModeLinear, decompose, from_dense, to_dense

digits = load_dataset("digits")
x_train, x_test = (jnp.asarray(x, jnp.float32) * digits.scale for x in (digits.x_train, digits.x_test))
y_train, y_test = jnp.asarray(digits.y_train), jnp.asarray(digits.y_test)
digits


# %% [markdown]
# ## 1. A model, trained as usual


# %%
class Model(nnx.Module):
    def __init__(self, rngs):
        self.first = nnx.Linear(64, 96, rngs=rngs)
        self.second = nnx.Linear(96, 96, rngs=rngs)
        self.head = nnx.Linear(96, 10, rngs=rngs)

    def __call__(self, x):
        return self.head(nnx.relu(self.second(nnx.relu(self.first(x)))))


@nnx.jit
def step(model, optimiser, x, y):
    def loss(model):
        return optax.softmax_cross_entropy_with_integer_labels(model(x), y).mean()

    optimiser.update(model, nnx.grad(loss)(model))


def train(model, epochs, rate, batch=50):
    optimiser = nnx.Optimizer(model, optax.adam(rate), wrt=nnx.Param)
    order = np.random.default_rng(0)
    for _ in range(epochs):
        for rows in order.permutation(len(x_train))[:1400].reshape(-1, batch):
            step(model, optimiser, x_train[rows], y_train[rows])
    return model


@nnx.jit
def right(model):
    return jnp.mean(jnp.argmax(model(x_test), axis=1) == y_test)


def accuracy(model):
    return 100 * float(right(model))


model = train(Model(nnx.Rngs(0)), epochs=15, rate=0.003)
print(f"test accuracy {accuracy(model):.1f} %")

# %% [markdown]
# ## 2. The kernels as modes
#
# `from_dense` takes the singular values of a kernel; at full rank the function stays what it was. The factors are balanced: the
# entries of the three factors of a mode have the same root mean square. `decompose` does it for a whole model, and leaves the
# original alone.

# %%
layer = from_dense(model.second)
print(
    f"full rank, largest difference: {float(jnp.abs(to_dense(layer).kernel[...] - model.second.kernel[...]).max()):.1e}"
)
whole = decompose(model, energy=0.9)
print(whole.table())
print(f"\n90 % of the energy: test accuracy {accuracy(whole.model):.1f} %")

# %% [markdown]
# ## 3. Cut, and train on in mode space
#
# Below the number of modes that the trained network needs, one epoch in mode space brings most of the accuracy back.

# %%
modes = (4, 8, 16)
cut, tuned = [], []
for count in modes:
    small = decompose(model, count).model
    cut.append(accuracy(small))
    tuned.append(accuracy(train(small, epochs=1, rate=0.003)))
figure, ax = plt.subplots(figsize=(6, 3.6), dpi=80, layout="constrained")
ax.axhline(accuracy(model), color="black", ls="--", lw=1, label="dense")
ax.plot(modes, cut, "o-", label="cut to P modes")
ax.plot(modes, tuned, "s-", label="and one epoch in mode space")
ax.set(xlabel="modes P", ylabel="test accuracy (%)")
_ = ax.legend()

# %% [markdown]
# ## 4. Modes from the start
#
# The layers are used like those of Flax, convolutions too. What is not trained is a variable of the type `Frozen`: an
# optimiser with `wrt=nnx.Param` keeps no state for it.


# %%
class Small(nnx.Module):
    def __init__(self, rngs):
        self.conv = ModeConv(1, 16, (3, 3), modes=4, strides=2, rngs=rngs)
        self.head = ModeLinear(16 * 16, 10, modes=8, rngs=rngs)

    def __call__(self, x):
        h = nnx.relu(self.conv(x.reshape(-1, 8, 8, 1)))
        return self.head(h.reshape(len(h), -1))


small = train(Small(nnx.Rngs(0)), epochs=10, rate=0.01)
print(
    f"test accuracy {accuracy(small):.1f} % with {small.conv.num_parameters() + small.head.num_parameters():,} parameters"
)

# %% [markdown]
# A trained file needs no Python: `modejax decompose FILE.safetensors --modes 10 --dataset mnist --epochs 1` writes the modes, the
# dense weights, a table and figures.
